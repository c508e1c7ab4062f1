//! Keys: the root key, and those that are made from it or wrapped under it.
//!
//! ```text
//! root key        32 bytes from the operator; never stored by the database
//! fingerprint     HKDF(root, salt "coffer fingerprint v1", info "root key")[0..8]
//! wrapping key    HKDF(root, salt from KeyRow (random 32), info "coffer wrapping key v1")
//! service keys    32 random bytes each (audit, token), wrapped
//! backup key      HKDF(root, salt "coffer backup v1", info "backup key")
//! database id     HKDF(token key, salt "coffer database v1", info "id")[0..4]; no secret
//! receipt key     HKDF(token key, salt "coffer receipts v1", info "mac key")
//! data key        32 random bytes for one version of one secret, wrapped
//! wrapped key     AES-256-GCM(wrapping key, random nonce, aad, key)
//! ```
//!
//! HKDF is HKDF-SHA256 (RFC 5869). A wrapping key seals short keys only, so the
//! 2^32 messages that random 96-bit nonces allow (NIST SP 800-38D, 8.3) are far
//! away. Without a KeyRow's salt the root key does not give its wrapping key.
//!
//! Owns: which wrapping keys are loaded, and which one is in force. The current
//! root key stays in memory, for the next wrapping key.
//! Must never: print key bytes, or return them from the vault.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use zeroize::Zeroizing;

use crate::store::{KeyId, KeyRow, WrappedKey};

use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;

const KEY_BYTES: usize = 32;

/// 32 bytes of key. Erased when dropped.
pub(in crate::vault) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Tells keys apart without giving them away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 8]);

impl Fingerprint {
    /// From the 16 hexadecimal digits that it is shown as.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        if text.len() != 16 || !text.is_ascii() {
            return None;
        }
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRootKey {
    /// Not base64.
    #[error("the root key is not base64")]
    NotBase64,
    /// Not 32 bytes.
    #[error("the root key must be 32 bytes, that is 44 characters of base64")]
    NotThatLong,
    /// The most common placeholder.
    #[error("the root key is all zeros")]
    AllZero,
}

/// The root key.
pub struct RootKey(KeyBytes);

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({})", self.fingerprint())
    }
}

impl RootKey {
    /// From base64 (RFC 4648, section 4, padded) with blanks around it.
    pub fn parse(text: &str) -> Result<Self, BadRootKey> {
        let bytes = Zeroizing::new(BASE64.decode(text.trim()).map_err(|_| BadRootKey::NotBase64)?);
        let array =
            <&[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| BadRootKey::NotThatLong)?;
        if array.iter().all(|byte| *byte == 0) {
            return Err(BadRootKey::AllZero);
        }
        Ok(Self(Zeroizing::new(*array)))
    }

    /// A new one.
    pub fn generate(random: Random) -> Result<Self, Error> {
        random.secret().map(Self)
    }

    /// The text that [`RootKey::parse`] reads, for the key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.0.as_slice()))
    }

    pub(in crate::vault) fn from_bytes(bytes: KeyBytes) -> Self {
        Self(bytes)
    }

    pub(in crate::vault) fn bytes(&self) -> &KeyBytes {
        &self.0
    }

    /// The key that backups are sealed under. A server keeps this one and not
    /// the root key; neither can be worked out from a file's keys.
    pub fn backup_key(&self) -> BackupKey {
        let key = derive(&self.0, b"coffer backup v1", b"backup key");
        BackupKey::new(key, self.fingerprint())
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        let key = derive(&self.0, b"coffer fingerprint v1", b"root key");
        let (head, _) = key.split_first_chunk().expect("32 bytes begin with 8");
        Fingerprint(*head)
    }
}

struct ThirtyTwo;

impl KeyType for ThirtyTwo {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

pub(in crate::vault) fn derive(secret: &KeyBytes, salt: &[u8], info: &[u8]) -> KeyBytes {
    let mut out = Zeroizing::new([0; KEY_BYTES]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret.as_slice())
        .expand(&[info], ThirtyTwo)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA256 gives up to 8160 bytes, and 32 are asked for");
    out
}

pub(in crate::vault) fn aead(key: &KeyBytes) -> LessSafeKey {
    LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("an AES-256 key is 32 bytes long"),
    )
}

