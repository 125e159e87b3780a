//! How things are called on the Engine, and the labels by which they are found again.

use std::collections::HashMap;

use crate::{ContainerId, ContainerSpec, SandboxId, SandboxSpec};

/// The tag of the caller whose it is.
pub(crate) const NODE: &str = "wharf.node";
/// The sandbox.
pub(crate) const SANDBOX: &str = "wharf.sandbox";
/// The container's name at the seam; absent on the process that holds a sandbox's namespaces.
pub(crate) const CONTAINER: &str = "wharf.container";
/// The sandbox's specification, in case its record is lost.
pub(crate) const SPEC: &str = "wharf.spec";
/// How its output is kept ([`crate::LogMode`]).
pub(crate) const LOG: &str = "wharf.log";
/// On the container that has the sandbox's network.
pub(crate) const NETWORK: &str = "wharf.network";

/// What one caller's things are called.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    tag: String,
}

impl Names {
    pub(crate) fn new(tag: &str) -> Self {
        Self { tag: tag.to_owned() }
    }

    /// A container's name on the Engine.
    pub(crate) fn container(&self, id: &ContainerId) -> String {
        format!("wharf-{}-{id}", self.tag)
    }

    /// The name of the process that holds a sandbox's namespaces. No container's: it has a dot.
    pub(crate) fn pause(&self, id: &SandboxId) -> String {
        format!("wharf-{}.{id}", self.tag)
    }

    /// A filter for everything of this caller, or of one sandbox.
    pub(crate) fn filter(&self, sandbox: Option<&SandboxId>) -> HashMap<String, Vec<String>> {
        let mut labels = vec![format!("{NODE}={}", self.tag)];
        labels.extend(sandbox.map(|id| format!("{SANDBOX}={id}")));
        HashMap::from([("label".to_owned(), labels)])
    }

    /// The labels that tell whose something is.
    pub(crate) fn of_sandbox(&self, sandbox: &SandboxSpec) -> HashMap<String, String> {
        let spec = serde_json::to_string(sandbox).unwrap_or_default();
        HashMap::from([
            (NODE.to_owned(), self.tag.clone()),
            (SANDBOX.to_owned(), sandbox.id.to_string()),
            (SPEC.to_owned(), spec),
        ])
    }

    /// A container's labels: the user's, under ours.
    pub(crate) fn of_container(
        &self,
        sandbox: &SandboxSpec,
        container: &ContainerSpec,
        has_network: bool,
    ) -> HashMap<String, String> {
        let mut labels: HashMap<String, String> =
            container.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        labels.retain(|name, _| !name.starts_with("wharf."));
        labels.extend(self.of_sandbox(sandbox));
        labels.insert(CONTAINER.to_owned(), container.id.to_string());
        let log = serde_json::to_string(&container.log).unwrap_or_default();
        labels.insert(LOG.to_owned(), log);
        if has_network {
            labels.insert(NETWORK.to_owned(), "sandbox".to_owned());
        }
        labels
    }

    /// The labels of a volume: the user's, under ours.
    pub(crate) fn of_volume(
        &self,
        labels: &std::collections::BTreeMap<String, String>,
    ) -> HashMap<String, String> {
        let mut all: HashMap<String, String> =
            labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        all.insert(NODE.to_owned(), self.tag.clone());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn labels_of_ours_are_not_the_users_to_choose() {
        let names = Names::new("abc123");
        let sandbox = testing::sandbox("sand");
        let mut container = testing::container("box", "sand");
        container.labels = [(NODE, "other"), ("wharf.odd", "x"), ("team", "a")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        let labels = names.of_container(&sandbox, &container, true);
        assert_eq!(labels[NODE], "abc123");
        assert_eq!(labels["team"], "a");
        assert!(!labels.contains_key("wharf.odd"));
        let back: SandboxSpec = serde_json::from_str(&labels[SPEC]).unwrap();
        assert_eq!(back.id, sandbox.id);
        assert_ne!(names.container(&"sand".into()), names.pause(&"sand".into()));
    }
}
