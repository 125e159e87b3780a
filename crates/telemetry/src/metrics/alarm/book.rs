//! The alarms themselves: put, described, set, switched, tagged, deleted. Each change is durable
//! before it is answered, and part of the alarm's history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
use serde_json::json;
use stdx::Timestamp;

use super::history::{self, HistoryItem, HistoryKind};
use super::{Alarm, AlarmConfig, AlarmState, Watched, check, words};
use crate::metrics::{MetricId, Metrics, MetricsError, Refused, Source, disk};

/// The most alarms.
const MOST_ALARMS: usize = 5_000;
/// The most tags of an alarm.
const MOST_TAGS: usize = 50;

/// Which alarms are asked for.
#[derive(Clone, Debug, Default)]
pub struct AlarmQuery {
    /// Of these names; all if there are none.
    pub names: Vec<String>,
    /// Whose names begin so.
    pub prefix: Option<String>,
    /// In this state.
    pub state: Option<AlarmState>,
    /// With an action whose ARN begins so.
    pub action_prefix: Option<String>,
    /// That watch this metric, by itself or in an expression.
    pub metric: Option<MetricId>,
}

/// Every alarm in the file.
pub(crate) fn load(database: &Database) -> Result<BTreeMap<String, Arc<Alarm>>, MetricsError> {
    let table = database.begin_read()?.open_table(disk::ALARMS)?;
    let mut all = BTreeMap::new();
    for entry in table.iter()? {
        let (name, bytes) = entry?;
        let alarm = disk::decode(&format!("alarm {}", name.value()), bytes.value())?;
        all.insert(name.value().to_owned(), Arc::new(alarm));
    }
    Ok(all)
}

fn write(transaction: &WriteTransaction, alarm: &Alarm) -> Result<(), MetricsError> {
    let bytes = disk::encode("an alarm", alarm)?;
    transaction.open_table(disk::ALARMS)?.insert(alarm.config.name.as_str(), bytes.as_slice())?;
    Ok(())
}

fn read(transaction: &WriteTransaction, name: &str) -> Result<Option<Alarm>, MetricsError> {
    let table = transaction.open_table(disk::ALARMS)?;
    let found = table.get(name)?;
    found.map(|bytes| disk::decode(&format!("alarm {name}"), bytes.value())).transpose()
}

/// The name in an alarm's ARN.
pub fn alarm_name(arn: &str) -> Option<&str> {
    arn.split_once(":alarm:").map(|(_, name)| name).filter(|name| !name.is_empty())
}

impl Metrics {
    /// `PutMetricAlarm`: makes an alarm, or changes one. A changed one keeps its state and its tags.
    ///
    /// # Errors
    /// What CloudWatch refuses; actions that nothing here can do; more alarms than there may be.
    pub async fn put_alarm(
        &self,
        config: AlarmConfig,
        tags: BTreeMap<String, String>,
    ) -> Result<(), MetricsError> {
        check::check(&config, self.inner.actions.get().map(AsRef::as_ref))?;
        check_tags(&tags)?;
        let full = {
            let alarms = self.all_alarms();
            alarms.len() >= MOST_ALARMS && !alarms.contains_key(&config.name)
        };
        if full {
            let why = format!("There may be at most {MOST_ALARMS} alarms.");
            return Err(MetricsError::refused(Refused::Limit, why));
        }
        let settings = &self.inner.config;
        let arn = format!(
            "arn:aws:cloudwatch:{}:{}:alarm:{}",
            settings.region, settings.account, config.name
        );
        let now = self.now();
        self.change(move |transaction| {
            let known = read(transaction, &config.name)?;
            let (verb, event) = match known {
                Some(_) => ("updated", "Update"),
                None => ("created", "Create"),
            };
            let fresh = Alarm {
                config: config.clone(),
                arn,
                tags,
                state: AlarmState::Insufficient,
                reason: words::UNCHECKED.to_owned(),
                reason_data: None,
                state_updated: now,
                state_changed: now,
                configured: now,
            };
            let alarm = match known {
                Some(known) => Alarm { config, configured: now, ..known },
                None => fresh,
            };
            let summary = format!("Alarm \"{}\" {verb}", alarm.config.name);
            note(transaction, &alarm.config.name, now, summary, event)?;
            write(transaction, &alarm)?;
            Ok(vec![alarm])
        })
        .await
    }

