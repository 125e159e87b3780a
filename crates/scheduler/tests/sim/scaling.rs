//! Services that follow their load: metrics are made of a load and of the tasks that run, second by
//! second, and the history that comes of it is compared whole.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{
    Adjustment, CustomMetric, Finite, MetricStat, NotScaledCode, PolicyKind, ScalingPolicyKey,
    ScheduledActionKey, Step, StepScaling, TargetTracking, TrackedMetric,
};
use proptest::prelude::*;
use scheduler::scaling::{
    AlarmFired, Answer, NewAction, NewScalingPolicy, TargetBounds, asks, due, looks,
    parse_schedule, watch,
};
use scheduler::{Command, Rejection, Reply, ScalingCommand, ScalingRejection};
use stdx::Timestamp;

use crate::build::{create, service, spec, update};
use crate::world::{Image, World};

const CPU: TrackedMetric = TrackedMetric::Cpu { high_resolution: false };

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn bounds(min: u32, max: u32) -> TargetBounds {
    TargetBounds {
        service: service("web"),
        min: Some(min),
        max: Some(max),
        suspend_in: None,
        suspend_out: None,
        suspend_scheduled: None,
        tags: None,
    }
}

fn tracking(target: f64, cooldown: u64) -> TargetTracking {
    TargetTracking {
        target: Finite::new(target).expect("a number"),
        metric: CPU,
        out_cooldown: secs(cooldown),
        in_cooldown: secs(cooldown),
        disable_scale_in: false,
        cooldowns_given: (true, true),
        alarm_ids: Default::default(),
    }
}

fn policy(name: &str) -> ScalingPolicyKey {
    ScalingPolicyKey { service: service("web"), name: name.into() }
}

/// A service with metrics.
struct Stage {
    world: World,
    start: Timestamp,
    /// By policy, what has been measured.
    series: BTreeMap<ScalingPolicyKey, Vec<(Timestamp, f64)>>,
}

impl Stage {
    fn new(tasks: u32, (min, max): (u32, u32)) -> Self {
        let mut world = World::new(7);
        world.join("a", 100_000, 100_000);
        world.define("web", spec("web:1"), Image::Good);
        world.must(Command::CreateService(create("web", "web:1", tasks)));
        world.pass(secs(120));
        let start = world.now;
        let mut stage = Self { world, start, series: BTreeMap::new() };
        stage.must(ScalingCommand::Register(bounds(min, max)));
        stage
    }

    fn must(&mut self, command: ScalingCommand) {
        self.world.must(Command::Scaling(command));
    }

    fn put(&mut self, name: &str, kind: PolicyKind) {
        self.must(ScalingCommand::PutPolicy(NewScalingPolicy { key: policy(name), kind }));
    }

    fn track(&mut self, name: &str, target: f64, cooldown: u64) {
        self.put(name, PolicyKind::TargetTracking(tracking(target, cooldown)));
    }

    fn desired(&self) -> u32 {
        self.world.state.service(&service("web")).expect("it is there").desired_count
    }

    fn running(&self) -> f64 {
        f64::from(self.world.state.service_counts(&service("web")).0)
    }

    /// A second in which each policy's metric is what `load` makes of the tasks that run, or nothing.
    fn second(&mut self, load: &dyn Fn(&str, f64) -> Option<f64>) {
        self.world.pass(secs(1));
        let (now, running) = (self.world.now, self.running());
        let at = Timestamp::from_millis(now.as_secs() * 1000) - secs(1);
        let mut answers = Vec::new();
        for ask in asks(&self.world.state) {
            let points = self.series.entry(ask.policy.clone()).or_default();
            if let Some(value) = load(ask.policy.name.as_str(), running) {
                points.push((at, value));
            }
            let kept = points.partition_point(|(at, _)| *at < now - looks()[1]);
            points.drain(..kept);
            answers.push(Answer { policy: ask.policy, points: points.clone() });
        }
        for command in watch(&self.world.state, now, &answers) {
            match self.world.submit(&Command::Scaling(command.clone())) {
                Ok(_) | Err(Rejection::Stale) => {}
                Err(other) => panic!("{command:?}: {other:?}"),
            }
        }
    }

