//! Groups of nodes that grow for what waits and shrink when they are idle, with whoever starts nodes
//! pretended here.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{
    Attribute, AutoScalingGroup, HookOutcome, InstanceStatus, LifecycleHook, ManagedScaling, Node,
    NodeId, NodeState, StrategyItem, TaskStatus, Transition,
};
use scheduler::capacity::{NewGroup, NewLaunch, NewProvider, NodeReport};
use scheduler::{
    CapacityCommand, CapacityRejection, Command, CreateService, DeploymentCommand,
    RegisterInstance, Rejection, Reply, RunTask, TaskReport, UpdateService,
};

use crate::build::{self, CLUSTER};
use crate::world::{Image, World};

const SECOND: Duration = Duration::from_secs(1);

/// A cluster `default` with the capacity provider `grow` over the group `nodes`, whose nodes take four
/// tasks each by memory.
pub(crate) struct Fleet {
    pub(crate) world: World,
    /// Whether nodes can be started.
    works: bool,
    joined: BTreeSet<NodeId>,
}

impl Fleet {
    pub(crate) fn new(max: u32, scaling: Option<ManagedScaling>) -> Self {
        let mut fleet = Self { world: World::new(1), works: true, joined: BTreeSet::new() };
        fleet.world.define("web", build::spec("good"), Image::Good);
        fleet.must(CapacityCommand::CreateLaunch(NewLaunch {
            name: "small".into(),
            image: "ami-1".to_owned(),
            instance_type: "local".to_owned(),
            user_data: String::new(),
            cluster: CLUSTER.into(),
        }));
        fleet.must(CapacityCommand::CreateGroup(Box::new(NewGroup {
            name: "nodes".into(),
            launch: model::LaunchSource::Configuration("small".into()),
            min: 0,
            max,
            desired: None,
            zones: vec!["a".to_owned(), "b".to_owned()],
            subnets: Vec::new(),
            cooldown: Duration::ZERO,
            health_grace: Duration::ZERO,
            protect_new: true,
            hooks: Vec::new(),
            tags: Vec::new(),
        })));
        fleet.must(CapacityCommand::CreateProvider(NewProvider {
            name: "grow".into(),
            group: "nodes".into(),
            scaling,
            termination_protection: true,
            draining: true,
            tags: model::Tags::default(),
        }));
        fleet.must(CapacityCommand::PutClusterProviders {
            cluster: CLUSTER.into(),
            providers: vec!["grow".into()],
            strategy: strategy(),
        });
        fleet
    }

    pub(crate) fn must(&mut self, command: CapacityCommand) {
        self.world.must(Command::Capacity(command));
    }

