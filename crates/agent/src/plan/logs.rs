//! Where a container's output goes: `logConfiguration`.

use std::collections::BTreeMap;

use aws::ecs;
use runtime::LogMode;
use serde::{Deserialize, Serialize};

use super::Refusal;

/// A log file is turned at this size, and with `awslogs` at most `MAX_LOG_FILES` of them wait to
/// be shipped: a server that is away for longer than it takes to fill them loses the oldest.
pub const MAX_LOG_BYTES: u64 = 16 << 20;
const MAX_LOG_FILES: u32 = 64;
/// Docker's default for `max-buffer-size`.
const DEFAULT_BUFFER: u64 = 1 << 20;

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPlan {
    /// Nowhere.
    None,
    /// Into files on this node, gone with the task.
    Files,
    /// To CloudWatch Logs.
    AwsLogs(AwsLogs),
}

/// The options of the `awslogs` driver.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsLogs {
    /// The log group.
    pub group: String,
    /// The log stream.
    pub stream: String,
    /// Whether the group is made if it does not exist.
    pub create_group: bool,
    /// A line that matches begins an event; others belong to the one before.
    pub multiline: Option<String>,
}

/// Who writes the log: what a stream's name is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer<'a> {
    pub(super) name: &'a str,
    pub(super) task_id: &'a str,
    pub(super) runtime_id: &'a str,
    pub(super) region: &'a str,
}

/// What `logConfiguration` asks for: where the output goes and how the runtime keeps it. Without one,
/// files, as Docker has it.
pub(super) fn log(
    writer: Writer<'_>,
    wanted: Option<&ecs::LogConfiguration>,
) -> Result<(LogPlan, LogMode), Refusal> {
    let none = BTreeMap::new();
    let Some(wanted) = wanted else { return files(writer.name, &none) };
    let name = writer.name;
    if wanted.secret_options.as_ref().is_some_and(|options| !options.is_empty()) {
        return Err(Refusal::unbuilt(format!("container {name}: logConfiguration.secretOptions")));
    }
    let options = wanted.options.as_ref().unwrap_or(&none);
    match &wanted.log_driver {
        None | Some(ecs::LogDriver::JsonFile) => files(name, options),
        Some(ecs::LogDriver::Awslogs) => awslogs(writer, options),
        Some(driver) if driver.as_str() == "none" => Ok((LogPlan::None, LogMode::None)),
        Some(driver) => {
            let member = format!("container {name}: logConfiguration.logDriver {driver}");
            Err(Refusal::new(member, "this node has awslogs, json-file and none"))
        }
    }
}

fn option(name: &str, key: &str) -> String {
    format!("container {name}: logConfiguration.options {key}")
}

fn files(name: &str, options: &BTreeMap<String, String>) -> Result<(LogPlan, LogMode), Refusal> {
    let mut max_bytes = MAX_LOG_BYTES;
    let mut max_files = 2;
    for (key, value) in options {
        let wrong = || Refusal::new(option(name, key), format!("\"{value}\" cannot be read"));
        match key.as_str() {
            "max-size" => max_bytes = size(value).filter(|v| *v > 0).ok_or_else(wrong)?,
            "max-file" => {
                max_files = value.parse().ok().filter(|v| *v > 0).ok_or_else(wrong)?;
            }
            "mode" | "max-buffer-size" => {}
            _ => return Err(Refusal::unbuilt(option(name, key))),
        }
    }
    let non_blocking_bytes = buffer(name, options)?;
    Ok((LogPlan::Files, LogMode::Files { max_bytes, max_files, non_blocking_bytes }))
}

fn awslogs(
    writer: Writer<'_>,
    options: &BTreeMap<String, String>,
) -> Result<(LogPlan, LogMode), Refusal> {
    let name = writer.name;
    let mut logs = AwsLogs {
        group: String::new(),
        stream: writer.runtime_id.to_owned(),
        create_group: false,
        multiline: None,
    };
    for (key, value) in options {
        match key.as_str() {
            "awslogs-group" => logs.group.clone_from(value),
            "awslogs-stream-prefix" => {
                logs.stream = format!("{value}/{name}/{}", writer.task_id);
            }
            "awslogs-create-group" => logs.create_group = value.eq_ignore_ascii_case("true"),
            "awslogs-region" if value == writer.region => {}
            "awslogs-region" => {
                let why = format!(
                    "logs cannot be sent to {value}: this server is region {}",
                    writer.region
                );
                return Err(Refusal::new(option(name, key), why));
            }
            "awslogs-multiline-pattern" => {
                regex_lite::Regex::new(value).map_err(|error| {
                    Refusal::new(option(name, key), format!("\"{value}\" cannot be read: {error}"))
                })?;
                logs.multiline = Some(value.clone());
            }
            "mode" | "max-buffer-size" => {}
            _ => return Err(Refusal::unbuilt(option(name, key))),
        }
    }
    if logs.group.is_empty() {
        return Err(Refusal::new(option(name, "awslogs-group"), "missing; name a log group"));
    }
    let mode = LogMode::Files {
        max_bytes: MAX_LOG_BYTES,
        max_files: MAX_LOG_FILES,
        non_blocking_bytes: buffer(name, options)?,
    };
    Ok((LogPlan::AwsLogs(logs), mode))
}

/// The buffer of `mode=non-blocking`.
fn buffer(name: &str, options: &BTreeMap<String, String>) -> Result<Option<u64>, Refusal> {
    let wrong = |key: &str, value: &str| {
        Refusal::new(option(name, key), format!("\"{value}\" cannot be read"))
    };
    let bytes = match options.get("max-buffer-size") {
        Some(value) => size(value).ok_or_else(|| wrong("max-buffer-size", value))?,
        None => DEFAULT_BUFFER,
    };
    match options.get("mode").map(String::as_str) {
        None | Some("blocking") => Ok(None),
        Some("non-blocking") => Ok(Some(bytes)),
        Some(value) => Err(wrong("mode", value)),
    }
}

/// Docker's sizes: a number with `b`, `k`, `m` or `g`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)? {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
