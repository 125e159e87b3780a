//! A container's health check, as ECS words it.

use std::time::Duration;

use aws::ecs;
use runtime::HealthCheck;

use super::Refusal;

/// The probe that `healthCheck` asks for; `["NONE"]` asks for none.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html>
pub(super) fn probe(name: &str, check: &ecs::HealthCheck) -> Result<Option<HealthCheck>, Refusal> {
    let command = check.command.as_deref().unwrap_or_default();
    let wrong = |why: &str| Refusal::new(format!("container {name}: healthCheck.command"), why);
    let args = match command {
        [] => return Err(wrong("empty; give [\"CMD-SHELL\", \"…\"] or [\"CMD\", \"…\"]")),
        [word] if word == "NONE" => return Ok(None),
        [word, line] if word == "CMD-SHELL" => {
            vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()]
        }
        [word, args @ ..] if word == "CMD" && !args.is_empty() => args.to_vec(),
        _ => {
            return Err(wrong(
                "must begin with CMD and a program, or be CMD-SHELL and one command line, or NONE",
            ));
        }
    };
    let seconds = |value: Option<i32>, default: u64| {
        Duration::from_secs(value.and_then(|v| u64::try_from(v).ok()).unwrap_or(default))
    };
    Ok(Some(HealthCheck {
        args,
        interval: seconds(check.interval, 30),
        timeout: seconds(check.timeout, 5),
        retries: check.retries.and_then(|v| u32::try_from(v).ok()).unwrap_or(3),
        start_period: seconds(check.start_period, 0),
    }))
}
