//! How long the plan and the decisions of a service of 5,000 tasks take, from nothing to at rest and
//! through a drain: `cargo run -p scheduler --example large_service`.

#![expect(clippy::disallowed_methods, reason = "it measures on the machine's clock")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use model::{
    AgentInfo, ContainerSpec, DeploymentController, Document, InstanceId, InstanceKey,
    InstanceStatus, LaunchType, NetworkMode, PropagateTags, Realm, Resources, SchedulingStrategy,
    ServiceKey, State, Tags, TaskSpec, TaskStatus,
};
use scheduler::{Command, CreateService, RegisterInstance, Rejection, TaskReport, decide, plan};
use stdx::{SeededEntropy, Timestamp};

const TASKS: u32 = 5_000;
const INSTANCES: u32 = 500;

struct Bench {
    state: State,
    now: Timestamp,
    ids: SeededEntropy,
    spent: BTreeMap<&'static str, (u32, Duration, Duration)>,
}

impl Bench {
    fn note(&mut self, what: &'static str, took: Duration) {
        let entry = self.spent.entry(what).or_default();
        *entry = (entry.0 + 1, entry.1 + took, entry.2.max(took));
    }

    fn submit(&mut self, what: &'static str, command: &Command) {
        let begin = Instant::now();
        match decide(&self.state, command, self.now, &mut self.ids) {
            Ok(outcome) => outcome.changes.iter().for_each(|change| self.state.apply(change)),
            Err(Rejection::Stale) => {}
            Err(other) => panic!("{command:?}: {other:?}"),
        }
        self.note(what, begin.elapsed());
    }

    /// Plans and decides until nothing is left, with agents that do at once what they are told.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let begin = Instant::now();
            let todo = plan(&self.state, self.now, 7);
            self.note("plan", begin.elapsed());
            for command in &todo.commands {
                self.submit("decision", command);
            }
            let moved = self.agents();
            if todo.commands.is_empty() && moved == 0 {
                match todo.wake_at {
                    Some(at) if at < self.now + Duration::from_secs(60) => self.now = at,
                    Some(_) | None => return,
                }
            }
        }
        panic!("the plan never ends");
    }

    fn agents(&mut self) -> usize {
        let wanted: Vec<_> = self
            .state
            .all_tasks()
            .filter_map(|task| {
                let stop = task.progress.desired == model::DesiredStatus::Stopped;
                let to = if stop { TaskStatus::Stopped } else { TaskStatus::Running };
                (task.progress.status < to).then(|| (task.facts.key.clone(), to))
            })
            .collect();
        for (key, status) in &wanted {
            let report = TaskReport {
                key: key.clone(),
                status: Some(*status),
                reason: None,
                containers: Vec::new(),
                pull_started_at: None,
                pull_stopped_at: None,
                execution_stopped_at: None,
            };
            self.submit("report", &Command::ReportTask(report));
        }
        wanted.len()
    }

    fn told(&mut self, what: &str) {
        println!("{what}: {:?} tasks", self.state.service_counts(&key()));
        for (what, (n, all, most)) in std::mem::take(&mut self.spent) {
            println!("  {n:>6} x {what:<9} mean {:?}, most {most:?}", all / n.max(1));
        }
    }
}

fn key() -> ServiceKey {
    ServiceKey { cluster: "default".into(), service: "web".into() }
}

fn main() {
    let mut bench = Bench {
        state: State::new(Realm::new("us-east-1", "000000000000")),
        now: Timestamp::from_millis(1_000_000_000_000),
        ids: SeededEntropy::new(1),
        spent: BTreeMap::new(),
    };
    let tags = Tags::default;
    bench.submit("set-up", &Command::CreateCluster { name: "default".into(), tags: tags() });
    bench.submit("set-up", &definition());
    for n in 0..INSTANCES {
        let instance = InstanceKey {
            cluster: "default".into(),
            instance: InstanceId::from(format!("node-{n:04}")),
        };
        bench.submit(
            "set-up",
            &Command::RegisterInstance(RegisterInstance {
                cluster: "default".into(),
                known_as: Some(instance.instance.clone()),
                ec2_instance_id: None,
                address: None,
                resources: Resources { cpu: 4096, memory: 4096, ..Resources::default() },
                attributes: Vec::new(),
                tags: tags(),
            }),
        );
        let agent = AgentInfo { connected: true, ..AgentInfo::default() };
        bench.submit("set-up", &Command::AgentSession { key: instance, agent });
    }
    bench.submit("set-up", &service());
    bench.settle();
    bench.told("made");
    bench.settle();
    bench.told("at rest");
    for n in 0..10 {
        let instance = InstanceId::from(format!("node-{n:04}"));
        let key = InstanceKey { cluster: "default".into(), instance };
        let status = InstanceStatus::Draining;
        bench.submit("set-up", &Command::SetInstanceStatus { key, status });
    }
    bench.settle();
    bench.told("ten instances drained");
}

fn definition() -> Command {
    Command::RegisterDefinition {
        family: "web".into(),
        document: Document(b"{}".as_slice().into()),
        spec: TaskSpec {
            network_mode: NetworkMode::Bridge,
            compatibilities: Vec::new(),
            cpu: None,
            memory: None,
            containers: vec![ContainerSpec {
                name: "app".into(),
                image: "web:1".to_owned(),
                essential: true,
                cpu: 128,
                memory: Some(128),
                memory_reservation: None,
                ports: Vec::new(),
                has_health_check: false,
                gpus: 0,
            }],
            constraints: Vec::new(),
            required_attributes: Vec::new(),
        },
        tags: Tags::default(),
        by: "bench".to_owned(),
    }
}

fn service() -> Command {
    Command::CreateService(CreateService {
        key: key(),
        definition: model::DefinitionKey::parse("web:1"),
        scheduling: SchedulingStrategy::Replica,
        controller: DeploymentController::Ecs,
        desired_count: Some(TASKS),
        launch_type: LaunchType::Ec2,
        platform: model::FargatePlatform::default(),
        providers: Vec::new(),
        percents: (None, None),
        circuit_breaker: None,
        constraints: Vec::new(),
        strategy: Vec::new(),
        rebalances: Some(false),
        tags: Tags::default(),
        propagate_tags: PropagateTags::None,
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        load_balancers: Vec::new(),
        network: None,
        method: model::RolloutMethod::default(),
        health_check_grace: None,
        by: "bench".to_owned(),
        client_token: None,
    })
}
