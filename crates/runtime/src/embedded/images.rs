//! What the engine needs of an image store, and which images its containers stand on.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;
use std::{fs, io};

use async_trait::async_trait;

use super::places::{Places, names};
use super::{Inner, system};
use crate::image::ImageStore;
use crate::{ContainerSpec, Image, ImageError, ImageRequest, RuntimeError, StoredImage};

/// Where images come from.
#[async_trait]
pub trait Images: Send + Sync + Debug {
    /// As [`crate::Runtime::ensure_image`].
    async fn ensure(&self, request: &ImageRequest) -> Result<Image, ImageError>;

    /// The folders of a present image's layers, uppermost first, ready to be the lower folders of an
    /// overlay.
    fn layers(&self, image_id: &str) -> Result<Vec<PathBuf>, ImageError>;

    /// Every image; whether one is in use the engine adds.
    fn list(&self) -> Vec<StoredImage>;

    /// Removes an image by its id, with all its names. Gone already is success.
    fn remove(&self, image_id: &str) -> Result<(), ImageError>;
}

#[async_trait]
impl Images for ImageStore {
    async fn ensure(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        Self::ensure(self, request).await
    }

    fn layers(&self, image_id: &str) -> Result<Vec<PathBuf>, ImageError> {
        Ok(Self::layers(self, image_id)?.lower_dirs)
    }

    fn list(&self) -> Vec<StoredImage> {
        Self::list(self)
    }

    fn remove(&self, image_id: &str) -> Result<(), ImageError> {
        Self::remove(self, image_id).map(|_was_there| ())
    }
}

/// Beside a container's other files of this boot: the id of its image.
const IMAGE: &str = "image";

/// Writes down which image a container stands on.
pub(super) fn note_image(places: &Places, container: &ContainerSpec) -> io::Result<()> {
    let folder = places.container_run(&container.sandbox, &container.id);
    fs::write(folder.join(IMAGE), &container.image)
}

/// The ids of the images that containers stand on.
fn in_use(places: &Places) -> io::Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    for sandbox in places.sandboxes()? {
        let folder = places.run(&sandbox).join("c");
        for container in names(&folder)? {
            match fs::read_to_string(folder.join(container).join(IMAGE)) {
                Ok(image) => drop(used.insert(image)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(used)
}

/// Does what may wait for the disk on a thread of its own.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(system("work on the images")(io::Error::other(error))))
}

impl Inner {
    /// Every image, and whether a container stands on it.
    pub(super) fn images(&self) -> Result<Vec<StoredImage>, RuntimeError> {
        let used = in_use(&self.places).map_err(system("read which images are in use"))?;
        let mut images = self.config.images.list();
        for image in &mut images {
            image.in_use = used.contains(&image.id);
        }
        Ok(images)
    }

    /// Removes an image that no container stands on.
    pub(super) fn remove_image(&self, id: &str) -> Result<(), RuntimeError> {
        let used = in_use(&self.places).map_err(system("read which images are in use"))?;
        if used.contains(id) {
            return Err(RuntimeError::Invalid {
                id: id.to_owned(),
                why: "a container stands on this image; remove that first".to_owned(),
            });
        }
        let attempt = format!("remove image {id}");
        self.config.images.remove(id).map_err(|error| system(attempt)(io::Error::other(error)))
    }
}
