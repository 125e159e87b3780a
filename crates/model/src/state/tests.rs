//! Properties of the state: what the indexes say equals the naive count, records in any order give
//! the same state, and applying a change twice is applying it once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use stdx::{Entropy, SeededEntropy, Timestamp};

use super::loading::Loading;
use super::*;
use crate::{
    AgentInfo, Attribute, CapacityChange, ContainerFacts, DesiredStatus, Document, InstanceStatus,
    LaunchType, LaunchedBy, NetworkBinding, NetworkConfiguration, NetworkMode, Node, NodeHealth,
    NodeState, Protocol, ServiceEvent, Tags, TaskFacts, TaskInterface, TaskNetwork, TaskProgress,
    TaskSpec, TaskStatus,
};

const CLUSTERS: [&str; 2] = ["alpha", "beta"];

/// A change over so few keys that they meet again and again.
fn changes() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => (0..6_u8, 0..3_u8, 0..3_u8, 0..2_u8).prop_map(|(task, instance, service, revision)| {
            Change::PutTask(Arc::new(facts(task, instance, service, revision)))
        }),
        12 => (0..6_u8, 0..8_u8, any::<bool>(), 0..4_u16, 0..5_i64)
            .prop_map(|(task, status, stopped, port, at)| progress(task, status, stopped, port, at)),
        3 => (0..6_u8).prop_map(|task| Change::DeleteTask(task_key(task))),
        4 => (0..3_u8, 0..12_u8).prop_map(|(n, shape)| Change::PutInstance(Arc::new(shaped(n, shape)))),
        2 => (0..2_u8, 0..3_u8).prop_map(|(n, state)| node(n, state)),
        1 => (0..3_u8).prop_map(|n| Change::DeleteInstance(instance(n).key)),
        2 => (0..2_u8, 0..3_u8).prop_map(|(revision, status)| definition(revision, status)),
        1 => (0..2_u8).prop_map(|revision| Change::DeleteDefinition(definition_key(revision))),
        2 => (0..3_u8, 0..5_i64).prop_map(|(token, at)| Change::PutToken(Arc::new(record(token, at)))),
        1 => (0..3_u8).prop_map(|token| Change::DeleteToken(record(token, 0).key)),
        2 => (0..2_u8, 0..250_u64).prop_map(|(service, number)| event(service, number)),
        1 => (0..2_u8).prop_map(|service| Change::DeleteService(service_key(service))),
    ]
}

fn task_key(n: u8) -> TaskKey {
    TaskKey {
        cluster: CLUSTERS[usize::from(n % 2)].into(),
        task: format!("task-{n}").as_str().into(),
    }
}

fn service_key(n: u8) -> ServiceKey {
    ServiceKey {
        cluster: CLUSTERS[usize::from(n % 2)].into(),
        service: format!("service-{n}").as_str().into(),
    }
}

fn definition_key(revision: u8) -> DefinitionKey {
    DefinitionKey { family: "web".into(), revision: Revision(u32::from(revision) + 1) }
}

fn facts(task: u8, instance: u8, service: u8, revision: u8) -> TaskFacts {
    let port = HostPort { protocol: Protocol::Tcp, port: 8000 + u16::from(task) };
    TaskFacts {
        key: task_key(task),
        definition: definition_key(revision),
        instance: (instance < 3).then(|| format!("node-{instance}").as_str().into()),
        host: None,
        provider: None,
        terms: None,
        launch_type: LaunchType::Ec2,
        group: format!("group-{revision}"),
        started_by: None,
        service: (service > 0).then(|| format!("service-{service}").as_str().into()),
        deployment: None,
        overrides: None,
        reserved: Resources {
            cpu: 10 * (u32::from(task) + 1),
            memory: 7,
            ports: BTreeSet::from([port]),
            gpus: ["a", "b"][..usize::from(task % 3)].iter().copied().map(GpuId::from).collect(),
        },
        containers: vec![ContainerFacts {
            name: "app".into(),
            id: "x".to_owned(),
            gpus: Vec::new(),
        }],
        tags: Tags::default(),
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        network: task.is_multiple_of(2).then(|| TaskNetwork {
            configuration: NetworkConfiguration::default(),
            interface: Some(TaskInterface {
                attachment: "a".to_owned(),
                id: "eni-0".to_owned(),
                subnet: "subnet-0".to_owned(),
                address: [172, 31, 0, 10 + task].into(),
            }),
        }),
        created_at: Timestamp::EPOCH,
    }
}

