//! The `Vault` itself: what all verbs share.
//!
//! Owns: the handles to the store, the keys, the clock and the limits; the ways to record an audit
//! row and to start a change.
//! Must never: decide anything about a request; `policy` and the verbs do.
//! Called by: every file that adds verbs to `Vault`; `server`, which builds it.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

use crate::audit::{Action, AuditKey, Draft};
use crate::domain::{Clock, EnvironmentId, Origin, Principal, Timestamp};
use crate::store::{Store, Tx, Unavailable};

use crate::vault::crypto::backup_key::BackupKey;
use crate::vault::crypto::random::Random;
use crate::vault::crypto::shared_keyring::SharedKeyring;
use crate::vault::error::Error;
use crate::vault::guarded_change::GuardedChange;
use crate::vault::policy::{Level, Permit};
use crate::vault::unlocked::{DatabaseId, Unlocked};

/// The limits that the configuration sets.
#[derive(Debug, Clone, Copy)]
pub struct VaultLimits {
    /// The longest value, in bytes of UTF-8.
    pub value_bytes: usize,
    /// The number of versions kept of each secret.
    pub versions_kept: u32,
}

/// The only holder of plaintext. Each verb is a method; see the other files of this module.
#[derive(Debug)]
pub struct Vault {
    pub(super) store: Arc<Store>,
    pub(super) keyring: Arc<SharedKeyring>,
    pub(super) audit_key: AuditKey,
    /// Limits how many walks over the whole audit log, or over all rows, run at once.
    pub(super) walks: Semaphore,
    /// Limits how many bundles are sealed at once.
    pub(super) deliveries: Semaphore,
    /// Limits backups to one at a time.
    pub(super) backups: Arc<Semaphore>,
    pub(super) backup_key: Arc<BackupKey>,
    database: DatabaseId,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Random,
    pub(super) limits: VaultLimits,
}

impl Vault {
    /// Builds the vault of an unlocked database.
    pub fn new(unlocked: &Unlocked, clock: Arc<dyn Clock>, limits: VaultLimits) -> Self {
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

    /// Returns the configured limits.
    pub fn limits(&self) -> VaultLimits {
        self.limits
    }

    /// Returns the id of the database.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// Returns the current time by this vault's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Checks that the database takes writes now; otherwise says why not.
    pub fn writable(&self) -> Result<(), Unavailable> {
        self.store.writable()
    }

    /// Resolves once nothing can be written anymore; see [`Store::failed`].
    pub async fn failed(&self) {
        self.store.failed().await;
    }

    /// See [`Store::leak_until_exit`].
    pub fn leak_until_exit(&self) {
        self.store.leak_until_exit();
    }

    /// Finishes the queued writes and closes the files; see [`Store::close`].
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

    /// Records an action of the server itself.
    pub async fn record_host(
        &self,
        action: Action,
        details: &serde_json::Value,
    ) -> Result<(), Error> {
        let draft = Draft::new(action, &Principal::host(), &Origin::host(), self.now());
        let draft = draft.details(details);
        self.store.record::<Error>(draft).from_reserve().commit().await.map_err(Error::from)
    }

    /// Records a refusal.
    pub(super) async fn record_refused(&self, draft: Draft) -> Result<(), Error> {
        self.store.record::<Error>(draft).as_refusal().commit().await.map_err(Error::from)
    }

    /// Starts a change on behalf of a permit's caller.
    pub(super) fn change<'a, L: Level, F, D>(
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
