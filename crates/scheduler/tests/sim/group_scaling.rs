//! Groups without a capacity provider's managed scaling: policies, cooldowns and warm-up, metrics that
//! are tracked, scheduled actions, and launch templates.

use std::time::Duration;

use model::{
    Adjustment, CustomMetric, Finite, GroupActionKey, GroupPolicyKey, GroupPolicyKind,
    GroupTracking, LaunchSource, MetricStat, NodeState, SimpleScaling, Step, StepScaling, Tags,
    TemplateData, TrackedMetric, VersionChoice,
};
use scheduler::capacity::{
    GroupAnswer, GroupScale, GroupUpdate, NewGroupAction, NewGroupPolicy, NewTemplate, NewVersion,
    PolicyRun, Trigger, action_due, questions, track,
};
use scheduler::scaling::{Points, parse_recurrence};
use scheduler::{CapacityCommand, CapacityRejection};

use crate::capacity::Fleet;

const SECOND: Duration = Duration::from_secs(1);

fn policy(name: &str) -> GroupPolicyKey {
    GroupPolicyKey { group: "nodes".into(), name: name.into() }
}

fn put(fleet: &mut Fleet, name: &str, kind: GroupPolicyKind, warmup: u32) {
    fleet.must(CapacityCommand::PutGroupPolicy(Box::new(NewGroupPolicy {
        key: policy(name),
        kind,
        enabled: true,
        warmup: Some(SECOND * warmup),
    })));
}

fn simple(by: i32, cooldown: u64) -> GroupPolicyKind {
    GroupPolicyKind::Simple(SimpleScaling {
        adjustment: Adjustment::Change,
        by,
        min_magnitude: None,
        cooldown: Some(Duration::from_secs(cooldown)),
    })
}

fn alarm(name: &str, breach: Option<(f64, f64)>) -> CapacityCommand {
    let trigger = Trigger::Alarm("high".to_owned());
    CapacityCommand::RunGroupPolicy(PolicyRun { policy: policy(name), trigger, breach })
}

fn newest_cause(fleet: &Fleet) -> String {
    let group = "nodes".into();
    let mut activities = fleet.world.state.capacity().activities(&group);
    activities.next().expect("there is one").cause.clone()
}

#[test]
fn a_simple_policy_waits_for_what_it_did_and_then_for_its_cooldown() {
    let mut fleet = Fleet::new(5, None);
    put(&mut fleet, "up", simple(2, 60), 0);
    fleet.must(alarm("up", None));
    let refusal = fleet.refused(alarm("up", None));
    assert!(matches!(refusal, CapacityRejection::NotDone(_)), "{refusal}");
    fleet.pass(3);
    assert_eq!(fleet.in_state(NodeState::InService), 2);
    let cause = newest_cause(&fleet);
    assert!(cause.contains("a monitor alarm high in state ALARM triggered policy up"), "{cause}");
    let refusal = fleet.refused(alarm("up", None));
    assert!(refusal.to_string().contains("cooldown"), "{refusal}");
    fleet.pass(60);
    fleet.must(alarm("up", None));
    assert_eq!(fleet.group().desired, 4);
    // A user may, unless the cooldown is to be honoured.
    let run = |honor_cooldown| {
        let trigger = Trigger::User { honor_cooldown };
        CapacityCommand::RunGroupPolicy(PolicyRun { policy: policy("up"), trigger, breach: None })
    };
    assert!(matches!(fleet.refused(run(true)), CapacityRejection::InProgress(_)));
    fleet.must(run(false));
    assert_eq!(fleet.group().desired, 5, "the upper bound holds");
    fleet.pass(5);
    assert!(fleet.group().why.is_empty(), "who asked for it has it");
}

