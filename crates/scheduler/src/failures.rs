//! Failures of a service's tasks: counted for the circuit breaker, and slowed down by a back-off.
//!
//! Tasks that fail together count as one failure in a row: only a task that was made after the last
//! back-off ended lengthens the next one. So a hundred tasks that crash at once are all replaced at
//! once, and only if the replacements crash too does the deployment wait.

use model::{DeploymentId, ServiceKey, ServiceStatus};
use stdx::Timestamp;

use crate::desk::Desk;
use crate::{timing, words};

/// A task of a deployment failed, which was made at `made_at`; `why` tells how.
pub(crate) fn count(
    desk: &mut Desk<'_>,
    service: &ServiceKey,
    deployment: &DeploymentId,
    made_at: Timestamp,
    why: &str,
) {
    let now = desk.now;
    let Some(draft) = desk.draft(service) else { return };
    if draft.status != ServiceStatus::Active {
        return;
    }
    draft.steady_since = None;
    let Some(deployment) = draft.deployments.iter_mut().find(|d| d.id == *deployment) else {
        return;
    };
    deployment.failed_tasks = deployment.failed_tasks.saturating_add(1);
    deployment.updated_at = now;
    if deployment.not_before.is_some_and(|end| made_at < end) {
        return;
    }
    deployment.failures_in_a_row = deployment.failures_in_a_row.saturating_add(1);
    let wait = timing::backoff(deployment.failures_in_a_row);
    deployment.not_before = Some(now + wait);
    if !wait.is_zero() {
        desk.say(service, &words::cannot_start(why, wait));
    }
}
