//! Tasks with a network of their own: each has an address of one of its subnets, nobody has the same,
//! and it is given back at the end.

use std::collections::BTreeSet;

use model::{InstanceKey, NetworkConfiguration, NetworkMode, Realm, State, Tags, TaskKey, Vpc};
use scheduler::{Command, FailureReason, Lack, RegisterInstance, Rejection, Reply, RunTask, words};

use crate::build::{self, CLUSTER, run, spec};
use crate::world::{Image, World};

/// A network so small that eleven tasks fill a subnet, and an instance in its second zone.
fn world() -> (World, String) {
    let mut world = World::new(11);
    let realm = Realm::new("us-east-1", "000000000000");
    world.state = State::new(Realm { vpc: "10.9.8.0/24".parse().expect("a block"), ..realm });
    world.must(Command::CreateCluster { name: CLUSTER.into(), tags: Tags::default() });
    world.must(Command::RegisterInstance(RegisterInstance {
        cluster: CLUSTER.into(),
        known_as: Some("node".into()),
        ec2_instance_id: None,
        address: None,
        resources: build::resources(65_536, 65_536),
        attributes: vec![model::Attribute {
            name: "ecs.availability-zone".to_owned(),
            value: Some("us-east-1b".to_owned()),
        }],
        tags: Tags::default(),
    }));
    world.connect(&InstanceKey { cluster: CLUSTER.into(), instance: "node".into() }, true);
    let mut own = spec("web");
    own.network_mode = NetworkMode::Awsvpc;
    let web = world.define("web", own, Image::Good);
    (world, web)
}

fn place(world: &mut World, run: RunTask) -> (Vec<TaskKey>, Vec<scheduler::Failure>) {
    match world.must(Command::RunTask(run)) {
        Reply::Tasks { placed, failures } => (placed, failures),
        other => panic!("{other:?}"),
    }
}

fn within(world: &World, definition: &str, count: u32, subnets: &[usize]) -> RunTask {
    let vpc = Vpc::of(world.state.realm());
    let subnets = subnets.iter().map(|at| vpc.subnets[*at].id.clone()).collect();
    let network = Some(NetworkConfiguration { subnets, ..NetworkConfiguration::default() });
    RunTask { network, ..run(definition, count) }
}

fn addresses(world: &World, tasks: &[TaskKey]) -> Vec<std::net::Ipv4Addr> {
    let interface = |key| world.state.task(key).and_then(|task| task.facts.interface());
    tasks.iter().map(|key| interface(key).expect("an interface").address).collect()
}

#[test]
fn no_address_is_given_twice_and_the_last_one_is_given_too() {
    let (mut world, web) = world();
    let vpc = Vpc::of(world.state.realm());
    let (mut tasks, failures) = {
        let run = within(&world, &web, 10, &[0]);
        place(&mut world, run)
    };
    assert_eq!(failures, []);
    let run = within(&world, &web, 3, &[0]);
    let (more, failures) = place(&mut world, run);
    tasks.extend(more);
    let given: BTreeSet<_> = addresses(&world, &tasks).into_iter().collect();
    assert_eq!(given.len(), 11, "a /28 without the five that EC2 keeps");
    assert!(given.iter().all(|address| vpc.subnets[0].block.contains(*address)));
    assert_eq!(world.state.free_addresses(vpc.subnets[0].block), 0);
    assert_eq!(failures.len(), 2);
    assert_eq!(failures[0].reason, FailureReason::Interface);
    assert!(
        matches!(&failures[0].detail[0].1, Lack::Address(names) if *names == [vpc.subnets[0].id.clone()])
    );
    let (reason, detail) = words::failure(&failures[0]);
    assert_eq!(reason, "RESOURCE:ENI");
    assert!(detail.contains(&vpc.subnets[0].id), "{detail}");

    world.pass(std::time::Duration::from_secs(5));
    world.must(Command::StopTask { key: tasks[4].clone(), reason: None });
    world.pass(std::time::Duration::from_secs(120));
    assert_eq!(world.state.free_addresses(vpc.subnets[0].block), 1);
    let run = within(&world, &web, 1, &[0]);
    let (again, _) = place(&mut world, run);
    assert_eq!(addresses(&world, &again), addresses(&world, &tasks[4..5]), "the one that is free");
}

#[test]
fn the_subnet_of_the_instances_zone_comes_first() {
    let (mut world, web) = world();
    let vpc = Vpc::of(world.state.realm());
    for (named, used) in [(vec![0, 1, 2], 1), (vec![2, 0], 2)] {
        let run = within(&world, &web, 1, &named);
        let (tasks, _) = place(&mut world, run);
        let block = vpc.subnets[used].block;
        assert!(addresses(&world, &tasks).iter().all(|address| block.contains(*address)));
    }
}

#[test]
fn a_network_is_given_where_it_belongs_and_nowhere_else() {
    let (mut world, web) = world();
    let bridged = world.define("bridged", spec("bridged"), Image::Good);
    let with = within(&world, &bridged, 1, &[0]);
    for (command, why) in [
        (run(&web, 1), "Network Configuration must be provided"),
        (with, "Network Configuration is not valid"),
    ] {
        match world.submit(&Command::RunTask(command)) {
            Err(Rejection::Refused(sentence)) => assert!(sentence.contains(why), "{sentence}"),
            other => panic!("{other:?}"),
        }
    }
}
