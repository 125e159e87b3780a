//! Alarms: AWS's own tables of what missing data do, the words of reasons, and a life.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::evaluate::{Slot, evaluate, too_few};
use super::{
    Alarm, AlarmAction, AlarmActions, AlarmConfig, AlarmQuery, AlarmState, Comparison, HistoryKind,
    HistoryQuery, Missing, Watched, words,
};
use crate::metrics::tests::{NOW, Store, at, sample, store};
use crate::metrics::{MetricId, MetricStat, Query, Resolution, Source, Statistic};

fn config(least: u32, all: u32, missing: Missing) -> AlarmConfig {
    AlarmConfig {
        name: "a".to_owned(),
        description: None,
        actions_enabled: true,
        ok_actions: Vec::new(),
        alarm_actions: Vec::new(),
        insufficient_actions: Vec::new(),
        watched: Watched::Metric(MetricStat {
            id: MetricId::new("My/App", "m", [("Host", "a")]),
            period: 60,
            statistic: Statistic::Average,
            unit: None,
        }),
        evaluation_periods: all,
        datapoints_to_alarm: Some(least),
        threshold: 80.0,
        comparison: Comparison::Greater,
        missing: Some(missing),
        ignore_low_samples: None,
    }
}

/// `0 - X`: within, missing, beyond; the oldest first.
fn slots(text: &str) -> Vec<Slot> {
    let marks: Vec<&str> = text.split(' ').collect();
    let value = |mark: &str| match mark {
        "0" => Some((10.0, 1.0)),
        "X" => Some((97.5, 1.0)),
        _ => None,
    };
    marks.iter().zip(0..).map(|(mark, n)| Slot { at: at(n * 60), value: value(mark) }).collect()
}

/// Both tables of "Configuring how CloudWatch alarms treat missing data".
#[test]
fn missing_data_are_treated_as_aws_documents() {
    use AlarmState::{Alarm, Insufficient, Ok};
    let treatments = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];
    let (alarm, ok) = (Some(Alarm), Some(Ok));
    for (least, text, expected) in [
        (3, "0 - X - X", [ok, ok, ok, ok]),
        (3, "0 - - - -", [ok, ok, ok, ok]),
        (3, "- - - - -", [Some(Insufficient), None, alarm, ok]),
        (3, "0 X X - X", [alarm, alarm, alarm, alarm]),
        (3, "- - X - -", [alarm, None, alarm, ok]),
        (2, "0 - X - X", [alarm, alarm, alarm, alarm]),
        (2, "0 0 X 0 X", [alarm, alarm, alarm, alarm]),
        (2, "0 - X - -", [ok, ok, alarm, ok]),
        (2, "- - - - 0", [ok, ok, alarm, ok]),
        (2, "- - - X -", [alarm, None, alarm, ok]),
    ] {
        for (missing, expected) in treatments.into_iter().zip(expected) {
            let verdict = evaluate(&config(least, 3, missing), &slots(text));
            assert_eq!(verdict.state, expected, "{least} of 3, {text}, {missing:?}");
        }
    }
}

#[test]
fn reasons_are_written_as_cloudwatch_writes_them() {
    let told = |least, all, missing, text: &str| {
        let config = config(least, all, missing);
        let verdict = evaluate(&config, &slots(text));
        words::reason(&config, verdict.state.unwrap(), &verdict)
    };
    assert_eq!(
        told(1, 1, Missing::Missing, "X"),
        "Threshold Crossed: 1 out of the last 1 datapoints [97.5 (22/11/26 14:30:00)] was greater than \
         the threshold (80.0) (minimum 1 datapoint for OK -> ALARM transition)."
    );
    assert_eq!(
        told(2, 3, Missing::Missing, "X 0 X"),
        "Threshold Crossed: 2 out of the last 3 datapoints [97.5 (22/11/26 14:32:00), 97.5 (22/11/26 \
         14:30:00)] were greater than the threshold (80.0) (minimum 2 datapoints for OK -> ALARM \
         transition)."
    );
    assert_eq!(
        told(1, 1, Missing::Missing, "0"),
        "Threshold Crossed: 1 out of the last 1 datapoints [10.0 (22/11/26 14:30:00)] was not greater \
         than the threshold (80.0) (minimum 1 datapoint for ALARM -> OK transition)."
    );
    assert_eq!(
        told(1, 1, Missing::Breaching, "-"),
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated \
         as [Breaching]."
    );
    assert_eq!(
        told(3, 3, Missing::NotBreaching, "- - -"),
        "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were \
         treated as [NonBreaching]."
    );
    assert_eq!(told(1, 1, Missing::Missing, "-"), "Insufficient Data: 1 datapoint was unknown.");
    assert_eq!(
        told(2, 2, Missing::Breaching, "X -"),
        "Threshold Crossed: 1 datapoint [97.5 (22/11/26 14:30:00)] was greater than the threshold (80.0) \
         and 1 missing datapoint was treated as [Breaching]."
    );
}

