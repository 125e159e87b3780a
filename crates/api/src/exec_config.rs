//! A cluster's `configuration.executeCommandConfiguration`: read, and shown.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommandConfiguration.html>

use aws::Error;
use aws::ecs::{
    ClusterConfiguration, ExecuteCommandConfiguration, ExecuteCommandLogConfiguration,
    ExecuteCommandLogging,
};
use model::ExecLogging;

use crate::errors::invalid;
use crate::refuse::PARAMETER;

/// Reads what is asked for, if anything is.
pub(crate) fn read(given: Option<&ClusterConfiguration>) -> Result<Option<ExecLogging>, Error> {
    let Some(given) = given else { return Ok(None) };
    let rest = ClusterConfiguration { execute_command_configuration: None, ..given.clone() };
    PARAMETER.said(
        "configuration.managedStorageConfiguration",
        Some(&rest),
        "managed storage is",
    )?;
    let Some(exec) = &given.execute_command_configuration else { return Ok(None) };
    let at = |member: &str| format!("configuration.executeCommandConfiguration.{member}");
    PARAMETER.text(
        &at("kmsKeyId"),
        exec.kms_key_id.as_ref(),
        "encryption of sessions with KMS is",
    )?;
    let logs = exec.log_configuration.clone().unwrap_or_default();
    let overridden = logs != ExecuteCommandLogConfiguration::default();
    match &exec.logging {
        Some(ExecuteCommandLogging::Override) => to(&logs).map(Some),
        None | Some(ExecuteCommandLogging::None | ExecuteCommandLogging::Default) if overridden => {
            Err(invalid(format!("{}: it needs logging to be OVERRIDE.", at("logConfiguration"))))
        }
        None => Ok(Some(ExecLogging::Default)),
        Some(ExecuteCommandLogging::None) => Ok(Some(ExecLogging::None)),
        Some(ExecuteCommandLogging::Default) => Ok(Some(ExecLogging::Default)),
        Some(ExecuteCommandLogging::Unrecognized(text)) => Err(invalid(format!(
            "{}: \"{text}\" is none of NONE, DEFAULT and OVERRIDE.",
            at("logging")
        ))),
    }
}

fn to(logs: &ExecuteCommandLogConfiguration) -> Result<ExecLogging, Error> {
    let at = |member: &str| {
        format!("configuration.executeCommandConfiguration.logConfiguration.{member}")
    };
    let r = PARAMETER;
    r.text(&at("s3BucketName"), logs.s3_bucket_name.as_ref(), "logging sessions to S3 is")?;
    r.text(&at("s3KeyPrefix"), logs.s3_key_prefix.as_ref(), "logging sessions to S3 is")?;
    r.flag(&at("s3EncryptionEnabled"), logs.s3_encryption_enabled, "logging sessions to S3 is")?;
    let encrypted = logs.cloud_watch_encryption_enabled;
    r.flag(&at("cloudWatchEncryptionEnabled"), encrypted, "demanding encrypted log groups is")?;
    match logs.cloud_watch_log_group_name.as_deref() {
        Some(group) if !group.is_empty() => {
            Ok(ExecLogging::Override { log_group: group.to_owned() })
        }
        _ => Err(invalid(format!("{}: OVERRIDE needs it.", at("cloudWatchLogGroupName")))),
    }
}

/// As it is described.
pub(crate) fn show(logging: &ExecLogging) -> ClusterConfiguration {
    let (logging, log_configuration) = match logging {
        ExecLogging::None => (ExecuteCommandLogging::None, None),
        ExecLogging::Default => (ExecuteCommandLogging::Default, None),
        ExecLogging::Override { log_group } => {
            let to = ExecuteCommandLogConfiguration {
                cloud_watch_log_group_name: Some(log_group.clone()),
                cloud_watch_encryption_enabled: Some(false),
                s3_encryption_enabled: Some(false),
                ..ExecuteCommandLogConfiguration::default()
            };
            (ExecuteCommandLogging::Override, Some(to))
        }
    };
    ClusterConfiguration {
        execute_command_configuration: Some(ExecuteCommandConfiguration {
            kms_key_id: None,
            log_configuration,
            logging: Some(logging),
        }),
        ..ClusterConfiguration::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read_json(exec: Value) -> Result<Option<ExecLogging>, Error> {
        let given: ClusterConfiguration =
            serde_json::from_value(json!({"executeCommandConfiguration": exec})).unwrap();
        read(Some(&given))
    }

    #[test]
    fn what_is_read_is_shown_and_what_is_not_built_is_named() {
        assert_eq!(read(None).unwrap(), None);
        assert_eq!(read_json(json!({})).unwrap(), Some(ExecLogging::Default));
        let to =
            json!({"logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "g"}});
        let read_back = read_json(to).unwrap().unwrap();
        assert_eq!(read_back, ExecLogging::Override { log_group: "g".into() });
        assert_eq!(read(Some(&show(&read_back))).unwrap(), Some(read_back));
        assert_eq!(read_json(json!({"logging": "NONE"})).unwrap(), Some(ExecLogging::None));
        for (given, named) in [
            (json!({"kmsKeyId": "k"}), "kmsKeyId"),
            (json!({"logging": "OVERRIDE"}), "cloudWatchLogGroupName"),
            (json!({"logging": "LOUD"}), "LOUD"),
            (json!({"logConfiguration": {"cloudWatchLogGroupName": "g"}}), "OVERRIDE"),
            (
                json!({"logging": "OVERRIDE", "logConfiguration": {"s3BucketName": "b"}}),
                "s3BucketName",
            ),
        ] {
            let error = read_json(given).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException");
            assert!(error.message.contains(named), "{error}");
        }
    }
}