    /// `DeleteAlarms`: all of them or none.
    ///
    /// # Errors
    /// One of them does not exist.
    pub async fn delete_alarms(&self, names: Vec<String>) -> Result<(), MetricsError> {
        let now = self.now();
        let unknown = {
            let alarms = self.all_alarms();
            names.iter().find(|name| !alarms.contains_key(*name)).cloned()
        };
        if let Some(name) = unknown {
            return Err(not_found(&name));
        }
        let _in_order = self.inner.changing.lock().await;
        let gone = names.clone();
        let work = move |transaction: &WriteTransaction| {
            for name in &names {
                transaction.open_table(disk::ALARMS)?.remove(name.as_str())?;
                let summary = format!("Alarm \"{name}\" deleted");
                note(transaction, name, now, summary, "Delete")?;
            }
            Ok(())
        };
        self.inner.writer.submit(work).await?;
        let mut alarms = self.all_alarms();
        gone.iter().for_each(|name| drop(alarms.remove(name)));
        Ok(())
    }

    /// `DescribeAlarms` and `DescribeAlarmsForMetric`, in the order of names.
    pub fn alarms(&self, query: &AlarmQuery) -> Vec<Arc<Alarm>> {
        let wanted = |alarm: &&Arc<Alarm>| {
            let config = &alarm.config;
            let acts = |prefix: &String| {
                let all = [&config.ok_actions, &config.alarm_actions, &config.insufficient_actions];
                all.into_iter().flatten().any(|arn| arn.starts_with(prefix.as_str()))
            };
            (query.names.is_empty() || query.names.contains(&config.name))
                && query
                    .prefix
                    .as_ref()
                    .is_none_or(|prefix| config.name.starts_with(prefix.as_str()))
                && query.state.is_none_or(|state| state == alarm.state)
                && query.action_prefix.as_ref().is_none_or(acts)
                && query.metric.as_ref().is_none_or(|id| watches(&config.watched, id))
        };
        self.all_alarms().values().filter(wanted).cloned().collect()
    }

    /// `SetAlarmState`: until the next evaluation. Its actions are done if it became another state.
    ///
    /// # Errors
    /// There is no such alarm, or `data` is no JSON.
    pub async fn set_alarm_state(
        &self,
        name: &str,
        state: AlarmState,
        reason: String,
        data: Option<String>,
    ) -> Result<(), MetricsError> {
        let json = |text: &String| serde_json::from_str::<serde_json::Value>(text).is_ok();
        if data.as_ref().is_some_and(|text| !json(text)) {
            return Err(MetricsError::value("StateReasonData is no JSON."));
        }
        self.move_alarm(name, state, reason, data).await?;
        self.inner.set_by_hand.notify_one();
        Ok(())
    }

    /// Puts an alarm into a state, and says whether it was in another.
    pub(super) async fn move_alarm(
        &self,
        name: &str,
        state: AlarmState,
        reason: String,
        reason_data: Option<String>,
    ) -> Result<(), MetricsError> {
        let (name, now) = (name.to_owned(), self.now());
        self.change(move |transaction| {
            let known = read(transaction, &name)?.ok_or_else(|| not_found(&name))?;
            let other = known.state != state;
            if other {
                let item = state_item(&known, state, &reason, reason_data.as_deref(), now);
                history::add(transaction, &item)?;
            }
            let state_changed = if other { now } else { known.state_changed };
            let alarm =
                Alarm { state, reason, reason_data, state_updated: now, state_changed, ..known };
            write(transaction, &alarm)?;
            Ok(vec![alarm])
        })
        .await
    }

