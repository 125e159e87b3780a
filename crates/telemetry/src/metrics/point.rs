//! What is kept of the values that fall into one bucket of time, and the statistics of it.

use serde::{Deserialize, Serialize};

use super::sketch::Sketch;

/// Sum, count, least and greatest of some values. A count need not be whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatisticSet {
    /// All together.
    pub sum: f64,
    /// How many.
    pub count: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// Values as they are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Values {
    /// One value.
    One(f64),
    /// Values, each with how often it was seen.
    Many(Vec<(f64, f64)>),
    /// Only their statistics: they have no percentiles then.
    Set(StatisticSet),
}

/// The values of one bucket of time, merged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) set: StatisticSet,
    pub(crate) spread: Spread,
}

/// What is known of the values beside their statistics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spread {
    /// They are all the same.
    Same,
    /// This.
    Known(Sketch),
    /// Nothing: some came as statistics.
    Unknown,
}

impl Values {
    /// The point that they are; none if there are no values.
    pub(crate) fn point(&self) -> Option<Point> {
        match self {
            Self::One(value) => Some(Point::of(*value, 1.0)),
            Self::Many(values) => {
                let mut points = values
                    .iter()
                    .filter(|(_, count)| *count > 0.0)
                    .map(|(value, count)| Point::of(*value, *count));
                let mut all = points.next()?;
                points.for_each(|point| all.merge(&point));
                Some(all)
            }
            Self::Set(set) if set.count > 0.0 => {
                // AWS as well takes a set without variety for values.
                let same = set.min.total_cmp(&set.max).is_eq();
                let spread = if same { Spread::Same } else { Spread::Unknown };
                Some(Point { set: *set, spread })
            }
            Self::Set(_) => None,
        }
    }
}

impl Point {
    /// One value, so many times.
    pub(crate) fn of(value: f64, count: f64) -> Self {
        let set = StatisticSet { sum: value * count, count, min: value, max: value };
        Self { set, spread: Spread::Same }
    }

    /// Adds the values of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        let same = matches!((&self.spread, &other.spread), (Spread::Same, Spread::Same))
            && self.set.min.total_cmp(&other.set.min).is_eq();
        if !same {
            let spread = std::mem::replace(&mut self.spread, Spread::Unknown);
            let known = match spread {
                Spread::Same => Some(Sketch::of(self.set.min, self.set.count)),
                Spread::Known(sketch) => Some(sketch),
                Spread::Unknown => None,
            };
            self.spread = match (known, &other.spread) {
                (Some(mut sketch), Spread::Same) => {
                    sketch.add(other.set.min, other.set.count);
                    Spread::Known(sketch)
                }
                (Some(mut sketch), Spread::Known(more)) => {
                    sketch.merge(more);
                    Spread::Known(sketch)
                }
                (None, _) | (_, Spread::Unknown) => Spread::Unknown,
            };
        }
        self.set.sum += other.set.sum;
        self.set.count += other.set.count;
        self.set.min = self.set.min.min(other.set.min);
        self.set.max = self.set.max.max(other.set.max);
    }
}

/// What is asked of the values of a period.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html>
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Statistic {
    /// Sum by count.
    Average,
    /// All together.
    Sum,
    /// The least.
    Minimum,
    /// The greatest.
    Maximum,
    /// How many.
    SampleCount,
    /// The value below which so many percent of the values lie, from 0 to 100.
    Percentile(f64),
}

/// Why a statistic cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatisticError {
    /// There is none of this spelling.
    Unknown,
    /// AWS has it and Wharf does not yet.
    NotBuilt,
}

impl Statistic {
    /// The statistic of this spelling: `Average`, `p99.9`.
    ///
    /// # Errors
    /// There is none, or it is not built: trimmed means and counts, winsorized means, percentile
    /// ranks, interquartile means.
    pub fn parse(text: &str) -> Result<Self, StatisticError> {
        Ok(match text {
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            "SampleCount" => Self::SampleCount,
            other => return Self::parse_percentile(other),
        })
    }

    fn parse_percentile(text: &str) -> Result<Self, StatisticError> {
        let lower = text.to_ascii_lowercase();
        let kind = lower.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let kind = &lower[..lower.len() - kind.len()];
        match kind {
            "p" => {}
            "tm" | "tc" | "ts" | "wm" | "pr" | "iqm" => return Err(StatisticError::NotBuilt),
            _ => return Err(StatisticError::Unknown),
        }
        let number = &lower[1..];
        let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
        match number.parse::<f64>() {
            Ok(percent) if plain && (0.0..=100.0).contains(&percent) => {
                Ok(Self::Percentile(percent))
            }
            _ => Err(StatisticError::Unknown),
        }
    }