fn progress(task: u8, status: u8, stopped: bool, port: u16, at: i64) -> Change {
    const ALL: [TaskStatus; 8] = [
        TaskStatus::Provisioning,
        TaskStatus::Pending,
        TaskStatus::Activating,
        TaskStatus::Running,
        TaskStatus::Deactivating,
        TaskStatus::Stopping,
        TaskStatus::Deprovisioning,
        TaskStatus::Stopped,
    ];
    let mut next = TaskProgress::first(&facts(task, 0, 0, 0));
    next.status = ALL[usize::from(status)];
    next.desired = if stopped { DesiredStatus::Stopped } else { DesiredStatus::Running };
    next.stopped_at =
        (next.status == TaskStatus::Stopped && at > 0).then(|| Timestamp::from_millis(at));
    if port > 0 {
        next.containers[0].bindings = vec![NetworkBinding {
            bind_ip: IpAddr::from([0, 0, 0, 0]),
            container_port: 80,
            host_port: 8000 + port,
            more: 0,
            protocol: Protocol::Tcp,
        }];
    }
    Change::PutProgress(task_key(task), Arc::new(next))
}

fn instance(n: u8) -> Instance {
    Instance {
        key: InstanceKey {
            cluster: CLUSTERS[usize::from(n % 2)].into(),
            instance: format!("node-{n}").as_str().into(),
        },
        status: InstanceStatus::Active,
        external: false,
        ec2_instance_id: None,
        address: None,
        registered: Resources {
            cpu: 100,
            memory: 20,
            gpus: ["a", "b", "c"].map(GpuId::from).into(),
            ..Resources::default()
        },
        attributes: Vec::new(),
        agent: AgentInfo::default(),
        tags: Tags::default(),
        registered_at: Timestamp::EPOCH,
        version: 1,
    }
}

/// An instance in one of its situations.
fn shaped(n: u8, shape: u8) -> Instance {
    let mut instance = instance(n);
    instance.agent.connected = !shape.is_multiple_of(3);
    if shape % 4 == 3 {
        instance.status = InstanceStatus::Draining;
    }
    instance.external = shape == 11;
    // The first two may be nodes of a group; a wrong id may be given and mended.
    instance.ec2_instance_id = (shape % 2 == 1).then(|| format!("i-{}", (n + shape / 6) % 3));
    let attribute =
        |name: &str, value: String| Attribute { name: name.to_owned(), value: Some(value) };
    instance.attributes.push(attribute("zone", (shape % 2).to_string()));
    if shape > 6 {
        instance.attributes.push(Attribute { name: "flag".to_owned(), value: None });
        instance.attributes.push(attribute("zone", "told twice".to_owned()));
    }
    instance
}

/// A node of a group in one of its states, or its end.
fn node(n: u8, state: u8) -> Change {
    let id = format!("i-{n}").as_str().into();
    let state = match state {
        0 => return Change::Capacity(CapacityChange::DeleteNode(id)),
        1 => NodeState::Pending,
        _ => NodeState::InService,
    };
    Change::Capacity(CapacityChange::PutNode(Arc::new(Node {
        id,
        group: "asg".into(),
        launch: LaunchedBy::Configuration("launch".into()),
        joins: None,
        instance_type: String::new(),
        zone: String::new(),
        state,
        health: NodeHealth::Healthy,
        protected: false,
        created_at: Timestamp::EPOCH,
        changed_at: Timestamp::EPOCH,
        waits_until: None,
        trouble: None,
    })))
}

