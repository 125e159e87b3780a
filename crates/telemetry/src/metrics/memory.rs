//! What is kept in memory: the names of all series, and the pieces of their data that change.
//!
//! A piece stays from its first change until it is in the file and has been left alone for a while,
//! so what is asked for each second is not read from the disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use super::disk::{ChunkKey, SeriesRecord};
use super::id::{MetricId, Unit};
use super::point::{Point, Values};
use super::tier::{Chunk, Tier};
use super::{MetricsError, Refused};

/// A piece that is in the file leaves memory when nothing came for so many seconds.
const IDLE: i64 = 900;
/// To make room, series may be forgotten that had nothing for so many seconds …
const EXPENDABLE: i64 = 3600;
/// … this many at once.
const FORGOTTEN_AT_ONCE: usize = 256;
/// A series' record is written again when something comes so many seconds after what it says.
const LAST_WITHIN: i64 = 3600;

/// Measurements of one metric at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Of what.
    pub id: MetricId,
    /// In what.
    pub unit: Unit,
    /// When.
    pub at: Timestamp,
    /// What was measured.
    pub values: Values,
    /// How finely its time is kept.
    pub resolution: Resolution,
}

/// How finely the time of a sample is kept: `StorageResolution`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resolution {
    /// To the second for three hours, to the minute after that.
    High,
    /// To the minute.
    #[default]
    Standard,
}

/// Reads a piece of data from the file.
pub(crate) type Load<'a> = &'a dyn Fn(ChunkKey) -> Result<Option<Chunk>, MetricsError>;

/// The data of one metric in one unit.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) number: u64,
    pub(crate) unit: Unit,
    pub(crate) high: bool,
    /// The second in which something last came.
    pub(crate) last: i64,
    /// `last` as the file has it; none if the file does not have the series.
    written: Option<i64>,
    chunks: [BTreeMap<i64, Chunk>; 4],
}

/// All series.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) metrics: BTreeMap<Arc<MetricId>, Vec<Series>>,
    count: usize,
    most: usize,
    next: u64,
    /// Series that were forgotten and are in the file still.
    forgotten: Vec<u64>,
}

/// What the file has to be given.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) series: Vec<(u64, SeriesRecord)>,
    pub(crate) chunks: Vec<(ChunkKey, Vec<u8>)>,
    pub(crate) forgotten: Vec<u64>,
}

impl Dirty {
    /// Whether the file has everything.
    pub(crate) const fn is_empty(&self) -> bool {
        self.series.is_empty() && self.chunks.is_empty() && self.forgotten.is_empty()
    }
}

impl Memory {
    /// At most so many series; these are there already.
    pub(crate) fn new(most: usize, known: Vec<(u64, SeriesRecord)>) -> Self {
        let mut memory = Self {
            metrics: BTreeMap::new(),
            count: 0,
            most,
            next: known.iter().map(|(number, _)| number + 1).max().unwrap_or(1),
            forgotten: Vec::new(),
        };
        for (number, record) in known {
            let series = Series {
                number,
                unit: record.unit,
                high: record.high,
                last: record.last,
                written: Some(record.last),
                chunks: Default::default(),
            };
            memory.metrics.entry(Arc::new(record.id)).or_default().push(series);
            memory.count += 1;
        }
        memory
    }

    /// How many series there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Makes sure that the series of these samples exist.
    pub(crate) fn admit(&mut self, samples: &[Sample], now: i64) -> Result<(), MetricsError> {
        samples.iter().try_for_each(|sample| self.series(sample, now).map(drop))
    }

    /// The series of a sample, made if need be.
    fn series(&mut self, sample: &Sample, now: i64) -> Result<&mut Series, MetricsError> {
        let known = |all: &Vec<Series>| all.iter().any(|series| series.unit == sample.unit);
        if !self.metrics.get(&sample.id).is_some_and(known) {
            self.make(sample, now)?;
        }
        let all = self.metrics.get_mut(&sample.id);
        let mut found = all.into_iter().flatten().filter(|series| series.unit == sample.unit);
        let series = found.next().ok_or(MetricsError::Closed)?;
        if sample.resolution == Resolution::High && !series.high {
            (series.high, series.written) = (true, None);
        }
        Ok(series)
    }

    fn make(&mut self, sample: &Sample, now: i64) -> Result<(), MetricsError> {
        if self.count >= self.most {
            self.forget(now);
        }
        if self.count >= self.most {
            let why = format!(
                "There are {} metrics, as many as there may be, and all of them had data in the last \
                 hour. Use fewer dimensions.",
                self.count
            );
            return Err(MetricsError::refused(Refused::Limit, why));
        }
        let series = Series {
            number: self.next,
            unit: sample.unit,
            high: sample.resolution == Resolution::High,
            last: now,
            written: None,
            chunks: Default::default(),
        };
        (self.next, self.count) = (self.next + 1, self.count + 1);
        self.metrics.entry(Arc::new(sample.id.clone())).or_default().push(series);
        Ok(())
    }

    /// Forgets the series that had nothing for the longest time.
    fn forget(&mut self, now: i64) {
        let idle = |series: &&Series| series.last < now - EXPENDABLE;
        let mut oldest: Vec<(i64, u64)> = self
            .metrics
            .values()
            .flatten()
            .filter(idle)
            .map(|series| (series.last, series.number))
            .collect();
        oldest.sort_unstable();
        oldest.truncate(FORGOTTEN_AT_ONCE);
        let numbers: std::collections::BTreeSet<u64> =
            oldest.into_iter().map(|(_, number)| number).collect();
        self.metrics.retain(|_, all| {
            all.retain(|series| !numbers.contains(&series.number));
            !all.is_empty()
        });
        self.count -= numbers.len();
        self.forgotten.extend(numbers);
    }

