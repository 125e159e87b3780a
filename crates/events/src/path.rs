//! Paths into an event, such as `$.detail.containers[0].name`.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html>

use serde_json::Value;

/// A path that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    At(usize),
}

/// Why a text is not a path: what was expected, and after how many characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} is expected after \"{before}\"")]
pub struct PathError {
    /// What has to come.
    pub expected: &'static str,
    /// What was read until then.
    pub before: String,
}

impl Path {
    /// Reads `$`, `.name`, `['name']` and `[0]`.
    ///
    /// # Errors
    ///
    /// What is not understood, and where.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let fail = |rest: &str, expected| {
            let before = text.strip_suffix(rest).unwrap_or_default().to_owned();
            Err(PathError { expected, before })
        };
        let Some(mut rest) = text.strip_prefix('$') else { return fail(text, "$") };
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let (name, more) = after.split_at(end);
                let plain = |c: char| c.is_alphanumeric() || "_-$:@".contains(c);
                if name.is_empty() || !name.chars().all(plain) {
                    return fail(after, "the name of a member");
                }
                steps.push(Step::Member(name.to_owned()));
                rest = more;
            } else if let Some(after) = rest.strip_prefix('[') {
                let quoted = ['\'', '"'].into_iter().find_map(|quote| {
                    let inner = after.strip_prefix(quote)?;
                    let (name, more) = inner.split_once(quote)?;
                    Some((Step::Member(name.to_owned()), more.strip_prefix(']')?))
                });
                let number = || {
                    let (number, more) = after.split_once(']')?;
                    Some((Step::At(number.parse().ok()?), more))
                };
                let Some((step, more)) = quoted.or_else(number) else {
                    return fail(after, "a number or a quoted name, and ]");
                };
                steps.push(step);
                rest = more;
            } else {
                return fail(rest, "a dot or a bracket");
            }
        }
        Ok(Self(steps))
    }

    /// What is there in a document.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::At(at) => value.get(at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_into_documents() {
        let event = serde_json::json!({
            "detail-type": "t", "resources": ["a", "b"], "detail": {"x.y": {"z": [1, {"w": 2}]}}
        });
        for (path, expected) in [
            ("$", Some(event.clone())),
            ("$.detail-type", Some("t".into())),
            ("$.resources[1]", Some("b".into())),
            ("$.resources[2]", None),
            ("$.detail['x.y'].z[1].w", Some(2.into())),
            ("$['detail'][\"x.y\"].z[0]", Some(1.into())),
            ("$.nothing.there", None),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(&event).cloned(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_its_place() {
        for (text, before) in [
            ("", ""),
            ("detail", ""),
            ("$detail", "$"),
            ("$.", "$."),
            ("$..a", "$."),
            ("$.a[", "$.a["),
            ("$.a[*]", "$.a["),
            ("$.a[-1]", "$.a["),
            ("$.a['b]", "$.a["),
            ("$.a b", "$."),
        ] {
            assert_eq!(Path::parse(text).unwrap_err().before, before, "{text}");
        }
    }
}
