//! The vault: the only room where plaintext exists.
//!
//! Owns: the verbs on environments, secrets and vars; the policy that decides
//! about them; the keys and the cipher.
//! Must never: return plaintext by any other way than `reveal` (to a person,
//! by a `policy::Revealable` ticket); know HTTP; trust a flag in the
//! database that the cipher does not confirm.
//! Called by: `http`, one verb per request; `access` and `cli` at the start.
//! Uses `store` for rows.
//!
//! A verb takes a [`Permit`]: proof that the caller was authorised for its
//! level and place. Checks that depend on the row are made inside the writer,
//! where nothing can change between the check and the write.

pub mod backup;
mod crypto;
mod deliver;
mod effective_access;
mod error;
mod guarded_change;
mod idempotency;
mod keys;
mod lookup;
mod maintenance;
mod plaintext;
mod policy;
mod verbs;

pub use crypto::backup_key::BackupKey;
pub use crypto::keyring::{BadRootKey, Fingerprint, RootKey, RootKeys, TokenKey};
pub use crypto::passphrase::{BadPassphrase, BadSealedKey, NotSealed, Passphrase, SealedRootKey};
pub use crypto::random::Random;
pub use crypto::recipients::{
    BadRecipient, Identities, Recipient, Unopened as UnopenedSeal, generate_identity,
};
pub use deliver::{
    Bundle, BundleError, Enrolment, Filled, Form as FileForm, NotFilled, SealedBundle, ToFile,
    ToRecipients, name_digest,
};
pub use effective_access::{check_standing, label, session_principal, token_principal};
pub use error::Error;
pub use guarded_change::GuardedChange;
pub use idempotency::{HasOutcome, Known, Outcome, Receipt, Render};
pub use keys::rotation::{KeyInfo, KeyStatus, RotationBegun, RotationInfo};
pub use keys::unlock::{
    DatabaseId, FirstStart, UnlockError, Unlocked, export_audit, sealed_under, unlock, verify_audit,
};
pub use lookup::Page;
pub use maintenance::audit_log::{AuditPage, AuditQuery, ExportedRow};
pub use maintenance::doctor::{Examined, examine_repaired, examine_stopped};
pub use maintenance::repair::{record_compaction, repair, repair_index};
pub use maintenance::retention::PruneError;
pub use maintenance::status::{Extent, Status};
pub use plaintext::{Plaintext, Revealed};
pub use policy::{Administer, Caller, InScope, Level, Own, Permit, Read, Reveal, Target, Write};
pub use verbs::copy::{Copied, CopyOutcome, CopyRefusal, Copying};
pub use verbs::environments::NewEnvironment;
pub use verbs::import::{
    Import, ImportReport, Imported, ImportedSecret, Outcome as ImportOutcome, read_dotenv,
};
pub use verbs::secrets::{NewSecret, SecretPatch};
pub use verbs::settings::SettingsPatch;
pub use verbs::value::{Alphabet, Generate, NewValue};
pub use verbs::vars::{NewVar, VarPatch};

pub use crate::audit::Verification;
pub use crate::store::Unavailable;

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::audit::{Action, AuditKey, Draft};
use crate::domain::{Clock, EnvironmentId, Origin, Principal, Timestamp};
use crate::store::{Store, Tx};

use crypto::keyring::Keychain;

/// What the configuration may limit.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest value, in bytes of UTF-8.
    pub value_bytes: usize,
    /// How many versions of a secret are kept.
    pub versions_kept: u32,
}

/// The room itself.
#[derive(Debug)]
pub struct Vault {
    store: Arc<Store>,
    keyring: Arc<Keychain>,
    audit_key: AuditKey,
    /// Walks over the whole audit log, or all rows, that may go on at a time.
    walks: Semaphore,
    /// Bundles that may be sealed at a time.
    deliveries: Semaphore,
    /// Backups that may go on at a time: one.
    backups: Arc<Semaphore>,
    backup_key: Arc<BackupKey>,
    database: DatabaseId,
    clock: Arc<dyn Clock>,
    random: Random,
    limits: Limits,
}

impl Vault {
    /// Puts the parts together.
    pub fn new(unlocked: &Unlocked, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self {
            store: Arc::clone(&unlocked.store),
            keyring: Arc::clone(&unlocked.keyring),
            audit_key: unlocked.audit_key.clone(),
            walks: Semaphore::new(2),
            deliveries: Semaphore::new(2),
            backups: Arc::new(Semaphore::new(1)),
            backup_key: Arc::clone(&unlocked.backup_key),
            database: unlocked.database,
            clock,
            random: Random,
            limits,
        }
    }

    /// What the configuration limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Which database this is.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// The time by which this vault goes.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a write would be taken now, and if not, why.
    pub fn writable(&self) -> Result<(), Unavailable> {
        self.store.writable()
    }

    /// Resolves when nothing can be written any more; see [`Store::failed`].
    pub async fn failed(&self) {
        self.store.failed().await;
    }

    /// See [`Store::leak_until_exit`].
    pub fn leak_until_exit(&self) {
        self.store.leak_until_exit();
    }

    /// Finishes the writes that are queued and closes the files; see
    /// [`Store::close`].
    pub fn close(&self) -> Result<(), Unavailable> {
        self.store.close()
    }

    /// See [`Store::revision`].
    pub fn revision(&self, environment: EnvironmentId) -> u64 {
        self.store.revision(environment)
    }

    /// See [`Store::changes`].
    pub fn changes(&self) -> watch::Receiver<()> {
        self.store.changes()
    }

    /// Writes an audit row about something that was refused.
    async fn record_refused(&self, draft: Draft) -> Result<(), Error> {
        self.store.record::<Error>(draft).as_refusal().commit().await.map_err(Error::from)
    }

    /// Writes an audit row about what the server itself does.
    pub async fn record_host(
        &self,
        action: Action,
        details: &serde_json::Value,
    ) -> Result<(), Error> {
        let draft = Draft::new(action, &Principal::host(), &Origin::host(), self.now());
        let draft = draft.details(details);
        self.store.record::<Error>(draft).from_reserve().commit().await.map_err(Error::from)
    }

    /// A change on behalf of a permit's caller.
    fn change<'a, L: Level, F, D>(
        &'a self,
        permit: &'a Permit<L>,
        run: F,
    ) -> GuardedChange<'a, L, F>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, Error> + Send + 'static,
    {
        GuardedChange::new(&self.store, permit, self.now(), run)
    }
}
