//! A cluster's `configuration.executeCommandConfiguration`: read, and shown.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommandConfiguration.html>

use aws::Error;
use aws::ecs::{
    ClusterConfiguration, ExecuteCommandConfiguration, ExecuteCommandLogConfiguration,
    ExecuteCommandLogging,
};
use model::{ExecBucket, ExecLogging};

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
    r.flag(
        &at("s3EncryptionEnabled"),
        logs.s3_encryption_enabled,
        "encryption of objects (there is no KMS and no default encryption of buckets) is",
    )?;
    let encrypted = logs.cloud_watch_encryption_enabled;
    r.flag(&at("cloudWatchEncryptionEnabled"), encrypted, "demanding encrypted log groups is")?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let prefix = given(&logs.s3_key_prefix);
    let bucket =
        given(&logs.s3_bucket_name).map(|name| ExecBucket { name, prefix: prefix.clone() });
    if bucket.is_none() && prefix.is_some() {
        return Err(invalid(format!("{}: it needs s3BucketName.", at("s3KeyPrefix"))));
    }
    let log_group = given(&logs.cloud_watch_log_group_name);
    if log_group.is_none() && bucket.is_none() {
        return Err(invalid(format!(
            "{}: OVERRIDE needs cloudWatchLogGroupName, s3BucketName or both.",
            at("cloudWatchLogGroupName")
        )));
    }
    Ok(ExecLogging::Override { log_group, bucket })
}

/// As it is described.
pub(crate) fn show(logging: &ExecLogging) -> ClusterConfiguration {
    let (logging, log_configuration) = match logging {
        ExecLogging::None => (ExecuteCommandLogging::None, None),
        ExecLogging::Default => (ExecuteCommandLogging::Default, None),
        ExecLogging::Override { log_group, bucket } => {
            let to = ExecuteCommandLogConfiguration {
                cloud_watch_log_group_name: log_group.clone(),
                cloud_watch_encryption_enabled: Some(false),
                s3_bucket_name: bucket.as_ref().map(|bucket| bucket.name.clone()),
                s3_encryption_enabled: Some(false),
                s3_key_prefix: bucket.as_ref().and_then(|bucket| bucket.prefix.clone()),
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
        let group = ExecLogging::Override { log_group: Some("g".into()), bucket: None };
        assert_eq!(read_back, group);
        assert_eq!(read(Some(&show(&read_back))).unwrap(), Some(read_back));
        let to = json!({"logging": "OVERRIDE", "logConfiguration": {"s3BucketName": "b", "s3KeyPrefix": "p"}});
        let read_back = read_json(to).unwrap().unwrap();
        let bucket = ExecBucket { name: "b".into(), prefix: Some("p".into()) };
        assert_eq!(read_back, ExecLogging::Override { log_group: None, bucket: Some(bucket) });
        assert_eq!(read(Some(&show(&read_back))).unwrap(), Some(read_back));
        assert_eq!(read_json(json!({"logging": "NONE"})).unwrap(), Some(ExecLogging::None));
        for (given, named) in [
            (json!({"kmsKeyId": "k"}), "kmsKeyId"),
            (json!({"logging": "OVERRIDE"}), "cloudWatchLogGroupName"),
            (json!({"logging": "LOUD"}), "LOUD"),
            (json!({"logConfiguration": {"cloudWatchLogGroupName": "g"}}), "OVERRIDE"),
            (
                json!({"logging": "OVERRIDE", "logConfiguration": {"s3KeyPrefix": "b"}}),
                "s3BucketName",
            ),
            (
                json!({"logging": "OVERRIDE", "logConfiguration": {"s3BucketName": "b", "s3EncryptionEnabled": true}}),
                "s3EncryptionEnabled",
            ),
        ] {
            let error = read_json(given).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException");
            assert!(error.message.contains(named), "{error}");
        }
    }
}
