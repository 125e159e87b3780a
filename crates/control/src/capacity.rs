//! The nodes of Auto Scaling groups, brought about: what the state says should be there is started,
//! what should go is ended, and what came of it is reported.
//!
//! It keeps only what it has under way. Whoever starts nodes is a [`NodeProvider`]: it is asked again
//! and again, so it does nothing the second time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use model::{
    AutoScalingGroupName, CapacityBook, ClusterName, Node, NodeId, NodeState, State, Tags,
};
use scheduler::capacity::NodeReport;
use scheduler::{CapacityCommand, Command, Rejection};
use shell::Shutdown;
use store::{Store, SubmitError};
use tokio::task::JoinSet;

/// How often it is looked whether nodes are still there, while there are any.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Without groups nothing is looked at, but for changes.
const IDLE: Duration = Duration::from_secs(300);

/// Starts and ends nodes.
#[async_trait]
pub trait NodeProvider: Send + Sync + Debug {
    /// Starts a node, or does nothing if it is there. Its agent joins when it is ready.
    ///
    /// # Errors
    ///
    /// Why it cannot be started, in words for who asked for it.
    async fn start(&self, order: &NodeOrder) -> Result<(), String>;

    /// Ends a node, or does nothing if it is not there. When it answers the node is no more.
    ///
    /// # Errors
    ///
    /// Why it could not be ended; it is tried again.
    async fn end(&self, node: &NodeId) -> Result<(), String>;

    /// The nodes that are there, of those that it has started.
    ///
    /// # Errors
    ///
    /// Why that cannot be told now; nothing follows from it.
    async fn list(&self) -> Result<BTreeSet<NodeId>, String>;
}

/// A node that is to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOrder {
    /// The id that its agent has to register with.
    pub id: NodeId,
    /// Its group.
    pub group: AutoScalingGroupName,
    /// The cluster that it joins.
    pub cluster: ClusterName,
    /// Its availability zone.
    pub zone: String,
    /// The machine image of its launch configuration or template.
    pub image: String,
    /// The size of its launch configuration or template.
    pub instance_type: String,
    /// What it is told at its start.
    pub user_data: String,
    /// Tags that it gets from its launch template and its group.
    pub tags: Tags,
}

/// What one attempt came to.
type Done = (NodeId, Outcome);

#[derive(Debug)]
enum Outcome {
    Started(Result<(), String>),
    Ended(Result<(), String>),
}

/// Runs until shutdown. Nodes outlive it.
pub async fn run(store: Store, provider: Arc<dyn NodeProvider>, mut shutdown: Shutdown) {
    let mut changed = store.subscribe();
    let mut hands = Hands { provider, ..Hands::default() };
    loop {
        changed.mark_unchanged();
        let state = store.snapshot();
        let any = state.capacity().groups().next().is_some();
        if any {
            hands.work(&store, &state).await;
        }
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(if any { LOOK_EVERY } else { IDLE }) => {}
            gone = changed.changed() => if gone.is_err() { return },
            Some(done) = hands.jobs.join_next(), if !hands.jobs.is_empty() => {
                if let Ok(done) = done { hands.done(&store, done).await }
            }
        }
        if shutdown.is_stopping() {
            return;
        }
    }
}

/// What is under way.
#[derive(Debug)]
struct Hands {
    provider: Arc<dyn NodeProvider>,
    jobs: JoinSet<Done>,
    /// Nodes that somebody works upon.
    busy: BTreeSet<NodeId>,
    /// Nodes that were started since this began.
    started: BTreeSet<NodeId>,
    /// How many times in a row a node was not there though it should be.
    missed: BTreeMap<NodeId, u32>,
    looked: Option<tokio::time::Instant>,
}

impl Default for Hands {
    fn default() -> Self {
        Self {
            provider: Arc::new(Nobody),
            jobs: JoinSet::new(),
            busy: BTreeSet::new(),
            started: BTreeSet::new(),
            missed: BTreeMap::new(),
            looked: None,
        }
    }
}

/// A node that was not there so many times in a row is gone: it may just be coming.
const MISSES: u32 = 2;

