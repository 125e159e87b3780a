//! What holds for every task, whatever happens in whatever order.

use proptest::prelude::*;
use serde_json::{Value, json};

use runtime::Health;
use stdx::Timestamp;

use super::tests::{LIMITS, at, done, exit, view};
use super::*;

/// A task of one to four containers that depend on earlier ones only.
fn tasks() -> impl Strategy<Value = Value> {
    let condition = prop::sample::select(vec!["START", "COMPLETE", "SUCCESS", "HEALTHY"]);
    let container = (
        any::<bool>(),
        prop::collection::vec((any::<prop::sample::Index>(), condition), 0..2),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(vec!["", "secret", "login", "link"]),
    );
    prop::collection::vec(container, 1..5).prop_map(|containers| {
        let definitions = containers.into_iter().enumerate().map(|(index, container)| {
            let (essential, depends, healthy, restart, logs, more) = container;
            let depends: Vec<Value> = depends
                .into_iter()
                .filter(|_| index > 0)
                .map(|(other, condition)| {
                    json!({"containerName": format!("c{}", other.index(index)), "condition": condition})
                })
                .collect();
            let mut definition = json!({"name": format!("c{index}"), "image": "i",
                "essential": essential || index == 0, "dependsOn": depends, "startTimeout": 5});
            if healthy {
                definition["healthCheck"] = json!({"command": ["CMD", "ok"]});
            }
            if restart {
                definition["restartPolicy"] = json!({"enabled": true, "restartAttemptPeriod": 60});
            }
            if logs {
                definition["logConfiguration"] =
                    json!({"logDriver": "awslogs", "options": {"awslogs-group": "g"}});
            }
            match more {
                "secret" => {
                    definition["secrets"] = json!([{"name": "S", "valueFrom": "/s"}]);
                }
                "login" => {
                    definition["repositoryCredentials"] = json!({"credentialsParameter": "r"});
                }
                "link" if index > 0 => definition["links"] = json!(["c0:first"]),
                _ => {}
            }
            definition
        });
        Value::Array(definitions.collect())
    })
}

/// What chance does next.
#[derive(Clone, Debug)]
enum Turn {
    /// An action under way succeeds.
    Succeed(prop::sample::Index),
    /// An action under way fails, if it can.
    Fail(prop::sample::Index),
    /// A container ends by itself.
    Exit(prop::sample::Index, u8),
    /// A health check changes its verdict.
    Health(prop::sample::Index, bool),
    /// Time passes.
    Wait(u16),
    /// The server wants it stopped.
    Stop,
    /// What watches over it dies.
    Lose,
    /// The agent is away for a moment, and finds everything as it was.
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let index = any::<prop::sample::Index>;
    let turn = prop_oneof![
        10 => index().prop_map(Turn::Succeed),
        2 => index().prop_map(Turn::Fail),
        3 => (index(), any::<u8>()).prop_map(|(i, c)| Turn::Exit(i, c % 3)),
        2 => (index(), any::<bool>()).prop_map(|(i, h)| Turn::Health(i, h)),
        2 => any::<u16>().prop_map(Turn::Wait),
        1 => Just(Turn::Stop),
        1 => Just(Turn::Lose),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 0..60)
}

/// What failure of an action is; those that the shell repeats until they succeed have none.
fn failed(action: &Action) -> Option<Happening> {
    let why = || "Error: no".to_owned();
    Some(match action {
        Action::CreateSandbox => Happening::SandboxFailed(why()),
        Action::FetchResources => Happening::FetchFailed(why()),
        Action::AttachNetwork => Happening::AttachFailed(why()),
        Action::PrepareLogs(at) => Happening::LogsFailed(*at, why()),
        Action::PullImage(at) => Happening::ImageFailed(*at, why()),
        Action::StartContainer(at) => Happening::StartFailed(*at, why()),
        Action::ClearContainer(at) => Happening::ClearFailed(*at, why()),
        _ => return None,
    })
}

/// A task, what is under way for it, and what must hold of it.
struct World {
    view: TaskView,
    under_way: Vec<Action>,
    now: Timestamp,
    forgotten: bool,
}

impl World {
    fn take_steps(&mut self) {
        for _ in 0..100 {
            let before = self.view.clone();
            let action = match step(&self.view, &LIMITS, self.now) {
                Step::Do(action) => action,
                Step::WaitUntil(_) => return,
                Step::Settled => {
                    self.forgotten = true;
                    return;
                }
            };
            self.check_action(&action);
            self.view.begin(&action, self.now);
            self.check_moves(&before);
            match action {
                Action::Skip { .. } => {}
                action => self.under_way.push(action),
            }
        }
        panic!("never at rest: {:?}", self.view.state);
    }

