//! Further nodes on this machine, for trying and showing: each is a `wharf agent` of its own with a
//! folder, a bridge and cgroups of its own. They share the machine's network and its kernel, so they
//! are no more than one machine; ports that they publish do not meet, since each port is held.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use async_trait::async_trait;
use auth::Credentials;
use control::capacity::{NodeOrder, NodeProvider};
use model::NodeId;

use super::size;
use crate::checks;
use crate::places::Places;

/// The folder of nodes' folders, in the server's.
const FOLDER: &str = "nodes";

/// How nodes reach their server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its URL.
    pub(crate) endpoint: String,
    /// Its region.
    pub(crate) region: String,
    /// The key that they join with.
    pub(crate) credentials: Credentials,
}

/// Starts nodes on this machine.
#[derive(Debug)]
pub(crate) struct Local {
    folder: PathBuf,
    program: PathBuf,
    server: Server,
    /// Those that this process has started; they outlive it.
    children: Arc<Mutex<BTreeMap<NodeId, Child>>>,
}

/// The folders of the nodes that a server's folder has.
pub(crate) fn folders(data: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(data.join(FOLDER));
    let mut all: Vec<PathBuf> =
        all.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    all.sort();
    all
}

impl Local {
    /// Over a server's data folder.
    pub(crate) fn new(places: &Places, server: Server) -> Result<Self> {
        let program = std::env::current_exe().context("find this program's own file")?;
        let children = Arc::default();
        Ok(Self { folder: places.folder(FOLDER)?, program, server, children })
    }

    fn home(&self, id: &NodeId) -> PathBuf {
        self.folder.join(id.as_str())
    }

    fn spawn(&self, order: &NodeOrder) -> Result<Child> {
        let home = self.home(&order.id);
        // Made as `Places` makes it, for its owner only.
        Places::of(&home)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(home.join("log"))
            .with_context(|| format!("open {}", home.join("log").display()))?;
        let machine = checks::machine();
        let machine = (machine.0.saturating_mul(1_024), machine.1);
        let mut command = std::process::Command::new(&self.program);
        command.arg("agent").arg("--data-dir").arg(&home);
        command.args(["--server", &self.server.endpoint, "--cluster", order.cluster.as_str()]);
        command.args(["--instance-id", order.id.as_str(), "--warm-slots", "0"]);
        for (name, value) in [
            ("ecs.availability-zone", &order.zone),
            ("ecs.instance-type", &order.instance_type),
            ("ecs.ami-id", &order.image),
        ] {
            if !value.is_empty() {
                command.arg("--attribute").arg(format!("{name}={value}"));
            }
        }
        for (key, value) in &order.tags.0 {
            command.arg("--tag").arg(format!("{key}={value}"));
        }
        if let Some((cpu, memory)) = size::of(&order.instance_type, machine) {
            command.args(["--offer", &format!("{cpu}:{memory}")]);
        }
        let key = &self.server.credentials;
        for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("WHARF_")) {
            command.env_remove(name);
        }
        command
            .env("AWS_ACCESS_KEY_ID", &key.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", key.secret.reveal())
            .env("AWS_REGION", &self.server.region)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the node's log")?)
            .stderr(log)
            // A signal from the terminal is for the server alone.
            .process_group(0);
        command.spawn().with_context(|| format!("start {}", self.program.display()))
    }

    /// Whether somebody holds a node's folder: its agent, or `wharf down`.
    fn held(home: &Path) -> bool {
        Places::of(home).is_ok_and(|places| places.lock().is_err())
    }

    fn children(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl NodeProvider for Local {
    async fn start(&self, order: &NodeOrder) -> Result<(), String> {
        let home = self.home(&order.id);
        if home.exists() && Self::held(&home) {
            return Ok(());
        }
        let child = self.spawn(order).map_err(|error| format!("{error:#}"))?;
        self.children().insert(order.id.clone(), child);
        Ok(())
    }

    /// Ends its agent and its tasks, and removes its folder.
    async fn end(&self, node: &NodeId) -> Result<(), String> {
        let home = self.home(node);
        if home.exists() {
            let down = tokio::process::Command::new(&self.program)
                .arg("down")
                .arg("--data-dir")
                .arg(&home)
                .stdin(Stdio::null())
                .output()
                .await
                .map_err(|error| format!("call {} down: {error}", self.program.display()))?;
            if !down.status.success() {
                let said = String::from_utf8_lossy(&down.stderr);
                return Err(said.lines().last().unwrap_or("wharf down failed").to_owned());
            }
            std::fs::remove_dir_all(&home)
                .map_err(|error| format!("remove {}: {error}", home.display()))?;
        }
        if let Some(mut child) = self.children().remove(node) {
            drop(child.wait());
        }
        Ok(())
    }

    /// A node is there as long as its folder is, as a machine is whose agent has died: the group sees
    /// by its agent's silence that it is lost, and has it ended.
    async fn list(&self) -> Result<BTreeSet<NodeId>, String> {
        self.children().retain(|_, child| matches!(child.try_wait(), Ok(None)));
        let homes = std::fs::read_dir(&self.folder)
            .map_err(|error| format!("read {}: {error}", self.folder.display()))?;
        let names = homes.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str().map(NodeId::from)).collect())
    }
}