/// A key or value that does not open, and the key that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) struct Unopened(pub Fingerprint);

impl From<Unopened> for Error {
    fn from(Unopened(key): Unopened) -> Self {
        Error::Unreadable { key }
    }
}

/// The key that API tokens are hashed with.
pub struct TokenKey(pub(in crate::vault) KeyBytes);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// The bytes, for `access` to hash with.
    pub fn bytes(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }
}

/// The root keys that were given: the one that counts, and beside it, while the
/// root key changes, the one before it.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct RootKeys<'a> {
    pub current: &'a RootKey,
    pub previous: Option<&'a RootKey>,
}

impl<'a> From<&'a RootKey> for RootKeys<'a> {
    fn from(current: &'a RootKey) -> Self {
        Self { current, previous: None }
    }
}

impl<'a> RootKeys<'a> {
    pub(in crate::vault) fn find(&self, wanted: Fingerprint) -> Option<&'a RootKey> {
        let given = [Some(self.current), self.previous];
        given.into_iter().flatten().find(|key| key.fingerprint() == wanted)
    }
}

/// No root key was given for a wrapping key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vault) struct Unrooted {
    /// The root key that it needs.
    pub wanted: Fingerprint,
    /// Whether another wrapping key got its own: a change of the root key is
    /// not finished.
    pub partly: bool,
}

struct WrappingKey {
    key: LessSafeKey,
    root: Fingerprint,
}

