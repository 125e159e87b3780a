//! The same behaviour with another engine: an OCI runtime program carries out what the embedded
//! engine's own would. Every case of the suite is run with each that is installed, but for those named
//! here.

use std::process::Command;

use runtime::RuntimeError;

use crate::cases;
use crate::support::{Case, Node, On, open};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    cases![On::Plain => by_nothing]
}

/// The programs that are installed here; tells which are not.
pub(crate) fn engines() -> Vec<&'static str> {
    let there = |name: &&str| {
        let there = Command::new(name).arg("--version").output().is_ok();
        if !there {
            println!("=== there is no {name} here: NOTHING IS RUN ON IT ===");
        }
        there
    };
    ["runc", "crun"].into_iter().filter(there).collect()
}

/// Cases that are not for a program, and why.
const NOT_FOR: [(&str, &str, &str); 0] = [];

/// Whether a case is run with a program.
pub(crate) fn runs(engine: &str, case: &str) -> bool {
    !NOT_FOR
        .iter()
        .any(|(program, name, _)| (*program == engine || program.is_empty()) && *name == case)
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
