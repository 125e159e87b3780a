//! The node's side of `wharf pull`.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use agent::Puller;
use anyhow::{Context, Result};
use runtime::{PullProgress, PullStage};
use shell::Shutdown;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::{SOCKET, Stage, Told};

/// The longest line that is a reference.
const LONGEST: u64 = 4096;

/// Somebody who asks says what for within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers `wharf pull` until the shutdown.
pub(crate) fn serve(run: &Path, puller: Puller, mut shutdown: Shutdown) -> Result<()> {
    let path = run.join(SOCKET);
    // Of a process that was killed: whoever holds the data folder's lock is the only one.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("listen on {}", path.display()))?;
    let owner = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    fs::set_permissions(&path, owner).with_context(|| format!("restrict {}", path.display()))?;
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.wait() => return,
            };
            match accepted {
                Ok((stream, _)) => drop(tokio::spawn(answer(stream, puller.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "A `wharf pull` could not be heard.");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn answer(stream: UnixStream, puller: Puller) {
    if let Err(error) = converse(stream, &puller).await {
        tracing::debug!(%error, "A `wharf pull` went away.");
    }
}

/// Whoever asked may go away at any moment; then the pull is given up.
async fn converse(stream: UnixStream, puller: &Puller) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from.take(LONGEST));
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, from.read_line(&mut line)).await??;
    let (progress, mut told) = mpsc::unbounded_channel();
    let pulling = puller.pull(line.trim(), progress);
    tokio::pin!(pulling);
    let mut nothing = String::new();
    loop {
        tokio::select! {
            biased;
            Some(report) = told.recv() => tell(&mut to, &layer(report)).await?,
            pulled = &mut pulling => {
                while let Ok(report) = told.try_recv() {
                    tell(&mut to, &layer(report)).await?;
                }
                let told = match pulled {
                    Ok(image) => Told::Present { digest: image.digest, pulled: image.pulled.is_some() },
                    Err(error) => Told::Failed { why: stdx::chain(&error) },
                };
                return tell(&mut to, &told).await;
            }
            // Nothing more is said by whoever waits, so this is the end of the connection.
            gone = from.read_line(&mut nothing) => return gone.map(drop),
        }
    }
}

fn layer(report: PullProgress) -> Told {
    let stage = match report.stage {
        PullStage::Present => Stage::Present,
        PullStage::Receiving => Stage::Receiving,
        PullStage::Done => Stage::Done,
    };
    Told::Layer { layer: report.layer, received: report.received, total: report.total, stage }
}

async fn tell(to: &mut OwnedWriteHalf, told: &Told) -> io::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    to.write_all(&line).await
}
