//! Log configurations: which drivers and options there are.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LogConfiguration.html>

use std::collections::BTreeMap;

use aws::Error;
use aws::ecs::{ContainerDefinition, FirelensConfigurationType, LogDriver};
use model::Realm;

use super::container::wrong;
use super::validate::Surroundings;
use crate::errors::client;

/// What may be said to every driver.
const COMMON: &[&str] = &["mode", "max-buffer-size"];

/// What Docker's drivers that tag their lines all take.
const TAGS: &[&str] = &["tag", "labels", "labels-regex", "env", "env-regex"];

/// What may be said to `awslogs`.
const AWSLOGS: &[&str] = &[
    "awslogs-group",
    "awslogs-region",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-multiline-pattern",
];

/// What may be said to `syslog`, as Docker has it, and so on.
const SYSLOG: &[&str] = &[
    "syslog-address",
    "syslog-facility",
    "syslog-format",
    "syslog-tls-ca-cert",
    "syslog-tls-cert",
    "syslog-tls-key",
    "syslog-tls-skip-verify",
];

/// `fluentd`.
const FLUENTD: &[&str] = &[
    "fluentd-address",
    "fluentd-async",
    "fluentd-async-connect",
    "fluentd-async-reconnect-interval",
    "fluentd-buffer-limit",
    "fluentd-max-retries",
    "fluentd-request-ack",
    "fluentd-retry-wait",
    "fluentd-sub-second-precision",
];

/// `gelf`.
const GELF: &[&str] = &[
    "gelf-address",
    "gelf-compression-level",
    "gelf-compression-type",
    "gelf-tcp-max-reconnect",
    "gelf-tcp-reconnect-delay",
];

/// `splunk`.
const SPLUNK: &[&str] = &[
    "splunk-caname",
    "splunk-capath",
    "splunk-format",
    "splunk-gzip",
    "splunk-gzip-level",
    "splunk-index",
    "splunk-insecureskipverify",
    "splunk-source",
    "splunk-sourcetype",
    "splunk-token",
    "splunk-url",
    "splunk-verify-connection",
];

/// A driver: which options it takes, and which it needs.
struct Driver {
    takes: &'static [&'static str],
    tags: bool,
    needs: &'static [&'static str],
}

/// The drivers that some node can have; which node has which is told by attributes. `awsfirelens`
/// takes whatever its router takes.
fn driver(driver: &LogDriver) -> Option<Driver> {
    let of = |takes, tags, needs| Some(Driver { takes, tags, needs });
    match driver {
        LogDriver::Awslogs => of(AWSLOGS, false, &["awslogs-group"]),
        LogDriver::JsonFile => of(&["max-size", "max-file"], false, &[]),
        LogDriver::Syslog => of(SYSLOG, true, &[]),
        LogDriver::Journald => of(&[], true, &[]),
        LogDriver::Fluentd => of(FLUENTD, true, &[]),
        LogDriver::Gelf => of(GELF, true, &["gelf-address"]),
        LogDriver::Splunk => of(SPLUNK, true, &["splunk-token", "splunk-url"]),
        LogDriver::Unrecognized(name) if name == NONE => of(&[], false, &[]),
        LogDriver::Awsfirelens | LogDriver::Unrecognized(_) => None,
    }
}

/// Docker's driver that keeps nothing. ECS does not list it, though its agent has it.
pub(super) const NONE: &str = "none";

/// Checks the log configuration of a container.
pub(super) fn check(
    name: &str,
    container: &ContainerDefinition,
    task: &Surroundings<'_>,
) -> Result<(), Error> {
    let Some(log) = &container.log_configuration else {
        return Ok(());
    };
    let empty = BTreeMap::new();
    let options = log.options.as_ref().unwrap_or(&empty);
    let chosen = match &log.log_driver {
        None => return Err(wrong(name, "logConfiguration.logDriver", "it can not be blank.")),
        Some(LogDriver::Awsfirelens) => return routed(name, options, task),
        Some(chosen) => chosen,
    };
    let Some(driver) = driver(chosen) else {
        return Err(wrong(
            name,
            "logConfiguration.logDriver",
            format!(
                "{chosen} is not a log driver; there are {} and {NONE}.",
                LogDriver::VALUES.join(", ")
            ),
        ));
    };
    let takes = |option: &str| {
        driver.takes.contains(&option)
            || COMMON.contains(&option)
            || (driver.tags && TAGS.contains(&option))
    };
    for (option, value) in options {
        if !takes(option) {
            return Err(wrong(
                name,
                "logConfiguration.options",
                format!("{option} is not an option of {chosen} in Wharf."),
            ));
        }
        check_value(option, value, task.realm)
            .map_err(|why| wrong(name, "logConfiguration.options", format!("{option}: {why}")))?;
    }
    let secret = |option: &str| {
        log.secret_options.iter().flatten().any(|s| s.name.as_deref() == Some(option))
    };
    for option in log.secret_options.iter().flatten().filter_map(|s| s.name.as_deref()) {
        if !takes(option) || options.contains_key(option) {
            return Err(wrong(
                name,
                "logConfiguration.secretOptions",
                format!("{option} is not an option of {chosen}, or is given in the open as well."),
            ));
        }
    }
    let given = |option: &str| options.get(option).is_some_and(|v| !v.is_empty()) || secret(option);
    if driver.needs.iter().any(|needed| !given(needed)) {
        return Err(wrong(
            name,
            "logConfiguration.options",
            format!("Log driver {chosen} requires options: {}", driver.needs.join(", ")),
        ));
    }
    if given("awslogs-datetime-format") && given("awslogs-multiline-pattern") {
        return Err(wrong(
            name,
            "logConfiguration.options",
            "awslogs-datetime-format and awslogs-multiline-pattern both say where an event begins; \
             give one.",
        ));
    }
    Ok(())
}

