//! Images on the Engine. What was pulled from here is noted, so that nothing else is ever cleaned up.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptions, RemoveImageOptions, TagImageOptions,
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use stdx::Timestamp;
use tokio::time::Instant;

use super::Inner;
use super::fault::{is_away, said, status};
use crate::embedded::system;
use crate::image::reference::{Name, parse};
use crate::{
    Image, ImageConfig, ImageError, ImageRequest, PullPolicy, PullProgress, PullStage,
    RuntimeError, StoredImage,
};

/// Progress of one layer is told no oftener than this.
const OFTEN: Duration = Duration::from_millis(100);

/// An image that was pulled from here.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pulled {
    pulled_at: Timestamp,
    used_at: Timestamp,
}

/// The images that were pulled from here, by id.
type Notes = BTreeMap<String, Pulled>;

/// What the Engine calls an image: where it was pulled from, and as the user wrote it.
struct Spellings {
    /// `127.0.0.1:4747/web`.
    repository: String,
    /// Its tag, or its digest.
    version: String,
    /// The first two as one.
    remote: String,
    /// As written, complete.
    canonical: String,
    is_digest: bool,
}

fn spellings(name: &Name) -> Spellings {
    let repository = format!("{}/{}", name.remote.registry(), name.remote.repository());
    let digest = name.remote.digest();
    let version = digest.or(name.remote.tag()).unwrap_or("latest").to_owned();
    let joint = if digest.is_some() { '@' } else { ':' };
    Spellings {
        remote: format!("{repository}{joint}{version}"),
        repository,
        version,
        canonical: name.canonical.clone(),
        is_digest: digest.is_some(),
    }
}