fn definition(revision: u8, status: u8) -> Change {
    let all =
        [DefinitionStatus::Active, DefinitionStatus::Inactive, DefinitionStatus::DeleteInProgress];
    Change::PutDefinition(Arc::new(TaskDefinition {
        key: definition_key(revision),
        status: all[usize::from(status)],
        document: Document(b"{}".as_slice().into()),
        spec: Arc::new(TaskSpec {
            network_mode: NetworkMode::Bridge,
            compatibilities: Vec::new(),
            cpu: None,
            memory: None,
            containers: Vec::new(),
            constraints: Vec::new(),
            required_attributes: Vec::new(),
        }),
        tags: Tags::default(),
        registered_at: Timestamp::EPOCH,
        registered_by: String::new(),
        deregistered_at: None,
        delete_requested_at: None,
    }))
}

fn record(token: u8, at: i64) -> TokenRecord {
    TokenRecord {
        key: TokenKey {
            cluster: CLUSTERS[0].into(),
            operation: "RunTask".to_owned(),
            token: format!("token-{token}"),
        },
        fingerprint: 1,
        made: Vec::new(),
        at: Timestamp::from_millis(at),
    }
}

fn event(service: u8, number: u64) -> Change {
    let event = ServiceEvent {
        number,
        id: format!("event-{number}"),
        at: Timestamp::EPOCH,
        message: String::new(),
    };
    Change::PutEvent(service_key(service), Arc::new(event))
}

fn state_of(changes: &[Change]) -> State {
    let mut state = State::new(Realm::new("us-east-1", "000000000000"));
    changes.iter().for_each(|change| state.apply(change));
    state
}

fn loaded(changes: Vec<Change>) -> State {
    let mut loading = Loading::new(Realm::new("us-east-1", "000000000000"));
    changes.into_iter().for_each(|change| loading.take(change));
    loading.finish()
}

fn shuffle(records: &mut [Change], seed: u64) {
    let mut chance = SeededEntropy::new(seed);
    for at in (1..records.len()).rev() {
        let other = chance.below(at as u64 + 1);
        records.swap(at, usize::try_from(other).expect("it is small"));
    }
}

/// `(running, pending)`, counted one by one.
fn naive<'a>(tasks: impl Iterator<Item = &'a Task>) -> (u32, u32) {
    tasks.fold((0, 0), |(running, pending), task| {
        (running + u32::from(task.is_running()), pending + u32::from(task.is_pending()))
    })
}

fn keys<'a>(tasks: impl Iterator<Item = &'a Task>) -> BTreeSet<TaskKey> {
    tasks.map(|task| task.facts.key.clone()).collect()
}

