//! A program of the user's that starts and ends nodes: machines of a cloud, of a rack, of a hypervisor.
//!
//! It is called as `PROGRAM start`, `PROGRAM end` and `PROGRAM list`. The first two find the node in
//! `WHARF_NODE_*`, and `start` has the user data on its standard input; `list` writes the ids of the
//! nodes that are there, one a line. Status 0 is success; otherwise the last line of its standard error
//! tells why not. The node's agent has to be given the id: `wharf agent --instance-id ID`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use control::capacity::{NodeOrder, NodeProvider};
use model::NodeId;
use tokio::io::AsyncWriteExt;

/// A call that lasts longer is given up.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Calls the program.
#[derive(Debug)]
pub(crate) struct Command {
    program: PathBuf,
}

impl Command {
    /// Over a program.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program }
    }

    async fn call(
        &self,
        verb: &str,
        variables: &[(&str, &str)],
        input: &str,
    ) -> Result<String, String> {
        let program = self.program.display();
        let mut child = tokio::process::Command::new(&self.program)
            .arg(verb)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{program} {verb} cannot be called: {error}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read it has no need of it.
            drop(stdin.write_all(input.as_bytes()).await);
        }
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let output = output
            .map_err(|_| format!("{program} {verb} did not end in {} s", PATIENCE.as_secs()))?
            .map_err(|error| format!("{program} {verb} was lost: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            let why = last.unwrap_or("it wrote nothing about why");
            return Err(format!("{program} {verb} failed ({}): {why}", output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[async_trait]
impl NodeProvider for Command {
    async fn start(&self, order: &NodeOrder) -> Result<(), String> {
        let tags: Vec<String> =
            order.tags.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let variables = [
            ("WHARF_NODE_ID", order.id.as_str()),
            ("WHARF_NODE_GROUP", order.group.as_str()),
            ("WHARF_NODE_CLUSTER", order.cluster.as_str()),
            ("WHARF_NODE_ZONE", order.zone.as_str()),
            ("WHARF_NODE_IMAGE", order.image.as_str()),
            ("WHARF_NODE_INSTANCE_TYPE", order.instance_type.as_str()),
            ("WHARF_NODE_TAGS", &tags.join("\n")),
        ];
        self.call("start", &variables, &order.user_data).await.map(drop)
    }

    async fn end(&self, node: &NodeId) -> Result<(), String> {
        self.call("end", &[("WHARF_NODE_ID", node.as_str())], "").await.map(drop)
    }

    async fn list(&self) -> Result<BTreeSet<NodeId>, String> {
        let said = self.call("list", &[], "").await?;
        let ids = said.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(ids.map(NodeId::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(folder: &std::path::Path, script: &str) -> Command {
        let path = folder.join("nodes");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Command::new(path)
    }

    fn order() -> NodeOrder {
        NodeOrder {
            id: "i-1".into(),
            group: "nodes".into(),
            cluster: "web".into(),
            zone: "a".to_owned(),
            image: "ami-1".to_owned(),
            instance_type: "t3.small".to_owned(),
            user_data: "ECS_CLUSTER=web".to_owned(),
            tags: [("team".to_owned(), "x".to_owned())].into_iter().collect(),
        }
    }

    #[tokio::test]
    async fn the_program_is_told_everything_and_its_words_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        let script = format!(
            "case $1 in start) env | grep ^WHARF_NODE | sort > {0}; cat >> {0};; \
             list) echo i-1; echo; echo ' i-2';; *) echo first >&2; echo 'no such machine' >&2; exit 3;; esac",
            kept.display()
        );
        let program = program(folder.path(), &script);
        program.start(&order()).await.unwrap();
        let told = std::fs::read_to_string(kept).unwrap();
        for line in ["WHARF_NODE_ID=i-1", "WHARF_NODE_TAGS=team=x", "ECS_CLUSTER=web"] {
            assert!(told.lines().any(|told| told == line), "{line} in {told}");
        }
        assert_eq!(program.list().await.unwrap(), ["i-1".into(), "i-2".into()].into());
        let why = program.end(&"i-1".into()).await.unwrap_err();
        assert!(why.contains("end failed (exit status: 3): no such machine"), "{why}");
        let absent = Command::new("/nowhere/nodes".into());
        assert!(absent.list().await.unwrap_err().contains("cannot be called"));
    }
}
