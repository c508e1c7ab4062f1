//! Sealing and opening values.
//!
//! ```text
//! data key    32 random bytes, used for one sealing and never again
//! value       AES-256-GCM(data key, nonce 0, value AAD, plaintext) | tag
//! wrapped     AES-256-GCM(wrapping key, random nonce, key AAD, data key) | tag
//!
//! value AAD = "coffer value v1\0"    | environment 16 | secret 16 | version u32 BE | key
//! key AAD   = "coffer data key v1\0" | mode u8 | environment 16 | secret 16 | version u32 BE | key
//! mode      = 1 revealable, 2 never-reveal
//! ```
//!
//! A data key seals exactly one value, so its nonce is zero.
//!
//! The label carries the format version, and every part but the last has a fixed width, so no two
//! bindings share an AAD. A value opens only with its data key, which unwraps only under the same
//! environment, secret, version, key *and reveal mode*: bytes moved between rows, or a flag flipped
//! in the database, make a value that does not open. The mode is bound where the data key is
//! wrapped, and not again around the value, so that latching a secret rewraps 32 bytes for each
//! version and leaves nothing sealed the old way.
//!
//! Must never: return plaintext, except to the ticket holders in [`reveal`] and [`deliver`]. `open`
//! is private; resealing goes from ciphertext to ciphertext inside this file.

use ring::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use crate::domain::RevealMode;
use crate::store::WrappedKey;

use crate::vault::crypto::kdf::{KeyBytes, aead};
use crate::vault::crypto::keyring::{CannotOpen, Keyring};
use crate::vault::crypto::random::Random;
use crate::vault::error::Error;
use crate::vault::fingerprint::Fingerprint;
use crate::vault::plaintext::{Plaintext, Revealed};
use crate::vault::policy::{Deliverable, Revealable, Ticket};
use crate::vault::secret_rows::{Binding, SealedValue};

fn aad(binding: &Binding, label: &[u8], mode: Option<u8>) -> Vec<u8> {
    let mut aad = Vec::with_capacity(label.len() + 37 + binding.key.as_str().len());
    aad.extend(label);
    aad.extend(mode);
    aad.extend(binding.environment.to_bytes());
    aad.extend(binding.secret.to_bytes());
    aad.extend(binding.version.get().to_be_bytes());
    aad.extend(binding.key.as_str().as_bytes());
    aad
}

fn value_aad(binding: &Binding) -> Vec<u8> {
    aad(binding, b"coffer value v1\0", None)
}

fn key_aad(binding: &Binding) -> Vec<u8> {
    let mode = match binding.mode {
        RevealMode::Revealable => 1,
        RevealMode::NeverReveal => 2,
    };
    aad(binding, b"coffer data key v1\0", Some(mode))
}

/// Returns the nonce of a value. A data key seals once, so one nonce is enough.
fn value_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Seals a value under a new data key.
pub(in crate::vault) fn seal(
    keyring: &Keyring,
    random: Random,
    binding: &Binding,
    plaintext: Plaintext,
) -> Result<SealedValue, Error> {
    seal_bytes(keyring, random, binding, plaintext.expose())
}

fn seal_bytes(
    keyring: &Keyring,
    random: Random,
    binding: &Binding,
    mut bytes: Zeroizing<Vec<u8>>,
) -> Result<SealedValue, Error> {
    let key: KeyBytes = random.secret()?;
    // Sealing overwrites the plaintext in its own buffer. The tag is appended in a second step, so
    // a buffer that has to grow no longer contains plaintext when it moves.
    let tag = aead(&key)
        .seal_in_place_separate_tag(
            value_nonce(),
            Aad::from(value_aad(binding)),
            bytes.as_mut_slice(),
        )
        .expect("AES-GCM seals far more than the largest body");
    let mut ciphertext = std::mem::take(&mut *bytes);
    ciphertext.extend_from_slice(tag.as_ref());
    let data_key = keyring.wrap(random, &key, &key_aad(binding))?;
    Ok(SealedValue { data_key, ciphertext })
}

/// Opens a value for a person.
pub(in crate::vault) fn reveal(keyring: &Keyring, ticket: Revealable) -> Result<Revealed, Error> {
    open_text(keyring, ticket).map(Revealed::new)
}

/// Opens a value for delivery to an enrolment.
pub(in crate::vault) fn deliver(
    keyring: &Keyring,
    ticket: Deliverable,
) -> Result<Zeroizing<String>, Error> {
    open_text(keyring, ticket)
}

/// Checks that a ticket's value will open, before an audit row says that it was handed out. The
/// plaintext is erased before this returns.
pub(in crate::vault) fn check<To>(keyring: &Keyring, ticket: &Ticket<To>) -> Result<(), Error> {
    let (binding, sealed) = ticket.parts();
    open(keyring, binding, sealed.clone())?;
    Ok(())
}

