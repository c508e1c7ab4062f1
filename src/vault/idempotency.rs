//! Idempotency records: the answer to a request with an `Idempotency-Key`, so that a repetition of
//! the request gets the same answer and changes nothing.
//!
//! ```text
//! record key   HMAC-SHA256(idempotency key, "key\0"  | principal | 0 | Idempotency-Key)
//! fingerprint  HMAC-SHA256(idempotency key, "body\0" | method | 0 | path | 0 | body)
//! ```
//!
//! Both are keyed, because a body may contain the value of a secret: guesses could be tried against
//! a plain hash of it in the database. A record is written in the batch of the change it is about,
//! so one never exists without the other.
//!
//! Must never: keep an answer that shows a credential or the value of a secret.
//! Called by: `guarded_change`, which writes records; `replay`, which makes and reads them.

use std::sync::Arc;

use crate::domain::{EnvironmentId, Timestamp};
use crate::store::{
    Bytes, CHUNK_BYTES, IdempotencyChunks, IdempotencyRecords, IdempotencyRow, IdempotencyTimes,
    ReadError, Tx, View,
};

use crate::vault::error::Error;
use crate::vault::verb_result::VerbResult;

/// How long a record is kept: 24 hours, in milliseconds.
const KEPT_MILLIS: i64 = 24 * 60 * 60 * 1000;
/// The most expired records that writing a new one removes.
const SWEEP_ROWS: usize = 8;

/// Renders the bytes of an answer; empty for an answer that must not be kept.
#[derive(Clone)]
pub struct Render(Arc<dyn Fn(VerbResult<'_>) -> Vec<u8> + Send + Sync>);

impl Render {
    /// Wraps the function that renders.
    pub fn new(render: impl Fn(VerbResult<'_>) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }
}

impl std::fmt::Debug for Render {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Render(..)")
    }
}

/// The record of a request with an `Idempotency-Key`, not yet written.
#[derive(Debug, Clone)]
pub struct IdempotencyRecord {
    key: [u8; 32],
    fingerprint: [u8; 32],
    at: Timestamp,
    render: Render,
}

impl IdempotencyRecord {
    pub(super) fn new(key: [u8; 32], fingerprint: [u8; 32], at: Timestamp, render: Render) -> Self {
        Self { key, fingerprint, at, render }
    }

    /// Returns the key of the record, which is unique to a principal and its `Idempotency-Key`.
    pub fn key(&self) -> [u8; 32] {
        self.key
    }

    /// Returns whether a record with this key exists, as a change sees it.
    pub(super) fn is_taken(&self, tx: &Tx<'_>) -> Result<bool, Error> {
        let row = tx.get::<IdempotencyRecords>(&self.key)?;
        Ok(row.is_some_and(|row| !has_expired(row.at, self.at)))
    }

    /// Writes the record with the rendered answer, as part of the change that the answer is about.
    pub(super) fn put(&self, tx: &mut Tx<'_>, result: VerbResult<'_>) -> Result<(), Error> {
        sweep(tx, self.at)?;
        // An expired record with the same key may have more chunks than the new one.
        remove(tx, self.key)?;
        let environment = result.environment();
        let answer = (self.render.0)(result);
        let mut chunks = 0;
        for chunk in answer.chunks(CHUNK_BYTES) {
            tx.put::<IdempotencyChunks>(&(self.key, chunks), &Bytes(chunk.to_vec()));
            chunks += 1;
        }
        let row =
            IdempotencyRow { fingerprint: self.fingerprint, environment, chunks, at: self.at };
        tx.put::<IdempotencyRecords>(&self.key, &row);
        tx.put::<IdempotencyTimes>(&(self.at, self.key), &());
        Ok(())
    }

    /// Looks up the answer to an earlier request with this key. `covers` tells whether the
    /// caller's scope covers an environment.
    pub(super) fn find(
        &self,
        view: &impl View,
        covers: impl Fn(EnvironmentId) -> bool,
    ) -> Result<Lookup, ReadError> {
        let Some(row) = view.get::<IdempotencyRecords>(&self.key)? else { return Ok(Lookup::New) };
        let hidden = row.environment.is_some_and(|environment| !covers(environment));
        if hidden || has_expired(row.at, self.at) {
            return Ok(Lookup::New);
        }
        if row.fingerprint != self.fingerprint {
            return Ok(Lookup::Other);
        }
        if row.chunks == 0 {
            return Ok(Lookup::Withheld);
        }
        let mut answer = Vec::new();
        for chunk in 0..row.chunks {
            match view.get::<IdempotencyChunks>(&(self.key, chunk))? {
                Some(chunk) => answer.extend(chunk.0),
                // The record expired and was removed between the two reads.
                None => return Ok(Lookup::New),
            }
        }
        Ok(Lookup::Done(answer))
    }
}

/// What the records say about a request.
#[derive(Debug)]
pub enum Lookup {
    /// The request is new and may run.
    New,
    /// The request has run; this was the answer.
    Done(Vec<u8>),
    /// The request has run, but its answer was not kept because it showed a credential.
    Withheld,
    /// The key was used for a different request.
    Other,
}

/// Removes a few expired records, oldest first.
fn sweep(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), Error> {
    // Keys that do not decode are left to the doctor; no record depends on them.
    let oldest = tx.readable_keys::<IdempotencyTimes>(&[]).take(SWEEP_ROWS);
    let oldest: Vec<_> = oldest.collect::<Result<_, ReadError>>()?;
    for (at, key) in oldest {
        if !has_expired(at, now) {
            break;
        }
        tx.remove::<IdempotencyTimes>(&(at, key));
        remove(tx, key)?;
    }
    Ok(())
}

/// Removes a record, even if parts of it are damaged or missing.
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

fn has_expired(at: Timestamp, now: Timestamp) -> bool {
    now.millis().saturating_sub(at.millis()) >= KEPT_MILLIS
}
