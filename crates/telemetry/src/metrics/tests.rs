//! The metric store on a real file.

use std::sync::Arc;
use std::time::Duration;

use shell::ManualClock;
use stdx::Timestamp;

use super::{
    ListQuery, MetricId, MetricStat, Metrics, MetricsConfig, MetricsError, Query, Refused,
    Resolution, Sample, Source, Statistic, StatisticSet, Unit, Values,
};

/// 2026-11-22T14:30:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_357_800_000);

pub(super) struct Store {
    pub(super) metrics: Metrics,
    pub(super) clock: ManualClock,
    pub(super) dir: tempfile::TempDir,
}

pub(super) fn config(dir: &std::path::Path, clock: &ManualClock) -> MetricsConfig {
    MetricsConfig::new(dir, "123456789012", "us-east-1", Arc::new(clock.clone()))
}

pub(super) fn store() -> Store {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(NOW));
    let metrics = Metrics::open(config(dir.path(), &clock)).unwrap();
    Store { metrics, clock, dir }
}

impl Store {
    fn reopen(self) -> Self {
        let Self { metrics, clock, dir } = self;
        drop(metrics);
        let metrics = Metrics::open(config(dir.path(), &clock)).unwrap();
        Self { metrics, clock, dir }
    }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + seconds * 1000)
}

fn id(name: &str) -> MetricId {
    MetricId::new("My/App", name, [("Host", "a")])
}

pub(super) fn sample(name: &str, seconds: i64, value: f64, resolution: Resolution) -> Sample {
    let values = Values::One(value);
    Sample { id: id(name), unit: Unit::Count, at: at(seconds), values, resolution }
}

fn high(name: &str, seconds: i64, value: f64) -> Sample {
    sample(name, seconds, value, Resolution::High)
}

fn read(store: &Store, name: &str, from: i64, to: i64, period: u32) -> Vec<(i64, f64)> {
    let found = store.metrics.read(&id(name), at(from), at(to), period, Statistic::Sum);
    let relative = |at: Timestamp| (at.as_millis() - NOW.as_millis()) / 1000;
    found.into_iter().map(|(at, value)| (relative(at), value)).collect()
}

#[tokio::test]
async fn seconds_and_minutes_are_told_apart() {
    let store = store();
    let put = vec![
        high("m", -70, 1.0),
        high("m", -10, 2.0),
        high("m", -9, 3.0),
        high("m", -9, 4.0),
        sample("standard", -10, 5.0, Resolution::Standard),
    ];
    store.metrics.put(put).await.unwrap();
    assert_eq!(read(&store, "m", -120, 0, 1), [(-70, 1.0), (-10, 2.0), (-9, 7.0)]);
    assert_eq!(read(&store, "m", -120, 0, 10), [(-70, 1.0), (-10, 9.0)]);
    assert_eq!(read(&store, "m", -120, 0, 60), [(-120, 1.0), (-60, 9.0)]);
    assert_eq!(
        read(&store, "m", -3600, 0, 3600),
        [(-3600, 10.0)].map(|(_, v)| (-1800, v)).map(|_| (-1800, 10.0))
    );
    assert_eq!(read(&store, "standard", -120, 0, 1), [(-60, 5.0)]);
    assert_eq!(read(&store, "nothing", -120, 0, 1), []);
}

#[tokio::test]
async fn order_does_not_matter_and_the_end_is_not_included() {
    let store = store();
    for seconds in [-5, -7, -6, -8] {
        store.metrics.put(vec![high("m", seconds, 1.0)]).await.unwrap();
    }
    assert_eq!(read(&store, "m", -7, -5, 1), [(-7, 1.0), (-6, 1.0)]);
}

#[tokio::test]
async fn what_was_put_and_what_was_recorded_survives() {
    let mut store = store();
    store.metrics.put(vec![high("put", -10, 1.0)]).await.unwrap();
    store.metrics.record(&[high("recorded", -10, 2.0)]);
    for _ in 0..3 {
        store = store.reopen();
        assert_eq!(read(&store, "put", -60, 0, 60), [(-60, 1.0)]);
        assert_eq!(read(&store, "recorded", -60, 0, 1), [(-10, 2.0)]);
    }
    // What comes later is added to what is there.
    store.metrics.put(vec![high("put", -10, 1.0)]).await.unwrap();
    assert_eq!(read(&store, "put", -60, 0, 1), [(-10, 2.0)]);
    assert_eq!(store.metrics.list(&ListQuery::default()).0.len(), 2);
}

#[tokio::test]
async fn an_acknowledged_sample_is_in_the_file_before_it_is_flushed() {
    let store = store();
    store.metrics.put(vec![high("m", -10, 1.0)]).await.unwrap();
    let journal = super::disk::journal(&store.metrics.inner.database).unwrap();
    assert_eq!(journal.len(), 1);
    store.metrics.flush().await.unwrap();
    assert_eq!(super::disk::journal(&store.metrics.inner.database).unwrap().len(), 0);
    assert_eq!(read(&store, "m", -60, 0, 1), [(-10, 1.0)]);
}

