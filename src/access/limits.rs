//! How many requests a minute: of one principal, of one client address.
//!
//! Owns: the counters (GCRA, by the `governor` crate), in memory only.
//! Must never: grow without bound: an address costs nothing to make up.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::domain::PrincipalKey;

/// The limits of the configuration; 0 switches one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Requests a minute of one principal.
    pub authenticated_per_minute: u32,
    /// Requests a minute of one address without a valid credential.
    pub anonymous_per_minute: u32,
}

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Requests in a minute.
    Requests,
    /// Failed logins; see `failures`.
    FailedLogins,
}

/// Too much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Of what.
    pub what: Limit,
    /// How much there may be: requests a minute, failures before a wait.
    pub limit: u32,
    /// When the next one may come.
    pub wait: Duration,
}

/// The counters.
#[derive(Debug)]
pub struct Limits {
    principals: Option<PerMinute<PrincipalKey>>,
    addresses: Option<PerMinute<IpAddr>>,
}

impl Limits {
    /// With these limits.
    pub fn new(rates: Rates) -> Self {
        Self {
            principals: PerMinute::new(rates.authenticated_per_minute),
            addresses: PerMinute::new(rates.anonymous_per_minute),
        }
    }

    /// Counts a request with a valid credential.
    pub fn count_principal(&self, principal: &PrincipalKey) -> Result<(), Limited> {
        self.principals.as_ref().map_or(Ok(()), |limit| limit.count(principal))
    }

    /// Counts a request without one.
    pub fn count_address(&self, address: IpAddr) -> Result<(), Limited> {
        self.addresses.as_ref().map_or(Ok(()), |limit| limit.count(&network_of(address)))
    }
}

/// Whoever has an IPv6 address usually has 2^64 of them (RFC 6177), so those
/// are counted by their network.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        address => address,
    }
}

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

/// After so many requests, those whose count has run out again (a minute after
/// their last request, at most) are forgotten. So there are never more keys than
/// this and one minute's requests.
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

    fn count(&self, key: &K) -> Result<(), Limited> {
        if self.counted.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(key).map_err(|refusal| Limited {
            what: Limit::Requests,
            limit: self.limit.get(),
            wait: refusal.wait_time_from(self.clock.now()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_an_ipv6_network_are_counted_together() {
        let limits = Limits::new(Rates { authenticated_per_minute: 0, anonymous_per_minute: 2 });
        let count = |text: &str| limits.count_address(text.parse().unwrap()).is_ok();
        assert!(count("2001:db8::1") && count("2001:db8::2"));
        assert!(!count("2001:db8::3"));
        assert!(count("2001:db8:0:1::1"));
        assert!(count("192.0.2.1") && count("::ffff:192.0.2.1") && !count("192.0.2.1"));
        assert!(count("192.0.2.2"));
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = Limits::new(Rates { authenticated_per_minute: 0, anonymous_per_minute: 0 });
        assert!((0..1000).all(|_| limits.count_address([192, 0, 2, 1].into()).is_ok()));
        assert!((0..1000).all(|_| limits.count_principal(&PrincipalKey::Host).is_ok()));
    }
}