#[test]
fn steps_count_what_warms_up_and_scale_in_waits_for_it() {
    let mut fleet = Fleet::new(10, None);
    let step = |lower: Option<f64>, upper: Option<f64>, by| Step {
        lower: lower.and_then(Finite::new),
        upper: upper.and_then(Finite::new),
        by,
    };
    let steps = GroupPolicyKind::Steps(StepScaling {
        adjustment: Adjustment::Change,
        steps: vec![
            step(None, Some(0.0), -1),
            step(Some(0.0), Some(20.0), 1),
            step(Some(20.0), None, 3),
        ],
        min_magnitude: None,
        cooldown: Duration::ZERO,
        cooldown_given: false,
        aggregation: None,
    });
    put(&mut fleet, "steps", steps, 100);
    fleet.must(alarm("steps", Some((55.0, 50.0))));
    assert_eq!(fleet.group().desired, 1);
    fleet.pass(5);
    let refusal = fleet.refused(alarm("steps", Some((55.0, 50.0))));
    assert!(refusal.to_string().contains("warming up"), "{refusal}");
    fleet.must(alarm("steps", Some((90.0, 50.0))));
    assert_eq!(fleet.group().desired, 3, "the one that warms up is one of the three");
    let refusal = fleet.refused(alarm("steps", Some((10.0, 50.0))));
    assert!(refusal.to_string().contains("warming up"), "{refusal}");
    fleet.pass(101);
    fleet.must(alarm("steps", Some((10.0, 50.0))));
    assert_eq!(fleet.group().desired, 2);
    let refusal = fleet.refused(alarm("steps", None));
    assert!(refusal.to_string().contains("MetricValue"), "{refusal}");
}

/// A value each second of the last `seconds`.
fn points(fleet: &Fleet, seconds: u32, value: f64) -> Points {
    let now = fleet.world.now;
    (1..=seconds).rev().map(|back| (now - SECOND * back, value)).collect()
}

fn look(fleet: &Fleet, value: f64) -> Vec<GroupScale> {
    let asked = questions(&fleet.world.state);
    assert_eq!(asked.len(), 1);
    let points = points(fleet, 80, value);
    let answers = [GroupAnswer { policy: asked[0].policy.clone(), points }];
    track(&fleet.world.state, fleet.world.now, &answers)
}

#[test]
fn a_metric_is_tracked_out_and_in_again() {
    let mut fleet = Fleet::new(6, None);
    let metric = TrackedMetric::Custom(CustomMetric {
        namespace: "AWS/ECS".to_owned(),
        name: "MemoryReservation".to_owned(),
        dimensions: Vec::new(),
        statistic: MetricStat::Average,
        unit: None,
    });
    let tracking = GroupTracking {
        target: Finite::new(50.0).unwrap(),
        metric,
        disable_scale_in: false,
        alarm_ids: Default::default(),
    };
    put(&mut fleet, "track", GroupPolicyKind::Tracking(tracking), 10);
    assert_eq!(look(&fleet, 90.0), [], "without a node there is nothing to scale by");
    fleet.must(CapacityCommand::SetDesired {
        group: "nodes".into(),
        desired: 2,
        honor_cooldown: false,
    });
    fleet.pass(3);
    assert_eq!(look(&fleet, 90.0), [], "what was measured before does not count");
    fleet.pass(90);
    let scale = look(&fleet, 100.0).pop().expect("it is high");
    assert_eq!((scale.from, scale.to), (2, 4));
    fleet.must(CapacityCommand::TrackGroup(scale.clone()));
    fleet.pass(90);
    assert_eq!(fleet.in_state(NodeState::InService), 4);
    let cause = newest_cause(&fleet);
    assert!(cause.contains("-AlarmHigh-") && cause.contains("with 2 nodes"), "{cause}");
    assert_eq!(look(&fleet, 47.0), [], "near the target");
    let scale = look(&fleet, 20.0).pop().expect("it is low");
    assert_eq!((scale.from, scale.to), (4, 2));
    fleet.must(CapacityCommand::TrackGroup(scale));
    fleet.must(CapacityCommand::DeleteGroupPolicy(policy("track")));
    assert!(questions(&fleet.world.state).is_empty());
}

fn action(name: &str) -> GroupActionKey {
    GroupActionKey { group: "nodes".into(), name: name.into() }
}

