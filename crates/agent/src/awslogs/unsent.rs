//! Output that was not sent when its node was taken down: kept beside the records, and sent by the
//! next agent.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtime::log::{LogPosition, LogReader};
use serde::{Deserialize, Serialize};
use shell::Shutdown;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::ship::Shipper;
use crate::calls::Calls;
use crate::plan::AwsLogs;
use crate::record::{Recorder, log_file, log_target_file};

/// The folder of it in the agent's data folder.
const FOLDER: &str = "unsent";
const END: &str = ".json";

/// One container's output: where it goes and how much of it is there already.
#[derive(Debug, Serialize, Deserialize)]
struct Unsent {
    logs: AwsLogs,
    from: LogPosition,
}

/// Keeps a container's log files, if they are on their way to a log stream.
///
/// # Errors
/// The files cannot be moved.
pub(crate) fn keep(
    data_dir: &Path,
    recorder: &Recorder,
    container: &str,
    files: &Path,
) -> io::Result<()> {
    let Some(logs) = recorder.read::<AwsLogs>(&log_target_file(container)) else { return Ok(()) };
    if !files.exists() {
        return Ok(());
    }
    let from = Shipper::start(recorder, container);
    let folder = data_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let kept = folder.join(container);
    if kept.exists() {
        fs::remove_dir_all(&kept)?;
    }
    fs::rename(files, &kept)?;
    let text = serde_json::to_vec(&Unsent { logs, from })?;
    fs::write(folder.join(format!("{container}{END}")), text)?;
    recorder.remove(&log_file(container));
    recorder.remove(&log_target_file(container));
    Ok(())
}

/// Sends what is there, container by container at once, until all of it is sent or the agent goes
/// down.
pub(crate) async fn send(
    data_dir: PathBuf,
    calls: Arc<dyn Calls>,
    recorder: Recorder,
    mut shutdown: Shutdown,
) {
    let folder = data_dir.join(FOLDER);
    let mut under_way = JoinSet::new();
    for (container, unsent) in found(&folder) {
        let (_told, over) = watch::channel(true);
        let shipper = Shipper {
            calls: Arc::clone(&calls),
            role: None,
            recorder: recorder.clone(),
            container: container.clone(),
            logs: unsent.logs,
            over,
        };
        let folder = folder.clone();
        under_way.spawn(async move {
            let files = folder.join(&container);
            // What an agent before this one has sent is recorded as it always is.
            let from = Shipper::start(&shipper.recorder, &container).max(unsent.from);
            let recorder = shipper.recorder.clone();
            shipper.run(Box::new(LogReader::open(files.clone(), from))).await;
            let gone = fs::remove_dir_all(&files)
                .and_then(|()| fs::remove_file(folder.join(format!("{container}{END}"))));
            match gone {
                Ok(()) => tracing::info!(container, "Output of an earlier life has been sent."),
                Err(error) => {
                    tracing::warn!(container, %error, "Sent output could not be removed.")
                }
            }
            recorder.remove(&log_file(&container));
        });
    }
    tokio::select! {
        () = async { while under_way.join_next().await.is_some() {} } => {}
        () = shutdown.wait() => {}
    }
}

fn found(folder: &Path) -> Vec<(String, Unsent)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let container = path.file_name()?.to_str()?.strip_suffix(END)?.to_owned();
            let unsent = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            Some((container, unsent))
        })
        .collect()
}