#[tokio::test]
async fn fine_data_go_and_coarse_data_stay() {
    let mut store = store();
    store.metrics.put(vec![high("m", 0, 1.0), high("m", 1, 2.0)]).await.unwrap();
    let later = |store: &Store, seconds: u64| {
        store.clock.advance(Duration::from_secs(seconds));
    };
    later(&store, 4 * 3600);
    assert_eq!(read(&store, "m", 0, 60, 1), []);
    assert_eq!(read(&store, "m", 0, 60, 60), [(0, 3.0)]);
    store = store.reopen();
    later(&store, 20 * 86_400);
    assert_eq!(read(&store, "m", 0, 60, 60), []);
    assert_eq!(read(&store, "m", 0, 300, 300), [(0, 3.0)]);
    later(&store, 60 * 86_400);
    assert_eq!(read(&store, "m", 0, 300, 300), []);
    assert_eq!(read(&store, "m", -1800, 3600, 3600), [(-1800, 3.0)]);
}

#[tokio::test]
async fn the_sweep_removes_what_is_too_old_and_what_is_too_much() {
    let store = store();
    store.metrics.put(vec![high("m", 0, 1.0)]).await.unwrap();
    store.metrics.flush().await.unwrap();
    let sweep = |now: i64, most: u64| {
        let transaction = store.metrics.inner.database.begin_write().unwrap();
        let bytes = super::disk::sweep(&transaction, now, most).unwrap();
        transaction.commit().unwrap();
        bytes
    };
    let all = sweep(NOW.as_secs(), u64::MAX);
    let after_a_day = sweep(NOW.as_secs() + 86_400, u64::MAX);
    assert!(after_a_day < all && after_a_day > 0, "{after_a_day} of {all}");
    assert!(sweep(NOW.as_secs(), after_a_day - 1) < after_a_day);
    assert_eq!(sweep(NOW.as_secs() + 500 * 86_400, u64::MAX), 0);
}

#[tokio::test]
async fn only_so_many_series_and_the_silent_ones_make_room() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::new(NOW));
    let settings = MetricsConfig { most_series: 3, ..config(dir.path(), &clock) };
    let metrics = Metrics::open(settings).unwrap();
    for name in ["a", "b", "c"] {
        metrics.put(vec![high(name, 0, 1.0)]).await.unwrap();
    }
    let refused = metrics.put(vec![high("d", 0, 1.0)]).await.unwrap_err();
    assert!(matches!(refused, MetricsError::Refused { kind: Refused::Limit, .. }), "{refused}");
    clock.advance(Duration::from_secs(7200));
    metrics.put(vec![high("a", 7200, 1.0), high("d", 7200, 1.0)]).await.unwrap();
    let names: Vec<String> =
        metrics.list(&ListQuery::default()).0.into_iter().map(|id| id.name).collect();
    assert_eq!(names, ["a", "d"]);
    metrics.flush().await.unwrap();
    assert_eq!(super::disk::series(&metrics.inner.database).unwrap().len(), 2);
}

