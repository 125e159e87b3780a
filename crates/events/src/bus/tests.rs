//! What is published comes to its targets, whatever happens in between.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use shell::{SystemClock, shutdown};
use stdx::SeededEntropy;

use super::*;
use crate::courier::{Answers, Outcome};
use crate::pattern::Pattern;
use crate::rules::Target;

#[derive(Debug, Default)]
struct Nobody(Mutex<BTreeMap<Count, u32>>);

impl Keeps for Nobody {
    fn keep<'a>(&'a self, _: &'a [Event]) -> Kept<'a> {
        Box::pin(async { Ok(()) })
    }
}

/// Rules that are always the same.
#[derive(Debug)]
struct Fixed(Rule);

impl Rules for Fixed {
    fn rules(&self) -> Arc<Vec<Rule>> {
        Arc::new(vec![self.0.clone()])
    }
}

impl Counts for Nobody {
    fn count(&self, _: &str, what: Count, more: u32) {
        *self.0.lock().unwrap().entry(what).or_default() += more;
    }
}

/// Fails so many times, then takes everything.
#[derive(Debug, Default)]
struct Target9 {
    fails: Mutex<u32>,
    refuses: bool,
    got: Mutex<Vec<String>>,
}

impl Calls for Target9 {
    fn call<'a>(&'a self, deliveries: &'a [Delivery]) -> Answers<'a> {
        let mut outcomes = Vec::new();
        for delivery in deliveries {
            let mut fails = self.fails.lock().unwrap();
            if self.refuses {
                outcomes.push(Outcome::Refused("no".into()));
            } else if *fails > 0 {
                *fails -= 1;
                outcomes.push(Outcome::Failed("not now".into()));
                break;
            } else {
                self.got.lock().unwrap().push(delivery.event_id.clone());
                outcomes.push(Outcome::Done);
            }
        }
        Box::pin(async move { outcomes })
    }
}

fn event(id: &str, source: &str) -> Event {
    Event { id: id.into(), document: json!({"id": id, "source": source}), only: None }
}

fn rule(retries: u32) -> Rule {
    Rule {
        name: "r".into(),
        pattern: Some(Pattern::parse(r#"{"source": ["a"]}"#).unwrap()),
        targets: vec![Target { id: "t".into(), most_retries: retries, most_seconds: 86_400 }],
    }
}

fn open(path: &Path, counts: &Arc<Nobody>) -> (Bus, BTreeMap<String, u64>) {
    open_with(path, counts, 185)
}

fn open_with(path: &Path, counts: &Arc<Nobody>, retries: u32) -> (Bus, BTreeMap<String, u64>) {
    let config = BusConfig {
        rules: Arc::new(Fixed(rule(retries))),
        keeper: counts.clone(),
        counts: counts.clone(),
        clock: SystemClock::shared(),
    };
    Bus::open(path, config).unwrap()
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to that");
}

#[tokio::test]
async fn events_come_in_order_although_the_first_attempts_fail() {
    let dir = tempfile::tempdir().unwrap();
    let counts = Arc::new(Nobody::default());
    let (bus, _) = open(&dir.path().join("o"), &counts);
    let target = Arc::new(Target9 { fails: Mutex::new(1), ..Target9::default() });
    let (trigger, stop) = shutdown();
    let courier =
        tokio::spawn(bus.clone().deliver(target.clone(), Box::new(SeededEntropy::new(1)), stop));
    let events = [event("1", "a"), event("2", "b"), event("3", "a")];
    bus.publish(&events, Vec::new()).await.unwrap();
    until(|| target.got.lock().unwrap().len() == 2).await;
    assert_eq!(*target.got.lock().unwrap(), ["1", "3"]);
    until(|| counts.0.lock().unwrap().get(&Count::Retried) == Some(&1)).await;
    let counted = counts.0.lock().unwrap().clone();
    assert_eq!((counted[&Count::Matched], counted[&Count::Invoked]), (2, 2));
    trigger.fire();
    courier.await.unwrap();
}

#[tokio::test]
async fn what_was_not_delivered_is_after_the_next_start_and_cursors_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o");
    let counts = Arc::new(Nobody::default());
    let (bus, _) = open(&path, &counts);
    bus.publish(&[event("1", "a")], vec![("task/x".into(), Some(7))]).await.unwrap();
    drop(bus);
    let (bus, cursors) = open(&path, &counts);
    assert_eq!(cursors, BTreeMap::from([("task/x".to_owned(), 7)]));
    bus.publish(&[event("2", "a")], Vec::new()).await.unwrap();
    let target = Arc::new(Target9::default());
    let (trigger, stop) = shutdown();
    let courier =
        tokio::spawn(bus.clone().deliver(target.clone(), Box::new(SeededEntropy::new(1)), stop));
    until(|| target.got.lock().unwrap().len() == 2).await;
    assert_eq!(*target.got.lock().unwrap(), ["1", "2"]);
    trigger.fire();
    courier.await.unwrap();
    // The line is empty, so nothing holds up the next.
    until(|| bus.0.load.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn what_is_refused_or_failed_too_often_is_given_up_and_counted() {
    for (target, retries) in [
        (Target9 { refuses: true, ..Target9::default() }, 185),
        (Target9 { fails: Mutex::new(9), ..Target9::default() }, 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let counts = Arc::new(Nobody::default());
        let (bus, _) = open_with(&dir.path().join("o"), &counts, retries);
        let (trigger, stop) = shutdown();
        let courier = tokio::spawn(bus.clone().deliver(
            Arc::new(target),
            Box::new(SeededEntropy::new(1)),
            stop,
        ));
        bus.publish(&[event("1", "a")], Vec::new()).await.unwrap();
        until(|| counts.0.lock().unwrap().get(&Count::Failed) == Some(&1)).await;
        trigger.fire();
        courier.await.unwrap();
    }
}

#[tokio::test]
async fn a_target_that_takes_nothing_fills_its_line_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let counts = Arc::new(Nobody::default());
    let (bus, _) = open(&dir.path().join("o"), &counts);
    let events: Vec<Event> = (0..MOST_WAITING + 3).map(|n| event(&n.to_string(), "a")).collect();
    bus.publish(&events, Vec::new()).await.unwrap();
    assert_eq!(counts.0.lock().unwrap()[&Count::Throttled], 3);
    assert_eq!(bus.0.load.lock().unwrap()[&("r".to_owned(), "t".to_owned())], MOST_WAITING);
}
