//! What the cluster query language may ask of an instance, read from the state.

use stdx::Timestamp;

use crate::query::Facts;
use crate::{Instance, State};

/// An instance in its state, for expressions.
#[derive(Debug)]
pub struct InstanceFacts<'a> {
    state: &'a State,
    instance: &'a Instance,
}

impl State {
    /// An instance as expressions see it.
    pub fn facts<'a>(&'a self, instance: &'a Instance) -> InstanceFacts<'a> {
        InstanceFacts { state: self, instance }
    }
}

impl Facts for InstanceFacts<'_> {
    fn agent_connected(&self) -> bool {
        self.instance.agent.connected
    }

    fn agent_version(&self) -> Option<&str> {
        self.instance.agent.version.as_deref()
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.instance.attribute(name).map(Option::unwrap_or_default)
    }

    fn ec2_instance_id(&self) -> Option<&str> {
        self.instance.ec2_instance_id.as_deref()
    }

    fn registered_at(&self) -> Timestamp {
        self.instance.registered_at
    }

    fn running_tasks(&self) -> u32 {
        self.state.instance_counts(&self.instance.key).0
    }

    fn hosts(&self, passes: &dyn Fn(&str) -> bool) -> bool {
        let mut tasks = self.state.tasks_on(&self.instance.key);
        tasks.any(|task| task.holds_resources() && passes(&task.facts.group))
    }

    fn hosts_group(&self, group: &str) -> bool {
        let key = &self.instance.key;
        let Some(fleet) = self.state.fleet(&key.cluster) else { return false };
        let crowd = fleet.crowd(group).zip(fleet.slot(&key.instance));
        crowd.is_some_and(|(crowd, slot)| crowd.is_present(slot))
    }
}
