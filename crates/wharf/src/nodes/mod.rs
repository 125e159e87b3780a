//! Who starts the nodes of Auto Scaling groups: this machine, a program of the user's, or nobody.

mod command;
mod local;
mod size;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use control::capacity::{Nobody, NodeProvider};
use serde::Deserialize;

use crate::places::Places;

pub(crate) use command::Command;
pub(crate) use local::{Local, folders};

/// Who starts nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NodesKind {
    /// Nobody.
    #[default]
    None,
    /// This machine: further `wharf agent`s on it.
    Local,
    /// A program of the user's.
    Command,
}

/// Who starts nodes, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodesChoice {
    pub(crate) kind: NodesKind,
    pub(crate) program: Option<PathBuf>,
}

impl NodesChoice {
    /// Holds the two settings together.
    pub(crate) fn new(kind: Option<NodesKind>, program: Option<PathBuf>) -> Result<Self> {
        let kind = kind.unwrap_or(match program {
            Some(_) => NodesKind::Command,
            None => NodesKind::None,
        });
        match (kind, &program) {
            (NodesKind::Command, None) => {
                bail!("--nodes command needs to know which: --node-command PROGRAM")
            }
            (NodesKind::None | NodesKind::Local, Some(program)) => bail!(
                "--node-command {} is not used: it belongs to --nodes command",
                program.display()
            ),
            _ => Ok(Self { kind, program }),
        }
    }

    /// Whoever it is.
    pub(crate) fn provider(
        &self,
        places: &Places,
        server: local::Server,
    ) -> Result<Arc<dyn NodeProvider>> {
        Ok(match (self.kind, &self.program) {
            (NodesKind::Local, _) => Arc::new(Local::new(places, server)?),
            (NodesKind::Command, Some(program)) => Arc::new(Command::new(program.clone())),
            (NodesKind::None | NodesKind::Command, _) => Arc::new(Nobody),
        })
    }
}

pub(crate) use local::Server;
