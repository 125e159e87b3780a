//! Data points in windows: what is seen of a metric now, and how high it has been.

use std::time::Duration;

use stdx::Timestamp;

use super::metric::Totals;

/// Data points, the oldest first.
pub type Points = Vec<(Timestamp, f64)>;

/// A window is at least so long.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// A window has at least so many data points' time.
const POINTS: u32 = 3;
/// By the highest of so many windows a policy scales in; the one before them has to be low too, so
/// that none of them is half of another time.
pub(crate) const LOW_WINDOWS: u32 = 6;
/// A window is above, or below, when this part of its data points is.
const MOST_OF: f64 = 0.8;
/// Data points that are further apart than this are not taken for a series.
const WIDEST: Duration = Duration::from_secs(300);
/// The newest data point may be later than it should by so much, or by two of its kind.
const LATE: Duration = Duration::from_secs(5);

/// So far back a first look goes: enough for data points of a second.
pub(crate) const GLANCE: Duration = Duration::from_secs(90);
/// So far back a second look goes, when the first found little: enough for those of a minute.
pub(crate) const LOOK: Duration = Duration::from_secs(1_500);

/// What is seen of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    /// In the newest window.
    pub(crate) value: f64,
    /// So many data points were in it.
    pub(crate) points: usize,
    /// The length of a window.
    pub(crate) window: Duration,
    /// Whether it is above the target, throughout and not by a few data points.
    pub(crate) high: bool,
    /// The highest value of the last six windows, if they and the one before are low.
    pub(crate) peak: Option<f64>,
}

/// Whether a first look is enough.
pub(crate) fn is_dense(points: &[(Timestamp, f64)]) -> bool {
    spacing(points).is_some_and(|spacing| spacing * POINTS <= WINDOW)
}

/// What the points show at `now`, of what was measured since `since`. None if they are too few, too
/// old or too young.
pub(crate) fn look(
    points: &[(Timestamp, f64)],
    totals: Totals,
    (target, low): (f64, f64),
    now: Timestamp,
    since: Timestamp,
) -> Option<Seen> {
    let points = sound(points, now);
    let spacing = spacing(points)?;
    let newest = points.last()?.0;
    if now.since(newest + spacing) > LATE.max(spacing * 2) {
        return None;
    }
    let window = WINDOW.max(spacing * POINTS);
    // A data point stands for the time after it.
    let end = newest + spacing;
    if end - window < since {
        return None;
    }
    let newest = cut(points, end - window, end);
    let enough = u32::try_from(newest.len()).is_ok_and(|n| n >= POINTS);
    let value = value(newest, totals, window).filter(|_| enough)?;
    let throughout = match totals {
        Totals::Level => most(newest, |value| value > target),
        // Single amounts say little: each third does.
        Totals::PerMinute => (0..3).all(|nth| {
            let (to, third) = (end - window / 3 * nth, window / 3);
            self::value(cut(newest, to - third, to), totals, third).is_some_and(|v| v > target)
        }),
    };
    let high = value > target && throughout;
    let peak = peak(points, totals, low, (end, window, since));
    Some(Seen { value, points: newest.len(), window, high, peak })
}

/// Those that are numbers and not from the future.
fn sound(points: &[(Timestamp, f64)], now: Timestamp) -> &[(Timestamp, f64)] {
    let end = points.partition_point(|(at, _)| *at <= now);
    let points = points.get(..end).unwrap_or_default();
    let bad = points.iter().rposition(|(_, value)| !value.is_finite());
    points.get(bad.map_or(0, |at| at + 1)..).unwrap_or_default()
}

/// How far apart the newest data points are: the middle one of the distances.
fn spacing(points: &[(Timestamp, f64)]) -> Option<Duration> {
    let newest = points.get(points.len().saturating_sub(12)..)?;
    let mut gaps: Vec<Duration> =
        newest.iter().zip(newest.iter().skip(1)).map(|(a, b)| b.0.since(a.0)).collect();
    gaps.sort_unstable();
    let middle = gaps.get(gaps.len() / 2)?;
    (*middle <= WIDEST).then(|| (*middle).max(Duration::from_secs(1)))
}

