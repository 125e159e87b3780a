//! Fargate: tasks of every cluster on the nodes that offer it, and what is said where there are none.

use model::{
    Attribute, ClusterName, FARGATE_CAPABILITY, FARGATE_CLUSTER, InstanceKey, InstanceStatus,
    LaunchType, ProviderName, StrategyItem, Tags, TaskKey, TaskSpec,
};
use scheduler::{
    CapacityCommand, Command, Failure, FailureReason, RegisterInstance, Rejection, Reply, RunTask,
    capacity, words,
};

use crate::build::{self, CLUSTER, run, spec};
use crate::world::{Image, World};

fn fargate() -> Attribute {
    Attribute { name: FARGATE_CAPABILITY.to_owned(), value: None }
}

fn key(cluster: &str, id: &str) -> InstanceKey {
    InstanceKey { cluster: cluster.into(), instance: id.into() }
}

fn registration(cluster: &str, id: &str, attributes: Vec<Attribute>) -> Command {
    Command::RegisterInstance(RegisterInstance {
        cluster: cluster.into(),
        known_as: Some(id.into()),
        ec2_instance_id: None,
        address: None,
        resources: build::resources(1024, 1024),
        attributes,
        tags: Tags::default(),
    })
}

fn join(world: &mut World, cluster: &str, id: &str, attributes: Vec<Attribute>) {
    world.must(registration(cluster, id, attributes));
    world.connect(&key(cluster, id), true);
}

/// A definition for Fargate, of half a node.
fn wants() -> TaskSpec {
    TaskSpec {
        compatibilities: vec![LaunchType::Ec2, LaunchType::Fargate],
        cpu: Some(512),
        memory: Some(512),
        ..spec("web")
    }
}

fn asks(definition: &str, cluster: &str, count: u32) -> Command {
    let launch_type = LaunchType::Fargate;
    Command::RunTask(RunTask { cluster: cluster.into(), launch_type, ..run(definition, count) })
}

fn place(world: &mut World, command: Command) -> (Vec<TaskKey>, Vec<Failure>) {
    match world.must(command) {
        Reply::Tasks { placed, failures } => (placed, failures),
        other => panic!("{other:?}"),
    }
}

fn make(world: &mut World, cluster: &str) {
    world.must(Command::CreateCluster { name: cluster.into(), tags: Tags::default() });
}

#[test]
fn a_task_of_any_cluster_runs_on_a_node_that_offers_it() {
    let mut world = World::new(1);
    make(&mut world, "other");
    join(&mut world, CLUSTER, "plain", Vec::new());
    join(&mut world, CLUSTER, "offers", vec![fargate()]);
    let web = world.define("web", wants(), Image::Good);
    let (own, _) = place(&mut world, asks(&web, CLUSTER, 1));
    let (guests, failures) = place(&mut world, asks(&web, "other", 2));
    assert_eq!((own.len(), guests.len(), failures.len()), (1, 1, 1), "two fit on the node");
    for task in own.iter().chain(&guests) {
        let facts = &world.state.task(task).expect("it is").facts;
        assert_eq!(facts.instance_key(), Some(key(CLUSTER, "offers")));
    }
    let here = key(CLUSTER, "offers");
    let node = world.state.instance(&here).expect("it is").clone();
    assert_eq!(world.state.tasks_on(&here).count(), 2);
    assert_eq!(world.state.left(&node), (0, 0), "it takes of what the node has");
    assert_eq!(failures[0].reason, FailureReason::Capacity);
    let (reason, detail) = words::failure(&failures[0]);
    assert!(reason.starts_with("Capacity is unavailable at this time."), "{reason}");
    assert!(detail.starts_with("node offers has 0 CPU units left"), "{detail}");
    assert!(!detail.contains("plain"), "only nodes that offer it are told of: {detail}");
    // A guest is the concern of its node, whatever becomes of that.
    world.must(Command::DeregisterInstance { key: here, force: true });
    assert!(world.state.tasks_on(&key(CLUSTER, "offers")).all(|task| !task.holds_resources()));
}

