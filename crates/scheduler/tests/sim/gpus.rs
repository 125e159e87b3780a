//! GPUs: each one task's at a time, dealt out by id.

use std::collections::BTreeSet;

use model::{GpuId, InstanceKey, Tags, TaskKey};
use scheduler::{
    Command, ContainerResize, FailureReason, Lack, RegisterInstance, Reply, Resize, RunTask, words,
};

use crate::build::{self, CLUSTER, run, service, spec};
use crate::daemons::daemon;
use crate::world::{Image, World};

fn join(world: &mut World, id: &str, gpus: &[&str]) {
    let mut resources = build::resources(4096, 4096);
    resources.gpus = gpus.iter().copied().map(GpuId::from).collect();
    world.must(Command::RegisterInstance(RegisterInstance {
        cluster: CLUSTER.into(),
        known_as: Some(id.into()),
        ec2_instance_id: None,
        address: None,
        resources,
        attributes: Vec::new(),
        tags: Tags::default(),
    }));
    world.connect(&InstanceKey { cluster: CLUSTER.into(), instance: id.into() }, true);
}

fn place(world: &mut World, run: RunTask) -> (Vec<TaskKey>, Vec<scheduler::Failure>) {
    match world.must(Command::RunTask(run)) {
        Reply::Tasks { placed, failures } => (placed, failures),
        other => panic!("{other:?}"),
    }
}

/// The GPUs of a task's first container.
fn held(world: &World, key: &TaskKey) -> Vec<String> {
    let task = world.state.task(key).expect("it was placed");
    let own = &task.facts.containers[0].gpus;
    assert_eq!(own.iter().cloned().collect::<BTreeSet<_>>(), task.facts.reserved.gpus);
    own.iter().map(ToString::to_string).collect()
}

#[test]
fn each_gpu_is_one_tasks_at_a_time() {
    let mut world = World::new(3);
    join(&mut world, "bare", &[]);
    join(&mut world, "three", &["GPU-a", "GPU-b", "GPU-c"]);
    let mut wants = spec("web");
    wants.containers[0].gpus = 1;
    let web = world.define("web", wants, Image::Good);
    let (placed, failures) = place(&mut world, run(&web, 4));
    let gpus: Vec<Vec<String>> = placed.iter().map(|key| held(&world, key)).collect();
    assert_eq!(gpus, [["GPU-a"], ["GPU-b"], ["GPU-c"]]);
    assert_eq!(failures[0].reason, FailureReason::Gpu);
    let lacks: Vec<&Lack> = failures[0].detail.iter().map(|(_, lack)| lack).collect();
    assert_eq!(lacks, [&Lack::Gpu { wants: 1, has: 0 }; 2]);
    let (reason, detail) = words::failure(&failures[0]);
    assert_eq!(reason, "RESOURCE:GPU");
    assert!(
        detail.contains("three has 0 GPUs free and the task wants 1: 1 are missing"),
        "{detail}"
    );

    world.must(Command::StopTask { key: placed[1].clone(), reason: None });
    world.pass(std::time::Duration::from_secs(120));
    let (placed, _) = place(&mut world, run(&web, 1));
    assert_eq!(held(&world, &placed[0]), ["GPU-b"]);
}

#[test]
fn an_override_asks_for_another_number() {
    let mut world = World::new(3);
    join(&mut world, "two", &["GPU-a", "GPU-b"]);
    let web = world.define("web", spec("web"), Image::Good);
    let change = ContainerResize {
        name: "web".into(),
        cpu: None,
        memory: None,
        memory_reservation: None,
        gpus: Some(2),
    };
    let name = build::spec("web").containers[0].name.clone();
    let resize =
        Resize { containers: vec![ContainerResize { name, ..change }], ..Resize::default() };
    let (placed, _) = place(&mut world, RunTask { resize, ..run(&web, 1) });
    assert_eq!(held(&world, &placed[0]), ["GPU-a", "GPU-b"]);
    let (placed, _) = place(&mut world, run(&web, 1));
    assert!(held(&world, &placed[0]).is_empty(), "a task that asks for none needs none");
}

/// A daemon service belongs on an instance without GPUs too, and waits there for ever: of that instance
/// nothing is kept for it.
#[test]
fn a_daemon_keeps_no_room_where_it_can_never_be() {
    let mut world = World::new(3);
    join(&mut world, "bare", &[]);
    join(&mut world, "one", &["GPU-a"]);
    let mut wants = spec("model");
    wants.containers[0].gpus = 1;
    let model = world.define("model", wants, Image::Good);
    world.must(Command::CreateService(daemon("model", &model)));
    world.pass(std::time::Duration::from_secs(30));
    let now = world.state.service(&service("model")).expect("it is");
    assert_eq!((now.desired_count, world.live(&service("model")).len()), (2, 1));
    let told = world.events(&service("model"));
    assert!(told.iter().any(|e| e.contains("(container-instance bare) has insufficient GPU")));
    // 128 CPU units a task: 32 fit on an instance.
    let web = world.define("web", spec("web"), Image::Good);
    let placed: usize = (0..7).map(|_| place(&mut world, run(&web, 10)).0.len()).sum();
    assert_eq!(placed, 63, "one place is the daemon's");
}
