//! The control plane at scale, with pretended agents in the same process: the real writer on a real
//! file, the real planning loop, the real payloads.
//!
//! `cargo run --release -p sim --example scale -- PART [--dir DIR] [--instances N] [--tasks N] …`
//! where PART is `tasks` (RunTask of ten as fast as they come), `services` (so many services from
//! nothing), `latency` (RunTask of ten at a steady rate), `lost` (a lost agent's tasks are replaced) or
//! `load` (recovery of the file that another part has left, with `--keep`).

#![expect(clippy::disallowed_methods, reason = "a benchmark measures")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws::agent::acs::RoleCredentials;
use control::{Dialogue, Measured, MetricSink, Mint, MintError, Moment, Nudge, RolePurpose};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::{AgentInfo, Change, ContainerStatus, InstanceKey, Realm, Tags, TaskKey, TaskStatus};
use scheduler::{Command, ContainerReport, RegisterInstance, Reply, TaskReport};
use shell::{Clock, EntropyPool, OsEntropy, SystemClock};
use sim::fleet::{self, CLUSTER, Family, Machine};
use stdx::Timestamp;
use store::{RedbEngine, Store};

#[derive(Debug)]
struct Options {
    part: String,
    dir: PathBuf,
    keep: bool,
    instances: u32,
    tasks: u32,
    services: u32,
    rate: u32,
    callers: usize,
    seconds: u32,
    quiet: bool,
}

fn options() -> Options {
    let mut given = std::env::args().skip(1);
    let mut options = Options {
        part: given.next().unwrap_or_else(|| "tasks".to_owned()),
        dir: std::env::temp_dir(),
        keep: false,
        instances: 5_000,
        tasks: 100_000,
        services: 1_000,
        rate: 1_000,
        callers: 64,
        seconds: 10,
        quiet: false,
    };
    while let Some(name) = given.next() {
        let mut number = || given.next().and_then(|n| n.parse().ok()).expect("a number follows");
        match name.as_str() {
            "--dir" => options.dir = PathBuf::from(given.next().expect("a folder follows")),
            "--keep" => options.keep = true,
            "--silent-agents" => options.quiet = true,
            "--instances" => options.instances = number(),
            "--tasks" => options.tasks = number(),
            "--services" => options.services = number(),
            "--rate" => options.rate = number(),
            "--callers" => options.callers = number() as usize,
            "--seconds" => options.seconds = number(),
            other => panic!("there is no option {other}"),
        }
    }
    options
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let options = options();
    std::fs::create_dir_all(&options.dir).expect("the folder can be made");
    let path = options.dir.join("state.redb");
    if options.part == "load" {
        return load(&path);
    }
    if !options.keep {
        drop(std::fs::remove_file(&path));
    }
    let bench = Bench::start(&path, &options).await;
    match options.part.as_str() {
        "tasks" => bench.tasks(&options).await,
        "services" => bench.services(&options).await,
        "latency" => bench.latency(&options).await,
        "lost" => bench.lost(&options).await,
        other => panic!("there is no part {other}"),
    }
    println!("  memory: {} MiB resident, {} MiB at most", memory("VmRSS"), memory("VmHWM"));
    println!("  processor: {}", processor());
    println!("  {:?}", bench.store.stats());
    let size = std::fs::metadata(&path).map(|m| m.len() >> 20).unwrap_or(0);
    println!("  file: {size} MiB");
    // As a process that is killed: nobody closes anything.
    std::process::exit(0);
}

/// Mebibytes of this process.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    found.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}

/// Seconds of processor time by the names of threads, those of joining the instances included: they
/// say more than the clock where the machine has other work.
fn processor() -> String {
    let mut spent: BTreeMap<String, u64> = BTreeMap::new();
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for stat in tasks.filter_map(|t| std::fs::read_to_string(t.path().join("stat")).ok()) {
        // The name stands in brackets; user and system time are the 12th and 13th field after it.
        let Some((head, fields)) = stat.rsplit_once(')') else { continue };
        let name = head.split_once('(').map_or("", |(_, name)| name);
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        *spent.entry(name.to_owned()).or_default() += ticks;
    }
    let seconds =
        spent.iter().map(|(name, ticks)| format!("{name} {:.2} s", *ticks as f64 / 100.0));
    seconds.collect::<Vec<_>>().join(", ")
}

fn load(path: &Path) {
    let begun = Instant::now();
    let engine = RedbEngine::open(path).expect("the file opens");
    let opened = begun.elapsed();
    let realm = Realm::new("us-east-1", "000000000000");
    let store = Store::open(Box::new(engine), realm, SystemClock::shared(), Box::new(OsEntropy));
    let store = store.expect("the state loads");
    println!(
        "load: {:.2} s ({:.2} s of it the file's repair), {} tasks, {} MiB resident",
        begun.elapsed().as_secs_f64(),
        opened.as_secs_f64(),
        store.snapshot().all_tasks().count(),
        memory("VmRSS")
    );
    std::process::exit(0);
}

#[derive(Debug)]
struct Nothing;

impl MetricSink for Nothing {
    fn record(&self, _: Vec<Measured>) {}
}

