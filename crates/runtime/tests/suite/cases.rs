//! What a container sees and may do.

use runtime::{Mount, RuntimeError};

use crate::cases;
use crate::support::{Case, Node, On, container};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    let mut all = cases![On::Real => output_and_status, environment, start_errors];
    all.extend(cases![On::Real =>
        users,
        capabilities_and_seccomp,
        privileged,
        files_of_etc,
        mounts,
        tmpfs_options,
        readonly_root,
    ]);
    all
}

async fn output_and_status(mut node: Node) -> Node {
    let spec = container("box", "sand", &["say", "hello", "warn", "oops", "pid", "exit", "7"]);
    let (exit, log) = node.run(&spec).await;
    assert_eq!((exit.code, exit.oom_killed), (Some(7), false));
    assert!(log.contains("hello\n") && log.contains("!oops\n") && log.contains("pid 1\n"), "{log}");
    node
}

async fn environment(mut node: Node) -> Node {
    let log = node
        .says(&["env", "cwd", "cat", "/etc/shadowed", "link", "/dev/stdin"], |spec| {
            spec.env = vec!["A=b c".into(), "PATH=/bin".into()];
            spec.args[0] = "probe".into();
            spec.cwd = "/made/here".into();
            spec.user = "web".into();
        })
        .await;
    for line in ["A=b c", "PATH=/bin", "HOME=/home/web", "HOSTNAME=sand", "cwd /made/here", "upper"]
    {
        assert!(log.lines().any(|found| found == line), "{line} in {log}");
    }
    node
}

async fn start_errors(mut node: Node) -> Node {
    for (program, why) in [
        ("/nope", "exec: \"/nope\": no such file or directory"),
        ("nope", "exec: \"nope\": executable file not found in $PATH"),
        ("/etc/plain", "exec: \"/etc/plain\": permission denied"),
        ("/etc", "exec: \"/etc\": is a directory"),
        (
            "/script",
            "exec: \"/script\": no such file or directory (the file is there: its interpreter is not)",
        ),
    ] {
        for init in [false, true] {
            // Docker's init starts, as does a script there and elsewhere, and say so only by their ends.
            let late = node.is_docker() || node.engine().is_some();
            if node.is_docker() && init || late && program == "/script" {
                continue;
            }
            let refusal = node.refusal(&[], |spec| {
                spec.args = vec![program.into()];
                spec.init = init;
            });
            match refusal.await {
                RuntimeError::Start { why: found, .. } if node.is_docker() => {
                    assert!(found.starts_with(&format!("exec: \"{program}\": ")), "{found}");
                }
                // An OCI runtime has words of its own.
                RuntimeError::Start { why: found, .. } if node.engine().is_some() => {
                    assert!(
                        node.engine().as_deref() == Some("crun") || found.contains(program),
                        "{found}"
                    );
                }
                RuntimeError::Start { why: found, .. } => assert_eq!(found, why),
                other => panic!("{other:?}"),
            }
        }
    }
    let refusal = node.refusal(&["say"], |spec| spec.image = "sha256:absent".into()).await;
    assert!(matches!(refusal, RuntimeError::NotFound { what: "image", .. }), "{refusal:?}");
    node
}

pub(crate) fn line<'a>(log: &'a str, key: &str) -> Vec<&'a str> {
    let found = log.lines().find_map(|line| line.strip_prefix(key));
    found.unwrap_or_else(|| panic!("{key} in {log}")).split_whitespace().collect()
}

async fn users(mut node: Node) -> Node {
    for (user, groups, uid, gid, all) in [
        ("", vec![], "0", "0", vec![]),
        ("web", vec![], "33", "44", vec!["50"]),
        ("33:50", vec!["7".to_owned()], "33", "50", vec!["7"]),
        ("1234", vec!["www".to_owned()], "1234", "0", vec!["44"]),
    ] {
        let status = node.says(&["cat", "/proc/self/status"], |spec| {
            spec.user = user.into();
            spec.groups = groups.clone();
        });
        let status = status.await;
        assert_eq!(line(&status, "Uid:"), [uid; 4]);
        assert_eq!(line(&status, "Gid:"), [gid; 4]);
        // Docker counts the group itself among the further ones.
        let mut found = line(&status, "Groups:");
        found.retain(|group| !node.is_docker() || *group != gid);
        assert_eq!(found, all);
    }
    node
}

async fn capabilities_and_seccomp(mut node: Node) -> Node {
    let status = node.says(&["cat", "/proc/self/status", "mount", "unshare"], |_| {}).await;
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(line(&status, set), ["00000000a80425fb"]);
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(line(&status, set), ["0000000000000000"]);
    }
    assert_eq!((line(&status, "Seccomp:"), line(&status, "NoNewPrivs:")), (vec!["2"], vec!["0"]));
    // SIGPIPE alone, which a Rust program ignores by itself.
    assert_eq!(line(&status, "SigIgn:"), ["0000000000001000"]);
    assert_eq!(line(&status, "SigBlk:"), ["0000000000000000"]);
    assert!(status.contains("mount 1\n") && status.contains("unshare 1\n"), "{status}");

    // As another user nothing is left of the effective set; keyctl is refused, a call from the
    // future and clone3 are unknown.
    let words = ["cat", "/proc/self/status", "syscall", "250", "syscall", "9999", "syscall", "435"];
    let status = node.says(&words, |spec| {
        spec.user = "web".into();
        spec.no_new_privileges = true;
        spec.cap_drop = vec!["ALL".into()];
        spec.cap_add = vec!["NET_BIND_SERVICE".into()];
    });
    let status = status.await;
    assert_eq!(line(&status, "CapEff:"), ["0000000000000000"]);
    assert_eq!(line(&status, "CapBnd:"), ["0000000000000400"]);
    assert_eq!(line(&status, "NoNewPrivs:"), ["1"]);
    if cfg!(target_arch = "x86_64") {
        // crun has no word for calls that its library does not know: they are refused as others are.
        let future = if node.engine().as_deref() == Some("crun") { 1 } else { 38 };
        let expected = format!("syscall 1\nsyscall {future}\nsyscall 38\n");
        assert!(status.contains(&expected), "{status}");
    }
    node
}

