//! The suite's harness: what a case runs on, a node of its own, which must be bare again when the case
//! ends. Which are run, and how side by side: [`crate::lanes`].

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use runtime::log::{LogPosition, LogReader, Stream};
use runtime::{
    ContainerId, ContainerSpec, ContainerStatus, DockerConfig, Embedded, EmbeddedConfig, Event,
    ExecSpec, Exit, Fake, Limits, LogMode, NetworkMode, Runtime, RuntimeError, SandboxSpec,
    UserNamespaces,
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::probe_image::{FolderImages, PROBE};

/// The cgroup of everything that this process, one case, makes.
pub(crate) fn cgroup() -> String {
    format!("/wharf-suite-{}", std::process::id())
}

/// A node with a runtime on it.
pub(crate) struct Node {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) events: UnboundedReceiver<Event>,
    /// What the embedded engine was opened with; none for the others.
    pub(crate) config: Option<EmbeddedConfig>,
    /// What Docker Engine was; none for the others.
    pub(crate) docker: Option<DockerConfig>,
    pub(crate) dir: PathBuf,
}

/// A case: its name, what it runs on, what it does.
pub(crate) type Case = (&'static str, On, fn(Node) -> Pin<Box<dyn Future<Output = Node>>>);

/// What a case runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// Every runtime.
    Every,
    /// Every runtime that has real containers, the embedded engine with warm slots too.
    Real,
    /// The embedded engine, with and without user namespaces.
    Embedded,
    /// The embedded engine without user namespaces.
    Plain,
    /// The embedded engine with user namespaces.
    Users,
    /// The embedded engine with warm slots too.
    Warm,
}

/// `cases![On::Every: one, two]` as a list of cases.
#[macro_export]
macro_rules! cases {
    ($on:expr => $($name:ident),+ $(,)?) => {
        vec![$({
            let case: $crate::support::Case = (stringify!($name), $on, |node| Box::pin($name(node)));
            case
        }),+]
    };
}

/// One way in which the embedded engine is set up.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Its word in front of a case's name.
    pub(crate) name: &'static str,
    pub(crate) warm_slots: usize,
    users: Option<UserNamespaces>,
    /// The OCI runtime that carries out what the engine's own part would.
    oci_runtime: Option<PathBuf>,
}

