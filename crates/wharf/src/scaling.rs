//! The two sides of CloudWatch that scaling has, of services and of Auto Scaling groups: policies read
//! metrics, and show alarms there; alarms order step policies to act.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use control::scaling::{Kept, MetricSource, Shown};
use model::{
    Aggregation, GroupPolicyKey, GroupPolicyKind, MetricQuery, PolicyKind, QueryKind, Realm,
    ScalingPolicy,
};
use scheduler::capacity::{PolicyRun, Trigger};
use scheduler::scaling::{AlarmFired, Points, Question, Series, asked, question};
use scheduler::{CapacityCommand, Command, ScalingCommand};
use shell::{Clock, Shutdown};
use stdx::Timestamp;
use store::{Store, SubmitError};
use telemetry::metrics::alarm::{AlarmQuery, Comparison, Watched};
use telemetry::{
    AlarmAction, AlarmActions, AlarmConfig, AlarmState, MetricId, MetricStat, Metrics, Query,
    Source, Statistic, Unit,
};

/// The names of policies' alarms begin so, and so do their descriptions.
const ALARMS: &str = "TargetTracking-";
const DESCRIBED: &str = "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy ";
/// AWS's periods and their numbers: three above scale out, fifteen below 90 % scale in.
const PERIOD: u32 = 60;
const HIGH_PERIODS: u32 = 3;
const LOW_PERIODS: u32 = 15;

/// Begins: policies read metrics, and alarms may order policies.
pub(crate) fn start(
    realm: &Realm,
    store: &Store,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
    shutdown: &Shutdown,
) {
    let (realm, metrics) = (realm.clone(), metrics.clone());
    metrics.set_actions(Arc::new(PolicyActions {
        realm,
        store: store.clone(),
        metrics: metrics.clone(),
    }));
    let source = Arc::new(PolicyMetrics(metrics));
    let (store, clock, shutdown) = (store.clone(), clock.clone(), shutdown.clone());
    tokio::spawn(control::scaling::run(store, clock, source, shutdown));
}

/// Metrics as policies read them.
#[derive(Debug)]
pub(crate) struct PolicyMetrics(pub(crate) Metrics);

fn statistic(stat: model::MetricStat) -> Statistic {
    match stat {
        model::MetricStat::Average => Statistic::Average,
        model::MetricStat::Minimum => Statistic::Minimum,
        model::MetricStat::Maximum => Statistic::Maximum,
        model::MetricStat::SampleCount => Statistic::SampleCount,
        model::MetricStat::Sum => Statistic::Sum,
    }
}

fn id(series: &Series) -> MetricId {
    MetricId::new(series.namespace.clone(), series.name.clone(), series.dimensions.clone())
}

fn series(series: &Series, period: u32) -> MetricStat {
    let unit = series.unit.as_deref().and_then(Unit::parse);
    MetricStat { id: id(series), period, statistic: statistic(series.stat), unit }
}

/// Queries in the store's words; none if a statistic is none. The door has checked them.
fn queries(given: &[MetricQuery], period: u32) -> Option<Vec<Query>> {
    let one = |query: &MetricQuery| {
        let source = match &query.kind {
            QueryKind::Expression(text) => {
                Source::Expression { text: text.clone(), period: Some(period) }
            }
            QueryKind::Metric { namespace, name, dimensions, stat, unit } => {
                Source::Metric(MetricStat {
                    id: MetricId::new(namespace.clone(), name.clone(), dimensions.clone()),
                    period,
                    statistic: Statistic::parse(stat).ok()?,
                    unit: unit.as_deref().and_then(Unit::parse),
                })
            }
        };
        let (id, label) = (query.id.clone(), query.label.clone());
        Some(Query { id, label, source, returns: query.return_data.unwrap_or(true) })
    };
    given.iter().map(one).collect()
}

impl PolicyMetrics {
    fn answer(&self, queries: &[Query], from: Timestamp, to: Timestamp) -> Points {
        match self.0.query(queries, from, to) {
            Ok(answers) => {
                answers.into_iter().next().map(|answer| answer.points).unwrap_or_default()
            }
            Err(error) => {
                tracing::warn!(?error, "A policy's metrics could not be put together.");
                Points::new()
            }
        }
    }

