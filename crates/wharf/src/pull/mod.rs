//! `wharf pull`: makes an image present on this machine before a task needs it, and shows how far it
//! is.
//!
//! The images belong to the process of the node, so the command asks that process, over a socket in
//! the node's run folder that only its owner may open. One line goes there, the reference; what comes
//! back is one JSON document a line ([`Told`]).

mod display;
mod serve;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::places::Places;
use display::{Display, Mode};
pub(crate) use serve::serve;

/// The socket's name in the run folder.
const SOCKET: &str = "pull.sock";

/// Pulls an image to this machine's node before any task asks for it
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo wharf pull 127.0.0.1:4747/hello:1\n  sudo wharf pull 123456789012.dkr.ecr.us-east-1.amazonaws.com/hello:1\n  sudo wharf pull --data-dir ./data docker.io/library/redis:7\n\nThe node must be running (`wharf up` or `wharf agent`). Layers that are here are not pulled again;\nafter a broken connection the pull goes on where it was."
)]
pub(crate) struct PullArgs {
    /// The image, as a task definition names it
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Data folder of the node
    #[arg(long, value_name = "DIR", env = "WHARF_DATA_DIR", default_value = "/var/lib/wharf")]
    data_dir: PathBuf,
    /// Print only the image's digest
    #[arg(long, short)]
    quiet: bool,
}

/// What the node tells about a pull.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Told {
    /// A layer is so far.
    Layer { layer: String, received: u64, total: u64, stage: Stage },
    /// The image is present.
    Present { digest: String, pulled: bool },
    /// It could not be pulled.
    Failed { why: String },
}

/// What happens to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Present,
    Receiving,
    Done,
}

/// Asks the node for an image and shows what it tells.
pub(crate) async fn pull(args: &PullArgs) -> Result<()> {
    if args.image.contains(char::is_whitespace) {
        bail!("\"{}\" is not the name of an image: it has a blank in it", args.image);
    }
    let places = Places::of(&args.data_dir)?;
    let socket = places.run().join(SOCKET);
    let stream = UnixStream::connect(&socket).await.map_err(|error| unreachable(args, &error))?;
    let (from, mut to) = stream.into_split();
    to.write_all(format!("{}\n", args.image).as_bytes()).await.context("ask the node")?;
    let mut lines = BufReader::new(from).lines();
    let mode = match (args.quiet, std::io::stderr().is_terminal()) {
        (true, _) => Mode::Quiet,
        (false, true) => Mode::Bars,
        (false, false) => Mode::Lines,
    };
    let mut display = Display::new(mode);
    while let Some(line) = lines.next_line().await.context("hear from the node")? {
        let told: Told = serde_json::from_str(&line)
            .with_context(|| format!("read the node's answer {line:?}; is it another version?"))?;
        match told {
            Told::Layer { layer, received, total, stage } => {
                display.layer(&layer, received, total, stage);
            }
            Told::Present { digest, pulled } => {
                display.end();
                let text = match (args.quiet, pulled) {
                    (true, _) => format!("{digest}\n"),
                    (false, true) => format!("Pulled {} ({digest}).\n", args.image),
                    (false, false) => format!("{} is up to date ({digest}).\n", args.image),
                };
                return std::io::stdout().write_all(text.as_bytes()).context("print the answer");
            }
            Told::Failed { why } => {
                display.end();
                return Err(anyhow!(why).context(format!("pull {}", args.image)));
            }
        }
    }
    bail!("the node ended while it pulled {}: start it and try again", args.image)
}

fn unreachable(args: &PullArgs, error: &std::io::Error) -> anyhow::Error {
    let data = args.data_dir.display();
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            anyhow!("only root may ask the node of {data}: try again with sudo")
        }
        _ => anyhow!(
            "no node runs on {data} ({error}).\nStart one with `wharf up --data-dir {data}`, or name another data folder with --data-dir."
        ),
    }
}
