//! In which state an alarm ought to be: a function of its rule and of the values of the last periods.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>

use stdx::Timestamp;

use super::{AlarmConfig, AlarmState, Missing};

/// Beside its N periods an alarm looks at so many before them, to be used where some have no data.
pub(super) const SPARE: u32 = 2;

/// A period that is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slot {
    /// When it began.
    pub(super) at: Timestamp,
    /// Its value and how many samples it is of; none without data.
    pub(super) value: Option<(f64, f64)>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// The state; none to stay in the one it is in.
    pub(super) state: Option<AlarmState>,
    /// The values that counted, the newest first.
    pub(super) used: Vec<(Timestamp, f64)>,
    /// How many periods without data were filled.
    pub(super) filled: usize,
}

/// The periods of `slots`, the oldest first, held against the rule.
pub(super) fn evaluate(config: &AlarmConfig, slots: &[Slot]) -> Verdict {
    let (most, least) = (count(config.evaluation_periods), count(config.datapoints()));
    let missing = config.missing.unwrap_or_default();
    let breaches = |value: f64| config.comparison.breaches(value, config.threshold);
    // The newest first, each with its age in periods.
    let real: Vec<(usize, Timestamp, f64)> = slots
        .iter()
        .rev()
        .enumerate()
        .filter_map(|(age, slot)| Some((age, slot.at, slot.value?.0)))
        .take(most)
        .collect();
    let used: Vec<(Timestamp, f64)> = real.iter().map(|(_, at, value)| (*at, *value)).collect();
    let filled = most - used.len();
    let verdict = |state| Verdict { state, used: used.clone(), filled };
    if used.is_empty() {
        return verdict(match missing {
            Missing::Missing => Some(AlarmState::Insufficient),
            Missing::Ignore => None,
            Missing::Breaching => Some(AlarmState::Alarm),
            Missing::NotBreaching => Some(AlarmState::Ok),
        });
    }
    let beyond = used.iter().filter(|(_, value)| breaches(*value)).count();
    let state = |alarm: bool| Some(if alarm { AlarmState::Alarm } else { AlarmState::Ok });
    if beyond >= least || filled == 0 {
        return verdict(state(beyond >= least));
    }
    // All that is there is beyond the threshold, and began long enough ago: CloudWatch does not wait
    // for more.
    let oldest = real.last().map_or(0, |(age, _, _)| age + 1);
    let premature = beyond == used.len() && oldest >= least;
    verdict(match missing {
        Missing::Breaching => state(beyond + filled >= least),
        Missing::NotBreaching => state(false),
        Missing::Missing => state(premature),
        Missing::Ignore if premature => None,
        Missing::Ignore => state(false),
    })
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Whether so many samples are too few for a percentile to mean something.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html>
pub(super) fn too_few(percent: f64, samples: f64) -> bool {
    let share = percent / 100.0;
    let needed = if share >= 0.5 { 10.0 / (1.0 - share) } else { 10.0 / share };
    samples < needed
}