impl Inner {
    /// Makes an image present.
    pub(crate) async fn pull(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        let name = parse(request)?;
        let spelt = spellings(&name);
        if request.policy == PullPolicy::IfAbsent
            && let Some(image) = self.present(&name, &spelt).await?
        {
            return Ok(image);
        }
        let begin = self.now();
        match self.download(request, &name, &spelt).await {
            Ok(fresh) => {
                let image = self.present(&name, &spelt).await?;
                let mut image = image.ok_or_else(|| ImageError::NotFound {
                    reference: name.given.clone(),
                    host: name.host.clone(),
                })?;
                image.pulled = fresh.then(|| (begin, self.now()));
                self.note_image(&image.id, fresh.then(|| self.now()));
                Ok(image)
            }
            Err(error) if request.policy == PullPolicy::PreferFresh => {
                self.present(&name, &spelt).await?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// An image that the Engine has, by either name.
    async fn present(&self, name: &Name, spelt: &Spellings) -> Result<Option<Image>, ImageError> {
        for name_here in [&spelt.canonical, &spelt.remote] {
            match self.engine.inspect_image(name_here).await {
                Ok(found) => return Ok(Some(image(found, spelt))),
                Err(error) if status(&error) == Some(404) => {}
                Err(error) => return Err(self.unreachable(name, &error)),
            }
        }
        Ok(None)
    }

    /// Pulls, and names it as the user wrote it; whether anything new came.
    async fn download(
        &self,
        request: &ImageRequest,
        name: &Name,
        spelt: &Spellings,
    ) -> Result<bool, ImageError> {
        let credentials = request.credentials.as_ref().map(|credentials| DockerCredentials {
            username: Some(credentials.username.clone()),
            password: Some(credentials.password.clone()),
            serveraddress: Some(name.remote.registry().to_owned()),
            ..DockerCredentials::default()
        });
        let options = CreateImageOptionsBuilder::default()
            .from_image(&spelt.repository)
            .tag(&spelt.version)
            .build();
        let mut teller = Teller::new(request);
        let mut stream = std::pin::pin!(self.engine.create_image(Some(options), None, credentials));
        while let Some(told) = stream.next().await {
            match told {
                Ok(told) => teller.heed(told),
                Err(error) => return Err(self.refused_image(name, &error)),
            }
        }
        if !spelt.is_digest && spelt.canonical != spelt.remote {
            let (repository, tag) =
                spelt.canonical.rsplit_once(':').unwrap_or((&spelt.canonical, "latest"));
            let options =
                TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
            let tagged = self.engine.tag_image(&spelt.remote, Some(options)).await;
            tagged.map_err(|error| self.unreachable(name, &error))?;
        }
        Ok(teller.fresh)
    }

    fn unreachable(&self, name: &Name, error: &Error) -> ImageError {
        let host = if is_away(error) {
            format!("Docker Engine at {}", self.socket)
        } else {
            name.host.clone()
        };
        let source = Box::from(said(error));
        ImageError::Unreachable { reference: name.given.clone(), host, source }
    }

    fn refused_image(&self, name: &Name, error: &Error) -> ImageError {
        let why = said(error);
        let (reference, host) = (name.given.clone(), name.host.clone());
        let has = |words: &[&str]| words.iter().any(|word| why.contains(word));
        if is_away(error) {
            self.unreachable(name, error)
        } else if has(&["no matching manifest for", "does not match the specified platform"]) {
            let platform = format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH);
            ImageError::Platform { reference, platform, available: "others only".to_owned() }
        } else if has(&[
            "manifest unknown",
            "not found: ",
            "repository does not exist",
            "NAME_UNKNOWN",
            "name unknown",
        ]) && !has(&["lookup "])
        {
            ImageError::NotFound { reference, host }
        } else if has(&["unauthorized", "denied", "no basic auth", "authentication required"]) {
            ImageError::Denied { reference, host, why }
        } else if has(&["server gave HTTP response to HTTPS client"]) {
            let why = format!(
                "{why}. Docker Engine speaks plain HTTP with registries on loopback only: add \
                 \"insecure-registries\": [\"{host}\"] to /etc/docker/daemon.json"
            );
            ImageError::Unreachable { reference, host, source: Box::from(why) }
        } else {
            ImageError::Unreachable { reference, host, source: Box::from(why) }
        }
    }

    /// Every image that was pulled from here and is still there.
    pub(crate) async fn pulled_images(&self) -> Result<Vec<StoredImage>, RuntimeError> {
        let notes = self.read_notes();
        let mut all = Vec::new();
        for (id, note) in notes {
            let attempt = || format!("look at image {id}");
            let found = match self.engine.inspect_image(&id).await {
                Ok(found) => found,
                Err(error) if status(&error) == Some(404) => continue,
                Err(error) => return Err(self.failed(attempt(), &error)),
            };
            all.push(StoredImage {
                in_use: self.image_in_use(&id).await?,
                references: found.repo_tags.unwrap_or_default(),
                bytes: found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                pulled_at: note.pulled_at,
                used_at: note.used_at,
                id,
            });
        }
        Ok(all)
    }

    async fn image_in_use(&self, id: &str) -> Result<bool, RuntimeError> {
        let filters = HashMap::from([("ancestor".to_owned(), vec![id.to_owned()])]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let users = self.engine.list_containers(Some(options)).await;
        let users = users.map_err(|error| self.failed(format!("see who uses {id}"), &error))?;
        Ok(!users.is_empty())
    }

    /// Removes an image. Gone already is success.
    pub(crate) async fn discard_image(&self, id: &str) -> Result<(), RuntimeError> {
        if self.image_in_use(id).await? {
            let why = "a container uses it; remove that first".to_owned();
            return Err(RuntimeError::Invalid { id: id.to_owned(), why });
        }
        // By force, because it may have several names.
        let options = RemoveImageOptions { force: true, ..Default::default() };
        match self.engine.remove_image(id, Some(options), None).await {
            Ok(_) => {}
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return Err(self.failed(format!("remove image {id}"), &error)),
        }
        let mut notes = self.read_notes();
        notes.remove(id);
        self.write_notes(&notes);
        Ok(())
    }

    /// A container was started from an image.
    pub(crate) fn images_used(&self, id: &str) {
        self.note_image(id, None);
    }

    /// Notes that an image was pulled or, if it once was, used.
    fn note_image(&self, id: &str, pulled_at: Option<Timestamp>) {
        let now = self.now();
        let mut notes = self.read_notes();
        match (notes.get_mut(id), pulled_at) {
            // To the minute is near enough, and spares writing it down at every start.
            (Some(note), None) if now.since(note.used_at) < Duration::from_secs(60) => return,
            (Some(note), None) => note.used_at = now,
            (None, None) => return,
            (_, Some(pulled_at)) => {
                notes.insert(id.to_owned(), Pulled { pulled_at, used_at: now });
            }
        }
        self.write_notes(&notes);
    }

    fn read_notes(&self) -> Notes {
        let mut kept = super::guard(&self.notes);
        kept.get_or_insert_with(|| {
            let text = std::fs::read(self.notes_path()).unwrap_or_default();
            serde_json::from_slice(&text).unwrap_or_default()
        })
        .clone()
    }

    fn write_notes(&self, notes: &Notes) {
        *super::guard(&self.notes) = Some(notes.clone());
        let path = self.notes_path();
        let fresh = path.with_extension("new");
        let put = || -> std::io::Result<()> {
            std::fs::write(&fresh, serde_json::to_vec(notes)?)?;
            std::fs::rename(&fresh, &path)
        };
        if let Err(error) = put().map_err(system("note which images were pulled")) {
            // Such an image is not cleaned up: that is all.
            tracing::warn!(error = stdx::chain(&error), "Images could not be noted.");
        }
    }

    fn notes_path(&self) -> std::path::PathBuf {
        self.config.state_dir.join("images.json")
    }
}

/// An image as the seam has it.
fn image(found: ImageInspect, spelt: &Spellings) -> Image {
    let config = found.config.unwrap_or_default();
    let id = found.id.unwrap_or_default();
    let digests = found.repo_digests.unwrap_or_default();
    let of = |repository: &str| {
        digests.iter().find_map(|digest| {
            digest.strip_prefix(repository)?.strip_prefix('@').map(str::to_owned)
        })
    };
    let any = || digests.iter().find_map(|digest| Some(digest.split_once('@')?.1.to_owned()));
    // One that no registry gave has no manifest: its id stands for that.
    let digest = of(&spelt.repository).or_else(any).unwrap_or_else(|| id.clone());
    Image {
        digest,
        id,
        config: ImageConfig {
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            stop_signal: config.stop_signal.unwrap_or_default(),
        },
        pulled: None,
    }
}

/// Tells how far a pull is.
struct Teller<'a> {
    request: &'a ImageRequest,
    told: HashMap<String, Instant>,
    totals: HashMap<String, u64>,
    /// Something new came.
    fresh: bool,
}

impl<'a> Teller<'a> {
    fn new(request: &'a ImageRequest) -> Self {
        Self { request, told: HashMap::new(), totals: HashMap::new(), fresh: false }
    }

    fn heed(&mut self, told: CreateImageInfo) {
        let status = told.status.unwrap_or_default();
        self.fresh |= status.starts_with("Status: Downloaded");
        let (Some(layer), Some(progress)) = (told.id, self.request.progress.as_ref()) else {
            return;
        };
        let detail = told.progress_detail.unwrap_or_default();
        let number = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        let total = match number(detail.total) {
            0 => self.totals.get(&layer).copied().unwrap_or(0),
            total => *self.totals.entry(layer.clone()).insert_entry(total).get(),
        };
        let (stage, received) = match status.as_str() {
            "Already exists" => (PullStage::Present, total),
            "Pulling fs layer" => (PullStage::Receiving, 0),
            "Downloading" => (PullStage::Receiving, number(detail.current)),
            "Pull complete" => (PullStage::Done, total),
            _ => return,
        };
        let now = Instant::now();
        let soon = |last: &Instant| now.duration_since(*last) < OFTEN;
        if status == "Downloading" && self.told.get(&layer).is_some_and(soon) {
            return;
        }
        self.told.insert(layer.clone(), now);
        // Nobody may listen any more.
        progress.send(PullProgress { layer, received, total, stage }).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecr_names_are_pulled_from_where_they_are() {
        let request = |reference: &str| ImageRequest {
            reference: reference.to_owned(),
            policy: PullPolicy::Always,
            credentials: None,
            endpoint: Some(("127.0.0.1:4747".to_owned(), true)),
            progress: None,
        };
        let ecr = "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/web";
        let spelt = spellings(&parse(&request(&format!("{ecr}:2"))).unwrap());
        assert_eq!(spelt.remote, "127.0.0.1:4747/team/web:2");
        assert_eq!(spelt.canonical, format!("{ecr}:2"));
        let digest = format!("sha256:{}", "a".repeat(64));
        let spelt = spellings(&parse(&request(&format!("{ecr}@{digest}"))).unwrap());
        assert_eq!(spelt.remote, format!("127.0.0.1:4747/team/web@{digest}"));
        assert!(spelt.is_digest);
    }

    #[test]
    fn progress_is_told_by_layers() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let request = ImageRequest {
            reference: "web".to_owned(),
            policy: PullPolicy::Always,
            credentials: None,
            endpoint: None,
            progress: Some(sender),
        };
        let mut teller = Teller::new(&request);
        for told in [
            r#"{"status": "Pulling from web", "id": "latest"}"#,
            r#"{"status": "Pulling fs layer", "id": "aa"}"#,
            r#"{"status": "Downloading", "id": "bb", "progressDetail": {"current": 5, "total": 9}}"#,
            r#"{"status": "Pull complete", "id": "bb"}"#,
            r#"{"status": "Status: Downloaded newer image for web:latest"}"#,
        ] {
            teller.heed(serde_json::from_str(told).unwrap());
        }
        assert!(teller.fresh);
        let mut seen = Vec::new();
        while let Ok(progress) = receiver.try_recv() {
            seen.push((progress.layer, progress.received, progress.total, progress.stage));
        }
        let expected = [
            ("aa".to_owned(), 0, 0, PullStage::Receiving),
            ("bb".to_owned(), 5, 9, PullStage::Receiving),
            ("bb".to_owned(), 9, 9, PullStage::Done),
        ];
        assert_eq!(seen, expected);
    }
}
