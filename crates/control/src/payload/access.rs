//! What a container needs somebody's leave for: secrets, files of variables, a registry's password.

use aws::SecretSource;
use aws::agent::acs;
use aws::ecs::{ContainerDefinition, LogDriver, Secret};
use model::Realm;

/// The stock agent's names of where a secret goes.
const ENVIRONMENT: (&str, &str) = ("ENVIRONMENT_VARIABLE", "CONTAINER");
const LOG_DRIVER: (&str, &str) = ("BOOTSTRAP", "LOG_DRIVER");

/// The container's secrets, and those of its log driver. What names nothing does not pass the door.
pub(super) fn secrets(realm: &Realm, definition: &ContainerDefinition) -> Vec<acs::Secret> {
    let variables = definition.secrets.iter().flatten().map(|secret| (secret, ENVIRONMENT));
    let log = definition.log_configuration.as_ref();
    let options = log.and_then(|log| log.secret_options.as_ref()).into_iter().flatten();
    variables
        .chain(options.map(|secret| (secret, LOG_DRIVER)))
        .filter_map(|(given, goes)| secret(realm, given, goes))
        .collect()
}

fn secret(realm: &Realm, given: &Secret, (kind, target): (&str, &str)) -> Option<acs::Secret> {
    let value_from = given.value_from.as_deref()?;
    let (provider, region) = match SecretSource::parse(value_from).ok()? {
        SecretSource::Parameter { region, .. } => {
            ("ssm", region.unwrap_or_else(|| realm.region.clone()))
        }
        SecretSource::Secret { region, .. } => ("asm", region),
    };
    Some(acs::Secret {
        name: given.name.clone(),
        value_from: Some(value_from.to_owned()),
        container_path: None,
        r#type: Some(kind.to_owned()),
        region: Some(region),
        provider: Some(provider.to_owned()),
        target: Some(target.to_owned()),
    })
}

/// The container's files of variables.
pub(super) fn environment_files(definition: &ContainerDefinition) -> Vec<acs::EnvironmentFile> {
    let files = definition.environment_files.iter().flatten();
    files
        .map(|file| acs::EnvironmentFile { value: file.value.clone(), r#type: file.r#type.clone() })
        .collect()
}

/// How the agent signs in to the image's registry. What the definition names comes first; an ECR
/// registry is signed in to with the execution role if the task has one, else with the instance's keys.
pub(super) fn registry(
    realm: &Realm,
    definition: &ContainerDefinition,
    has_execution_role: bool,
) -> Option<acs::RegistryAuthentication> {
    if let Some(credentials) = &definition.repository_credentials {
        let parameter = credentials.credentials_parameter.clone()?;
        let region = match SecretSource::parse(&parameter) {
            Ok(SecretSource::Secret { region, .. }) => region,
            Ok(SecretSource::Parameter { .. }) | Err(_) => realm.region.clone(),
        };
        return Some(acs::RegistryAuthentication {
            r#type: Some("asm".to_owned()),
            ecr_auth_data: None,
            asm_auth_data: Some(acs::AsmAuthData {
                credentials_parameter: Some(parameter),
                region: Some(region),
            }),
        });
    }
    is_ecr(definition).then(|| acs::RegistryAuthentication {
        r#type: Some("ecr".to_owned()),
        ecr_auth_data: Some(acs::EcrAuthData {
            registry_id: Some(realm.account.clone()),
            region: Some(realm.region.clone()),
            endpoint_override: None,
            use_execution_role: has_execution_role,
        }),
        asm_auth_data: None,
    })
}

fn is_ecr(definition: &ContainerDefinition) -> bool {
    let host = definition.image.as_deref().unwrap_or_default().split('/').next();
    host.is_some_and(|host| host.contains(".dkr.ecr.") && host.contains(".amazonaws.com"))
}

/// By whose rights `awslogs` sends: the execution role's, if the task has one.
pub(super) fn logs_strategy(
    definition: &ContainerDefinition,
    has_execution_role: bool,
) -> Option<String> {
    let driver = definition.log_configuration.as_ref()?.log_driver.as_ref()?;
    (*driver == LogDriver::Awslogs && has_execution_role).then(|| "ExecutionRole".to_owned())
}

/// The container's part as log router.
pub(super) fn router(definition: &ContainerDefinition) -> Option<acs::FirelensConfiguration> {
    definition.firelens_configuration.as_ref().map(|given| acs::FirelensConfiguration {
        r#type: given.r#type.clone(),
        options: given.options.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::ecs::{LogConfiguration, RepositoryCredentials};

    fn realm() -> Realm {
        Realm::new("eu-west-1", "123456789012")
    }

    fn named(name: &str, value_from: &str) -> Secret {
        Secret { name: Some(name.into()), value_from: Some(value_from.into()) }
    }

    #[test]
    fn secrets_tell_the_agent_whom_to_ask_and_where() {
        let definition = ContainerDefinition {
            secrets: Some(vec![
                named("A", "/app/a"),
                named("B", "arn:aws:secretsmanager:us-east-1:123456789012:secret:b-AbCdEf:user::"),
            ]),
            log_configuration: Some(LogConfiguration {
                log_driver: Some(LogDriver::Splunk),
                secret_options: Some(vec![named(
                    "splunk-token",
                    "arn:aws:ssm:us-west-2:123456789012:parameter/token",
                )]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let told: Vec<_> = secrets(&realm(), &definition)
            .into_iter()
            .map(|s| [s.name, s.provider, s.region, s.r#type, s.target].map(Option::unwrap))
            .collect();
        assert_eq!(
            told,
            [
                ["A", "ssm", "eu-west-1", "ENVIRONMENT_VARIABLE", "CONTAINER"],
                ["B", "asm", "us-east-1", "ENVIRONMENT_VARIABLE", "CONTAINER"],
                ["splunk-token", "ssm", "us-west-2", "BOOTSTRAP", "LOG_DRIVER"],
            ]
        );
    }

    #[test]
    fn a_registrys_own_password_comes_before_ecrs_token() {
        let image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1";
        let mut definition =
            ContainerDefinition { image: Some(image.into()), ..Default::default() };
        let ecr = registry(&realm(), &definition, true).unwrap();
        assert!(ecr.ecr_auth_data.unwrap().use_execution_role);
        let parameter = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-AbCdEf";
        definition.repository_credentials =
            Some(RepositoryCredentials { credentials_parameter: Some(parameter.into()) });
        let own = registry(&realm(), &definition, true).unwrap();
        assert_eq!(own.r#type.as_deref(), Some("asm"));
        assert_eq!(own.asm_auth_data.unwrap().region.as_deref(), Some("us-east-1"));
        let public = ContainerDefinition { image: Some("busybox".into()), ..Default::default() };
        assert_eq!(registry(&realm(), &public, true), None);
    }
}
