//! What the engine needs of an image store.

use std::fmt::Debug;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::image::ImageStore;
use crate::{Image, ImageError, ImageRequest};

/// Where images come from.
#[async_trait]
pub trait Images: Send + Sync + Debug {
    /// As [`crate::Runtime::ensure_image`].
    async fn ensure(&self, request: &ImageRequest) -> Result<Image, ImageError>;

    /// The folders of a present image's layers, uppermost first, ready to be the lower folders of an
    /// overlay.
    fn layers(&self, image_id: &str) -> Result<Vec<PathBuf>, ImageError>;
}

#[async_trait]
impl Images for ImageStore {
    async fn ensure(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        Self::ensure(self, request).await
    }

    fn layers(&self, image_id: &str) -> Result<Vec<PathBuf>, ImageError> {
        Ok(Self::layers(self, image_id)?.lower_dirs)
    }
}
