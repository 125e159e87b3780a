//! A fleet with racks, whose values have sections with orders, over a history of instances and tasks.

use proptest::prelude::*;

use super::*;
use crate::{
    AgentInfo, Attribute, Change, DefinitionKey, DesiredStatus, InstanceKey, InstanceStatus,
    LaunchType, Realm, Resources, Revision, State, Tags, TaskFacts, TaskKey, TaskProgress,
    TaskStatus,
};

const INSTANCES: u32 = 300;
const RACKS: u32 = 70;

fn key(n: u32) -> InstanceKey {
    InstanceKey { cluster: "one".into(), instance: format!("{n:016x}").as_str().into() }
}

fn instance(n: u32, rack: Option<u32>, connected: bool) -> Change {
    let rack = rack.map(|rack| Attribute {
        name: "rack".to_owned(),
        value: (rack > 0).then(|| rack.to_string()),
    });
    Change::PutInstance(Arc::new(Instance {
        key: key(n),
        status: InstanceStatus::Active,
        external: false,
        ec2_instance_id: (!n.is_multiple_of(9)).then(|| format!("i-{n}")),
        address: None,
        registered: Resources { cpu: 40, memory: 40, ..Resources::default() },
        attributes: rack.into_iter().collect(),
        agent: AgentInfo { connected, ..AgentInfo::default() },
        tags: Tags::default(),
        registered_at: stdx::Timestamp::EPOCH,
        version: 1,
    }))
}

fn facts(n: u32, on: u32, group: u32) -> TaskFacts {
    TaskFacts {
        key: TaskKey { cluster: "one".into(), task: n.to_string().as_str().into() },
        definition: DefinitionKey { family: "web".into(), revision: Revision(1) },
        instance: Some(key(on).instance),
        host: None,
        provider: None,
        terms: None,
        launch_type: LaunchType::Ec2,
        network: None,
        group: format!("group:{group}"),
        started_by: None,
        service: None,
        deployment: None,
        overrides: None,
        reserved: Resources { cpu: 1 + group, memory: 3 - group, ..Resources::default() },
        containers: Vec::new(),
        tags: Tags::default(),
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        created_at: stdx::Timestamp::EPOCH,
    }
}

/// Something that happens: to an instance or to a task, by a number.
#[derive(Clone, Debug)]
enum Event {
    Joins(u32, Option<u32>, bool),
    Leaves(u32),
    Starts(u32, u32, u32),
    Ends(u32, bool),
    Goes(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let instance = 0..INSTANCES + 20;
    let task = 0..60_u32;
    prop_oneof![
        (instance.clone(), prop::option::of(0..RACKS + 5), any::<bool>())
            .prop_map(|(n, rack, there)| Event::Joins(n, rack, there)),
        instance.clone().prop_map(Event::Leaves),
        (task.clone(), instance, 0..3_u32).prop_map(|(n, on, group)| Event::Starts(n, on, group)),
        (task.clone(), any::<bool>()).prop_map(|(n, over)| Event::Ends(n, over)),
        task.prop_map(Event::Goes),
    ]
}

fn happen(state: &mut State, event: &Event) {
    match *event {
        Event::Joins(n, rack, connected) => state.apply(&instance(n, rack, connected)),
        Event::Leaves(n) => state.apply(&Change::DeleteInstance(key(n))),
        Event::Starts(n, on, group) => {
            state.apply(&Change::PutTask(Arc::new(facts(n, on, group))));
        }
        Event::Ends(n, over) => {
            let key = facts(n, 0, 0).key;
            let Some(task) = state.task(&key) else { return };
            let mut next = TaskProgress::clone(&task.progress);
            next.desired = DesiredStatus::Stopped;
            next.status = if over { TaskStatus::Stopped } else { next.status };
            state.apply(&Change::PutProgress(key, Arc::new(next)));
        }
        Event::Goes(n) => state.apply(&Change::DeleteTask(facts(n, 0, 0).key)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sections_and_what_groups_count_by_them_equal_plain_folds(
        events in prop::collection::vec(event(), 1..150),
    ) {
        let mut state = State::new(Realm::new("us-east-1", "000000000000"));
        for n in 0..INSTANCES {
            state.apply(&instance(n, Some(n % RACKS), true));
        }
        let fleet = state.fleet(&"one".into()).unwrap();
        prop_assert!(fleet.division("rack").unwrap().1.is_ordered());
        let snapshot = state.clone();
        for event in &events {
            happen(&mut state, event);
        }
        check(&state);
        check(&snapshot);
    }
}
