//! Telling whoever asked how far a pull is.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::document::Descriptor;
use crate::seam::{PullProgress, PullStage};

/// Between two reports of one layer.
const EVERY: Duration = Duration::from_millis(100);

/// Reports on one layer, if anybody listens.
#[derive(Debug)]
pub(crate) struct Progress {
    to: Option<UnboundedSender<PullProgress>>,
    layer: String,
    total: u64,
    received: u64,
    told: Option<Instant>,
}

impl Progress {
    /// On a layer of which nothing has been said.
    pub(crate) fn of(layer: &Descriptor, to: Option<&UnboundedSender<PullProgress>>) -> Self {
        Self {
            to: to.cloned(),
            layer: layer.digest.to_string(),
            total: layer.size,
            received: 0,
            told: None,
        }
    }

    /// On nothing, to nobody.
    pub(crate) fn none() -> Self {
        Self { to: None, layer: String::new(), total: 0, received: 0, told: None }
    }

    /// More bytes have come.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
        if self.to.is_some() && self.told.is_none_or(|at| at.elapsed() >= EVERY) {
            self.told = Some(Instant::now());
            self.tell(PullStage::Receiving);
        }
    }

    /// Its work is over, or never was.
    pub(crate) fn ended(&mut self, stage: PullStage) {
        self.received = self.total;
        self.tell(stage);
    }

    fn tell(&mut self, stage: PullStage) {
        let Some(to) = &self.to else { return };
        let report = PullProgress {
            layer: self.layer.clone(),
            received: self.received,
            total: self.total,
            stage,
        };
        if to.send(report).is_err() {
            self.to = None;
        }
    }
}
