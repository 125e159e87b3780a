//! What is refused and in which words; what is repeated and does nothing; what is numbered.

use model::{
    Attribute, DefinitionStatus, InstanceKey, InstanceStatus, LaunchType, Resource, ServiceStatus,
    Tags,
};
use scheduler::{
    Command, CreateService, RegisterInstance, Rejection, Reply, RunTask, UpdateService, words,
};

use crate::build::{self, CLUSTER, create, definition, run, service, spec, update};
use crate::world::{Image, World};

fn world() -> (World, String) {
    let mut world = World::new(1);
    world.join("node", 4096, 4096);
    let web = world.define("web", spec("web"), Image::Good);
    (world, web)
}

fn refused(world: &mut World, command: Command) -> String {
    let before = world.state.clone();
    match world.submit(&command) {
        Ok(reply) => panic!("{command:?} is accepted: {reply:?}"),
        Err(rejection) => {
            assert!(world.state == before);
            words::rejection(&rejection, world.state.realm())
        }
    }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_cluster_is_deleted_when_it_is_empty_and_comes_back() {
    let (mut world, web) = world();
    let delete = Command::DeleteCluster(CLUSTER.into());
    world.must(Command::RunTask(run(&web, 1)));
    world.must(Command::CreateService(create("web", &web, 0)));
    assert_eq!(
        refused(&mut world, delete.clone()),
        "The Cluster cannot be deleted while Container Instances are active or draining. default has 1."
    );
    let key = InstanceKey { cluster: CLUSTER.into(), instance: "node".into() };
    world.must(Command::DeregisterInstance { key, force: true });
    assert_eq!(
        refused(&mut world, delete.clone()),
        "The Cluster cannot be deleted while Services are active. default has 1."
    );
    world.must(Command::DeleteService { key: service("web"), force: false });
    world.must(delete.clone());
    assert_eq!(refused(&mut world, delete), "Cluster not found.");
    assert_eq!(refused(&mut world, Command::RunTask(run(&web, 1))), "Cluster not found.");
    world.must(Command::CreateCluster { name: CLUSTER.into(), tags: tags(&[("a", "1")]) });
    let before = world.state.clone();
    world.must(Command::CreateCluster { name: CLUSTER.into(), tags: tags(&[("a", "2")]) });
    assert!(world.state == before, "an active cluster stays as it is");
}

#[test]
fn definitions_are_numbered_once_and_end_in_steps() {
    let (mut world, web) = world();
    let second = world.define("web", spec("web"), Image::Good);
    assert_eq!((web.as_str(), second.as_str()), ("web:1", "web:2"));
    let text = refused(&mut world, Command::DeleteDefinition(definition(&second)));
    assert!(text.starts_with("The specified task definition is still in ACTIVE status"), "{text}");
    world.must(Command::DeregisterDefinition(definition(&second)));
    let before = world.state.clone();
    world.must(Command::DeregisterDefinition(definition(&second)));
    assert!(world.state == before);
    assert_eq!(
        refused(&mut world, Command::RunTask(run(&second, 1))),
        "TaskDefinition is inactive: arn:aws:ecs:us-east-1:000000000000:task-definition/web:2. Use an active revision."
    );
    world.must(Command::DeleteDefinition(definition(&second)));
    world.settle();
    let kept = world.state.definition(&definition(&second)).expect("the highest is kept").status;
    assert_eq!(kept, DefinitionStatus::DeleteInProgress);
    assert_eq!(world.define("web", spec("web"), Image::Good), "web:3");
    world.settle();
    assert!(world.state.definition(&definition(&second)).is_none());
    let text = refused(&mut world, Command::RunTask(run("web:9", 1)));
    assert!(text.starts_with("TaskDefinition not found"), "{text}");
}

#[test]
fn a_definition_runs_where_it_was_registered_for() {
    let (mut world, _) = world();
    let mut only = spec("only");
    only.compatibilities = vec![LaunchType::External];
    let only = world.define("only", only, Image::Good);
    assert_eq!(
        refused(&mut world, Command::RunTask(run(&only, 1))),
        "arn:aws:ecs:us-east-1:000000000000:task-definition/only:1 cannot be run that way: it was registered for EXTERNAL, not for EC2; register a revision whose requiresCompatibilities names EC2."
    );
    let text = refused(&mut world, Command::CreateService(create("web", &only, 1)));
    assert!(text.contains("cannot be run that way"), "{text}");
}

#[test]
fn a_token_makes_a_repetition_harmless_and_nothing_else() {
    let (mut world, web) = world();
    let token = |fingerprint| Some(("token".to_owned(), fingerprint));
    let first = RunTask { client_token: token(1), ..run(&web, 2) };
    let reply = world.must(Command::RunTask(first.clone()));
    let before = world.state.clone();
    assert_eq!(world.must(Command::RunTask(first)), reply);
    assert!(world.state == before);
    let other = RunTask { client_token: token(2), ..run(&web, 3) };
    assert_eq!(
        refused(&mut world, Command::RunTask(other)),
        "The clientToken token was used before with other parameters. Use a new token for a new request."
    );
    // Another operation has tokens of its own.
    let made = CreateService { client_token: token(7), ..create("web", &web, 1) };
    let reply = world.must(Command::CreateService(made.clone()));
    assert_eq!(world.must(Command::CreateService(made.clone())), reply);
    let without = CreateService { client_token: None, ..made };
    let text = refused(&mut world, Command::CreateService(without));
    assert!(text.starts_with("Creation of service was not idempotent."), "{text}");
}

#[test]
fn services_are_refused_with_ecs_words() {
    let (mut world, web) = world();
    let with = |maximum, minimum| CreateService {
        percents: (Some(maximum), Some(minimum)),
        ..create("web", &web, 1)
    };
    let text = refused(&mut world, Command::CreateService(with(100, 100)));
    assert!(text.contains("Both maximumPercent and minimumHealthyPercent cannot be 100"), "{text}");
    for (maximum, minimum) in [(99, 0), (200, 101)] {
        let text = refused(&mut world, Command::CreateService(with(maximum, minimum)));
        assert!(text.starts_with("Invalid value for deploymentConfiguration."), "{text}");
    }
    let text = refused(&mut world, Command::CreateService(create("web", &web, 5_001)));
    assert!(text.starts_with("A service has at most 5000 tasks"), "{text}");
    assert_eq!(refused(&mut world, Command::UpdateService(update("web"))), "Service not found.");
    world.must(Command::CreateService(create("web", &web, 1)));
    world.pass(std::time::Duration::from_secs(1));
    let delete = |force| Command::DeleteService { key: service("web"), force };
    let text = refused(&mut world, delete(false));
    assert!(text.starts_with("The service cannot be stopped while it is scaled above 0."));
    world.must(delete(true));
    world.must(delete(true));
    let text = refused(&mut world, Command::UpdateService(update("web")));
    assert_eq!(text, "Service was not ACTIVE.");
    let text = refused(&mut world, Command::CreateService(create("web", &web, 1)));
    assert!(text.starts_with("Unable to Start a service that is still Draining."));
    world.pass(std::time::Duration::from_secs(1));
    world.must(Command::CreateService(create("web", &web, 1)));
    let status = world.state.service(&service("web")).map(|s| s.status);
    assert_eq!(status, Some(ServiceStatus::Active));
    assert_eq!(world.state.events(&service("web")).count(), 0, "its events are its own");
}

#[test]
fn only_another_definition_or_force_makes_a_deployment() {
    let (mut world, web) = world();
    world.must(Command::CreateService(create("web", &web, 1)));
    let first = world.state.service(&service("web")).expect("it is").deployments[0].id.clone();
    assert_eq!(first.as_str().len(), "ecs-svc/".len() + 19);
    let desired_count = Some(2);
    world.must(Command::UpdateService(UpdateService { desired_count, ..update("web") }));
    let same = Some(definition(&web));
    world.must(Command::UpdateService(UpdateService { definition: same, ..update("web") }));
    let deployments = &world.state.service(&service("web")).expect("it is").deployments;
    assert_eq!((deployments.len(), &deployments[0].id), (1, &first));
    assert_eq!(deployments[0].desired_count, 2);
    let force_new_deployment = true;
    world.must(Command::UpdateService(UpdateService { force_new_deployment, ..update("web") }));
    let deployments = &world.state.service(&service("web")).expect("it is").deployments;
    assert_eq!(deployments.len(), 2);
    assert_eq!(deployments[1].id, first);
}

#[test]
fn an_instance_comes_back_as_itself() {
    let (mut world, _) = world();
    let key = InstanceKey { cluster: CLUSTER.into(), instance: "node".into() };
    let attribute = |name: &str| Attribute { name: name.to_owned(), value: Some("x".to_owned()) };
    let register = |known_as: Option<&str>, attributes: Vec<Attribute>| {
        Command::RegisterInstance(RegisterInstance {
            cluster: CLUSTER.into(),
            known_as: known_as.map(Into::into),
            ec2_instance_id: None,
            address: None,
            resources: build::resources(1, 2),
            attributes,
            tags: tags(&[("from", "agent")]),
        })
    };
    let custom = vec![attribute("rack"), attribute("ecs.capability.old")];
    world.must(register(Some("node"), custom));
    let status = InstanceStatus::Draining;
    world.must(Command::SetInstanceStatus { key: key.clone(), status });
    world.must(register(Some("node"), vec![attribute("ecs.capability.new")]));
    let back = world.state.instance(&key).expect("it is").clone();
    assert_eq!(back.status, InstanceStatus::Draining);
    assert_eq!(back.registered.cpu, 1);
    assert!(back.agent.connected, "its session is another matter");
    let names: Vec<&str> = back.attributes.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["ecs.capability.new", "rack", "ecs.availability-zone"]);
    // One that this server does not know any more is taken in under its own id.
    let Reply::Instance(known) = world.must(register(Some("lost"), Vec::new())) else {
        panic!("an instance")
    };
    assert_eq!(known.key.instance.as_str(), "lost");
    let Reply::Instance(new) = world.must(register(None, Vec::new())) else {
        panic!("an instance")
    };
    assert_eq!(new.key.instance.as_str().len(), 32);
    assert!(!new.agent.connected);
}

