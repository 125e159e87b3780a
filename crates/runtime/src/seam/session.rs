//! A program that runs in a container while somebody watches and types: ECS Exec.

use std::fmt::Debug;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use super::RuntimeError;

/// A program to run in a container with its input and output connected.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Added to the container's own.
    pub env: Vec<String>,
    /// `user[:group]`; empty for root, as ECS Exec has it.
    pub user: String,
    /// A terminal of so many `(rows, columns)`; without one, standard output and error come as one.
    pub terminal: Option<(u16, u16)>,
}

/// A running program. Dropping it hangs the program up (SIGHUP, then SIGKILL).
pub struct Session {
    /// What is typed. Shutting it down is the end of the input.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it prints, until its end.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Its control.
    pub handle: Box<dyn SessionHandle>,
}

impl Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Controls a program of a [`Session`].
#[async_trait]
pub trait SessionHandle: Send + Sync + Debug {
    /// Gives its terminal another size; nothing without a terminal.
    async fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError>;

    /// Sends it a signal.
    async fn signal(&self, signal: i32) -> Result<(), RuntimeError>;

    /// Waits for its end: the exit status, 128 + n for signal n. May be called again.
    async fn wait(&self) -> Result<i32, RuntimeError>;
}