    async fn keep(&self, shown: &Shown) {
        let services = shown.services.iter().flat_map(|(policy, arn)| of_service(policy, arn));
        let groups = shown.groups.iter().flat_map(|(policy, arn)| of_group(policy, arn));
        let wanted: BTreeMap<String, AlarmConfig> =
            services.chain(groups).map(|alarm| (alarm.name.clone(), alarm)).collect();
        let prefix = Some(ALARMS.to_owned());
        let mut known = self.0.alarms(&AlarmQuery { prefix, ..AlarmQuery::default() });
        // A user's alarm may be called so too.
        known.retain(|alarm| {
            alarm.config.description.as_deref().is_some_and(|text| text.starts_with(DESCRIBED))
        });
        let gone = known.iter().map(|alarm| alarm.config.name.clone());
        let gone: Vec<String> = gone.filter(|name| !wanted.contains_key(name)).collect();
        let same: BTreeSet<&str> = known
            .iter()
            .filter(|alarm| wanted.get(&alarm.config.name) == Some(&alarm.config))
            .map(|alarm| alarm.config.name.as_str())
            .collect();
        if !gone.is_empty()
            && let Err(error) = self.0.delete_alarms(gone).await
        {
            tracing::warn!(error = stdx::chain(&error), "Alarms of policies that are gone stay.");
        }
        for (name, alarm) in wanted {
            if !same.contains(name.as_str())
                && let Err(error) = self.0.put_alarm(alarm, BTreeMap::new()).await
            {
                tracing::warn!(
                    alarm = name,
                    error = stdx::chain(&error),
                    "No such alarm is shown."
                );
            }
        }
    }
}

impl MetricSource for PolicyMetrics {
    fn read(
        &self,
        question: &Question,
        period: Duration,
        from: Timestamp,
        to: Timestamp,
    ) -> Points {
        let period = u32::try_from(period.as_secs()).unwrap_or(PERIOD).max(1);
        match question {
            Question::Series(of) if of.unit.is_none() => {
                self.0.read(&id(of), from, to, period, statistic(of.stat))
            }
            Question::Series(of) => {
                let source = Source::Metric(series(of, period));
                let query = Query { id: "m1".to_owned(), label: None, source, returns: true };
                self.answer(&[query], from, to)
            }
            Question::Math(given) => queries(given, period)
                .map(|queries| self.answer(&queries, from, to))
                .unwrap_or_default(),
        }
    }

    fn keep_alarms<'a>(&'a self, shown: &'a Shown) -> Kept<'a> {
        Box::pin(self.keep(shown))
    }
}

/// A policy that tracks a target, as its alarms need it.
struct Tracked<'a> {
    arn: &'a str,
    names: (String, String),
    question: Question,
    target: f64,
    disable_scale_in: bool,
}

fn of_service(policy: &ScalingPolicy, arn: &str) -> Vec<AlarmConfig> {
    let (Some(tracking), Some(names)) = (policy.tracking(), policy.alarms()) else {
        return Vec::new();
    };
    let (question, _) = question(&policy.key.service, &tracking.metric);
    let (target, disable_scale_in) = (tracking.target.get(), tracking.disable_scale_in);
    alarms(Tracked { arn, names, question, target, disable_scale_in })
}

fn of_group(policy: &model::GroupPolicy, arn: &str) -> Vec<AlarmConfig> {
    let (Some(tracking), Some(names)) = (policy.tracking(), policy.alarms()) else {
        return Vec::new();
    };
    let Some((question, _)) = asked(&tracking.metric) else { return Vec::new() };
    let (target, disable_scale_in) = (tracking.target.get(), tracking.disable_scale_in);
    alarms(Tracked { arn, names, question, target, disable_scale_in })
}

/// The alarms of a policy as AWS makes them. They show; the policy itself looks closer.
fn alarms(policy: Tracked<'_>) -> Vec<AlarmConfig> {
    let Tracked { arn, names: (high, low), question, target, disable_scale_in } = policy;
    let Some(watched) = watched(&question) else { return Vec::new() };
    let alarm = |name, evaluation_periods, threshold, comparison| AlarmConfig {
        name,
        description: Some(format!("{DESCRIBED}{arn}.")),
        actions_enabled: true,
        ok_actions: Vec::new(),
        alarm_actions: vec![arn.to_owned()],
        insufficient_actions: Vec::new(),
        watched: watched.clone(),
        evaluation_periods,
        datapoints_to_alarm: None,
        threshold,
        comparison,
        missing: None,
        ignore_low_samples: None,
    };
    let mut all = vec![alarm(high, HIGH_PERIODS, target, Comparison::Greater)];
    if !disable_scale_in {
        all.push(alarm(low, LOW_PERIODS, target * 0.9, Comparison::Less));
    }
    all
}

fn watched(question: &Question) -> Option<Watched> {
    Some(match question {
        Question::Series(of) => Watched::Metric(series(of, PERIOD)),
        Question::Math(given) => Watched::Queries(queries(given, PERIOD)?),
    })
}

// === Alarms order policies to act ===

/// What alarms may order: scaling policies.
#[derive(Debug)]
pub(crate) struct PolicyActions {
    pub(crate) realm: Realm,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
}

