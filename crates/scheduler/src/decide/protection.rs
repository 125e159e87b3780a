//! UpdateTaskProtection: a service's task is kept from being stopped to scale in or to deploy.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateTaskProtection.html>

use std::time::Duration;

use model::{DesiredStatus, TaskKey};

use crate::desk::Desk;
use crate::{Rejection, Reply};

/// Protects a task for `period` from now, whatever was said before, or ends its protection.
pub(super) fn protect(
    desk: &mut Desk<'_>,
    key: &TaskKey,
    period: Option<Duration>,
) -> Result<Reply, Rejection> {
    super::active_cluster(desk.state, &key.cluster)?;
    let task = desk.state.task(key).ok_or_else(|| Rejection::TaskNotFound(key.clone()))?;
    if task.facts.service.is_none() || task.progress.desired == DesiredStatus::Stopped {
        return Err(Rejection::TaskNotProtectable(key.clone()));
    }
    let until = period.map(|period| desk.now + period);
    if until != task.progress.protected_until {
        let mut next = task.progress.as_ref().clone();
        next.protected_until = until;
        desk.put(super::progress(key, next));
    }
    Ok(Reply::Task(key.clone()))
}