    fn seconds(&mut self, count: u64, load: &dyn Fn(&str, f64) -> Option<f64>) {
        (0..count).for_each(|_| self.second(load));
    }

    /// The activities, oldest first: when, what, by what, and why not.
    fn history(&self) -> Vec<String> {
        let book = self.world.state.scaling();
        let mut all: Vec<String> = book
            .activities(&service("web"))
            .map(|a| {
                let at = a.started_at.since(self.start).as_secs();
                let why: Vec<String> =
                    a.not_scaled.iter().map(|why| format!(" {:?}", why.code)).collect();
                format!("{at} s: {} {:?}{}", a.description, a.status, why.concat())
            })
            .collect();
        all.reverse();
        all
    }
}

/// So much percent of CPU, shared by the tasks; one task has no more than 100.
fn shared(total: f64) -> impl Fn(&str, f64) -> Option<f64> {
    move |_, running| (running > 0.0).then(|| (total / running).min(100.0))
}

#[test]
fn a_service_follows_its_load_up_and_down() {
    let mut stage = Stage::new(2, (1, 10));
    stage.track("cpu", 50.0, 10);
    stage.seconds(30, &shared(80.0));
    stage.seconds(120, &shared(300.0));
    stage.seconds(200, &shared(30.0));
    assert_eq!(
        stage.history(),
        [
            "38 s: Setting desired count to 4. Successful",
            "50 s: Setting desired count to 6. Successful",
            "218 s: Setting desired count to 1. Successful",
        ]
    );
    let activities = stage.world.state.scaling();
    let newest = activities.activities(&service("web")).next().unwrap();
    assert!(newest.cause.starts_with("monitor alarm TargetTracking-service/default/web-AlarmLow-"));
    assert!(
        newest.cause.ends_with(
            " in state ALARM triggered policy cpu. Over the last 60 s CPUUtilization was at most 5 \
             with 6 tasks, below 45, which is 90 % of the target 50; 6 * 5 / 45 makes 1."
        ),
        "{}",
        newest.cause
    );
    let events: Vec<&str> =
        stage.world.state.events(&service("web")).map(|e| e.message.as_str()).collect();
    assert!(events.iter().any(|e| e.starts_with("(service web) has set desired count to 6.")));
}

#[test]
fn a_cooldown_lets_only_a_larger_scale_out_follow() {
    let mut stage = Stage::new(2, (1, 20));
    stage.track("cpu", 50.0, 300);
    // 100 % of two: four. Then 70 % of four would be six; two of them are there already.
    stage.seconds(15, &|_, running| Some(if running < 3.0 { 100.0 } else { 70.0 }));
    assert_eq!(stage.desired(), 4);
    stage.seconds(60, &|_, _| Some(70.0));
    assert_eq!(stage.desired(), 4);
    // 90 % of four would be eight: two more than what is in the cooldown.
    stage.seconds(15, &|_, _| Some(45.0));
    stage.seconds(15, &|_, running| Some(if running < 5.0 { 100.0 } else { 50.0 }));
    assert_eq!(stage.desired(), 6);
    stage.seconds(400, &|_, _| Some(60.0));
    assert_eq!(stage.desired(), 8);
}

#[test]
fn bounds_hold_and_are_told_once() {
    let mut stage = Stage::new(2, (2, 3));
    stage.track("cpu", 50.0, 0);
    stage.seconds(120, &shared(600.0));
    stage.seconds(200, &shared(0.0));
    let history = stage.history();
    assert_eq!(
        history,
        [
            "10 s: Setting desired count to 3. Successful",
            "22 s: Attempting to scale due to alarm triggered Failed AtMax",
            "188 s: Setting desired count to 2. Successful",
            "260 s: Attempting to scale due to alarm triggered Failed AtMin",
        ]
    );
}

