//! Rate limits: requests per minute of one principal and of one client address.
//!
//! Owns: the counters (GCRA, from the `governor` crate), in memory only.
//! Must never: grow without bound: anybody can send from many addresses.
//! Called by: `http`, for every request.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::PrincipalKey;

/// The configured limits; 0 disables one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// The requests per minute of one principal.
    pub authenticated_per_minute: u32,
    /// The requests per minute of one address without a valid credential.
    pub anonymous_per_minute: u32,
}

/// The kind of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Requests per minute.
    Requests,
    /// Failed logins; see `failures`.
    FailedLogins,
}

/// A limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The kind of the limit.
    pub what: LimitKind,
    /// The limit: requests per minute, or failures before a delay.
    pub limit: u32,
    /// The time until the next attempt is allowed.
    pub wait: Duration,
}

/// The counters of all principals and addresses.
#[derive(Debug)]
pub struct RateLimits {
    principals: Option<PerMinute<PrincipalKey>>,
    addresses: Option<PerMinute<IpAddr>>,
}

impl RateLimits {
    /// Starts counting with these limits.
    pub fn new(rates: Rates) -> Self {
        Self {
            principals: PerMinute::new(rates.authenticated_per_minute),
            addresses: PerMinute::new(rates.anonymous_per_minute),
        }
    }

    /// Counts a request with a valid credential. Fails if the principal has exceeded its limit.
    pub fn count_principal(&self, principal: &PrincipalKey) -> Result<(), LimitExceeded> {
        self.principals.as_ref().map_or(Ok(()), |limit| limit.count(principal))
    }

    /// Counts a request without a valid credential. Fails if the address has exceeded its limit.
    pub fn count_address(&self, address: IpAddr) -> Result<(), LimitExceeded> {
        self.addresses.as_ref().map_or(Ok(()), |limit| limit.count(&network_of(address)))
    }
}

/// Returns the key by which an address is counted. An IPv6 client usually has 2^64 addresses
/// (RFC 6177), so these are counted by network.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

/// A limit per minute for each key.
struct PerMinute<K: Clone + Eq + Hash> {
    limit: NonZeroU32,
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    counted: AtomicUsize,
}

impl<K: Clone + Eq + Hash> std::fmt::Debug for PerMinute<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerMinute").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The number of requests after which keys with an expired count are dropped. A count expires at most
/// a minute after the last request, so the number of keys is bounded by this number plus the requests
/// of one minute.
const FORGET_EVERY: usize = 4096;

impl<K: Clone + Eq + Hash> PerMinute<K> {
    fn new(limit: u32) -> Option<Self> {
        let limit = NonZeroU32::new(limit)?;
        Some(Self {
            limit,
            limiter: RateLimiter::keyed(Quota::per_minute(limit)),
            clock: DefaultClock::default(),
            counted: AtomicUsize::new(0),
        })
    }

    fn count(&self, key: &K) -> Result<(), LimitExceeded> {
        if self.counted.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|refusal| LimitExceeded {
            what: LimitKind::Requests,
            limit: self.limit.get(),
            wait: refusal.wait_time_from(self.clock.now()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_an_ipv6_network_are_counted_together() {
        let limits =
            RateLimits::new(Rates { authenticated_per_minute: 0, anonymous_per_minute: 2 });
        let count = |text: &str| limits.count_address(text.parse().unwrap()).is_ok();
        assert!(count("2001:db8::1") && count("2001:db8::2"));
        assert!(!count("2001:db8::3"));
        assert!(count("2001:db8:0:1::1"));
        assert!(count("192.0.2.1") && count("::ffff:192.0.2.1") && !count("192.0.2.1"));
        assert!(count("192.0.2.2"));
    }

    #[test]
    fn zero_disables_a_limit() {
        let limits =
            RateLimits::new(Rates { authenticated_per_minute: 0, anonymous_per_minute: 0 });
        assert!((0..1000).all(|_| limits.count_address([192, 0, 2, 1].into()).is_ok()));
        assert!((0..1000).all(|_| limits.count_principal(&PrincipalKey::Host).is_ok()));
    }
}