#[test]
fn percentiles_of_few_samples() {
    for (percent, samples, few) in
        [(99.0, 999.0, true), (99.0, 1001.0, false), (50.0, 19.0, true), (10.0, 101.0, false)]
    {
        assert_eq!(too_few(percent, samples), few, "p{percent} of {samples}");
    }
}

#[derive(Debug, Default)]
struct Done(Mutex<Vec<(String, AlarmState, Option<f64>)>>);

#[async_trait]
impl AlarmActions for Done {
    fn supports(&self, arn: &str) -> bool {
        arn.contains(":scalingPolicy:")
    }
    fn repeats(&self, arn: &str) -> bool {
        arn.ends_with("again")
    }
    async fn invoke(&self, action: &AlarmAction) -> Result<String, String> {
        if action.arn.ends_with("fails") {
            return Err("it is gone".to_owned());
        }
        self.0.lock().unwrap().push((action.arn.clone(), action.state, action.value));
        Ok("done".to_owned())
    }
}

fn policy(name: &str) -> String {
    format!("arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1:{name}")
}

fn alarm(store: &Store) -> Arc<Alarm> {
    store.metrics.alarms(&AlarmQuery::default()).remove(0)
}

async fn minute(
    store: &Store,
    looks: &mut std::collections::BTreeMap<String, super::watch::Look>,
    value: Option<f64>,
) {
    store.clock.advance(Duration::from_secs(60));
    if let Some(value) = value {
        let now =
            (crate::metrics::Metrics::now(&store.metrics).as_millis() - NOW.as_millis()) / 1000;
        store.metrics.record(&[sample("m", now - 30, value, Resolution::Standard)]);
    }
    store.metrics.tick(looks).await;
    // Actions are tasks of their own.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_alarm_lives() {
    let store = store();
    let done = Arc::new(Done::default());
    store.metrics.set_actions(done.clone());
    // Two seconds into a minute: each further minute is then looked at once.
    store.clock.advance(Duration::from_secs(2));
    let mut wanted = config(1, 1, Missing::Missing);
    wanted.alarm_actions = vec![policy("once"), policy("again"), policy("fails")];
    store.metrics.put_alarm(wanted.clone(), Default::default()).await.unwrap();
    assert_eq!(
        (alarm(&store).state, alarm(&store).reason.as_str()),
        (AlarmState::Insufficient, words::UNCHECKED)
    );
    let mut looks = Default::default();
    minute(&store, &mut looks, Some(10.0)).await;
    assert_eq!(alarm(&store).state, AlarmState::Ok);
    minute(&store, &mut looks, Some(95.0)).await;
    assert_eq!(alarm(&store).state, AlarmState::Alarm);
    minute(&store, &mut looks, Some(96.0)).await;
    {
        let done = done.0.lock().unwrap();
        let told: Vec<(&str, Option<f64>)> =
            done.iter().map(|(arn, _, value)| (arn.rsplit(':').next().unwrap(), *value)).collect();
        assert_eq!(told, [("once", Some(95.0)), ("again", Some(95.0)), ("again", Some(96.0))]);
    }
    minute(&store, &mut looks, None).await;
    minute(&store, &mut looks, None).await;
    minute(&store, &mut looks, None).await;
    assert_eq!(alarm(&store).state, AlarmState::Insufficient);
    let query = HistoryQuery { most: 100, ascending: true, ..HistoryQuery::default() };
    // Written by tasks of their own.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let items = store.metrics.history(&query).unwrap().items;
    let of = |kind| {
        let of_kind = items.iter().filter(move |item| item.kind == kind);
        of_kind.map(|item| item.summary.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(HistoryKind::Configuration), ["Alarm \"a\" created"]);
    assert_eq!(
        of(HistoryKind::State),
        [
            "Alarm updated from INSUFFICIENT_DATA to OK",
            "Alarm updated from OK to ALARM",
            "Alarm updated from ALARM to INSUFFICIENT_DATA"
        ]
    );
    assert!(of(HistoryKind::Action).iter().any(|summary| summary.contains("it is gone")));
    let failed: serde_json::Value = serde_json::from_str(&items[2].data).unwrap();
    assert_eq!(failed["version"], "1.0");
}

#[tokio::test]
async fn what_is_set_by_hand_lasts_until_the_next_look_and_a_change_survives() {
    let store = store();
    store.metrics.put_alarm(config(1, 1, Missing::Ignore), Default::default()).await.unwrap();
    let set = |state| {
        store.metrics.set_alarm_state("a", state, "by hand".to_owned(), Some("{}".to_owned()))
    };
    set(AlarmState::Alarm).await.unwrap();
    assert_eq!(alarm(&store).state, AlarmState::Alarm);
    store.metrics.put_alarm(config(1, 2, Missing::Ignore), Default::default()).await.unwrap();
    assert_eq!(alarm(&store).state, AlarmState::Alarm, "a changed alarm keeps its state");
    let told = alarm(&store);
    let Store { metrics, clock, dir } = store;
    drop(metrics);
    let metrics =
        crate::metrics::Metrics::open(crate::metrics::tests::config(dir.path(), &clock)).unwrap();
    let store = Store { metrics, clock, dir };
    assert_eq!(alarm(&store), told);
    store.metrics.switch_alarms(vec!["a".to_owned(), "b".to_owned()], false).await.unwrap();
    assert!(!alarm(&store).config.actions_enabled);
    let tags = [("k".to_owned(), "v".to_owned())];
    store.metrics.tag_alarm("a", tags.into(), Default::default()).await.unwrap();
    assert_eq!(alarm(&store).tags.len(), 1);
    store.metrics.tag_alarm("a", Default::default(), ["k".to_owned()].into()).await.unwrap();
    assert_eq!(alarm(&store).tags.len(), 0);
    let missing = store.metrics.delete_alarms(vec!["a".to_owned(), "b".to_owned()]).await;
    assert!(missing.unwrap_err().to_string().contains('b'));
    store.metrics.delete_alarms(vec!["a".to_owned()]).await.unwrap();
    assert!(store.metrics.alarms(&AlarmQuery::default()).is_empty());
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let store = store();
    store.metrics.set_actions(Arc::new(Done::default()));
    let base = || config(1, 1, Missing::Missing);
    let period = |period: u32| {
        let Watched::Metric(stat) = base().watched else { panic!() };
        AlarmConfig { watched: Watched::Metric(MetricStat { period, ..stat }), ..base() }
    };
    let query = |returns| Query {
        id: "e".to_owned(),
        label: None,
        source: Source::Expression { text: "TIME_SERIES(1)".to_owned(), period: Some(60) },
        returns,
    };
    let queries = |list: Vec<Query>| AlarmConfig { watched: Watched::Queries(list), ..base() };
    for (wanted, part) in [
        (AlarmConfig { name: String::new(), ..base() }, "AlarmName"),
        (AlarmConfig { evaluation_periods: 0, ..base() }, "EvaluationPeriods"),
        (AlarmConfig { datapoints_to_alarm: Some(2), ..base() }, "DatapointsToAlarm"),
        (AlarmConfig { evaluation_periods: 1441, datapoints_to_alarm: None, ..base() }, "a day"),
        (AlarmConfig { threshold: f64::NAN, ..base() }, "Threshold"),
        (AlarmConfig { ignore_low_samples: Some(true), ..base() }, "percentile"),
        (period(15), "Period must be"),
        (period(0), "Period must be"),
        (
            AlarmConfig { ok_actions: vec!["arn:aws:sns:us-east-1:1:t".to_owned()], ..base() },
            "OKActions",
        ),
        (AlarmConfig { ok_actions: vec!["sns".to_owned()], ..base() }, "Invalid arn"),
        (AlarmConfig { alarm_actions: vec![policy("x"); 6], ..base() }, "greater than 5"),
        (queries(vec![query(false)]), "Exactly one"),
        (queries(vec![query(true), query(true)]), "Exactly one"),
    ] {
        let refused = store.metrics.put_alarm(wanted, Default::default()).await.unwrap_err();
        assert!(refused.to_string().contains(part), "{part}: {refused}");
    }
    store.metrics.put_alarm(queries(vec![query(true)]), Default::default()).await.unwrap();
}
