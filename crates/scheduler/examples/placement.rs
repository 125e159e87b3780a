//! Placements a second: by the index, and by a look at every instance.
//!
//! `cargo run --release -p scheduler --example placement -- [INSTANCES …]` fills a fleet with tasks in
//! calls of ten, for 1,000, 10,000 and 100,000 instances unless told otherwise, up to a hundred tasks
//! an instance or a million in all, and prints a line a strategy:
//!
//! - fill: the first placements on an empty fleet in calls of ten, setting up the board included;
//! - churn: on the full fleet tasks are removed, and for each one is placed in its stead, by a call of
//!   its own;
//! - naive: the same by a look at every instance.
//!
//! Calls are timed in batches of about a quarter of a millisecond, whose tasks are then made true, and
//! the median batch counts: so what else the machine does meanwhile hardly matters.
//!
//! What it costs to keep the index is in `apply`, microseconds a task, which is all of the state's
//! bookkeeping and not the index alone. The memory is all that the process has in use: the state with
//! its tasks, and this program's list of them.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::query::Expression;
use model::{
    AgentInfo, Attribute, Change, ClusterName, DefinitionKey, Family, Instance, InstanceKey,
    InstanceStatus, LaunchType, PlacementStrategy as Strategy, Realm, Resources, Revision,
    SpreadField, State, Tags, TaskFacts, TaskKey,
};
use scheduler::placement::{Board, Group, Place, Rules, Wish, naive};
use stdx::{Entropy, SeededEntropy, Timestamp};

/// A call places so many tasks at most, as RunTask does.
const CALL: usize = 10;

/// So many calls of ten, or ten times as many of one, are timed together.
const BATCH: usize = 25;

/// Groups of tasks, such as services.
const GROUPS: u64 = 1_000;

/// Tasks of each group want the same, of these sizes: CPU units and MiB.
const SIZES: [(u32, u32); 5] = [(128, 256), (256, 512), (64, 128), (256, 256), (128, 768)];

struct Case {
    name: &'static str,
    strategy: Vec<Strategy>,
    rules: Rules,
}

fn cases() -> Vec<Case> {
    let spread = |name: &str| Strategy::Spread(SpreadField::Attribute(name.to_owned()));
    let zone = || spread("ecs.availability-zone");
    let each = Strategy::Spread(SpreadField::Instance);
    let memory = || Strategy::BinpackMemory;
    let case = |name, strategy| Case { name, strategy, rules: Rules::default() };
    let member = |text: &str| Rules {
        distinct: false,
        members: vec![Expression::parse(text).expect("it is written here")],
    };
    let distinct = Rules { distinct: true, members: Vec::new() };
    let permissive = member("attribute:ecs.instance-type != t0");
    let selective = member("attribute:ecs.instance-type =~ 't[34]' and attribute:disk == ssd");
    vec![
        case("spread(az), spread(instanceId)", vec![zone(), each]),
        case("spread(az), binpack(memory)", vec![zone(), memory()]),
        case("binpack(memory)", vec![memory()]),
        case("binpack(cpu)", vec![Strategy::BinpackCpu]),
        case("random", vec![Strategy::Random]),
        case("spread(rack), binpack(memory)", vec![spread("rack"), memory()]),
        Case {
            rules: distinct,
            ..case("distinctInstance, spread(az), binpack(memory)", vec![zone(), memory()])
        },
        Case { rules: permissive, ..case("memberOf (90 %), binpack(memory)", vec![memory()]) },
        Case { rules: selective, ..case("memberOf (4 %), binpack(memory)", vec![memory()]) },
        Case {
            rules: member("attribute:rack == 1"),
            ..case("memberOf (a rack), random", vec![Strategy::Random])
        },
        Case {
            rules: member("not(task:group == family:f1)"),
            ..case("memberOf (away from a group), spread(az)", vec![zone()])
        },
    ]
}

struct World {
    state: State,
    cluster: ClusterName,
    families: Vec<(Family, String)>,
    dice: SeededEntropy,
    made: u64,
    live: Vec<(TaskKey, usize)>,
    applied: Duration,
    // Microseconds a task, by batch.
    applies: Vec<f64>,
}