/// Every wrapping key that the root keys give, the newest in force. It never
/// changes; [`Keychain`] has the one of the moment.
#[derive(Clone)]
pub(in crate::vault) struct Keyring {
    wrapping: BTreeMap<KeyId, Arc<WrappingKey>>,
    active: KeyId,
    /// What new wrapping keys are made of.
    root: Arc<RootKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Keyring {
    /// From the stored rows. The newest key is in force. `None` when there is
    /// no row.
    pub fn load(
        roots: RootKeys<'_>,
        rows: impl IntoIterator<Item = (KeyId, KeyRow)>,
    ) -> Result<Option<Self>, Unrooted> {
        let mut wrapping = BTreeMap::new();
        let mut missing = None;
        for (id, row) in rows {
            let wanted = Fingerprint(row.root_fingerprint);
            match roots.find(wanted) {
                Some(root) => {
                    wrapping.insert(id, Arc::new(Self::wrapping_key(root, &row)));
                }
                None => missing = missing.or(Some(wanted)),
            }
        }
        if let Some(wanted) = missing {
            return Err(Unrooted { wanted, partly: !wrapping.is_empty() });
        }
        let root = Arc::new(RootKey(roots.current.0.clone()));
        let active = wrapping.last_key_value().map(|(id, _)| *id);
        Ok(active.map(|active| Self { wrapping, active, root }))
    }

    /// The row of a new wrapping key.
    pub fn new_row(
        root: &RootKey,
        random: Random,
        now: crate::domain::Timestamp,
    ) -> Result<KeyRow, Error> {
        Ok(KeyRow {
            salt: random.bytes()?,
            root_fingerprint: root.fingerprint().0,
            created_at: now,
        })
    }

    fn wrapping_key(root: &RootKey, row: &KeyRow) -> WrappingKey {
        WrappingKey {
            key: aead(&derive(&root.0, &row.salt, b"coffer wrapping key v1")),
            root: Fingerprint(row.root_fingerprint),
        }
    }

    /// These keys and a new one under the current root key, which is in force;
    /// and the row to store.
    pub fn with_new(
        &self,
        random: Random,
        now: crate::domain::Timestamp,
    ) -> Result<(KeyRow, Self), Error> {
        let active = KeyId(self.active.0.checked_add(1).ok_or(Error::KeysExhausted)?);
        let row = Self::new_row(&self.root, random, now)?;
        let mut wrapping = self.wrapping.clone();
        wrapping.insert(active, Arc::new(Self::wrapping_key(&self.root, &row)));
        Ok((row, Self { wrapping, active, root: Arc::clone(&self.root) }))
    }

    /// These keys without one that is not in force.
    pub fn without(&self, id: KeyId) -> Self {
        let mut keyring = self.clone();
        keyring.wrapping.retain(|key, _| *key != id || *key == self.active);
        keyring
    }

    /// The key in force.
    pub fn active(&self) -> KeyId {
        self.active
    }

    /// The root key that new wrapping keys are made of.
    pub fn root(&self) -> Fingerprint {
        self.root.fingerprint()
    }

    /// Wraps again, under the key in force, what opens for this `aad`.
    pub fn rewrap(
        &self,
        random: Random,
        wrapped: &WrappedKey,
        aad: &[u8],
    ) -> Result<WrappedKey, Error> {
        let key = self.unwrap(wrapped, aad)?;
        self.wrap(random, &key, aad)
    }

    /// Wraps a key. `aad` says what the key is for; only the same `aad` unwraps it.
    pub fn wrap(&self, random: Random, key: &KeyBytes, aad: &[u8]) -> Result<WrappedKey, Error> {
        let nonce = random.bytes()?;
        let (sealed, tag) = seal_key(&self.wrapping[&self.active].key, nonce, aad, key);
        Ok(WrappedKey { key: self.active, nonce, sealed, tag })
    }

    /// Unwraps a key.
    pub fn unwrap(&self, wrapped: &WrappedKey, aad: &[u8]) -> Result<KeyBytes, Unopened> {
        // A key that is not loaded has no fingerprint here but its number.
        let unknown = || {
            let mut name = [0; 8];
            name[4..].copy_from_slice(&wrapped.key.0.to_be_bytes());
            Unopened(Fingerprint(name))
        };
        let wrapping = self.wrapping.get(&wrapped.key).ok_or_else(unknown)?;
        open_key(&wrapping.key, wrapped.nonce, aad, (&wrapped.sealed, &wrapped.tag))
            .ok_or(Unopened(wrapping.root))
    }

    /// The fingerprint of the root key behind a wrapping key.
    pub fn fingerprint(&self, id: KeyId) -> Option<Fingerprint> {
        self.wrapping.get(&id).map(|key| key.root)
    }
}

/// Seals 32 bytes: ciphertext and tag.
pub(in crate::vault) fn seal_key(
    under: &LessSafeKey,
    nonce: [u8; 12],
    aad: &[u8],
    key: &KeyBytes,
) -> ([u8; KEY_BYTES], [u8; 16]) {
    // Ciphertext replaces the key in this buffer.
    let mut sealed = Zeroizing::new(**key);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = under
        .seal_in_place_separate_tag(nonce, Aad::from(aad), sealed.as_mut_slice())
        .expect("AES-GCM seals 32 bytes");
    (*sealed, tag.as_ref().try_into().expect("a GCM tag is 16 bytes long"))
}

/// Opens what [`seal_key`] sealed.
pub(in crate::vault) fn open_key(
    under: &LessSafeKey,
    nonce: [u8; 12],
    aad: &[u8],
    (sealed, tag): (&[u8; KEY_BYTES], &[u8; 16]),
) -> Option<KeyBytes> {
    let mut buffer = Zeroizing::new([0; KEY_BYTES + 16]);
    buffer[..KEY_BYTES].copy_from_slice(sealed);
    buffer[KEY_BYTES..].copy_from_slice(tag);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = under.open_in_place(nonce, Aad::from(aad), buffer.as_mut_slice()).ok()?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(opened);
    Some(key)
}

/// The keyring of the moment. Only the writer's thread changes it, as the last
/// thing of a change that cannot fail any more: whatever is wrapped behind that
/// change, in its group or later, is wrapped under the new key.
pub(in crate::vault) struct Keychain {
    now: RwLock<Arc<Keyring>>,
    previous_root: Option<Fingerprint>,
    receipt: hmac::Key,
}

impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keychain").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl Keychain {
    /// With the key that receipts are made with; see `vault::receipts`.
    pub fn new(keyring: Keyring, roots: RootKeys<'_>, token: &TokenKey) -> Self {
        let key = derive(&token.0, b"coffer receipts v1", b"mac key");
        let previous = roots.previous.map(RootKey::fingerprint);
        Self {
            previous_root: previous.filter(|previous| *previous != keyring.root()),
            now: RwLock::new(Arc::new(keyring)),
            receipt: hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
        }
    }