#[test]
fn actions_run_when_they_are_due_and_once_for_what_was_missed() {
    let mut fleet = Fleet::new(5, None);
    let start = fleet.world.now;
    let nothing = NewGroupAction {
        key: action("once"),
        recurrence: None,
        starts: None,
        ends: None,
        min: None,
        max: None,
        desired: None,
    };
    let once =
        NewGroupAction { starts: Some(start + SECOND * 10), min: Some(2), ..nothing.clone() };
    let schedule = parse_recurrence("* * * * *", None).unwrap();
    let recurrence = Some(("* * * * *".to_owned(), None, schedule));
    let each = NewGroupAction { key: action("each"), recurrence, max: Some(4), ..nothing.clone() };
    fleet.must(CapacityCommand::PutGroupActions(vec![once, each]));
    let refusal = fleet.refused(CapacityCommand::PutGroupActions(vec![nothing]));
    assert!(refusal.to_string().contains("At least one"), "{refusal}");
    fleet.pass(5);
    assert_eq!((fleet.group().min, fleet.group().desired), (0, 0));
    fleet.pass(8);
    assert_eq!((fleet.group().min, fleet.group().desired), (2, 2));
    let cause = newest_cause(&fleet);
    assert!(cause.contains("the scheduled action once executed. Setting min size"), "{cause}");
    assert!(fleet.world.state.capacity().action(&action("once")).is_none(), "it is over");
    fleet.pass(60);
    assert_eq!(fleet.group().max, 4);
    let each = fleet.world.state.capacity().action(&action("each")).expect("it recurs");
    assert!(action_due(each).is_some_and(|at| at > fleet.world.now));
}

#[test]
fn the_version_that_counts_is_the_one_at_the_start_of_a_node() {
    let mut fleet = Fleet::new(5, None);
    let data = |size: &str| TemplateData {
        instance_type: Some(size.to_owned()),
        cluster: Some("default".into()),
        ..TemplateData::default()
    };
    fleet.must(CapacityCommand::CreateTemplate(NewTemplate {
        name: "t".to_owned(),
        description: None,
        data: data("one"),
        tags: Tags::default(),
        by: "me".to_owned(),
        token: None,
    }));
    let id = fleet.world.state.capacity().templates().next().expect("it is").id.clone();
    let source = |version| LaunchSource::Template { template: id.clone(), version };
    let update = |launch| {
        let update = GroupUpdate {
            name: Some("nodes".into()),
            launch: Some(launch),
            ..GroupUpdate::default()
        };
        CapacityCommand::UpdateGroup(Box::new(update))
    };
    let refusal = fleet.refused(update(source(VersionChoice::Number(2))));
    assert!(refusal.to_string().contains("no version 2"), "{refusal}");
    fleet.must(update(source(VersionChoice::Latest)));
    let desire = |desired| CapacityCommand::SetDesired {
        group: "nodes".into(),
        desired,
        honor_cooldown: false,
    };
    fleet.must(desire(1));
    fleet.pass(3);
    fleet.must(CapacityCommand::CreateVersion(NewVersion {
        template: id.clone(),
        source: Some(1),
        description: None,
        data: data("two"),
        by: "me".to_owned(),
        token: None,
    }));
    fleet.must(desire(2));
    fleet.pass(3);
    let mut sizes: Vec<_> = fleet.nodes().into_iter().map(|node| node.instance_type).collect();
    sizes.sort();
    assert_eq!(sizes, ["one", "two"]);
    // Without its template a group starts nothing, and says so; nodes that are there stay.
    fleet.must(CapacityCommand::DeleteTemplate(id.clone()));
    fleet.must(desire(3));
    fleet.pass(3);
    assert_eq!(fleet.in_state(NodeState::InService), 2);
    let group = "nodes".into();
    let failed = fleet.world.state.capacity().activities(&group).next().expect("one");
    assert!(failed.failure.as_ref().is_some_and(|why| why.contains("not there")), "{failed:?}");
    fleet.must(update(LaunchSource::Configuration("small".into())));
    fleet.pass(60);
    assert_eq!(fleet.in_state(NodeState::InService), 3);
}
