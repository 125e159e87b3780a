//! What containers share with their sandbox, with the node, and with each other: networks, processes,
//! IPC objects, volumes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use runtime::{
    ContainerNetwork, ContainerSpec, IpcMode, Mount, PidMode, RuntimeError, SandboxSpec, VolumeSpec,
};

use crate::cases;
use crate::support::{Case, Node, On, container, program, sandbox};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    let mut all = cases![On::Warm => networks_of_their_own];
    all.extend(cases![On::Real => ipc_modes, process_modes, volumes_are_filled_and_shared]);
    all.extend(cases![On::Embedded => volumes_with_file_systems]);
    all.extend(cases![On::Every => volumes_come_and_go]);
    all
}

async fn start(node: &Node, spec: &ContainerSpec) -> u32 {
    let started = node.runtime.start_container(spec).await;
    started.unwrap_or_else(|error| panic!("{}", stdx::chain(&error))).pid
}

/// The number of a namespace handle.
fn inode(handle: std::os::fd::OwnedFd) -> u64 {
    std::fs::File::from(handle).metadata().unwrap().ino()
}

fn namespace_of(pid: u32, kind: &str) -> u64 {
    std::fs::metadata(format!("/proc/{pid}/ns/{kind}")).unwrap().ino()
}

async fn networks_of_their_own(mut node: Node) -> Node {
    let sand = "sand".into();
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let shared = inode(node.runtime.network_namespace(&sand, None).await.unwrap());
    let mut numbers = vec![shared];
    for name in ["a", "b"] {
        let mut spec = container(name, "sand", &["cat", "/proc/net/dev", "say", "up", "forever"]);
        spec.network = ContainerNetwork::Own;
        let before = node.runtime.network_namespace(&sand, Some(&spec.id)).await.unwrap();
        let again = node.runtime.network_namespace(&sand, Some(&spec.id)).await.unwrap();
        let number = inode(before);
        assert_eq!(inode(again), number, "made once");
        let pid = start(&node, &spec).await;
        assert_eq!(namespace_of(pid, "net"), number);
        let after = node.runtime.network_namespace(&sand, Some(&spec.id)).await.unwrap();
        assert_eq!(inode(after), number);
        node.wait_for_line(&spec, "up").await;
        numbers.push(number);
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "each has its own");

    // Without a word of the caller there is loopback, and it is up.
    for network in [ContainerNetwork::None, ContainerNetwork::Own] {
        let mut spec = container("alone", "sand", &["cat", "/sys/class/net/lo/flags"]);
        spec.network = network;
        start(&node, &spec).await;
        node.exited(&spec.id).await;
        assert_eq!(node.log(&spec).await, "0x9\n", "{network:?}");
        node.runtime.remove_container(&spec.id).await.unwrap();
        std::fs::remove_dir_all(node.runtime.log_path(&sand, &spec.id).unwrap()).unwrap();
    }
    let plain = container("plain", "sand", &["forever"]);
    let pid = start(&node, &plain).await;
    assert_eq!(namespace_of(pid, "net"), shared);
    let refusal = node.runtime.network_namespace(&sand, Some(&plain.id)).await.unwrap_err();
    assert!(matches!(refusal, RuntimeError::Invalid { .. }), "{refusal:?}");
    node
}

fn modes(pid: PidMode, ipc: IpcMode) -> SandboxSpec {
    SandboxSpec { pid, ipc, ..sandbox("sand") }
}

async fn process_modes(mut node: Node) -> Node {
    for mode in [PidMode::Container, PidMode::Sandbox, PidMode::Host] {
        node.runtime.create_sandbox(&modes(mode, IpcMode::Container)).await.unwrap();
        let words = ["orphan", "say", "up", "forever"];
        let (one, two) = (container("one", "sand", &words), container("two", "sand", &words));
        let (first, second) = (start(&node, &one).await, start(&node, &two).await);
        for spec in [&one, &two] {
            node.wait_for_line(spec, "up").await;
        }
        let [first_ns, second_ns] = [first, second].map(|pid| namespace_of(pid, "pid"));
        let own = namespace_of(std::process::id(), "pid");
        let expected = match mode {
            PidMode::Container => (false, false),
            PidMode::Sandbox => (true, false),
            PidMode::Host => (true, true),
        };
        assert_eq!((first_ns == second_ns, first_ns == own), expected, "{mode:?}");
        let seen = node.runtime.exec(&one.id, &program(&["cat", "/proc/1/comm"])).await.unwrap();
        let seen = String::from_utf8(seen.output).unwrap();
        let init = std::fs::read_to_string("/proc/1/comm").unwrap();
        let first_process = match mode {
            PidMode::Container => "probe\n",
            PidMode::Sandbox => "pause\n",
            PidMode::Host => &init,
        };
        assert_eq!(seen, first_process, "{mode:?}");
        // What it leaves running goes with it, also where no namespace of its own dies.
        node.runtime.signal(&one.id, libc::SIGKILL).await.unwrap();
        assert_eq!(node.exited(&one.id).await.code, Some(137));
        node.runtime.remove_container(&one.id).await.unwrap();
        assert!(node.status(&two.id).await.unwrap().exit.is_none());
        let more = node.runtime.exec(&two.id, &program(&["exit", "4"])).await.unwrap();
        assert_eq!(more.code, 4);
        node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    }
    node
}

