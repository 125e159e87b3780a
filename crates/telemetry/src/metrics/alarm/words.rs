//! Why an alarm is in its state, as CloudWatch writes it: people search for these sentences.

use serde_json::json;
use stdx::Timestamp;

use super::evaluate::{Slot, Verdict};
use super::{AlarmConfig, AlarmState, Comparison, Missing, Watched};
use crate::metrics::point::Statistic;

/// Of an alarm that was never looked at.
pub(super) const UNCHECKED: &str = "Unchecked: Initial alarm creation";

/// At most so many values are named.
const NAMED: usize = 5;

/// The reason for a state that was found from these values.
pub(super) fn reason(config: &AlarmConfig, state: AlarmState, verdict: &Verdict) -> String {
    let periods = config.evaluation_periods;
    if state == AlarmState::Insufficient {
        let verb = if periods == 1 { "datapoint was" } else { "datapoints were" };
        return format!("Insufficient Data: {periods} {verb} unknown.");
    }
    let filled = filled(config, verdict.filled);
    if verdict.used.is_empty() {
        let what = if periods == 1 { "period" } else { "periods" };
        return format!(
            "Threshold Crossed: no datapoints were received for {periods} {what} and {}.",
            filled.unwrap_or_default()
        );
    }
    let alarm = state == AlarmState::Alarm;
    let told: Vec<&(Timestamp, f64)> = verdict
        .used
        .iter()
        .filter(|(_, value)| config.comparison.breaches(*value, config.threshold) == alarm)
        .collect();
    let named: Vec<String> = told
        .iter()
        .take(NAMED)
        .map(|(at, value)| format!("{} ({})", number(*value), date(*at)))
        .collect();
    let (be, not) = (if told.len() == 1 { "was" } else { "were" }, if alarm { "" } else { "not " });
    let beyond = format!(
        "[{}] {be} {not}{} the threshold ({})",
        named.join(", "),
        comparison(config.comparison),
        number(config.threshold)
    );
    if let Some(filled) = filled {
        let what = if told.len() == 1 { "datapoint" } else { "datapoints" };
        return format!("Threshold Crossed: {} {what} {beyond} and {filled}.", told.len());
    }
    let (least, transition) = if alarm {
        (config.datapoints(), "OK -> ALARM")
    } else {
        (periods - config.datapoints().min(periods) + 1, "ALARM -> OK")
    };
    let what = if least == 1 { "datapoint" } else { "datapoints" };
    format!(
        "Threshold Crossed: {} out of the last {periods} datapoints {beyond} (minimum {least} {what} \
         for {transition} transition).",
        told.len()
    )
}

/// What periods without data counted for; none if there were none, or they counted for nothing.
fn filled(config: &AlarmConfig, filled: usize) -> Option<String> {
    let treated = match config.missing.unwrap_or_default() {
        Missing::Breaching => "Breaching",
        Missing::NotBreaching => "NonBreaching",
        Missing::Missing | Missing::Ignore => return None,
    };
    let what = match filled {
        0 => return None,
        1 => "missing datapoint was",
        _ => "missing datapoints were",
    };
    Some(format!("{filled} {what} treated as [{treated}]"))
}

const fn comparison(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::GreaterOrEqual => "greater than or equal to",
        Comparison::Greater => "greater than",
        Comparison::Less => "less than",
        Comparison::LessOrEqual => "less than or equal to",
    }
}

/// `80.0`: with a point, whole or not.
fn number(value: f64) -> String {
    format!("{value:?}")
}

/// `22/11/26 14:30:00`.
fn date(at: Timestamp) -> String {
    let text = at.rfc3339();
    let part = |range| text.get(range).unwrap_or_default();
    format!("{}/{}/{} {}", part(8..10), part(5..7), part(2..4), part(11..19))
}

/// `2026-11-22T14:30:00.000+0000`, the form of instants in JSON that CloudWatch writes.
pub(super) fn instant(at: Timestamp) -> String {
    format!("{}+0000", at.rfc3339().trim_end_matches('Z'))
}

/// The reason for programs.
pub(super) fn data(
    config: &AlarmConfig,
    verdict: &Verdict,
    slots: &[Slot],
    now: Timestamp,
) -> String {
    let mut recent: Vec<f64> = verdict.used.iter().map(|(_, value)| *value).collect();
    recent.reverse();
    let evaluated: Vec<serde_json::Value> = slots
        .iter()
        .rev()
        .filter_map(|slot| {
            let (value, samples) = slot.value?;
            Some(json!({ "timestamp": instant(slot.at), "sampleCount": samples, "value": value }))
        })
        .collect();
    let mut data = json!({
        "version": "1.0",
        "queryDate": instant(now),
        "period": config.watched.period(),
        "recentDatapoints": recent,
        "threshold": config.threshold,
        "evaluatedDatapoints": evaluated,
    });
    if let (Watched::Metric(stat), Some(members)) = (&config.watched, data.as_object_mut()) {
        let name = match stat.statistic {
            Statistic::Percentile(_) => "extendedStatistic",
            _ => "statistic",
        };
        members.insert(name.to_owned(), json!(stat.statistic.to_string()));
        if let Some(unit) = stat.unit {
            members.insert("unit".to_owned(), json!(unit.as_str()));
        }
    }
    if let (Some((oldest, _)), Some(members)) = (verdict.used.last(), data.as_object_mut()) {
        members.insert("startDate".to_owned(), json!(instant(*oldest)));
    }
    data.to_string()
}
