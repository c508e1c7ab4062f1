//! Counters for the requests of each of the last sixty minutes, and how long they took.
//!
//! Owns: the counters. They are in memory only and lost at a restart.
//! Must never: record who made a request or its path, because a client may put anything into a
//! path; cost a request more than a lock that is held for three additions.
//! Called by: `request::envelope` for each request, `handlers::status` to show them.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::domain::{Timestamp, lock};

/// How many minutes are kept, including the current one.
const MINUTES: usize = 60;
const MINUTE_MILLIS: i64 = 60_000;

/// How many buckets durations are counted in. Each is 1.5 times as wide as the one before.
const BUCKETS: usize = 36;
/// The upper bound of each bucket, in microseconds. The last bucket also counts anything longer.
const BOUNDS_MICROS: [u64; BUCKETS] = bounds();

const fn bounds() -> [u64; BUCKETS] {
    let mut bounds = [50; BUCKETS];
    let mut at = 1;
    while at < BUCKETS {
        bounds[at] = bounds[at - 1] * 3 / 2;
        at += 1;
    }
    bounds[BUCKETS - 1] = 60_000_000;
    bounds
}

/// The kind of status that a request was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusClass {
    /// Below 400.
    Success,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
}

/// The counters of one minute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minute {
    /// Minutes since 1970.
    number: i64,
    pub total: u64,
    pub client_errors: u64,
    pub server_errors: u64,
    took: [u32; BUCKETS],
}

impl Minute {
    const fn new(number: i64) -> Self {
        Self { number, total: 0, client_errors: 0, server_errors: 0, took: [0; BUCKETS] }
    }

    /// Returns when the minute began.
    pub fn start(&self) -> Timestamp {
        Timestamp::from_millis(self.number.saturating_mul(MINUTE_MILLIS))
    }

    /// Returns a percentile of the durations in milliseconds, as the upper bound of the bucket that
    /// it falls into.
    pub fn percentile_millis(&self, percent: u64) -> Option<f64> {
        let counted: u64 = self.took.iter().map(|count| u64::from(*count)).sum();
        let rank = (counted * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (count, bound) in self.took.iter().zip(BOUNDS_MICROS) {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(bound as f64 / 1000.0);
            }
        }
        None
    }

    fn count(&mut self, class: StatusClass, took: Option<Duration>) {
        self.total += 1;
        match class {
            StatusClass::Success => {}
            StatusClass::ClientError => self.client_errors += 1,
            StatusClass::ServerError => self.server_errors += 1,
        }
        if let Some(took) = took {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros).min(BUCKETS - 1);
            self.took[bucket] = self.took[bucket].saturating_add(1);
        }
    }
}

/// The last sixty minutes. A minute's slot is its number modulo sixty, so a slot may contain a
/// minute of another hour.
#[derive(Debug)]
pub(super) struct Traffic {
    slots: [Mutex<Minute>; MINUTES],
}

impl Default for Traffic {
    fn default() -> Self {
        Self { slots: std::array::from_fn(|_| Mutex::new(Minute::new(i64::MIN))) }
    }
}

impl Traffic {
    /// Counts an answered request. `took` is `None` if its duration says nothing about the server.
    pub fn count(&self, now: Timestamp, class: StatusClass, took: Option<Duration>) {
        let number = number_of(now);
        let mut slot = self.slot(number);
        // From an hour ago, or from the future if the clock was set back.
        if slot.number != number {
            *slot = Minute::new(number);
        }
        slot.count(class, took);
    }

    /// Returns sixty minutes, oldest first. The last one is the current minute, which is not over.
    pub fn minutes(&self, now: Timestamp) -> Vec<Minute> {
        let last = number_of(now);
        let first = last.saturating_sub(MINUTES as i64 - 1);
        let found = (first..=last).map(|number| {
            let slot = self.slot(number);
            if slot.number == number { *slot } else { Minute::new(number) }
        });
        found.collect()
    }

    fn slot(&self, number: i64) -> MutexGuard<'_, Minute> {
        let at = number.rem_euclid(MINUTES as i64) as usize;
        // After a panic with the lock held, a count is at most one too low.
        lock(&self.slots[at])
    }
}

