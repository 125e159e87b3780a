//! What the state costs: a change applied, a task kept, a task loaded.
//!
//! `cargo run --release -p model --example books -- [TASKS] [ROUND]`: so many tasks on 5,000 instances
//! of one cluster, in rounds of so many changes, with a snapshot after each round as the writer takes
//! one. Times are of this thread alone, in microseconds a change.

#![expect(clippy::print_stdout, reason = "a benchmark tells")]

use std::sync::Arc;

use model::{
    AgentInfo, Change, ContainerFacts, ContainerName, ContainerStatus, DefinitionKey,
    DesiredStatus, Instance, InstanceKey, InstanceStatus, LaunchType, Loading, Realm, Resources,
    Revision, State, StopCode, Tags, TaskFacts, TaskKey, TaskProgress, TaskStatus,
};
use stdx::{Entropy, SeededEntropy, Timestamp};

const INSTANCES: u32 = 5_000;

fn main() {
    let mut given = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let (tasks, round) = (given.next().unwrap_or(300_000), given.next().unwrap_or(640));
    let mut chance = SeededEntropy::new(1);
    let mut writer = Writer::new();
    let instances: Vec<InstanceKey> = (0..INSTANCES).map(|n| key(n, &mut chance)).collect();
    for key in &instances {
        writer.state.apply(&Change::PutInstance(Arc::new(instance(key))));
    }
    let facts: Vec<Arc<TaskFacts>> =
        (0..tasks).map(|n| Arc::new(task(&instances[n % instances.len()], &mut chance))).collect();
    let before = memory();
    let puts = facts.iter().map(|f| Change::PutTask(f.clone()));
    writer.rounds("put", puts.collect(), round);
    writer.rounds("run", facts.iter().map(|f| put(f, running(f))).collect(), round);
    println!("  {} bytes a task beside its facts", (memory().saturating_sub(before)) / tasks);
    drop(facts);
    let all: Vec<Arc<TaskFacts>> = writer.state.all_tasks().map(|t| t.facts.clone()).collect();
    let mut some: Vec<_> = all.iter().step_by(10).cloned().collect();
    for at in (1..some.len()).rev() {
        some.swap(at, usize::try_from(chance.below(at as u64 + 1)).expect("it is small"));
    }
    drop(all);
    load(&writer.state);
    writer.rounds("again", some.iter().map(|f| put(f, running(f))).collect(), round);
    writer.rounds("stop", some.iter().map(|f| put(f, stopped(f))).collect(), round);
    let gone = some.iter().map(|f| Change::DeleteTask(f.key.clone()));
    writer.rounds("delete", gone.collect(), round);
    // Nobody waits for the tree to be taken down.
    std::process::exit(0);
}

struct Writer {
    state: State,
    durable: Arc<State>,
}

impl Writer {
    fn new() -> Self {
        let state = State::new(Realm::new("us-east-1", "000000000000"));
        Self { durable: Arc::new(state.clone()), state }
    }

    fn rounds(&mut self, what: &str, changes: Vec<Change>, round: usize) {
        let begun = busy();
        for changes in changes.chunks(round) {
            for change in changes {
                self.state.apply(change);
            }
            self.durable = Arc::new(self.state.clone());
        }
        let micros = (busy() - begun) * 1e6 / changes.len() as f64;
        println!("{what:>7}: {micros:.2} µs a change of {}", changes.len());
        assert_eq!(self.durable.all_instances().count(), INSTANCES as usize);
    }
}

/// The state's records, written and read back and taken in.
fn load(state: &State) {
    let begun = busy();
    let records: Vec<Vec<u8>> = state
        .records()
        .map(|record| rmp_serde::to_vec_named(&record).expect("every record is written"))
        .collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    println!(
        " encode: {:.2} s, {} records of {} bytes",
        busy() - begun,
        records.len(),
        bytes / records.len()
    );
    let begun = busy();
    let changes: Vec<Change> = stdx::sharing(|| {
        records.iter().map(|r| rmp_serde::from_slice(r).expect("it was written")).collect()
    });
    println!(" decode: {:.2} s", busy() - begun);
    drop(records);
    let before = memory();
    let begun = busy();
    let mut loading = Loading::new(state.realm().clone());
    changes.into_iter().for_each(|change| loading.take(change));
    let loaded = loading.finish();
    println!("  build: {:.2} s", busy() - begun);
    let tasks = state.all_tasks().count();
    println!("  {} bytes a task beside its facts", memory().saturating_sub(before) / tasks);
    assert!(loaded == *state, "what was loaded is what was written");
}

/// Seconds that this thread has worked so far: others may be using the machine.
fn busy() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Bytes of this process.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibi = found.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibi.unwrap_or(0) << 10
}

fn id(chance: &mut dyn Entropy) -> String {
    format!("{:016x}{:016x}", chance.next_u64(), chance.next_u64())
}

fn key(_: u32, chance: &mut dyn Entropy) -> InstanceKey {
    InstanceKey { cluster: "default".into(), instance: id(chance).into() }
}

fn instance(key: &InstanceKey) -> Instance {
    Instance {
        key: key.clone(),
        status: InstanceStatus::Active,
        external: false,
        ec2_instance_id: None,
        address: None,
        registered: Resources { cpu: 1 << 20, memory: 1 << 20, ..Resources::default() },
        attributes: Vec::new(),
        agent: AgentInfo { connected: true, ..AgentInfo::default() },
        tags: Tags::default(),
        registered_at: Timestamp::EPOCH,
        version: 1,
    }
}

fn task(on: &InstanceKey, chance: &mut dyn Entropy) -> TaskFacts {
    TaskFacts {
        key: TaskKey { cluster: on.cluster.clone(), task: id(chance).into() },
        definition: DefinitionKey { family: "web".into(), revision: Revision(1) },
        instance: Some(on.instance.clone()),
        host: None,
        provider: None,
        terms: None,
        launch_type: LaunchType::Ec2,
        group: "family:web".into(),
        started_by: None,
        service: None,
        deployment: None,
        overrides: None,
        reserved: Resources { cpu: 32, memory: 32, ..Resources::default() },
        containers: vec![ContainerFacts {
            name: ContainerName::from("app"),
            id: id(chance),
            gpus: Vec::new(),
        }],
        tags: Tags::default(),
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        network: None,
        created_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

fn put(facts: &TaskFacts, progress: TaskProgress) -> Change {
    Change::PutProgress(facts.key.clone(), Arc::new(progress))
}

fn running(facts: &TaskFacts) -> TaskProgress {
    let now = Timestamp::from_millis(1_700_000_001_000);
    let mut progress = TaskProgress::first(facts);
    progress.status = TaskStatus::Running;
    progress.version += 1;
    (progress.connected_at, progress.started_at) = (Some(now), Some(now));
    for container in &mut progress.containers {
        container.status = ContainerStatus::Running;
        container.runtime_id = Some("0123456789abcdef".repeat(4));
        container.image_digest = Some(format!("sha256:{}", "0123456789abcdef".repeat(4)));
    }
    progress
}

fn stopped(facts: &TaskFacts) -> TaskProgress {
    let mut progress = running(facts);
    progress.status = TaskStatus::Stopped;
    progress.desired = DesiredStatus::Stopped;
    progress.stopped_at = Some(Timestamp::from_millis(1_700_000_002_000));
    progress.stop_code = Some(StopCode::UserInitiated);
    progress
}
