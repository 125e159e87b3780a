//! The engine against `runc`: the same specification, the same view from inside. Some specifications
//! are written down here, others are drawn: see [`crate::drawn`].
//!
//! Skipped, saying so, where there is no runc.

use std::path::{Path, PathBuf};
use std::process::Command;

use runtime::spec::{Facts, HostDevice, build};
use runtime::{ContainerSpec, Limits, Mount, NetworkMode};

use crate::cases;
use crate::support::{Case, Node, On, container};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    cases![On::Plain => same_as_runc, drawn_are_the_same_as_runc]
}

/// What the probe tells of itself.
pub(crate) const WORDS: [&str; 25] = [
    "cat",
    "/proc/self/status",
    "cat",
    "/proc/self/limits",
    "cat",
    "/proc/self/mountinfo",
    "ls",
    "/dev",
    "env",
    "cwd",
    "mount",
    "unshare",
    "cat",
    "/proc/sys/kernel/hostname",
    "cat",
    "/proc/keys",
    "write",
    "/written",
    "x",
    "nodes",
    "/dev",
    "cat",
    "/proc/self/oom_score_adj",
    "cat",
    "/proc/self/uid_map",
];

fn specs() -> Vec<(&'static str, ContainerSpec)> {
    let plain = container("box", "sand", &WORDS);
    let mut user = plain.clone();
    // runc is given numbers: looking names up is its callers' work.
    (user.user, user.groups) = ("33:44".into(), vec!["50".into(), "51".into()]);
    (user.no_new_privileges, user.readonly_root, user.cwd) = (true, true, "/home".into());
    let mut caps = plain.clone();
    (caps.cap_add, caps.cap_drop) =
        (vec!["SYS_ADMIN".into()], vec!["MKNOD".into(), "CHOWN".into()]);
    caps.ulimits = vec![("nofile".into(), 1024, 2048), ("nproc".into(), 500, 600)];
    let mut mounts = plain.clone();
    mounts.mounts = vec![
        Mount::Bind { source: "/var/tmp".into(), target: "/a/b".into(), readonly: true },
        Mount::Tmpfs {
            target: "/t".into(),
            size_bytes: Some(1 << 20),
            options: vec!["exec".into()],
        },
    ];
    mounts.limits = Limits { memory_bytes: Some(64 << 20), pids: Some(50), ..Limits::default() };
    let mut privileged = plain.clone();
    privileged.privileged = true;
    let mut settings = plain.clone();
    settings.sysctls = [
        ("net.core.somaxconn", "1234"),
        ("net.ipv4.ip_unprivileged_port_start", "80"),
        ("kernel.msgmax", "9999"),
        ("fs.mqueue.msg_max", "20"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    for name in settings.sysctls.keys() {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        settings.args.extend(["cat".to_owned(), path]);
    }
    let mut devices = plain.clone();
    devices.devices = vec![
        ("/dev/zero".into(), "/dev/deep/er".into(), "rw".into()),
        ("/dev/full".into(), "/dev/mine".into(), "r".into()),
        ("/dev/random".into(), String::new(), "rwm".into()),
    ];
    devices.args.extend(["nodes", "/dev/deep", "open", "/dev/mine"].map(String::from));
    let mut open = plain.clone();
    (open.seccomp, open.cap_drop) = (runtime::Seccomp::Unconfined, vec!["ALL".into()]);
    vec![
        ("settings", settings),
        ("devices", devices),
        ("open", open),
        ("plain", plain),
        ("user", user),
        ("capabilities", caps),
        ("mounts", mounts),
        ("privileged", privileged),
    ]
}

async fn same_as_runc(mut node: Node) -> Node {
    if Command::new("runc").arg("--version").output().is_err() {
        println!("  skipped: there is no runc here");
        return node;
    }
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let full = own.contains("CapBnd:\t000001ffffffffff\n");
    for (name, spec) in specs() {
        if spec.privileged && !full {
            println!("  {name} skipped: runc cannot give what this machine's root does not have");
            continue;
        }
        println!("  {name}");
        compare(&mut node, name, &spec).await;
    }
    node
}

async fn compare(node: &mut Node, name: &str, spec: &ContainerSpec) {
    let (exit, ours) = node.run(spec).await;
    assert_eq!(exit.code, Some(0), "{name}: {ours}");
    let theirs = by_runc(node, name, spec);
    let (ours, theirs) = (comparable(&ours), comparable(&theirs));
    let only = |one: &[String], other: &[String]| {
        let lines = one.iter().filter(|line| !other.contains(line)).cloned();
        lines.collect::<Vec<_>>().join("\n  ")
    };
    assert!(
        ours == theirs,
        "{name}: {spec:?}\nours alone:\n  {}\nrunc's alone:\n  {}",
        only(&ours, &theirs),
        only(&theirs, &ours)
    );
}

/// Specifications drawn at random. A failure prints the number that draws it again:
/// `WHARF_DRAWN_FROM=17 WHARF_DRAWN=1`; more of them come with `WHARF_DRAWN=500`.
async fn drawn_are_the_same_as_runc(mut node: Node) -> Node {
    if Command::new("runc").arg("--version").output().is_err() {
        println!("  skipped: there is no runc here");
        return node;
    }
    for seed in crate::drawn::seeds() {
        let spec = crate::drawn::container(seed, &node.dir);
        compare(&mut node, &format!("drawn-{seed}"), &spec).await;
        std::fs::remove_dir_all(node.dir.join(format!("bundle-drawn-{seed}"))).unwrap();
    }
    node
}

fn runc_cgroup() -> String {
    format!("/wharf-suite-runc-{}", std::process::id())
}

/// Runs the same specification by runc, over a copy of the image's files.
fn by_runc(node: &Node, name: &str, spec: &ContainerSpec) -> String {
    let bundle = node.dir.join(format!("bundle-{name}"));
    let rootfs = bundle.join("rootfs");
    std::fs::create_dir_all(&rootfs).unwrap();
    let images = node.dir.parent().unwrap();
    for layer in ["layer0/.", "layer1/."] {
        let copied = Command::new("cp").arg("-a").arg(images.join(layer)).arg(&rootfs).status();
        assert!(copied.unwrap().success());
    }
    for file in ["hosts", "hostname", "resolv.conf"] {
        std::fs::write(bundle.join(file), "").unwrap();
    }
    let facts = Facts {
        rootfs: PathBuf::from("rootfs"),
        etc: bundle.clone(),
        cgroup: format!("{}/{name}", runc_cgroup()),
        network: NetworkMode::Private,
        network_namespace: None,
        pid: runtime::PidMode::default(),
        ipc: runtime::IpcMode::default(),
        shm: None,
        volumes: std::collections::BTreeMap::new(),
        kernel: (6, 1),
        apparmor: false,
        sandbox_limits: Limits::default(),
        devices: spec.devices.iter().map(device).collect(),
    };
    let mut built = build(spec, &facts).unwrap();
    let mut process = built.process().clone().unwrap();
    let (uid, gid) = spec.user.split_once(':').unwrap_or(("0", "0"));
    let mut user = process.user().clone();
    user.set_uid(uid.parse().unwrap());
    user.set_gid(gid.parse().unwrap());
    user.set_additional_gids(Some(spec.groups.iter().map(|g| g.parse().unwrap()).collect()));
    process.set_user(user);
    built.set_process(Some(process));
    let mounts = built.mounts().clone().unwrap().into_iter();
    // On v1 runc shows cgroups by its own rules.
    let mounts = mounts.filter(|mount| mount.destination() != Path::new("/sys/fs/cgroup"));
    built.set_mounts(Some(mounts.collect()));
    built.save(bundle.join("config.json")).unwrap();
    let root = bundle.join("state");
    let id = format!("wharf-suite-{name}");
    let output = Command::new("runc")
        .arg("--root")
        .arg(&root)
        .args(["run", "--bundle"])
        .arg(&bundle)
        .arg(&id)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {error}{text}");
    // runc makes the parent and leaves it.
    for folder in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        std::fs::remove_dir(folder.path().join(&runc_cgroup()[1..])).unwrap_or_default();
    }
    text
}

fn device((host, path, access): &(String, String, String)) -> HostDevice {
    let stat = rustix::fs::stat(host.as_str()).unwrap();
    HostDevice {
        path: if path.is_empty() { host.into() } else { path.into() },
        block: false,
        major: rustix::fs::major(stat.st_rdev),
        minor: rustix::fs::minor(stat.st_rdev),
        mode: stat.st_mode,
        access: access.clone(),
    }
}

/// The lines that must be the same: without numbers of processes, mounts and devices, and without
/// what is known to differ.
pub(crate) fn comparable(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_mount = fields.len() > 8 && fields.contains(&"-");
        let line = if is_mount {
            let dash = fields.iter().position(|field| *field == "-").unwrap();
            let (at, kind) = (fields[4], fields[dash + 1]);
            if at == "/" || at.starts_with("/sys/fs/cgroup") {
                continue;
            }
            let mut options: Vec<&str> = fields[5].split(',').collect();
            options.sort_unstable();
            // What the file system itself was told; whether it is read-only is the mount's matter, and
            // what hides others has nothing in it.
            let hides = at.starts_with("/proc/") || at.starts_with("/sys/");
            let mut told: Vec<&str> = fields.last().unwrap().split(',').collect();
            told.retain(|word| !hides && !matches!(*word, "ro" | "rw"));
            told.sort_unstable();
            let told =
                if matches!(kind, "ext4" | "overlay") { String::new() } else { told.join(",") };
            format!("mount {at} {kind} {} {told}", options.join(","))
        } else {
            const SAME: [&str; 12] = [
                "Uid:",
                "Gid:",
                "Groups:",
                "CapInh:",
                "CapPrm:",
                "CapEff:",
                "CapBnd:",
                "CapAmb:",
                "NoNewPrivs:",
                "Seccomp:",
                "SigBlk:",
                "Umask:",
            ];
            let is_status = fields.first().is_some_and(|field| field.ends_with(':'));
            // Of our two filters runc needs one; the rest of the status is of the process.
            if is_status && !SAME.contains(&fields[0]) && !line.starts_with("/dev:") {
                continue;
            }
            fields.join(" ")
        };
        lines.push(line);
    }
    lines.sort();
    lines
}
