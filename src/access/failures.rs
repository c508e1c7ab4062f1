//! Failed logins: who has to wait before the next try.
//!
//! Counted for each client network and for each account, whether there is such
//! an account or not. From the configured number of failures on, each further
//! one doubles the wait, from one second up to a limit; quiet halves the count.
//! Requests are limited by `governor` (see `limits`); this counts failures
//! instead, and forgets an account's when its owner gets in, which a rate
//! limiter cannot.
//!
//! Must never: keep an address that was typed (it may be a password), grow
//! without bound, or lock anybody out for good.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::domain::Timestamp;

use crate::access::limits::{Limit, Limited, network_of};

/// Longest wait for an account. Short, because somebody else's failures bring
/// it about.
const ACCOUNT_MILLIS: i64 = 60_000;
/// Longest wait for an address.
const ADDRESS_MILLIS: i64 = 900_000;
/// Failures are forgotten after so long without another.
const FORGET_MILLIS: i64 = 3_600_000;
/// Most accounts and most addresses that are remembered.
const MOST: usize = 65_536;

/// The counters, in memory only.
#[derive(Debug)]
pub(super) struct Failures {
    limit: u32,
    accounts: Mutex<Counters<[u8; 32]>>,
    addresses: Mutex<Counters<IpAddr>>,
}

impl Failures {
    /// With so many failures before anybody waits; 0 is no limit.
    pub fn new(limit: u32) -> Self {
        let accounts = Mutex::new(Counters::new(limit, ACCOUNT_MILLIS));
        let addresses = Mutex::new(Counters::new(limit, ADDRESS_MILLIS));
        Self { limit, accounts, addresses }
    }

    /// Whether a try may be made now.
    pub fn check(
        &self,
        account: &[u8; 32],
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), Limited> {
        let account = lock(&self.accounts).wait(account, now);
        let address =
            address.map_or(0, |address| lock(&self.addresses).wait(&network_of(address), now));
        match account.max(address) {
            0 => Ok(()),
            millis => Err(Limited {
                what: Limit::FailedLogins,
                limit: self.limit,
                wait: Duration::from_millis(millis),
            }),
        }
    }

    /// Counts a failure.
    pub fn failed(&self, account: &[u8; 32], address: Option<IpAddr>, now: Timestamp) {
        if self.limit == 0 {
            return;
        }
        lock(&self.accounts).failed(*account, now);
        if let Some(address) = address {
            lock(&self.addresses).failed(network_of(address), now);
        }
    }

    /// Forgets an account's failures. Not the address's: whoever has an account
    /// could otherwise clear them between guesses at others'.
    pub fn forget(&self, account: &[u8; 32]) {
        lock(&self.accounts).counted.remove(account);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock can panic")
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Timestamp,
    /// How long after `last` the next try may come, in milliseconds.
    wait: i64,
}

#[derive(Debug)]
struct Counters<K> {
    limit: u32,
    longest: i64,
    counted: HashMap<K, Count>,
}

impl<K: Copy + Eq + Hash> Counters<K> {
    fn new(limit: u32, longest: i64) -> Self {
        Self { limit, longest, counted: HashMap::new() }
    }

    /// How long to wait from now on, in milliseconds.
    fn wait(&mut self, key: &K, now: Timestamp) -> u64 {
        let Some(count) = self.counted.get_mut(key) else { return 0 };
        // When the clock was set back, the wait begins anew: else it would last
        // until the clock is where it was.
        count.last = count.last.min(now);
        let since = now.millis().saturating_sub(count.last.millis());
        let left = count.wait.saturating_sub(since);
        u64::try_from(left).unwrap_or(0)
    }

    fn failed(&mut self, key: K, now: Timestamp) {
        if self.counted.len() >= MOST && !self.counted.contains_key(&key) {
            self.make_room(now);
        }
        let fresh = Count { failures: 0, last: now, wait: 0 };
        let count = self.counted.entry(key).or_insert(fresh);
        if outlived(count, now) {
            *count = fresh;
        }
        // Slips that come now and then, as from a whole office behind one
        // address, must not add up.
        let quiet = now.millis().saturating_sub(count.last.millis()) / (2 * self.longest);
        count.failures >>= quiet.clamp(0, 31);
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        count.wait = match count.failures.checked_sub(self.limit) {
            None => 0,
            Some(doublings) => (1000_i64 << doublings.min(20)).min(self.longest),
        };
    }

    /// Drops what is outlived, and if that is not enough, the oldest half: an
    /// attacker with so many addresses is not slowed down by this anyway.
    fn make_room(&mut self, now: Timestamp) {
        self.counted.retain(|_, count| !outlived(count, now));
        if self.counted.len() >= MOST {
            let mut times: Vec<_> = self.counted.values().map(|count| count.last).collect();
            let (_, middle, _) = times.select_nth_unstable(MOST / 2);
            let middle = *middle;
            self.counted.retain(|_, count| count.last > middle);
        }
    }
}

fn outlived(count: &Count, now: Timestamp) -> bool {
    now.millis().saturating_sub(count.last.millis()) >= FORGET_MILLIS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn waits_begin_at_the_limit_double_and_end() {
        let mut counters = Counters::new(3, 60_000);
        let mut waits = Vec::new();
        for _ in 0..12 {
            counters.failed("k", at(0));
            waits.push(counters.wait(&"k", at(0)) / 1000);
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(counters.wait(&"k", at(59_999)), 1);
        assert_eq!(counters.wait(&"k", at(60_000)), 0);
        counters.failed("k", at(240_000));
        // Twelve, halved twice, and one more.
        assert_eq!(counters.wait(&"k", at(240_000)), 2000);
        counters.failed("k", at(240_000 + FORGET_MILLIS));
        let now = at(240_000 + FORGET_MILLIS);
        assert_eq!(counters.wait(&"k", now), 0, "long ago is forgotten");
        for _ in 0..1000 {
            counters.failed("k", now);
        }
        assert_eq!(counters.wait(&"k", now), 60_000);
    }

    #[test]
    fn a_clock_that_was_set_back_lets_nobody_wait_longer_than_the_longest_wait() {
        let mut counters = Counters::new(1, 60_000);
        for _ in 0..20 {
            counters.failed("k", at(86_400_000));
        }
        assert_eq!(counters.wait(&"k", at(0)), 60_000);
        assert_eq!(counters.wait(&"k", at(59_999)), 1);
        assert_eq!(counters.wait(&"k", at(60_000)), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut counters = Counters::new(1, 60_000);
        for n in 0..3 * MOST {
            counters.failed(n, at(n as i64));
            assert!(counters.counted.len() <= MOST);
        }
        assert!(counters.wait(&(3 * MOST - 1), at(3 * MOST as i64 - 1)) > 0);
    }

    #[test]
    fn zero_is_no_limit() {
        let failures = Failures::new(0);
        for _ in 0..100 {
            failures.failed(&[1; 32], Some([127, 0, 0, 1].into()), at(0));
        }
        assert!(failures.check(&[1; 32], Some([127, 0, 0, 1].into()), at(0)).is_ok());
    }
}
