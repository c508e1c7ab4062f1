//! Timestamps, and the clock that supplies them.
//!
//! Owns: the one format of a time on the wire.
//! Must never: read the system clock except through `SystemClock`.
//! Called by: everything; the clock is an argument, so that tests can set the time.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in milliseconds since 1970-01-01T00:00:00Z. On the wire it is
/// `YYYY-MM-DDTHH:MM:SS.mmmZ` (RFC 3339, UTC, always three decimals).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Converts milliseconds since the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Parses RFC 3339 text with any offset. Refuses years outside the four digits of RFC 3339, which
    /// jiff accepts but which would be written differently.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = text.parse::<jiff::Timestamp>().ok()?;
        let time = Self(moment.as_millisecond());
        (time >= YEAR_0).then_some(time)
    }

    /// Returns the milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }
}

/// 0000-01-01T00:00:00.000Z.
const YEAR_0: Timestamp = Timestamp(-62_167_219_200_000);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A stored number outside jiff's range can only come from a damaged row; the nearest
        // limit is shown, because a panic would break every response that includes the row.
        let moment = jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        write!(f, "{}", moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// Reads the stored form only: no request body contains a `Timestamp`.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }
}

/// A source of the current time. An argument wherever time matters, so that tests set the time and
/// never sleep.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

/// The system clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_decimals_always() {
        let shown = |ms| Timestamp::from_millis(ms).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(1_700_000_000_120), "2023-11-14T22:13:20.120Z");
        assert_eq!(shown(951_782_400_001), "2000-02-29T00:00:00.001Z");
    }

    #[test]
    fn a_parsed_time_is_written_back() {
        for (text, shown) in [
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("0000-01-01T02:00:00+02:00", "0000-01-01T00:00:00.000Z"),
            ("9999-12-30T22:00:00.999Z", "9999-12-30T22:00:00.999Z"),
            ("2026-02-28T23:59:59.9999-01:00", "2026-03-01T00:59:59.999Z"),
        ] {
            let time = Timestamp::parse(text).unwrap();
            assert_eq!(time.to_string(), shown);
            assert_eq!(Timestamp::parse(shown), Some(time));
        }
        // Found by the fuzz target `texts`: these were written back as a different text.
        for text in
            ["-000001-01-01T00:00:00Z", "-009999-01-02T00:00:00Z", "0000-01-01T00:00:00+01:00"]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_damaged_timestamp_does_not_panic() {
        assert!(Timestamp::from_millis(i64::MAX).to_string().starts_with("9999"));
        assert!(!Timestamp::from_millis(i64::MIN).to_string().is_empty());
    }
}
