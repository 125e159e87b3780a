//! What a target is told of an event: the event, a part of it, a text of its own, or a template filled
//! from the event.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html>

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Path, PathError};

/// The most variables of a template.
pub const MOST_VARIABLES: usize = 100;
/// What begins the names of variables that are there by themselves.
const OWN: &str = "aws.events.";
/// Those that are.
const KNOWN: [&str; 5] = [
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event.ingestion-time",
    "aws.events.event",
    "aws.events.event.json",
];

/// What a target is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Telling {
    /// The whole event.
    #[default]
    Event,
    /// A text, always the same.
    Text(String),
    /// A part of it.
    Part(Path),
    /// A template filled from it.
    Template(Template),
}

/// A template and what its variables stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pieces: Vec<Piece>,
    paths: BTreeMap<String, Path>,
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Variable { name: String, place: Place },
}

/// Where in a template a variable stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a template that is no JSON.
    Plain,
    /// In a text of a JSON template.
    InText,
    /// In place of a value of a JSON template.
    Value,
}

/// What stands behind the variables that are there by themselves.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The rule's ARN.
    pub rule_arn: &'a str,
    /// The rule's name.
    pub rule_name: &'a str,
    /// When the event came, as a timestamp of RFC 3339.
    pub ingested: &'a str,
}

/// Why a template is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A path of a variable.
    #[error("the path of {name} is not valid: {error}")]
    Path {
        /// Which variable.
        name: String,
        /// Why.
        error: PathError,
    },
    /// A variable's name.
    #[error(
        "{0} is not a valid name of a variable: letters, digits, - and _ are, and not AWS at its beginning"
    )]
    Name(String),
    /// Too many variables.
    #[error("there are more than {MOST_VARIABLES} variables")]
    TooMany,
    /// A variable that nothing is said about.
    #[error("the template has <{0}>, which InputPathsMap does not define")]
    Undefined(String),
    /// What comes of it is no JSON though it begins like it.
    #[error("the template is not valid JSON when it is filled: {0}")]
    Json(String),
}

impl Template {
    /// Reads a template with the paths of its variables.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(template: &str, paths: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        if paths.len() > MOST_VARIABLES {
            return Err(TemplateError::TooMany);
        }
        let mut read = BTreeMap::new();
        for (name, path) in paths {
            let reserved = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("aws"));
            if !is_name(name) || reserved {
                return Err(TemplateError::Name(name.clone()));
            }
            let path = Path::parse(path)
                .map_err(|error| TemplateError::Path { name: name.clone(), error })?;
            read.insert(name.clone(), path);
        }
        let this = Self { pieces: pieces(template), paths: read };
        for piece in &this.pieces {
            if let Piece::Variable { name, .. } = piece
                && !this.paths.contains_key(name)
                && !KNOWN.contains(&name.as_str())
            {
                return Err(TemplateError::Undefined(name.clone()));
            }
        }
        if is_json(template) {
            let nothing = Circumstances { rule_arn: "", rule_name: "", ingested: "" };
            let filled = this.fill(&Value::Object(serde_json::Map::new()), nothing);
            serde_json::from_str::<Value>(&filled)
                .map_err(|error| TemplateError::Json(error.to_string()))?;
        }
        Ok(this)
    }

    /// The template filled from an event.
    pub fn fill(&self, event: &Value, around: Circumstances<'_>) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Variable { name, place } => {
                    let value = self.value(name, event, around);
                    insert(&mut text, value.as_ref(), *place);
                }
            }
        }
        text
    }

    fn value(&self, name: &str, event: &Value, around: Circumstances<'_>) -> Option<Value> {
        let text = |text: &str| Some(Value::String(text.to_owned()));
        match name {
            "aws.events.rule-arn" => text(around.rule_arn),
            "aws.events.rule-name" => text(around.rule_name),
            "aws.events.event.ingestion-time" => text(around.ingested),
            "aws.events.event" => {
                let mut event = event.clone();
                if let Some(members) = event.as_object_mut() {
                    members.remove("detail");
                }
                Some(event)
            }
            "aws.events.event.json" => Some(event.clone()),
            _ => self.paths.get(name)?.find(event).cloned(),
        }
    }
}

impl Telling {
    /// What a target is told of an event.
    pub fn tell(&self, event: &Value, around: Circumstances<'_>) -> String {
        match self {
            Self::Event => event.to_string(),
            Self::Text(text) => text.clone(),
            Self::Part(path) => {
                path.find(event).map_or_else(|| "null".to_owned(), Value::to_string)
            }
            Self::Template(template) => template.fill(event, around),
        }
    }
}