    fn check_action(&self, action: &Action) {
        match action {
            Action::StartContainer(at) => {
                assert!(!self.view.stopping());
                let needs = &self.view.plan.containers[*at].needs;
                let ready = self.view.state.resources == Resources::Ready;
                assert!(needs.is_empty() || ready, "started without its secrets");
                for dependency in &self.view.plan.containers[*at].depends_on {
                    let other = &self.view.state.containers[dependency.container];
                    assert!(other.started_at.is_some(), "started before what it depends on");
                }
            }
            Action::StopContainer(at) => {
                assert!(self.view.stopping());
                for other in self.view.plan.dependents(*at) {
                    let run = &self.view.state.containers[other].run;
                    assert!(
                        matches!(run, Run::Waiting | Run::Over(_)),
                        "stopped before its dependent"
                    );
                }
            }
            Action::Report(report) => {
                assert!(!self.under_way.iter().any(|a| matches!(a, Action::Report(_))));
                let told = &self.view.state.reported;
                assert!(report.tells.task >= told.task, "a report goes back");
            }
            Action::PullImage(at) => {
                let login = self.view.plan.containers[*at].needs.registry.is_some();
                let ready = self.view.state.resources == Resources::Ready;
                assert!(!login || ready, "pulled without its password");
            }
            Action::FetchResources => {
                assert!(!self.under_way.contains(&Action::FetchResources));
                assert!(self.view.plan.needs_anything());
            }
            Action::RemoveSandbox => {
                assert_eq!(self.view.state.reported.task, Some(Status::Stopped));
            }
            _ => {}
        }
    }

    fn check_moves(&self, before: &TaskView) {
        assert!(self.view.state.status >= before.state.status, "the task goes back");
        assert!(!before.stopping() || self.view.stopping(), "the task stops no more");
        for (now, then) in self.view.state.containers.iter().zip(&before.state.containers) {
            assert!(now.status() >= then.status(), "a container goes back");
            assert!(then.end().is_none() || now.end() == then.end(), "an end changes");
        }
    }

    fn apply(&mut self, happening: Happening) {
        let before = self.view.clone();
        self.view.apply(happening, self.now);
        self.check_moves(&before);
        self.take_steps();
    }

    fn succeed(&mut self, at: usize) {
        let action = self.under_way.remove(at);
        let happening = done(&action, self.now).expect("every action ends");
        self.apply(happening);
    }

    fn play(&mut self, turn: Turn) {
        let count = self.view.state.containers.len();
        match turn {
            Turn::Succeed(i) if !self.under_way.is_empty() => {
                self.succeed(i.index(self.under_way.len()));
            }
            Turn::Fail(i) if !self.under_way.is_empty() => {
                let at = i.index(self.under_way.len());
                if let Some(happening) = failed(&self.under_way[at]) {
                    self.under_way.remove(at);
                    self.apply(happening);
                }
            }
            Turn::Exit(i, code) => {
                self.apply(Happening::Exited(i.index(count), exit(i32::from(code), self.now)));
            }
            Turn::Health(i, healthy) => {
                let verdict = if healthy { Health::Healthy } else { Health::Unhealthy };
                self.apply(Happening::Health(i.index(count), verdict, self.now));
            }
            Turn::Wait(seconds) => {
                self.now = self.now + std::time::Duration::from_secs(u64::from(seconds) / 256);
                self.take_steps();
            }
            Turn::Stop => self.apply(Happening::Wanted(Desired::Stopped)),
            Turn::Lose => self.apply(Happening::SandboxLost),
            Turn::Restart => self.restart(),
            Turn::Succeed(_) | Turn::Fail(_) => {}
        }
    }

    /// The agent dies, and another reads what was written down and finds the containers as they are.
    fn restart(&mut self) {
        let before = self.view.clone();
        let text = serde_json::to_string(&self.view.state).unwrap();
        self.view.state = serde_json::from_str(&text).unwrap();
        let containers = self.view.containers().filter_map(|(_, plan, state)| {
            let pid = match state.run {
                Run::Running { .. } | Run::Stopping { .. } => Some(7),
                _ => return None,
            };
            Some(runtime::ContainerStatus {
                id: plan.id.clone(),
                pid,
                started_at: state.started_at,
                exit: None,
                health: state.health,
            })
        });
        let found = runtime::SandboxStatus {
            spec: self.view.plan.sandbox.clone(),
            alive: true,
            containers: containers.collect(),
        };
        let there = matches!(self.view.state.sandbox, SandboxState::Ready | SandboxState::Removing);
        self.under_way.clear();
        self.view.given = Arc::default();
        self.view.recover(there.then_some(&found), self.now);
        self.check_moves(&before);
        self.take_steps();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_task_settles_and_none_goes_back(containers in tasks(), turns in turns()) {
        let mut world =
            World { view: view(containers), under_way: Vec::new(), now: at(0), forgotten: false };
        world.take_steps();
        for turn in turns {
            if world.forgotten {
                break;
            }
            world.play(turn);
        }
        if !world.forgotten {
            world.apply(Happening::Wanted(Desired::Stopped));
        }
        while !world.under_way.is_empty() {
            world.succeed(0);
        }
        for _ in 0..3 {
            world.now = world.now + LIMITS.remember;
            if !world.forgotten {
                world.take_steps();
            }
            while !world.under_way.is_empty() {
                world.succeed(0);
            }
        }
        prop_assert!(world.forgotten, "{:?}", world.view.state);
        prop_assert_eq!(world.view.state.status, Status::Stopped);
        prop_assert_eq!(world.view.state.reported.task, Some(Status::Stopped));
    }
}