impl PolicyActions {
    /// What the alarm saw over its evaluation, put together as the policy says; what it was raised
    /// with if that cannot be told.
    fn value(&self, action: &AlarmAction, aggregation: Option<Aggregation>) -> Option<f64> {
        let names = vec![action.alarm_name.clone()];
        let alarm = self.metrics.alarms(&AlarmQuery { names, ..AlarmQuery::default() }).pop()?;
        let Watched::Metric(stat) = &alarm.config.watched else { return action.value };
        let periods = alarm.config.evaluation_periods;
        let back = Duration::from_secs(u64::from(stat.period) * u64::from(periods + 1));
        let (from, to) = (action.at - back, action.at);
        let points = self.metrics.read(&stat.id, from, to, stat.period, stat.statistic);
        let values: Vec<f64> = points.iter().rev().take(periods as usize).map(|p| p.1).collect();
        combined(&values, aggregation).or(action.value)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of periods")]
fn combined(values: &[f64], aggregation: Option<Aggregation>) -> Option<f64> {
    match aggregation {
        None | Some(Aggregation::Average) => {
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        }
        Some(Aggregation::Minimum) => values.iter().copied().reduce(f64::min),
        Some(Aggregation::Maximum) => values.iter().copied().reduce(f64::max),
    }
}

#[async_trait]
impl AlarmActions for PolicyActions {
    fn supports(&self, arn: &str) -> bool {
        self.realm.parse_scaling_policy(arn).is_some()
            || self.realm.parse_group_policy(arn).is_some()
    }

    /// A step policy acts again each minute; a target tracking one watches by itself.
    fn repeats(&self, arn: &str) -> bool {
        if let Some((_, key)) = self.realm.parse_group_policy(arn) {
            let state = self.store.snapshot();
            return state.capacity().policy(&key).is_some_and(|policy| policy.tracking().is_none());
        }
        self.realm.parse_scaling_policy(arn).is_some_and(|(_, key)| {
            let state = self.store.snapshot();
            state.scaling().policy(&key).is_some_and(|policy| policy.tracking().is_none())
        })
    }

    async fn invoke(&self, action: &AlarmAction) -> Result<String, String> {
        if let Some((id, key)) = self.realm.parse_group_policy(&action.arn) {
            return self.invoke_group(action, &id, key).await;
        }
        let gone = || format!("The scaling policy {} does not exist.", action.arn);
        let (target, key) = self.realm.parse_scaling_policy(&action.arn).ok_or_else(gone)?;
        let state = self.store.snapshot();
        let book = state.scaling();
        let same = book.target(&key.service).is_some_and(|known| known.id == target);
        let policy = book.policy(&key).filter(|_| same).ok_or_else(gone)?;
        let steps = match &policy.kind {
            PolicyKind::Steps(steps) => steps,
            // It has looked already: its windows are shorter than an alarm's.
            PolicyKind::TargetTracking(_) => {
                return Ok("The target tracking policy watches its metric itself.".to_owned());
            }
        };
        if action.state != AlarmState::Alarm {
            let state = action.state.as_str();
            return Err(format!("A scaling policy acts on ALARM, not on {state}."));
        }
        let fired = AlarmFired {
            value: self.value(action, steps.aggregation),
            policy: key,
            alarm: action.alarm_name.clone(),
            threshold: action.threshold,
        };
        self.order(action, Command::Scaling(ScalingCommand::AlarmFired(fired))).await
    }
}

impl PolicyActions {
    /// An alarm orders the policy of a group.
    async fn invoke_group(
        &self,
        action: &AlarmAction,
        id: &str,
        key: GroupPolicyKey,
    ) -> Result<String, String> {
        let state = self.store.snapshot();
        let policy = state.capacity().policy(&key).filter(|policy| policy.id == id);
        let policy =
            policy.ok_or_else(|| format!("The scaling policy {} does not exist.", action.arn))?;
        let aggregation = match &policy.kind {
            GroupPolicyKind::Simple(_) => None,
            GroupPolicyKind::Steps(steps) => steps.aggregation,
            GroupPolicyKind::Tracking(_) => {
                return Ok("The target tracking policy watches its metric itself.".to_owned());
            }
        };
        let breach = self.value(action, aggregation).map(|value| (value, action.threshold));
        let trigger = Trigger::Alarm(action.alarm_name.clone());
        let run = PolicyRun { policy: key, trigger, breach };
        self.order(action, Command::Capacity(CapacityCommand::RunGroupPolicy(run))).await
    }

    async fn order(&self, action: &AlarmAction, command: Command) -> Result<String, String> {
        match self.store.submit(command).await {
            Ok(_) => Ok(format!("Successfully executed action {}", action.arn)),
            Err(SubmitError::Rejected(refusal)) => {
                Err(scheduler::words::rejection(&refusal, &self.realm))
            }
            Err(error) => Err(stdx::chain(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_together_as_the_policy_says() {
        let values = [1.0, 5.0, 3.0];
        assert_eq!(combined(&values, None), Some(3.0));
        assert_eq!(combined(&values, Some(Aggregation::Minimum)), Some(1.0));
        assert_eq!(combined(&values, Some(Aggregation::Maximum)), Some(5.0));
        assert_eq!(combined(&[], None), None);
    }
}