    /// The statistic of these values; none for percentiles of what came as statistics.
    pub(crate) fn of(self, point: &Point) -> Option<f64> {
        let set = &point.set;
        match self {
            Self::Average => Some(set.sum / set.count),
            Self::Sum => Some(set.sum),
            Self::Minimum => Some(set.min),
            Self::Maximum => Some(set.max),
            Self::SampleCount => Some(whole(set.count)),
            Self::Percentile(percent) => match &point.spread {
                Spread::Same => Some(set.min),
                Spread::Known(_) if percent >= 100.0 => Some(set.max),
                Spread::Known(sketch) => {
                    Some(sketch.quantile(percent / 100.0)?.clamp(set.min, set.max))
                }
                Spread::Unknown => None,
            },
        }
    }
}

impl std::fmt::Display for Statistic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Average => f.write_str("Average"),
            Self::Sum => f.write_str("Sum"),
            Self::Minimum => f.write_str("Minimum"),
            Self::Maximum => f.write_str("Maximum"),
            Self::SampleCount => f.write_str("SampleCount"),
            Self::Percentile(percent) => write!(f, "p{percent}"),
        }
    }
}

/// Counts may be sums of fractions: sixty sixtieths are one.
fn whole(count: f64) -> f64 {
    let near = count.round();
    if (count - near).abs() < 1e-9 * near.max(1.0) { near } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(values: &[f64]) -> Point {
        Values::Many(values.iter().map(|value| (*value, 1.0)).collect()).point().unwrap()
    }

    #[test]
    fn statistics_of_values() {
        let point = many(&[1.0, 2.0, 3.0, 10.0]);
        for (statistic, expected) in [
            (Statistic::Average, 4.0),
            (Statistic::Sum, 16.0),
            (Statistic::Minimum, 1.0),
            (Statistic::Maximum, 10.0),
            (Statistic::SampleCount, 4.0),
            (Statistic::Percentile(50.0), 2.0),
            (Statistic::Percentile(99.0), 10.0),
            (Statistic::Percentile(0.0), 1.0),
        ] {
            let found = statistic.of(&point).unwrap();
            assert!((found - expected).abs() <= expected * 0.011, "{statistic}: {found}");
        }
    }

    #[test]
    fn sets_have_no_percentiles_unless_all_values_are_the_same() {
        let set = |min, max| Values::Set(StatisticSet { sum: 6.0, count: 2.0, min, max });
        let p50 = Statistic::Percentile(50.0);
        assert_eq!(p50.of(&set(2.0, 4.0).point().unwrap()), None);
        assert_eq!(p50.of(&set(3.0, 3.0).point().unwrap()), Some(3.0));
        let mut mixed = many(&[1.0]);
        mixed.merge(&set(2.0, 4.0).point().unwrap());
        assert_eq!(p50.of(&mixed), None);
        assert_eq!(Statistic::Sum.of(&mixed), Some(7.0));
    }

    #[test]
    fn fractions_of_a_count_add_up() {
        let mut point = Point::of(50.0, 1.0 / 60.0);
        for _ in 1..60 {
            point.merge(&Point::of(50.0, 1.0 / 60.0));
        }
        assert_eq!(Statistic::SampleCount.of(&point), Some(1.0));
    }

    #[test]
    fn spellings() {
        assert_eq!(Statistic::parse("p99.9"), Ok(Statistic::Percentile(99.9)));
        assert_eq!(Statistic::parse("SampleCount"), Ok(Statistic::SampleCount));
        for text in ["p", "p101", "pNaN", "average", "", "p-1", "x5", "p1e1"] {
            assert_eq!(Statistic::parse(text), Err(StatisticError::Unknown), "{text}");
        }
        for text in ["tm99", "TM(10%:90%)", "wm50", "IQM", "pr(1:2)", "tc90", "ts90"] {
            assert_eq!(Statistic::parse(text), Err(StatisticError::NotBuilt), "{text}");
        }
        assert_eq!(Statistic::Percentile(99.9).to_string(), "p99.9");
    }
}
