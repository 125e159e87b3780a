//! The roles of a task: named by name or by ARN, kept as ARNs.
//!
//! Whether a role exists is not asked here: as in ECS, a task whose role can not be assumed fails
//! when it starts.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html>

use model::Realm;

/// The longest name of a role, and of its path.
const LONGEST: usize = 64;
const LONGEST_PATH: usize = 512;

/// The ARN of the role that is meant; nothing if none is named. The error is a sentence.
pub(crate) fn arn(realm: &Realm, given: Option<&str>) -> Result<Option<String>, String> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    let prefix = format!("arn:{}:iam::{}:role/", realm.partition, realm.account);
    let path = given.strip_prefix(&prefix).unwrap_or(given);
    if path.starts_with("arn:") || !is_role(path) {
        return Err(format!(
            "Role is not valid: \"{given}\" is neither the name nor the ARN of a role of the account \
             {}.",
            realm.account
        ));
    }
    Ok(Some(format!("{prefix}{path}")))
}

fn is_role(path: &str) -> bool {
    let (path, name) = path.rsplit_once('/').unwrap_or(("", path));
    let right = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    !name.is_empty()
        && name.len() <= LONGEST
        && name.bytes().all(right)
        && path.len() <= LONGEST_PATH
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_arns() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let full = "arn:aws:iam::123456789012:role/team/web";
        for (given, becomes) in [
            (None, Ok(None)),
            (Some(""), Ok(None)),
            (Some("team/web"), Ok(Some(full.to_owned()))),
            (Some(full), Ok(Some(full.to_owned()))),
        ] {
            assert_eq!(arn(&realm, given), becomes);
        }
        for given in [
            "a b",
            "/",
            "arn:aws:iam::999999999999:role/web",
            "arn:aws:iam::123456789012:user/web",
            "arn:aws:iam::123456789012:role/",
        ] {
            let error = arn(&realm, Some(given)).unwrap_err();
            assert!(error.starts_with("Role is not valid"), "{error}");
        }
    }
}