    /// Adds a sample to its buckets in every tier that still keeps its time.
    pub(crate) fn add(
        &mut self,
        sample: &Sample,
        now: i64,
        load: Load<'_>,
    ) -> Result<(), MetricsError> {
        let Some(point) = sample.values.point() else { return Ok(()) };
        let at = sample.at.as_secs();
        let series = self.series(sample, now)?;
        series.last = series.last.max(now);
        let high = sample.resolution == Resolution::High;
        for tier in Tier::ALL {
            if at < now - tier.keep() || (tier == Tier::Second && !high) {
                continue;
            }
            let start = at.div_euclid(tier.chunk()) * tier.chunk();
            let bucket = u16::try_from((at - start) / tier.width()).unwrap_or(u16::MAX);
            let chunks = &mut series.chunks[tier.index()];
            let chunk = match chunks.entry(start) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let found = load((tier.number(), start, series.number))?;
                    place.insert(found.unwrap_or_default())
                }
            };
            chunk.add(bucket, &point, now);
        }
        Ok(())
    }

    /// Takes what the file does not have; [`Memory::failed`] gives it back.
    pub(crate) fn take_dirty(&mut self) -> Dirty {
        let mut dirty =
            Dirty { forgotten: std::mem::take(&mut self.forgotten), ..Dirty::default() };
        for (id, all) in &mut self.metrics {
            for series in all {
                if series.written.is_none_or(|last| series.last - last > LAST_WITHIN) {
                    series.written = Some(series.last);
                    let (unit, high, last) = (series.unit, series.high, series.last);
                    let record = SeriesRecord { id: MetricId::clone(id), unit, high, last };
                    dirty.series.push((series.number, record));
                }
                for tier in Tier::ALL {
                    for (start, chunk) in &mut series.chunks[tier.index()] {
                        if std::mem::take(&mut chunk.dirty) {
                            let key = (tier.number(), *start, series.number);
                            dirty.chunks.extend(chunk.encode().map(|bytes| (key, bytes)));
                        }
                    }
                }
            }
        }
        dirty
    }

    /// What was taken did not get into the file.
    pub(crate) fn failed(&mut self, dirty: Dirty) {
        self.forgotten.extend(dirty.forgotten);
        let keys: std::collections::BTreeSet<ChunkKey> =
            dirty.chunks.into_iter().map(|(key, _)| key).collect();
        let numbers: std::collections::BTreeSet<u64> =
            dirty.series.into_iter().map(|(number, _)| number).collect();
        for series in self.metrics.values_mut().flatten() {
            if numbers.contains(&series.number) {
                series.written = None;
            }
            for tier in Tier::ALL {
                for (start, chunk) in &mut series.chunks[tier.index()] {
                    chunk.dirty |= keys.contains(&(tier.number(), *start, series.number));
                }
            }
        }
    }

    /// Drops pieces that are in the file and were left alone.
    pub(crate) fn trim(&mut self, now: i64) {
        for series in self.metrics.values_mut().flatten() {
            for chunks in &mut series.chunks {
                chunks.retain(|_, chunk| chunk.dirty || chunk.touched > now - IDLE);
            }
        }
    }
}

/// A stretch of time, cut into periods that begin at `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first second.
    pub(crate) from: i64,
    /// The second after the last.
    pub(crate) to: i64,
    /// Seconds of a period.
    pub(crate) period: i64,
}

/// What was found of a series: points by the period that they fall into, and where more may be.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) periods: BTreeMap<i64, Point>,
    missing: Vec<ChunkKey>,
}

impl Series {
    /// What memory has of a span.
    pub(crate) fn find(&self, span: Span, now: i64) -> Found {
        let mut found = Found::default();
        let tier = Tier::for_period(span.period, span.from, self.high);
        // Nothing is older, and a range without bounds is not walked.
        let from = span.from.max(now - tier.keep());
        let to = span.to.min(now + FUTURE);
        let mut start = from.div_euclid(tier.chunk()) * tier.chunk();
        while start < to {
            match self.chunks[tier.index()].get(&start) {
                Some(chunk) => found.take(chunk, tier, start, span, from),
                None => found.missing.push((tier.number(), start, self.number)),
            }
            start += tier.chunk();
        }
        found
    }
}

/// Nothing is later than so many seconds from now: more than CloudWatch's two hours.
const FUTURE: i64 = 3 * 3600;

impl Found {
    fn take(&mut self, chunk: &Chunk, tier: Tier, start: i64, span: Span, from: i64) {
        for (bucket, point) in &chunk.points {
            let at = start + i64::from(*bucket) * tier.width();
            // A bucket that began before the span is not wholly in it.
            if at < from || at >= span.to {
                continue;
            }
            let period = span.from + (at - span.from).div_euclid(span.period) * span.period;
            match self.periods.get_mut(&period) {
                Some(all) => all.merge(point),
                None => drop(self.periods.insert(period, point.clone())),
            }
        }
    }

    /// Adds what the file has.
    pub(crate) fn complete(
        &mut self,
        span: Span,
        now: i64,
        load: impl FnOnce(&[ChunkKey]) -> Result<Vec<Chunk>, MetricsError>,
    ) -> Result<(), MetricsError> {
        let keys = std::mem::take(&mut self.missing);
        let chunks = load(&keys)?;
        for ((tier, start, _), chunk) in keys.into_iter().zip(chunks) {
            let Some(tier) = Tier::ALL.into_iter().find(|known| known.number() == tier) else {
                continue;
            };
            let from = span.from.max(now - tier.keep());
            self.take(&chunk, tier, start, span, from);
        }
        Ok(())
    }
}