#[test]
fn tags_are_added_removed_and_bounded() {
    let (mut world, web) = world();
    let resource = Resource::Definition(definition(&web));
    let tag = |tags| Command::Tag { resource: resource.clone(), tags };
    world.must(tag(tags(&[("a", "1"), ("b", "1")])));
    world.must(tag(tags(&[("b", "2")])));
    let keys = vec!["a".to_owned(), "nothing".to_owned()];
    world.must(Command::Untag { resource: resource.clone(), keys });
    let now = world.state.definition(&definition(&web)).expect("it is").tags.clone();
    assert_eq!(now, tags(&[("b", "2")]));
    let many: Tags = (0..50).map(|n| (format!("key-{n}"), String::new())).collect();
    let text = refused(&mut world, tag(many));
    assert!(text.contains("at most 50 tags; with these it would have 51"), "{text}");
    let text = refused(&mut world, tag(tags(&[("AWS:ecs:x", "1")])));
    assert!(text.contains("reserved"), "{text}");
    let nobody = Resource::Service(service("nobody"));
    let text = refused(&mut world, Command::Tag { resource: nobody, tags: Tags::default() });
    assert_eq!(text, "Service not found.");
}

#[test]
fn a_plan_that_has_grown_old_is_stale() {
    let (mut world, web) = world();
    world.must(Command::CreateService(create("web", &web, 1)));
    let old = scheduler::plan(&world.state, world.now, 1).commands;
    world.pass(std::time::Duration::from_secs(10));
    assert!(!old.is_empty());
    for command in &old {
        assert_eq!(world.submit(command), Err(Rejection::Stale), "{command:?}");
    }
}
