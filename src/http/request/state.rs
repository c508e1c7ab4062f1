//! What the server shares among its requests.
//!
//! Owns: the `State`, and what the configuration says about requests.
//! Must never: know a handler. What only the assembler of `http` knows comes in as an argument.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::access::{Access, RateLimits, Rates};
use crate::delivery::{Declared, DeliveryStatuses};
use crate::domain::{Network, Timestamp};
use crate::vault::{Vault, VerbResult};

use crate::http::list_cache::ListCache;
use crate::http::request::in_flight::InFlight;
use crate::http::request::stop_signal::{StopListener, StopSignal};
use crate::http::traffic::Traffic;

/// How many requests for bundles may be in progress, including those that wait for a change.
const MAX_BUNDLE_REQUESTS: usize = 500;

/// What the configuration says about requests.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How many requests are allowed per minute.
    pub rates: Rates,
    /// The longest request body, in bytes.
    pub body_bytes: usize,
    /// Proxies that may say who their client is.
    pub trusted_proxies: Vec<Network>,
    /// Whether the server makes scheduled backups.
    pub backups_scheduled: bool,
}

/// Renders the answer to a change, to be kept for repeated requests.
pub(in crate::http) type RenderOutcome = fn(&State, VerbResult<'_>) -> Vec<u8>;

/// Everything that a request may use.
#[derive(Debug)]
pub struct State {
    /// The operations on secrets, vars, environments, keys and backups.
    pub vault: Vault,
    /// Users, sessions, service accounts and tokens.
    pub access: Access,
    /// The rate limits and their counters.
    pub limits: RateLimits,
    /// The longest request body, in bytes.
    pub body_bytes: usize,
    /// Proxies that may say who their client is.
    pub trusted_proxies: Vec<Network>,
    /// The workloads and files that the configuration declares.
    pub declared: Arc<Declared>,
    /// The status of each delivered file.
    pub delivery_statuses: DeliveryStatuses,
    /// Limits how many requests for bundles are in progress.
    pub(in crate::http) bundles: Semaphore,
    pub(in crate::http) started_at: Timestamp,
    pub(in crate::http) backups_scheduled: bool,
    pub(in crate::http) traffic: Traffic,
    pub(in crate::http) lists: ListCache,
    pub(in crate::http) in_flight: InFlight,
    /// Renders the answers that are kept for repeated requests. It is held here because the
    /// answers' types belong to handlers, which come after this module.
    pub(in crate::http) render: RenderOutcome,
    stop: StopSignal,
}

impl State {
    /// Builds the state; `render` is what the assembler knows and this module may not.
    pub(in crate::http) fn with_render(
        vault: Vault,
        access: Access,
        declared: Arc<Declared>,
        settings: HttpSettings,
        render: RenderOutcome,
    ) -> Self {
        let HttpSettings { rates, body_bytes, trusted_proxies, backups_scheduled } = settings;
        let started_at = vault.now();
        Self {
            vault,
            access,
            limits: RateLimits::new(rates),
            body_bytes,
            trusted_proxies,
            declared,
            delivery_statuses: DeliveryStatuses::default(),
            bundles: Semaphore::new(MAX_BUNDLE_REQUESTS),
            started_at,
            backups_scheduled,
            traffic: Traffic::default(),
            lists: ListCache::default(),
            in_flight: InFlight::default(),
            render,
            stop: StopSignal::default(),
        }
    }

    /// Wakes the requests that wait for a change, so that a shutdown does not have to wait for
    /// them.
    pub fn stop_waiting(&self) {
        self.stop.send();
    }

    pub(in crate::http) fn stop_listener(&self) -> StopListener {
        self.stop.listen()
    }
}
