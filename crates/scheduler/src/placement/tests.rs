//! What the index decides equals what a look at every instance decides, over random histories.

use std::sync::Arc;

use model::query::Expression;
use model::{
    AgentInfo, Attribute, Change, DesiredStatus, HostPort, Instance, InstanceKey, InstanceStatus,
    Protocol, Realm, State, Tags, TaskFacts, TaskKey, TaskProgress, TaskStatus,
};
use proptest::prelude::*;
use stdx::{Entropy, SeededEntropy, Timestamp};

use super::*;
use crate::Failure;

const CLUSTER: &str = "one";

/// A history that follows from a seed.
struct World {
    state: State,
    dice: SeededEntropy,
    cluster: ClusterName,
    family: Family,
    service: ServiceKey,
    tasks: u64,
    instances: u64,
    racks: u64,
}

impl World {
    fn new(seed: u64, instances: u64, racks: u64) -> Self {
        let mut world = Self {
            state: State::new(Realm::new("us-east-1", "000000000000")),
            dice: SeededEntropy::new(seed),
            cluster: CLUSTER.into(),
            family: "web".into(),
            service: ServiceKey { cluster: CLUSTER.into(), service: "web".into() },
            tasks: 0,
            instances,
            racks,
        };
        for n in 0..instances {
            world.join(n);
        }
        world
    }