async fn privileged(mut node: Node) -> Node {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    if node.is_docker() && !own.contains("CapBnd:\t000001ffffffffff\n") {
        println!("  skipped: Docker cannot give what this machine's root does not have");
        return node;
    }
    let words =
        ["cat", "/proc/self/status", "mount", "write", "/proc/sys/kernel/sem", "250 32000 32 128"];
    let log = node.says(&words, |spec| spec.privileged = true).await;
    assert_eq!(line(&log, "Seccomp:"), ["0"]);
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(line(&log, "CapEff:"), line(&own, "CapBnd:"));
    assert!(log.contains("mount 0\n") && log.contains("sem: ok\n"), "{log}");
    node
}

async fn files_of_etc(mut node: Node) -> Node {
    let words = [
        "cat",
        "/etc/hosts",
        "cat",
        "/etc/hostname",
        "cat",
        "/etc/resolv.conf",
        "cat",
        "/proc/sys/kernel/hostname",
    ];
    let log = node.says(&words, |spec| {
        spec.hostname = "boxy".into();
        spec.hosts = vec![("db".into(), "10.1.2.3".into())];
        spec.address = Some("10.9.8.7".into());
        spec.dns_servers = vec!["10.0.0.2".into()];
        spec.dns_search = vec!["a.test".into(), "b.test".into()];
    });
    let log = log.await;
    // Docker gives the address itself.
    let address = if node.is_docker() { "\tboxy\n" } else { "10.9.8.7\tboxy\n" };
    for text in [
        "127.0.0.1\tlocalhost\n",
        "10.1.2.3\tdb\n",
        address,
        "nameserver 10.0.0.2\n",
        "search a.test b.test\n",
    ] {
        assert!(log.contains(text), "{text} in {log}");
    }
    assert!(log.ends_with("boxy\n") && log.matches("boxy\n").count() == 3, "{log}");
    node
}

async fn mounts(mut node: Node) -> Node {
    let (outside, file) = (node.dir.join("outside"), node.dir.join("file"));
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(&file, "a file\n").unwrap();
    let made = node.dir.join("made/by/the/engine");
    let words = [
        "write",
        "/rw/a",
        "A",
        "write",
        "/ro/b",
        "B",
        "cat",
        "/deep/er/file",
        "write",
        "/escape/in",
        "C",
        "write",
        "/made/d",
        "D",
        "cat",
        "/escape/x/a",
    ];
    let bind = |source: &std::path::Path, target: &str, readonly| Mount::Bind {
        source: source.into(),
        target: target.into(),
        readonly,
    };
    let log = node.says(&words, |spec| {
        spec.mounts = vec![
            bind(&outside, "/rw", false),
            bind(&outside, "/ro", true),
            bind(&file, "/deep/er/file", true),
            bind(&made, "/made", false),
            // The image has `escape` point at its own /etc, by more `..` than there are folders.
            bind(&outside, "/escape/x", false),
        ];
    });
    let log = log.await;
    let expected = "/rw/a: ok\n/ro/b: Read-only file system (os error 30)\na file\n/escape/in: ok\n\
        /made/d: ok\nA\n";
    assert_eq!(log, expected);
    assert_eq!(std::fs::read_to_string(outside.join("a")).unwrap(), "A");
    assert_eq!(std::fs::read_to_string(made.join("d")).unwrap(), "D");
    assert!(!std::path::Path::new("/etc/in").exists() && !std::path::Path::new("/etc/x").exists());
    node
}

async fn tmpfs_options(mut node: Node) -> Node {
    let log = node.says(&["cat", "/proc/self/mountinfo", "write", "/scratch/a", "b"], |spec| {
        spec.shm_bytes = Some(1 << 20);
        spec.mounts = vec![Mount::Tmpfs {
            target: "/scratch".into(),
            size_bytes: Some(2 << 20),
            options: vec!["exec".into(), "mode=700".into()],
        }];
    });
    let log = log.await;
    let mount =
        |at: &str| log.lines().find(|l| l.split(' ').nth(4) == Some(at)).unwrap().to_owned();
    assert!(mount("/dev/shm").contains("size=1024k"), "{log}");
    let scratch = mount("/scratch");
    assert!(scratch.contains("size=2048k") && scratch.contains("mode=700"), "{scratch}");
    assert!(scratch.contains("nosuid") && !scratch.contains("noexec"), "{scratch}");
    let overlay = node.is_docker() || mount("/").contains(" - overlay ");
    assert!(overlay && log.contains("/scratch/a: ok"), "{log}");
    for (at, kind) in
        [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/mqueue", "mqueue")]
    {
        assert!(mount(at).contains(&format!(" - {kind} ")), "{at}");
    }
    node
}

async fn readonly_root(mut node: Node) -> Node {
    let words = [
        "write",
        "/a",
        "b",
        "write",
        "/dev/shm/a",
        "b",
        "write",
        "/proc/sys/kernel/sem",
        "1",
        "cat",
        "/proc/timer_list",
    ];
    let log = node.says(&words, |spec| spec.readonly_root = true).await;
    assert!(log.starts_with("/a: Read-only file system (os error 30)\n/dev/shm/a: ok\n"), "{log}");
    assert!(log.contains("sem: Read-only file system"), "{log}");
    assert!(log.ends_with("(os error 30)\n"), "it is empty: {log}");
    node
}
