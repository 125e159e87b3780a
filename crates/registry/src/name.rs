//! The grammar of names: repositories and tags (Amazon ECR API Reference, `CreateRepository`,
//! `PutImage`; OCI distribution-spec 1.1, "Pulling manifests").

use crate::error::RegistryError;

/// ECR's pattern of repository names, for messages.
const REPOSITORY_PATTERN: &str =
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*";

/// Whether it may be the name of a repository: 2 to 256 letters, digits and separators, in parts
/// joined by slashes.
pub(crate) fn is_repository(name: &str) -> bool {
    (2..=256).contains(&name.len()) && name.split('/').all(is_part)
}

/// Letters and digits with `.`, `_`, `__` or any number of `-` between them.
fn is_part(part: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators_are_right = part.split(is_word).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    });
    part.starts_with(is_word) && part.ends_with(is_word) && separators_are_right
}

/// Whether it may be an image's tag.
pub(crate) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    tag.len() <= 128
        && bytes.next().is_some_and(word)
        && bytes.all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// Refuses a repository name as ECR does.
pub(crate) fn check_repository(name: &str) -> Result<(), RegistryError> {
    if is_repository(name) {
        return Ok(());
    }
    Err(RegistryError::InvalidParameter(format!(
        "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '{REPOSITORY_PATTERN}' and have 2 to 256 characters'"
    )))
}

/// Refuses a tag as ECR does.
pub(crate) fn check_tag(tag: &str) -> Result<(), RegistryError> {
    if is_tag(tag) {
        return Ok(());
    }
    Err(RegistryError::InvalidParameter(format!(
        "Invalid parameter at 'imageTag' failed to satisfy constraint: '{tag}' must satisfy regular expression '[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ecrs() {
        for good in ["ab", "web", "team/web", "a.b_c-d/e1", "0/1", "a__b--c", &"a".repeat(256)] {
            assert!(is_repository(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "Web",
            "a//b",
            "/ab",
            "ab/",
            "a..b",
            "a___b",
            "a.-b",
            "-ab",
            "ab-",
            "a b",
            &"a".repeat(257),
        ] {
            assert!(!is_repository(bad), "{bad}");
            assert!(check_repository(bad).unwrap_err().to_string().contains("repositoryName"));
        }
        for good in ["latest", "v1.2-3", "_", "A", &"a".repeat(128)] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a:b", "a/b", "\u{e4}", &"a".repeat(129)] {
            assert!(!is_tag(bad), "{bad}");
            assert!(check_tag(bad).is_err());
        }
    }
}
