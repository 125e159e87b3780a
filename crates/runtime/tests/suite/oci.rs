//! The same behaviour with another engine: an OCI runtime program carries out what the embedded
//! engine's own would. Every case of the suite is run with each that is installed, but for those named
//! here.

use std::process::Command;

use runtime::RuntimeError;

use crate::cases;
use crate::support::{Case, Node, On, container, open, program, sandbox};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    let mut all = cases![On::Plain => by_nothing];
    all.extend(cases![On::Embedded => what_gvisor_lacks_is_refused]);
    all
}

/// The programs that are known.
pub(crate) const ENGINES: [&str; 3] = ["runc", "crun", "runsc"];

/// The programs that are installed here; tells which are not.
pub(crate) fn engines() -> Vec<&'static str> {
    let there = |name: &&str| {
        let there = Command::new(name).arg("--version").output().is_ok();
        if !there {
            println!("=== there is no {name} here: NOTHING IS RUN ON IT ===");
        }
        there
    };
    ENGINES.into_iter().filter(there).collect()
}

/// What is the same on gVisor's kernel. The others look at the node's kernel from inside, or run
/// further programs in a container, which is refused there.
const ON_GVISOR: [&str; 5] = [
    "output_and_status",
    "environment",
    "what_is_done_is_not_done_twice",
    "stop",
    "what_gvisor_lacks_is_refused",
];

/// Whether a case is run with a program.
pub(crate) fn runs(engine: &str, case: &str) -> bool {
    engine != "runsc" || ON_GVISOR.contains(&case)
}

async fn what_gvisor_lacks_is_refused(mut node: Node) -> Node {
    if node.engine().as_deref() != Some("runsc") {
        return node;
    }
    let log = node.says(&["cat", "/proc/version"], |_| {}).await;
    assert!(log.starts_with("Linux version 4.4.0"), "a kernel of its own: {log}");
    type Change = fn(&mut runtime::ContainerSpec);
    let changes: [(&str, Change); 3] = [
        ("an init process", |spec| spec.init = true),
        ("all privileges", |spec| spec.privileged = true),
        ("devices", |spec| {
            spec.devices = vec![("/dev/zero".into(), "/dev/x".into(), "r".into())];
        }),
    ];
    for (what, change) in changes {
        let refusal = node.refusal(&["say"], change).await;
        assert!(matches!(refusal, RuntimeError::Unsupported { .. }), "{refusal:?}");
        assert!(refusal.to_string().contains(what), "{refusal}");
    }
    let spec = container("box", "sand", &["say", "up", "forever"]);
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node.runtime.start_container(&spec).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    let refusal = node.runtime.exec(&spec.id, &program(&["exit", "0"])).await.unwrap_err();
    assert!(refusal.to_string().contains("kernel of its own"), "{refusal}");
    node
}

async fn by_nothing(node: Node) -> Node {
    let mut config = node.config.clone().unwrap();
    drop(node);
    for name in ["no-such-engine", "/no/such/engine"] {
        let asked = runtime::EmbeddedConfig { oci_runtime: Some(name.into()), ..config.clone() };
        let refusal = runtime::Embedded::open(asked).await.unwrap_err();
        assert!(matches!(refusal, RuntimeError::Unsupported { .. }), "{refusal:?}");
        assert!(refusal.to_string().contains(name), "{refusal}");
    }
    config.oci_runtime = None;
    open(&config).await
}
