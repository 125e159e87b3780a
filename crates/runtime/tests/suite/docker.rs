//! The suite on Docker Engine: the probe's image put there, a node, and what it must not leave.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptions, RemoveImageOptions,
};
use futures_util::TryStreamExt;
use runtime::{DockerConfig, Runtime};

use crate::probe_image::{FolderImages, PROBE};
use crate::support::{Node, block_on, names};

const HOST: &str = "unix:///var/run/docker.sock";
const CGROUP: &str = "/wharf-suite-docker";

/// Docker Engine with the probe's image, which is removed with this.
pub(crate) struct Docker {
    tag: String,
}

fn engine() -> Option<bollard::Docker> {
    let path = HOST.strip_prefix("unix://").unwrap();
    bollard::Docker::connect_with_unix(path, 60, bollard::API_DEFAULT_VERSION).ok()
}

impl Docker {
    /// Puts the image on the Engine, if there is one.
    pub(crate) fn find(images: &FolderImages) -> Option<Self> {
        let archive = images.archive();
        let mut there = false;
        block_on(async {
            let Some(engine) = engine() else { return };
            if engine.ping().await.is_err() {
                return;
            }
            let (repository, tag) = PROBE.split_once(':').unwrap();
            let options = CreateImageOptionsBuilder::default()
                .from_src("-")
                .repo(repository)
                .tag(tag)
                .changes(vec!["ENTRYPOINT [\"/probe\"]".to_owned()])
                .build();
            let body = Some(bollard::body_full(archive.into()));
            let made = engine.create_image(Some(options), body, None);
            made.try_collect::<Vec<_>>().await.unwrap();
            there = true;
        });
        if !there {
            println!(
                "=== Docker Engine does not answer at {HOST}: NOTHING IS RUN ON IT. Install and start \
                 it to have every case run on it too. ==="
            );
        }
        there.then(|| Self { tag: format!("suite{}", std::process::id()) })
    }

    /// The word by which all cases' containers are told from others'.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// Runs a case on a node of its own, which must be bare when it ends.
    pub(crate) fn run(
        tag: String,
        home: PathBuf,
        case: fn(Node) -> Pin<Box<dyn Future<Output = Node>>>,
    ) -> impl Future<Output = ()> + use<> {
        let config = DockerConfig {
            host: HOST.into(),
            state_dir: home,
            tag,
            cgroup_parent: CGROUP.into(),
            clock: shell::SystemClock::shared(),
        };
        async move {
            let _cleaner = Cleaner(config.clone());
            let node = case(open(&config).await).await;
            for sandbox in node.runtime.list().await.unwrap() {
                node.runtime.remove_sandbox(&sandbox.spec.id).await.unwrap();
            }
            drop(node);
            let filters = [("label".to_owned(), vec![format!("wharf.node={}", config.tag)])];
            let options = ListContainersOptions {
                all: true,
                filters: Some(filters.into()),
                ..Default::default()
            };
            let left = engine().unwrap().list_containers(Some(options)).await.unwrap();
            assert!(left.is_empty(), "the case left {left:?}");
            assert_eq!(names(&config.state_dir.join("s")), [""; 0], "folders of sandboxes");
            assert_eq!(groups(), [""; 0], "cgroups");
        }
    }
}

/// The cgroups of sandboxes.
fn groups() -> Vec<String> {
    let root = std::path::Path::new("/sys/fs/cgroup");
    let of = |controller: String| {
        let folder = root.join(controller).join(&CGROUP[1..]);
        names(&folder).into_iter().filter(move |name| folder.join(name).is_dir())
    };
    names(root).into_iter().flat_map(of).collect()
}

/// Opens a node on the Engine, perhaps again.
pub(crate) async fn open(config: &DockerConfig) -> Node {
    std::fs::create_dir_all(&config.state_dir).unwrap();
    let opened = runtime::Docker::open(config.clone()).await;
    let docker = opened.unwrap_or_else(|error| panic!("{}", stdx::chain(&error)));
    let events = docker.take_events().unwrap();
    let dir = config.state_dir.clone();
    Node { runtime: Arc::new(docker), events, config: None, docker: Some(config.clone()), dir }
}

/// Clears up even when a case panics.
struct Cleaner(DockerConfig);

impl Drop for Cleaner {
    fn drop(&mut self) {
        let config = self.0.clone();
        let cleaning = std::thread::spawn(move || {
            block_on(async move {
                let opened = runtime::Docker::open(config).await.unwrap();
                opened.clear().await.unwrap();
            });
        });
        cleaning.join().unwrap();
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        block_on(async {
            let engine = engine().unwrap();
            for image in [PROBE, "wharf-pause:1"] {
                let options = RemoveImageOptions { force: true, ..Default::default() };
                // Another node's holding process may use the latter.
                drop(engine.remove_image(image, Some(options), None).await);
            }
        });
    }
}