async fn ipc_modes(mut node: Node) -> Node {
    for mode in [IpcMode::Container, IpcMode::Sandbox, IpcMode::Host, IpcMode::None] {
        node.runtime.create_sandbox(&modes(PidMode::Container, mode)).await.unwrap();
        let name = format!("wharf-suite-{}", std::process::id());
        let file = format!("/dev/shm/{name}");
        let one = container("one", "sand", &["write", &file, "x", "say", "up", "forever"]);
        let mut two =
            container("two", "sand", &["cat", &file, "say", "", "cat", "/proc/self/mountinfo"]);
        two.shm_bytes = Some(96 << 20);
        let pid = start(&node, &one).await;
        node.wait_for_line(&one, "up").await;
        let ipc = namespace_of(pid, "ipc");
        start(&node, &two).await;
        node.exited(&two.id).await;
        let log = node.log(&two).await;
        let on_node = std::path::Path::new(&file).exists();
        std::fs::remove_file(&file).unwrap_or_default();
        let shared = log.starts_with("x\n");
        let own = ipc == namespace_of(std::process::id(), "ipc");
        let expected = match mode {
            IpcMode::Container | IpcMode::None => (false, false, false),
            IpcMode::Sandbox => (true, false, false),
            IpcMode::Host => (true, true, true),
        };
        assert_eq!((shared, own, on_node), expected, "{mode:?}: {log}");
        let memory = log.lines().find(|line| line.split(' ').nth(4) == Some("/dev/shm"));
        match mode {
            IpcMode::None => assert_eq!(memory, None, "{log}"),
            IpcMode::Host => assert!(memory.is_some(), "{log}"),
            // On Docker it is as large as that of the process that holds it.
            IpcMode::Sandbox if node.is_docker() => assert!(memory.is_some(), "{log}"),
            IpcMode::Container | IpcMode::Sandbox => {
                assert!(memory.unwrap().contains("size=98304k"), "{log}");
            }
        }
        node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    }
    let setting = node.runtime.create_sandbox(&modes(PidMode::Container, IpcMode::Host)).await;
    setting.unwrap();
    let mut spec = container("box", "sand", &["say", "x"]);
    spec.sysctls = BTreeMap::from([("kernel.msgmax".to_owned(), "9999".to_owned())]);
    let refusal = node.runtime.start_container(&spec).await.unwrap_err();
    let words = "the node's own IPC settings";
    assert!(node.is_docker() || refusal.to_string().contains(words), "{refusal}");
    node
}

/// A volume of the driver `local`.
fn volume(name: &str, options: &[(&str, &str)]) -> VolumeSpec {
    let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    VolumeSpec { name: name.into(), driver: "local".into(), options, labels: BTreeMap::new() }
}

fn mounted(name: &str, target: &str, readonly: bool) -> Mount {
    Mount::Volume { name: name.into(), target: target.into(), readonly }
}

async fn volumes_come_and_go(node: Node) -> Node {
    let name = "wharf-suite-volume";
    node.runtime.create_volume(&volume(name, &[])).await.unwrap();
    node.runtime.create_volume(&volume(name, &[])).await.unwrap();
    let other = volume(name, &[("type", "tmpfs"), ("device", "tmpfs")]);
    let refusal = node.runtime.create_volume(&other).await.unwrap_err();
    assert!(matches!(refusal, RuntimeError::Invalid { .. }), "{refusal:?}");
    let mut plugin = volume("wharf-suite-other", &[]);
    plugin.driver = "wharf-suite-plugin".into();
    let refusal = node.runtime.create_volume(&plugin).await.unwrap_err();
    assert!(stdx::chain(&refusal).contains("wharf-suite-plugin"), "{refusal}");

    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let mut spec = container("box", "sand", &["forever"]);
    spec.mounts = vec![mounted(name, "/data", false)];
    node.runtime.start_container(&spec).await.unwrap();
    let refusal = node.runtime.remove_volume(name).await.unwrap_err();
    assert!(matches!(refusal, RuntimeError::Invalid { .. }), "{refusal:?}");
    node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    node.runtime.remove_volume(name).await.unwrap();
    node.runtime.remove_volume(name).await.unwrap();
    node
}

