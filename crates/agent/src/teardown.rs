//! Taking a node down without its agent.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::{ContainerId, Exit, Runtime, RuntimeError, SandboxStatus};
use tokio::task::JoinSet;

use crate::agent::RECORDS;
use crate::awslogs::unsent;
use crate::networking::Networking;
use crate::plan::container_id;
use crate::record::{Recorder, state_file};
use crate::task::TaskState;

/// What could not be taken down.
#[derive(Debug, thiserror::Error)]
pub enum TeardownError {
    /// The runtime does not tell what runs, or does not remove it.
    #[error("take down what runs on this node")]
    Runtime(#[source] RuntimeError),
    /// A network could not be taken back.
    #[error("take back the networks of tasks")]
    Network(#[source] net::NetError),
    /// The agent's records could not be removed.
    #[error("remove {path}")]
    Records {
        /// The folder.
        path: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}

/// Stops every task of a node whose agent is not running, by SIGTERM, then SIGKILL after `grace`,
/// and removes all that was theirs but the record of how they ended and output that has not been
/// sent: the next agent tells the server. Returns how many there were. It can be repeated.
///
/// # Errors
/// The first thing that could not be taken down; the others have been tried.
pub async fn teardown(
    data_dir: &Path,
    runtime: Arc<dyn Runtime>,
    networking: Arc<dyn Networking>,
    grace: Duration,
) -> Result<usize, TeardownError> {
    let folder = data_dir.join(RECORDS);
    let failed =
        |path: &Path, source| TeardownError::Records { path: path.display().to_string(), source };
    let recorder = Recorder::start(&folder).map_err(|source| failed(&folder, source))?;
    let sandboxes = runtime.list().await.map_err(TeardownError::Runtime)?;
    let count = sandboxes.len();
    let mut under_way = JoinSet::new();
    for sandbox in sandboxes {
        let (runtime, recorder) = (Arc::clone(&runtime), recorder.clone());
        let data_dir = data_dir.to_owned();
        under_way.spawn(async move {
            put_out(runtime.as_ref(), &recorder, &data_dir, sandbox, grace).await
        });
    }
    let mut result = Ok(());
    while let Some(ended) = under_way.join_next().await {
        if let Ok(Err(error)) = ended {
            result = result.and(Err(TeardownError::Runtime(error)));
        }
    }
    recorder.flushed().await;
    result?;
    networking.retain(&BTreeSet::new()).await.map_err(TeardownError::Network)?;
    for folder in ["volumes", "firelens"] {
        let folder = data_dir.join(folder);
        match tokio::fs::remove_dir_all(&folder).await {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(failed(&folder, source));
            }
            _ => {}
        }
    }
    Ok(count)
}

/// Stops one sandbox's containers, records how they ended, and removes it.
async fn put_out(
    runtime: &dyn Runtime,
    recorder: &Recorder,
    data_dir: &Path,
    sandbox: SandboxStatus,
    grace: Duration,
) -> Result<(), RuntimeError> {
    let mut ends: BTreeMap<ContainerId, Exit> = sandbox
        .containers
        .iter()
        .filter_map(|container| Some((container.id.clone(), container.exit.clone()?)))
        .collect();
    let live = sandbox.containers.iter().filter(|c| sandbox.alive && c.pid.is_some());
    let stops = live.map(|container| async move {
        (container.id.clone(), runtime.stop_container(&container.id, grace).await)
    });
    for (id, result) in futures_util::future::join_all(stops).await {
        match result {
            Ok(exit) => {
                ends.insert(id, exit);
            }
            Err(error) => {
                // Removing the sandbox kills what is left.
                let error = stdx::chain(&error);
                tracing::warn!(container = %id, error, "A container could not be stopped.");
            }
        }
    }
    for container in &sandbox.containers {
        let Some(files) = runtime.log_path(&sandbox.spec.id, &container.id) else { continue };
        let id = container.id.as_str();
        if let Err(error) = unsent::keep(data_dir, recorder, id, &files) {
            tracing::warn!(container = id, %error, "Output that has not been sent is lost.");
        }
    }
    runtime.remove_sandbox(&sandbox.spec.id).await?;
    let id = sandbox.spec.id.as_str();
    if let Some(mut state) = recorder.read::<TaskState>(&state_file(id)) {
        state.put_out(|at| ends.get(&container_id(id, at)).cloned());
        recorder.write(&state_file(id), &state);
    }
    Ok(())
}
