//! Step scaling: which step a breach falls into, and what it makes of the desired count.
//! <https://docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html>

use model::{Adjustment, Step, StepScaling};

/// The most steps of a policy, a quota of AWS.
pub(crate) const MOST_STEPS: usize = 20;

/// Puts steps in order and holds them against AWS's rules: they neither overlap nor leave gaps, and
/// only the outer ends may be open.
///
/// # Errors
///
/// A sentence that says what is wrong and what would be right.
pub fn check_steps(adjustment: Adjustment, mut steps: Vec<Step>) -> Result<Vec<Step>, String> {
    if steps.is_empty() {
        return Err("At least one step adjustment must be specified.".to_owned());
    }
    if steps.len() > MOST_STEPS {
        return Err(format!(
            "A step scaling policy can have at most {MOST_STEPS} step adjustments."
        ));
    }
    if adjustment == Adjustment::Exact && steps.iter().any(|step| step.by < 0) {
        return Err("ExactCapacity needs a scaling adjustment that is not negative.".to_owned());
    }
    for step in &steps {
        match (step.lower, step.upper) {
            (None, None) if steps.len() > 1 => {
                return Err(
                    "A step adjustment without a lower and an upper bound must be the only \
                            one."
                        .to_owned(),
                );
            }
            (Some(lower), Some(upper)) if lower >= upper => {
                return Err(format!(
                    "The upper bound {upper} of a step adjustment must be greater than its lower \
                     bound {lower}."
                ));
            }
            _ => {}
        }
    }
    let open = |end: fn(&Step) -> bool| steps.iter().filter(|step| end(step)).count();
    if open(|step| step.lower.is_none()) > 1 {
        return Err("At most one step adjustment may be without a lower bound.".to_owned());
    }
    if open(|step| step.upper.is_none()) > 1 {
        return Err("At most one step adjustment may be without an upper bound.".to_owned());
    }
    // An open lower end comes first.
    steps.sort_by_key(|step| step.lower);
    for (one, next) in steps.iter().zip(steps.iter().skip(1)) {
        if one.upper == next.lower {
            continue;
        }
        let between = match (one.upper, next.lower) {
            (Some(upper), Some(lower)) if upper < lower => {
                format!("There is a gap between {upper} and {lower}")
            }
            (_, Some(lower)) => format!("Step adjustments overlap at {lower}"),
            (_, None) => "Step adjustments overlap".to_owned(),
        };
        return Err(format!(
            "{between}: each step adjustment must begin where the one below it ends."
        ));
    }
    Ok(steps)
}

/// The step for a metric's value. Above the threshold a step has its lower end, below it its upper
/// one.
pub(crate) fn step_for(policy: &StepScaling, value: f64, threshold: f64) -> Option<&Step> {
    let difference = value - threshold;
    let above = difference >= 0.0;
    policy.steps.iter().find(|step| {
        let lower = step.lower.is_none_or(|lower| {
            if above { difference >= lower.get() } else { difference > lower.get() }
        });
        let upper = step.upper.is_none_or(|upper| {
            if above { difference < upper.get() } else { difference <= upper.get() }
        });
        lower && upper
    })
}

/// The desired count that a step makes of `base`, before any bounds.
pub(crate) fn adjusted(policy: &StepScaling, step: &Step, base: u32) -> u32 {
    adjusted_by(policy.adjustment, step.by, policy.min_magnitude, base)
}