fn number_of(moment: Timestamp) -> i64 {
    moment.millis().div_euclid(MINUTE_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 30_000_000;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * MINUTE_MILLIS + 12_345)
    }

    fn micros(micros: u64) -> Option<Duration> {
        Some(Duration::from_micros(micros))
    }

    fn totals(traffic: &Traffic, now: Timestamp) -> Vec<u64> {
        traffic.minutes(now).iter().map(|minute| minute.total).collect()
    }

    fn percentiles(minute: &Minute) -> [Option<f64>; 3] {
        [50, 95, 99].map(|percent| minute.percentile_millis(percent))
    }

    #[test]
    fn bounds_grow_by_half_from_50_microseconds_to_a_minute() {
        assert_eq!(BOUNDS_MICROS[..5], [50, 75, 112, 168, 252]);
        assert_eq!(BOUNDS_MICROS[BUCKETS - 1], 60_000_000);
        for pair in BOUNDS_MICROS.windows(2) {
            let ratio = pair[1] as f64 / pair[0] as f64;
            assert!((1.2..=1.8).contains(&ratio), "{pair:?}");
        }
    }

    #[test]
    fn a_percentile_is_the_upper_bound_of_its_bucket() {
        let mut minute = Minute::new(0);
        assert_eq!(percentiles(&minute), [None; 3]);
        minute.count(StatusClass::Success, None);
        assert_eq!(percentiles(&minute), [None; 3]);
        minute.count(StatusClass::Success, micros(60));
        assert_eq!(percentiles(&minute), [Some(0.075); 3]);
        let mut minute = Minute::new(0);
        for (count, took) in [(50, 0), (45, 112), (4, 113), (1, u64::MAX)] {
            for _ in 0..count {
                minute.count(StatusClass::Success, micros(took));
            }
        }
        assert_eq!(percentiles(&minute), [Some(0.05), Some(0.112), Some(0.168)]);
        assert_eq!(minute.percentile_millis(100), Some(60_000.0));
        minute.count(StatusClass::Success, micros(75));
        assert_eq!(minute.percentile_millis(50), Some(0.075));
    }

    #[test]
    fn requests_are_counted_in_their_class() {
        let traffic = Traffic::default();
        for class in [
            StatusClass::Success,
            StatusClass::ClientError,
            StatusClass::ClientError,
            StatusClass::ServerError,
        ] {
            traffic.count(at(START), class, micros(1));
        }
        let minutes = traffic.minutes(at(START));
        let now = minutes.last().unwrap();
        assert_eq!((now.total, now.client_errors, now.server_errors), (4, 2, 1));
        assert_eq!(now.start().millis(), START * MINUTE_MILLIS);
    }

    #[test]
    fn sixty_minutes_are_shown_oldest_first_and_older_ones_forgotten() {
        let traffic = Traffic::default();
        for minute in 0..70 {
            for _ in 0..minute {
                traffic.count(at(START + minute), StatusClass::Success, micros(1));
            }
        }
        let now = at(START + 69);
        assert_eq!(totals(&traffic, now), (10..70).collect::<Vec<_>>());
        let starts: Vec<_> = traffic.minutes(now).iter().map(|one| one.number - START).collect();
        assert_eq!(starts, (10..70).collect::<Vec<_>>());
    }

    #[test]
    fn a_slot_from_an_hour_ago_is_not_shown_and_not_added_to() {
        let traffic = Traffic::default();
        traffic.count(at(START), StatusClass::ServerError, micros(1_000_000));
        let hour_later = at(START + 60);
        assert_eq!(totals(&traffic, hour_later), [0; 60]);
        traffic.count(hour_later, StatusClass::Success, micros(1));
        let minutes = traffic.minutes(hour_later);
        let now = minutes.last().unwrap();
        assert_eq!((now.total, now.server_errors), (1, 0));
        assert_eq!(percentiles(now), [Some(0.05); 3]);
    }

    #[test]
    fn a_clock_set_back_shows_nothing_of_the_future_and_keeps_counting() {
        let traffic = Traffic::default();
        traffic.count(at(START), StatusClass::Success, micros(1));
        for back in [1, 5, 59, 60, 600, START, START + 61] {
            let now = at(START - back);
            assert_eq!(totals(&traffic, now).last(), Some(&0), "{back}");
            traffic.count(now, StatusClass::Success, micros(1));
            let shown = totals(&traffic, now);
            assert_eq!((shown.len(), shown.last()), (60, Some(&1)), "{back}");
        }
    }

    #[test]
    fn a_clock_at_either_end_of_time_breaks_nothing() {
        let traffic = Traffic::default();
        for end in [i64::MIN, i64::MAX] {
            let now = Timestamp::from_millis(end);
            traffic.count(now, StatusClass::Success, micros(1));
            assert_eq!(totals(&traffic, now).last(), Some(&1));
        }
    }
}