impl Hands {
    /// Begins what is to be done and is not under way.
    async fn work(&mut self, store: &Store, state: &State) {
        let book = state.capacity();
        for node in book.all_nodes() {
            if self.busy.contains(&node.id) {
                continue;
            }
            let provider = Arc::clone(&self.provider);
            let id = node.id.clone();
            match node.state {
                NodeState::Pending if !self.started.contains(&node.id) => {
                    let order = order(book, node);
                    self.jobs.spawn(async move {
                        let result = match order {
                            Ok(order) => provider.start(&order).await,
                            Err(why) => Err(why),
                        };
                        (id, Outcome::Started(result))
                    });
                }
                NodeState::Terminating => {
                    self.jobs.spawn(async move {
                        let result = provider.end(&id).await;
                        (id, Outcome::Ended(result))
                    });
                }
                NodeState::Pending
                | NodeState::PendingWait
                | NodeState::InService
                | NodeState::Draining
                | NodeState::TerminatingWait => continue,
            }
            self.busy.insert(node.id.clone());
        }
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.looked = Some(tokio::time::Instant::now());
            self.look(store, state).await;
        }
    }

    /// Whether what should be there is, and nothing else.
    async fn look(&mut self, store: &Store, state: &State) {
        let there = match self.provider.list().await {
            Ok(there) => there,
            Err(why) => {
                tracing::warn!(why, "The nodes that were started cannot be listed.");
                return;
            }
        };
        let book = state.capacity();
        let mut gone = Vec::new();
        for node in book.all_nodes() {
            let due = node.state > NodeState::Pending || self.started.contains(&node.id);
            if there.contains(&node.id) || !due || self.busy.contains(&node.id) {
                self.missed.remove(&node.id);
                continue;
            }
            let missed = self.missed.entry(node.id.clone()).or_default();
            *missed += 1;
            if *missed >= MISSES {
                gone.push(node.id.clone());
            }
        }
        for id in gone {
            self.missed.remove(&id);
            tracing::info!(node = %id, "A node has ended by itself.");
            report(store, &id, NodeReport::Gone).await;
        }
        for id in there {
            if book.node(&id).is_none() && self.busy.insert(id.clone()) {
                let provider = Arc::clone(&self.provider);
                self.jobs.spawn(async move {
                    let result = provider.end(&id).await;
                    (id, Outcome::Ended(result))
                });
            }
        }
    }

    async fn done(&mut self, store: &Store, (id, outcome): Done) {
        match outcome {
            Outcome::Started(Ok(())) => {
                self.started.insert(id.clone());
            }
            Outcome::Started(Err(why)) => {
                tracing::warn!(node = %id, why, "A node could not be started.");
                report(store, &id, NodeReport::Failed(why)).await;
            }
            Outcome::Ended(Ok(())) => {
                self.started.remove(&id);
                report(store, &id, NodeReport::Gone).await;
            }
            Outcome::Ended(Err(why)) => {
                tracing::warn!(node = %id, why, "A node could not be ended; it is tried again.");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        self.busy.remove(&id);
    }
}

fn order(book: &CapacityBook, node: &Node) -> Result<NodeOrder, String> {
    let gone = "What the group starts its nodes by is not there any more.";
    let group = book.group(&node.group).ok_or("The group is not there any more.")?;
    let terms = book.terms_of(node).ok_or(gone)?;
    let tags = group.tags.iter().filter(|tag| tag.propagate);
    let tags = tags.map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    Ok(NodeOrder {
        id: node.id.clone(),
        group: group.name.clone(),
        cluster: terms.cluster,
        zone: node.zone.clone(),
        image: terms.image,
        instance_type: terms.instance_type,
        user_data: terms.user_data,
        // A tag of the group wins over one of its launch template, as on AWS.
        tags: terms.tags.with(&tags),
    })
}

async fn report(store: &Store, id: &NodeId, report: NodeReport) {
    let command = Command::Capacity(CapacityCommand::ReportNode(id.clone(), report));
    match store.submit(command).await {
        Ok(_) | Err(SubmitError::Rejected(Rejection::Stale)) => {}
        Err(error) => tracing::error!(node = %id, %error, "A node's report could not be taken."),
    }
}

/// Starts nothing, and says so.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl NodeProvider for Nobody {
    async fn start(&self, _: &NodeOrder) -> Result<(), String> {
        Err("This server starts no nodes. Start it with `--nodes local`, or with \
             `--nodes command --node-command PROGRAM` to start your own machines."
            .to_owned())
    }

    async fn end(&self, _: &NodeId) -> Result<(), String> {
        Ok(())
    }

    async fn list(&self) -> Result<BTreeSet<NodeId>, String> {
        Err("this server starts no nodes".to_owned())
    }
}