impl World {
    fn new(instances: u64) -> Self {
        let family = |n| (Family::from(format!("f{n}")), format!("family:f{n}"));
        let mut world = Self {
            state: State::new(Realm::new("us-east-1", "000000000000")),
            cluster: "one".into(),
            families: (0..GROUPS).map(family).collect(),
            dice: SeededEntropy::new(7),
            made: 0,
            live: Vec::new(),
            applied: Duration::ZERO,
            applies: Vec::new(),
        };
        for n in 0..instances {
            let instance = world.instance(n, instances);
            world.state.apply(&Change::PutInstance(Arc::new(instance)));
        }
        world
    }

    fn instance(&mut self, n: u64, of: u64) -> Instance {
        let cores = 16 + u32::try_from(self.dice.below(4)).unwrap_or(0) * 16;
        let attribute =
            |name: &str, value: String| Attribute { name: name.to_owned(), value: Some(value) };
        let kind = self.dice.below(10);
        Instance {
            key: InstanceKey { cluster: self.cluster.clone(), instance: self.dice.hex32().into() },
            status: InstanceStatus::Active,
            external: false,
            ec2_instance_id: Some(format!("i-{n:017x}")),
            address: None,
            registered: Resources {
                cpu: cores * 1024,
                memory: cores * 2048,
                ..Resources::default()
            },
            attributes: vec![
                attribute("ecs.availability-zone", format!("us-east-1{}", n % 3)),
                attribute("ecs.instance-type", format!("t{kind}")),
                attribute("disk", if self.dice.below(5) == 0 { "ssd" } else { "hdd" }.to_owned()),
                attribute("rack", (n % (of / 33).clamp(3, 300)).to_string()),
                attribute("wharf.address", format!("10.{n}")),
            ],
            agent: AgentInfo { connected: true, ..AgentInfo::default() },
            tags: Tags::default(),
            registered_at: Timestamp::EPOCH,
            version: 1,
        }
    }

    fn needs(group: usize) -> Resources {
        let (cpu, memory) = SIZES[group % SIZES.len()];
        Resources { cpu, memory, ..Resources::default() }
    }

    fn take(&mut self, group: usize, place: Place) {
        self.made += 1;
        let (family, name) = &self.families[group];
        let facts = TaskFacts {
            key: TaskKey {
                cluster: self.cluster.clone(),
                task: format!("{:032x}", self.made).into(),
            },
            definition: DefinitionKey { family: family.clone(), revision: Revision(1) },
            instance: Some(place.instance),
            host: None,
            provider: None,
            terms: None,
            launch_type: LaunchType::Ec2,
            network: None,
            group: name.clone(),
            started_by: None,
            service: None,
            deployment: None,
            overrides: None,
            reserved: Self::needs(group),
            containers: Vec::new(),
            tags: Tags::default(),
            enable_ecs_managed_tags: false,
            enable_execute_command: false,
            created_at: Timestamp::EPOCH,
        };
        let key = facts.key.clone();
        let change = Change::PutTask(Arc::new(facts));
        let start = Instant::now();
        self.state.apply(&change);
        self.applied += start.elapsed();
        self.live.push((key, group));
    }

    fn end(&mut self, at: usize) -> usize {
        let (key, group) = self.live.swap_remove(at);
        self.state.apply(&Change::DeleteTask(key));
        group
    }

    /// The calls for tasks of these groups, one after the other on the same state, and how long they
    /// took together.
    fn calls(
        &mut self,
        case: &Case,
        groups: &[usize],
        count: usize,
        plain: bool,
    ) -> (Duration, Vec<(usize, Place)>) {
        let mut places = Vec::with_capacity(groups.len() * count);
        let mut took = Duration::ZERO;
        for group in groups.iter().copied() {
            let needs = Self::needs(group);
            let (family, name) = &self.families[group];
            let wish = Wish {
                cluster: &self.cluster,
                launch_type: LaunchType::Ec2,
                provider: None,
                needs: &needs,
                gpus: vec![0],
                attributes: &[],
                more_attributes: &[],
                rules: case.rules.clone(),
                group: Group::Named(name, family),
                strategy: case.strategy.clone(),
            };
            let dice = &mut self.dice;
            let start = Instant::now();
            if plain {
                let mut board = naive::Board::new(&self.state, wish);
                let found = (0..count).filter_map(|_| board.place(dice).ok());
                places.extend(found.map(|place| (group, place)));
            } else {
                let mut board = Board::new(&self.state, wish);
                let found = (0..count).filter_map(|_| board.place(dice).ok());
                places.extend(found.map(|place| (group, place)));
            }
            took += start.elapsed();
        }
        (took, places)
    }