async fn volumes_are_filled_and_shared(mut node: Node) -> Node {
    for name in ["filled", "plain"] {
        node.runtime.create_volume(&volume(name, &[])).await.unwrap();
    }
    let mut spec = container(
        "box",
        "sand",
        &["cat", "/etc/shadowed", "write", "/etc/shadowed", "mine", "write", "/plain/a", "A"],
    );
    spec.mounts = vec![mounted("filled", "/etc", false), mounted("plain", "/plain", false)];
    let (_, log) = node.run(&spec).await;
    assert_eq!(log, "upper\n/etc/shadowed: ok\n/plain/a: ok\n", "it has what the image has");
    spec.args =
        ["/probe", "cat", "/v/shadowed", "say", "", "cat", "/v/plain", "write", "/v/b", "B"]
            .map(String::from)
            .to_vec();
    spec.mounts = vec![mounted("filled", "/v", true)];
    let (_, log) = node.run(&spec).await;
    let expected = "mine\nnot a program\n/v/b: Read-only file system (os error 30)\n";
    assert_eq!(log, expected);
    for name in ["filled", "plain"] {
        node.runtime.remove_volume(name).await.unwrap();
    }
    let refusal = node.refusal(&["say"], |spec| spec.mounts = vec![mounted("gone", "/v", true)]);
    let refusal = refusal.await;
    assert!(refusal.to_string().contains("volume gone"), "{refusal}");
    node
}

async fn volumes_with_file_systems(mut node: Node) -> Node {
    let config = node.config.clone().unwrap();
    let shown = node.dir.join("shown");
    std::fs::create_dir_all(&shown).unwrap();
    std::fs::write(shown.join("file"), "of the node\n").unwrap();
    let device = shown.to_str().unwrap();
    let memory = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=2m,mode=750,noexec")];
    node.runtime.create_volume(&volume("memory", &memory)).await.unwrap();
    let bind = [("type", "none"), ("device", device), ("o", "bind,ro")];
    node.runtime.create_volume(&volume("shown", &bind)).await.unwrap();
    let broken = [("type", "nosuchfs"), ("device", "x")];
    node.runtime.create_volume(&volume("broken", &broken)).await.unwrap();

    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let words = ["cat", "/proc/self/mountinfo", "write", "/m/a", "A", "cat", "/s/file"];
    let mut spec = container("box", "sand", &words);
    spec.mounts = vec![mounted("memory", "/m", false), mounted("shown", "/s", false)];
    start(&node, &spec).await;
    node.exited(&spec.id).await;
    let log = node.log(&spec).await;
    let line = log.lines().find(|l| l.split(' ').nth(4) == Some("/m")).unwrap();
    assert!(line.contains("size=2048k") && line.contains("noexec"), "{line}");
    assert!(log.contains("/m/a: ok\n") && log.ends_with("of the node\n"), "{log}");
    spec.id = "again".into();
    spec.args = ["/probe", "cat", "/m/a", "write", "/s/b", "B"].map(String::from).to_vec();
    start(&node, &spec).await;
    node.exited(&spec.id).await;
    let log = node.log(&spec).await;
    assert_eq!(log, "A/s/b: Read-only file system (os error 30)\n", "mounted once, and kept");

    let mut odd = container("odd", "sand", &["say"]);
    odd.mounts = vec![mounted("broken", "/b", false)];
    let refusal = node.runtime.start_container(&odd).await.unwrap_err();
    assert!(stdx::chain(&refusal).contains("nosuchfs"), "{}", stdx::chain(&refusal));
    node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    for name in ["memory", "broken"] {
        node.runtime.remove_volume(name).await.unwrap();
    }
    // What is still mounted goes with everything else; what is behind the mount stays.
    drop(node);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    runtime::teardown(&config.run_dir, &config.cgroup_parent).unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(config.state_dir.to_str().unwrap()), "{mounts}");
    assert_eq!(std::fs::read_to_string(shown.join("file")).unwrap(), "of the node\n");
    crate::support::open(&config).await
}
