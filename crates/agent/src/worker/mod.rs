//! One tokio task for each ECS task: it asks [`step`] what to do, has it done, and notes what came
//! of it. Nothing on the way from an order to the start of a program waits for a disk or a timer.

mod act;
mod fetch;
mod meta;
mod network;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use runtime::Runtime;
use shell::{Clock, Shutdown};
use stdx::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::awslogs::{ShipAs, Shipper};
use crate::board::Board;
use crate::calls::Calls;
use crate::cleanup::Tracked;
use crate::endpoints::Directory;
use crate::fluent::Forwarder;
use crate::images::Images;
use crate::networking::Networking;
use crate::plan::LogPlan;
use crate::record::{Recorder, log_file, log_target_file, order_file, state_file};
use crate::reports::Reports;
use crate::roles::Roles;
use crate::task::{Action, Happening, Limits, LogState, Run, SandboxState, Step, TaskView, step};

/// What every worker needs.
pub(crate) struct Context {
    pub(crate) cluster: String,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) networking: Arc<dyn Networking>,
    pub(crate) calls: Arc<dyn Calls>,
    pub(crate) images: Images,
    /// What tasks ask at `169.254.170.2`.
    pub(crate) directory: Arc<Directory>,
    /// The images that tasks have had.
    pub(crate) tracked: Tracked,
    /// The newest credentials of the tasks' roles.
    pub(crate) roles: Roles,
    pub(crate) reports: Reports,
    pub(crate) recorder: Recorder,
    pub(crate) board: Board,
    pub(crate) shutdown: Shutdown,
}

/// What sends a container's output.
enum Sender {
    AwsLogs(Shipper),
    Fluent(Forwarder),
}

/// Drives one task.
pub(crate) struct Worker {
    context: Arc<Context>,
    view: TaskView,
    mailbox: mpsc::UnboundedReceiver<Happening>,
    mail: mpsc::UnboundedSender<Happening>,
    /// What is under way. Dropped with the worker, and asked for again by the next.
    under_way: JoinSet<()>,
    pulls: BTreeMap<usize, AbortHandle>,
    /// Those whose logs are sent, and how they learn that the container is over.
    shippers: BTreeMap<usize, watch::Sender<bool>>,
}

impl Worker {
    /// A worker that has not begun, and what its mail is sent through.
    pub(crate) fn new(
        context: Arc<Context>,
        view: TaskView,
    ) -> (Self, mpsc::UnboundedSender<Happening>) {
        let (mail, mailbox) = mpsc::unbounded_channel();
        let worker = Self {
            context,
            view,
            mailbox,
            mail: mail.clone(),
            under_way: JoinSet::new(),
            pulls: BTreeMap::new(),
            shippers: BTreeMap::new(),
        };
        (worker, mail)
    }

    /// Works until the task can be forgotten or the agent goes down.
    pub(crate) async fn run(mut self) {
        let mut shutdown = self.context.shutdown.clone();
        loop {
            let Some(until) = self.take_steps() else {
                self.forget();
                return;
            };
            self.tell();
            tokio::select! {
                () = shutdown.wait() => return,
                happening = self.mailbox.recv() => {
                    let mut next = happening;
                    while let Some(happening) = next {
                        self.view.apply(happening, self.context.clock.now());
                        next = self.mailbox.try_recv().ok();
                    }
                }
                () = sleep_until(until, self.context.clock.now()) => {}
                _ = self.under_way.join_next(), if !self.under_way.is_empty() => {}
            }
        }
    }

    /// Begins everything that is due. None if nothing ever will be.
    fn take_steps(&mut self) -> Option<Option<Timestamp>> {
        loop {
            let now = self.context.clock.now();
            match step(&self.view, &self.context.limits, now) {
                Step::Do(action) => {
                    self.view.begin(&action, now);
                    self.begin(action);
                }
                Step::WaitUntil(until) => {
                    self.ship();
                    return Some(until);
                }
                Step::Settled => return None,
            }
        }
    }

