//! What the messages of the agent communication service carry.
//!
//! Members that a message may lack have their empty value. The stock agent's model:
//! `ecs-agent/acs/model/api/api-2.json` of amazon-ecs-agent.

use crate::value::wire_enum;

mod container;
mod messages;
mod task;

pub use container::*;
pub use messages::*;
pub use task::*;

wire_enum! {
    /// What a task should come to.
    DesiredStatus {
        Running = "RUNNING",
        Stopped = "STOPPED",
    }
}

impl Default for DesiredStatus {
    /// No word at all, which a message may carry.
    fn default() -> Self {
        Self::Unrecognized(String::new())
    }
}

wire_enum! {
    /// Which of a task's roles.
    RoleType {
        TaskApplication = "TaskApplication",
        TaskExecution = "TaskExecution",
    }
}

impl Default for RoleType {
    /// No word at all, which a message may carry.
    fn default() -> Self {
        Self::Unrecognized(String::new())
    }
}
