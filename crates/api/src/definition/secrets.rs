//! What is fetched for a container before it starts: secrets, files of variables, and the password of
//! its image's registry. All three are fetched with the rights of the execution role.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specifying-sensitive-data.html>,
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/use-environment-file.html>

use std::collections::BTreeSet;

use aws::ecs::{ContainerDefinition, EnvironmentFile, EnvironmentFileType, Secret};
use aws::{Error, SecretSource, SecretSourceError};

use super::container::{environment_name, wrong};
use super::validate::Surroundings;
use crate::errors::client;

/// The most files of variables of a container.
const MOST_FILES: usize = 10;

/// Checks what a container has fetched.
pub(super) fn check(
    name: &str,
    container: &ContainerDefinition,
    task: &Surroundings<'_>,
) -> Result<(), Error> {
    let log = container.log_configuration.as_ref();
    let options = log.and_then(|log| log.secret_options.as_deref()).unwrap_or_default();
    let secrets = container.secrets.as_deref().unwrap_or_default();
    let asked = !secrets.is_empty() || !options.is_empty();
    if asked && !task.has_execution_role {
        return Err(client(
            "When you are specifying container secrets, you must also specify a value for \
             'executionRoleArn'.",
        ));
    }
    let variables: BTreeSet<&str> =
        container.environment.iter().flatten().filter_map(|v| v.name.as_deref()).collect();
    let mut names = BTreeSet::new();
    for secret in secrets {
        let variable = secret.name.as_deref().unwrap_or_default();
        environment_name(variable).map_err(|why| wrong(name, "secrets", why))?;
        if !names.insert(variable) {
            return Err(client(format!(
                "Duplicate secret names found: {variable}. Each secret name must be unique."
            )));
        }
        if variables.contains(variable) {
            return Err(client(format!(
                "The secret name must be unique and not shared with any new or existing environment \
                 variables set on the container, such as '{variable}'."
            )));
        }
        check_source(name, "secrets", secret)?;
    }
    for secret in options {
        check_source(name, "logConfiguration.secretOptions", secret)?;
    }
    let files = container.environment_files.as_deref().unwrap_or_default();
    if !files.is_empty() && !task.has_execution_role {
        return Err(client(
            "When you are specifying container environment files, you must also specify a value for \
             'executionRoleArn'.",
        ));
    }
    check_files(files).map_err(|why| wrong(name, "environmentFiles", why))?;
    registry(name, container, task)
}

fn check_source(name: &str, member: &str, secret: &Secret) -> Result<(), Error> {
    let given = secret.name.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Err(wrong(name, member, "a secret has no name."));
    }
    match SecretSource::parse(secret.value_from.as_deref().unwrap_or_default()) {
        Ok(_) => Ok(()),
        Err(SecretSourceError::Name(_)) => Err(client(format!(
            "The Systems Manager parameter name specified for secret {given} is invalid. The parameter \
             name can be up to 2048 characters and include the following letters and symbols: \
             a-zA-Z0-9_.-/"
        ))),
        Err(error) => Err(wrong(name, member, format!("valueFrom of {given}: {error}."))),
    }
}

/// What is wrong with files of variables.
pub(crate) fn check_files(files: &[EnvironmentFile]) -> Result<(), String> {
    if files.len() > MOST_FILES {
        return Err(format!("there are {} files, at most {MOST_FILES} are allowed.", files.len()));
    }
    for file in files {
        if file.r#type != Some(EnvironmentFileType::S3) {
            return Err("the type of a file is s3.".to_owned());
        }
        let value = file.value.as_deref().unwrap_or_default();
        let object = value
            .strip_prefix("arn:")
            .and_then(|rest| rest.split_once(":s3:::"))
            .and_then(|(_partition, path)| path.split_once('/'));
        match object {
            Some((bucket, key)) if !bucket.is_empty() && key.len() > ".env".len() => {
                if !key.ends_with(".env") {
                    return Err(format!("\"{value}\" does not end in .env."));
                }
            }
            _ => {
                return Err(format!(
                    "\"{value}\" is not the ARN of an object in S3, such as \
                     arn:aws:s3:::bucket/variables.env."
                ));
            }
        }
    }
    Ok(())
}

fn registry(
    name: &str,
    container: &ContainerDefinition,
    task: &Surroundings<'_>,
) -> Result<(), Error> {
    let Some(credentials) = &container.repository_credentials else {
        return Ok(());
    };
    if !task.has_execution_role {
        return Err(client(
            "Private repository authentication requires that the task definition specify a value for \
             executionRoleArn.",
        ));
    }
    let parameter = credentials.credentials_parameter.as_deref().unwrap_or_default();
    let right = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b);
    let named = !parameter.is_empty() && parameter.bytes().all(right);
    let by_arn = matches!(
        SecretSource::parse(parameter),
        Ok(SecretSource::Secret { json_key: None, version_stage: None, version_id: None, .. })
    );
    if named || by_arn {
        return Ok(());
    }
    Err(wrong(
        name,
        "repositoryCredentials.credentialsParameter",
        format!("\"{parameter}\" is neither the ARN nor the name of a secret in Secrets Manager."),
    ))
}
