//! Names of parameters, and the references by which they are asked for: a name or an ARN, perhaps
//! with a version or a label behind a colon.
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-su-create.html>

use super::invalid;
use crate::VaultError;
use crate::arn::Realm;

/// How many levels a name may have.
const MOST_LEVELS: usize = 15;
/// How long a name and its ARN may be together with what AWS keeps free.
const LONGEST_ARN: usize = 1011;

/// Which version of a parameter is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    /// The newest.
    Latest,
    /// By number.
    Version(u64),
    /// By label.
    Label(String),
}

/// A parameter as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Names that may be meant, the likeliest first: an ARN does not tell `a` from `/a`.
    pub(super) names: Vec<String>,
    pub(super) selector: Selector,
    /// The selector as it was written, with its colon.
    pub(super) written: Option<String>,
}

impl Reference {
    pub(super) fn parse(realm: &Realm, text: &str) -> Self {
        let (names, rest) = match text.strip_prefix(&realm.parameters()) {
            Some(rest) => {
                let (name, _) = split(rest);
                let slashed = format!("/{name}");
                let names =
                    if name.contains('/') { vec![slashed] } else { vec![name.to_owned(), slashed] };
                (names, rest)
            }
            None if text.starts_with("arn:") => {
                // Of somebody else: there is no such parameter here.
                return Self { names: Vec::new(), selector: Selector::Latest, written: None };
            }
            None => (vec![split(text).0.to_owned()], text),
        };
        let written = split(rest).1;
        let selector = match written {
            None => Selector::Latest,
            Some(text) => match text.parse() {
                Ok(number) => Selector::Version(number),
                Err(_) => Selector::Label(text.to_owned()),
            },
        };
        Self { names, selector, written: written.map(|text| format!(":{text}")) }
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, selector)) => (name, Some(selector)),
        None => (text, None),
    }
}

/// Whether a parameter may be called so.
pub(super) fn check(realm: &Realm, name: &str) -> Result<(), VaultError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    let relative = name.strip_prefix('/').unwrap_or(name);
    if name.contains('/') && !name.starts_with('/') {
        return Err(invalid("Parameter name must be a fully qualified name."));
    }
    let begins = |word: &str| {
        relative.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    };
    if begins("aws") {
        return Err(VaultError::refused(
            "AccessDeniedException",
            format!("No access to reserved parameter name: {name}."),
        ));
    }
    let empty_level = relative.split('/').any(str::is_empty);
    if begins("ssm") || empty_level || !name.bytes().all(good) {
        return Err(invalid(
            "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, \
             it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a \
             mix of letters, numbers and the following 3 symbols .-_",
        ));
    }
    if relative.split('/').count() > MOST_LEVELS {
        return Err(VaultError::refused(
            "HierarchyLevelLimitExceededException",
            format!(
                "A hierarchy can have a maximum of {MOST_LEVELS} levels. For more information, see \
                 Requirements and constraints for parameter names in the AWS Systems Manager User \
                 Guide."
            ),
        ));
    }
    let length = realm.parameter(name).len();
    if length > LONGEST_ARN {
        return Err(invalid(format!(
            "Parameter name: its ARN has {length} characters; it can have at most {LONGEST_ARN}."
        )));
    }
    Ok(())
}

/// Whether `name` is below `path`: at any depth, or at the next level.
pub(super) fn is_below(name: &str, path: &str, recursive: bool) -> bool {
    let rest = match path.trim_end_matches('/') {
        "" => Some(name.strip_prefix('/').unwrap_or(name)),
        path => name.strip_prefix(path).and_then(|rest| rest.strip_prefix('/')),
    };
    rest.is_some_and(|rest| !rest.is_empty() && (recursive || !rest.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm() -> Realm {
        Realm { region: "us-east-1".to_owned(), account: "123456789012".to_owned() }
    }

    #[test]
    fn names_are_taken_or_refused_as_aws_does() {
        let code = |name: &str| check(&realm(), name).err().and_then(|e| e.code());
        for name in ["a", "/a", "/a/b.c-d_E9", "prod-key", &format!("/{}", ["x"; 15].join("/"))] {
            assert_eq!(code(name), None, "{name}");
        }
        for name in ["a/b", "/a//b", "/a/", "", "/", "a b", "ssm-x", "/SSM/x", "a:1", "ä"] {
            assert_eq!(code(name), Some("ValidationException"), "{name}");
        }
        assert_eq!(code("/aws/x"), Some("AccessDeniedException"));
        assert_eq!(code("AWSx"), Some("AccessDeniedException"));
        let deep = format!("/{}", ["x"; 16].join("/"));
        assert_eq!(code(&deep), Some("HierarchyLevelLimitExceededException"));
        assert_eq!(code(&"x".repeat(1000)), Some("ValidationException"));
    }

    #[test]
    fn references_name_a_version_or_a_label() {
        let parse = |text: &str| Reference::parse(&realm(), text);
        assert_eq!(parse("/a/b:3").selector, Selector::Version(3));
        assert_eq!(parse("/a/b:3").written.as_deref(), Some(":3"));
        assert_eq!(parse("a:prod").selector, Selector::Label("prod".to_owned()));
        let arn = "arn:aws:ssm:us-east-1:123456789012:parameter";
        assert_eq!(parse(&format!("{arn}/a/b:2")).names, ["/a/b"]);
        assert_eq!(parse(&format!("{arn}/a:2")).selector, Selector::Version(2));
        assert_eq!(parse(&format!("{arn}/a")).names, ["a", "/a"]);
        assert!(parse("arn:aws:ssm:us-east-1:999999999999:parameter/a").names.is_empty());
    }

    #[test]
    fn paths_have_what_is_below_them() {
        assert!(is_below("/a/b", "/a", false) && is_below("/a/b", "/a/", false));
        assert!(!is_below("/a/b/c", "/a", false) && is_below("/a/b/c", "/a", true));
        assert!(!is_below("/ab", "/a", true) && !is_below("/a", "/a", true));
        assert!(is_below("/a", "/", false) && is_below("a", "/", false));
        assert!(!is_below("/a/b", "/", false) && is_below("/a/b", "/", true));
    }
}
