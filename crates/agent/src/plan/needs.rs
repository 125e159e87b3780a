//! What must be fetched before a container can start: secrets, environment files, a registry's
//! password. Here is only what to ask for; the values never become part of a plan or a record.

use std::fmt;

use aws::ecs;

use super::{NodeFacts, Refusal};

/// What must be fetched before a container can start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `secrets` and `logConfiguration.secretOptions`.
    pub secrets: Vec<Secret>,
    /// `environmentFiles`, in order: the first that names a variable counts.
    pub env_files: Vec<EnvFile>,
    /// The configuration that a log router includes.
    pub router_config: Option<EnvFile>,
    /// `repositoryCredentials`: a secret with members `username` and `password`.
    pub registry: Option<SecretSource>,
}

/// A secret and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The variable's or the option's name.
    pub name: String,
    /// Where it is.
    pub source: SecretSource,
    /// What becomes of it.
    pub target: SecretTarget,
}

/// What becomes of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretTarget {
    /// A variable of the container's environment.
    Environment,
    /// An option of its log driver.
    LogOption,
}

/// Where a secret is.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Secret.html>
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretSource {
    /// A parameter of Systems Manager, by name or ARN.
    Parameter(String),
    /// A secret of Secrets Manager.
    Secret {
        /// Its ARN or name.
        id: String,
        /// The member of its JSON text; the whole text if absent.
        key: Option<String>,
        /// The version's stage.
        stage: Option<String>,
        /// The version.
        version: Option<String>,
    },
}

/// A file of variables in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}

impl Needs {
    /// Whether there is nothing to fetch.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was fetched for a task, in the order of its containers. Kept in memory alone.
#[derive(Clone, Default)]
pub struct Given {
    /// For each container.
    pub containers: Vec<GivenContainer>,
}

/// What was fetched for one container.
#[derive(Clone, Default)]
pub struct GivenContainer {
    /// The variables of each file.
    pub env_files: Vec<Vec<(String, String)>>,
    /// Variables that are secrets.
    pub environment: Vec<(String, String)>,
    /// Options of the log driver that are secrets.
    pub log_options: Vec<(String, String)>,
    /// The configuration that a log router includes.
    pub router_config: Option<String>,
    /// The registry's user and password.
    pub registry: Option<runtime::Credentials>,
}

impl Given {
    /// What was fetched for a container.
    pub fn of(&self, container: usize) -> Option<&GivenContainer> {
        self.containers.get(container)
    }
}

// Values are never shown.
impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("containers", &self.containers.len()).finish()
    }
}

impl fmt::Debug for GivenContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenContainer").finish_non_exhaustive()
    }
}

/// What a container's definition asks to be fetched.
pub(super) fn needs(
    definition: &ecs::ContainerDefinition,
    node: &NodeFacts,
) -> Result<Needs, Refusal> {
    let name = definition.name.as_deref().unwrap_or_default();
    let log = definition.log_configuration.as_ref();
    let asked = [
        (definition.secrets.as_ref(), "secrets", SecretTarget::Environment),
        (
            log.and_then(|log| log.secret_options.as_ref()),
            "logConfiguration.secretOptions",
            SecretTarget::LogOption,
        ),
    ];
    let mut secrets = Vec::new();
    for (list, member, target) in asked {
        for secret in list.into_iter().flatten() {
            let text = secret.value_from.as_deref().unwrap_or_default();
            let of = secret.name.clone().unwrap_or_default();
            let source = source(text, &node.region)
                .map_err(|why| Refusal::new(format!("container {name}: {member} {of}"), why))?;
            secrets.push(Secret { name: of, source, target });
        }
    }
    let files = definition.environment_files.iter().flatten();
    let env_files = files.map(|file| env_file(name, file)).collect::<Result<_, _>>()?;
    let registry = definition
        .repository_credentials
        .as_ref()
        .and_then(|c| c.credentials_parameter.clone())
        .filter(|id| !id.is_empty())
        .map(|id| SecretSource::Secret { id, key: None, stage: None, version: None });
    Ok(Needs { secrets, env_files, router_config: None, registry })
}

