//! Time: milliseconds since the epoch, and who says what time it is.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. On the wire it is
/// `YYYY-MM-DDTHH:MM:SS.mmmZ` (RFC 3339, UTC, always three decimals).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From RFC 3339 text with any offset. There, years have four digits; jiff
    /// reads others, too, which would not be written back as they came.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = text.parse::<jiff::Timestamp>().ok()?;
        let time = Self(moment.as_millisecond());
        (time >= YEAR_0).then_some(time)
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }
}

/// 0000-01-01T00:00:00.000Z.
const YEAR_0: Timestamp = Timestamp(-62_167_219_200_000);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A stored number outside the years that jiff knows can only come from
        // a damaged row; the nearest end is shown instead of a panic.
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

/// Stored form only: no request carries a time that becomes a `Timestamp`.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }
}

/// Where the time comes from. A parameter, so that tests can say what time it
/// is and none of them sleeps.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
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
    fn what_is_parsed_is_written_back() {
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
        // Found by the fuzz target `texts`: they came back as another text.
        for text in
            ["-000001-01-01T00:00:00Z", "-009999-01-02T00:00:00Z", "0000-01-01T00:00:00+01:00"]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_damaged_row_cannot_panic_the_clock() {
        assert!(Timestamp::from_millis(i64::MAX).to_string().starts_with("9999"));
        assert!(!Timestamp::from_millis(i64::MIN).to_string().is_empty());
    }
}
