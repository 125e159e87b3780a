//! What nobody should ask for: refused with a clear sentence, and nothing is left behind.

use runtime::{ContainerSpec, Limits, Mount, RuntimeError, SandboxSpec};

use crate::cases;
use crate::support::{Case, Node, On, container, sandbox};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    let mut all = cases![On::Embedded => impossible_containers];
    all.extend(cases![On::Real => unstartable_containers, impossible_sandboxes, huge]);
    all
}

fn bind(target: &str) -> Vec<Mount> {
    vec![Mount::Bind { source: "/tmp".into(), target: target.into(), readonly: true }]
}

async fn impossible_containers(mut node: Node) -> Node {
    type Change = fn(&mut ContainerSpec);
    let changes: [(&str, Change); 22] = [
        ("no program", |c| c.args.clear()),
        ("no program", |c| c.args = vec![String::new()]),
        ("zero byte", |c| c.args.push("a\0b".into())),
        ("zero byte", |c| c.env.push("A=\0".into())),
        ("128 KiB", |c| c.env.push(format!("A={}", "x".repeat(200_000)))),
        ("6 MiB", |c| c.env = (0..70).map(|n| format!("A{n}={}", "x".repeat(100_000))).collect()),
        ("not absolute", |c| c.cwd = "relative".into()),
        ("\"..\"", |c| c.mounts = bind("/a/../../etc")),
        ("not absolute", |c| c.mounts = bind("etc")),
        ("the container's root", |c| c.mounts = bind("//.")),
        ("the kernel's", |c| c.mounts = bind("/proc/self/attr")),
        ("mount option", |c| {
            let options = vec!["lowerdir=/".into()];
            c.mounts = vec![Mount::Tmpfs { target: "/a".into(), size_bytes: None, options }];
        }),
        ("capability", |c| c.cap_add = vec!["SYS_EVERYTHING".into()]),
        ("not a ulimit", |c| c.ulimits = vec![("patience".into(), 1, 1)]),
        ("above its hard limit", |c| c.ulimits = vec![("nofile".into(), 2, 1)]),
        ("whole node", |c| c.sysctls = [("kernel.panic".to_owned(), "1".to_owned())].into()),
        ("not a kernel setting", |c| {
            c.sysctls = [("net/../kernel/panic".to_owned(), "1".to_owned())].into();
        }),
        ("not a device", |c| {
            c.devices = vec![("/etc/passwd".into(), "/dev/x".into(), "rwm".into())];
        }),
        ("r, w and m", |c| c.devices = vec![("/dev/null".into(), "/dev/x".into(), "all".into())]),
        ("too few", |c| c.limits.memory_bytes = Some(1000)),
        ("host name", |c| c.hostname = "a b\nc".into()),
        ("not a signal", |c| c.stop_signal = "SIGNAL".into()),
    ];
    for (why, change) in changes {
        match node.refusal(&["say", "x"], change).await {
            RuntimeError::Invalid { why: found, .. } => assert!(found.contains(why), "{found}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    let odd = container("../up", "sand", &[]);
    let refusal = node.runtime.start_container(&odd).await.unwrap_err();
    assert!(refusal.to_string().contains("letters, digits"), "{refusal}");
    node
}

async fn unstartable_containers(mut node: Node) -> Node {
    type Change = fn(&mut ContainerSpec);
    let changes: [(&str, Change); 8] = [
        ("find user \"nobody\": no user", |c| c.user = "nobody".into()),
        ("find user \"-1\": no user", |c| c.user = "-1".into()),
        ("no group \"nope\"", |c| c.user = "web:nope".into()),
        ("no group \"nope\"", |c| c.groups = vec!["nope".into()]),
        ("mount on /dangling", |c| c.mounts = bind("/dangling")),
        ("mount on /etc/passwd: it is a file", |c| c.mounts = bind("/etc/passwd")),
        ("working directory \"/etc/passwd\"", |c| c.cwd = "/etc/passwd".into()),
        ("set net.core.nope", |c| {
            c.sysctls = [("net.core.nope".to_owned(), "1".to_owned())].into();
        }),
    ];
    for (at, (why, change)) in changes.into_iter().enumerate() {
        // Docker lets some of these be, and has words of its own for the others.
        if node.is_docker() {
            if [0, 2, 3, 7].contains(&at) {
                let refusal = node.refusal(&["say", "x"], change).await;
                let kind =
                    matches!(refusal, RuntimeError::Start { .. } | RuntimeError::Invalid { .. });
                assert!(kind, "{refusal:?}");
            }
            continue;
        }
        // An OCI runtime follows links inside the image, and has its own words for the rest.
        if node.engine().is_some() && [4, 5, 6].contains(&at) {
            continue;
        }
        let words = if node.engine().is_some() && at == 7 { "net" } else { why };
        match node.refusal(&["say", "x"], change).await {
            RuntimeError::Start { why: found, .. } => assert!(found.contains(words), "{found}"),
            other => panic!("{why}: {other:?}"),
        }
    }
    node
}

async fn impossible_sandboxes(node: Node) -> Node {
    let limits = |limits| SandboxSpec { limits, ..sandbox("sand") };
    let swap = Limits { memory_swap_bytes: Some(1 << 30), ..Limits::default() };
    let little = Limits {
        memory_swap_bytes: Some(1 << 20),
        memory_bytes: Some(2 << 20),
        ..Limits::default()
    };
    for spec in
        [limits(swap), limits(little), sandbox(""), sandbox("a/b"), sandbox(&"x".repeat(65))]
    {
        let refusal = node.runtime.create_sandbox(&spec).await.unwrap_err();
        assert!(matches!(refusal, RuntimeError::Invalid { .. }), "{refusal:?}");
    }
    let long = "x".repeat(64);
    node.runtime.create_sandbox(&sandbox(&long)).await.unwrap();
    node.runtime.remove_sandbox(&long.as_str().into()).await.unwrap();
    node
}

async fn huge(mut node: Node) -> Node {
    let log = node.says(&["env"], |spec| {
        spec.env = (0..15).map(|n| format!("A{n}={}", "x".repeat(100_000))).collect();
    });
    assert!(log.await.len() > 1_500_000);
    let line = "y".repeat(100_000);
    let log = node.says(&["say", &line], |_| {}).await;
    assert_eq!(log, format!("{line}\n"), "pieces of a long line are joined");
    node
}