impl Mint for Nothing {
    fn mint(
        &self,
        role: &str,
        _: &TaskKey,
        _: RolePurpose,
        _: Timestamp,
    ) -> Result<RoleCredentials, MintError> {
        Err(MintError::CannotAssume(role.to_owned()))
    }
}

struct Bench {
    store: Store,
    counts: Arc<Counts>,
    instances: Vec<InstanceKey>,
}

/// What the agents have seen.
#[derive(Debug, Default)]
struct Counts {
    assigned: AtomicU64,
    running: AtomicU64,
    bytes: AtomicU64,
}

impl Bench {
    async fn start(path: &Path, options: &Options) -> Self {
        let engine = RedbEngine::open(path).expect("the file opens");
        let realm = Realm::new("us-east-1", "000000000000");
        let clock = SystemClock::shared();
        let chance = Box::new(EntropyPool::default());
        let store = Store::open(Box::new(engine), realm, clock.clone(), chance).expect("opens");
        let (trigger, shutdown) = shell::shutdown();
        let (mint, sink) = (Arc::new(Nothing), Arc::new(Nothing));
        control::start(store.clone(), clock, Box::new(OsEntropy), mint, sink, shutdown)
            .await
            .map(drop)
            .expect("control starts");
        std::mem::forget(trigger);
        let tags = Tags::default();
        submit(&store, Command::CreateCluster { name: CLUSTER.into(), tags }).await;
        let small = Family { port: Some((80, None)), ..Family::new("web", "good", 32, 32) };
        submit(&store, small.register()).await;
        let counts = Arc::new(Counts::default());
        let begun = Instant::now();
        let each = (options.tasks.max(options.services * 1000) / options.instances).max(1) + 40;
        let instances = join(&store, options, each * 32).await;
        println!("{} instances joined in {:.2} s", instances.len(), begun.elapsed().as_secs_f64());
        tokio::spawn(agents(store.clone(), Arc::clone(&counts), options.quiet));
        Self { store, counts, instances }
    }

