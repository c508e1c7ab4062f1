//! Answering a repeated request from its idempotency record.
//!
//! Owns: how a request maps to the record that is kept of it; see `idempotency`.
//! Must never: replay an answer about an environment that the caller may no longer see.
//! Called by: `http`, before it calls the verb of a POST.

use crate::vault::error::Error;
use crate::vault::idempotency::{IdempotencyRecord, Lookup, Render};
use crate::vault::policy::Permit;
use crate::vault::service::Vault;

impl Vault {
    /// Makes the record for a request of this permit's caller.
    pub fn idempotency_record<L>(
        &self,
        permit: &Permit<L>,
        key: &str,
        (method, path, body): (&str, &str, &[u8]),
        render: Render,
    ) -> IdempotencyRecord {
        let mac = |parts: &[&[u8]]| self.keyring.idempotency_mac(parts);
        let principal = permit.principal_key();
        IdempotencyRecord::new(
            mac(&[b"key\0", principal.as_bytes(), b"\0", key.as_bytes()]),
            mac(&[b"body\0", method.as_bytes(), b"\0", path.as_bytes(), b"\0", body]),
            self.now(),
            render,
        )
    }

    /// Looks up whether the request has run before. An answer about an environment that the
    /// caller's scope no longer covers counts as unknown; the verb then decides.
    pub fn lookup<L>(
        &self,
        permit: &Permit<L>,
        record: &IdempotencyRecord,
    ) -> Result<Lookup, Error> {
        Ok(record.find(&*self.store, |environment| permit.covers(environment))?)
    }
}
