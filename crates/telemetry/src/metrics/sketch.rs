//! How values are spread, in buckets that grow by two percent: percentiles are right within one
//! percent of the value, whatever its size, and two sketches add up.
//!
//! The buckets are those of DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019).

/// One bucket ends at 1.02 times its beginning.
const GAMMA: f64 = 1.02;
/// Between the numbers of positive values' buckets and zero. CloudWatch takes values from 2^-360
/// to 2^360, whose buckets are numbered -12,602 to 12,602.
const OFFSET: i32 = 20_000;
/// Smaller values count as zero.
const LEAST: f64 = 1e-108;
/// More buckets than this are not kept: the lowest two become one, again and again.
const MOST_BUCKETS: usize = 1024;

/// Counts by bucket, in the order of values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sketch(Vec<(i32, f64)>);

#[expect(clippy::cast_possible_truncation, reason = "bounded by the clamp")]
fn bucket(value: f64) -> i32 {
    let of_size = |size: f64| {
        let number = (size.ln() / GAMMA.ln()).ceil();
        OFFSET + number.clamp(-f64::from(OFFSET - 1), f64::from(OFFSET)) as i32
    };
    if value.abs() < LEAST {
        0
    } else if value > 0.0 {
        of_size(value)
    } else {
        -of_size(-value)
    }
}

/// A value in the bucket from which no other in it is farther than one percent.
fn value(bucket: i32) -> f64 {
    let size = |number: i32| GAMMA.powi(number - OFFSET) * 2.0 / (1.0 + GAMMA);
    match bucket {
        0 => 0.0,
        positive if positive > 0 => size(positive),
        negative => -size(-negative),
    }
}

impl Sketch {
    /// A sketch of one value, so many times.
    pub(crate) fn of(value: f64, count: f64) -> Self {
        Self(vec![(bucket(value), count)])
    }

    /// What was stored by [`Sketch::buckets`].
    pub(crate) fn from_buckets(mut buckets: Vec<(i32, f64)>) -> Self {
        buckets.sort_by_key(|(number, _)| *number);
        Self(buckets)
    }

    /// Numbers and counts.
    pub(crate) fn buckets(&self) -> &[(i32, f64)] {
        &self.0
    }

    /// Adds a value, so many times.
    pub(crate) fn add(&mut self, value: f64, count: f64) {
        self.add_bucket(bucket(value), count);
    }

    /// Adds what another has.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (number, count) in &other.0 {
            self.add_bucket(*number, *count);
        }
    }

    fn add_bucket(&mut self, number: i32, count: f64) {
        match self.0.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => self.0[at].1 += count,
            Err(at) => self.0.insert(at, (number, count)),
        }
        if self.0.len() > MOST_BUCKETS {
            let (_, lowest) = self.0.remove(0);
            self.0[0].1 += lowest;
        }
    }

    /// The value below which this share of the values lies; `share` is from 0 to 1.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let total: f64 = self.0.iter().map(|(_, count)| count).sum();
        // Counts are fractions at times, and their sum is then not exact.
        let wanted = total * share * (1.0 - 1e-12);
        let mut before = 0.0;
        for (number, count) in &self.0 {
            before += count;
            if before >= wanted {
                return Some(value(*number));
            }
        }
        self.0.last().map(|(number, _)| value(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_is_found_within_one_percent(x in -1e30_f64..1e30) {
            let found = value(bucket(x));
            prop_assert!((found - x).abs() <= x.abs() * 0.0101, "{x} became {found}");
        }

        #[test]
        fn quantiles_are_right_within_one_percent(mut values in prop::collection::vec(0.001_f64..1e6, 1..200), share in 0.0_f64..=1.0) {
            let mut sketch = Sketch::default();
            for value in &values {
                sketch.add(*value, 1.0);
            }
            values.sort_by(f64::total_cmp);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
            let rank = ((values.len() as f64 * share * (1.0 - 1e-12)).ceil() as usize).max(1) - 1;
            let found = sketch.quantile(share).unwrap();
            prop_assert!((found - values[rank]).abs() <= values[rank] * 0.0101);
        }

        #[test]
        fn order_does_not_matter(values in prop::collection::vec(-1e6_f64..1e6, 1..50)) {
            let (mut one, mut two) = (Sketch::default(), Sketch::default());
            for value in &values {
                one.add(*value, 1.0);
            }
            for value in values.iter().rev() {
                two.merge(&Sketch::of(*value, 1.0));
            }
            prop_assert_eq!(one, two);
        }
    }

    #[test]
    fn extremes_have_buckets_and_there_are_only_so_many() {
        let most = 2f64.powi(360);
        for value in [most, -most, 1.0 / most, 0.0, f64::MIN_POSITIVE] {
            assert!(Sketch::of(value, 1.0).quantile(0.5).is_some());
        }
        let mut sketch = Sketch::default();
        for n in 0..5000 {
            sketch.add(1.03f64.powi(n - 2500), 1.0);
        }
        assert_eq!(sketch.buckets().len(), MOST_BUCKETS);
        let total: f64 = sketch.buckets().iter().map(|(_, count)| count).sum();
        assert!((total - 5000.0).abs() < 1e-9, "nothing is lost: {total}");
    }
}
