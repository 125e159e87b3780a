//! The same behaviour with another engine: an OCI runtime program carries out what the embedded
//! engine's own would.

use std::path::PathBuf;
use std::process::Command;

use runtime::RuntimeError;

use crate::cases;
use crate::support::{Case, Node, On, open};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    cases![On::Plain => by_runc, by_crun, by_nothing]
}

/// What is the same, to the letter. The programs' words for what cannot be started are their own.
const SAME: [&str; 23] = [
    "output_and_status",
    "environment",
    "users",
    "files_of_etc",
    "mounts",
    "tmpfs_options",
    "memory_limit_kills",
    "terminal",
    "standard_input",
    "rlimits_and_sysctls",
    "exec_programs",
    "log_rotation",
    "host_network",
    "what_is_done_is_not_done_twice",
    "stop",
    "several_containers",
    "found_again_after_a_restart",
    "a_dead_shim_takes_everything_with_it",
    "health_checks",
    "networks_of_their_own",
    "volumes_are_filled_and_shared",
    "pipes",
    "sessions_die_with_their_container",
];

async fn by_runc(node: Node) -> Node {
    with("runc", node).await
}

async fn by_crun(node: Node) -> Node {
    // It refuses nodes whose cgroup v1 stands beside a v2 with controllers.
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers");
    if v2.is_ok_and(|controllers| !controllers.trim().is_empty()) {
        println!("  skipped: crun does not work in the hybrid mode of this node's cgroups");
        return node;
    }
    with("crun", node).await
}

async fn with(program: &str, node: Node) -> Node {
    if Command::new(program).arg("--version").output().is_err() {
        println!("  skipped: there is no {program} here");
        return node;
    }
    let mut config = node.config.clone().unwrap();
    drop(node);
    config.oci_runtime = Some(PathBuf::from(program));
    let mut node = open(&config).await;
    let lists = [
        crate::cases::all(),
        crate::programs::all(),
        crate::lifecycle::all(),
        crate::sharing::all(),
        crate::sessions::all(),
    ];
    for (name, _, case) in lists.into_iter().flatten().filter(|(name, ..)| SAME.contains(name)) {
        println!("  {name}");
        node = case(node).await;
        for sandbox in node.runtime.list().await.unwrap() {
            node.runtime.remove_sandbox(&sandbox.spec.id).await.unwrap();
        }
        while node.events.try_recv().is_ok() {}
    }
    let refusal = node.refusal(&[], |spec| spec.args = vec!["/nope".into()]).await;
    let RuntimeError::Start { why, .. } = refusal else { panic!("{refusal:?}") };
    assert!(why.contains("/nope") && why.contains("no such file or directory"), "{why}");
    let refusal = node.refusal(&["say"], |spec| spec.init = true).await;
    assert!(refusal.to_string().contains("init process"), "{refusal}");
    node
}

async fn by_nothing(node: Node) -> Node {
    let mut config = node.config.clone().unwrap();
    drop(node);
    for name in ["no-such-engine", "/no/such/engine"] {
        let asked = runtime::EmbeddedConfig { oci_runtime: Some(name.into()), ..config.clone() };
        let refusal = runtime::Embedded::open(asked).await.unwrap_err();
        assert!(refusal.to_string().contains(name), "{refusal}");
    }
    config.oci_runtime = None;
    open(&config).await
}