    /// The keys of this moment.
    pub fn now(&self) -> Arc<Keyring> {
        Arc::clone(&self.now.read().expect("no holder of this lock can panic"))
    }

    /// From here on these.
    pub fn change(&self, keyring: Keyring) {
        *self.now.write().expect("no holder of this lock can panic") = Arc::new(keyring);
    }

    /// The root key that was given beside the current one.
    pub fn previous_root(&self) -> Option<Fingerprint> {
        self.previous_root
    }

    /// A MAC for `vault::receipts`.
    pub fn receipt_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.receipt);
        for part in parts {
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_keys_that_are_refused() {
        let bad = |text: &str| RootKey::parse(text).err();
        assert_eq!(bad("not base64!"), Some(BadRootKey::NotBase64));
        assert_eq!(bad(""), Some(BadRootKey::NotThatLong));
        assert_eq!(bad(&BASE64.encode([7; 31])), Some(BadRootKey::NotThatLong));
        assert_eq!(bad(&BASE64.encode([0; 32])), Some(BadRootKey::AllZero));
        assert_eq!(bad(&format!(" {}\n", BASE64.encode([7; 32]))), None);
    }

    #[test]
    fn a_wrapped_key_opens_only_for_what_it_was_wrapped_for() {
        let root = RootKey::parse(&BASE64.encode([7; 32])).unwrap();
        let now = crate::domain::Timestamp::from_millis(0);
        let row = Keyring::new_row(&root, Random, now).unwrap();
        let keyring = Keyring::load((&root).into(), [(KeyId(1), row.clone())]).unwrap().unwrap();
        let key = Random.secret().unwrap();
        let wrapped = keyring.wrap(Random, &key, b"for this").unwrap();
        assert_eq!(*keyring.unwrap(&wrapped, b"for this").unwrap(), *key);
        assert!(keyring.unwrap(&wrapped, b"for that").is_err());

        let other = RootKey::parse(&BASE64.encode([8; 32])).unwrap();
        let unrooted = |rows: Vec<_>| Keyring::load((&other).into(), rows).unwrap_err();
        let wanted = root.fingerprint();
        let one = unrooted(vec![(KeyId(1), row.clone())]);
        assert_eq!(one, Unrooted { wanted, partly: false });
        let new = Keyring::new_row(&other, Random, now).unwrap();
        let both = vec![(KeyId(1), row), (KeyId(2), new)];
        assert_eq!(unrooted(both.clone()), Unrooted { wanted, partly: true });
        let roots = RootKeys { current: &other, previous: Some(&root) };
        let keyring = Keyring::load(roots, both).unwrap().unwrap();
        assert_eq!((keyring.active(), keyring.root()), (KeyId(2), other.fingerprint()));
        assert_eq!(*keyring.unwrap(&wrapped, b"for this").unwrap(), *key);
        assert!(keyring.rewrap(Random, &wrapped, b"for that").is_err());
        let again = keyring.rewrap(Random, &wrapped, b"for this").unwrap();
        assert_eq!(*keyring.without(KeyId(1)).unwrap(&again, b"for this").unwrap(), *key);
        assert!(keyring.without(KeyId(1)).unwrap(&wrapped, b"for this").is_err());
        assert!(keyring.without(KeyId(2)).unwrap(&again, b"for this").is_ok(), "it is in force");
    }
}
