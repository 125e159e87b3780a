//! How far a pull is, drawn on a terminal: one line a layer, redrawn in place. Without a terminal, one
//! line when a layer is there.

use std::collections::BTreeMap;
use std::io::Write;

use super::Stage;

/// Cells of a bar.
const BAR: u64 = 24;

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not at all.
    Quiet,
    /// A line for each layer that is there.
    Lines,
    /// Bars, redrawn in place.
    Bars,
}

/// What is shown.
pub(super) struct Display {
    mode: Mode,
    /// By digest; the position is the line.
    layers: BTreeMap<String, usize>,
    lines: Vec<String>,
    drawn: usize,
}

impl Display {
    /// Nothing as yet.
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, layers: BTreeMap::new(), lines: Vec::new(), drawn: 0 }
    }

    /// A layer is so far.
    pub(super) fn layer(&mut self, digest: &str, received: u64, total: u64, stage: Stage) {
        let line = line(digest, received, total, stage);
        if self.mode == Mode::Lines && stage != Stage::Receiving {
            // Whoever closed the other end has read enough.
            drop(writeln!(std::io::stderr(), "{line}"));
        }
        let next = self.lines.len();
        let at = *self.layers.entry(digest.to_owned()).or_insert(next);
        match self.lines.get_mut(at) {
            Some(known) => known.clone_from(&line),
            None => self.lines.push(line),
        }
        if self.mode == Mode::Bars {
            self.draw();
        }
    }

    /// What is on the screen stays.
    pub(super) fn end(&mut self) {
        self.drawn = 0;
    }

    fn draw(&mut self) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &self.lines {
            text.push_str(&format!("\x1b[2K{line}\n"));
        }
        self.drawn = self.lines.len();
        // A terminal that is gone ends the command soon enough.
        drop(std::io::stderr().write_all(text.as_bytes()));
    }
}

/// Such as `3f4c2a91be07  [=====>      ]  12.5 of 40.0 MiB`.
fn line(digest: &str, received: u64, total: u64, stage: Stage) -> String {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    let short: String = hex.chars().take(12).collect();
    let tail = match stage {
        Stage::Present => "is here already".to_owned(),
        Stage::Done => format!("done, {}", mebibytes(total)),
        Stage::Receiving => {
            let full = (received.min(total) * BAR).checked_div(total).unwrap_or(BAR);
            let full = usize::try_from(full).unwrap_or(0);
            let rest = usize::try_from(BAR).unwrap_or(0) - full;
            format!(
                "[{}{}]  {} of {}",
                "=".repeat(full),
                " ".repeat(rest),
                mebibytes(received),
                mebibytes(total)
            )
        }
    };
    format!("{short}  {tail}")
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_one_line() {
        let digest = "sha256:0123456789abcdef0123";
        for (received, total, stage, text) in [
            (
                5 << 20,
                10 << 20,
                Stage::Receiving,
                "0123456789ab  [============            ]  5.0 MiB of 10.0 MiB",
            ),
            (
                0,
                0,
                Stage::Receiving,
                "0123456789ab  [========================]  0.0 MiB of 0.0 MiB",
            ),
            (10, 10 << 20, Stage::Present, "0123456789ab  is here already"),
            (10 << 20, 10 << 20, Stage::Done, "0123456789ab  done, 10.0 MiB"),
        ] {
            assert_eq!(line(digest, received, total, stage), text);
        }
    }

    #[test]
    fn each_layer_keeps_its_line() {
        let mut display = Display::new(Mode::Quiet);
        display.layer("sha256:a", 1, 4, Stage::Receiving);
        display.layer("sha256:b", 1, 4, Stage::Receiving);
        display.layer("sha256:a", 4, 4, Stage::Done);
        assert_eq!(display.lines.len(), 2);
        assert!(display.lines[0].ends_with("done, 0.0 MiB"), "{:?}", display.lines);
    }
}