    fn begin(&mut self, action: Action) {
        if let Action::Skip { container, .. } = action {
            // Nobody waits for its image any more.
            if let Some(pull) = self.pulls.remove(&container) {
                pull.abort();
            }
            return;
        }
        if action == Action::RemoveSandbox {
            for (_, plan, state) in self.view.containers() {
                if state.logs == LogState::Ready && state.started_at.is_some() {
                    let (container, waited) = (&plan.id, self.context.limits.log_drain);
                    tracing::error!(%container, ?waited, "Output that could not be sent is lost.");
                }
            }
        }
        let pull = if let Action::PullImage(container) = action { Some(container) } else { None };
        let (context, mail) = (Arc::clone(&self.context), self.mail.clone());
        let doing = act::perform(context, &self.view, action);
        let handle = self.under_way.spawn(async move {
            let happening = doing.await;
            // The worker may be gone: then its successor asks again.
            drop(mail.send(happening));
        });
        if let Some(container) = pull {
            self.pulls.insert(container, handle);
        }
    }

    /// Has the logs of every container that has begun sent, and tells the end of those that are over.
    fn ship(&mut self) {
        for (index, plan, state) in self.view.containers() {
            if !matches!(plan.log, LogPlan::AwsLogs(_) | LogPlan::Fluent(_)) {
                continue;
            }
            let over = matches!(state.run, Run::Over(_));
            if let Some(shipper) = self.shippers.get(&index) {
                shipper.send_replace(over);
                continue;
            }
            if state.logs != LogState::Ready || state.started_at.is_none() {
                continue;
            }
            let (told, over) = watch::channel(over);
            let id = plan.id.as_str();
            let from = Shipper::start(&self.context.recorder, id);
            let tail = self.context.runtime.log_path(&self.view.plan.sandbox.id, &plan.id);
            let sender = self.sender(id, &plan.log, over);
            let mail = self.mail.clone();
            self.under_way.spawn(async move {
                if let (Some(path), Some(sender)) = (tail, sender) {
                    let tail = Box::new(runtime::log::LogReader::open(path, from));
                    match sender {
                        Sender::AwsLogs(shipper) => shipper.run(tail).await,
                        Sender::Fluent(forwarder) => forwarder.run(tail).await,
                    }
                }
                drop(mail.send(Happening::LogsShipped(index)));
            });
            self.shippers.insert(index, told);
        }
    }

    /// What sends a container's output, if anything of the agent's does.
    fn sender(&self, id: &str, log: &LogPlan, over: watch::Receiver<bool>) -> Option<Sender> {
        let recorder = self.context.recorder.clone();
        let container = id.to_owned();
        match log {
            LogPlan::AwsLogs(logs) => {
                recorder.write(&log_target_file(id), logs);
                let role = self.view.plan.order.execution_role.as_ref();
                let role = role.map(|role| ShipAs {
                    roles: self.context.roles.clone(),
                    credentials_id: role.credentials_id.clone(),
                });
                let (calls, logs) = (Arc::clone(&self.context.calls), logs.clone());
                Some(Sender::AwsLogs(Shipper { calls, role, recorder, container, logs, over }))
            }
            LogPlan::Fluent(to) => {
                Some(Sender::Fluent(Forwarder { to: to.clone(), recorder, container, over }))
            }
            LogPlan::None | LogPlan::Files | LogPlan::Driver => None,
        }
    }

    /// Writes down what has changed, and shows it to the rest of the agent.
    fn tell(&self) {
        if self.context.board.show(&self.view) {
            self.context.recorder.write(&state_file(&self.view.plan.id), &self.view.state);
            // Whoever runs may ask; whoever is over and removed cannot.
            if self.view.state.sandbox == SandboxState::Gone {
                self.context.directory.remove_task(&self.view.plan.id);
            } else {
                self.context.directory.put_task(meta::snapshot(&self.view, &self.context.cluster));
            }
        }
    }

    fn forget(&self) {
        let recorder = &self.context.recorder;
        // The order first: without it the rest is nobody's, and with it alone the task would begin
        // anew.
        recorder.remove(&order_file(&self.view.plan.id));
        for plan in &self.view.plan.containers {
            recorder.remove(&log_file(plan.id.as_str()));
            recorder.remove(&log_target_file(plan.id.as_str()));
        }
        recorder.remove(&state_file(&self.view.plan.id));
        self.context.directory.remove_task(&self.view.plan.id);
        self.context.roles.forget(&self.view.plan.id);
        self.context.board.remove(&self.view.plan.id);
    }
}

async fn sleep_until(until: Option<Timestamp>, now: Timestamp) {
    match until {
        // A clock that is set back must not keep a task waiting for long.
        Some(until) => tokio::time::sleep(until.since(now).min(Duration::from_secs(60))).await,
        None => std::future::pending().await,
    }
}