    /// `EnableAlarmActions` and `DisableAlarmActions`; names that do not exist are passed over, as AWS
    /// does.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn switch_alarms(&self, names: Vec<String>, on: bool) -> Result<(), MetricsError> {
        let now = self.now();
        self.change(move |transaction| {
            let mut changed = Vec::new();
            for name in names {
                let Some(mut alarm) = read(transaction, &name)? else { continue };
                if alarm.config.actions_enabled != on {
                    alarm.config.actions_enabled = on;
                    alarm.configured = now;
                    let summary = format!("Alarm \"{name}\" updated");
                    note(transaction, &name, now, summary, "Update")?;
                    write(transaction, &alarm)?;
                    changed.push(alarm);
                }
            }
            Ok(changed)
        })
        .await
    }

    /// `TagResource` and `UntagResource`: adds tags, then takes away those of these keys.
    ///
    /// # Errors
    /// There is no such alarm, or it would have more than 50 tags.
    pub async fn tag_alarm(
        &self,
        name: &str,
        add: BTreeMap<String, String>,
        remove: BTreeSet<String>,
    ) -> Result<(), MetricsError> {
        let name = name.to_owned();
        self.change(move |transaction| {
            let mut alarm = read(transaction, &name)?.ok_or_else(|| not_found(&name))?;
            alarm.tags.extend(add);
            alarm.tags.retain(|key, _| !remove.contains(key));
            check_tags(&alarm.tags)?;
            write(transaction, &alarm)?;
            Ok(vec![alarm])
        })
        .await
    }

    /// Writes to an alarm's history.
    pub(super) async fn remember(&self, item: HistoryItem) -> Result<(), MetricsError> {
        let work = move |transaction: &WriteTransaction| history::add(transaction, &item);
        self.inner.writer.submit(work).await
    }

    /// Has alarms changed durably, then for those who ask.
    async fn change(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<Vec<Alarm>, MetricsError> + Send + 'static,
    ) -> Result<(), MetricsError> {
        let _in_order = self.inner.changing.lock().await;
        let changed = self.inner.writer.submit(work).await?;
        let mut alarms = self.all_alarms();
        for alarm in changed {
            alarms.insert(alarm.config.name.clone(), Arc::new(alarm));
        }
        Ok(())
    }
}

fn not_found(name: &str) -> MetricsError {
    MetricsError::refused(Refused::NotFound, format!("The alarm {name} does not exist."))
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), MetricsError> {
    if tags.len() > MOST_TAGS {
        return Err(MetricsError::value(format!("An alarm has at most {MOST_TAGS} tags.")));
    }
    let bad = |(key, value): &(&String, &String)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256
    };
    match tags.iter().find(bad) {
        Some((key, _)) => Err(MetricsError::value(format!(
            "The tag {key:?} is invalid: a key has 1 to 128 characters and a value at most 256."
        ))),
        None => Ok(()),
    }
}

fn watches(watched: &Watched, id: &MetricId) -> bool {
    match watched {
        Watched::Metric(stat) => stat.id == *id,
        Watched::Queries(queries) => queries
            .iter()
            .any(|query| matches!(&query.source, Source::Metric(stat) if stat.id == *id)),
    }
}

fn note(
    transaction: &WriteTransaction,
    alarm: &str,
    at: Timestamp,
    summary: String,
    event: &str,
) -> Result<(), MetricsError> {
    let data = json!({ "type": event, "version": "1.0", "alarmName": alarm }).to_string();
    let kind = HistoryKind::Configuration;
    history::add(transaction, &HistoryItem { alarm: alarm.to_owned(), at, kind, summary, data })
}

fn state_item(
    known: &Alarm,
    state: AlarmState,
    reason: &str,
    data: Option<&str>,
    at: Timestamp,
) -> HistoryItem {
    let parsed = |text: Option<&str>| {
        text.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
    };
    let of = |state: AlarmState, reason: &str, data: Option<&str>| {
        let mut told = json!({ "stateValue": state.as_str(), "stateReason": reason });
        if let (Some(data), Some(members)) = (parsed(data), told.as_object_mut()) {
            members.insert("stateReasonData".to_owned(), data);
        }
        told
    };
    let told = json!({
        "version": "1.0",
        "oldState": of(known.state, &known.reason, known.reason_data.as_deref()),
        "newState": of(state, reason, data),
    });
    HistoryItem {
        alarm: known.config.name.clone(),
        at,
        kind: HistoryKind::State,
        summary: format!("Alarm updated from {} to {}", known.state.as_str(), state.as_str()),
        data: told.to_string(),
    }
}
