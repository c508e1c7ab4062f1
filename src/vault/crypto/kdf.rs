//! The primitives that every key goes through: HKDF-SHA256 and AES-256-GCM.
//!
//! Must never: choose a salt, a label or a nonce. The caller does, where the format is drawn.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;

/// A 32-byte key, erased when dropped.
pub(in crate::vault) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// HKDF-SHA256(secret, salt, info) -> 32 bytes (RFC 5869)
pub(in crate::vault) fn derive(secret: &KeyBytes, salt: &[u8], info: &[u8]) -> KeyBytes {
    let mut out = Zeroizing::new([0; KEY_BYTES]);
    Salt::new(HKDF_SHA256, salt)
        .extract(secret.as_slice())
        .expand(&[info], KeyLength)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA256 yields up to 8160 bytes, and this asks for 32");
    out
}

/// Prepares a key for AES-256-GCM.
pub(in crate::vault) fn aead(key: &KeyBytes) -> LessSafeKey {
    LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("an AES-256 key is 32 bytes long"),
    )
}

/// AES-256-GCM(under, nonce, aad, key) -> ciphertext and tag
pub(in crate::vault) fn seal_key(
    under: &LessSafeKey,
    nonce: [u8; 12],
    aad: &[u8],
    key: &KeyBytes,
) -> ([u8; KEY_BYTES], [u8; 16]) {
    // Sealing overwrites the key in this buffer.
    let mut sealed = Zeroizing::new(**key);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = under
        .seal_in_place_separate_tag(nonce, Aad::from(aad), sealed.as_mut_slice())
        .expect("AES-GCM seals 32 bytes");
    (*sealed, tag.as_ref().try_into().expect("a GCM tag is 16 bytes long"))
}

/// Opens what [`seal_key`] sealed; `None` if the key, the nonce, the AAD or a byte differs.
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
