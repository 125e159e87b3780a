//! Whether an expression holds for an instance.

use std::cmp::Ordering;

use stdx::Timestamp;

use super::{Match, Order, Query, Test};

/// What is asked of an instance.
pub trait Facts {
    /// Whether its agent is connected.
    fn agent_connected(&self) -> bool;
    /// The version that its agent told.
    fn agent_version(&self) -> Option<&str>;
    /// An attribute's value; the empty one for an attribute without.
    fn attribute(&self, name: &str) -> Option<&str>;
    /// What its node calls itself.
    fn ec2_instance_id(&self) -> Option<&str>;
    /// When it first registered.
    fn registered_at(&self) -> Timestamp;
    /// How many tasks run on it.
    fn running_tasks(&self) -> u32;
    /// Whether it hosts a task of a group that passes.
    fn hosts(&self, passes: &dyn Fn(&str) -> bool) -> bool;
    /// Whether it hosts a task of this group.
    fn hosts_group(&self, group: &str) -> bool {
        self.hosts(&|other| other == group)
    }
}

impl Query {
    /// Whether it holds for an instance.
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        match self {
            Self::And(all) => all.iter().all(|one| one.holds(facts)),
            Self::Or(any) => any.iter().any(|one| one.holds(facts)),
            Self::Not(one) => !one.holds(facts),
            Self::Test { test, negated } => test.holds(facts) != *negated,
        }
    }
}

impl Query {
    /// Tells the names of all attributes of which it speaks, some perhaps more than once.
    pub fn attributes<'a>(&'a self, tell: &mut dyn FnMut(&'a str)) {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().for_each(|one| one.attributes(tell)),
            Self::Not(one) => one.attributes(tell),
            Self::Test { test: Test::Attribute(name, _), .. } => tell(name),
            Self::Test { .. } => {}
        }
    }
}

impl Test {
    fn holds(&self, facts: &dyn Facts) -> bool {
        match self {
            Self::AgentConnected(wanted) => {
                wanted.of_one(Some(if facts.agent_connected() { "true" } else { "false" }))
            }
            Self::AgentVersion(order, version) => {
                let told = facts.agent_version().and_then(|told| version.compare(told));
                told.is_some_and(|told| order.admits(told))
            }
            Self::Attribute(name, wanted) => wanted.of_one(facts.attribute(name)),
            Self::Ec2InstanceId(wanted) => wanted.of_one(facts.ec2_instance_id()),
            Self::RegisteredAt(order, at) => {
                order.admits(facts.registered_at().as_secs().cmp(&at.as_secs()))
            }
            Self::RunningTasks(order, count) => order.admits(facts.running_tasks().cmp(count)),
            Self::TaskGroup(Match::Compares(Order::Equal, group)) => facts.hosts_group(group),
            Self::TaskGroup(Match::In(groups)) => groups.iter().any(|one| facts.hosts_group(one)),
            Self::TaskGroup(wanted) => facts.hosts(&|group| wanted.passes(group)),
        }
    }
}

impl Match {
    fn of_one(&self, text: Option<&str>) -> bool {
        text.is_some_and(|text| self.passes(text))
    }

    /// Whether a text is as asked.
    pub(crate) fn passes(&self, text: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Compares(Order::Equal, wanted) => text == wanted,
            Self::Compares(order, wanted) => order.admits(compare(text, wanted)),
            Self::In(list) => list.iter().any(|one| one == text),
            Self::Like(pattern) => pattern.matches(text),
        }
    }
}

/// As whole numbers if both are, else letter by letter.
fn compare(text: &str, with: &str) -> Ordering {
    match (text.parse::<i64>(), with.parse::<i64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        _ => text.cmp(with),
    }
}

impl Order {
    fn admits(self, found: Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::Greater => found.is_gt(),
            Self::GreaterEqual => found.is_ge(),
            Self::Less => found.is_lt(),
            Self::LessEqual => found.is_le(),
        }
    }
}
