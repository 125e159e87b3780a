//! An instant as a value: milliseconds since the Unix epoch, in UTC.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant in UTC with millisecond resolution, as AWS tells time. It is always an argument: the
/// one real clock lives in `shell`.
// The milliseconds with their sign's bit turned, which orders alike. The one number that is missing
// says "none": tasks have many instants that they may not have reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Timestamp(NonZeroU64);

impl Default for Timestamp {
    fn default() -> Self {
        Self::EPOCH
    }
}

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Self::from_millis(millis)
    }
}

impl From<Timestamp> for i64 {
    fn from(instant: Timestamp) -> Self {
        instant.as_millis()
    }
}

const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self::from_millis(0);

    /// An instant from milliseconds since the Unix epoch. The earliest number is the one after it.
    pub const fn from_millis(millis: i64) -> Self {
        match NonZeroU64::new(millis.cast_unsigned() ^ SIGN) {
            Some(turned) => Self(turned),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// An instant from seconds since the Unix epoch, rounded to a millisecond. Not a number is the
    /// epoch; what lies outside the range is clamped to it.
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, as documented")]
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self::from_millis((seconds * 1000.0).round() as i64)
    }

    /// Seconds since the Unix epoch, the form in which AWS's JSON protocols carry time.
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
    pub fn as_secs_f64(self) -> f64 {
        self.as_millis() as f64 / 1000.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.as_millis().div_euclid(1000)
    }

    /// How long after `earlier` this instant is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.as_millis().saturating_sub(earlier.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// `20261122T143057Z`, the basic form of ISO 8601 that Signature Version 4 uses.
    pub fn iso_basic(self) -> String {
        let t = self.civil();
        format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }

    /// `2026-11-22T14:30:57.123Z`, as RFC 3339 has it.
    pub fn rfc3339(self) -> String {
        let t = self.civil();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            t.year(),
            t.month(),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            self.as_millis().rem_euclid(1000)
        )
    }

    /// Reads any RFC 3339 instant, or the basic form `20261122T143057Z`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Some(Self::from_millis(instant.as_millisecond()));
        }
        let civil = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
        let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self::from_millis(zoned.timestamp().as_millisecond()))
    }

    fn civil(self) -> jiff::civil::DateTime {
        let (millis, min, max) = (self.as_millis(), jiff::Timestamp::MIN, jiff::Timestamp::MAX);
        let clamped = if millis < 0 { min } else { max };
        let instant = jiff::Timestamp::from_millisecond(millis).unwrap_or(clamped);
        jiff::tz::Offset::UTC.to_datetime(instant)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_add(by))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_sub(by))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_back() {
        let t = Timestamp::from_millis(1_795_357_857_123);
        assert_eq!(t.rfc3339(), "2026-11-22T14:30:57.123Z");
        assert_eq!(t.iso_basic(), "20261122T143057Z");
        assert_eq!(Timestamp::parse(&t.rfc3339()), Some(t));
        assert_eq!(
            Timestamp::parse("20261122T143057Z"),
            Some(Timestamp::from_millis(1_795_357_857_000))
        );
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn instants_order_as_their_milliseconds_and_none_takes_no_room() {
        let all = [i64::MIN + 1, -1, 0, 1, i64::MAX];
        for (before, after) in all.iter().zip(&all[1..]) {
            assert_eq!(Timestamp::from_millis(*before).as_millis(), *before);
            assert!(Timestamp::from_millis(*before) < Timestamp::from_millis(*after));
        }
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MIN + 1));
        assert_eq!(Timestamp::default(), Timestamp::EPOCH);
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
    }

    #[test]
    fn arithmetic_saturates() {
        let late = Timestamp::from_millis(i64::MAX);
        assert_eq!(late + Duration::MAX, late);
        assert_eq!(Timestamp::EPOCH.since(late), Duration::ZERO);
        assert_eq!(Timestamp::from_secs_f64(f64::NAN), Timestamp::EPOCH);
        assert!(!late.rfc3339().is_empty());
    }
}