    async fn settle(&self, wanted: u64) {
        let count = if wanted == 0 { 0 } else { wanted };
        while self.counts.running.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn assigned(&self, wanted: u64) {
        while self.counts.assigned.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn tasks(&self, options: &Options) {
        let calls = options.tasks / 10;
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let callers: Vec<_> = (0..options.callers)
            .map(|_| {
                let (store, next) = (self.store.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    while next.fetch_add(1, Ordering::Relaxed) < u64::from(calls) {
                        run_ten(&store).await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("no caller panics");
        }
        let placed = begun.elapsed().as_secs_f64();
        let count = u64::from(calls) * 10;
        self.assigned(count).await;
        let assigned = begun.elapsed().as_secs_f64();
        if !options.quiet {
            self.settle(count).await;
        }
        let running = begun.elapsed().as_secs_f64();
        let rate = |seconds: f64| count as f64 / seconds;
        println!(
            "tasks: {count} placed and durable in {placed:.2} s ({:.0}/s), assigned in {assigned:.2} s \
             ({:.0}/s), reported running in {running:.2} s ({:.0}/s)",
            rate(placed),
            rate(assigned),
            rate(running)
        );
    }

    async fn services(&self, options: &Options) {
        let each = (options.tasks / options.services).max(1);
        let begun = Instant::now();
        for n in 0..options.services {
            let create = fleet::create(&format!("service-{n}"), "web:1", each);
            submit(&self.store, Command::CreateService(create)).await;
        }
        let created = begun.elapsed().as_secs_f64();
        let count = u64::from(options.services) * u64::from(each);
        self.assigned(count).await;
        let assigned = begun.elapsed().as_secs_f64();
        if !options.quiet {
            self.settle(count).await;
        }
        println!(
            "services: {} of {each} tasks created in {created:.2} s, assigned in {assigned:.2} s \
             ({:.0}/s), running in {:.2} s",
            options.services,
            count as f64 / assigned,
            begun.elapsed().as_secs_f64()
        );
        while self.store.snapshot().all_services().any(|s| s.steady_since.is_none()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("  all steady after {:.2} s", begun.elapsed().as_secs_f64());
    }

    async fn latency(&self, options: &Options) {
        if options.tasks > options.rate * options.seconds * 10 {
            self.tasks(options).await;
        }
        let period = Duration::from_secs(1) / options.rate;
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut waiting = FuturesUnordered::new();
        let (mut waits, total) = (Vec::new(), options.rate * options.seconds);
        let mut sent = 0;
        let begun = Instant::now();
        while sent < total || !waiting.is_empty() {
            tokio::select! {
                at = ticks.tick(), if sent < total => {
                    sent += 1;
                    let store = self.store.clone();
                    waiting.push(tokio::spawn(async move {
                        run_ten(&store).await;
                        // From the instant at which it was due, so that waiting counts.
                        at.elapsed()
                    }));
                }
                Some(wait) = waiting.next() => waits.push(wait.expect("no call panics")),
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        waits.sort_unstable();
        println!(
            "latency: RunTask(10) at {:.0} calls/s (asked: {}): p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms",
            f64::from(total) / seconds,
            options.rate,
            millis(&waits, 50),
            millis(&waits, 99),
            millis(&waits, 100)
        );
    }

    /// A machine is gone and is deregistered, as whoever watches over machines does.
    async fn lost(&self, options: &Options) {
        let each = (options.tasks / options.services).max(1);
        for n in 0..options.services {
            let create = fleet::create(&format!("service-{n}"), "web:1", each);
            submit(&self.store, Command::CreateService(create)).await;
        }
        let count = u64::from(options.services) * u64::from(each);
        self.settle(count).await;
        let mut waits = Vec::new();
        for key in self.instances.iter().take(20) {
            let before = self.counts.assigned.load(Ordering::Relaxed);
            let lost = self.store.snapshot().tasks_on(key).filter(|t| t.holds_resources()).count();
            let begun = Instant::now();
            let command = Command::DeregisterInstance { key: key.clone(), force: true };
            submit(&self.store, command).await;
            self.assigned(before + lost as u64).await;
            waits.push(begun.elapsed());
        }
        waits.sort_unstable();
        println!(
            "lost: {} tasks a machine, all replaced and assigned: p50 {:.1} ms, most {:.1} ms",
            count / u64::from(options.instances),
            millis(&waits, 50),
            millis(&waits, 100)
        );
    }
}

fn millis(sorted: &[Duration], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).map_or(0.0, |wait| wait.as_secs_f64() * 1000.0)
}

async fn submit(store: &Store, command: Command) -> Reply {
    store.submit(command).await.expect("the command is right").reply
}

async fn run_ten(store: &Store) {
    let reply = submit(store, Command::RunTask(fleet::run("web:1", 10))).await;
    if let Reply::Tasks { failures, .. } = reply
        && let Some(failure) = failures.first()
    {
        panic!("a task was not placed: {failure:?}");
    }
}

/// All instances join, many at once.
async fn join(store: &Store, options: &Options, size: u32) -> Vec<InstanceKey> {
    let joins = (0..options.instances).map(|n| {
        let store = store.clone();
        async move {
            let machine = Machine { cpu: size, memory: size, gpus: 0, zone: n % 3 };
            let register = RegisterInstance {
                cluster: CLUSTER.into(),
                known_as: None,
                ec2_instance_id: Some(format!("i-{n:017x}")),
                address: None,
                resources: machine.resources(),
                attributes: machine.attributes(),
                tags: Tags::default(),
            };
            let reply = submit(&store, Command::RegisterInstance(register)).await;
            let Reply::Instance(instance) = reply else { panic!("{reply:?}") };
            let agent = AgentInfo { connected: true, ..AgentInfo::default() };
            let key = instance.key;
            submit(&store, Command::AgentSession { key: key.clone(), agent }).await;
            key
        }
    });
    futures_util::stream::iter(joins).buffer_unordered(256).collect().await
}

/// All agents: each is told what concerns it as its session would tell it, and reports at once.
async fn agents(store: Store, counts: Arc<Counts>, quiet: bool) {
    let mut changes = store.changes();
    let mut dialogues: BTreeMap<InstanceKey, Dialogue> = BTreeMap::new();
    loop {
        let batch = match changes.recv().await {
            Ok(batch) => batch,
            Err(error) => panic!("the agents do not keep up: {error}"),
        };
        let state = store.snapshot();
        let moment = Moment {
            state: &state,
            revision: batch.revision,
            mint: &Nothing,
            now: SystemClock.now(),
        };
        for change in &batch.changes {
            let Some((key, Nudge::Task(task))) = control::concerns(&state, change) else {
                continue;
            };
            if !matches!(change, Change::PutTask(_)) {
                continue;
            }
            let dialogue = dialogues.entry(key.clone()).or_insert_with(|| {
                let realm = state.realm();
                Dialogue::new(key.clone(), realm.cluster(&key.cluster), realm.instance(&key))
            });
            let Some(sent) = dialogue.task(moment, &task) else { continue };
            for message in dialogue.payloads(vec![sent], moment) {
                counts.bytes.fetch_add(message.encode().len() as u64, Ordering::Relaxed);
            }
            counts.assigned.fetch_add(1, Ordering::Relaxed);
            if quiet {
                continue;
            }
            let (store, counts) = (store.clone(), Arc::clone(&counts));
            tokio::spawn(async move {
                submit(&store, Command::ReportTask(running(task))).await;
                counts.running.fetch_add(1, Ordering::Relaxed);
            });
        }
    }
}

fn running(key: TaskKey) -> TaskReport {
    let container = ContainerReport {
        name: "app".into(),
        status: Some(ContainerStatus::Running),
        runtime_id: Some("0123456789abcdef".repeat(4)),
        image_digest: Some(format!("sha256:{}", "0123456789abcdef".repeat(4))),
        exit_code: None,
        reason: None,
        bindings: Some(Vec::new()),
    };
    TaskReport {
        key,
        status: Some(TaskStatus::Running),
        reason: None,
        containers: vec![container],
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    }
}