#[tokio::test]
async fn what_cloudwatch_refuses() {
    let store = store();
    let base = high("m", 0, 1.0);
    let values = |values: Values| Sample { values, ..base.clone() };
    let set = |sum, count, min, max| values(Values::Set(StatisticSet { sum, count, min, max }));
    let named = |namespace: &str, name: &str, dimensions: &[(&str, &str)]| Sample {
        id: MetricId::new(namespace, name, dimensions.iter().copied()),
        ..base.clone()
    };
    let many: Vec<(String, String)> = (0..31).map(|n| (format!("d{n}"), "v".to_owned())).collect();
    for (sample, part) in [
        (high("m", 7201, 1.0), "two hours in the future"),
        (high("m", -14 * 86_400 - 1, 1.0), "past two weeks"),
        (high("m", 0, f64::NAN), "NaN"),
        (high("m", 0, f64::INFINITY), "inf"),
        (high("m", 0, 3e108), "2^360"),
        (set(1.0, 0.0, 1.0, 1.0), "SampleCount"),
        (set(1.0, 1.0, 2.0, 1.0), "Minimum"),
        (values(Values::Many(vec![])), "Values is required"),
        (values(Values::Many(vec![(1.0, -1.0)])), "Counts"),
        (values(Values::Many(vec![(1.0, 1.0); 151])), "greater than 150"),
        (named("AWS/ECS", "m", &[]), "AWS/ECS"),
        (named(":x", "m", &[]), ":x"),
        (named("", "m", &[]), "Namespace is required"),
        (named("n", "", &[]), "MetricName is required"),
        (named("n", &"m".repeat(256), &[]), "255"),
        (named("n", "m", &[(":d", "v")]), "begins"),
        (named("n", "m", &[("d", "ü")]), "ASCII"),
        (named("n", "m", &[("d", "1"), ("d", "2")]), "twice"),
        (Sample { id: MetricId::new("n", "m", many), ..base.clone() }, "greater than 30"),
    ] {
        let refused = store.metrics.put(vec![sample]).await.unwrap_err().to_string();
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let too_many = vec![base.clone(); 1001];
    assert!(store.metrics.put(too_many).await.unwrap_err().to_string().contains("1000"));
    assert_eq!(store.metrics.count(), 0, "a refused call leaves nothing behind");
    store.metrics.put(vec![high("m", 7199, 1.0), high("m", -14 * 86_400 + 1, 1.0)]).await.unwrap();
}

#[tokio::test]
async fn units_are_kept_apart_and_read_together() {
    let store = store();
    let percent = Sample { unit: Unit::Percent, ..high("m", -10, 50.0) };
    store.metrics.put(vec![high("m", -10, 1.0), percent]).await.unwrap();
    assert_eq!(read(&store, "m", -60, 0, 60), [(-60, 51.0)]);
    let of =
        |unit| store.metrics.statistics(&id("m"), unit, (at(-60), at(0)), 60, &[50.0]).unwrap();
    assert_eq!(of(None).len(), 2);
    let percent = of(Some(Unit::Percent));
    assert_eq!(
        (percent.len(), percent[0].set.sum, percent[0].percentiles[0]),
        (1, 50.0, Some(50.0))
    );
    assert_eq!(store.metrics.list(&ListQuery::default()).0, [id("m")]);
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let store = store();
    let samples: Vec<Sample> = (0..600).map(|n| high(&format!("m{n:03}"), 0, 1.0)).collect();
    store.metrics.record(&samples);
    let (first, more) = store.metrics.list(&ListQuery::default());
    assert_eq!((first.len(), more), (500, true));
    let after = ListQuery { after: first.last().cloned(), ..ListQuery::default() };
    let (rest, more) = store.metrics.list(&after);
    assert_eq!((rest.len(), more), (100, false));
    let count = |query: ListQuery| store.metrics.list(&query).0.len();
    let dimension = |name: &str, value: Option<&str>| ListQuery {
        dimensions: vec![(name.to_owned(), value.map(str::to_owned))],
        ..ListQuery::default()
    };
    assert_eq!(count(ListQuery { name: Some("m007".to_owned()), ..ListQuery::default() }), 1);
    assert_eq!(count(ListQuery { namespace: Some("x".to_owned()), ..ListQuery::default() }), 0);
    assert_eq!(count(dimension("Host", None)), 500);
    assert_eq!(count(dimension("Host", Some("b"))), 0);
    store.clock.advance(Duration::from_secs(4 * 3600));
    assert_eq!(count(ListQuery { recent: true, ..ListQuery::default() }), 0);
    store.clock.advance(Duration::from_secs(15 * 86_400));
    assert_eq!(count(ListQuery::default()), 0);
}

#[tokio::test]
async fn expressions_over_metrics() {
    let store = store();
    for minute in 1..=3 {
        let seconds = -60 * minute;
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let value = minute as f64;
        store.metrics.put(vec![high("a", seconds, value), high("b", seconds, 10.0)]).await.unwrap();
    }
    let metric = |name: &str, returns| Query {
        id: name.to_owned(),
        label: None,
        source: Source::Metric(MetricStat {
            id: id(name),
            period: 60,
            statistic: Statistic::Sum,
            unit: None,
        }),
        returns,
    };
    let expression = |name: &str, text: &str| Query {
        id: name.to_owned(),
        label: None,
        source: Source::Expression { text: text.to_owned(), period: None },
        returns: true,
    };
    let run = |queries: &[Query]| store.metrics.query(queries, at(-180), at(0));
    // In any order; by way of another expression.
    let answers = run(&[
        expression("e2", "e1 * 2"),
        expression("e1", "a + b"),
        metric("a", false),
        metric("b", true),
    ])
    .unwrap();
    let ids: Vec<&str> = answers.iter().map(|answer| answer.id.as_str()).collect();
    assert_eq!(ids, ["e2", "e1", "b"]);
    let values: Vec<f64> = answers[0].points.iter().map(|(_, value)| *value).collect();
    assert_eq!(values, [26.0, 24.0, 22.0]);
    for (queries, part) in [
        (vec![expression("e1", "e2"), expression("e2", "e1")], "itself"),
        (vec![expression("e1", "e1 + 1")], "itself"),
        (vec![expression("e1", "nothing + 1")], "'nothing'"),
        (vec![metric("a", false), expression("e1", "SUM(a)")], "time series"),
    ] {
        match run(&queries) {
            Err(super::QueryError::Expression { error, .. }) => {
                assert!(error.why.contains(part), "{}", error.why);
            }
            other => panic!("{part}: {other:?}"),
        }
    }
}
