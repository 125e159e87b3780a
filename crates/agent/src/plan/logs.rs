//! Where a container's output goes: `logConfiguration`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws::ecs;
use runtime::LogMode;
use serde::{Deserialize, Serialize};

use super::{Refusal, firelens, fluentd};

/// A log file is turned at this size, and with `awslogs` at most `MAX_LOG_FILES` of them wait to
/// be shipped: a server that is away for longer than it takes to fill them loses the oldest.
pub const MAX_LOG_BYTES: u64 = 16 << 20;
pub(super) const MAX_LOG_FILES: u32 = 64;
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
    /// To a receiver of Fluentd's forward protocol, such as the task's log router.
    Fluent(Fluent),
    /// To a log driver of the container runtime's own.
    Driver,
}

/// A container's output in Fluentd's forward protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fluent {
    /// Who takes it.
    pub address: FluentAddress,
    /// What each message is tagged with.
    pub tag: String,
    /// The field `container_name`.
    pub name: String,
    /// Further fields.
    pub fields: Vec<(String, String)>,
    /// So many lines are in memory at most.
    pub at_once: usize,
}

/// Who takes messages of the forward protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FluentAddress {
    /// A socket of this node.
    Unix(PathBuf),
    /// A host and a port.
    Tcp(String, u16),
}

impl std::fmt::Display for FluentAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
        }
    }
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
    /// What the container runtime has.
    pub(super) drivers: &'a [String],
    /// The family and the number of the task definition.
    pub(super) definition: (&'a str, &'a str),
    /// The container's image.
    pub(super) image: &'a str,
    /// The socket of the task's log router, if it has one.
    pub(super) router: Option<&'a Path>,
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
    let options = wanted.options.as_ref().unwrap_or(&none);
    let driver = wanted.log_driver.as_ref().map_or("json-file", |driver| driver.as_str());
    let member = || format!("container {name}: logConfiguration.logDriver {driver}");
    let ours = matches!(driver, "json-file" | "awslogs" | "none");
    if ours && wanted.secret_options.as_ref().is_some_and(|options| !options.is_empty()) {
        let member = format!("container {name}: logConfiguration.secretOptions");
        return Err(Refusal::new(member, format!("the driver {driver} has no secret options")));
    }
    match driver {
        "json-file" => files(name, options),
        "awslogs" => awslogs(writer, options),
        "none" => Ok((LogPlan::None, LogMode::None)),
        firelens::DRIVER => fluentd::routed(writer, options),
        _ if writer.drivers.iter().any(|known| known == driver) => {
            let mode = LogMode::Driver { name: driver.to_owned(), options: options.clone() };
            Ok((LogPlan::Driver, mode))
        }
        "fluentd" => fluentd::plain(writer, options, wanted.secret_options.as_deref()),
        _ => {
            let mut all = vec!["awslogs", "json-file", "none", "fluentd", "awsfirelens"];
            all.extend(writer.drivers.iter().map(String::as_str));
            Err(Refusal::new(member(), format!("this node has {}", all.join(", "))))
        }
    }
}

pub(super) fn option(name: &str, key: &str) -> String {
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
            "awslogs-datetime-format" => {
                let pattern = datetime_pattern(value).ok_or_else(|| {
                    let why = format!("\"{value}\" cannot be read as strftime's words");
                    Refusal::new(option(name, key), why)
                })?;
                logs.multiline.get_or_insert(pattern);
            }
            "mode" | "max-buffer-size" => {}
            _ => return Err(Refusal::unbuilt(option(name, key))),
        }
    }
    if options.contains_key("awslogs-datetime-format")
        && options.contains_key("awslogs-multiline-pattern")
    {
        let why = "awslogs-multiline-pattern says the same in another way; give one of them";
        return Err(Refusal::new(option(name, "awslogs-datetime-format"), why));
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

/// The pattern of a line that has an instant in this format of strftime's; none if the format has a
/// word that is not known.
fn datetime_pattern(format: &str) -> Option<String> {
    let mut pattern = String::new();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '%' {
            if !char.is_alphanumeric() && !char.is_whitespace() {
                pattern.push('\\');
            }
            pattern.push(char);
            continue;
        }
        pattern.push_str(match chars.next()? {
            'a' => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
            'A' => "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day",
            'b' => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
            'B' => {
                "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
            }
            'd' | 'H' | 'I' | 'm' | 'M' | 'S' | 'y' => r"\d{2}",
            'j' | 'L' => r"\d{3}",
            'f' => r"\d{1,9}",
            'p' => "(?:AM|PM|am|pm)",
            'w' => r"\d",
            'Y' => r"\d{4}",
            'z' => r"(?:Z|[+-]\d{2}:?\d{2})",
            'Z' => "[A-Z]{1,5}T?",
            '%' => "%",
            _ => return None,
        });
    }
    regex_lite::Regex::new(&pattern).ok().map(|_| pattern)
}

/// The buffer of `mode=non-blocking`.
pub(super) fn buffer(
    name: &str,
    options: &BTreeMap<String, String>,
) -> Result<Option<u64>, Refusal> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instants_format_becomes_a_pattern() {
        for (format, line, other) in [
            ("%Y-%m-%d %H:%M:%S", "x 2026-11-22 20:30:01 hello", "  at main.rs:1"),
            ("[%b %d, %Y %H:%M:%S]", "[Nov 22, 2026 20:30:01] hello", "Nov 22"),
            ("%Y-%m-%dT%H:%M:%S.%L%z", "2026-11-22T20:30:01.123+01:00", "2026-11-22T20:30:01"),
        ] {
            let pattern = regex_lite::Regex::new(&datetime_pattern(format).unwrap()).unwrap();
            assert!(pattern.is_match(line), "{format}: {line}");
            assert!(!pattern.is_match(other), "{format}: {other}");
        }
        assert_eq!(datetime_pattern("%Q"), None);
        assert_eq!(datetime_pattern("%"), None);
    }
}
