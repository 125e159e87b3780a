//! The node's tasks as a whole: taking orders, finding again what runs, passing on what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws::agent::acs;
use aws::ecs;
use runtime::{Event, RuntimeError, SandboxStatus};
use stdx::chain;
use tokio::sync::mpsc;

use crate::order::{Interface, Order, Role, task_id};
use crate::plan::{self, NodeFacts};
use crate::record::{order_file, state_file};
use crate::task::{Desired, Happening, Status, TaskView};
use crate::worker::{Context, Worker};

/// Orders follow a manifest at once; so long are they waited for.
const ORDERS_COME: Duration = Duration::from_secs(1);

/// The node's tasks.
pub(crate) struct Node {
    context: Arc<Context>,
    facts: NodeFacts,
    /// Tasks of which only the end is left to tell, and is being told.
    last_words: Mutex<BTreeSet<String>>,
}

impl Node {
    pub(crate) fn new(context: Arc<Context>, facts: NodeFacts) -> Arc<Self> {
        Arc::new(Self { context, facts, last_words: Mutex::default() })
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Finds again what an earlier agent left: tasks go on where they are, what nobody knows is
    /// removed.
    ///
    /// # Errors
    /// The runtime cannot tell what there is.
    pub(crate) async fn recover(self: &Arc<Self>) -> Result<(), RuntimeError> {
        let mut found: BTreeMap<String, SandboxStatus> = self
            .context
            .runtime
            .list()
            .await?
            .into_iter()
            .map(|status| (status.spec.id.as_str().to_owned(), status))
            .collect();
        let recorder = &self.context.recorder;
        let mut views = Vec::new();
        for id in recorder.tasks() {
            let Some(order) = recorder.read::<Order>(&order_file(&id)) else { continue };
            match plan::task(&order, &self.facts) {
                Ok(plan) => {
                    let mut view = TaskView::new(Arc::new(plan));
                    if let Some(state) = recorder.read(&state_file(&id)) {
                        view.state = state;
                    }
                    views.push((view, found.remove(&id)));
                }
                Err(refusal) => {
                    recorder.remove(&order_file(&id));
                    self.last_word(&order.arn, &order, &refusal.to_string());
                }
            }
        }
        let known: BTreeSet<String> = views.iter().map(|(view, _)| view.plan.id.clone()).collect();
        recorder.sweep(&known);
        let places = views.iter().flat_map(|(view, _)| {
            (0..view.plan.containers.len()).map(|container| view.plan.network_id(container))
        });
        let places = places.chain(known.iter().cloned()).collect();
        if let Err(error) = self.context.networking.retain(&places).await {
            let error = chain(&error);
            tracing::warn!(error, "Networks of tasks that are gone could not be taken back.");
        }
        for (mut view, sandbox) in views {
            view.recover(sandbox.as_ref(), self.context.clock.now());
            tracing::info!(task = view.plan.order.arn, status = ?view.state.status, "A task was found again.");
            self.begin(view);
        }
        for (id, stray) in found {
            tracing::warn!(sandbox = id, "A sandbox that belongs to no task is removed.");
            if let Err(error) = self.context.runtime.remove_sandbox(&stray.spec.id).await {
                let error = chain(&error);
                tracing::error!(sandbox = id, error, "It could not be removed.");
            }
        }
        Ok(())
    }

    /// Passes on what happens to containers, until the runtime ends.
    pub(crate) async fn pass_on(self: Arc<Self>, mut events: mpsc::UnboundedReceiver<Event>) {
        let board = &self.context.board;
        while let Some(event) = events.recv().await {
            match event {
                Event::Exited { sandbox, container, exit } => {
                    board.send_about(&sandbox, &container, |at| Happening::Exited(at, exit));
                }
                Event::Health { sandbox, container, health, at: since } => {
                    board.send_about(&sandbox, &container, |at| {
                        Happening::Health(at, health, since)
                    });
                }
                Event::SandboxLost { sandbox } => {
                    board.send(sandbox.as_str(), Happening::SandboxLost);
                }
            }
        }
    }

    /// Follows a payload: tasks to run begin at once. What is returned resolves once all of it is
    /// written down.
    pub(crate) fn follow(
        self: &Arc<Self>,
        tasks: Vec<acs::Task>,
    ) -> impl Future<Output = ()> + use<> {
        for task in tasks {
            match task.desired_status {
                acs::DesiredStatus::Running => self.run(task),
                acs::DesiredStatus::Stopped => self.stop(&task.arn),
                acs::DesiredStatus::Unrecognized(word) => {
                    tracing::warn!(
                        task = task.arn,
                        word,
                        "An order that is neither to run nor to stop."
                    );
                }
            }
        }
        let recorder = self.context.recorder.clone();
        async move { recorder.flushed().await }
    }

    fn run(self: &Arc<Self>, task: acs::Task) {
        self.credentials(&task);
        if self.context.board.send(task_id(&task.arn), Happening::Wanted(Desired::Running)) {
            return;
        }
        let arn = task.arn.clone();
        let order = match order(&self.context.cluster, task) {
            Ok(order) => order,
            Err(reason) => return self.last_word(&arn, &Order::default(), &reason),
        };
        match plan::task(&order, &self.facts) {
            Ok(plan) => {
                let view = TaskView::new(Arc::new(plan));
                let id = view.plan.id.clone();
                self.begin(view);
                self.context.recorder.write(&order_file(&id), &order);
            }
            Err(refusal) => self.last_word(&arn, &order, &refusal.to_string()),
        }
    }

    /// Takes the credentials that came with a task.
    fn credentials(&self, task: &acs::Task) {
        let both = [&task.role_credentials, &task.execution_role_credentials];
        for credentials in both.into_iter().flatten() {
            self.context.roles.put(&task.arn, credentials.clone());
        }
    }

    /// Ends a task. One that is not known has ended: that is told.
    pub(crate) fn stop(self: &Arc<Self>, arn: &str) {
        if !self.context.board.send(task_id(arn), Happening::Wanted(Desired::Stopped)) {
            let reason = "TaskStateError: Agent could not progress task's state to stopped";
            self.last_word(arn, &Order::default(), reason);
        }
    }

    fn begin(self: &Arc<Self>, view: TaskView) {
        let (worker, mail) = Worker::new(Arc::clone(&self.context), view.clone());
        if self.context.board.add(&view, mail) {
            tokio::spawn(worker.run());
        }
    }

    /// Tells the end of a task that never began here.
    fn last_word(self: &Arc<Self>, arn: &str, order: &Order, reason: &str) {
        let words = || self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        if !words().insert(arn.to_owned()) {
            return;
        }
        tracing::warn!(task = arn, reason, "A task ends before it has begun.");
        let containers = order.containers.iter().map(|container| ecs::ContainerStateChange {
            container_name: container.name.clone(),
            status: Some(Status::Stopped.as_str().to_owned()),
            ..Default::default()
        });
        let request = ecs::SubmitTaskStateChangeRequest {
            cluster: Some(self.context.cluster.clone()),
            task: Some(arn.to_owned()),
            status: Some(Status::Stopped.as_str().to_owned()),
            reason: Some(reason.chars().take(1024).collect()),
            containers: Some(containers.collect()),
            execution_stopped_at: Some(self.context.clock.now()),
            ..Default::default()
        };
        let (node, arn) = (Arc::clone(self), arn.to_owned());
        tokio::spawn(async move {
            node.context.reports.deliver(request).await;
            node.last_words.lock().unwrap_or_else(PoisonError::into_inner).remove(&arn);
        });
    }

    /// Looks, after the orders that may be on their way, for the tasks that the manifest says run
    /// here. One that is unknown then is gone, with its records: the node was taken down, or its
    /// data was removed. That is told, or the server would wait for its end for ever.
    pub(crate) fn look_for(self: &Arc<Self>, manifest: &[acs::TaskIdentifier]) {
        let unknown: Vec<String> = manifest
            .iter()
            .filter(|task| task.desired_status == acs::DesiredStatus::Running)
            .filter(|task| !self.context.board.knows(task_id(&task.task_arn)))
            .map(|task| task.task_arn.clone())
            .collect();
        if unknown.is_empty() {
            return;
        }
        let node = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(ORDERS_COME).await;
            for arn in unknown.iter().filter(|arn| !node.context.board.knows(task_id(arn))) {
                node.last_word(arn, &Order::default(), "The task is not on its instance any more.");
            }
        });
    }

    /// The tasks that run here, or are about to, though the manifest says that they should not.
    pub(crate) fn stop_candidates(
        &self,
        manifest: &[acs::TaskIdentifier],
    ) -> Vec<acs::TaskIdentifier> {
        let wanted: BTreeSet<&str> = manifest
            .iter()
            .filter(|task| task.desired_status != acs::DesiredStatus::Stopped)
            .map(|task| task.task_arn.as_str())
            .collect();
        self.context
            .board
            .all()
            .iter()
            .filter(|view| view.state.status != Status::Stopped)
            .filter(|view| !wanted.contains(view.plan.order.arn.as_str()))
            .map(|view| acs::TaskIdentifier {
                task_arn: view.plan.order.arn.clone(),
                task_cluster_arn: view.plan.order.cluster.clone(),
                desired_status: acs::DesiredStatus::Stopped,
            })
            .collect()
    }
}

