//! Failed logins, and the delay before the next attempt.
//!
//! Failures are counted per client network and per account, whether the account exists or not. From
//! the configured number on, each further failure doubles the delay, from one second up to a maximum;
//! quiet time halves the count. Unlike the rate limits in `limits`, this counts failures only, and
//! clears an account's count when its owner logs in.
//!
//! Owns: the counters, in memory only.
//! Must never: keep the address that was typed (it may be a password), grow without bound, or lock
//! anybody out permanently.
//! Called by: `sessions` at a login and `users` at a change of password.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use crate::access::limits::{LimitExceeded, LimitKind, network_of};
use crate::domain::{Timestamp, lock};

/// The longest delay for an account. Short, because other people's failures can cause it.
const ACCOUNT_MAX_MILLIS: i64 = 60_000;
/// The longest delay for an address.
const ADDRESS_MAX_MILLIS: i64 = 900_000;
/// The time without a failure after which earlier ones are forgotten.
const FORGET_MILLIS: i64 = 3_600_000;
/// The most accounts, and the most addresses, that are remembered.
const MAX_ENTRIES: usize = 65_536;

/// The counters of all accounts and addresses.
#[derive(Debug)]
pub(super) struct LoginFailures {
    limit: u32,
    accounts: Mutex<FailureCounters<[u8; 32]>>,
    addresses: Mutex<FailureCounters<IpAddr>>,
}

impl LoginFailures {
    /// Delays attempts after this many failures; 0 disables the delay.
    pub fn new(limit: u32) -> Self {
        let accounts = Mutex::new(FailureCounters::new(limit, ACCOUNT_MAX_MILLIS));
        let addresses = Mutex::new(FailureCounters::new(limit, ADDRESS_MAX_MILLIS));
        Self { limit, accounts, addresses }
    }

    /// Fails if an attempt has to wait.
    pub fn check(
        &self,
        account: &[u8; 32],
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(), LimitExceeded> {
        let account = lock(&self.accounts).wait(account, now);
        let address =
            address.map_or(0, |address| lock(&self.addresses).wait(&network_of(address), now));
        match account.max(address) {
            0 => Ok(()),
            millis => Err(LimitExceeded {
                what: LimitKind::FailedLogins,
                limit: self.limit,
                wait: Duration::from_millis(millis),
            }),
        }
    }

    /// Counts a failure.
    pub fn count(&self, account: &[u8; 32], address: Option<IpAddr>, now: Timestamp) {
        if self.limit == 0 {
            return;
        }
        lock(&self.accounts).count(*account, now);
        if let Some(address) = address {
            lock(&self.addresses).count(network_of(address), now);
        }
    }

    /// Clears the failures of an account. Not those of the address: otherwise anybody with an account
    /// could clear them between guesses at other accounts.
    pub fn forget(&self, account: &[u8; 32]) {
        lock(&self.accounts).counted.remove(account);
    }
}

#[derive(Debug, Clone, Copy)]
struct FailureCount {
    failures: u32,
    last: Timestamp,
    /// The time from `last` until the next attempt is allowed, in milliseconds.
    wait: i64,
}

#[derive(Debug)]
struct FailureCounters<K> {
    limit: u32,
    longest: i64,
    counted: HashMap<K, FailureCount>,
}

impl<K: Copy + Eq + Hash> FailureCounters<K> {
    fn new(limit: u32, longest: i64) -> Self {
        Self { limit, longest, counted: HashMap::new() }
    }

    /// Returns the time until the next attempt is allowed, in milliseconds.
    fn wait(&mut self, key: &K, now: Timestamp) -> u64 {
        let Some(count) = self.counted.get_mut(key) else { return 0 };
        // If the clock was set back, the delay starts again: otherwise it would last until the
        // clock reaches the old time.
        count.last = count.last.min(now);
        let since = now.millis().saturating_sub(count.last.millis());
        let left = count.wait.saturating_sub(since);
        u64::try_from(left).unwrap_or(0)
    }

    fn count(&mut self, key: K, now: Timestamp) {
        if self.counted.len() >= MAX_ENTRIES && !self.counted.contains_key(&key) {
            self.evict(now);
        }
        let fresh = FailureCount { failures: 0, last: now, wait: 0 };
        let count = self.counted.entry(key).or_insert(fresh);
        if is_expired(count, now) {
            *count = fresh;
        }
        // Occasional mistakes, such as those of a whole office behind one address, must not add up.
        let quiet = now.millis().saturating_sub(count.last.millis()) / (2 * self.longest);
        count.failures >>= quiet.clamp(0, 31);
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        count.wait = match count.failures.checked_sub(self.limit) {
            None => 0,
            Some(doublings) => (1000_i64 << doublings.min(20)).min(self.longest),
        };
    }

    /// Drops expired counts and, if that is not enough, the older half: an attacker with this many
    /// addresses is not slowed down anyway.
    fn evict(&mut self, now: Timestamp) {
        self.counted.retain(|_, count| !is_expired(count, now));
        if self.counted.len() >= MAX_ENTRIES {
            let mut times: Vec<_> = self.counted.values().map(|count| count.last).collect();
            let (_, middle, _) = times.select_nth_unstable(MAX_ENTRIES / 2);
            let middle = *middle;
            self.counted.retain(|_, count| count.last > middle);
        }
    }
}

fn is_expired(count: &FailureCount, now: Timestamp) -> bool {
    now.millis().saturating_sub(count.last.millis()) >= FORGET_MILLIS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn delays_start_at_the_limit_double_and_end() {
        let mut counters = FailureCounters::new(3, 60_000);
        let mut waits = Vec::new();
        for _ in 0..12 {
            counters.count("k", at(0));
            waits.push(counters.wait(&"k", at(0)) / 1000);
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(counters.wait(&"k", at(59_999)), 1);
        assert_eq!(counters.wait(&"k", at(60_000)), 0);
        counters.count("k", at(240_000));
        // Twelve failures, halved twice, plus one.
        assert_eq!(counters.wait(&"k", at(240_000)), 2000);
        counters.count("k", at(240_000 + FORGET_MILLIS));
        let now = at(240_000 + FORGET_MILLIS);
        assert_eq!(counters.wait(&"k", now), 0, "old failures are forgotten");
        for _ in 0..1000 {
            counters.count("k", now);
        }
        assert_eq!(counters.wait(&"k", now), 60_000);
    }

    #[test]
    fn a_clock_set_back_does_not_exceed_the_longest_delay() {
        let mut counters = FailureCounters::new(1, 60_000);
        for _ in 0..20 {
            counters.count("k", at(86_400_000));
        }
        assert_eq!(counters.wait(&"k", at(0)), 60_000);
        assert_eq!(counters.wait(&"k", at(59_999)), 1);
        assert_eq!(counters.wait(&"k", at(60_000)), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut counters = FailureCounters::new(1, 60_000);
        for n in 0..3 * MAX_ENTRIES {
            counters.count(n, at(n as i64));
            assert!(counters.counted.len() <= MAX_ENTRIES);
        }
        assert!(counters.wait(&(3 * MAX_ENTRIES - 1), at(3 * MAX_ENTRIES as i64 - 1)) > 0);
    }

    #[test]
    fn zero_disables_the_delay() {
        let failures = LoginFailures::new(0);
        for _ in 0..100 {
            failures.count(&[1; 32], Some([127, 0, 0, 1].into()), at(0));
        }
        assert!(failures.check(&[1; 32], Some([127, 0, 0, 1].into()), at(0)).is_ok());
    }
}