    fn keep(&mut self, places: Vec<(usize, Place)>) {
        let (applied, tasks) = (self.applied, places.len());
        for (group, place) in places {
            self.take(group, place);
        }
        if tasks > 0 {
            self.applies.push(micros(self.applied.saturating_sub(applied)) / count(tasks));
        }
    }

    fn random_group(&mut self) -> usize {
        usize::try_from(self.dice.below(GROUPS)).unwrap_or(0)
    }

    /// Placements a second by calls of ten for random groups.
    fn fill(&mut self, case: &Case, batches: usize, of: usize, plain: bool) -> f64 {
        let mut rates = Vec::new();
        for _ in 0..batches {
            let groups: Vec<usize> = (0..of).map(|_| self.random_group()).collect();
            let (took, places) = self.calls(case, &groups, CALL, plain);
            if places.len() < groups.len() * CALL {
                // It is full: what a refusal costs is another matter.
                self.keep(places);
                break;
            }
            rates.push(count(places.len()) / took.as_secs_f64());
            self.keep(places);
        }
        median(rates)
    }

    fn churn(&mut self, case: &Case, batches: usize, of: usize, plain: bool) -> f64 {
        let mut rates = Vec::new();
        for _ in 0..batches {
            let mut groups = Vec::new();
            for _ in 0..of {
                let at = usize::try_from(self.dice.below(self.live.len() as u64)).unwrap_or(0);
                groups.push(self.end(at));
            }
            let (took, places) = self.calls(case, &groups, 1, plain);
            rates.push(count(places.len()) / took.as_secs_f64());
            // All were decided on the same state, so of a place that two took one may be too small now.
            self.keep(places);
        }
        median(rates)
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "a figure to read")]
fn count(of: usize) -> f64 {
    of as f64
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn main() {
    let given: Vec<u64> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if given.is_empty() { vec![1_000, 10_000, 100_000] } else { given };
    for instances in sizes {
        measure(instances);
    }
}

/// MiB of memory that this process has in use.
fn in_use() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits.and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn measure(instances: u64) {
    let start = Instant::now();
    let empty = World::new(instances);
    println!("\n{instances} instances, registered in {:.1?}", start.elapsed());
    let mut full = World { state: empty.state.clone(), live: Vec::new(), ..World::new(0) };
    let tasks = (instances * 100).min(1_000_000);
    let first = &cases()[1];
    let calls = usize::try_from(tasks).unwrap_or(0) / CALL;
    let filled = full.fill(first, calls / BATCH, BATCH, false);
    let per_task = median(std::mem::take(&mut full.applies));
    println!(
        "{} tasks placed with {}: {filled:.0}/s in calls of {CALL}; apply {per_task:.1} µs a task",
        full.live.len(),
        first.name,
    );
    println!("{} MiB in use with {} tasks", in_use(), full.live.len());
    let patient = usize::try_from(1_000_000 / instances).unwrap_or(0).clamp(5, 50);
    println!(
        "{:<48}{:>12}{:>12}{:>12}{:>12}",
        "placements/s", "fill", "churn", "naive fill", "naive churn"
    );
    for case in cases() {
        let world = || World { state: empty.state.clone(), ..World::new(0) };
        let fill = world().fill(&case, 200, BATCH, false);
        let naive_fill = world().fill(&case, patient, 1, true);
        let mut kept = World {
            state: full.state.clone(),
            live: full.live.clone(),
            made: full.made,
            ..World::new(0)
        };
        let churn = kept.churn(&case, 100, BATCH * CALL, false);
        let naive_churn = kept.churn(&case, patient, 1, true);
        println!("{:<48}{fill:>12.0}{churn:>12.0}{naive_fill:>12.0}{naive_churn:>12.0}", case.name);
    }
}