#[test]
fn without_data_nothing_moves() {
    let mut stage = Stage::new(4, (1, 10));
    stage.track("cpu", 50.0, 0);
    stage.seconds(300, &|_, _| None);
    assert_eq!((stage.desired(), stage.history().len()), (4, 0));
    // It stops arriving while it is low.
    stage.seconds(30, &|_, _| Some(1.0));
    stage.seconds(300, &|_, _| None);
    assert_eq!(stage.desired(), 4);
}

#[test]
fn all_policies_have_to_agree_on_fewer_and_one_is_enough_for_more() {
    let mut stage = Stage::new(4, (1, 20));
    stage.track("cpu", 50.0, 0);
    stage.track("memory", 50.0, 0);
    let by_name = |cpu: Option<f64>, memory: Option<f64>| {
        move |name: &str, _: f64| if name == "cpu" { cpu } else { memory }
    };
    stage.seconds(100, &by_name(Some(10.0), None));
    assert_eq!(stage.desired(), 4, "one has no data");
    stage.seconds(100, &by_name(Some(10.0), Some(46.0)));
    assert_eq!(stage.desired(), 4, "one is not low");
    stage.seconds(100, &by_name(Some(10.0), Some(30.0)));
    assert_eq!(stage.desired(), 3, "the larger count wins");
    stage.seconds(12, &|name, running| {
        (name == "cpu").then_some(if running < 4.0 { 100.0 } else { 50.0 })
    });
    assert_eq!(stage.desired(), 5, "one is enough");
    // A policy that does not scale in still keeps what it needs.
    let kind = TargetTracking { disable_scale_in: true, ..tracking(50.0, 0) };
    stage.put("memory", PolicyKind::TargetTracking(kind));
    stage.seconds(100, &by_name(Some(5.0), Some(40.0)));
    assert_eq!(stage.desired(), 4);
}

#[test]
fn nothing_scales_in_while_it_is_deployed_or_suspended() {
    let mut stage = Stage::new(4, (1, 10));
    stage.track("cpu", 50.0, 0);
    stage.must(ScalingCommand::Register(TargetBounds {
        suspend_in: Some(true),
        suspend_out: Some(true),
        ..bounds(1, 10)
    }));
    stage.seconds(100, &|_, _| Some(1.0));
    stage.seconds(30, &|_, _| Some(100.0));
    assert_eq!((stage.desired(), stage.history().len()), (4, 0));
    stage.must(ScalingCommand::Register(TargetBounds { suspend_in: Some(false), ..bounds(1, 10) }));
    // A deployment that does not come to its end.
    stage.world.define("web", spec("web:2"), Image::Missing);
    let mut to = update("web");
    to.definition = Some(crate::build::definition("web:2"));
    stage.world.must(Command::UpdateService(to));
    stage.seconds(100, &|_, _| Some(1.0));
    assert_eq!(stage.desired(), 4);
}

#[test]
fn a_metric_of_minutes_is_waited_for() {
    let mut stage = Stage::new(1, (1, 10));
    let metric = TrackedMetric::Custom(CustomMetric {
        namespace: "Jobs".to_owned(),
        name: "Waiting".to_owned(),
        dimensions: Vec::new(),
        statistic: MetricStat::Average,
        unit: None,
    });
    let kind = TargetTracking { metric, ..tracking(10.0, 0) };
    stage.put("queue", PolicyKind::TargetTracking(kind));
    let clock = std::cell::Cell::new(0_u64);
    let minutes = |_: &str, _: f64| {
        clock.set(clock.get() + 1);
        clock.get().is_multiple_of(60).then_some(20.0)
    };
    stage.seconds(179, &minutes);
    assert_eq!(stage.desired(), 1);
    stage.seconds(2, &minutes);
    assert_eq!(stage.desired(), 2);
}

// === Bounds, schedules, alarms ===

