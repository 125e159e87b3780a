//! Containers drawn at random, from a number: the same number draws the same container.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use runtime::{ContainerSpec, Limits, Mount, Seccomp};

use crate::differential::WORDS;

/// Capabilities that the root of any machine that runs the suite can give.
const CAPABILITIES: [&str; 12] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "MKNOD",
    "NET_ADMIN",
    "NET_RAW",
    "SETFCAP",
    "SETPCAP",
    "SYS_ADMIN",
    "SYS_CHROOT",
    "SYS_PTRACE",
];

/// Kernel settings of a container's own, with a value that is not the default.
const SETTINGS: [(&str, &str); 6] = [
    ("net.core.somaxconn", "1234"),
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.ip_local_port_range", "20000\t30000"),
    ("kernel.msgmax", "9999"),
    ("kernel.shm_rmid_forced", "1"),
    ("fs.mqueue.queues_max", "77"),
];

/// Limits that need no more rights than root always has.
const ULIMITS: [(&str, u64, u64); 7] = [
    ("core", 0, 0),
    ("nofile", 200, 400),
    ("nproc", 300, 600),
    ("sigpending", 100, 200),
    ("msgqueue", 4096, 8192),
    ("memlock", 4096, 65_536),
    ("fsize", 1 << 30, 1 << 40),
];

const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]}"#;

fn names(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    let some = subsequence(of.to_vec(), 0..=most);
    some.prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

/// A drawn mount: bind mounts show a folder or a file of `shown`.
fn mount(shown: &Path) -> impl Strategy<Value = Mount> + use<> {
    let (folder, file) = (shown.join("folder"), shown.join("file"));
    let folders = select(vec!["/a/b", "/etc/x", "/tmp", "/escape/in", "/home/web"]);
    let bind = (folders.clone(), any::<bool>()).prop_map(move |(target, readonly)| Mount::Bind {
        source: folder.clone(),
        target: target.into(),
        readonly,
    });
    let single = (select(vec!["/etc/plain", "/new/file"]), any::<bool>()).prop_map(
        move |(target, readonly)| Mount::Bind {
            source: file.clone(),
            target: target.into(),
            readonly,
        },
    );
    let times = select(vec!["noatime", "relatime", "strictatime", "nodiratime"]);
    let options = names(&["exec", "suid", "dev", "mode=755", "uid=33", "gid=44", "ro"], 7);
    let memory = (folders, prop::option::of(select(vec![1_u64 << 20, 3 << 20])), options, times);
    let memory = memory.prop_map(|(target, size_bytes, mut options, time)| {
        options.push(time.to_owned());
        Mount::Tmpfs { target: target.into(), size_bytes, options }
    });
    prop_oneof![bind, single, memory]
}

fn user() -> impl Strategy<Value = (String, Vec<String>)> {
    // runc is given numbers: looking names up is its callers' work.
    let user = select(vec!["", "33:44", "0:7", "1234:0", "65000:65000"]);
    (user, names(&["50", "51", "7"], 3)).prop_map(|(user, groups)| (user.to_owned(), groups))
}

fn rights() -> impl Strategy<Value = (Vec<String>, Vec<String>, bool, Seccomp)> {
    let filter = select(vec![
        Seccomp::Default,
        Seccomp::Default,
        Seccomp::Unconfined,
        Seccomp::Profile(PROFILE.to_owned()),
    ]);
    let drop = prop_oneof![names(&CAPABILITIES, 6), Just(vec!["ALL".to_owned()])];
    (names(&CAPABILITIES, 6), drop, any::<bool>(), filter)
}

fn strategy(shown: &Path) -> impl Strategy<Value = ContainerSpec> + use<> {
    let place = (
        select(vec!["", "/home", "/made/by/it", "/etc/../tmp", "/escape"]),
        select(vec!["", "name-of-its.own"]),
        any::<bool>(),
        prop::option::of(select(vec![1_u64 << 20, 5 << 20])),
        prop::collection::vec(mount(shown), 0..4),
    );
    let limits = (
        subsequence(SETTINGS.to_vec(), 0..=3),
        subsequence(ULIMITS.to_vec(), 0..=4),
        prop::option::of(select(vec![32_u64 << 20, 100 << 20])),
        prop::option::of(50..100_u64),
        prop::collection::vec(any::<Index>(), 0..3),
    );
    (place, user(), rights(), limits, "[a-z =\"'$]{0,20}").prop_map(
        |(place, (user, groups), rights, (settings, ulimits, memory, pids, devices), text)| {
            let mut spec = crate::support::container("box", "sand", &WORDS);
            let (cwd, hostname, readonly, shm, mounts) = place;
            (spec.cwd, spec.hostname, spec.readonly_root) =
                (cwd.to_owned(), hostname.to_owned(), readonly);
            (spec.shm_bytes, spec.user, spec.groups) = (shm, user, groups);
            for mount in mounts {
                // The second mount on a target would lie over the first, or in it.
                if !spec.mounts.iter().any(|other| target(other) == target(&mount)) {
                    spec.mounts.push(mount);
                }
            }
            (spec.cap_add, spec.cap_drop, spec.no_new_privileges, spec.seccomp) = rights;
            for (name, value) in settings {
                let path = format!("/proc/sys/{}", name.replace('.', "/"));
                spec.args.extend(["cat".to_owned(), path]);
                spec.sysctls.insert(name.to_owned(), value.to_owned());
            }
            spec.ulimits = ulimits
                .into_iter()
                .map(|(name, soft, hard)| (name.to_owned(), soft, hard))
                .collect();
            spec.limits = Limits { memory_bytes: memory, pids, ..Limits::default() };
            const HOST: [&str; 4] = ["/dev/zero", "/dev/full", "/dev/null", "/dev/urandom"];
            for (number, index) in devices.into_iter().enumerate() {
                let (host, path) = (index.get(&HOST), format!("/dev/drawn{number}"));
                spec.devices.push(((*host).to_owned(), path, "rw".to_owned()));
            }
            spec.env = vec![format!("DRAWN={text}")];
            spec
        },
    )
}

fn target(mount: &Mount) -> &Path {
    match mount {
        Mount::Bind { target, .. } | Mount::Tmpfs { target, .. } | Mount::Volume { target, .. } => {
            target
        }
    }
}

/// The numbers to draw from, each told when its turn comes.
pub(crate) fn seeds() -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let from = number("WHARF_DRAWN_FROM").unwrap_or(0);
    let seeds = from..from + number("WHARF_DRAWN").unwrap_or(12);
    seeds.inspect(|seed| println!("  WHARF_DRAWN_FROM={seed}"))
}

/// Draws a container; what it binds is made below `home`.
pub(crate) fn container(seed: u64, home: &Path) -> ContainerSpec {
    let shown = home.join("drawn");
    std::fs::create_dir_all(shown.join("folder")).unwrap();
    std::fs::write(shown.join("file"), "of the node\n").unwrap();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    strategy(&shown).new_tree(&mut runner).unwrap().current()
}
