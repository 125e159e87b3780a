//! Reports reckoned up: what a task uses, of what it reserves, spread over the time it stands for.

use std::sync::Arc;
use std::time::Duration;

use aws::agent::tcs::{
    ContainerMetric, CountSet, NetworkStatsSet, PublishMetricsRequest, StatsSet, StorageStatsSet,
    TaskMetric,
};
use model::{
    AgentInfo, Change, Cluster, ClusterStatus, DefinitionKey, DesiredStatus, Insights, Instance,
    InstanceKey, InstanceStatus, LaunchType, Realm, Resources, Revision, State, Tags, TaskFacts,
    TaskKey, TaskProgress, TaskStatus,
};
use stdx::Timestamp;

use super::gauges::{insights, reservation, utilization};
use super::report::usage;
use super::{Book, Measured, Metric, Reports, Scope, take};

const NOW: Timestamp = Timestamp::from_millis(1_795_357_857_000);

fn resources(cpu: u32, memory: u32) -> Resources {
    Resources { cpu, memory, ..Resources::default() }
}

/// A cluster of one instance with two tasks of a service, each of 512 CPU units and 256 MiB.
fn state(level: Insights) -> State {
    let mut state = State::new(Realm::new("eu-west-1", "123456789012"));
    state.apply(&Change::PutCluster(Arc::new(Cluster {
        name: "c".into(),
        status: ClusterStatus::Active,
        tags: Tags::default(),
        created_at: NOW,
        exec_logging: None,
        capacity_providers: Vec::new(),
        default_strategy: Vec::new(),
        insights: level,
    })));
    state.apply(&Change::PutInstance(Arc::new(Instance {
        key: InstanceKey { cluster: "c".into(), instance: "i".into() },
        status: InstanceStatus::Active,
        external: false,
        ec2_instance_id: None,
        address: None,
        registered: resources(4096, 2048),
        attributes: Vec::new(),
        agent: AgentInfo { connected: true, ..AgentInfo::default() },
        tags: Tags::default(),
        registered_at: NOW,
        version: 1,
    })));
    for id in ["a", "b"] {
        let key = TaskKey { cluster: "c".into(), task: id.into() };
        let facts = TaskFacts {
            key: key.clone(),
            definition: DefinitionKey { family: "web".into(), revision: Revision(1) },
            instance: Some("i".into()),
            host: None,
            provider: None,
            terms: None,
            launch_type: LaunchType::Ec2,
            group: "service:s".to_owned(),
            started_by: None,
            service: Some("s".into()),
            deployment: None,
            overrides: None,
            reserved: resources(512, 256),
            containers: Vec::new(),
            tags: Tags::default(),
            enable_ecs_managed_tags: false,
            enable_execute_command: false,
            network: None,
            created_at: NOW,
        };
        let mut progress = TaskProgress::first(&facts);
        state.apply(&Change::PutTask(Arc::new(facts)));
        progress.status = TaskStatus::Running;
        progress.desired = DesiredStatus::Running;
        state.apply(&Change::PutProgress(key, Arc::new(progress)));
    }
    state
}

fn set(sum: f64, sample_count: i64) -> Option<StatsSet> {
    Some(StatsSet { min: 0.0, max: sum, sum, sample_count })
}

/// A container that used 50 % of a core and 64 MiB on average.
fn container(name: &str) -> ContainerMetric {
    let bytes = |sum| Some(CountSet { sum, sample_count: 2, ..CountSet::default() });
    ContainerMetric {
        container_name: name.to_owned(),
        cpu_stats_set: set(100.0, 2),
        memory_stats_set: set(128.0, 2),
        network_stats_set: Some(NetworkStatsSet {
            rx_bytes_per_second: set(2000.0, 2),
            tx_bytes_per_second: set(200.0, 2),
            ..NetworkStatsSet::default()
        }),
        storage_stats_set: Some(StorageStatsSet {
            read_size_bytes: bytes(1000),
            write_size_bytes: bytes(500),
        }),
        ..ContainerMetric::default()
    }
}

fn of_task(state: &State, id: &str, containers: Vec<ContainerMetric>) -> TaskMetric {
    let key = TaskKey { cluster: "c".into(), task: id.into() };
    TaskMetric {
        task_arn: state.realm().task(&key),
        container_metrics: containers,
        ..TaskMetric::default()
    }
}

fn request(tasks: Vec<TaskMetric>) -> PublishMetricsRequest {
    PublishMetricsRequest { task_metrics: tasks, ..PublishMetricsRequest::default() }
}

fn find(measured: &[Measured], metric: Metric, scope: &Scope) -> Vec<f64> {
    let of = measured.iter().filter(|m| m.metric == metric && m.scope == *scope);
    of.map(|m| m.value).collect()
}

fn service() -> Scope {
    Scope::Service(model::ServiceKey { cluster: "c".into(), service: "s".into() })
}

#[test]
fn the_containers_of_a_task_add_up() {
    let state = state(Insights::Disabled);
    let metric = of_task(&state, "a", vec![container("x"), container("y")]);
    let used = usage(&metric, Duration::from_secs(10)).unwrap();
    assert_eq!((used.cpu, used.memory), (1024.0, 128.0));
    assert_eq!((used.network, used.storage), ((2000.0, 200.0), (200.0, 100.0)));
    let idle = of_task(&state, "a", vec![ContainerMetric::default()]);
    assert_eq!(usage(&idle, Duration::from_secs(10)), None, "nothing is measured yet");
}

