//! From a root key and an opened database to a store that can be written.

use std::sync::Arc;

use crate::audit::{self, AuditKey, Broken, Chain, Head, Mac, Start, StoredRow, Verification};
use crate::domain::{DisplayName, EnvironmentName, Timestamp};
use crate::store::{
    AuditHead, AuditRows, AuditStart, KeyId, KeyRow, Keys, Opened, ReadError,
    ServiceKeys as ServiceKeysTable, ServiceKeysRow, Store, Tx, View,
};

use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::keyring::{Fingerprint, TokenKey};
use crate::vault::crypto::keyring::{Keychain, Keyring, RootKeys, Unrooted, derive};
use crate::vault::crypto::random::Random;
use crate::vault::crypto::service_keys::ServiceKeys;
use crate::vault::error::Error;
use crate::vault::keys::rotation::load_keyring;
use crate::vault::maintenance::audit_log::{ExportedRow, export_rows};
use crate::vault::verbs::environments::{self, NewEnvironment};

/// Why the database stays closed.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The root key is not the one it was sealed under.
    #[error("the database is sealed under root key {wanted}, but the root key given is {given}")]
    OtherRootKey {
        /// The fingerprint that the database names.
        wanted: Fingerprint,
        /// The fingerprint of the key that was given.
        given: Fingerprint,
    },
    /// The root key is being changed, and one of the two is missing.
    #[error(
        "the root key is being changed and the database still needs root key {wanted} beside {given}, which was given"
    )]
    UnfinishedChange {
        /// The fingerprint of the key that is missing.
        wanted: Fingerprint,
        /// The fingerprint of the key that was given.
        given: Fingerprint,
    },
    /// A key row does not open although the fingerprint fits.
    #[error("the keys in the database are damaged; restore a backup")]
    DamagedKeys,
    /// The end of the audit log was tampered with.
    #[error("the audit log does not hold: {0}")]
    Audit(#[from] Broken),
    /// The database could not be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The writer thread could not be started.
    #[error("no thread for the writer: {0}")]
    Thread(std::io::Error),
    /// There are no random bytes.
    #[error("{0}")]
    Other(Error),
}

impl UnlockError {
    pub(in crate::vault) fn unrooted(
        Unrooted { wanted, partly }: Unrooted,
        roots: RootKeys<'_>,
    ) -> Self {
        let given = roots.current.fingerprint();
        if partly {
            Self::UnfinishedChange { wanted, given }
        } else {
            Self::OtherRootKey { wanted, given }
        }
    }

    /// What to do about a root key that came from `source`, if that is what is
    /// wrong.
    pub fn remedy(&self, source: &str) -> Option<String> {
        match self {
            Self::OtherRootKey { wanted, .. } => Some(format!(
                "The root key came from {source}; give the one that the database was made with. \
                 To change the root key, give {wanted} beside the new one, by COFFER_PREVIOUS_ROOT_KEY_FILE."
            )),
            Self::UnfinishedChange { .. } => Some(format!(
                "The root key came from {source}; give the other one by COFFER_PREVIOUS_ROOT_KEY_FILE \
                 until `coffer key status` says that it is no longer needed."
            )),
            _ => None,
        }
    }
}

/// Tells databases apart, in the names of their backups. It stays the same when
/// keys and root keys change, and when the database is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseId([u8; 4]);

impl DatabaseId {
    /// From the bytes that it is shown as.
    pub const fn of_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    fn of(token: &TokenKey) -> Self {
        let derived = derive(&token.0, b"coffer database v1", b"id");
        let (head, _) = derived.split_first_chunk().expect("32 bytes begin with 4");
        Self(*head)
    }
}

impl std::fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An unlocked database.
#[derive(Debug)]
pub struct Unlocked {
    /// The store, with its writer running.
    pub store: Arc<Store>,
    /// The key that API tokens are hashed with.
    pub token_key: TokenKey,
    /// Set when the database is empty and has to be initialised.
    pub first_start: Option<FirstStart>,
    pub(in crate::vault) keyring: Arc<Keychain>,
    pub(in crate::vault) audit_key: AuditKey,
    pub(in crate::vault) backup_key: Arc<BackupKey>,
    pub(in crate::vault) database: DatabaseId,
}