fn indexes_agree(state: &State) -> Result<(), TestCaseError> {
    for cluster in CLUSTERS.map(ClusterName::from) {
        prop_assert_eq!(state.cluster_counts(&cluster), naive(state.tasks(&cluster)));
        let offers: Vec<_> = state.offers(&cluster).map(|(i, left)| (i.clone(), left)).collect();
        let one_by_one: Vec<_> =
            state.instances(&cluster).map(|i| (i.clone(), state.left(i))).collect();
        prop_assert_eq!(offers, one_by_one);
        let family = state.tasks(&cluster).filter(|t| t.facts.definition.family.as_str() == "web");
        prop_assert_eq!(keys(state.tasks_of_family(&cluster, &"web".into())), keys(family));
    }
    for service in (0..3).map(service_key) {
        let mine =
            || state.all_tasks().filter(|t| t.facts.service_key().as_ref() == Some(&service));
        prop_assert_eq!(state.service_counts(&service), naive(mine()));
        prop_assert_eq!(keys(state.tasks_of(&service)), keys(mine()));
    }
    for instance in (0..3).map(instance) {
        let mine =
            || state.all_tasks().filter(|t| t.facts.instance_key().as_ref() == Some(&instance.key));
        prop_assert_eq!(state.instance_counts(&instance.key), naive(mine()));
        prop_assert_eq!(keys(state.tasks_on(&instance.key)), keys(mine()));
        let holding = || mine().filter(|t| t.holds_resources());
        let used = holding().fold((0, 0), |(cpu, memory), task| {
            (cpu + task.facts.reserved.cpu, memory + task.facts.reserved.memory)
        });
        let remaining = state.remaining(&instance);
        prop_assert_eq!((remaining.cpu, remaining.memory), state.left(&instance));
        prop_assert_eq!(remaining.cpu, instance.registered.cpu.saturating_sub(used.0));
        prop_assert_eq!(remaining.memory, instance.registered.memory.saturating_sub(used.1));
        let ports: BTreeSet<HostPort> = holding().flat_map(Task::host_ports).collect();
        prop_assert!(ports.iter().all(|port| state.port_taken(&instance, *port)));
        prop_assert_eq!(remaining.ports, ports);
        let held: BTreeSet<&GpuId> = holding().flat_map(|t| &t.facts.reserved.gpus).collect();
        let free = instance.registered.gpus.iter().filter(|gpu| !held.contains(gpu));
        prop_assert_eq!(&remaining.gpus, &free.cloned().collect::<BTreeSet<_>>());
        prop_assert!(state.free_gpus(&instance).eq(&remaining.gpus));
    }
    for revision in 0..2 {
        let key = definition_key(revision);
        let uses = state.all_tasks().filter(|t| t.facts.definition == key).count();
        prop_assert_eq!(state.uses_of(&key) as usize, uses);
    }
    crate::fleet::tests::check(state);
    ages_agree(state)
}