#[test]
fn utilisation_is_of_what_is_reserved_and_stands_for_the_time_since_the_last_report() {
    let (state, mut book, mut reports) =
        (state(Insights::Disabled), Book::default(), Reports::new());
    let report = request(vec![of_task(&state, "a", vec![container("x")])]);
    let first = take(&state, &mut book, &mut reports, &report, NOW);
    assert_eq!(find(&first, Metric::CpuUtilization, &service()), [100.0]);
    assert_eq!(find(&first, Metric::MemoryUtilization, &service()), [25.0]);
    let later = NOW + Duration::from_secs(20);
    let second = take(&state, &mut book, &mut reports, &report, later);
    let cpu: Vec<&Measured> =
        second.iter().filter(|m| m.metric == Metric::CpuUtilization).collect();
    assert_eq!(cpu.len(), 20);
    assert_eq!(cpu[0].at, NOW + Duration::from_secs(1));
    assert_eq!(cpu[19].at, later);
    let weight: f64 = cpu.iter().map(|m| m.weight).sum();
    assert!((weight - 20.0 / 60.0).abs() < 1e-9, "a third of a minute: {weight}");
    let long = take(&state, &mut book, &mut reports, &report, later + Duration::from_secs(600));
    assert_eq!(find(&long, Metric::CpuUtilization, &service()).len(), 60);
}

#[test]
fn tasks_that_are_not_known_or_do_not_run_say_nothing() {
    let (mut state, mut book, mut reports) =
        (state(Insights::Enhanced), Book::default(), Reports::new());
    let report = request(vec![
        of_task(&state, "gone", vec![container("x")]),
        TaskMetric { task_arn: "nonsense".to_owned(), ..TaskMetric::default() },
    ]);
    assert!(take(&state, &mut book, &mut reports, &report, NOW).is_empty());
    let report = request(vec![of_task(&state, "a", vec![container("x")])]);
    assert!(!take(&state, &mut book, &mut reports, &report, NOW).is_empty());
    let key = TaskKey { cluster: "c".into(), task: "a".into() };
    let mut progress = TaskProgress::clone(&state.task(&key).unwrap().progress);
    progress.status = TaskStatus::Stopped;
    state.apply(&Change::PutProgress(key, Arc::new(progress)));
    assert!(take(&state, &mut book, &mut reports, &report, NOW).is_empty());
    assert!(reports.is_empty());
    book.retain(&state, NOW);
    assert_eq!(book.all().count(), 0);
}

#[test]
fn a_cluster_is_held_against_what_its_instances_have() {
    let (state, mut book, mut reports) =
        (state(Insights::Disabled), Book::default(), Reports::new());
    let tasks = ["a", "b"].map(|id| of_task(&state, id, vec![container("x")]));
    take(&state, &mut book, &mut reports, &request(tasks.into()), NOW);
    assert!(book.take_news() && !book.take_news());
    let cluster = Scope::Cluster("c".into());
    let used = utilization(&state, &book, NOW);
    assert_eq!(find(&used, Metric::CpuUtilization, &cluster), [25.0]);
    assert_eq!(find(&used, Metric::MemoryUtilization, &cluster), [6.25]);
    let reserved = reservation(&state, NOW);
    assert_eq!(find(&reserved, Metric::CpuReservation, &cluster), [25.0]);
    assert_eq!(find(&reserved, Metric::MemoryReservation, &cluster), [25.0]);
    assert!(find(&reserved, Metric::GpuReservation, &cluster).is_empty(), "there are none");
    assert!(insights(&state, &book, NOW).is_empty(), "it was not asked for");
    book.retain(&state, NOW + Duration::from_secs(66));
    assert_eq!(book.all().count(), 0, "nobody has told for a minute");
}

#[test]
fn container_insights_are_written_as_the_cluster_asks() {
    let family = Scope::Family("c".into(), "web".into());
    let task = Scope::Task(TaskKey { cluster: "c".into(), task: "a".into() }, "web".into());
    for (level, by_task) in [(Insights::Enabled, false), (Insights::Enhanced, true)] {
        let (state, mut book, mut reports) = (state(level), Book::default(), Reports::new());
        let tasks = ["a", "b"].map(|id| of_task(&state, id, vec![container("x")]));
        take(&state, &mut book, &mut reports, &request(tasks.into()), NOW);
        let told = insights(&state, &book, NOW);
        let cluster = Scope::Cluster("c".into());
        for scope in [&cluster, &service(), &family] {
            assert_eq!(find(&told, Metric::CpuUtilized, scope), [1024.0], "{scope:?}");
            assert_eq!(find(&told, Metric::CpuReserved, scope), [1024.0]);
            assert_eq!(find(&told, Metric::MemoryUtilized, scope), [128.0]);
            assert_eq!(find(&told, Metric::NetworkRxBytes, scope), [2000.0]);
        }
        assert_eq!(find(&told, Metric::TaskCount, &cluster), [2.0]);
        assert_eq!(find(&told, Metric::ContainerInstanceCount, &cluster), [1.0]);
        let of_task = find(&told, Metric::CpuUtilized, &task);
        assert_eq!(of_task, if by_task { vec![512.0] } else { vec![] });
        assert_eq!(!find(&told, Metric::TaskCpuUtilization, &task).is_empty(), by_task);
    }
}
