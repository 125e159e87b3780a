//! Limits, process 1, terminals, logs, and further programs in a container.

use std::time::Duration;

use runtime::{Limits, LogMode, NetworkMode, RuntimeError};

use crate::cases;
use crate::cases::line;
use crate::support::{Case, Node, On, container, program, sandbox};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    cases![On::Real =>
        resource_limits,
        memory_limit_kills,
        init_reaps_and_forwards,
        terminal,
        standard_input,
        rlimits_and_sysctls,
        devices,
        exec_programs,
        log_rotation,
        no_log,
        host_network,
        usage_counts,
    ]
}

async fn resource_limits(mut node: Node) -> Node {
    let words = [
        "forks",
        "20",
        "ls",
        "/sys/fs/cgroup",
        "write",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "-1",
    ];
    let mut spec = container("box", "sand", &words);
    spec.limits = Limits {
        memory_bytes: Some(64 << 20),
        memory_reservation_bytes: Some(32 << 20),
        cpu_shares: Some(512),
        cpu_millis: Some(500),
        pids: Some(5),
        ..Limits::default()
    };
    let (exit, log) = node.run(&spec).await;
    assert_eq!(exit.code, Some(0));
    assert!(log.contains("forks 4\n"), "{log}");
    if log.contains(" memory ") {
        assert!(log.contains("Read-only file system"), "{log}");
    }
    node
}

async fn memory_limit_kills(mut node: Node) -> Node {
    let mut spec = container("box", "sand", &["child", "hog 200", "exit", "3"]);
    let limits = Limits {
        memory_bytes: Some(32 << 20),
        memory_swap_bytes: Some(32 << 20),
        ..Limits::default()
    };
    spec.limits = limits;
    let (exit, log) = node.run(&spec).await;
    assert_eq!((exit.code, exit.oom_killed), (Some(3), true), "a child was killed: {log}");
    spec.args = ["/probe", "hog", "200"].map(String::from).to_vec();
    let (exit, _) = node.run(&spec).await;
    assert_eq!((exit.code, exit.oom_killed), (Some(137), true));

    // The sandbox's limit counts for all of its containers together.
    spec.limits = Limits::default();
    let parent = runtime::SandboxSpec { limits, ..sandbox("sand") };
    node.runtime.create_sandbox(&parent).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    let exit = node.exited(&spec.id).await;
    assert_eq!(exit.code, Some(137));
    node
}

async fn init_reaps_and_forwards(mut node: Node) -> Node {
    let mut spec =
        container("box", "sand", &["trap", "10", "orphan", "pid", "say", "up", "forever"]);
    spec.init = true;
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    let seen = node.runtime.exec(&spec.id, &program(&["cat", "/proc/1/comm"])).await.unwrap();
    let init = if node.is_docker() { "docker-init\n" } else { "init\n" };
    assert_eq!(String::from_utf8_lossy(&seen.output), init);
    node.runtime.signal(&spec.id, libc::SIGUSR1).await.unwrap();
    assert_eq!(node.exited(&spec.id).await.code, Some(50));
    assert!(!node.log(&spec).await.contains("pid 1\n"));
    node
}

async fn terminal(mut node: Node) -> Node {
    let log =
        node.says(&["tty", "link", "/proc/self/fd/0", "say", "x"], |spec| spec.tty = true).await;
    assert_eq!(log, "tty 2\r\nOk(\"/dev/pts/0\")\r\nx\r\n");
    node
}

async fn standard_input(mut node: Node) -> Node {
    assert_eq!(node.says(&["stdin", "tty"], |_| {}).await, "stdin \"\"\ntty 0\n");
    let mut spec = container("box", "sand", &["trap", "15", "say", "up", "stdin"]);
    spec.open_stdin = true;
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    let exit = node.runtime.stop_container(&spec.id, Duration::from_secs(20)).await.unwrap();
    assert_eq!(exit.code, Some(55), "it was still reading");
    node
}

