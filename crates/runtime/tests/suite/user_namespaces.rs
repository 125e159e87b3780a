//! Containers in user namespaces: who they are on the node, whose their files are, and what no container
//! gets at by being root.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use runtime::{
    ContainerSpec, Embedded, EmbeddedConfig, IpcMode, Mount, NetworkMode, PidMode, RuntimeError,
    SandboxSpec, UserNamespaces, VolumeSpec,
};

use crate::cases;
use crate::cases::line;
use crate::support::{Case, Node, On, container, open, program, sandbox};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    let mut all = cases![On::Users =>
        ids_are_mapped,
        owners_of_layers,
        owners_of_volumes_and_folders,
        the_nodes_files_are_out_of_reach,
        what_keeps_the_nodes_namespace,
        what_a_strict_node_refuses,
        ids_are_kept_over_a_restart,
        devices_of_the_node,
        what_cannot_be_refuses_at_once,
        drawn_are_the_same_without,
    ];
    all.extend(cases![On::Real => capabilities_of_files]);
    all
}

const BASE: u32 = UserNamespaces::DEFAULT_BASE;

/// The user of a process, as the node numbers it.
fn user_of(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    line(&status, "Uid:")[0].parse().unwrap()
}

async fn start(node: &Node, spec: &ContainerSpec) -> u32 {
    let started = node.runtime.start_container(spec).await;
    started.unwrap_or_else(|error| panic!("{}", stdx::chain(&error))).pid
}

fn waiting(id: &str, sandbox: &str) -> ContainerSpec {
    container(id, sandbox, &["cat", "/proc/self/uid_map", "say", "up", "forever"])
}

async fn ids_are_mapped(node: Node) -> Node {
    let mut seen = Vec::new();
    for name in ["one", "two"] {
        let sandbox = node.runtime.create_sandbox(&sandbox(name)).await.unwrap();
        let root = waiting(name, name);
        let mut web = waiting(&format!("{name}-web"), name);
        (web.user, web.init) = ("web".into(), name == "two");
        let pid = start(&node, &root).await;
        node.wait_for_line(&root, "up").await;
        let base = user_of(pid);
        assert!(base >= BASE && (base - BASE).is_multiple_of(65_536), "{base}");
        assert_eq!(user_of(sandbox.pid), base, "the process that holds the namespaces");
        assert_eq!(user_of(start(&node, &web).await), base + 33);
        let map = node.runtime.exec(&root.id, &program(&["cat", "/proc/self/uid_map"])).await;
        let map = String::from_utf8(map.unwrap().output).unwrap();
        let fields: Vec<u32> = map.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(fields, [0, base, 65_536]);
        let words = ["cat", "/proc/self/gid_map", "cat", "/proc/self/status", "stat", "/proc/self"];
        let mut exec = program(&words);
        exec.user = "web:log".into();
        let said = node.runtime.exec(&root.id, &exec).await.unwrap();
        let said = String::from_utf8(said.output).unwrap();
        assert!(said.starts_with(&map), "groups as users: {said}");
        assert_eq!(line(&said, "Uid:")[0], "33");
        assert_eq!(line(&said, "Gid:")[0], "50");
        seen.push(base);
    }
    assert_ne!(seen[0], seen[1], "every sandbox has ids of its own");
    node
}

async fn owners_of_layers(mut node: Node) -> Node {
    let words = [
        "stat",
        "/etc/plain",
        "stat",
        "/home/web",
        "chown",
        "/etc/plain",
        "33",
        "44",
        "stat",
        "/etc/plain",
        "write",
        "/made",
        "x",
        "stat",
        "/made",
        "chown",
        "/made",
        "65535",
        "0",
        "chown",
        "/made",
        "65536",
        "0",
        "stat",
        "/dev/null",
        "stat",
        "/",
        "say",
        "up",
        "forever",
    ];
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let spec = container("box", "sand", &words);
    let base = user_of(start(&node, &spec).await);
    node.wait_for_line(&spec, "up").await;
    let config = node.config.clone().unwrap();
    let upper = config.state_dir.join("s/sand/c/box/upper");
    let owner = |path: &str| {
        let stat = std::fs::symlink_metadata(upper.join(path)).unwrap();
        (stat.uid(), stat.gid())
    };
    assert_eq!(owner("etc/plain"), (base + 33, base + 44), "on the node");
    assert_eq!(owner("made"), (base + 65_535, base));
    let layer = config.run_dir.parent().unwrap().parent().unwrap().join("layer0/etc/plain");
    assert_eq!(std::fs::metadata(layer).unwrap().uid(), 0, "the layer is as it was");
    node.runtime.stop_container(&spec.id, std::time::Duration::ZERO).await.unwrap();
    node.exited(&spec.id).await;
    let log = node.log(&spec).await;
    let expected = [
        "stat /etc/plain 0 0 100644 0",
        "stat /home/web 0 0 40755 0",
        "chown /etc/plain 0",
        "stat /etc/plain 33 44 100644 0",
        "/made: ok",
        "stat /made 0 0 100644 0",
        "chown /made 0",
        // An id that the namespace does not have: "invalid argument".
        "chown /made 22",
        "stat /dev/null 0 0 20666 259",
        "stat / 0 0 40755 0",
        "up",
    ];
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
    node
}

