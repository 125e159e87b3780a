//! Where each member of a task definition stands: honoured by which nodes, or refused in which words.
//!
//! This table is what `docs/task-definition.md` shows (`cargo xtask docs`). Tests hold it to three
//! things: every member of AWS's own model is in it; a request with a member that it calls refused is
//! refused in these words, and one with a member that it calls honoured is accepted; and a member that
//! depends on an attribute of the node really asks placement for that attribute.

mod container;
mod logs;
mod render;
mod task;
#[cfg(test)]
mod tests;

use aws::ecs::RegisterTaskDefinitionRequest;
use model::Realm;
use serde_json::{Value, json};

pub use render::table;

/// What one kind of node does about a member that the door accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Every such node does it.
    Honoured,
    /// A node does it that has this attribute, which depends on how it was set up. Placement puts the
    /// task nowhere else.
    Having(&'static str),
    /// No such node does it: placement refuses it for the want of this attribute.
    Lacking(&'static str),
    /// It is the control plane's affair.
    ControlPlane,
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The door takes it.
    Accepted {
        /// Wharf's agent with the embedded engine.
        embedded: Standing,
        /// Wharf's agent with Docker Engine.
        docker: Standing,
        /// AWS's own agent.
        stock: Standing,
    },
    /// The door refuses it with these words in the message.
    Refused(&'static str),
}

/// A request that has the member, as a change to a small definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    /// Members of the task, as JSON.
    Task(&'static str),
    /// Members of its first container, as JSON.
    Container(&'static str),
}

/// A member and its verdict. A path has `[]` behind a list, and `=word` behind a member whose verdict
/// depends on what it says. A refused path speaks for everything below it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Where it stands in a request.
    pub path: &'static str,
    /// What becomes of it.
    pub verdict: Verdict,
    /// What more is to be said of it; may be empty.
    pub note: &'static str,
    sample: Sample,
}

impl Member {
    const fn yes(path: &'static str, sample: Sample) -> Self {
        let all = Standing::Honoured;
        let verdict = Verdict::Accepted { embedded: all, docker: all, stock: all };
        Self { path, verdict, note: "", sample }
    }

    /// Honoured before any node hears of it.
    const fn above(path: &'static str, sample: Sample) -> Self {
        Self::yes(path, sample).on(
            Standing::ControlPlane,
            Standing::ControlPlane,
            Standing::ControlPlane,
        )
    }

    const fn no(path: &'static str, words: &'static str, sample: Sample) -> Self {
        Self { path, verdict: Verdict::Refused(words), note: "", sample }
    }

    const fn on(mut self, embedded: Standing, docker: Standing, stock: Standing) -> Self {
        self.verdict = Verdict::Accepted { embedded, docker, stock };
        self
    }

    /// Honoured by AWS's agent only where it has the attribute.
    const fn stock_having(self, attribute: &'static str) -> Self {
        self.on(Standing::Honoured, Standing::Honoured, Standing::Having(attribute))
    }

    /// Honoured wherever the node has the attribute, which no kind of node always has.
    const fn having(self, attribute: &'static str) -> Self {
        let having = Standing::Having(attribute);
        self.on(having, having, having)
    }

    const fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// A whole request that has the member.
    fn request(&self) -> Result<Value, serde_json::Error> {
        let mut request = json!({
            "family": "web", "executionRoleArn": "exec", "volumes": [{"name": "v"}],
            "containerDefinitions": [
                {"name": "web", "image": "busybox", "memory": 64},
                {"name": "db", "image": "busybox", "memory": 32, "essential": false,
                    "healthCheck": {"command": ["CMD", "true"]}},
            ],
        });
        let (into, change) = match self.sample {
            Sample::Task(change) => (&mut request, change),
            Sample::Container(change) => (&mut request["containerDefinitions"][0], change),
        };
        let change: serde_json::Map<String, Value> = serde_json::from_str(change)?;
        for (name, value) in change {
            into[name] = value;
        }
        Ok(request)
    }
}

/// Every member, in the order of a request.
pub fn all() -> impl Iterator<Item = &'static Member> {
    task::MEMBERS.iter().chain(container::MEMBERS).chain(logs::MEMBERS).chain(task::VOLUMES)
}

/// The attributes that a definition with this member needs of its instance, so that the nodes' own
/// lists can be held to the table. None for a refused member.
pub fn attributes(member: &Member) -> Option<Vec<String>> {
    let request: RegisterTaskDefinitionRequest =
        serde_json::from_value(member.request().ok()?).ok()?;
    let realm = Realm::new("eu-west-1", "123456789012");
    Some(super::parse(&realm, request).ok()?.spec.required_attributes)
}
