//! What `valueFrom` of a secret names: a parameter of Systems Manager, or a secret of Secrets Manager.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Secret.html>

/// The longest name of a parameter.
const LONGEST: usize = 2048;

/// Where the value of a secret is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A parameter of Systems Manager's Parameter Store.
    Parameter {
        /// Its region, if it was named by an ARN.
        region: Option<String>,
        /// Its name, with the leading `/` of a name that has a path.
        name: String,
    },
    /// A secret of Secrets Manager.
    Secret {
        /// Its region.
        region: String,
        /// Its ARN, without what stands behind the name.
        arn: String,
        /// The key of a JSON value whose value is meant.
        json_key: Option<String>,
        /// The staging label of the version that is meant.
        version_stage: Option<String>,
        /// The version that is meant.
        version_id: Option<String>,
    },
}

/// A `valueFrom` that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretSourceError {
    /// It is no name of a parameter.
    #[error("a parameter's name has up to {LONGEST} characters, of a-zA-Z0-9_.-/; \"{0}\" is none")]
    Name(String),
    /// It is the ARN of something else.
    #[error("\"{0}\" is neither the ARN of a parameter nor of a secret")]
    Kind(String),
    /// Behind the name of a secret stands something else than a key, a stage and a version.
    #[error("behind the secret's name \"{0}\" does not have json-key:version-stage:version-id")]
    Suffix(String),
}

impl SecretSource {
    /// Reads `valueFrom`.
    ///
    /// # Errors
    ///
    /// If it names neither a parameter nor a secret.
    pub fn parse(value_from: &str) -> Result<Self, SecretSourceError> {
        let wrong = || SecretSourceError::Kind(value_from.to_owned());
        let Some(rest) = value_from.strip_prefix("arn:") else {
            return Ok(Self::Parameter { region: None, name: parameter(value_from)? });
        };
        let mut parts = rest.splitn(5, ':');
        let (Some(_partition), Some(service), Some(region), Some(_account), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        if region.is_empty() {
            return Err(wrong());
        }
        match service {
            "ssm" => {
                let path = resource.strip_prefix("parameter/").ok_or_else(wrong)?;
                // In an ARN a path loses its first slash, as a plain name never had one.
                let name = if path.contains('/') { format!("/{path}") } else { path.to_owned() };
                let name = parameter(&name).map_err(|_| wrong())?;
                Ok(Self::Parameter { region: Some(region.to_owned()), name })
            }
            "secretsmanager" => Self::secret(
                value_from,
                region,
                resource.strip_prefix("secret:").ok_or_else(wrong)?,
            ),
            _ => Err(wrong()),
        }
    }

    fn secret(value_from: &str, region: &str, named: &str) -> Result<Self, SecretSourceError> {
        let mut parts = named.split(':');
        let name = parts.next().unwrap_or_default();
        if name.is_empty() {
            return Err(SecretSourceError::Kind(value_from.to_owned()));
        }
        let behind: Vec<&str> = parts.collect();
        let given = |at: usize| behind.get(at).filter(|p| !p.is_empty()).map(|p| (*p).to_owned());
        if ![0, 3].contains(&behind.len()) {
            return Err(SecretSourceError::Suffix(value_from.to_owned()));
        }
        let arn = value_from.len() - (named.len() - name.len());
        Ok(Self::Secret {
            region: region.to_owned(),
            arn: value_from[..arn].to_owned(),
            json_key: given(0),
            version_stage: given(1),
            version_id: given(2),
        })
    }
}

fn parameter(name: &str) -> Result<String, SecretSourceError> {
    let right = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(right) {
        return Err(SecretSourceError::Name(name.to_owned()));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_stores_are_named_in_every_form() {
        let plain = |name: &str| SecretSource::Parameter { region: None, name: name.into() };
        assert_eq!(SecretSource::parse("db"), Ok(plain("db")));
        assert_eq!(SecretSource::parse("/app/db"), Ok(plain("/app/db")));
        for (path, name) in [("app/db", "/app/db"), ("db", "db")] {
            let arn = format!("arn:aws:ssm:eu-west-1:123456789012:parameter/{path}");
            let source =
                SecretSource::Parameter { region: Some("eu-west-1".into()), name: name.into() };
            assert_eq!(SecretSource::parse(&arn), Ok(source));
        }
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbCdEf";
        let secret =
            |key: Option<&str>, stage: Option<&str>, id: Option<&str>| SecretSource::Secret {
                region: "eu-west-1".into(),
                arn: arn.into(),
                json_key: key.map(Into::into),
                version_stage: stage.map(Into::into),
                version_id: id.map(Into::into),
            };
        assert_eq!(SecretSource::parse(arn), Ok(secret(None, None, None)));
        assert_eq!(
            SecretSource::parse(&format!("{arn}:user::")),
            Ok(secret(Some("user"), None, None))
        );
        assert_eq!(
            SecretSource::parse(&format!("{arn}:user:AWSPREVIOUS:")),
            Ok(secret(Some("user"), Some("AWSPREVIOUS"), None))
        );
        assert_eq!(SecretSource::parse(&format!("{arn}:::v1")), Ok(secret(None, None, Some("v1"))));
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "",
            "a b",
            "arn:aws:ssm",
            "arn:aws:ssm:eu-west-1:1:document/x",
            "arn:aws:ssm::1:parameter/x",
            "arn:aws:s3:::bucket/key",
            "arn:aws:secretsmanager:eu-west-1:1:secret:",
            "arn:aws:secretsmanager:eu-west-1:1:secret:db:key",
            "arn:aws:secretsmanager:eu-west-1:1:secret:db:a:b:c:d",
        ] {
            assert!(SecretSource::parse(text).is_err(), "{text}");
        }
    }
}