fn ages_agree(state: &State) -> Result<(), TestCaseError> {
    let over = state.all_tasks().filter(|t| t.progress.status == TaskStatus::Stopped);
    let stopped =
        over.map(|t| (t.progress.stopped_at.unwrap_or(t.facts.created_at), t.facts.key.clone()));
    let listed: Vec<_> = state.stopped_tasks().cloned().collect();
    prop_assert_eq!(listed, stopped.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    let tokens: BTreeSet<_> = state.tokens().map(|t| (t.at, t.key.clone())).collect();
    prop_assert_eq!(state.tokens_by_age().cloned().collect::<BTreeSet<_>>(), tokens);
    let deleting = state.definitions().filter(|d| d.status == DefinitionStatus::DeleteInProgress);
    let deleting: Vec<_> = deleting.map(|d| &d.key).collect();
    prop_assert_eq!(state.deleting_definitions().collect::<Vec<_>>(), deleting);
    let lost = state
        .all_tasks()
        .filter(|t| t.holds_resources() && t.facts.instance.is_some())
        .filter(|t| state.instance_of(&t.facts).is_none());
    prop_assert_eq!(keys(state.tasks_without_instance()), keys(lost));
    let waiting = state.all_tasks().filter(|t| t.holds_resources() && t.facts.instance.is_none());
    prop_assert_eq!(keys(state.waiting_tasks()), keys(waiting));
    Ok(())
}

proptest! {
    #[test]
    fn indexes_equal_naive_folds(changes in proptest::collection::vec(changes(), 0..120)) {
        let mut state = state_of(&[]);
        for change in &changes {
            state.apply(change);
            indexes_agree(&state)?;
        }
    }

    #[test]
    fn records_in_any_order_give_the_same_state(
        changes in proptest::collection::vec(changes(), 0..120),
        seed in any::<u64>(),
    ) {
        let state = state_of(&changes);
        let mut records: Vec<Change> = state.records().collect();
        // Progress without a task is no record of the state, so it is not loaded again.
        let whole = state.early.is_empty();
        shuffle(&mut records, seed);
        let loaded = state_of(&records);
        prop_assert!(loaded == state || !whole);
        indexes_agree(&loaded)?;
    }

    #[test]
    fn what_is_loaded_is_what_is_applied(
        changes in proptest::collection::vec(changes(), 0..120),
        seed in any::<u64>(),
    ) {
        // Any history as it happened …
        let state = state_of(&changes);
        let loaded = loaded(changes.clone());
        prop_assert!(loaded == state);
        indexes_agree(&loaded)?;
        // … what comes after it …
        let (mut state, mut loaded) = (state, loaded);
        for change in changes.iter().rev() {
            state.apply(change);
            loaded.apply(change);
        }
        prop_assert!(loaded == state);
        indexes_agree(&loaded)?;
        // … and its records in any order.
        let mut records: Vec<Change> = state.records().collect();
        shuffle(&mut records, seed);
        let again = self::loaded(records.clone());
        prop_assert!(again == state_of(&records));
        indexes_agree(&again)?;
    }

    #[test]
    fn a_change_applied_twice_is_applied_once(
        changes in proptest::collection::vec(changes(), 0..60),
    ) {
        let twice: Vec<Change> = changes.iter().flat_map(|c| [c.clone(), c.clone()]).collect();
        prop_assert!(state_of(&twice) == state_of(&changes));
    }

    #[test]
    fn records_of_different_things_stand_at_different_addresses(
        changes in proptest::collection::vec(changes(), 0..120),
    ) {
        let state = state_of(&changes);
        let mut seen = BTreeMap::new();
        for record in state.records() {
            for address in record.addresses() {
                // Events of the ring may meet only where one has taken the other's place.
                let before = seen.insert(address.clone(), record.clone());
                let ring = matches!(record, Change::PutEvent(..));
                prop_assert!(before.is_none() || ring, "{:?} is given twice", address);
            }
        }
    }
}

#[test]
fn the_newest_hundred_events_are_kept_newest_first() {
    let changes: Vec<Change> = (0..250).map(|number| event(0, number)).collect();
    let state = state_of(&changes);
    let numbers: Vec<u64> = state.events(&service_key(0)).map(|e| e.number).collect();
    assert_eq!(numbers, (150..250).rev().collect::<Vec<_>>());
}

#[test]
fn what_host_networking_publishes_is_reserved() {
    let mapping =
        |host_port| crate::PortMapping { container_port: 80, host_port, protocol: Protocol::Tcp };
    let container = |cpu, hard, soft, ports| crate::ContainerSpec {
        name: "app".into(),
        image: String::new(),
        essential: true,
        cpu,
        memory: hard,
        memory_reservation: soft,
        ports,
        has_health_check: false,
        gpus: 1,
    };
    let mut spec = TaskSpec {
        network_mode: NetworkMode::Bridge,
        compatibilities: Vec::new(),
        cpu: None,
        memory: None,
        containers: vec![
            container(100, Some(300), Some(200), vec![mapping(None), mapping(Some(443))]),
            container(50, Some(64), None, Vec::new()),
        ],
        constraints: Vec::new(),
        required_attributes: Vec::new(),
    };
    let ports =
        |spec: &TaskSpec| -> Vec<u16> { spec.reservation().ports.iter().map(|p| p.port).collect() };
    assert_eq!((spec.reservation().cpu, spec.reservation().memory), (150, 264));
    assert_eq!(ports(&spec), [443]);
    spec.network_mode = NetworkMode::Host;
    assert_eq!(ports(&spec), [80, 443]);
    spec.network_mode = NetworkMode::Awsvpc;
    assert!(ports(&spec).is_empty());
    (spec.cpu, spec.memory) = (Some(1024), Some(2048));
    assert_eq!((spec.reservation().cpu, spec.reservation().memory), (1024, 2048));
}
