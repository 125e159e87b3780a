//! Looks at each alarm when it is due, and has its actions done.
//!
//! An alarm of periods below a minute is looked at each second, any other each minute; both look at
//! whole periods only, two seconds after the last one is over, so that what was measured in it has
//! come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shell::Shutdown;
use stdx::Timestamp;

use super::evaluate::{self, SPARE, Slot};
use super::history::{HistoryItem, HistoryKind};
use super::{Alarm, AlarmAction, AlarmActions, AlarmConfig, Watched, words};
use crate::metrics::memory::Span;
use crate::metrics::point::{Point, Statistic};
use crate::metrics::{Metrics, MetricsError, QueryError};

/// From the end of a period until it is looked at.
const LAG: i64 = 2;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_secs(1);
/// An action that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is known of an alarm from the last time.
#[derive(Debug)]
pub(super) struct Look {
    configured: Timestamp,
    /// The period that was looked at.
    slot: i64,
    /// When it became the state whose actions were done.
    acted_for: Timestamp,
    /// The minute in which they were done last.
    acted_in: i64,
    /// The newest value.
    value: Option<f64>,
}

/// Watches until shutdown.
pub async fn watch(metrics: Metrics, mut shutdown: Shutdown) {
    let mut looks = BTreeMap::new();
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(TICK) => {}
            () = metrics.inner.set_by_hand.notified() => {}
        }
        metrics.tick(&mut looks).await;
    }
}

impl Metrics {
    pub(super) async fn tick(&self, looks: &mut BTreeMap<String, Look>) {
        let all = self.alarms(&super::AlarmQuery::default());
        looks.retain(|name, _| all.iter().any(|alarm| alarm.config.name == *name));
        for alarm in all {
            let look = looks.entry(alarm.config.name.clone()).or_insert_with(|| Look {
                configured: alarm.configured,
                slot: i64::MIN,
                acted_for: alarm.state_changed,
                acted_in: 0,
                value: None,
            });
            let alarm = self.look(alarm, look).await;
            self.act(&alarm, look);
        }
    }

    /// Finds the state of an alarm that is due; the alarm as it is then.
    async fn look(&self, alarm: Arc<Alarm>, look: &mut Look) -> Arc<Alarm> {
        let now = self.now();
        let period = i64::from(alarm.config.watched.period());
        let step = if period < 60 { 1 } else { 60 };
        let slot = (now.as_secs() - LAG).div_euclid(step);
        if look.slot == slot && look.configured == alarm.configured {
            return alarm;
        }
        (look.slot, look.configured) = (slot, alarm.configured);
        let name = &alarm.config.name;
        let slots = match self.slots(&alarm.config, now) {
            Ok(Some(slots)) => slots,
            Ok(None) => return alarm,
            Err(error) => {
                tracing::error!(name, error = %stdx::chain(&error), "an alarm could not be evaluated");
                return alarm;
            }
        };
        let verdict = evaluate::evaluate(&alarm.config, &slots);
        look.value = verdict.used.first().map(|(_, value)| *value);
        let Some(state) = verdict.state.filter(|state| *state != alarm.state) else {
            return alarm;
        };
        let reason = words::reason(&alarm.config, state, &verdict);
        tracing::info!(name, state = state.as_str(), reason, "An alarm has another state.");
        let data = words::data(&alarm.config, &verdict, &slots, now);
        if let Err(error) = self.move_alarm(name, state, reason, Some(data)).await
            // Deleted meanwhile.
            && !matches!(error, MetricsError::Refused { .. })
        {
            tracing::error!(name, error = %stdx::chain(&error), "an alarm's state was not stored");
        }
        self.all_alarms().get(name).cloned().unwrap_or(alarm)
    }