/// Puts a value in. One that is not there leaves an empty text.
fn insert(text: &mut String, value: Option<&Value>, place: Place) {
    match (place, value) {
        (Place::Value, Some(value)) => text.push_str(&value.to_string()),
        (Place::Value, None) => text.push_str("\"\""),
        (Place::Plain, Some(Value::String(plain))) => text.push_str(plain),
        (Place::Plain, Some(value)) => text.push_str(&value.to_string()),
        (Place::InText, Some(value)) => {
            let plain = match value {
                Value::String(plain) => plain.clone(),
                value => value.to_string(),
            };
            // As it is written between the quotes of a text.
            let quoted = Value::String(plain).to_string();
            text.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        }
        (Place::Plain | Place::InText, None) => {}
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Whether a template is to become JSON.
fn is_json(template: &str) -> bool {
    template.trim_start().starts_with(['{', '[', '"'])
}

fn pieces(template: &str) -> Vec<Piece> {
    let json = is_json(template);
    let mut pieces = Vec::new();
    let (mut plain, mut in_text) = (String::new(), false);
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        if c == '<'
            && let Some((name, after)) = rest.get(1..).and_then(|rest| rest.split_once('>'))
            && (is_name(name) || name.starts_with(OWN))
        {
            let place = match (json, in_text) {
                (false, _) => Place::Plain,
                (true, true) => Place::InText,
                (true, false) => Place::Value,
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Variable { name: name.to_owned(), place });
            rest = after;
            continue;
        }
        let mut taken = c.len_utf8();
        if c == '"' {
            in_text = !in_text;
        } else if c == '\\' && in_text {
            // What follows is not a quote that ends the text.
            taken += rest.chars().nth(1).map_or(0, char::len_utf8);
        }
        let (now, after) = rest.split_at(taken);
        plain.push_str(now);
        rest = after;
    }
    pieces.push(Piece::Text(plain));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const AROUND: Circumstances<'static> = Circumstances {
        rule_arn: "arn:aws:events:r:1:rule/a",
        rule_name: "a",
        ingested: "2026-11-23T03:00:00Z",
    };

    fn fill(template: &str, paths: &[(&str, &str)]) -> String {
        let paths = paths.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let event = json!({
            "detail-type": "t",
            "detail": {"state": "up \"now\"", "n": 7, "of": {"a": [1, "b"]}}
        });
        let template = Template::parse(template, &paths).unwrap_or_else(|e| panic!("{e}"));
        template.fill(&event, AROUND)
    }

    #[test]
    fn variables_are_filled_in_by_where_they_stand() {
        let paths =
            [("s", "$.detail.state"), ("n", "$.detail.n"), ("of", "$.detail.of"), ("no", "$.no")];
        for (template, expected) in [
            ("\"it is <s>\"", r#""it is up \"now\"""#),
            ("it is <s>, <n>, <of>, <no>.", r#"it is up "now", 7, {"a":[1,"b"]}, ."#),
            (
                r#"{"s": <s>, "n": <n>, "of": <of>, "no": <no>}"#,
                r#"{"s": "up \"now\"", "n": 7, "of": {"a":[1,"b"]}, "no": ""}"#,
            ),
            (
                r#"{"s": "<s>!", "of": "<of>"}"#,
                r#"{"s": "up \"now\"!", "of": "{\"a\":[1,\"b\"]}"}"#,
            ),
            (r#"{"q": "a \" <n>"}"#, r#"{"q": "a \" 7"}"#),
            ("1 < 2 > <n", "1 < 2 > <n"),
            ("<aws.events.rule-name> <aws.events.event>", r#"a {"detail-type":"t"}"#),
            (
                r#""<aws.events.event.ingestion-time> <aws.events.rule-arn>""#,
                r#""2026-11-23T03:00:00Z arn:aws:events:r:1:rule/a""#,
            ),
        ] {
            assert_eq!(fill(template, &paths), expected, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        let parse = |template: &str, name: &str, path: &str| {
            let paths = BTreeMap::from([(name.to_owned(), path.to_owned())]);
            Template::parse(template, &paths).unwrap_err().to_string()
        };
        assert!(parse("<b>", "a", "$").contains("<b>"));
        assert!(parse("<a>", "a", "a").contains("path of a"));
        assert!(parse("x", "AwsThing", "$").contains("AwsThing"));
        assert!(parse("x", "a b", "$").contains("a b"));
        assert!(parse("{\"x\" <a>}", "a", "$").contains("not valid JSON"));
        assert!(parse("<aws.events.nothing>", "a", "$").contains("aws.events.nothing"));
    }

    #[test]
    fn a_part_or_a_text_is_told_instead_of_the_event() {
        let event = json!({"detail": {"a": 1}});
        assert_eq!(Telling::Event.tell(&event, AROUND), r#"{"detail":{"a":1}}"#);
        let part = |path| Telling::Part(Path::parse(path).unwrap()).tell(&event, AROUND);
        assert_eq!(part("$.detail"), r#"{"a":1}"#);
        assert_eq!(part("$.detail.b"), "null");
        assert_eq!(Telling::Text("{}".to_owned()).tell(&event, AROUND), "{}");
    }

    proptest::proptest! {
        #[test]
        fn a_json_template_becomes_json_whatever_is_filled_in(text in ".{0,40}", n in proptest::num::i64::ANY) {
            let event = json!({"a": text, "b": [n, {"c": text}]});
            let paths = BTreeMap::from([("a".to_owned(), "$.a".to_owned()), ("b".to_owned(), "$.b".to_owned())]);
            let template = r#"{"x": <a>, "y": "<a> and <b>", "z": [<b>, "\"<a>"]}"#;
            let filled = Template::parse(template, &paths).unwrap().fill(&event, AROUND);
            let read: Value = serde_json::from_str(&filled).unwrap();
            proptest::prop_assert_eq!(&read["x"], &event["a"]);
            proptest::prop_assert_eq!(&read["z"][0], &event["b"]);
        }
    }
}