/// Checks that a value opens where it is stored. The plaintext is erased before this returns.
pub(in crate::vault) fn opens(
    keyring: &Keyring,
    binding: &Binding,
    sealed: SealedValue,
) -> Result<(), CannotOpen> {
    open(keyring, binding, sealed).map(drop)
}

/// Seals a value again for another version or another secret, without showing it to anyone. Every
/// copy of a value goes through here, so here is where a never-reveal value is kept from becoming
/// revealable, whatever the caller asks for.
pub(in crate::vault) fn reseal(
    keyring: &Keyring,
    random: Random,
    from: &Binding,
    sealed: SealedValue,
    to: &Binding,
) -> Result<SealedValue, Error> {
    if from.mode.never_reveal() && !to.mode.never_reveal() {
        return Err(Error::NeverRevealIsPermanent);
    }
    let bytes = open(keyring, from, sealed)?;
    seal_bytes(keyring, random, to, bytes)
}

/// Latches a version: rewraps its data key as never-reveal.
pub(in crate::vault) fn latch(
    keyring: &Keyring,
    random: Random,
    from: &Binding,
    data_key: &WrappedKey,
) -> Result<WrappedKey, Error> {
    let to = Binding { mode: RevealMode::NeverReveal, ..from.clone() };
    let key = keyring.unwrap(data_key, &key_aad(from))?;
    keyring.wrap(random, &key, &key_aad(&to))
}

/// Rewraps a data key under the active wrapping key, for exactly the binding it was wrapped for. A
/// key that does not unwrap for `binding` is refused: otherwise a row that was moved, or whose flag
/// was flipped, would open afterwards.
pub(in crate::vault) fn rewrap(
    keyring: &Keyring,
    random: Random,
    binding: &Binding,
    data_key: &WrappedKey,
) -> Result<WrappedKey, Error> {
    keyring.rewrap(random, data_key, &key_aad(binding))
}

/// Returns the mode that a data key was wrapped for, whatever the secret's row says now; `None` if
/// it unwraps for neither.
pub(in crate::vault) fn sealed_mode(
    keyring: &Keyring,
    binding: &Binding,
    data_key: &WrappedKey,
) -> Option<RevealMode> {
    [RevealMode::NeverReveal, RevealMode::Revealable].into_iter().find(|mode| {
        let binding = Binding { mode: *mode, ..binding.clone() };
        keyring.unwrap(data_key, &key_aad(&binding)).is_ok()
    })
}

fn open_text<To>(keyring: &Keyring, ticket: Ticket<To>) -> Result<Zeroizing<String>, Error> {
    let (binding, sealed) = ticket.into_parts();
    let key = fingerprint(keyring, &sealed);
    let bytes = open(keyring, &binding, sealed)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::Unreadable { key })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn open(
    keyring: &Keyring,
    binding: &Binding,
    sealed: SealedValue,
) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
    let damaged = CannotOpen(fingerprint(keyring, &sealed));
    let key = keyring.unwrap(&sealed.data_key, &key_aad(binding))?;
    let mut bytes = Zeroizing::new(sealed.ciphertext);
    let length = aead(&key)
        .open_in_place(value_nonce(), Aad::from(value_aad(binding)), bytes.as_mut_slice())
        .map_err(|_| damaged)?
        .len();
    bytes.truncate(length);
    Ok(bytes)
}