/// The rows that make an empty database a coffer database. They are written in
/// one batch with the first credential, so there is never a half of them.
#[derive(Debug)]
pub struct FirstStart {
    key: KeyRow,
    service_keys: ServiceKeysRow,
}

const FIRST_KEY: KeyId = KeyId(1);

impl FirstStart {
    /// Writes the keys and the first environments.
    pub fn write(
        &self,
        tx: &mut Tx<'_>,
        environments: &[EnvironmentName],
        now: Timestamp,
    ) -> Result<(), Error> {
        tx.put::<Keys>(&FIRST_KEY, &self.key);
        tx.put::<ServiceKeysTable>(&(), &self.service_keys);
        for name in environments {
            let new = NewEnvironment { name: name.clone(), display_name: DisplayName::default() };
            environments::put_new(tx, environments::new_id(Random, now)?, new, now)?;
        }
        Ok(())
    }
}

/// The fingerprint of the root key that a database is sealed under, of the new
/// one while it changes; `None` for an empty one.
pub fn sealed_under(opened: &Opened) -> Result<Option<Fingerprint>, ReadError> {
    let newest = opened.scan::<Keys>(&[], None).last().transpose()?;
    Ok(newest.map(|(_, row)| Fingerprint(row.root_fingerprint)))
}

/// Walks the audit log of a database that is not being written. A log that
/// does not hold is an answer, not an error.
pub fn verify_audit<'a>(
    opened: &impl View,
    roots: impl Into<RootKeys<'a>>,
) -> Result<Verification, UnlockError> {
    Ok(keys_and_audit(opened, roots.into())?.1)
}

/// Likewise, with the keys.
pub(in crate::vault) fn keys_and_audit(
    opened: &impl View,
    roots: RootKeys<'_>,
) -> Result<(Keyring, Verification), UnlockError> {
    let (keyring, services) = services(opened, roots)?;
    let (start, head) = (stored_start(opened)?, stored_head(opened)?);
    let found = verify_rows(opened, &services.audit, start.as_ref(), head.as_ref(), u64::MAX)?;
    Ok((keyring, found))
}

/// The keys of a database that has some.
pub(in crate::vault) fn services(
    opened: &impl View,
    roots: RootKeys<'_>,
) -> Result<(Keyring, ServiceKeys), UnlockError> {
    let keyring = load_keyring(opened, roots)?.ok_or(UnlockError::DamagedKeys)?;
    let row = opened.get::<ServiceKeysTable>(&())?.ok_or(UnlockError::DamagedKeys)?;
    let services = ServiceKeys::load(&keyring, &row).map_err(|_| UnlockError::DamagedKeys)?;
    Ok((keyring, services))
}

/// The rows of a database that is not being written, with a number above
/// `after`, oldest first. Needs no key.
pub fn export_audit(
    opened: &Opened,
    after: u64,
) -> impl Iterator<Item = Result<ExportedRow, ReadError>> {
    export_rows(opened, after)
}

/// The marker. One that does not decode is one whose seal does not hold.
pub(in crate::vault) fn stored_start(view: &impl View) -> Result<Option<Start>, ReadError> {
    let zero = Mac([0; 32]);
    let damaged = Start { seq: 0, mac: zero, at: Timestamp::from_millis(0), seal: zero };
    match view.get::<AuditStart>(&()) {
        Err(ReadError::Damaged { .. }) => Ok(Some(damaged)),
        found => Ok(found?.map(|row| row.start())),
    }
}

/// The head. One that does not decode is none.
pub(in crate::vault) fn stored_head(view: &impl View) -> Result<Option<Head>, ReadError> {
    match view.get::<AuditHead>(&()) {
        Err(ReadError::Damaged { .. }) => Ok(None),
        found => Ok(found?.map(|row| row.head())),
    }
}

/// A row as a walk takes it; `None` when there is none under this number.
pub(in crate::vault) fn stored_row(
    view: &impl View,
    seq: u64,
) -> Result<Option<StoredRow>, ReadError> {
    match view.get::<AuditRows>(&seq) {
        Ok(found) => Ok(found.map(|row| (seq, Some((row.mac(), row.body))))),
        Err(ReadError::Damaged { .. }) => Ok(Some((seq, None))),
        Err(error) => Err(error),
    }
}

