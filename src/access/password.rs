//! Passwords: the rule for new ones, and their hashes.
//!
//! ```text
//! hash = Argon2id(password, salt 16, secret = pepper, memory, passes, 1 lane) -> 32 bytes
//! ```
//!
//! Argon2id, version 0x13 (RFC 9106). The pepper makes the hashes of a stolen database useless without
//! the root key.
//!
//! Owns: the number of hashes computed at once, which bounds the memory that they use.
//! Must never: hash on an async thread; keep, log or compare a password itself.
//! Called by: `sessions`, `users`, `registration` and `bootstrap`.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::access::error::Error;
use crate::domain::Violation;
use crate::store::PasswordRow;
use crate::vault::{self, Random, Unavailable};

/// A password as it was entered. Zeroized on drop; implements neither Debug nor Display nor
/// Serialize.
#[allow(missing_debug_implementations)]
pub struct Password(Zeroizing<String>);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Password {
    /// Wraps a text.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

/// A password that follows the rule: 12 to 256 Unicode scalar values.
#[allow(missing_debug_implementations)]
pub struct NewPassword(Password);

impl NewPassword {
    /// Checks the rule, which is about the length only (NIST SP 800-63B, section 5.1.1.2).
    pub fn parse(password: Password) -> Result<Self, Violation> {
        if (12..=256).contains(&password.0.chars().count()) {
            Ok(Self(password))
        } else {
            Err(Violation("must be 12 to 256 characters"))
        }
    }
}

/// The cost of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The memory, in KiB.
    pub memory_kib: u32,
    /// The passes over the memory.
    pub passes: u32,
}

/// The highest cost accepted from a stored row, except that the configuration may allow more memory.
const MAX_STORED_COST: Cost = Cost { memory_kib: 256 << 10, passes: 16 };
/// The most requests that wait for a slot; further ones are refused as overload.
const MAX_WAITING: usize = 512;

/// The right to compute hashes, one at a time. Callers keep it until the outcome has been counted, so
/// that concurrent guesses cannot all be tried before the first one is known to be wrong.
pub(super) struct HashSlot(#[allow(dead_code)] OwnedSemaphorePermit);

/// The result of checking a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PasswordCheck {
    /// The password is wrong.
    Wrong,
    /// The password is right. Has a new row for it if the configured cost has changed.
    Right(Option<PasswordRow>),
}

pub(super) struct Passwords {
    pepper: Arc<Zeroizing<[u8; 32]>>,
    cost: Cost,
    slots: Arc<Semaphore>,
    waiting: Semaphore,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passwords").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Passwords {
    pub fn new(pepper: Zeroizing<[u8; 32]>, cost: Cost) -> Self {
        let at_once = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            pepper: Arc::new(pepper),
            cost,
            slots: Arc::new(Semaphore::new(at_once)),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }

    /// Waits for a slot. Fails if too many requests are waiting.
    pub async fn slot(&self) -> Result<HashSlot, Error> {
        let overloaded = |_| vault::Error::from(Unavailable::TooManyPasswords);
        let _waiting = self.waiting.try_acquire().map_err(overloaded)?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        Ok(HashSlot(slot.expect("the semaphore is never closed")))
    }

    /// Checks a password against a row. Without a row it is wrong, at the same cost. Calls `wrong` if
    /// it is wrong, even if nobody waits for the outcome any more.
    pub async fn verify(
        &self,
        given: Password,
        row: Option<PasswordRow>,
        slot: HashSlot,
        wrong: impl FnOnce() + Send + 'static,
    ) -> Result<(PasswordCheck, HashSlot), Error> {
        let pepper = Arc::clone(&self.pepper);
        let known = row.is_some();
        // No password has this hash; it only has to cost the same.
        let row = row.unwrap_or_else(|| self.row([0; 16], [0; 32]));
        let mut renewed = self.row(Random.bytes().map_err(Error::from)?, [0; 32]);
        let present = self.cost;
        blocking(slot, move || {
            let cost = Cost { memory_kib: row.memory_kib, passes: row.passes };
            let found = hash(&given, &row.salt, cost, (&pepper, present))?;
            let same: bool = found.ct_eq(&row.hash).into();
            if !(same && known) {
                wrong();
                return Ok(PasswordCheck::Wrong);
            }
            if cost == present {
                return Ok(PasswordCheck::Right(None));
            }
            renewed.hash = *hash(&given, &renewed.salt, present, (&pepper, present))?;
            Ok(PasswordCheck::Right(Some(renewed)))
        })
        .await
    }

    /// Hashes a new password.
    pub async fn hash(
        &self,
        new: NewPassword,
        slot: HashSlot,
    ) -> Result<(PasswordRow, HashSlot), Error> {
        let pepper = Arc::clone(&self.pepper);
        let mut row = self.row(Random.bytes().map_err(Error::from)?, [0; 32]);
        let cost = self.cost;
        blocking(slot, move || {
            row.hash = *hash(&new.0, &row.salt, cost, (&pepper, cost))?;
            Ok(row)
        })
        .await
    }