    /// The last periods of what is watched, the oldest first; none if there are too few samples to
    /// tell.
    fn slots(
        &self,
        config: &AlarmConfig,
        now: Timestamp,
    ) -> Result<Option<Vec<Slot>>, MetricsError> {
        let period = i64::from(config.watched.period());
        let to = (now.as_secs() - LAG).div_euclid(period) * period;
        let periods = i64::from(config.evaluation_periods + SPARE);
        let span = Span { from: to - periods * period, to, period };
        let instant = |second: i64| Timestamp::from_millis(second * 1000);
        let mut values: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
        match &config.watched {
            Watched::Metric(stat) => {
                let points = self.points(&stat.id, stat.unit, span)?;
                if config.ignore_low_samples == Some(true) && few(stat.statistic, &points) {
                    return Ok(None);
                }
                let of = |(at, point): (i64, Point)| {
                    Some((at, (stat.statistic.of(&point)?, point.set.count)))
                };
                values.extend(points.into_iter().filter_map(of));
            }
            Watched::Queries(queries) => {
                let found = self.query(queries, instant(span.from), instant(span.to));
                let answers = match found {
                    Ok(answers) => answers,
                    Err(QueryError::Store(error)) => return Err(error),
                    // It was checked when it was put; what the data make of it is no data.
                    Err(QueryError::Expression { .. }) => Vec::new(),
                };
                let points = answers.into_iter().next().map(|answer| answer.points);
                values.extend(
                    points.into_iter().flatten().map(|(at, value)| (at.as_secs(), (value, 1.0))),
                );
            }
        }
        let starts = (0..periods).map(|number| span.from + number * period);
        let slot = |at: i64| Slot { at: instant(at), value: values.get(&at).copied() };
        Ok(Some(starts.map(slot).collect()))
    }

    /// Does what is to be done in the state that an alarm has come into, and again each minute what
    /// is to be repeated.
    fn act(&self, alarm: &Arc<Alarm>, look: &mut Look) {
        let minute = self.now().as_secs().div_euclid(60);
        let (entered, later) = (alarm.state_changed != look.acted_for, minute != look.acted_in);
        if !entered && !later {
            return;
        }
        (look.acted_for, look.acted_in) = (alarm.state_changed, minute);
        let Some(actions) = self.inner.actions.get() else { return };
        if !alarm.config.actions_enabled {
            return;
        }
        for arn in alarm.config.actions(alarm.state) {
            if entered || actions.repeats(arn) {
                let action = AlarmAction {
                    arn: arn.clone(),
                    alarm_name: alarm.config.name.clone(),
                    alarm_arn: alarm.arn.clone(),
                    state: alarm.state,
                    value: look.value,
                    threshold: alarm.config.threshold,
                    reason: alarm.reason.clone(),
                    at: self.now(),
                };
                tokio::spawn(invoke(self.clone(), Arc::clone(actions), action, entered));
            }
        }
    }
}

fn few(statistic: Statistic, points: &BTreeMap<i64, Point>) -> bool {
    let Statistic::Percentile(percent) = statistic else { return false };
    let newest = points.values().next_back();
    newest.is_some_and(|point| evaluate::too_few(percent, point.set.count))
}

/// Does an action; the first time in a state it becomes part of the history, and so does a failure.
async fn invoke(
    metrics: Metrics,
    actions: Arc<dyn AlarmActions>,
    action: AlarmAction,
    entered: bool,
) {
    let result = match tokio::time::timeout(PATIENCE, actions.invoke(&action)).await {
        Ok(result) => result,
        Err(_) => Err(format!("It took more than {} seconds.", PATIENCE.as_secs())),
    };
    if !entered && result.is_ok() {
        return;
    }
    let (arn, at) = (&action.arn, metrics.now());
    let (summary, outcome, detail) = match &result {
        Ok(done) => (format!("Successfully executed action {arn}"), "Succeeded", done),
        Err(why) => {
            (format!("Failed to execute action {arn}. Received error: \"{why}\""), "Failed", why)
        }
    };
    let data = json!({
        "actionState": outcome,
        "stateUpdateTimestamp": action.at.as_millis(),
        "notificationResource": arn,
        "error": result.as_ref().err(),
        "detail": detail,
    });
    let item = HistoryItem {
        alarm: action.alarm_name.clone(),
        at,
        kind: HistoryKind::Action,
        summary,
        data: data.to_string(),
    };
    if let Err(error) = metrics.remember(item).await {
        tracing::error!(error = %stdx::chain(&error), "an alarm's history could not be written");
    }
}