/// Walks the stored rows. Those behind `last` are passed over: while a server
/// writes, there are newer ones than the head that was read.
pub(in crate::vault) fn verify_rows(
    view: &impl View,
    key: &AuditKey,
    start: Option<&Start>,
    head: Option<&Head>,
    last: u64,
) -> Result<Verification, ReadError> {
    let mut next = start.map_or(0, |start| start.seq);
    let known = |seq: &Result<u64, ReadError>| seq.as_ref().map_or(true, |seq| *seq <= last);
    let rows = view.keys::<AuditRows>(&[]).take_while(known).filter_map(|seq| {
        next = next.saturating_add(1);
        match seq {
            Ok(seq) => stored_row(view, seq).transpose(),
            // Stored under what is no number: damage where the walk is now.
            Err(ReadError::Damaged { .. }) => Some(Ok((next, None))),
            Err(error) => Some(Err(error)),
        }
    });
    audit::verify(key, start, head, rows)
}

/// Whether the stored head is the end of the stored rows. An older one, put
/// back with its own good seal, would let new rows overwrite those behind it.
fn check_end(opened: &Opened, head: Option<&Head>) -> Result<(), UnlockError> {
    let Some(head) = head else { return Ok(()) };
    let broken = |seq, what| Err(Broken { seq, what }.into());
    match opened.scan::<AuditRows>(&[], Some(&head.seq.to_be_bytes())).next() {
        None => {}
        Some(Ok((seq, _))) => return broken(seq, "the row comes after the head"),
        Some(Err(ReadError::Damaged { .. })) => {
            return broken(head.seq.saturating_add(1), "the row comes after the head");
        }
        Some(Err(error)) => return Err(error.into()),
    }
    match opened.get::<AuditRows>(&head.seq) {
        Ok(Some(row)) if row.mac() == head.mac => Ok(()),
        Ok(_) | Err(ReadError::Damaged { .. }) => {
            broken(head.seq, "the row is not the one of the head")
        }
        Err(error) => Err(error.into()),
    }
}

/// Loads the keys (or makes them, for an empty database) and starts the writer.
pub fn unlock<'a>(
    opened: Opened,
    roots: impl Into<RootKeys<'a>>,
    now: Timestamp,
) -> Result<Unlocked, UnlockError> {
    let roots = roots.into();
    let (keyring, service_keys, first_start) = match load_keyring(&opened, roots)? {
        Some(keyring) => {
            let row = opened.get::<ServiceKeysTable>(&())?.ok_or(UnlockError::DamagedKeys)?;
            (keyring, row, None)
        }
        // Without keys there must be nothing at all; else the keys were removed.
        None if !opened.is_empty() => return Err(UnlockError::DamagedKeys),
        None => {
            let key = Keyring::new_row(roots.current, Random, now).map_err(UnlockError::Other)?;
            let keyring = Keyring::load(roots, [(FIRST_KEY, key.clone())])
                .ok()
                .flatten()
                .expect("a key row made from this root key loads under it");
            let row = ServiceKeys::generate(&keyring, Random).map_err(UnlockError::Other)?;
            (keyring, row.clone(), Some(FirstStart { key, service_keys: row }))
        }
    };
    let services =
        ServiceKeys::load(&keyring, &service_keys).map_err(|_| UnlockError::DamagedKeys)?;
    let keychain = Keychain::new(keyring, roots, &services.token);
    let database = DatabaseId::of(&services.token);
    let audit_key = services.audit.clone();
    let chain = if first_start.is_some() {
        Chain::start(services.audit)
    } else {
        let head = opened.get::<AuditHead>(&())?.map(|row| row.head());
        check_end(&opened, head.as_ref())?;
        Chain::resume(services.audit, head.as_ref())?
    };
    let store = opened.start(chain).map_err(UnlockError::Thread)?;
    Ok(Unlocked {
        store: Arc::new(store),
        token_key: services.token,
        first_start,
        keyring: Arc::new(keychain),
        audit_key,
        backup_key: Arc::new(roots.current.backup_key()),
        database,
    })
}
