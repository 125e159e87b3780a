//! Tags of secrets and parameters: the same rules, in each service's words.
//! <https://docs.aws.amazon.com/tag-editor/latest/userguide/tagging.html>

use std::collections::BTreeMap;

use crate::{Service, VaultError};

/// Keys and values.
pub type Tags = BTreeMap<String, String>;

/// How many tags a resource may have.
pub(crate) const MOST: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// Checks all the tags that a resource would have.
pub(crate) fn check(service: Service, tags: &Tags) -> Result<(), VaultError> {
    if tags.len() > MOST {
        let code = match service {
            Service::SecretsManager => "LimitExceededException",
            Service::ParameterStore => "TooManyTagsError",
            Service::CertificateManager => "TooManyTagsException",
        };
        let message =
            format!("There would be {} tags; a resource can have at most {MOST}.", tags.len());
        return Err(VaultError::refused(code, message));
    }
    let refuse = |message: String| {
        let code = match service {
            Service::SecretsManager => "InvalidParameterException",
            Service::ParameterStore => "ValidationException",
            Service::CertificateManager => "InvalidTagException",
        };
        Err(VaultError::refused(code, message))
    };
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > LONGEST_KEY {
            return refuse(format!(
                "A tag's key has 1 to {LONGEST_KEY} characters, unlike \"{key}\"."
            ));
        }
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return refuse(format!(
                "The tag key \"{key}\" begins with \"aws:\", which is reserved for AWS's own tags."
            ));
        }
        if value.chars().count() > LONGEST_VALUE {
            return refuse(format!(
                "The value of tag \"{key}\" has more than {LONGEST_VALUE} characters."
            ));
        }
    }
    Ok(())
}