async fn owners_of_volumes_and_folders(mut node: Node) -> Node {
    let volume = VolumeSpec {
        name: "data".into(),
        driver: "local".into(),
        options: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
    };
    node.runtime.create_volume(&volume).await.unwrap();
    let folder = node.dir.join("folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("old"), "old\n").unwrap();
    let mounts = vec![
        Mount::Volume { name: "data".into(), target: "/v".into(), readonly: false },
        Mount::Bind { source: folder.clone(), target: "/f".into(), readonly: false },
    ];
    let words = [
        "cat", "/f/old", "stat", "/f/old", "write", "/f/old", "new", "write", "/f/made", "x",
        "chown", "/f/made", "33", "44", "write", "/v/made", "x", "chown", "/v/made", "33", "44",
    ];
    let log = node.says(&words, |spec| spec.mounts.clone_from(&mounts)).await;
    assert!(log.starts_with("old\nstat /f/old 0 0 100644 0\n"), "{log}");
    assert_eq!(log.matches(": ok\n").count(), 3, "{log}");
    // On the disk nothing tells of the namespace: the next container has other ids.
    let disk = node.config.clone().unwrap().state_dir.join("volumes/data/_data");
    for path in [folder.join("made"), disk.join("made")] {
        let stat = std::fs::metadata(&path).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (33, 44), "{}", path.display());
    }
    assert_eq!(std::fs::metadata(folder.join("old")).unwrap().uid(), 0);
    let words = ["stat", "/v/made", "stat", "/f/made", "write", "/f/made", "again"];
    let log = node.says(&words, |spec| {
        spec.mounts.clone_from(&mounts);
        spec.user = "web".into();
    });
    let expected = "stat /v/made 33 44 100644 0\nstat /f/made 33 44 100644 0\n/f/made: ok\n";
    assert_eq!(log.await, expected);
    node.runtime.remove_volume("data").await.unwrap();
    node
}