#[test]
fn registering_moves_into_bounds_at_once_and_by_hand_is_left() {
    let mut stage = Stage::new(2, (3, 5));
    assert_eq!(stage.desired(), 3);
    let mut by_hand = update("web");
    by_hand.desired_count = Some(9);
    stage.world.must(Command::UpdateService(by_hand));
    stage.seconds(60, &|_, _| None);
    assert_eq!(stage.desired(), 9);
    assert_eq!(stage.history(), ["0 s: Setting desired count to 3. Overridden"]);
    stage.must(ScalingCommand::Register(bounds(3, 6)));
    assert_eq!(stage.desired(), 6);

    let refused = |stage: &mut Stage, command| match stage.world.submit(&Command::Scaling(command))
    {
        Err(Rejection::Scaling(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    let wrong = ScalingCommand::Register(TargetBounds { max: Some(1), ..bounds(2, 1) });
    assert_eq!(refused(&mut stage, wrong), ScalingRejection::Bounds { min: 2, max: 1 });
    let key = policy("none");
    let gone = ScalingCommand::DeletePolicy(key.clone());
    assert_eq!(refused(&mut stage, gone), ScalingRejection::NoPolicy(key));
    stage.must(ScalingCommand::Deregister(service("web")));
    let again = ScalingCommand::Deregister(service("web"));
    assert_eq!(refused(&mut stage, again), ScalingRejection::NoTarget(service("web")));
}

#[test]
fn a_deleted_service_scales_no_more() {
    let mut stage = Stage::new(2, (1, 5));
    stage.track("cpu", 50.0, 0);
    stage.must(action(&stage, "rate(1 minute)", Some(2), None));
    stage.world.must(Command::DeleteService { key: service("web"), force: true });
    let book = stage.world.state.scaling();
    assert_eq!((book.targets().count(), book.all_policies().count()), (0, 0));
    assert_eq!(book.all_actions().count(), 0);
}

fn action(_: &Stage, schedule: &str, min: Option<u32>, max: Option<u32>) -> ScalingCommand {
    let parsed = parse_schedule(schedule, None).expect("a schedule");
    ScalingCommand::PutAction(NewAction {
        key: ScheduledActionKey { service: service("web"), name: "timed".into() },
        schedule: Some((schedule.to_owned(), None, parsed)),
        starts: None,
        ends: None,
        bounds: Some((min, max)),
    })
}

#[test]
fn a_scheduled_action_runs_once_and_what_was_missed_too() {
    let mut stage = Stage::new(2, (1, 5));
    stage.must(action(&stage, "rate(1 minute)", Some(4), Some(8)));
    stage.seconds(59, &|_, _| None);
    assert_eq!(stage.desired(), 2);
    stage.seconds(2, &|_, _| None);
    assert_eq!(stage.desired(), 4);
    assert_eq!(
        stage.history(),
        [
            "60 s: Setting min capacity to 4 and max capacity to 8 Successful",
            "60 s: Setting desired count to 4. Successful",
        ]
    );
    // Nobody looked for an hour.
    stage.world.pass(secs(3600));
    stage.seconds(2, &|_, _| None);
    assert_eq!(stage.history().len(), 3);
    let key = ScheduledActionKey { service: service("web"), name: "timed".into() };
    let next = due(stage.world.state.scaling().action(&key).unwrap()).unwrap();
    assert!(next > stage.world.now);

    // Bounds that contradict those that are there.
    stage.must(action(&stage, "rate(1 minute)", Some(9), None));
    stage.seconds(61, &|_, _| None);
    let history = stage.history();
    assert!(history.last().unwrap().ends_with("Setting min capacity to 9 Failed"), "{history:?}");
    let past = action(&stage, "at(2001-01-01T00:00:00)", Some(1), None);
    let refused = stage.world.submit(&Command::Scaling(past));
    assert!(matches!(refused, Err(Rejection::Scaling(ScalingRejection::Invalid(_)))));
}

fn steps(
    adjustment: Adjustment,
    cooldown: u64,
    steps: &[(Option<f64>, Option<f64>, i32)],
) -> PolicyKind {
    let finite = |end: Option<f64>| end.and_then(Finite::new);
    let steps = steps.iter().map(|(lower, upper, by)| Step {
        lower: finite(*lower),
        upper: finite(*upper),
        by: *by,
    });
    PolicyKind::Steps(StepScaling {
        adjustment,
        steps: steps.collect(),
        min_magnitude: None,
        cooldown: secs(cooldown),
        cooldown_given: true,
        aggregation: None,
    })
}

#[test]
fn an_alarm_moves_by_its_step() {
    let mut stage = Stage::new(10, (1, 30));
    let up = steps(Adjustment::Change, 300, &[(Some(0.0), Some(10.0), 2), (Some(10.0), None, 3)]);
    stage.put("up", up);
    stage.put("down", steps(Adjustment::Percent, 300, &[(None, Some(0.0), -50)]));
    let fire = |stage: &mut Stage, name: &str, value: Option<f64>| {
        let (policy, alarm) = (policy(name), format!("{name}-alarm"));
        let fired = AlarmFired { policy, alarm, value, threshold: 60.0 };
        stage.world.submit(&Command::Scaling(ScalingCommand::AlarmFired(fired)))
    };
    let not_done = |result: Result<Reply, Rejection>| match result {
        Err(Rejection::Scaling(ScalingRejection::NotDone(why))) => why,
        other => panic!("{other:?}"),
    };
    assert!(fire(&mut stage, "up", Some(65.0)).is_ok());
    assert_eq!(stage.desired(), 12);
    stage.seconds(3, &|_, _| None);
    // AWS's example: a larger step within the cooldown adds the difference.
    assert!(not_done(fire(&mut stage, "up", Some(65.0))).contains("cooldown"));
    assert!(fire(&mut stage, "up", Some(75.0)).is_ok());
    assert_eq!(stage.desired(), 13);
    stage.seconds(3, &|_, _| None);
    assert!(fire(&mut stage, "down", Some(10.0)).is_ok());
    assert_eq!(stage.desired(), 7);
    stage.seconds(3, &|_, _| None);
    assert!(not_done(fire(&mut stage, "down", Some(10.0))).contains("cooldown"));
    // A scale-out ends the cooldown of a scale-in.
    assert!(fire(&mut stage, "up", Some(65.0)).is_ok());
    assert_eq!(stage.desired(), 9);
    assert!(not_done(fire(&mut stage, "up", Some(10.0))).contains("no step"));
    assert!(not_done(fire(&mut stage, "up", None)).contains("no value"));
    stage.must(ScalingCommand::Register(bounds(9, 9)));
    stage.seconds(400, &|_, _| None);
    assert!(fire(&mut stage, "up", Some(65.0)).is_ok());
    assert!(fire(&mut stage, "down", Some(10.0)).is_ok());
    let book = stage.world.state.scaling();
    let codes: Vec<NotScaledCode> = book
        .activities(&service("web"))
        .flat_map(|a| a.not_scaled.iter().map(|why| why.code))
        .collect();
    assert_eq!(codes, [NotScaledCode::AtMin, NotScaledCode::AtMax]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A constant load, seen with a noise of 5 %, is followed and then left alone.
    #[test]
    fn a_load_that_stays_makes_a_count_that_stays(
        start in 1_u32..12,
        load in 20.0_f64..900.0,
        noise in proptest::collection::vec(-0.05_f64..0.05, 97),
    ) {
        let mut stage = Stage::new(start, (1, 20));
        stage.track("cpu", 50.0, 5);
        let turn = std::cell::Cell::new(0_usize);
        let seen = |_: &str, running: f64| {
            turn.set(turn.get() + 1);
            let total = load * (1.0 + noise[turn.get() % noise.len()]);
            (running > 0.0).then(|| total / running)
        };
        stage.seconds(300, &seen);
        let settled = stage.desired();
        // Near the target, on the safe side, unless the bounds forbid it.
        let at = load / f64::from(settled);
        prop_assert!(at <= 50.0 * 1.06 || settled == 20, "{settled} tasks at {at}");
        let fewer = load / (f64::from(settled) - 1.0);
        prop_assert!(settled == 1 || fewer > 45.0 * 0.94, "{settled} tasks at {at}");
        let before = stage.world.state.scaling().activities(&service("web")).filter(|a| a.desired.is_some()).count();
        stage.seconds(300, &seen);
        let after = stage.world.state.scaling().activities(&service("web")).filter(|a| a.desired.is_some()).count();
        prop_assert_eq!((settled, before), (stage.desired(), after));
    }
}
