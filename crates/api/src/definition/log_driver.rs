//! Log configurations: which drivers and options the nodes of this build honour.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LogConfiguration.html>

use aws::Error;
use aws::ecs::{ContainerDefinition, LogDriver};
use model::Realm;

use super::container::wrong;
use crate::refuse::DEFINITION;

/// What may be said to every driver.
const COMMON: &[&str] = &["mode", "max-buffer-size"];

/// What may be said to `awslogs`.
const AWSLOGS: &[&str] =
    &["awslogs-group", "awslogs-region", "awslogs-stream-prefix", "awslogs-create-group"];

/// What may be said to `json-file`.
const JSON_FILE: &[&str] = &["max-size", "max-file"];

/// Checks the log configuration of a container.
pub(super) fn check(
    name: &str,
    container: &ContainerDefinition,
    realm: &Realm,
) -> Result<(), Error> {
    let Some(log) = &container.log_configuration else {
        return Ok(());
    };
    DEFINITION.list(
        &format!("containerDefinitions['{name}'].logConfiguration.secretOptions"),
        log.secret_options.as_ref(),
        "secrets are",
    )?;
    let known = match &log.log_driver {
        Some(LogDriver::Awslogs) => AWSLOGS,
        Some(LogDriver::JsonFile) => JSON_FILE,
        Some(other) => {
            return Err(wrong(
                name,
                "logConfiguration.logDriver",
                format!("{other} is not built yet in Wharf; use awslogs or json-file."),
            ));
        }
        None => return Err(wrong(name, "logConfiguration.logDriver", "it can not be blank.")),
    };
    let empty = std::collections::BTreeMap::new();
    let options = log.options.as_ref().unwrap_or(&empty);
    for (option, value) in options {
        if !known.contains(&option.as_str()) && !COMMON.contains(&option.as_str()) {
            return Err(wrong(
                name,
                "logConfiguration.options",
                format!(
                    "{option} is not built yet in Wharf; this driver takes {} and {}.",
                    known.join(", "),
                    COMMON.join(", ")
                ),
            ));
        }
        check_value(option, value, realm)
            .map_err(|why| wrong(name, "logConfiguration.options", format!("{option}: {why}")))?;
    }
    if log.log_driver == Some(LogDriver::Awslogs)
        && options.get("awslogs-group").is_none_or(String::is_empty)
    {
        return Err(wrong(
            name,
            "logConfiguration.options",
            "Log driver awslogs requires options: awslogs-group",
        ));
    }
    Ok(())
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