async fn the_nodes_files_are_out_of_reach(mut node: Node) -> Node {
    // Of somebody whose id the namespace does not have: root's rights inside mean nothing to it.
    let folder = node.dir.join("folder");
    std::fs::create_dir(&folder).unwrap();
    let secret = folder.join("secret");
    std::fs::write(&secret, "secret").unwrap();
    std::os::unix::fs::chown(&secret, Some(70_000), Some(70_000)).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let words = [
        "cat",
        "/f/secret",
        "write",
        "/f/secret",
        "x",
        "chown",
        "/f/secret",
        "0",
        "0",
        "stat",
        "/f/secret",
        // Root's own, which nothing shows to the namespace as its root's.
        "write",
        "/proc/sys/kernel/core_pattern",
        "|/x",
        "write",
        "/proc/1/oom_score_adj",
        "-1",
        "chown",
        "/sys/kernel",
        "0",
        "0",
        "chown",
        "/proc/sys/kernel/core_pattern",
        "0",
        "0",
    ];
    let bind =
        |readonly| vec![Mount::Bind { source: folder.clone(), target: "/f".into(), readonly }];
    for capable in [false, true] {
        let log = node.says(&words, |spec| {
            spec.mounts = bind(false);
            if capable {
                spec.cap_add = vec!["ALL".into()];
                spec.seccomp = runtime::Seccomp::Unconfined;
            }
        });
        let log = log.await;
        assert!(!log.contains(": ok\n") && !log.contains("secret\n"), "{log}");
        assert!(log.contains("/f/secret: Permission denied"), "{log}");
        assert!(log.contains("stat /f/secret 65534 65534 100600 0"), "{log}");
        let chowns = log.lines().filter(|line| line.starts_with("chown "));
        assert!(chowns.clone().count() == 3 && chowns.clone().all(|l| !l.ends_with(" 0")), "{log}");
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    // With every capability of the namespace, and without a filter: the kernel stays the node's.
    let words = ["mknod", "/tmp/sda", "8", "0", "syscall", "164"];
    let log = node.says(&words, |spec| {
        spec.cap_add = vec!["ALL".into()];
        spec.seccomp = runtime::Seccomp::Unconfined;
    });
    let log = log.await;
    assert!(log.starts_with(&format!("mknod {}\n", libc::EPERM)), "{log}");
    // settimeofday
    assert!(!cfg!(target_arch = "x86_64") || log.ends_with("syscall 1\n"), "{log}");
    node
}

fn modes(id: &str, network: NetworkMode, pid: PidMode, ipc: IpcMode) -> SandboxSpec {
    SandboxSpec { network, pid, ipc, ..sandbox(id) }
}

/// The sandboxes that share something with the node.
fn sharing() -> [SandboxSpec; 3] {
    let (private, own) = (NetworkMode::Private, PidMode::Container);
    [
        modes("net", NetworkMode::Host, own, IpcMode::Container),
        modes("pid", private, PidMode::Host, IpcMode::Container),
        modes("ipc", private, own, IpcMode::Host),
    ]
}

async fn what_keeps_the_nodes_namespace(node: Node) -> Node {
    for spec in sharing() {
        node.runtime.create_sandbox(&spec).await.unwrap();
        let pid = start(&node, &waiting(spec.id.as_str(), spec.id.as_str())).await;
        assert_eq!(user_of(pid), 0, "{}", spec.id.as_str());
        node.runtime.remove_sandbox(&spec.id).await.unwrap();
    }
    // One with all privileges beside one without.
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let mut all = waiting("all", "sand");
    all.privileged = true;
    assert_eq!(user_of(start(&node, &all).await), 0);
    node.wait_for_line(&all, "up").await;
    let none = waiting("none", "sand");
    assert!(user_of(start(&node, &none).await) >= BASE);
    node.wait_for_line(&none, "up").await;
    for spec in [&all, &none] {
        let said = node.runtime.exec(&spec.id, &program(&["exit", "3"])).await.unwrap();
        assert_eq!(said.code, 3);
    }
    node
}

async fn what_a_strict_node_refuses(node: Node) -> Node {
    let mut config = node.config.clone().unwrap();
    drop(node);
    let (base, size) = (UserNamespaces::DEFAULT_BASE, 65_536 * 8);
    config.users = Some(UserNamespaces::new(base, size, true).unwrap());
    let mut node = open(&config).await;
    for (spec, what) in sharing().iter().zip(["network", "processes", "IPC objects"]) {
        let refusal = node.runtime.create_sandbox(spec).await.unwrap_err();
        let text = refusal.to_string();
        assert!(matches!(refusal, RuntimeError::Unsupported { .. }), "{text}");
        assert!(text.contains(&format!("the node's {what}")) && text.contains("strict"), "{text}");
    }
    let refusal = node.refusal(&["say"], |spec| spec.privileged = true).await.to_string();
    assert!(refusal.contains("all privileges"), "{refusal}");
    node
}

async fn ids_are_kept_over_a_restart(node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("one")).await.unwrap();
    let one = waiting("one", "one");
    let first = user_of(start(&node, &one).await);
    let node = node.again(std::time::Duration::from_millis(50)).await;
    assert_eq!(node.runtime.exec(&one.id, &program(&["exit", "3"])).await.unwrap().code, 3);
    let beside = waiting("beside", "one");
    assert_eq!(user_of(start(&node, &beside).await), first);
    for name in ["a", "b", "c"] {
        node.runtime.create_sandbox(&sandbox(name)).await.unwrap();
        assert_ne!(user_of(start(&node, &waiting(name, name)).await), first, "{name}");
    }
    node
}

async fn devices_of_the_node(mut node: Node) -> Node {
    let words = ["ls", "/dev/extra", "stat", "/dev/extra/zero", "open", "/dev/extra/zero"];
    let log = node.says(&words, |spec| {
        spec.devices = vec![("/dev/zero".into(), "/dev/extra/zero".into(), "rw".into())];
    });
    let expected = "/dev/extra: zero\nstat /dev/extra/zero 0 0 20666 261\nopen /dev/extra/zero 0\n";
    assert_eq!(log.await, expected);
    let refusal = node.refusal(&["say"], |spec| {
        spec.devices = vec![("/dev/zero".into(), "/zero".into(), "rw".into())];
    });
    let refusal = refusal.await.to_string();
    assert!(refusal.contains("below /dev"), "{refusal}");
    node
}