    pub(crate) fn refused(&mut self, command: CapacityCommand) -> CapacityRejection {
        match self.world.submit(&Command::Capacity(command)) {
            Err(Rejection::Capacity(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn group(&self) -> AutoScalingGroup {
        AutoScalingGroup::clone(self.world.state.capacity().group(&"nodes".into()).expect("it is"))
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        self.world.state.capacity().nodes(&"nodes".into()).map(|n| Node::clone(n)).collect()
    }

    pub(crate) fn in_state(&self, state: NodeState) -> usize {
        self.nodes().iter().filter(|node| node.state == state).count()
    }

    /// Time passes, and each second whoever starts nodes does what is to be done.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.pass(SECOND);
            for node in self.nodes() {
                match node.state {
                    NodeState::Pending if !self.works => {
                        let why = "no machine is free".to_owned();
                        self.must(CapacityCommand::ReportNode(node.id, NodeReport::Failed(why)));
                    }
                    NodeState::Pending if self.joined.insert(node.id.clone()) => self.join(&node),
                    NodeState::Terminating => {
                        self.must(CapacityCommand::ReportNode(node.id, NodeReport::Gone));
                    }
                    _ => {}
                }
            }
            self.world.settle();
        }
    }

    fn join(&mut self, node: &Node) {
        let reply = self.world.must(Command::RegisterInstance(RegisterInstance {
            cluster: CLUSTER.into(),
            known_as: None,
            ec2_instance_id: Some(node.id.to_string()),
            address: None,
            resources: build::resources(4096, 512),
            attributes: vec![Attribute {
                name: "ecs.availability-zone".to_owned(),
                value: Some(node.zone.clone()),
            }],
            tags: model::Tags::default(),
        }));
        let Reply::Instance(instance) = reply else { panic!("{reply:?}") };
        self.world.connect(&instance.key, true);
    }

    fn run(&mut self, count: u32) -> (usize, usize) {
        let run = RunTask { providers: strategy(), ..build::run("web:1", count) };
        match self.world.must(Command::RunTask(run)) {
            Reply::Tasks { placed, failures } => (placed.len(), failures.len()),
            other => panic!("{other:?}"),
        }
    }

    fn tasks(&self, status: TaskStatus) -> usize {
        self.world.state.all_tasks().filter(|t| t.progress.status == status).count()
    }

    fn stop_all(&mut self) {
        let keys: Vec<_> = self.world.state.all_tasks().map(|t| t.facts.key.clone()).collect();
        for key in keys {
            self.world.must(Command::StopTask { key, reason: None });
        }
    }
}

fn strategy() -> Vec<StrategyItem> {
    vec![StrategyItem { provider: "grow".into(), weight: 1, base: 0 }]
}

fn managed() -> Option<ManagedScaling> {
    Some(ManagedScaling { warmup: Duration::from_secs(30), ..ManagedScaling::default() })
}

#[test]
fn tasks_wait_for_nodes_that_come_for_them_and_go_after_them() {
    let mut fleet = Fleet::new(3, managed());
    assert_eq!(fleet.run(10), (10, 0));
    assert_eq!(fleet.tasks(TaskStatus::Provisioning), 10);
    fleet.pass(5);
    // Ten tasks of 128 MiB on nodes of 512: three nodes, evenly over two zones.
    assert_eq!(fleet.tasks(TaskStatus::Running), 10);
    assert_eq!((fleet.group().desired, fleet.in_state(NodeState::InService)), (3, 3));
    let zones: BTreeSet<String> = fleet.nodes().into_iter().map(|node| node.zone).collect();
    assert_eq!(zones.len(), 2);
    // What is busy stays however long it lasts.
    fleet.pass(120);
    assert_eq!(fleet.in_state(NodeState::InService), 3);
    fleet.stop_all();
    fleet.pass(10);
    assert_eq!(fleet.nodes().len(), 3, "idle nodes are not ended at once");
    fleet.pass(60);
    assert!(fleet.nodes().is_empty() && fleet.group().desired == 0);
    assert_eq!(fleet.world.state.all_instances().count(), 0, "what has ended has left its cluster");
    let activities: Vec<_> = fleet.world.state.capacity().activities(&"nodes".into()).collect();
    assert_eq!(activities.len(), 6);
    assert!(activities.iter().all(|a| a.ended_at.is_some() && a.failure.is_none()));
}

/// No agent can have a task that has no instance yet: what one says of it is not believed.
#[test]
fn what_an_agent_says_of_a_task_that_waits_is_nothing() {
    let mut fleet = Fleet::new(1, managed());
    assert_eq!(fleet.run(1), (1, 0));
    let key = fleet.world.state.all_tasks().next().expect("it waits").facts.key.clone();
    for status in [TaskStatus::Running, TaskStatus::Stopped] {
        fleet.world.must(Command::ReportTask(TaskReport {
            key: key.clone(),
            status: Some(status),
            reason: None,
            containers: Vec::new(),
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        }));
        assert_eq!(fleet.tasks(TaskStatus::Provisioning), 1);
    }
    fleet.pass(10);
    assert_eq!(fleet.tasks(TaskStatus::Running), 1);
}

#[test]
fn what_is_beyond_the_bound_waits_and_is_given_up_in_the_end() {
    let mut fleet = Fleet::new(1, managed());
    fleet.run(6);
    fleet.pass(60);
    assert_eq!((fleet.tasks(TaskStatus::Running), fleet.nodes().len()), (4, 1));
    assert_eq!(fleet.tasks(TaskStatus::Provisioning), 2);
    fleet.pass(31 * 60);
    assert_eq!(fleet.tasks(TaskStatus::Provisioning), 0);
    let stopped =
        fleet.world.state.all_tasks().filter(|t| t.progress.status == TaskStatus::Stopped);
    let reasons: Vec<_> = stopped.filter_map(|t| t.progress.stopped_reason.clone()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].starts_with("Capacity is unavailable"), "{reasons:?}");
}

#[test]
fn a_group_that_is_not_managed_keeps_nobody_waiting() {
    let mut fleet = Fleet::new(2, None);
    assert_eq!(fleet.run(3), (0, 3));
    fleet.must(CapacityCommand::SetDesired {
        group: "nodes".into(),
        desired: 1,
        honor_cooldown: false,
    });
    fleet.pass(3);
    assert_eq!(fleet.run(5), (4, 1));
    let refusal = fleet.refused(CapacityCommand::SetDesired {
        group: "nodes".into(),
        desired: 3,
        honor_cooldown: false,
    });
    assert!(refusal.to_string().contains("above max value 2"), "{refusal}");
}

#[test]
fn a_service_waits_too_and_its_tasks_are_moved_from_a_node_that_ends() {
    let mut fleet = Fleet::new(3, managed());
    let create = CreateService { providers: strategy(), ..build::create("web", "web:1", 4) };
    fleet.world.must(Command::CreateService(create));
    fleet.pass(10);
    assert_eq!((fleet.tasks(TaskStatus::Running), fleet.nodes().len()), (4, 1));
    let node = fleet.nodes()[0].id.clone();
    fleet.must(CapacityCommand::TerminateNode { node: node.clone(), decrement: false });
    fleet.pass(1);
    let instance = fleet.world.state.all_instances().find(|i| i.status == InstanceStatus::Draining);
    assert!(instance.is_some(), "its tasks are drained first");
    fleet.pass(60);
    assert!(fleet.nodes().iter().all(|n| n.id != node));
    assert_eq!((fleet.tasks(TaskStatus::Running), fleet.nodes().len()), (4, 1));
}

/// A zone that only instances of nobody's provider have takes no task of the provider's: none is started
/// for it, and stopped again, for ever.
#[test]
fn a_service_is_not_evened_out_over_zones_where_its_provider_has_nothing() {
    let mut fleet = Fleet::new(1, managed());
    let two = build::create("web", "web:1", 2);
    let create = CreateService { providers: strategy(), rebalances: Some(true), ..two };
    fleet.world.must(Command::CreateService(create));
    fleet.pass(60);
    assert_eq!((fleet.tasks(TaskStatus::Running), fleet.nodes().len()), (2, 1));
    let own = fleet.world.state.all_instances().next().expect("it has joined");
    assert!(own.attribute("ecs.availability-zone").flatten().is_some_and(|zone| zone != "far"));
    crate::rebalancing::join(&mut fleet.world, "other", "far");
    fleet.pass(60);
    assert_eq!(fleet.world.state.all_tasks().count(), 2, "nothing was started");
}

#[test]
fn a_roll_back_brings_the_strategy_back_and_tells_what_it_ended_with() {
    let mut fleet = Fleet::new(3, managed());
    let key = build::service("web");
    let create = CreateService { providers: strategy(), ..build::create("web", "web:1", 2) };
    fleet.world.must(Command::CreateService(create));
    fleet.pass(30);
    let before = fleet.world.state.service(&key).expect("it is").clone();
    assert_eq!(before.stable_capacity, Some(before.capacity()));
    let other = vec![StrategyItem { provider: "grow".into(), weight: 1, base: 7 }];
    fleet.world.must(Command::UpdateService(UpdateService {
        providers: Some(other.clone()),
        force_new_deployment: true,
        ..build::update("web")
    }));
    let next = fleet.world.state.service(&key).expect("it is").clone();
    assert_eq!(next.providers, other);
    let id = next.current.clone().expect("it is on its way");
    let record = model::ServiceDeploymentKey { service: key.clone(), id };
    let stop = DeploymentCommand::Stop { key: record.clone(), rollback: true };
    fleet.world.must(Command::Deployment(stop));
    fleet.pass(30);
    let back = fleet.world.state.service(&key).expect("it is").clone();
    assert_eq!(back.providers, strategy(), "the whole revision is back");
    let record = fleet.world.state.deployments().deployment(&record).expect("kept").clone();
    assert_eq!(record.status, model::ServiceDeploymentStatus::RollbackSuccessful);
    let old = &before.deployments[0].id;
    let ended = record.ended_with.iter().find(|counts| counts.revision == *old);
    assert_eq!(ended.map(|c| (c.requested, c.running, c.pending)), Some((2, 2, 0)));
}

#[test]
fn a_start_that_fails_is_told_and_tried_again_more_and_more_seldom() {
    let mut fleet = Fleet::new(3, managed());
    fleet.works = false;
    fleet.run(1);
    fleet.pass(60);
    let tried = fleet.world.state.capacity().activities(&"nodes".into()).count();
    assert!((2..=6).contains(&tried), "{tried} times in a minute");
    let newest = fleet.world.state.capacity().activities(&"nodes".into()).last().cloned();
    assert_eq!(newest.and_then(|a| a.failure.clone()).as_deref(), Some("no machine is free"));
    fleet.works = true;
    fleet.pass(120);
    assert_eq!(fleet.tasks(TaskStatus::Running), 1);
}

#[test]
fn a_lost_node_is_replaced() {
    let mut fleet = Fleet::new(3, managed());
    fleet.run(1);
    fleet.pass(5);
    let (lost, instance) = (fleet.nodes()[0].id.clone(), fleet.world.state.all_instances().next());
    let key = instance.expect("it has joined").key.clone();
    fleet.world.connect(&key, false);
    fleet.pass(30);
    assert_eq!(fleet.nodes().len(), 1, "an agent may be away for a while");
    fleet.run(1);
    // Nobody reports for the first task any more: the node drains until it is given up.
    fleet.pass(60);
    let states: Vec<_> = fleet.nodes().into_iter().map(|n| (n.id == lost, n.state)).collect();
    assert!(states.contains(&(true, NodeState::Draining)), "{states:?}");
    assert!(states.contains(&(false, NodeState::InService)), "{states:?}");
}

#[test]
fn hooks_are_waited_for_on_both_ways() {
    let mut fleet = Fleet::new(3, None);
    for transition in [Transition::Launching, Transition::Terminating] {
        let name = format!("{transition:?}");
        let timeout = Duration::from_secs(60);
        let hook = LifecycleHook { name, transition, timeout, default: HookOutcome::Abandon };
        fleet.must(CapacityCommand::PutHook("nodes".into(), hook));
    }
    fleet.must(CapacityCommand::SetDesired {
        group: "nodes".into(),
        desired: 1,
        honor_cooldown: false,
    });
    fleet.pass(5);
    assert_eq!(fleet.in_state(NodeState::PendingWait), 1);
    assert_eq!(fleet.run(1), (0, 1), "it takes no tasks yet");
    let node = fleet.nodes()[0].id.clone();
    let complete = |hook: &str, node: &NodeId| CapacityCommand::CompleteHook {
        group: "nodes".into(),
        hook: hook.to_owned(),
        node: node.clone(),
        outcome: HookOutcome::Continue,
    };
    let early = fleet.refused(complete("Terminating", &node));
    assert_eq!(early, CapacityRejection::NotWaiting(node.clone()));
    fleet.must(complete("Launching", &node));
    assert_eq!(fleet.run(1), (1, 0));
    fleet.stop_all();
    fleet.pass(1);
    fleet.must(CapacityCommand::TerminateNode { node, decrement: true });
    fleet.pass(5);
    assert_eq!(fleet.in_state(NodeState::TerminatingWait), 1);
    fleet.pass(60);
    assert!(fleet.nodes().is_empty(), "its time was over");
}

#[test]
fn a_group_is_deleted_with_its_nodes_only_by_force_and_never_under_its_provider() {
    let mut fleet = Fleet::new(3, None);
    fleet.must(CapacityCommand::SetDesired {
        group: "nodes".into(),
        desired: 2,
        honor_cooldown: false,
    });
    fleet.pass(3);
    let delete = |force| CapacityCommand::DeleteGroup { group: "nodes".into(), force };
    assert!(matches!(fleet.refused(delete(true)), CapacityRejection::GroupHasProvider(..)));
    assert!(matches!(
        fleet.refused(CapacityCommand::DeleteProvider("grow".into())),
        CapacityRejection::ProviderInUse(..)
    ));
    fleet.must(CapacityCommand::PutClusterProviders {
        cluster: CLUSTER.into(),
        providers: Vec::new(),
        strategy: Vec::new(),
    });
    fleet.must(CapacityCommand::DeleteProvider("grow".into()));
    assert!(matches!(fleet.refused(delete(false)), CapacityRejection::GroupHasNodes(_)));
    fleet.must(delete(true));
    fleet.pass(5);
    assert!(fleet.world.state.capacity().group(&"nodes".into()).is_none());
    assert_eq!(fleet.world.state.all_instances().count(), 0);
}
