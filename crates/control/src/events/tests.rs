//! What changes is told once, in order, and what was missed is told after the next start.

use std::path::Path;
use std::sync::Mutex;

use events::{BusConfig, Count, Counts, Event, Keeps, Kept};
use model::{InstanceKey, InstanceStatus, Realm, Resources, Tags};
use scheduler::scaling::parse_schedule;
use scheduler::{BusCommand, Command, NewEventRule, RegisterInstance, Reply};
use serde_json::json;
use shell::{ManualClock, shutdown};
use stdx::{SeededEntropy, Timestamp};
use store::MemoryEngine;

use super::*;

/// Keeps everything in memory.
#[derive(Debug, Default)]
struct Kept9(Mutex<Vec<Event>>);

impl Keeps for Kept9 {
    fn keep<'a>(&'a self, events: &'a [Event]) -> Kept<'a> {
        self.0.lock().unwrap().extend_from_slice(events);
        Box::pin(async { Ok(()) })
    }
}

impl Counts for Kept9 {
    fn count(&self, _: &str, _: Count, _: u32) {}
}

#[derive(Debug)]
struct Short;

impl Describe for Short {
    fn task(&self, _: &State, task: &Task) -> Value {
        json!({"version": task.progress.version, "createdAt": 1.5, "tags": []})
    }

    fn instance(&self, _: &State, instance: &Instance) -> Value {
        json!({"version": instance.version, "status": "ACTIVE", "registeredAt": 0.0})
    }
}

struct World {
    store: Store,
    kept: Arc<Kept9>,
    clock: Arc<ManualClock>,
    stop: shell::ShutdownTrigger,
    running: tokio::task::JoinHandle<()>,
}

impl World {
    /// A server over what an earlier one left.
    fn start(engine: &MemoryEngine, outbox: &Path) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-11-23T03:00:00Z").unwrap()));
        let realm = Realm::new("eu-west-1", "123456789012");
        let chance = Box::new(SeededEntropy::new(3));
        let store = Store::open(Box::new(engine.clone()), realm, clock.clone(), chance).unwrap();
        let kept = Arc::new(Kept9::default());
        let config = BusConfig {
            rules: Arc::new(StateRules::new(store.clone())),
            keeper: kept.clone(),
            counts: kept.clone(),
            clock: clock.clone(),
        };
        let (bus, cursors) = Bus::open(outbox, config).unwrap();
        let parts =
            Parts { store: store.clone(), bus, describe: Arc::new(Short), clock: clock.clone() };
        let (stop, shutdown) = shutdown();
        let running = tokio::spawn(run(parts, cursors, shutdown));
        Self { store, kept, clock, stop, running }
    }

    async fn tell(&self, command: Command) -> Reply {
        self.store.submit(command).await.unwrap().reply
    }

    async fn register(&self) -> InstanceKey {
        self.tell(Command::CreateCluster { name: "c".into(), tags: Tags::default() }).await;
        let register = RegisterInstance {
            cluster: "c".into(),
            known_as: None,
            ec2_instance_id: None,
            address: None,
            resources: Resources { cpu: 1024, memory: 1024, ..Resources::default() },
            attributes: Vec::new(),
            tags: Tags::default(),
        };
        match self.tell(Command::RegisterInstance(register)).await {
            Reply::Instance(instance) => instance.key,
            other => panic!("an instance registers, not {other:?}"),
        }
    }

    async fn drain(&self, key: &InstanceKey, status: InstanceStatus) {
        self.tell(Command::SetInstanceStatus { key: key.clone(), status }).await;
    }

    /// The details of what was kept, once there are so many.
    async fn told(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let kept = self.kept.0.lock().unwrap().clone();
            if kept.len() >= count {
                return kept.into_iter().map(|event| event.document).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} events are kept, not {:?}", self.kept.0.lock().unwrap());
    }

    async fn end(self) {
        self.stop.fire();
        self.running.await.unwrap();
    }
}

fn versions(told: &[Value]) -> Vec<u64> {
    told.iter().filter_map(|event| event["detail"]["version"].as_u64()).collect()
}

#[tokio::test]
async fn each_version_is_told_once_and_what_was_missed_after_the_next_start() {
    let (engine, dir) = (MemoryEngine::default(), tempfile::tempdir().unwrap());
    let outbox = dir.path().join("outbox");
    let world = World::start(&engine, &outbox);
    // What is there before anybody listened is not told; this comes after.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let key = world.register().await;
    world.drain(&key, InstanceStatus::Draining).await;
    let told = world.told(2).await;
    assert_eq!(versions(&told), [1, 2]);
    assert_eq!(told[0]["detail-type"], "ECS Container Instance State Change");
    assert_eq!(told[0]["detail"]["registeredAt"], "1970-01-01T00:00:00.000Z");
    assert_eq!(told[0]["resources"][0], world.store.snapshot().realm().instance(&key));
    // The teller ends before the store does.
    let store = world.store.clone();
    world.end().await;
    for status in [InstanceStatus::Active, InstanceStatus::Draining] {
        store.submit(Command::SetInstanceStatus { key: key.clone(), status }).await.unwrap();
    }
    drop(store);
    let world = World::start(&engine, &outbox);
    let told = world.told(1).await;
    assert_eq!(versions(&told), [4], "the newest state is told, what was in between is left out");
    world.drain(&key, InstanceStatus::Active).await;
    assert_eq!(versions(&world.told(2).await), [4, 5]);
    world.tell(Command::DeregisterInstance { key: key.clone(), force: true }).await;
    let told = world.told(3).await;
    assert_eq!(told[2]["detail"]["status"], "INACTIVE");
    world.end().await;
    let world = World::start(&engine, &outbox);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(world.kept.0.lock().unwrap().is_empty(), "nothing is told again");
    world.end().await;
}

#[tokio::test]
async fn a_schedule_makes_one_event_for_its_own_rule() {
    let (engine, dir) = (MemoryEngine::default(), tempfile::tempdir().unwrap());
    let world = World::start(&engine, &dir.path().join("outbox"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let expression = "rate(1 minute)";
    let rule = NewEventRule {
        name: "tick".into(),
        pattern: None,
        schedule: Some((expression.to_owned(), parse_schedule(expression, None).unwrap())),
        enabled: true,
        description: None,
        role: None,
        tags: Tags::default(),
    };
    world.tell(Command::Bus(BusCommand::PutRule(rule))).await;
    world.clock.advance(Duration::from_secs(61));
    world.tell(Command::Bus(BusCommand::Fire("tick".into()))).await;
    world.told(1).await;
    let event = world.kept.0.lock().unwrap()[0].clone();
    assert_eq!(event.only.as_deref(), Some("tick"));
    assert_eq!(event.document["detail-type"], "Scheduled Event");
    assert_eq!(event.document["time"], "2026-11-23T03:01:00Z");
    assert_eq!(event.document["resources"][0], "arn:aws:events:eu-west-1:123456789012:rule/tick");
    world.end().await;
}