/// Reads a `valueFrom`.
fn source(text: &str, region: &str) -> Result<SecretSource, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let service = match parts.as_slice() {
        ["arn", _, service, in_region, ..] => {
            if *in_region != region {
                return Err(format!(
                    "{text} cannot be asked for: this server is region {region} alone"
                ));
            }
            *service
        }
        _ if text.is_empty() => return Err("valueFrom is missing".to_owned()),
        _ => "ssm",
    };
    let given = |part: &str| Some(part.to_owned()).filter(|part| !part.is_empty());
    match (service, parts.as_slice()) {
        ("ssm", _) => Ok(SecretSource::Parameter(text.to_owned())),
        ("secretsmanager", [_, _, _, _, _, "secret", _]) => {
            Ok(SecretSource::Secret { id: text.to_owned(), key: None, stage: None, version: None })
        }
        ("secretsmanager", [head @ .., key, stage, version]) if head.len() == 7 => {
            Ok(SecretSource::Secret {
                id: head.join(":"),
                key: given(key),
                stage: given(stage),
                version: given(version),
            })
        }
        ("secretsmanager", _) => Err(format!(
            "trying to retrieve secret with value {text} resulted in error: an invalid ARN format \
             for the AWS Secrets Manager secret was specified. Specify a valid ARN and try again."
        )),
        _ => Err(format!("{text} is neither a parameter nor a secret")),
    }
}

fn env_file(name: &str, file: &ecs::EnvironmentFile) -> Result<EnvFile, Refusal> {
    let text = file.value.as_deref().unwrap_or_default();
    let wrong = |why: &str| {
        let member = format!("container {name}: environmentFiles \"{text}\"");
        Refusal::new(member, why)
    };
    if file.r#type.as_ref().is_some_and(|kind| *kind != ecs::EnvironmentFileType::S3) {
        return Err(wrong("the only type is s3"));
    }
    let object = text.splitn(6, ':').nth(5).filter(|_| text.starts_with("arn:"));
    let (bucket, key) = object
        .and_then(|object| object.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| wrong("not an object's ARN, such as arn:aws:s3:::bucket/file.env"))?;
    if !text.ends_with(".env") {
        return Err(wrong("the file's name must end in .env"));
    }
    Ok(EnvFile { bucket: bucket.to_owned(), key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let arn = "arn:aws:secretsmanager:eu-west-1:1:secret:db-AbCdEf";
        let secret = |key: Option<&str>, stage: Option<&str>, version: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            SecretSource::Secret {
                id: arn.to_owned(),
                key: own(key),
                stage: own(stage),
                version: own(version),
            }
        };
        let read = |text: &str| source(text, "eu-west-1");
        assert_eq!(read("/app/key"), Ok(SecretSource::Parameter("/app/key".to_owned())));
        let parameter = "arn:aws:ssm:eu-west-1:1:parameter/app";
        assert_eq!(read(parameter), Ok(SecretSource::Parameter(parameter.to_owned())));
        assert_eq!(read(arn), Ok(secret(None, None, None)));
        assert_eq!(read(&format!("{arn}:user::")), Ok(secret(Some("user"), None, None)));
        assert_eq!(
            read(&format!("{arn}:user:AWSPREVIOUS:v1")),
            Ok(secret(Some("user"), Some("AWSPREVIOUS"), Some("v1")))
        );
        assert!(read(&format!("{arn}:user")).unwrap_err().contains("invalid ARN format"));
        assert!(read("arn:aws:ssm:us-east-1:1:parameter/app").unwrap_err().contains("eu-west-1"));
        assert!(read("").is_err());
    }

    #[test]
    fn values_are_never_shown() {
        let given = GivenContainer {
            environment: vec![("A".to_owned(), "hidden".to_owned())],
            ..GivenContainer::default()
        };
        let all = Given { containers: vec![given.clone()] };
        assert!(!format!("{given:?} {all:?}").contains("hidden"));
    }
}
