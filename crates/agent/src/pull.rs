//! Pulling an image before any task asks for it.

use std::fmt;
use std::sync::Arc;

use runtime::{Image, ImageError, ImageRequest, PullPolicy, PullProgress};
use tokio::sync::mpsc::UnboundedSender;

use crate::worker::Context;

/// Pulls images as the node's tasks do: from the same registries, with the same credentials.
#[derive(Clone)]
pub struct Puller {
    context: Arc<Context>,
}

impl Puller {
    pub(crate) const fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Makes an image present, asking the registry whether what is here is still what the name
    /// stands for.
    ///
    /// # Errors
    /// As [`runtime::Runtime::ensure_image`].
    pub async fn pull(
        &self,
        reference: &str,
        progress: UnboundedSender<PullProgress>,
    ) -> Result<Image, ImageError> {
        let request = self.context.images.request(reference).await;
        let policy = PullPolicy::Always;
        let request = ImageRequest { progress: Some(progress), policy, ..request };
        self.context.runtime.ensure_image(&request).await
    }
}

impl fmt::Debug for Puller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Puller").finish_non_exhaustive()
    }
}