#[test]
fn nodes_of_fargate_alone_come_first_and_are_of_no_cluster() {
    let mut world = World::new(2);
    join(&mut world, CLUSTER, "both", vec![fargate()]);
    join(&mut world, FARGATE_CLUSTER, "only", vec![fargate()]);
    let refused = world.submit(&registration(FARGATE_CLUSTER, "liar", Vec::new()));
    assert!(matches!(refused, Err(Rejection::ClusterNotFound(_))), "{refused:?}");
    let web = world.define("web", wants(), Image::Good);
    let (placed, failures) = place(&mut world, asks(&web, CLUSTER, 5));
    let on = |task: &TaskKey| {
        world.state.task(task).and_then(|t| t.facts.instance_key()).expect("it is placed")
    };
    let nodes: Vec<String> = placed.iter().map(|task| on(task).instance.to_string()).collect();
    assert_eq!(nodes, ["only", "only", "both", "both"]);
    assert_eq!(failures.len(), 1);
    assert!(world.state.cluster(&ClusterName::from(FARGATE_CLUSTER)).is_none());
    // What is not Fargate's never comes there.
    world.must(Command::DeregisterInstance { key: key(CLUSTER, "both"), force: true });
    let (placed, failures) = place(&mut world, Command::RunTask(run(&web, 1)));
    assert_eq!((placed.len(), failures[0].reason), (0, FailureReason::NoInstances));
}

#[test]
fn without_nodes_it_is_said_what_to_do() {
    let mut world = World::new(3);
    join(&mut world, CLUSTER, "plain", Vec::new());
    let web = world.define("web", wants(), Image::Good);
    let (placed, failures) = place(&mut world, asks(&web, CLUSTER, 1));
    assert!(placed.is_empty());
    let (reason, detail) = words::failure(&failures[0]);
    assert!(reason.ends_with("in a different availability zone"), "{reason}");
    assert!(detail.contains("wharf agent --fargate"), "{detail}");
    // Draining ends it as the absence of the node would.
    join(&mut world, CLUSTER, "offers", vec![fargate()]);
    let status = InstanceStatus::Draining;
    world.must(Command::SetInstanceStatus { key: key(CLUSTER, "offers"), status });
    let (placed, failures) = place(&mut world, asks(&web, CLUSTER, 1));
    assert!(placed.is_empty() && words::failure(&failures[0]).1.contains("draining"));
    let other = world.define("old", spec("old"), Image::Good);
    match world.submit(&asks(&other, CLUSTER, 1)) {
        Err(Rejection::Refused(sentence)) => {
            assert!(sentence.starts_with("Task definition does not support launch_type FARGATE."));
        }
        other => panic!("{other:?}"),
    }
}

fn item(provider: &str, weight: u32, base: u32) -> StrategyItem {
    StrategyItem { provider: ProviderName::from(provider), weight, base }
}

#[test]
fn its_providers_are_there_and_share_by_base_and_weight() {
    let mut world = World::new(4);
    for n in 0..4 {
        join(&mut world, CLUSTER, &format!("n{n}"), vec![fargate()]);
    }
    let web = world.define("web", wants(), Image::Good);
    let strategy = vec![item("FARGATE", 1, 2), item("FARGATE_SPOT", 3, 0)];
    let with = |strategy: &[StrategyItem]| {
        Command::RunTask(RunTask {
            providers: strategy.to_vec(),
            launch_type: LaunchType::Fargate,
            ..run(&web, 6)
        })
    };
    let refused = world.submit(&with(&strategy));
    assert!(
        matches!(refused, Err(Rejection::Capacity(_))),
        "the cluster has them not: {refused:?}"
    );
    world.must(Command::Capacity(CapacityCommand::PutClusterProviders {
        cluster: CLUSTER.into(),
        providers: vec!["FARGATE".into(), "FARGATE_SPOT".into()],
        strategy: strategy.clone(),
    }));
    let (placed, failures) = place(&mut world, with(&strategy));
    assert_eq!((placed.len(), failures.len()), (6, 0));
    let of = |name: &str| {
        let given = |task: &&TaskKey| {
            let facts = &world.state.task(task).expect("it is").facts;
            facts.provider.as_ref().is_some_and(|provider| provider.as_str() == name)
        };
        placed.iter().filter(given).count()
    };
    assert_eq!((of("FARGATE"), of("FARGATE_SPOT")), (3, 3), "two, then one to three");
    let mixed = [item("FARGATE", 1, 0), item("mine", 1, 0)];
    let names: Vec<ProviderName> = mixed.iter().map(|item| item.provider.clone()).collect();
    let refused = capacity::check_strategy(&mixed, &names).unwrap_err();
    let told = words::rejection(&Rejection::Capacity(refused), world.state.realm());
    assert!(told.contains("cannot contain a mix of capacity providers"), "{told}");
}