fn fingerprint(keyring: &Keyring, sealed: &SealedValue) -> Fingerprint {
    // The zero fingerprint is never reported: `unwrap` fails first, and names the key by number.
    keyring.fingerprint(sealed.data_key.key).unwrap_or(Fingerprint([0; 8]))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{EnvironmentId, KeyName, SecretId, Timestamp, Version};
    use crate::store::KeyId;
    use crate::vault::crypto::root_key::RootKey;

    fn keyring() -> Keyring {
        let text = base64::engine::general_purpose::STANDARD.encode([7; 32]);
        let root = RootKey::parse(&text).unwrap();
        let row = Keyring::new_row(&root, Random, Timestamp::from_millis(0)).unwrap();
        Keyring::load((&root).into(), [(KeyId(1), row)]).unwrap().unwrap()
    }

    fn plaintext(bytes: &[u8]) -> Plaintext {
        Plaintext::new(Zeroizing::new(bytes.to_vec()))
    }

    prop_compose! {
        fn binding()(
            environment in 0u8..2, secret in 0u8..2, key in "[A-B][0-1]{0,2}",
            version in 1u32..3, never in any::<bool>(),
        ) -> Binding {
            Binding {
                environment: EnvironmentId::from_bytes([environment; 16]),
                secret: SecretId::from_bytes([secret; 16]),
                key: KeyName::parse(&key).unwrap(),
                version: Version::new(version).unwrap(),
                mode: RevealMode::from_never_reveal(never),
            }
        }
    }

    proptest! {
        /// Two bindings share a key AAD only if they are equal, and a value AAD only if they
        /// differ in nothing but the mode.
        #[test]
        fn the_aad_is_injective(a in binding(), b in binding()) {
            prop_assert_eq!(key_aad(&a) == key_aad(&b), a == b);
            let b_with_mode_of_a = Binding { mode: a.mode, ..b.clone() };
            prop_assert_eq!(value_aad(&a) == value_aad(&b), a == b_with_mode_of_a);
        }

        /// A value sealed for one binding opens for that binding and for no other.
        #[test]
        fn a_value_opens_only_where_it_was_sealed(
            a in binding(), b in binding(), value in prop::collection::vec(any::<u8>(), 1..64),
        ) {
            let keyring = keyring();
            let sealed = seal(&keyring, Random, &a, plaintext(&value)).unwrap();
            prop_assert_eq!(&*open(&keyring, &a, sealed.clone()).unwrap(), &value);
            prop_assert_eq!(open(&keyring, &b, sealed).is_ok(), a == b);
        }

        /// A rewrap changes the wrapping key and nothing else: the value still opens, for its own
        /// binding only, and a key that does not unwrap is refused.
        #[test]
        fn rewrapping_keeps_the_binding(
            a in binding(), b in binding(), value in prop::collection::vec(any::<u8>(), 1..64),
        ) {
            let old = keyring();
            let sealed = seal(&old, Random, &a, plaintext(&value)).unwrap();
            let new = old.with_new(Random, Timestamp::from_millis(0)).unwrap().1;
            let moved = rewrap(&new, Random, &b, &sealed.data_key);
            prop_assert_eq!(moved.is_ok(), a == b);
            let rewrapped = rewrap(&new, Random, &a, &sealed.data_key).unwrap();
            prop_assert_eq!(rewrapped.key, KeyId(2));
            let rewrapped = SealedValue { data_key: rewrapped, ..sealed.clone() };
            prop_assert_eq!(&*open(&new, &a, rewrapped.clone()).unwrap(), &value);
            prop_assert_eq!(open(&new, &b, rewrapped.clone()).is_ok(), a == b);
            // The old wrapping key is no longer needed, and without it the old wrapping does not
            // open.
            let alone = new.without(KeyId(1));
            prop_assert!(open(&alone, &a, rewrapped).is_ok());
            prop_assert!(open(&alone, &a, sealed).is_err());
        }

        /// A stored value with a changed byte does not open.
        #[test]
        fn an_edited_value_does_not_open(
            a in binding(), value in prop::collection::vec(any::<u8>(), 1..64),
            at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let keyring = keyring();
            let mut sealed = seal(&keyring, Random, &a, plaintext(&value)).unwrap();
            let at = at.index(sealed.ciphertext.len());
            sealed.ciphertext[at] ^= flip;
            prop_assert!(open(&keyring, &a, sealed).is_err());
        }
    }

    #[test]
    fn latching_and_resealing_keep_the_value() {
        let keyring = keyring();
        let open_mode = Binding {
            environment: EnvironmentId::from_bytes([1; 16]),
            secret: SecretId::from_bytes([2; 16]),
            key: KeyName::parse("A").unwrap(),
            version: Version::FIRST,
            mode: RevealMode::Revealable,
        };
        let never = Binding { mode: RevealMode::NeverReveal, ..open_mode.clone() };
        let mut sealed = seal(&keyring, Random, &open_mode, plaintext(b"v")).unwrap();
        sealed.data_key = latch(&keyring, Random, &open_mode, &sealed.data_key).unwrap();
        assert!(open(&keyring, &open_mode, sealed.clone()).is_err());

        let second = Binding { version: Version::new(2).unwrap(), ..never.clone() };
        let moved = reseal(&keyring, Random, &never, sealed, &second).unwrap();
        assert_eq!(&*open(&keyring, &second, moved).unwrap(), b"v");
    }

    proptest! {
        /// Resealing for another secret, in another environment, keeps the value, binds it to the
        /// new secret alone, and never makes it revealable.
        #[test]
        fn resealing_never_loosens(a in binding(), b in binding()) {
            let keyring = keyring();
            let sealed = seal(&keyring, Random, &a, plaintext(b"v")).unwrap();
            let moved = reseal(&keyring, Random, &a, sealed.clone(), &b);
            let loosened = a.mode.never_reveal() && !b.mode.never_reveal();
            prop_assert_eq!(moved.is_ok(), !loosened);
            if let Ok(moved) = moved {
                prop_assert_eq!(open(&keyring, &a, moved.clone()).is_ok(), a == b);
                prop_assert_eq!(&*open(&keyring, &b, moved).unwrap(), b"v");
            }
            // A value that does not open for its source binding is refused.
            if a != b {
                prop_assert!(reseal(&keyring, Random, &b, sealed, &b).is_err());
            }
        }
    }
}