    fn below(&mut self, n: u64) -> u32 {
        u32::try_from(self.dice.below(n)).unwrap()
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    fn join(&mut self, n: u64) {
        let attribute = |name: &str, value: u64| Attribute {
            name: name.to_owned(),
            value: Some(value.to_string()),
        };
        let mut attributes = vec![attribute("serial", n)];
        // Most often it stays in its rack.
        match self.below(12) {
            0 => {}
            1 => attributes.push(attribute("rack", u64::from(self.below(self.racks)))),
            _ => attributes.push(attribute("rack", n % self.racks)),
        }
        for (name, values) in [("ecs.availability-zone", 3), ("type", 4), ("flag", 2)] {
            if self.below(8) > 0 {
                let value = self.below(values);
                attributes.push(Attribute {
                    name: name.to_owned(),
                    value: (value > 0).then(|| value.to_string()),
                });
            }
        }
        let gpus = if self.below(3) == 0 { self.below(5) } else { 0 };
        let instance = Instance {
            key: self.key(n),
            status: if self.below(12) == 0 {
                InstanceStatus::Draining
            } else {
                InstanceStatus::Active
            },
            external: self.below(10) == 0,
            ec2_instance_id: Some(format!("i-{n}")),
            address: None,
            registered: Resources {
                cpu: 64 * (1 + self.below(8)),
                memory: 64 * (1 + self.below(8)),
                gpus: (0..gpus).map(|gpu| GpuId::from(format!("gpu-{gpu}"))).collect(),
                ports: self.ports(6),
            },
            attributes,
            agent: AgentInfo {
                connected: self.below(12) > 0,
                version: (self.below(4) > 0).then(|| format!("1.{}.0", self.below(3))),
                ..AgentInfo::default()
            },
            tags: Tags::default(),
            registered_at: Timestamp::from_millis(i64::from(self.below(3)) * 86_400_000),
            version: 1,
        };
        self.state.apply(&Change::PutInstance(Arc::new(instance)));
    }

    /// No ports but once in a while: some of both protocols.
    fn ports(&mut self, once_in: u64) -> std::collections::BTreeSet<HostPort> {
        if self.below(once_in) > 0 {
            return std::collections::BTreeSet::new();
        }
        let all = [(Protocol::Tcp, 80), (Protocol::Udp, 80), (Protocol::Udp, 53)];
        let all = all.map(|(protocol, port)| HostPort { protocol, port });
        all.into_iter().filter(|_| self.below(2) > 0).collect()
    }

    fn facts(&mut self, group: &str, needs: &Resources, place: &Place) -> TaskFacts {
        self.tasks += 1;
        let mut reserved = needs.clone();
        reserved.gpus = place.gpus.iter().flatten().cloned().collect();
        TaskFacts {
            key: TaskKey { cluster: self.cluster.clone(), task: self.tasks.to_string().into() },
            definition: model::DefinitionKey {
                family: self.family.clone(),
                revision: model::Revision(1),
            },
            instance: Some(place.instance.clone()),
            host: None,
            provider: None,
            terms: None,
            launch_type: LaunchType::Ec2,
            network: None,
            group: group.to_owned(),
            started_by: None,
            service: group.strip_prefix("service:").map(Into::into),
            deployment: None,
            overrides: None,
            reserved,
            containers: Vec::new(),
            tags: Tags::default(),
            enable_ecs_managed_tags: false,
            enable_execute_command: false,
            created_at: Timestamp::EPOCH,
        }
    }

    /// Some tasks end, are told to, or are forgotten, and instances change.
    fn pass_time(&mut self) {
        for _ in 0..self.below(6) {
            let task = u64::from(self.below(self.tasks.max(1))) + 1;
            let key = TaskKey { cluster: self.cluster.clone(), task: task.to_string().into() };
            let Some(task) = self.state.task(&key) else { continue };
            let mut next = TaskProgress::clone(&task.progress);
            match self.below(3) {
                0 => self.state.apply(&Change::DeleteTask(key)),
                other => {
                    next.desired = DesiredStatus::Stopped;
                    next.status = if other == 1 { TaskStatus::Stopped } else { next.status };
                    self.state.apply(&Change::PutProgress(key, Arc::new(next)));
                }
            }
        }
        for _ in 0..self.below(3) {
            let n = u64::from(self.below(self.instances.max(12)));
            self.join(n);
        }
        if self.below(6) == 0 {
            let n = u64::from(self.below(self.instances.max(12)));
            self.state.apply(&Change::DeleteInstance(self.key(n)));
        }
    }

    fn key(&self, n: u64) -> InstanceKey {
        InstanceKey {
            cluster: self.cluster.clone(),
            instance: format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
        }
    }

    fn strategy(&mut self) -> Vec<PlacementStrategy> {
        let spread =
            |name: &str| PlacementStrategy::Spread(SpreadField::Attribute(name.to_owned()));
        let all = [
            spread("ecs.availability-zone"),
            spread("type"),
            spread("serial"),
            spread("rack"),
            spread("nowhere"),
            PlacementStrategy::Spread(SpreadField::Instance),
            PlacementStrategy::BinpackCpu,
            PlacementStrategy::BinpackMemory,
            PlacementStrategy::Random,
        ];
        (0..self.below(4)).map(|_| self.one_of(&all)).collect()
    }

    fn rules(&mut self) -> Rules {
        let members = (0..self.below(3))
            .filter(|n| n % 2 == 0)
            .map(|_| {
                self.one_of(&[
                    "attribute:type in [1, 2] or attribute:flag exists",
                    "attribute:ecs.availability-zone != 1",
                    "not(task:group == service:web)",
                    "task:group == family:web or attribute:type == 1",
                    "runningTasksCount < 3 and attribute:serial =~ '[0-6]'",
                    "ec2InstanceId in [i-1, i-2, i-3] or attribute:type !exists",
                    "attribute:flag == nowhere",
                    "attribute:flag not_exists and attribute:rack == 3",
                    "attribute:rack in [1, 2, 70] or task:group in [other, family:web]",
                    "attribute:rack =~ '1.?'",
                    "attribute:rack !~ '[12].?' and attribute:rack > 4",
                    "agentVersion >= 1.1.0 or registeredAt > 1970-01-01",
                    "ec2InstanceId == i-7 or attribute:serial == 5 or task:group == other",
                    "attribute:rack exists and task:group != other",
                ])
            })
            .map(|text| Expression::parse(text).unwrap())
            .collect();
        Rules { distinct: self.below(5) == 0, members }
    }
}

/// Both boards place the same tasks, one after the other; what is placed is then true.
fn play(world: &mut World, count: u32) -> Result<(), TestCaseError> {
    let strategy = world.strategy();
    let rules = world.rules();
    let gpus = if world.below(4) == 0 { vec![world.below(3), 1] } else { vec![0] };
    let needs = Resources {
        cpu: 8 * world.below(8),
        memory: 8 * world.below(8),
        ports: world.ports(4),
        ..Resources::default()
    };
    let attributes: Vec<String> = if world.below(5) == 0 {
        vec![world.one_of(&["flag", "type=2", "flag=", "rack=3", "serial"]).to_owned()]
    } else {
        Vec::new()
    };
    let group_name = world.one_of(&["service:web", "family:web", "other"]).to_owned();
    let external = if world.below(8) == 0 { LaunchType::External } else { LaunchType::Ec2 };
    let (cluster, family, service) =
        (world.cluster.clone(), world.family.clone(), world.service.clone());
    let state = world.state.clone();
    let wish = || Wish {
        cluster: &cluster,
        launch_type: external,
        provider: None,
        needs: &needs,
        gpus: gpus.clone(),
        attributes: &attributes,
        more_attributes: &[],
        rules: rules.clone(),
        group: match group_name.as_str() {
            "service:web" => Group::Service(&service),
            name => Group::Named(name, &family),
        },
        strategy: strategy.clone(),
    };
    let (mut board, mut plain) = (Board::new(&state, wish()), naive::Board::new(&state, wish()));
    let random = strategy.contains(&PlacementStrategy::Random);
    let mut dice = SeededEntropy::new(u64::from(world.below(1 << 20)));
    for n in 0..count {
        let choices = plain.choices(&mut dice);
        let found = board.place(&mut dice);
        if n == 0 {
            let possible = somewhere(&state, &wish());
            prop_assert_eq!(possible.is_ok(), found.is_ok(), "{:?}", wish());
        }
        let expected = match &found {
            Ok(place) if random => {
                prop_assert!(choices.contains(&place.instance), "{place:?} of {choices:?}");
                plain.place_on(&place.instance)
            }
            Ok(_) | Err(_) => plain.place(&mut dice),
        };
        let told = |failure: Failure| {
            (failure.instance, failure.reason, failure.shortfalls, failure.detail)
        };
        prop_assert_eq!(
            found.clone().map_err(told),
            expected.map_err(told),
            "the {}th of {:?}",
            n,
            wish()
        );
        let Ok(place) = found else { break };
        let facts = world.facts(&group_name, &needs, &place);
        world.state.apply(&Change::PutTask(Arc::new(facts)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_index_decides_as_a_look_at_every_instance_does(
        seed in any::<u64>(),
        instances in 0..24_u64,
    ) {
        let mut world = World::new(seed, instances, 5);
        for _ in 0..12 {
            let count = 1 + world.below(9);
            play(&mut world, count)?;
            world.pass_time();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn it_does_so_where_attributes_have_too_many_values_for_classes(
        seed in any::<u64>(),
        racks in 66..80_u64,
    ) {
        // So many that racks have come to a look of the fleet since they were too many for classes.
        let mut world = World::new(seed, 450, racks);
        let fleet = world.state.fleet(&CLUSTER.into()).unwrap();
        let is_ordered = |name| fleet.division(name).map(|(_, of)| of.is_ordered());
        prop_assert_eq!((is_ordered("rack"), is_ordered("serial")), (Some(true), Some(false)));
        for _ in 0..40 {
            let count = 1 + world.below(9);
            play(&mut world, count)?;
            world.pass_time();
        }
    }
}

#[test]
fn chance_is_fair() {
    let mut world = World::new(3, 40, 5);
    let cluster: ClusterName = CLUSTER.into();
    let (family, needs) =
        (Family::from("web"), Resources { cpu: 64, memory: 64, ..Resources::default() });
    let wish = Wish {
        cluster: &cluster,
        launch_type: LaunchType::Ec2,
        provider: None,
        needs: &needs,
        gpus: vec![0],
        attributes: &[],
        more_attributes: &[],
        rules: Rules::default(),
        group: Group::Named("family:web", &family),
        strategy: vec![PlacementStrategy::Random],
    };
    let state = world.state.clone();
    let mut counts = std::collections::BTreeMap::<InstanceId, u32>::new();
    let choices = naive::Board::new(&state, wish).choices(&mut world.dice);
    for _ in 0..choices.len() * 100 {
        let wish = Wish {
            cluster: &cluster,
            launch_type: LaunchType::Ec2,
            provider: None,
            needs: &needs,
            gpus: vec![0],
            attributes: &[],
            more_attributes: &[],
            rules: Rules::default(),
            group: Group::Named("family:web", &family),
            strategy: vec![PlacementStrategy::Random],
        };
        let place = Board::new(&state, wish).place(&mut world.dice).unwrap();
        *counts.entry(place.instance).or_default() += 1;
    }
    assert_eq!(counts.len(), choices.len());
    assert!(counts.values().all(|count| (50..150).contains(count)), "{counts:?}");
}
