//! The state that all of `access` shares, and the ways in which it changes the database.
//!
//! Owns: the [`Access`] struct.
//! Must never: hold a credential.
//! Called by: the verbs of this folder, which are methods of [`Access`] in files of their own.

use std::net::IpAddr;
use std::sync::Arc;

use crate::access::error::Error;
use crate::access::failures::LoginFailures;
use crate::access::hash::Hasher;
use crate::access::last_used::LastUsed;
use crate::access::password::{Cost, Passwords};
use crate::audit::Draft;
use crate::domain::Clock;
use crate::store::{Store, Tx};
use crate::vault::{GuardedChange, Level, Permit, Unlocked};

/// The settings for credentials.
#[derive(Debug, Clone, Copy)]
pub struct AccessSettings {
    /// The cost of a password hash.
    pub cost: Cost,
    /// The time without a request after which a session ends, in milliseconds.
    pub session_idle_millis: i64,
    /// The time after which a session ends, in milliseconds.
    pub session_millis: i64,
    /// The failed logins after which further attempts are delayed; 0 disables the delay.
    pub login_failures: u32,
}

/// Users, sessions, service accounts and tokens.
#[derive(Debug)]
pub struct Access {
    pub(super) store: Arc<Store>,
    pub(super) hasher: Hasher,
    pub(super) passwords: Passwords,
    pub(super) failures: Arc<LoginFailures>,
    pub(super) last_used: LastUsed,
    pub(super) settings: AccessSettings,
    pub(super) clock: Arc<dyn Clock>,
}

impl Access {
    /// Creates the state for an unlocked database.
    pub fn new(unlocked: &Unlocked, clock: Arc<dyn Clock>, settings: AccessSettings) -> Self {
        let hasher = Hasher::new(unlocked);
        Self {
            store: Arc::clone(&unlocked.store),
            passwords: Passwords::new(hasher.pepper(), settings.cost),
            hasher,
            failures: Arc::new(LoginFailures::new(settings.login_failures)),
            last_used: LastUsed::default(),
            settings,
            clock,
        }
    }

    /// Prepares a change on behalf of a permit's caller.
    pub(super) fn change<'a, L: Level, F, D>(
        &'a self,
        permit: &'a Permit<L>,
        run: F,
    ) -> GuardedChange<'a, L, F>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<D, Error> + Send + 'static,
    {
        GuardedChange::new(&self.store, permit, self.clock.now(), run)
    }

    /// Returns a callback that counts a wrong password, even if the request has gone away by then.
    pub(super) fn wrong_password(
        &self,
        account: [u8; 32],
        ip: Option<IpAddr>,
    ) -> impl FnOnce() + Send + 'static {
        let (failures, clock) = (Arc::clone(&self.failures), Arc::clone(&self.clock));
        move || failures.count(&account, ip, clock.now())
    }

    /// Writes the audit row of a refusal.
    pub(super) async fn record_refused(&self, draft: Draft) -> Result<(), Error> {
        self.store.record::<Error>(draft).as_refusal().commit().await.map_err(Error::from)
    }
}
