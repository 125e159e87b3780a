//! Health checks and restart policies.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerRestartPolicy.html>

use aws::Error;
use aws::ecs::ContainerDefinition;

use super::container::wrong;

/// ECS's own defaults: seconds between probes, seconds for one, failures in a row.
pub(super) const INTERVAL: i32 = 30;
pub(super) const TIMEOUT: i32 = 5;
pub(super) const RETRIES: i32 = 3;

/// A container that ran for so many seconds may be restarted, unless given.
pub(super) const RESTART_ATTEMPT_PERIOD: i32 = 300;

const MOST_IGNORED: usize = 50;

/// Checks the health check of a container.
pub(super) fn check_probe(name: &str, container: &ContainerDefinition) -> Result<(), Error> {
    let Some(check) = &container.health_check else {
        return Ok(());
    };
    let command = check.command.as_deref().unwrap_or_default();
    let right = match command {
        [kind, rest @ ..] if kind == "CMD" => !rest.is_empty(),
        [kind, shell] if kind == "CMD-SHELL" => !shell.is_empty(),
        _ => false,
    };
    if !right {
        return Err(wrong(
            name,
            "healthCheck.command",
            "it is [\"CMD\", program, arguments…] or [\"CMD-SHELL\", command].",
        ));
    }
    for (member, value, from, to) in [
        ("healthCheck.interval", check.interval, 5, 300),
        ("healthCheck.timeout", check.timeout, 2, 60),
        ("healthCheck.retries", check.retries, 1, 10),
        ("healthCheck.startPeriod", check.start_period, 0, 300),
    ] {
        if value.is_some_and(|value| !(from..=to).contains(&value)) {
            return Err(wrong(name, member, format!("it is between {from} and {to}.")));
        }
    }
    Ok(())
}

/// Checks the restart policy of a container.
pub(super) fn check_restart(name: &str, container: &ContainerDefinition) -> Result<(), Error> {
    let Some(policy) = &container.restart_policy else {
        return Ok(());
    };
    if policy.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > MOST_IGNORED) {
        return Err(wrong(
            name,
            "restartPolicy.ignoredExitCodes",
            format!("it has at most {MOST_IGNORED} entries."),
        ));
    }
    if policy.restart_attempt_period.is_some_and(|seconds| !(60..=1800).contains(&seconds)) {
        return Err(wrong(
            name,
            "restartPolicy.restartAttemptPeriod",
            "it is between 60 and 1800 seconds.",
        ));
    }
    Ok(())
}
