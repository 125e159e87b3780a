//! Tasks and instances as they are described, for events about them.

use aws::ecs;
use model::{Instance, State, Task};

use crate::{instances, task_view};

/// A task as DescribeTasks shows it, without its tags.
pub fn describe_task(state: &State, task: &Task) -> ecs::Task {
    task_view::task_view(state, task, false)
}

/// A container instance as DescribeContainerInstances shows it, without its tags.
pub fn describe_instance(state: &State, instance: &Instance) -> ecs::ContainerInstance {
    instances::instance_view(state, instance, false)
}