/// A file system that cannot be idmapped, for as long as this lives.
struct Unmappable(std::path::PathBuf);

impl Unmappable {
    fn on(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let (kind, flags) = ("ramfs", rustix::mount::MountFlags::empty());
        rustix::mount::mount(kind, folder, kind, flags, None::<&std::ffi::CStr>).unwrap();
        Self(folder.to_owned())
    }
}

impl Drop for Unmappable {
    fn drop(&mut self) {
        let flags = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(&self.0, flags).unwrap();
    }
}

async fn what_cannot_be_refuses_at_once(mut node: Node) -> Node {
    let refusal = node.refusal(&["say"], |spec| spec.user = "70000".into()).await;
    let RuntimeError::Start { why, .. } = refusal else { panic!("{refusal:?}") };
    assert!(why.contains("the id 70000 is not among the 65536"), "{why}");
    let there = Unmappable::on(&node.dir.join("unmappable"));
    let bind = Mount::Bind { source: there.0.clone(), target: "/f".into(), readonly: false };
    let refusal = node.refusal(&["say"], |spec| spec.mounts = vec![bind]).await;
    let text = stdx::chain(&refusal).to_string();
    assert!(text.contains("cannot be idmapped") && text.contains("unmappable"), "{text}");

    // A node that could start nothing says so when it is started.
    let config = node.config.clone().unwrap();
    drop(node);
    let attempt = |change: &dyn Fn(&mut EmbeddedConfig)| {
        let mut config = config.clone();
        change(&mut config);
        async move { Embedded::open(config).await.unwrap_err().to_string() }
    };
    let text = attempt(&|config| config.state_dir = there.0.join("state")).await;
    assert!(text.contains("--userns") && text.contains("cannot be idmapped"), "{text}");
    if std::process::Command::new("runc").arg("--version").output().is_ok() {
        let text = attempt(&|config| config.oci_runtime = Some("runc".into())).await;
        assert!(text.contains("--userns") && text.contains("runc"), "{text}");
    }
    drop(there);
    open(&config).await
}

/// What a program sees is the same with a user namespace and without: owners, rights, limits, mounts.
async fn drawn_are_the_same_without(mut node: Node) -> Node {
    let mut plain = node.config.clone().unwrap();
    plain.users = None;
    plain.state_dir = node.dir.join("plain/state");
    plain.run_dir = node.dir.join("plain/run");
    // Below the suite's own, of which nothing is left.
    plain.cgroup_parent = format!("{}/plain", plain.cgroup_parent);
    let mut other = open(&plain).await;
    let same = |log: &str| {
        let log = log.replace(",idmapped ", " ");
        let mut lines = crate::differential::comparable(&log);
        lines.retain(|line| !line.starts_with("0 "));
        // A file system tells of the ids that it was given as the node numbers them.
        for line in lines.iter_mut().filter(|line| line.starts_with("mount /")) {
            let (place, told) = line.rsplit_once(' ').unwrap();
            let told = told.split(',').filter(|word| !word.contains("id="));
            *line = format!("{place} {}", told.collect::<Vec<_>>().join(","));
        }
        lines
    };
    for seed in crate::drawn::seeds() {
        let spec = crate::drawn::container(seed, &node.dir);
        let (_, with) = node.run(&spec).await;
        let (_, without) = other.run(&spec).await;
        assert_eq!(same(&with), same(&without), "WHARF_DRAWN_FROM={seed}: {spec:?}");
    }
    drop(other);
    for _ in 0..100 {
        if runtime::teardown(&plain.run_dir, &plain.cgroup_parent).is_ok() {
            return node;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the other engine does not end");
}

async fn capabilities_of_files(mut node: Node) -> Node {
    // Docker unpacks the image itself, and the suite's archive of it has no extended attributes.
    if node.is_docker() {
        return node;
    }
    let words = ["cat", "/proc/self/status"];
    let log = node.says(&words, |spec| {
        (spec.user, spec.args[0]) = ("web".into(), "/capable".into());
    });
    let log = log.await;
    assert_eq!(line(&log, "CapEff:"), ["0000000000002000"], "{log}");
    node
}
