//! When a changeset was committed.

use std::fmt;
use std::ops::Add;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in whole microseconds, UTC, of a year from 1 to 9999.
///
/// Displayed as RFC 3339 with six fractional digits, identically on every backend:
/// `2026-11-21T09:30:00.000001Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The current time, by this machine's clock.
    pub fn now() -> Self {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Self(micros)
    }

    /// Reads an RFC 3339 time, and takes one without a zone as UTC.
    ///
    /// For times that another system has written. [`FromStr`] wants the zone.
    ///
    /// ```
    /// use ees_store::Timestamp;
    /// let zoned = Timestamp::parse_assuming_utc("2021-04-05T06:07:08.000009+00:00")?;
    /// assert_eq!(Timestamp::parse_assuming_utc("2021-04-05T06:07:08.000009")?, zoned);
    /// assert!("2021-04-05T06:07:08.000009".parse::<Timestamp>().is_err());
    /// # Ok::<(), ees_store::InvalidTimestamp>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidTimestamp`] for any other text.
    pub fn parse_assuming_utc(text: &str) -> Result<Self, InvalidTimestamp> {
        text.parse().or_else(|error| format!("{text}Z").parse().map_err(|_| error))
    }

    /// The earliest and the latest moment: 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z.
    const RANGE: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

    /// The time this many microseconds after 1970-01-01T00:00:00Z, clamped to the years 1 to 9999.
    pub const fn from_micros(micros: i64) -> Self {
        let (earliest, latest) = Self::RANGE;
        if micros < earliest {
            Self(earliest)
        } else if micros > latest {
            Self(latest)
        } else {
            Self(micros)
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// One microsecond later: the earliest time that the stream's next changeset may have.
    #[must_use]
    pub const fn next(self) -> Self {
        Self::from_micros(self.0.saturating_add(1))
    }

    /// The time that is this much later, or the latest that can be written.
    #[must_use]
    pub fn later_by(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time that is this much earlier, or the earliest that can be written.
    #[must_use]
    pub fn earlier_by(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long ago this was; zero for a time in the future.
    pub fn elapsed(self) -> Duration {
        let micros = Self::now().0.saturating_sub(self.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

/// This much later, at most at the end of the year 9999.
impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, later: Duration) -> Self {
        let micros = i64::try_from(later.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }
}

/// Where microseconds are counted from. With dates, and not with jiff's own moments: those end before the year
/// 9999 does, so that they have a date in every time zone.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(SignedDuration::from_micros(self.0)) {
            Ok(moment) => write!(f, "{moment:.6}Z"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// A text that is not an RFC 3339 time, or is one of another year than 1 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time such as 2026-11-21T09:30:00.000001Z, of a year from 0001 to 9999")]
pub struct InvalidTimestamp(String);

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let (earliest, latest) = Self::RANGE;
        let micros = micros(text).filter(|micros| (earliest..=latest).contains(micros));
        micros.map(Self).ok_or_else(|| InvalidTimestamp(text.to_owned()))
    }
}

fn micros(text: &str) -> Option<i64> {
    let pieces = Pieces::parse(text).ok()?;
    let moment = pieces.date().to_datetime(pieces.time()?);
    let offset = SignedDuration::from_secs(pieces.to_numeric_offset()?.seconds().into());
    // Down, also before 1970: the last moment of the year 0 is none of the year 1.
    i64::try_from((moment.duration_since(EPOCH) - offset).as_nanos().div_euclid(1_000)).ok()
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_can_not_be_written_is_the_nearest_that_can() {
        for micros in [i64::MIN, i64::MAX, 1_795_253_400_000_000_000] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn the_first_and_the_last_moment_are_read_and_none_beyond() {
        let (earliest, latest) = Timestamp::RANGE;
        for (text, micros) in [
            ("0001-01-01T00:00:00Z", earliest),
            ("0001-01-01T02:00:00+02:00", earliest),
            ("9999-12-31T23:59:59Z", latest - 999_999),
            ("9999-12-31T23:59:59.999999Z", latest),
            ("9999-12-31T21:59:59.999999-02:00", latest),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp(micros)), "{text}");
            assert_eq!(Timestamp(micros).to_string().parse(), Ok(Timestamp(micros)), "{text}");
        }
        assert_eq!(Timestamp(earliest).to_string(), "0001-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp(latest).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(Timestamp(latest).next(), Timestamp(latest));
        for text in [
            "0001-01-01T00:00:00+00:01",
            "0000-12-31T23:59:59Z",
            "0000-12-31T23:59:59.9999999Z",
            "-000001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "+010000-01-01T00:00:00Z",
            "2021-04-05",
            "2021-04-05T06:07:08",
        ] {
            let error = text.parse::<Timestamp>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("9999"), "{error}");
        }
    }

    #[test]
    fn a_time_moves_by_a_duration_and_stays_one_that_can_be_written() {
        let time = Timestamp::from_micros(5_000_000);
        assert_eq!(time.later_by(Duration::from_secs(2)).as_micros(), 7_000_000);
        assert_eq!(time.earlier_by(Duration::from_secs(6)).as_micros(), -1_000_000);
        let (earliest, latest) = Timestamp::RANGE;
        assert_eq!(time.later_by(Duration::MAX), Timestamp(latest));
        assert_eq!(time.earlier_by(Duration::MAX), Timestamp(earliest));
    }

    #[test]
    fn a_time_without_a_zone_is_utc() {
        for written in
            ["2021-04-05T06:07:08.000009Z", "2021-04-05T06:07:08.000009", "2021-04-05T08:07:08.000009+02:00"]
        {
            let time = Timestamp::parse_assuming_utc(written).unwrap();
            assert_eq!(time.to_string(), "2021-04-05T06:07:08.000009Z");
        }
        let refused = Timestamp::parse_assuming_utc("yesterday");
        assert_eq!(refused, Err(InvalidTimestamp("yesterday".to_owned())));
    }

    #[test]
    fn of_what_is_shorter_than_a_microsecond_nothing_is_kept() {
        for (written, micros) in [
            ("1970-01-01T00:00:00.0000019Z", 1),
            ("1969-12-31T23:59:59.9999981Z", -2),
            ("1970-01-01T00:00:00,5Z", 500_000),
        ] {
            assert_eq!(written.parse(), Ok(Timestamp::from_micros(micros)), "{written}");
        }
    }

    #[test]
    fn a_time_is_written_with_six_digits_and_reads_back_the_same() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_253_400_000_001, "2026-11-21T09:30:00.000001Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
        }
    }
}
