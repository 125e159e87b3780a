//! This machine's terminal: its size, and keys as they are pressed.

use std::io::{Stdin, stdin, stdout};

use anyhow::{Context, Result};
use channel::Size;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The terminal's size, if it tells.
pub(super) fn size() -> Option<Size> {
    let size = tcgetwinsize(stdout()).ok()?;
    let size = Size { cols: u32::from(size.ws_col), rows: u32::from(size.ws_row) };
    (size.cols > 0 && size.rows > 0).then_some(size)
}

/// Keys come as they are pressed, until this is dropped.
pub(super) struct Raw {
    stdin: Stdin,
    before: Termios,
}

impl Raw {
    /// Begins.
    pub(super) fn begin() -> Result<Self> {
        let stdin = stdin();
        let before = tcgetattr(&stdin).context("read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).context("prepare the terminal")?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that has gone away has nothing to restore.
        tcsetattr(&self.stdin, OptionalActions::Now, &self.before).unwrap_or_default();
    }
}
