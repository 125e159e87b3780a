//! How finely time is told, for how long, and in what pieces it is stored.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html>

use super::point::{Point, Spread, StatisticSet};
use super::sketch::Sketch;

/// A width of time's buckets. Every value is kept in each width that its series has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// One second: high resolution.
    Second,
    /// One minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// One hour.
    Hour,
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

impl Tier {
    /// The finest first.
    pub(crate) const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::FiveMinutes, Self::Hour];

    /// The width of a bucket, in seconds.
    pub(crate) const fn width(self) -> i64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => HOUR,
        }
    }

    /// For how many seconds it is kept, as CloudWatch keeps it.
    pub(crate) const fn keep(self) -> i64 {
        match self {
            Self::Second => 3 * HOUR,
            Self::Minute => 15 * DAY,
            Self::FiveMinutes => 63 * DAY,
            Self::Hour => 455 * DAY,
        }
    }

    /// The width of what is stored as one record, in seconds: 24 to 72 buckets.
    pub(crate) const fn chunk(self) -> i64 {
        match self {
            Self::Second => 60,
            Self::Minute => HOUR,
            Self::FiveMinutes => 6 * HOUR,
            Self::Hour => DAY,
        }
    }

    /// Its place in [`Tier::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Its number in the file.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// The coarsest of the tiers from which periods of this many seconds that begin at `origin` can
    /// be put together; for a period that is too fine for the series, the finest that it has.
    pub(crate) fn for_period(period: i64, origin: i64, high: bool) -> Self {
        let fits = |tier: &Self| period % tier.width() == 0 && origin % tier.width() == 0;
        let has = |tier: &Self| high || *tier != Self::Second;
        let finest = if high { Self::Second } else { Self::Minute };
        Self::ALL.into_iter().rev().filter(has).find(fits).unwrap_or(finest)
    }
}

/// The buckets of one record: numbers within it, and points, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) points: Vec<(u16, Point)>,
    /// Whether the file does not have it like this.
    pub(crate) dirty: bool,
    /// The second in which it was last changed.
    pub(crate) touched: i64,
}

/// A point as it is stored: bucket, sum, count, least, greatest, what is known of the spread (0: all
/// are the same, 1: nothing, 2: the buckets that follow).
type Stored = (u16, f64, f64, f64, f64, u8, Vec<(i32, f64)>);

impl Chunk {
    /// Adds to a bucket.
    pub(crate) fn add(&mut self, bucket: u16, point: &Point, now: i64) {
        match self.points.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.points[at].1.merge(point),
            Err(at) => self.points.insert(at, (bucket, point.clone())),
        }
        self.dirty = true;
        self.touched = now;
    }

    /// The record's bytes; none if it cannot be written, which no chunk is.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let stored: Vec<Stored> = self
            .points
            .iter()
            .map(|(bucket, Point { set, spread })| {
                let (known, buckets) = match spread {
                    Spread::Same => (0, Vec::new()),
                    Spread::Unknown => (1, Vec::new()),
                    Spread::Known(sketch) => (2, sketch.buckets().to_vec()),
                };
                (*bucket, set.sum, set.count, set.min, set.max, known, buckets)
            })
            .collect();
        rmp_serde::to_vec(&stored).ok()
    }

    /// Reads a record; none if it is not what this version writes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Vec<Stored> = rmp_serde::from_slice(bytes).ok()?;
        let points = stored
            .into_iter()
            .map(|(bucket, sum, count, min, max, known, buckets)| {
                let spread = match known {
                    0 => Spread::Same,
                    2 => Spread::Known(Sketch::from_buckets(buckets)),
                    _ => Spread::Unknown,
                };
                (bucket, Point { set: StatisticSet { sum, count, min, max }, spread })
            })
            .collect();
        Some(Self { points, dirty: false, touched: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_read_back() {
        let mut chunk = Chunk::default();
        chunk.add(3, &Point::of(1.5, 1.0), 7);
        chunk.add(1, &Point::of(2.5, 2.0), 7);
        chunk.add(3, &Point::of(9.0, 1.0), 7);
        let read = Chunk::decode(&chunk.encode().unwrap()).unwrap();
        assert_eq!(read.points, chunk.points);
        assert_eq!(Chunk::decode(b"nonsense"), None);
    }

    #[test]
    fn the_coarsest_tier_that_fits_is_read() {
        for (period, origin, high, expected) in [
            (1, 0, true, Tier::Second),
            (10, 10, true, Tier::Second),
            (10, 10, false, Tier::Minute),
            (60, 60, true, Tier::Minute),
            (60, 61, true, Tier::Second),
            (300, 600, true, Tier::FiveMinutes),
            (300, 660, true, Tier::Minute),
            (3600, 7200, false, Tier::Hour),
            (3600, 300, false, Tier::FiveMinutes),
            (86_400, 3600, false, Tier::Hour),
        ] {
            assert_eq!(Tier::for_period(period, origin, high), expected, "{period} {origin}");
        }
    }
}