async fn rlimits_and_sysctls(mut node: Node) -> Node {
    let words = [
        "cat",
        "/proc/self/limits",
        "cat",
        "/proc/sys/net/core/somaxconn",
        "cat",
        "/proc/sys/kernel/msgmax",
    ];
    let log = node.says(&words, |spec| {
        spec.ulimits = vec![("nofile".into(), 100, 200), ("core".into(), 0, 0)];
        spec.sysctls = [("net.core.somaxconn", "77"), ("kernel.msgmax", "9999")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
    });
    let log = log.await;
    assert_eq!(line(&log, "Max open files")[..2], ["100", "200"]);
    assert!(log.ends_with("\n77\n9999\n"), "{log}");
    assert_ne!(std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap(), "77\n");
    node
}

async fn devices(mut node: Node) -> Node {
    let words = ["ls", "/dev", "open", "/dev/null", "open", "/dev/kmsg", "open", "/dev/passed"];
    let log = node.says(&words, |spec| {
        spec.devices = vec![("/dev/zero".into(), "/dev/passed".into(), "r".into())];
    });
    let log = log.await.replace(" core", "");
    let all = "/dev: fd full mqueue null passed ptmx pts random shm stderr stdin stdout tty urandom zero\n";
    assert!(log.starts_with(all), "{log}");
    assert!(log.contains("open /dev/null 0\nopen /dev/kmsg 2\nopen /dev/passed 0\n"), "{log}");
    node
}

async fn exec_programs(mut node: Node) -> Node {
    let mut spec = container("box", "sand", &["say", "up", "forever"]);
    spec.env = vec!["A=1".into(), "B=2".into()];
    spec.user = "web".into();
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    let mut run = program(&["env", "cat", "/proc/self/status", "warn", "both", "exit", "9"]);
    run.env = vec!["B=3".into()];
    let done = node.runtime.exec(&spec.id, &run).await.unwrap();
    let output = String::from_utf8(done.output).unwrap();
    assert_eq!(done.code, 9);
    assert!(output.contains("A=1\nB=3\n") && output.contains("both\n"), "{output}");
    // Docker has the two streams apart on the way.
    assert!(node.is_docker() || output.ends_with("both\n"), "{output}");
    assert_eq!((line(&output, "Uid:")[0], line(&output, "Seccomp:")[0]), ("33", "2"));
    assert_eq!(line(&output, "CapBnd:"), ["00000000a80425fb"]);

    let mut slow = program(&["say", "0123456789", "forever"]);
    (slow.timeout, slow.max_output) = (Duration::from_millis(300), 4);
    let done = node.runtime.exec(&spec.id, &slow).await.unwrap();
    assert_eq!((done.code, done.output.as_slice()), (124, &b"0123"[..]));

    let mut absent = program(&[]);
    absent.args = vec!["/nope".into()];
    let error = node.runtime.exec(&spec.id, &absent).await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Start { why, .. } if why.contains("/nope")),
        "{error:?}"
    );
    absent.user = "nobody".into();
    let error = node.runtime.exec(&spec.id, &absent).await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Start { why, .. } if why.contains("nobody")),
        "{error:?}"
    );

    // Many at once, each with its own answer.
    let many = (0..20).map(|n| {
        let (runtime, id) = (node.runtime.clone(), spec.id.clone());
        tokio::spawn(async move {
            let code = n.to_string();
            runtime.exec(&id, &program(&["exit", &code])).await.unwrap().code == n
        })
    });
    for one in many.collect::<Vec<_>>() {
        assert!(one.await.unwrap());
    }
    node.runtime.stop_container(&spec.id, Duration::ZERO).await.unwrap();
    node.exited(&spec.id).await;
    let error = node.runtime.exec(&spec.id, &program(&[])).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Invalid { .. }), "{error:?}");
    node
}

async fn log_rotation(mut node: Node) -> Node {
    let words: Vec<String> =
        (0..100).flat_map(|n| ["say".into(), format!("line {n:04}")]).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut spec = container("box", "sand", &words);
    spec.log = LogMode::Files { max_bytes: 500, max_files: 2, non_blocking_bytes: Some(1 << 20) };
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    node.exited(&spec.id).await;
    // The first reading may keep up with the writer; the second has what is left.
    node.log(&spec).await;
    let log = node.log(&spec).await;
    let lines: Vec<_> = log.lines().collect();
    assert!(lines.len() > 15 && lines.len() < 60, "{} lines", lines.len());
    assert_eq!(lines.last(), Some(&"line 0099"));
    node
}

async fn no_log(mut node: Node) -> Node {
    let mut spec = container("box", "sand", &["say", "x", "link", "/proc/self/fd/1", "exit", "4"]);
    spec.log = LogMode::None;
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    assert_eq!(node.exited(&spec.id).await.code, Some(4));
    assert!(!node.runtime.log_path(&spec.sandbox, &spec.id).unwrap().exists());

    // A terminal has a small buffer, which somebody must empty.
    let mut loud = container("loud", "sand", &["say"]);
    loud.args.push("x".repeat(100_000));
    (loud.log, loud.tty) = (LogMode::None, true);
    node.runtime.start_container(&loud).await.unwrap();
    assert_eq!(node.exited(&loud.id).await.code, Some(0));
    node
}

async fn host_network(mut node: Node) -> Node {
    let mut all = sandbox("sand");
    all.network = NetworkMode::Host;
    node.runtime.create_sandbox(&all).await.unwrap();
    let spec = container(
        "box",
        "sand",
        &["link", "/proc/self/ns/net", "cat", "/proc/sys/kernel/hostname"],
    );
    node.runtime.start_container(&spec).await.unwrap();
    node.exited(&spec.id).await;
    let log = node.log(&spec).await;
    let own = std::fs::read_link("/proc/self/ns/net").unwrap();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(log, format!("Ok({own:?})\n{name}"));
    let error = node.runtime.network_namespace(&"sand".into(), None).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Invalid { .. }), "{error:?}");
    node
}

async fn usage_counts(node: Node) -> Node {
    let spec = container("box", "sand", &["spin"]);
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    loop {
        let usage = node.runtime.usage(&"sand".into()).await.unwrap()[&spec.id];
        if usage.cpu_nanos > 20_000_000 {
            assert!(usage.memory_bytes > 0 && usage.pids == 1, "{usage:?}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let handle = node.runtime.network_namespace(&"sand".into(), None).await.unwrap();
    let own = std::fs::metadata("/proc/self/ns/net").unwrap();
    let theirs = rustix::fs::fstat(handle).unwrap();
    assert_ne!(std::os::unix::fs::MetadataExt::ino(&own), theirs.st_ino);
    node
}