fn cut(points: &[(Timestamp, f64)], from: Timestamp, to: Timestamp) -> &[(Timestamp, f64)] {
    let first = points.partition_point(|(at, _)| *at < from);
    let last = points.partition_point(|(at, _)| *at < to);
    points.get(first..last).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "there are never so many data points")]
fn value(points: &[(Timestamp, f64)], totals: Totals, window: Duration) -> Option<f64> {
    let sum: f64 = points.iter().map(|(_, value)| value).sum();
    match totals {
        _ if points.is_empty() => None,
        Totals::Level => Some(sum / points.len() as f64),
        Totals::PerMinute => Some(sum / window.as_secs_f64() * 60.0),
    }
}

/// Whether most of the data points are so.
#[expect(clippy::cast_precision_loss, reason = "there are never so many data points")]
fn most(points: &[(Timestamp, f64)], is: impl Fn(f64) -> bool) -> bool {
    let count = points.iter().filter(|(_, value)| is(*value)).count();
    count as f64 >= points.len() as f64 * MOST_OF
}

/// The highest of the last windows, if all are below `low` and so is the one before; none if one of
/// them is empty or older than what counts.
fn peak(
    points: &[(Timestamp, f64)],
    totals: Totals,
    low: f64,
    (end, window, since): (Timestamp, Duration, Timestamp),
) -> Option<f64> {
    let mut peak = f64::NEG_INFINITY;
    for nth in 0..=LOW_WINDOWS {
        let to = end - window * nth;
        let from = to - window;
        if from < since {
            return None;
        }
        let points = cut(points, from, to);
        let value = value(points, totals, window)?;
        let throughout = match totals {
            Totals::Level => most(points, |value| value < low),
            Totals::PerMinute => value < low,
        };
        if !throughout || value >= low {
            return None;
        }
        if nth < LOW_WINDOWS {
            peak = peak.max(value);
        }
    }
    Some(peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Values `apart` seconds apart, the last of which ends at T0 + 1000 s.
    fn series(apart: u64, values: &[f64]) -> Points {
        let count = u64::try_from(values.len()).unwrap();
        let start = T0 + secs(1000) - secs(apart * count);
        (0..count).zip(values).map(|(n, value)| (start + secs(apart * n), *value)).collect()
    }

    fn at(points: &Points, totals: Totals, since: u64) -> Option<Seen> {
        look(points, totals, (50.0, 45.0), T0 + secs(1000), T0 + secs(since))
    }

    #[test]
    fn a_window_is_ten_seconds_or_three_points() {
        let dense = at(&series(1, &[80.0; 20]), Totals::Level, 0).unwrap();
        assert_eq!((dense.value, dense.points, dense.window), (80.0, 10, secs(10)));
        assert_eq!((dense.high, dense.peak), (true, None));
        let sparse = at(&series(20, &[10.0, 20.0, 30.0, 40.0]), Totals::Level, 0).unwrap();
        assert_eq!((sparse.value, sparse.points, sparse.window), (30.0, 3, secs(60)));
        let minutes = at(&series(60, &[10.0, 60.0, 60.0, 60.0]), Totals::Level, 0).unwrap();
        assert_eq!((minutes.value, minutes.window), (60.0, secs(180)));
    }

    #[test]
    fn amounts_are_told_a_minute() {
        let dense = at(&series(1, &[5.0; 20]), Totals::PerMinute, 0).unwrap();
        assert_eq!(dense.value, 300.0);
        let minutes = at(&series(60, &[120.0; 4]), Totals::PerMinute, 0).unwrap();
        assert_eq!(minutes.value, 120.0);
    }

    #[test]
    fn a_window_is_high_when_most_of_it_is() {
        let mut values = [100.0; 20];
        values[10] = 1.0;
        values[11] = 1.0;
        assert!(at(&series(1, &values), Totals::Level, 0).unwrap().high);
        values[12] = 1.0;
        assert!(!at(&series(1, &values), Totals::Level, 0).unwrap().high, "as it begins");
        let mut values = [10.0; 20];
        values[19] = 1000.0;
        assert!(!at(&series(1, &values), Totals::Level, 0).unwrap().high, "a spike");
        // Of three, all.
        assert!(!at(&series(60, &[60.0, 40.0, 90.0, 90.0]), Totals::Level, 0).unwrap().high);
        // Amounts: 1 a second is 60 a minute.
        let mut values = [0.0; 21];
        values[12..].fill(1.0);
        assert!(at(&series(1, &values), Totals::PerMinute, 0).unwrap().value > 50.0);
        values[12..15].fill(0.0);
        values[19] = 99.0;
        assert!(!at(&series(1, &values), Totals::PerMinute, 0).unwrap().high);
    }

    #[test]
    fn the_peak_is_that_of_six_windows_after_a_seventh() {
        let mut values = [10.0; 70];
        values[15] = 40.0;
        let seen = at(&series(1, &values), Totals::Level, 0).unwrap();
        assert_eq!((seen.value, seen.peak), (10.0, Some(13.0)));
        // The seventh may be as it was before, but for a little.
        values[..2].fill(90.0);
        assert_eq!(at(&series(1, &values), Totals::Level, 0).unwrap().peak, Some(13.0));
        values[..3].fill(90.0);
        assert_eq!(at(&series(1, &values), Totals::Level, 0).unwrap().peak, None);
        assert_eq!(at(&series(1, &[10.0; 60]), Totals::Level, 0).unwrap().peak, None);
        // Data points of a minute: 21 minutes, where AWS takes 15.
        let minutes = series(60, &[1.0; 21]);
        let seen = |since| look(&minutes, Totals::Level, (50.0, 45.0), T0 + secs(1000), since);
        assert_eq!(seen(T0 - secs(260)).and_then(|s| s.peak), Some(1.0));
        assert_eq!(seen(T0).and_then(|s| s.peak), None);
    }

    #[test]
    fn what_was_before_the_last_change_does_not_count() {
        let dense = series(1, &[8.0; 80]);
        assert!(at(&dense, Totals::Level, 990).is_some());
        assert_eq!(at(&dense, Totals::Level, 991), None);
        assert_eq!(at(&dense, Totals::Level, 930).unwrap().peak, Some(8.0));
        assert_eq!(at(&dense, Totals::Level, 931).unwrap().peak, None);
    }

    #[test]
    fn too_few_too_old_and_no_numbers_are_nothing() {
        for points in [series(1, &[]), series(1, &[80.0]), series(20, &[80.0; 2])] {
            assert_eq!(at(&points, Totals::Level, 0), None, "{points:?}");
        }
        // The last ended 1000 s in.
        let dense = series(1, &[80.0; 20]);
        let seen = |now: u64| look(&dense, Totals::Level, (50.0, 45.0), T0 + secs(now), T0);
        assert!(seen(1005).is_some());
        assert_eq!(seen(1006), None);
        assert_eq!(at(&series(400, &[80.0; 9]), Totals::Level, 0), None);
        let mut broken = series(1, &[80.0; 20]);
        broken[18].1 = f64::NAN;
        assert_eq!(at(&broken, Totals::Level, 0), None);
        // From the future.
        let seen = look(&series(1, &[80.0; 20]), Totals::Level, (50.0, 45.0), T0 + secs(981), T0);
        assert_eq!(seen, None);
    }

    #[test]
    fn few_points_ask_for_a_longer_look() {
        assert!(is_dense(&series(1, &[1.0; 3])));
        assert!(is_dense(&series(3, &[1.0; 3])));
        assert!(!is_dense(&series(20, &[1.0; 3])));
        assert!(!is_dense(&[]));
    }
}
