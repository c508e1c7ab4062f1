//! Idempotency records: what a request with an `Idempotency-Key` was answered, so that the
//! same request again gets the same answer and does nothing.
//!
//! ```text
//! receipt key  HMAC-SHA256(receipt mac key, "key\0"  | principal | 0 | Idempotency-Key)
//! fingerprint  HMAC-SHA256(receipt mac key, "body\0" | method | 0 | path | 0 | body)
//! ```
//!
//! Both are keyed, because a body may hold a secret's value: a plain hash of it
//! in the database could be tried against guesses. A receipt is written in the
//! batch of the change it is about, so there is never one without the other.
//! Must never: keep an answer that holds a credential or a secret's value.

use std::sync::Arc;

use crate::domain::{
    EnvironmentId, EnvironmentInfo, EnvironmentSettings, SecretInfo, ServiceAccountInfo, Timestamp,
    TokenInfo, UserInfo, VarInfo,
};
use crate::store::{
    Bytes, CHUNK_BYTES, IdempotencyChunks, IdempotencyRecords, IdempotencyRow, IdempotencyTimes,
    ReadError, Tx, View,
};

use crate::vault::Vault;
use crate::vault::error::Error;
use crate::vault::keys::rotation::RotationBegun;
use crate::vault::policy::Permit;
use crate::vault::verbs::copy::Copied;
use crate::vault::verbs::import::ImportReport;

/// How long a receipt is kept, in milliseconds: 24 hours.
const KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// How many outlived receipts one new receipt takes with it.
const SWEEP_ROWS: usize = 8;

