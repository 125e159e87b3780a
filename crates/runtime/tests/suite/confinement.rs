//! What holds a container in: filters, profiles, swap, and what no container may reach.

use runtime::{RuntimeError, Seccomp};

use crate::cases;
use crate::cases::line;
use crate::support::{Case, Node, On, container};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    cases![On::Embedded =>
        seccomp_profiles,
        swap_and_swappiness,
        app_armor,
        the_node_is_out_of_reach,
        forbidden_calls,
        what_is_handed_over_is_all_there_is,
    ]
}

async fn seccomp_profiles(mut node: Node) -> Node {
    let words = ["cat", "/proc/self/status", "pid", "syscall", "39", "syscall", "9999"];
    let log = node.says(&words, |spec| spec.seccomp = Seccomp::Unconfined).await;
    assert_eq!(line(&log, "Seccomp:"), ["0"]);
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77},
        {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 78,
         "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
        {"names": ["getpgrp"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_CHOWN"]}}]}"#;
    if cfg!(target_arch = "x86_64") {
        let words =
            ["cat", "/proc/self/status", "syscall", "162", "syscall", "95", "syscall", "111"];
        for no_new_privileges in [false, true] {
            let log = node.says(&words, |spec| {
                spec.seccomp = Seccomp::Profile(profile.to_owned());
                spec.no_new_privileges = no_new_privileges;
            });
            let log = log.await;
            assert_eq!(line(&log, "Seccomp:"), ["2"]);
            assert!(log.ends_with("syscall 77\nsyscall 78\nsyscall 0\n"), "{log}");
        }
    }
    for (json, why) in [
        ("nonsense", "cannot be read"),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY"),
    ] {
        let refusal = node.refusal(&[], |spec| spec.seccomp = Seccomp::Profile(json.to_owned()));
        match refusal.await {
            RuntimeError::Invalid { why: found, .. } => assert!(found.contains(why), "{found}"),
            other => panic!("{other:?}"),
        }
    }
    node
}

async fn swap_and_swappiness(mut node: Node) -> Node {
    let folder = "/sys/fs/cgroup/memory";
    if !std::path::Path::new(folder).join("memory.swappiness").exists() {
        let refusal = node.refusal(&["say"], |spec| spec.swappiness = Some(10)).await;
        assert!(stdx::chain(&refusal).contains("memory.swappiness"), "{refusal}");
        return node;
    }
    let file = |name: &str| format!("{folder}/memory.{name}");
    let (swappiness, both) = (file("swappiness"), file("memsw.limit_in_bytes"));
    let words = ["cat", &swappiness, "cat", &both];
    let log = node.says(&words, |spec| {
        spec.swappiness = Some(10);
        spec.limits.memory_bytes = Some(64 << 20);
        spec.limits.memory_swap_bytes = Some(96 << 20);
    });
    let log = log.await;
    assert!(log.starts_with("10\n"), "{log}");
    let accounted = std::path::Path::new(&both).exists();
    assert!(!accounted || log.ends_with(&format!("{}\n", 96 << 20)), "{log}");
    let refusal = node.refusal(&["say"], |spec| spec.swappiness = Some(101)).await;
    assert!(refusal.to_string().contains("between 0 and 100"), "{refusal}");
    node
}

async fn app_armor(mut node: Node) -> Node {
    let log = node.says(&["say", "x"], |spec| spec.apparmor = Some("unconfined".into())).await;
    assert_eq!(log, "x\n");
    let refusal = node.refusal(&["say"], |spec| spec.apparmor = Some("no-such-profile".into()));
    let refusal = refusal.await.to_string();
    assert!(refusal.contains("AppArmor profile \"no-such-profile\""), "{refusal}");
    node
}

async fn the_node_is_out_of_reach(mut node: Node) -> Node {
    let secret = node.dir.join("of-the-node");
    std::fs::write(&secret, "secret").unwrap();
    let path = secret.to_str().unwrap().to_owned();
    let escape = format!("/proc/1/root{path}");
    let words = [
        "cat",
        &path,
        "cat",
        &escape,
        // The engine's program, by which containers have been left before (CVE-2019-5736).
        "write",
        "/proc/self/exe",
        "x",
        "write",
        "/proc/sys/kernel/core_pattern",
        "|/x",
        "write",
        "/proc/sysrq-trigger",
        "h",
        "write",
        "/sys/kernel/uevent_helper",
        "/x",
        "write",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "1",
        "write",
        "/sys/fs/cgroup/devices/devices.allow",
        "a",
        "write",
        "/proc/self/oom_score_adj",
        "-1000",
        "ls",
        "/proc/1/task",
        "ls",
        "/sys/firmware",
    ];
    let log = node.says(&words, |_| {}).await;
    assert!(!log.contains(": ok\n"), "{log}");
    assert!(!log.contains("secret"), "{log}");
    assert!(log.contains("/sys/firmware: \n"), "it is empty: {log}");

    // Nodes of the kernel's memory and of the first disk can be made, as with Docker, not opened.
    let words =
        ["mknod", "/tmp/mem", "1", "1", "open", "/tmp/mem", "mknod", "/tmp/kmsg", "1", "11"];
    let words = [&words[..], &["open", "/tmp/kmsg", "open", "/proc/kcore"]].concat();
    let log = node.says(&words, |_| {}).await;
    if node.has_users() {
        // The root of a user namespace makes no nodes at all.
        assert_eq!(log.matches(&format!("mknod {}\n", libc::EPERM)).count(), 2, "{log}");
        return node;
    }
    assert_eq!(log.matches("mknod 0\n").count(), 2, "{log}");
    for path in ["/tmp/mem", "/tmp/kmsg"] {
        assert!(log.contains(&format!("open {path} {}\n", libc::EPERM)), "{log}");
    }
    node
}

async fn forbidden_calls(mut node: Node) -> Node {
    if !cfg!(target_arch = "x86_64") {
        return node;
    }
    let refused = [
        ("keyctl", 250),
        ("add_key", 248),
        ("request_key", 249),
        ("bpf", 321),
        ("userfaultfd", 323),
        ("perf_event_open", 298),
        ("mount", 165),
        ("umount2", 166),
        ("pivot_root", 155),
        ("setns", 308),
        ("unshare", 272),
        ("init_module", 175),
        ("finit_module", 313),
        ("kexec_load", 246),
        ("reboot", 169),
        ("swapon", 167),
        ("open_by_handle_at", 304),
        ("io_uring_setup", 425),
        ("open_tree", 428),
        ("move_mount", 429),
        ("fsopen", 430),
        ("settimeofday", 164),
        ("iopl", 172),
        ("acct", 163),
        ("quotactl", 179),
        ("syslog", 103),
    ];
    let numbers: Vec<String> = refused.iter().map(|(_, number)| number.to_string()).collect();
    let words: Vec<&str> = numbers.iter().flat_map(|number| ["syscall", number]).collect();
    for user in ["", "web"] {
        let log = node.says(&words, |spec| spec.user = user.into()).await;
        for ((name, _), line) in refused.iter().zip(log.lines()) {
            assert_eq!(line, format!("syscall {}", libc::EPERM), "{name}");
        }
    }
    node
}

async fn what_is_handed_over_is_all_there_is(mut node: Node) -> Node {
    // No descriptor of the engine or the shim, neither at the start nor in a further program.
    let words = ["ls", "/proc/self/fd", "say", "up", "forever"];
    node.runtime.create_sandbox(&crate::support::sandbox("sand")).await.unwrap();
    let mut spec = container("box", "sand", &words);
    spec.mounts = vec![runtime::Mount::Bind {
        source: node.dir.clone(),
        target: "/bound".into(),
        readonly: true,
    }];
    node.runtime.start_container(&spec).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    let seen = node.runtime.exec(&spec.id, &crate::support::program(&words[..2])).await.unwrap();
    // The fourth is the folder that is being read.
    let expected = "/proc/self/fd: 0 1 2 3\n";
    assert_eq!(String::from_utf8_lossy(&seen.output), expected);
    // The bind mount cannot be made writable again.
    let words = ["remount", "/bound", "write", "/bound/x", "x"];
    let tried = node.runtime.exec(&spec.id, &crate::support::program(&words)).await.unwrap();
    let tried = String::from_utf8_lossy(&tried.output).into_owned();
    let refused = "remount 1\n/bound/x: Read-only file system (os error 30)\n";
    assert_eq!(tried, refused);
    node.runtime.stop_container(&spec.id, std::time::Duration::ZERO).await.unwrap();
    node.exited(&spec.id).await;
    assert!(node.log(&spec).await.starts_with(expected));
    node
}