    /// Hashes a new password, for callers without an async runtime.
    pub fn hash_blocking(&self, new: &NewPassword) -> Result<PasswordRow, Error> {
        let mut row = self.row(Random.bytes().map_err(Error::from)?, [0; 32]);
        row.hash = *hash(&new.0, &row.salt, self.cost, (&self.pepper, self.cost))?;
        Ok(row)
    }

    fn row(&self, salt: [u8; 16], hash: [u8; 32]) -> PasswordRow {
        let Cost { memory_kib, passes } = self.cost;
        PasswordRow { memory_kib, passes, salt, hash }
    }
}

/// Runs `work` on a blocking thread. The slot moves with it, so that it is not released before the
/// memory is, even if nobody waits for the outcome any more.
async fn blocking<T: Send + 'static>(
    slot: HashSlot,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<(T, HashSlot), Error> {
    let done = tokio::task::spawn_blocking(move || (work(), slot)).await;
    let (outcome, slot) = done.map_err(|_| Error::from(vault::Error::Panicked))?;
    Ok((outcome?, slot))
}

fn hash(
    password: &Password,
    salt: &[u8; 16],
    cost: Cost,
    (pepper, present): (&Zeroizing<[u8; 32]>, Cost),
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let max_memory_kib = MAX_STORED_COST.memory_kib.max(present.memory_kib);
    if cost.memory_kib > max_memory_kib || cost.passes > MAX_STORED_COST.passes {
        return Err(Error::BadHash);
    }
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(32));
    let params = params.map_err(|_| Error::BadHash)?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new_with_secret(pepper.as_slice(), Algorithm::Argon2id, Version::V0x13, params)
        .and_then(|argon2| {
            argon2.hash_password_into(password.0.as_bytes(), salt, out.as_mut_slice())
        })
        .map_err(|_| Error::BadHash)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(Zeroizing::new(text.to_owned()))
    }

    fn passwords(pepper: u8) -> Passwords {
        Passwords::new(Zeroizing::new([pepper; 32]), Cost { memory_kib: 64, passes: 1 })
    }

    fn new(text: &str) -> NewPassword {
        NewPassword::parse(password(text)).unwrap_or_else(|_| panic!("the rule"))
    }

    #[test]
    fn the_rule_counts_characters() {
        let fits = |text: &str| NewPassword::parse(password(text)).is_ok();
        assert!(!fits("elevenchars") && fits("twelve chars"));
        assert!(fits(&"\u{1F511}".repeat(12)) && !fits(&"\u{1F511}".repeat(11)));
        assert!(fits(&"x".repeat(256)) && !fits(&"x".repeat(257)));
    }

    #[test]
    fn a_hash_depends_on_password_salt_and_pepper() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let verify = |passwords: &Passwords, text: &str, row: Option<PasswordRow>| {
            runtime.block_on(async {
                let slot = passwords.slot().await.unwrap();
                let (verified, _) =
                    passwords.verify(password(text), row, slot, || ()).await.unwrap();
                verified == PasswordCheck::Right(None)
            })
        };
        let ours = passwords(1);
        let row = ours.hash_blocking(&new("correct horse")).unwrap();
        assert_ne!(row, ours.hash_blocking(&new("correct horse")).unwrap());
        assert!(verify(&ours, "correct horse", Some(row.clone())));
        assert!(!verify(&ours, "correct horsf", Some(row.clone())));
        assert!(!verify(&ours, "correct horse", None));
        assert!(!verify(&passwords(2), "correct horse", Some(row)));
    }

    #[test]
    fn a_hash_of_another_cost_is_accepted_and_renewed() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let old = passwords(1).hash_blocking(&new("correct horse")).unwrap();
        let now = Passwords::new(Zeroizing::new([1; 32]), Cost { memory_kib: 128, passes: 2 });
        let verify = |row: &PasswordRow| {
            runtime.block_on(async {
                let slot = now.slot().await.unwrap();
                now.verify(password("correct horse"), Some(row.clone()), slot, || ())
                    .await
                    .unwrap()
                    .0
            })
        };
        let PasswordCheck::Right(Some(renewed)) = verify(&old) else {
            panic!("the password is right")
        };
        assert_eq!((renewed.memory_kib, renewed.passes), (128, 2));
        assert_eq!(verify(&renewed), PasswordCheck::Right(None));
    }

    #[test]
    fn a_tampered_row_cannot_request_all_memory() {
        let row = PasswordRow { memory_kib: u32::MAX, passes: 1, salt: [0; 16], hash: [0; 32] };
        let cost = Cost { memory_kib: row.memory_kib, passes: row.passes };
        let present = Cost { memory_kib: 64, passes: 1 };
        let pepper = Zeroizing::new([0; 32]);
        assert!(hash(&password("x"), &row.salt, cost, (&pepper, present)).is_err());
    }
}