/// `awsfirelens`: the options are the router's, all but one.
fn routed(
    name: &str,
    options: &BTreeMap<String, String>,
    task: &Surroundings<'_>,
) -> Result<(), Error> {
    let limit = options.get("log-driver-buffer-limit");
    if limit.is_some_and(|n| !n.parse::<u32>().is_ok_and(|n| n <= 536_870_912)) {
        return Err(wrong(
            name,
            "logConfiguration.options",
            "log-driver-buffer-limit is a number of bytes between 0 and 536870912.",
        ));
    }
    let router = task.containers.iter().find(|c| c.firelens_configuration.is_some());
    match router.and_then(|router| router.name.as_deref()) {
        None => Err(wrong(
            name,
            "logConfiguration.logDriver",
            "awsfirelens needs a container of the task with a firelensConfiguration.",
        )),
        Some(router) if router == name => Err(wrong(
            name,
            "logConfiguration.logDriver",
            "the log router can not send its own output to itself.",
        )),
        Some(_) => Ok(()),
    }
}

/// Checks the log routers of a task: at most one, and somebody who uses it.
pub(super) fn check_routers(containers: &[ContainerDefinition]) -> Result<(), Error> {
    let routers: Vec<&ContainerDefinition> =
        containers.iter().filter(|c| c.firelens_configuration.is_some()).collect();
    let [router] = routers[..] else {
        return if routers.is_empty() {
            Ok(())
        } else {
            Err(client("A task can have one container with a firelensConfiguration."))
        };
    };
    let name = router.name.as_deref().unwrap_or_default();
    let firelens = router.firelens_configuration.clone().unwrap_or_default();
    match &firelens.r#type {
        Some(FirelensConfigurationType::Fluentd | FirelensConfigurationType::Fluentbit) => {}
        _ => {
            return Err(wrong(name, "firelensConfiguration.type", "it is fluentd or fluentbit."));
        }
    }
    for (option, value) in firelens.options.iter().flatten() {
        let right = match option.as_str() {
            "enable-ecs-log-metadata" => ["true", "false"].contains(&value.as_str()),
            "config-file-type" => ["s3", "file"].contains(&value.as_str()),
            "config-file-value" => !value.is_empty(),
            _ => false,
        };
        if !right {
            return Err(wrong(
                name,
                "firelensConfiguration.options",
                format!(
                    "{option}: \"{value}\" is not what it can be; there are \
                         enable-ecs-log-metadata (true, false), config-file-type (s3, file) and \
                         config-file-value."
                ),
            ));
        }
    }
    let routed = |c: &ContainerDefinition| {
        c.log_configuration.as_ref().and_then(|l| l.log_driver.as_ref())
            == Some(&LogDriver::Awsfirelens)
    };
    if containers.iter().any(routed) {
        return Ok(());
    }
    Err(client(
        "When a firelensConfiguration object is specified, at least one container has to be configured \
         with the awsfirelens log driver.",
    ))
}

fn check_value(option: &str, value: &str, realm: &Realm) -> Result<(), String> {
    match option {
        "awslogs-region" if value != realm.region => {
            Err(format!("logs go to this region, which is {}, not to \"{value}\".", realm.region))
        }
        "awslogs-group" if !is_log_group(value) => Err(format!(
            "\"{value}\" is not the name of a log group: it has up to 512 letters, digits and _-/.#"
        )),
        "awslogs-stream-prefix" if value.is_empty() || value.contains([':', '*']) => {
            Err(format!("\"{value}\" can not begin the name of a log stream."))
        }
        "awslogs-datetime-format" | "awslogs-multiline-pattern" if value.is_empty() => {
            Err("it says nothing.".to_owned())
        }
        "awslogs-create-group" if !["true", "false"].contains(&value) => {
            Err(format!("\"{value}\" is neither true nor false."))
        }
        "mode" if !["blocking", "non-blocking"].contains(&value) => {
            Err(format!("\"{value}\" is neither blocking nor non-blocking."))
        }
        "max-buffer-size" | "max-size" if !is_size(value) => {
            Err(format!("\"{value}\" is not a size such as 512k, 25m or 1g."))
        }
        "max-file" if value.parse::<u32>().is_ok_and(|n| (1..=1000).contains(&n)) => Ok(()),
        "max-file" => Err(format!("\"{value}\" is not a number between 1 and 1000.")),
        _ => Ok(()),
    }
}

fn is_log_group(text: &str) -> bool {
    let right = |b: u8| b.is_ascii_alphanumeric() || b"_-/.#".contains(&b);
    !text.is_empty() && text.len() <= 512 && text.bytes().all(right)
}

/// A number of bytes, with `k`, `m` or `g` behind it, and a `b` behind that, as Docker reads it.
fn is_size(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let text = text.strip_suffix('b').unwrap_or(&text);
    let digits = text.strip_suffix(['k', 'm', 'g']).unwrap_or(text);
    digits.len() <= 12 && digits.parse::<u64>().is_ok_and(|n| n > 0)
}