/// The order in a payload's task: the typed definitions that Wharf's server adds to it.
fn order(cluster: &str, task: acs::Task) -> Result<Order, String> {
    let Some(typed) = task.wharf else {
        return Err("ResourceInitializationError: the payload has no member `wharf`: this agent \
                    takes orders from a Wharf server only"
            .to_owned());
    };
    let interface =
        Interface::read(&task.elastic_network_interfaces, typed.vpc_cidr_block.as_deref())?;
    Ok(Order {
        interface,
        arn: task.arn,
        cluster: task.task_cluster_arn.unwrap_or_else(|| cluster.to_owned()),
        family: task.family.unwrap_or_default(),
        version: task.version.unwrap_or_default(),
        cpu: task.cpu,
        memory: task.memory,
        network_mode: typed.network_mode.or(task.network_mode),
        pid_mode: typed.pid_mode,
        ipc_mode: typed.ipc_mode,
        volumes: typed.volumes,
        container_arns: arns(&typed.container_definitions, &task.containers),
        containers: typed.container_definitions,
        service: task.service_name,
        launch_type: task.launch_type.map(|kind| kind.as_str().to_owned()),
        zone: typed.availability_zone.or(task.zone),
        associations: task.associations,
        exec: typed.enable_execute_command,
        task_role: task.role_credentials.as_ref().map(Role::from),
        execution_role: task.execution_role_credentials.as_ref().map(Role::from),
    })
}

/// Each container's ARN, from the contract's own containers.
fn arns(definitions: &[ecs::ContainerDefinition], containers: &[acs::Container]) -> Vec<String> {
    definitions
        .iter()
        .map(|definition| {
            let named = containers.iter().find(|c| Some(&c.name) == definition.name.as_ref());
            named.and_then(|container| container.container_arn.clone()).unwrap_or_default()
        })
        .collect()
}