/// What `by` makes of `base` by an adjustment, before any bounds. Of percentages at least `least`.
pub(crate) fn adjusted_by(adjustment: Adjustment, by: i32, least: Option<u32>, base: u32) -> u32 {
    let by = match adjustment {
        Adjustment::Exact => return u32::try_from(by).unwrap_or(0),
        Adjustment::Change => i64::from(by),
        Adjustment::Percent => {
            let hundredths = i64::from(base) * i64::from(by);
            // Towards zero, but never to it.
            let by = match hundredths / 100 {
                0 => hundredths.signum(),
                by => by,
            };
            let least = i64::from(least.unwrap_or(0));
            if by.abs() < least { by.signum() * least } else { by }
        }
    };
    u32::try_from((i64::from(base) + by).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::Finite;
    use proptest::prelude::*;

    use super::*;

    fn step(lower: Option<f64>, upper: Option<f64>, by: i32) -> Step {
        let finite = |end: Option<f64>| end.and_then(Finite::new);
        Step { lower: finite(lower), upper: finite(upper), by }
    }

    fn policy(adjustment: Adjustment, steps: Vec<Step>, least: Option<u32>) -> StepScaling {
        StepScaling {
            adjustment,
            steps: check_steps(adjustment, steps).unwrap(),
            min_magnitude: least,
            cooldown: Duration::ZERO,
            cooldown_given: true,
            aggregation: None,
        }
    }

    /// The example of AWS's documentation: threshold 60.
    #[test]
    fn a_breach_finds_its_step() {
        let both = policy(
            Adjustment::Percent,
            vec![
                step(Some(20.0), None, 30),
                step(None, Some(-20.0), -30),
                step(Some(-20.0), Some(-10.0), -10),
                step(Some(-10.0), Some(0.0), 0),
                step(Some(0.0), Some(10.0), 0),
                step(Some(10.0), Some(20.0), 10),
            ],
            None,
        );
        for (value, by) in [
            (60.0, 0),
            (69.9, 0),
            (70.0, 10),
            (79.9, 10),
            (80.0, 30),
            (1e9, 30),
            (59.0, 0),
            (50.0, -10),
            (50.1, 0),
            (40.0, -30),
            (40.1, -10),
            (-1e9, -30),
        ] {
            assert_eq!(step_for(&both, value, 60.0).map(|s| s.by), Some(by), "{value}");
        }
        let up = policy(Adjustment::Change, vec![step(Some(0.0), None, 1)], None);
        assert_eq!(step_for(&up, 59.0, 60.0), None);
    }

    #[test]
    fn adjustments_round_as_aws_does() {
        use Adjustment::*;
        for (adjustment, by, least, base, expected) in [
            (Change, 2, None, 3, 5),
            (Change, -5, None, 3, 0),
            (Exact, 7, None, 3, 7),
            (Percent, 200, None, 10, 30),
            (Percent, 25, Some(2), 4, 6),
            (Percent, -25, Some(2), 4, 2),
            // 12.7 down to 12, 0.67 up to 1, -0.58 to -1, -6.67 to -6.
            (Percent, 127, None, 10, 22),
            (Percent, 67, None, 1, 2),
            (Percent, -58, None, 1, 0),
            (Percent, -667, None, 1, 0),
            (Percent, -67, None, 10, 4),
            (Percent, 0, Some(2), 4, 4),
            (Percent, 10, None, 0, 0),
        ] {
            let policy = policy(adjustment, vec![step(Some(0.0), None, by)], least);
            let got = adjusted(&policy, &policy.steps[0], base);
            assert_eq!(got, expected, "{adjustment:?} {by} of {base}");
        }
    }

    #[test]
    fn steps_that_overlap_or_leave_gaps_are_refused() {
        for (steps, why) in [
            (vec![], "At least one"),
            (vec![step(Some(1.0), Some(1.0), 1)], "must be greater"),
            (vec![step(None, None, 1), step(Some(0.0), None, 1)], "the only one"),
            (vec![step(None, Some(0.0), 1), step(None, Some(1.0), 1)], "without a lower"),
            (vec![step(Some(0.0), None, 1), step(Some(1.0), None, 1)], "without an upper"),
            (vec![step(Some(0.0), Some(5.0), 1), step(Some(6.0), None, 1)], "gap between 5 and 6"),
            (vec![step(Some(0.0), Some(5.0), 1), step(Some(4.0), None, 1)], "overlap at 4"),
            (vec![step(Some(0.0), None, 1), step(Some(4.0), Some(5.0), 1)], "overlap at 4"),
            (vec![step(Some(0.0), None, -1)], "not negative"),
            ((0..21).map(|n| step(Some(n.into()), Some((n + 1).into()), 1)).collect(), "most 20"),
        ] {
            let refusal = check_steps(Adjustment::Exact, steps).unwrap_err();
            assert!(refusal.contains(why), "{refusal}");
        }
    }

    proptest! {
        /// Whole rows of steps leave no value without a step, and none with two.
        #[test]
        fn each_value_has_one_step(
            mut cuts in proptest::collection::btree_set(-1000_i32..1000, 1..10),
            value in -2000.0_f64..2000.0,
        ) {
            let first = cuts.pop_first().unwrap();
            let mut steps = vec![step(None, Some(first.into()), 0)];
            let mut lower = first;
            for cut in cuts {
                steps.push(step(Some(lower.into()), Some(cut.into()), 0));
                lower = cut;
            }
            steps.push(step(Some(lower.into()), None, 0));
            let policy = policy(Adjustment::Change, steps, None);
            prop_assert!(step_for(&policy, value, 0.0).is_some());
        }
    }
}
