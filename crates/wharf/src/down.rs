//! `wharf down`: stops a data folder's server and every task of it, and leaves nothing behind.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::node;
use crate::nodes;
use crate::places::Places;

/// A server gets so long to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops a data folder's server and every task of it
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo wharf down\n  sudo wharf down --data-dir ./data\n\nState, images and logs stay in the data folder: `wharf up` starts the services again."
)]
pub(crate) struct DownArgs {
    /// Data folder of the server or agent
    #[arg(long, value_name = "DIR", env = "WHARF_DATA_DIR", default_value = "/var/lib/wharf")]
    data_dir: PathBuf,
    /// Seconds between SIGTERM and SIGKILL for containers
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u64,
}

/// Stops a server and then the nodes that it has started on this machine, each with its tasks.
pub(crate) async fn down(args: &DownArgs) -> Result<()> {
    take_down(args).await?;
    for home in nodes::folders(&args.data_dir) {
        take_down(&DownArgs { data_dir: home.clone(), grace: args.grace }).await?;
        std::fs::remove_dir_all(&home).with_context(|| format!("remove {}", home.display()))?;
    }
    Ok(())
}

/// Stops and removes, in this order: the server, containers, network, what is left of either.
async fn take_down(args: &DownArgs) -> Result<()> {
    if !args.data_dir.exists() {
        bail!(
            "{} does not exist, so nothing of it runs. Name the folder that `wharf up` was given with --data-dir.",
            args.data_dir.display()
        );
    }
    let places = Places::of(&args.data_dir)?;
    let lock = match places.lock() {
        Ok(lock) => lock,
        Err(_) => {
            stop_server(&places).await?;
            places.lock()?
        }
    };
    let stopped = stop_tasks(&places, Duration::from_secs(args.grace)).await;
    net::teardown(&node::network(&places, "auto", None))
        .await
        .context("take down the network of the containers")?;
    places.remove_run()?;
    drop(lock);
    let stopped = stopped?;
    println!(
        "Stopped {stopped} task{} of {}; nothing of it runs any more.",
        if stopped == 1 { "" } else { "s" },
        places.data.display()
    );
    Ok(())
}

async fn stop_tasks(places: &Places, grace: Duration) -> Result<usize> {
    if !rustix::process::geteuid().is_root() {
        bail!("stopping containers takes root: try again with `sudo wharf down`");
    }
    let stopped = node::stop_all(places, grace).await?;
    runtime::teardown(&places.run(), &places.cgroup())
        .context("remove what is left of containers")?;
    Ok(stopped)
}

/// Tells the process that holds the data folder to end, and waits for it.
async fn stop_server(places: &Places) -> Result<()> {
    let text = std::fs::read_to_string(places.data.join("lock")).unwrap_or_default();
    let process = text.trim().parse::<i32>().ok().and_then(Pid::from_raw);
    let Some(process) = process else {
        bail!(
            "{} is in use, and by whom is not known. Stop that wharf, then try again.",
            places.data.display()
        );
    };
    let ended = pidfd_open(process, PidfdFlags::empty()).ok();
    signal(process, Signal::TERM)?;
    let mut waited = Duration::ZERO;
    while places.lock().is_err() {
        if waited >= PATIENCE {
            tracing::warn!(?process, "The server does not end; it is killed.");
            signal(process, Signal::KILL)?;
            waited = Duration::ZERO;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        waited += Duration::from_millis(20);
    }
    // The lock falls free a moment before the process ends, and only then is the rest free.
    if let Some(ended) = ended {
        let waiting = tokio::task::spawn_blocking(move || {
            let patience = Timespec::try_from(PATIENCE).ok();
            poll(&mut [PollFd::new(&ended, PollFlags::IN)], patience.as_ref())
        });
        waiting.await?.context("wait for the server's process")?;
    }
    Ok(())
}

/// A process that is gone already is what is wanted.
fn signal(process: Pid, signal: Signal) -> Result<()> {
    match kill_process(process, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("signal process {process}")),
    }
}