/// The set-ups that a case runs on.
pub(crate) fn targets(on: On, case: &str, engines: &[&'static str]) -> Vec<Target> {
    let plain =
        |warm_slots| Target { name: "embedded", warm_slots, users: None, oci_runtime: None };
    let mut targets: Vec<Target> = match on {
        On::Warm | On::Real => vec![plain(0), plain(2)],
        On::Every | On::Embedded | On::Plain => vec![plain(0)],
        On::Users => Vec::new(),
    };
    if on != On::Plain {
        let slots = if matches!(on, On::Warm | On::Real | On::Users) { 2 } else { 0 };
        let users = Some(UserNamespaces::default());
        targets.push(Target { name: "userns", users, ..plain(slots) });
    }
    if !matches!(on, On::Plain | On::Users) {
        let engines = engines.iter().filter(|engine| crate::oci::runs(engine, case));
        targets.extend(engines.map(|name| Target {
            name,
            oci_runtime: Some(PathBuf::from(name)),
            ..plain(usize::from(on == On::Warm))
        }));
    }
    targets
}

pub(crate) fn block_on(work: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    // Whoever wants more drawn containers waits longer.
    let more = std::env::var("WHARF_DRAWN").ok().and_then(|text| text.parse::<u64>().ok());
    // A case takes seconds; the machine may be busy with others.
    let limit = Duration::from_secs(240 + 4 * more.unwrap_or(0));
    let timed = async { tokio::time::timeout(limit, work).await.expect("a case takes too long") };
    runtime.unwrap().block_on(timed);
}

pub(crate) fn fake(dir: &Path) -> Node {
    let fake = Fake::new(shell::SystemClock::shared());
    let events = fake.take_events().unwrap();
    assert!(fake.take_events().is_none(), "once");
    Node { runtime: Arc::new(fake), events, config: None, docker: None, dir: dir.into() }
}

pub(crate) async fn on_embedded(
    home: PathBuf,
    images: Arc<FolderImages>,
    target: Target,
    case: fn(Node) -> Pin<Box<dyn Future<Output = Node>>>,
) {
    let Target { warm_slots, users, oci_runtime, .. } = target;
    let config = EmbeddedConfig {
        state_dir: home.join("state"),
        run_dir: home.join("run"),
        cgroup_parent: cgroup(),
        clock: shell::SystemClock::shared(),
        images,
        helper_exe: None,
        warm_slots,
        oci_runtime,
        users,
    };
    let _cleaner = Cleaner(config.clone());
    let node = open(&config).await;
    if warm_slots > 0 {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let node = case(node).await;
    for sandbox in node.runtime.list().await.unwrap() {
        node.runtime.remove_sandbox(&sandbox.spec.id).await.unwrap();
    }
    let config = node.config.clone().unwrap();
    drop(node);
    bare(&config, warm_slots).await;
}

/// Opens an engine, perhaps again.
pub(crate) async fn open(config: &EmbeddedConfig) -> Node {
    let mut tries = 0;
    let engine = loop {
        // The lock of the engine before may be held by a task that is just ending.
        match Embedded::open(config.clone()).await {
            Ok(engine) => break engine,
            Err(error) if tries > 100 => panic!("{}", stdx::chain(&error)),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        tries += 1;
    };
    let events = engine.take_events().unwrap();
    let dir = config.run_dir.parent().unwrap().to_owned();
    Node { runtime: Arc::new(engine), events, config: Some(config.clone()), docker: None, dir }
}

/// Nothing is left: no folder of a sandbox, no cgroup, and so no process.
async fn bare(config: &EmbeddedConfig, warm_slots: usize) {
    let mut left = String::new();
    for _ in 0..200 {
        left = leftovers(config);
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("with {warm_slots} slots, the case left: {left}");
}

/// What is left of sandboxes.
pub(crate) fn leftovers(config: &EmbeddedConfig) -> String {
    let mut left = Vec::new();
    for folder in [config.run_dir.join("s"), config.state_dir.join("s")] {
        left.extend(names(&folder).into_iter().map(|name| format!("{}/{name}", folder.display())));
    }
    for controller in names(Path::new("/sys/fs/cgroup")) {
        let folder = Path::new("/sys/fs/cgroup").join(&controller).join(&config.cgroup_parent[1..]);
        let below = names(&folder);
        left.extend(below.iter().filter(|name| folder.join(name).is_dir()).cloned());
    }
    left.join(" ")
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Clears up even when a case panics.
struct Cleaner(EmbeddedConfig);

impl Drop for Cleaner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The engine's lock is still held by the case: what is left is removed without it.
            std::fs::remove_file(self.0.run_dir.join("lock")).unwrap_or_default();
        }
        // A task of the engine that was just dropped may hold the lock a little longer.
        let mut result = runtime::teardown(&self.0.run_dir, &self.0.cgroup_parent);
        for _ in 0..100 {
            if result.is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
            result = runtime::teardown(&self.0.run_dir, &self.0.cgroup_parent);
        }
        result.unwrap();
    }
}

/// A sandbox's specification.
pub(crate) fn sandbox(id: &str) -> SandboxSpec {
    SandboxSpec {
        id: id.into(),
        labels: BTreeMap::from([("label".to_owned(), "of the suite".to_owned())]),
        network: NetworkMode::Private,
        limits: Limits::default(),
        pid: runtime::PidMode::default(),
        ipc: runtime::IpcMode::default(),
        hardened: false,
    }
}

/// A container that runs the probe with these words.
pub(crate) fn container(id: &str, sandbox: &str, words: &[&str]) -> ContainerSpec {
    let args = ["/probe"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    ContainerSpec {
        id: id.into(),
        sandbox: sandbox.into(),
        image: PROBE.into(),
        args,
        env: Vec::new(),
        cwd: String::new(),
        user: String::new(),
        groups: Vec::new(),
        hostname: String::new(),
        mounts: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        privileged: false,
        readonly_root: false,
        no_new_privileges: false,
        init: false,
        tty: false,
        open_stdin: false,
        limits: Limits::default(),
        ulimits: Vec::new(),
        sysctls: BTreeMap::new(),
        shm_bytes: None,
        devices: Vec::new(),
        gpus: Vec::new(),
        hosts: Vec::new(),
        dns_servers: Vec::new(),
        dns_search: Vec::new(),
        address: None,
        health: None,
        log: LogMode::Files { max_bytes: 1 << 20, max_files: 3, non_blocking_bytes: None },
        stop_signal: String::new(),
        network: runtime::ContainerNetwork::default(),
        ports: Vec::new(),
        swappiness: None,
        seccomp: runtime::Seccomp::default(),
        apparmor: None,
        labels: BTreeMap::new(),
    }
}

/// A program for `exec`.
pub(crate) fn program(words: &[&str]) -> ExecSpec {
    ExecSpec {
        args: ["/probe"].iter().chain(words).map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        user: String::new(),
        timeout: Duration::from_secs(20),
        max_output: 1 << 20,
    }
}

impl Node {
    /// Whether it only plays containers.
    pub(crate) fn is_fake(&self) -> bool {
        self.config.is_none() && self.docker.is_none()
    }

    /// Whether its containers are in user namespaces.
    pub(crate) fn has_users(&self) -> bool {
        self.config.as_ref().is_some_and(|config| config.users.is_some())
    }

    /// The OCI runtime that runs its containers.
    pub(crate) fn engine(&self) -> Option<String> {
        let program = self.config.as_ref()?.oci_runtime.as_ref()?;
        Some(program.file_name()?.to_string_lossy().into_owned())
    }

    /// Whether it is Docker Engine, whose words and process names are its own.
    pub(crate) fn is_docker(&self) -> bool {
        self.docker.is_some()
    }

    /// The same node opened again after a while without anybody.
    pub(crate) async fn again(self, pause: Duration) -> Self {
        let (config, docker) = (self.config.clone(), self.docker.clone());
        drop(self);
        tokio::time::sleep(pause).await;
        match (config, docker) {
            (Some(config), _) => open(&config).await,
            (None, Some(docker)) => crate::docker::open(&docker).await,
            (None, None) => panic!("the fake is not opened again"),
        }
    }

    /// Runs a container in a sandbox of its own to its end: how it ended and what it wrote.
    pub(crate) async fn run(&mut self, spec: &ContainerSpec) -> (Exit, String) {
        self.runtime.create_sandbox(&sandbox(spec.sandbox.as_str())).await.unwrap();
        self.runtime.start_container(spec).await.unwrap_or_else(|e| panic!("{}", stdx::chain(&e)));
        let exit = self.exited(&spec.id).await;
        let log = self.log(spec).await;
        self.runtime.remove_sandbox(&spec.sandbox).await.unwrap();
        (exit, log)
    }

    /// Runs the probe with these words, changed by `change`, and tells what it wrote.
    pub(crate) async fn says(
        &mut self,
        words: &[&str],
        change: impl FnOnce(&mut ContainerSpec),
    ) -> String {
        let mut spec = container("box", "sand", words);
        change(&mut spec);
        let (exit, log) = self.run(&spec).await;
        assert_eq!(exit.code, Some(0), "{log}");
        log
    }

    /// Tries to start a container; the refusal.
    pub(crate) async fn refusal(
        &mut self,
        words: &[&str],
        change: impl FnOnce(&mut ContainerSpec),
    ) -> RuntimeError {
        let mut spec = container("box", "sand", words);
        change(&mut spec);
        self.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
        let refusal = self.runtime.start_container(&spec).await.expect_err("a refusal");
        let list = self.runtime.list().await.unwrap();
        assert!(list.iter().all(|s| s.containers.is_empty()), "{list:?}");
        if let Some(config) = &self.config {
            for folder in [&config.run_dir, &config.state_dir] {
                assert_eq!(names(&folder.join("s/sand/c")), [""; 0], "files of a refused one");
            }
        }
        self.runtime.remove_sandbox(&"sand".into()).await.unwrap();
        refusal
    }

    /// Waits for a container's exit event.
    pub(crate) async fn exited(&mut self, id: &ContainerId) -> Exit {
        loop {
            match self.events.recv().await.unwrap() {
                Event::Exited { container, exit, .. } if container == *id => return exit,
                _ => {}
            }
        }
    }

    /// Everything a container wrote, to its end; errors marked `!`.
    pub(crate) async fn log(&self, spec: &ContainerSpec) -> String {
        let folder = self.runtime.log_path(&spec.sandbox, &spec.id).unwrap();
        let mut reader = LogReader::open(folder, LogPosition::default());
        let mut text = String::new();
        loop {
            while let Some(entry) = reader.next_entry().unwrap() {
                if entry.stream == Stream::Error {
                    text.push('!');
                }
                text.push_str(&String::from_utf8_lossy(&entry.bytes));
                if !entry.partial {
                    text.push('\n');
                }
            }
            if reader.is_finished() {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a container's log has a line.
    pub(crate) async fn wait_for_line(&self, spec: &ContainerSpec, line: &str) {
        let folder = self.runtime.log_path(&spec.sandbox, &spec.id).unwrap();
        let mut reader = LogReader::open(folder, LogPosition::default());
        loop {
            match reader.next_entry().unwrap() {
                Some(entry) if entry.bytes == line.as_bytes() => return,
                Some(_) => {}
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// A container as listed.
    pub(crate) async fn status(&self, id: &ContainerId) -> Option<ContainerStatus> {
        let list = self.runtime.list().await.unwrap();
        list.into_iter().flat_map(|s| s.containers).find(|c| c.id == *id)
    }
}