/// What a change gave back, as far as an answer can be made of it.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// A secret.
    Secret(&'a SecretInfo),
    /// A var.
    Var(&'a VarInfo),
    /// An environment.
    Environment(&'a EnvironmentInfo),
    /// Settings.
    Settings(&'a EnvironmentSettings),
    /// A user.
    User(&'a UserInfo),
    /// A service account.
    ServiceAccount(&'a ServiceAccountInfo),
    /// An import.
    Import(&'a ImportReport),
    /// A rotation that has begun.
    Rotation(&'a RotationBegun),
    /// Secrets that were copied into the environment in the path.
    Copied(&'a [Copied]),
    /// It is done; there is no more to say.
    Done,
    /// The answer showed a credential, so it is not kept.
    Credential,
}

impl Outcome<'_> {
    /// The environment that it tells about, if that was not in the path.
    fn environment(&self) -> Option<EnvironmentId> {
        match self {
            Outcome::Secret(info) => Some(info.environment),
            Outcome::Var(info) => Some(info.environment),
            Outcome::Environment(info) => Some(info.id),
            Outcome::Settings(_)
            | Outcome::User(_)
            | Outcome::ServiceAccount(_)
            | Outcome::Import(_)
            | Outcome::Rotation(_)
            | Outcome::Copied(_)
            | Outcome::Done
            | Outcome::Credential => None,
        }
    }
}

/// What verbs that take a receipt give back.
pub trait HasOutcome {
    /// As far as an answer can be made of it.
    fn outcome(&self) -> Outcome<'_>;
}

macro_rules! outcomes {
    ($($type:ty => $variant:ident)*) => {$(
        impl HasOutcome for $type {
            fn outcome(&self) -> Outcome<'_> {
                Outcome::$variant(self)
            }
        }
    )*};
}

outcomes! {
    SecretInfo => Secret
    VarInfo => Var
    EnvironmentInfo => Environment
    EnvironmentSettings => Settings
    UserInfo => User
    ServiceAccountInfo => ServiceAccount
    ImportReport => Import
}

impl HasOutcome for () {
    fn outcome(&self) -> Outcome<'_> {
        Outcome::Done
    }
}

impl HasOutcome for Vec<Copied> {
    fn outcome(&self) -> Outcome<'_> {
        Outcome::Copied(self)
    }
}

/// A new token's record: the answer has the token beside it.
impl HasOutcome for TokenInfo {
    fn outcome(&self) -> Outcome<'_> {
        Outcome::Credential
    }
}

/// Makes an answer's bytes of what a change gave back; none for an answer that
/// is not kept.
#[derive(Clone)]
pub struct Render(Arc<dyn Fn(Outcome<'_>) -> Vec<u8> + Send + Sync>);

impl Render {
    /// By this function.
    pub fn new(render: impl Fn(Outcome<'_>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }
}

impl std::fmt::Debug for Render {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Render(..)")
    }
}

/// A request that wants to be done once.
#[derive(Debug, Clone)]
pub struct Receipt {
    key: [u8; 32],
    fingerprint: [u8; 32],
    at: Timestamp,
    render: Render,
}

impl Receipt {
    /// Tells requests apart that want to be done once, while they are under way.
    pub fn key(&self) -> [u8; 32] {
        self.key
    }

    /// Whether there is a receipt for the key already, as seen by a change.
    pub(super) fn is_taken(&self, tx: &Tx<'_>) -> Result<bool, Error> {
        let row = tx.get::<IdempotencyRecords>(&self.key)?;
        Ok(row.is_some_and(|row| !outlived(row.at, self.at)))
    }

    /// Writes down what the change gave back.
    pub(super) fn put(&self, tx: &mut Tx<'_>, outcome: Outcome<'_>) -> Result<(), Error> {
        sweep(tx, self.at)?;
        // One that has outlived its time may be longer than what replaces it.
        remove(tx, self.key)?;
        let environment = outcome.environment();
        let answer = (self.render.0)(outcome);
        let mut chunks = 0;
        for piece in answer.chunks(CHUNK_BYTES) {
            tx.put::<IdempotencyChunks>(&(self.key, chunks), &Bytes(piece.to_vec()));
            chunks += 1;
        }
        let row =
            IdempotencyRow { fingerprint: self.fingerprint, environment, chunks, at: self.at };
        tx.put::<IdempotencyRecords>(&self.key, &row);
        tx.put::<IdempotencyTimes>(&(self.at, self.key), &());
        Ok(())
    }
}

/// Removes a few receipts that have outlived their time, oldest first.
fn sweep(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), Error> {
    // What is no key there is for `doctor` to remove; nothing has to wait for that.
    let oldest = tx.readable_keys::<IdempotencyTimes>(&[]).take(SWEEP_ROWS);
    let oldest: Vec<_> = oldest.collect::<Result<_, ReadError>>()?;
    for (at, key) in oldest {
        if !outlived(at, now) {
            break;
        }
        tx.remove::<IdempotencyTimes>(&(at, key));
        remove(tx, key)?;
    }
    Ok(())
}

/// Removes a receipt, whatever state it is in.
fn remove(tx: &mut Tx<'_>, key: [u8; 32]) -> Result<(), Error> {
    let chunks = tx.readable_keys::<IdempotencyChunks>(&key);
    let chunks: Vec<_> = chunks.collect::<Result<_, ReadError>>()?;
    for chunk in chunks {
        tx.remove::<IdempotencyChunks>(&chunk);
    }
    match tx.get::<IdempotencyRecords>(&key) {
        Ok(Some(row)) => tx.remove::<IdempotencyTimes>(&(row.at, key)),
        Ok(None) | Err(ReadError::Damaged { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    tx.remove::<IdempotencyRecords>(&key);
    Ok(())
}

fn outlived(at: Timestamp, now: Timestamp) -> bool {
    now.millis().saturating_sub(at.millis()) >= KEPT_MILLIS
}

/// What is known about a request that wants to be done once.
#[derive(Debug)]
pub enum Known {
    /// Nothing: it may be done.
    New,
    /// It was done; this was the answer.
    Done(Vec<u8>),
    /// It was done, and the answer is not kept, because it held a credential.
    Withheld,
    /// The same key came with another request.
    Other,
}

impl Vault {
    /// The receipt for a request of this permit's caller.
    pub fn receipt<L>(
        &self,
        permit: &Permit<L>,
        key: &str,
        (method, path, body): (&str, &str, &[u8]),
        render: Render,
    ) -> Receipt {
        let mac = |parts: &[&[u8]]| self.keyring.receipt_mac(parts);
        let principal = permit.principal_key();
        Receipt {
            key: mac(&[b"key\0", principal.as_bytes(), b"\0", key.as_bytes()]),
            fingerprint: mac(&[b"body\0", method.as_bytes(), b"\0", path.as_bytes(), b"\0", body]),
            at: self.now(),
            render,
        }
    }

    /// Whether the request was done before. What was answered about an
    /// environment that the caller's scope no longer covers is not known any
    /// more; whatever then becomes of the request, its verb will decide.
    pub fn known<L>(&self, permit: &Permit<L>, receipt: &Receipt) -> Result<Known, Error> {
        let Some(row) = self.store.get::<IdempotencyRecords>(&receipt.key)? else {
            return Ok(Known::New);
        };
        let hidden = row.environment.is_some_and(|environment| !permit.covers(environment));
        if hidden || outlived(row.at, receipt.at) {
            return Ok(Known::New);
        }
        if row.fingerprint != receipt.fingerprint {
            return Ok(Known::Other);
        }
        if row.chunks == 0 {
            return Ok(Known::Withheld);
        }
        let mut answer = Vec::new();
        for chunk in 0..row.chunks {
            match self.store.get::<IdempotencyChunks>(&(receipt.key, chunk))? {
                Some(piece) => answer.extend(piece.0),
                // Swept between the two reads, at the very end of its time.
                None => return Ok(Known::New),
            }
        }
        Ok(Known::Done(answer))
    }
}
