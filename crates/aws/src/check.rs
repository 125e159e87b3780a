//! A JSON value held against its shape: types first, then constraints.

use std::fmt;

use serde_json::Value;

use crate::schema::{Kind, Member, Shape};
use crate::validate::{Constraint, Violation};

/// A request's violations are listed up to this many; a sentence of more helps nobody.
pub const MAX_VIOLATIONS: usize = 10;

/// How much of a given value a message repeats, in characters.
const GIVEN: usize = 100;

/// A value whose type is not its shape's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {found} can not be converted to {expected}", Where(.path))]
pub struct TypeMismatch {
    /// Where: `containerDefinitions[0].cpu`; empty for the body itself.
    pub path: String,
    /// What stands there.
    pub found: &'static str,
    /// What belongs there.
    pub expected: &'static str,
}

struct Where<'a>(&'a str);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the request") } else { write!(f, "'{}'", self.0) }
    }
}

/// Checks `value` against `shape`. Whole numbers that are written with a fraction of zero become
/// integers on the way; members that the shape does not have are dropped. A `lenient` check finds
/// wrong types and missing members only.
pub(crate) fn check(
    shape: &'static Shape,
    value: &mut Value,
    lenient: bool,
) -> Result<Vec<Violation>, TypeMismatch> {
    let mut check = Check { path: Vec::new(), violations: Vec::new(), lenient, sensitive: false };
    check.value(shape, value)?;
    Ok(check.violations)
}

/// A step of a path.
enum Step {
    Member(&'static str),
    Index(usize),
    Key(String),
}

struct Check {
    path: Vec<Step>,
    violations: Vec<Violation>,
    lenient: bool,
    sensitive: bool,
}

impl Check {
    fn value(&mut self, shape: &'static Shape, value: &mut Value) -> Result<(), TypeMismatch> {
        let outside = self.sensitive;
        self.sensitive |= shape.sensitive;
        let result = self.kind(shape, value);
        self.sensitive = outside;
        result
    }

    fn kind(&mut self, shape: &'static Shape, value: &mut Value) -> Result<(), TypeMismatch> {
        match &shape.kind {
            Kind::Structure { members, .. } => self.structure(members, value),
            Kind::List(of) => self.list(shape, of, value),
            Kind::Map { key, value: of } => self.map(shape, key, of, value),
            Kind::Text => self.text(shape, value),
            Kind::Words(words) => self.word(words, value),
            Kind::Integer => self.integer(shape, value, i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Long => self.integer(shape, value, i64::MIN, i64::MAX),
            Kind::Double => self.double(shape, value),
            Kind::Boolean if value.is_boolean() => Ok(()),
            Kind::Boolean => Err(self.mismatch(value, "a Boolean")),
            Kind::Timestamp if crate::value::instant(value).is_some() => Ok(()),
            Kind::Timestamp => Err(self.mismatch(value, "a Timestamp (seconds since 1970)")),
            Kind::Blob => self.blob(shape, value),
            Kind::Document => Ok(()),
        }
    }

    fn structure(
        &mut self,
        members: &'static [Member],
        value: &mut Value,
    ) -> Result<(), TypeMismatch> {
        let Value::Object(object) = value else {
            return Err(self.mismatch(value, "a structure"));
        };
        for member in members {
            self.path.push(Step::Member(member.name));
            match object.get_mut(member.name) {
                None | Some(Value::Null) if member.required => {
                    self.violated(Constraint::Required, None)
                }
                None | Some(Value::Null) => {}
                Some(inner) => self.value(member.shape, inner)?,
            }
            self.path.pop();
        }
        Ok(())
    }

    fn list(
        &mut self,
        shape: &'static Shape,
        of: &'static Shape,
        value: &mut Value,
    ) -> Result<(), TypeMismatch> {
        let Value::Array(entries) = value else {
            return Err(self.mismatch(value, "a list"));
        };
        self.length(shape, entries.len(), || format!("a list of {}", entries.len()));
        for (at, entry) in entries.iter_mut().enumerate() {
            self.path.push(Step::Index(at));
            self.value(of, entry)?;
            self.path.pop();
        }
        Ok(())
    }

    fn map(
        &mut self,
        shape: &'static Shape,
        key: &'static Shape,
        of: &'static Shape,
        value: &mut Value,
    ) -> Result<(), TypeMismatch> {
        let Value::Object(object) = value else {
            return Err(self.mismatch(value, "a map"));
        };
        self.length(shape, object.len(), || format!("a map of {}", object.len()));
        for (name, entry) in object.iter_mut() {
            self.path.push(Step::Key(name.clone()));
            self.text_constraints(key, name);
            if let Kind::Words(words) = &key.kind {
                self.one_of(words, name);
            }
            self.value(of, entry)?;
            self.path.pop();
        }
        Ok(())
    }

    fn text(&mut self, shape: &'static Shape, value: &Value) -> Result<(), TypeMismatch> {
        let Value::String(text) = value else {
            return Err(self.mismatch(value, "a String"));
        };
        self.text_constraints(shape, text);
        Ok(())
    }

    fn text_constraints(&mut self, shape: &'static Shape, text: &str) {
        let length = text.chars().count();
        self.length(shape, length, || text.to_owned());
        #[expect(clippy::cast_precision_loss, reason = "no body holds 2^53 of anything")]
        let too_long = shape.max.is_some_and(|max| length as f64 > max);
        // Matching takes time in proportion to the text; one that is too long is refused already.
        if let Some(pattern) = shape.pattern
            && !(self.lenient || too_long)
            && !pattern.matches(text)
        {
            self.violated(Constraint::Pattern(pattern.source()), Some(text));
        }
    }

    fn word(&mut self, words: &'static [&'static str], value: &Value) -> Result<(), TypeMismatch> {
        let Value::String(text) = value else {
            return Err(self.mismatch(value, "a String"));
        };
        self.one_of(words, text);
        Ok(())
    }

    fn one_of(&mut self, words: &'static [&'static str], text: &str) {
        if !words.contains(&text) {
            self.violated(Constraint::OneOf(words), Some(text));
        }
    }

    fn blob(&mut self, shape: &'static Shape, value: &Value) -> Result<(), TypeMismatch> {
        match serde_json::from_value::<crate::Blob>(value.clone()) {
            Ok(blob) => {
                self.length(shape, blob.0.len(), || format!("{} bytes", blob.0.len()));
                Ok(())
            }
            Err(_) => Err(self.mismatch(value, "a Blob (base64)")),
        }
    }

    fn integer(
        &mut self,
        shape: &'static Shape,
        value: &mut Value,
        least: i64,
        greatest: i64,
    ) -> Result<(), TypeMismatch> {
        let expected = if greatest > i64::from(i32::MAX) { "a Long" } else { "an Integer" };
        let whole = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        let Some(whole) = whole.filter(|whole| (least..=greatest).contains(whole)) else {
            return Err(self.mismatch(value, expected));
        };
        *value = Value::from(whole);
        #[expect(
            clippy::cast_precision_loss,
            reason = "the bounds of the models lie far below 2^53"
        )]
        self.range(shape, whole as f64, || whole.to_string());
        Ok(())
    }

    fn double(&mut self, shape: &'static Shape, value: &Value) -> Result<(), TypeMismatch> {
        let Some(number) = value.as_f64() else {
            return Err(self.mismatch(value, "a Double"));
        };
        self.range(shape, number, || number.to_string());
        Ok(())
    }

    fn length(&mut self, shape: &'static Shape, length: usize, given: impl Fn() -> String) {
        #[expect(clippy::cast_precision_loss, reason = "no body holds 2^53 of anything")]
        let length = length as f64;
        if let Some(min) = shape.min.filter(|min| length < *min) {
            self.violated(Constraint::MinLength(min), Some(&given()));
        }
        if let Some(max) = shape.max.filter(|max| length > *max) {
            self.violated(Constraint::MaxLength(max), Some(&given()));
        }
    }

    fn range(&mut self, shape: &'static Shape, number: f64, given: impl Fn() -> String) {
        if let Some(min) = shape.min.filter(|min| number < *min) {
            self.violated(Constraint::MinValue(min), Some(&given()));
        }
        if let Some(max) = shape.max.filter(|max| number > *max) {
            self.violated(Constraint::MaxValue(max), Some(&given()));
        }
    }

    fn violated(&mut self, constraint: Constraint, given: Option<&str>) {
        if (self.lenient && constraint != Constraint::Required)
            || self.violations.len() >= MAX_VIOLATIONS
        {
            return;
        }
        let given =
            given.filter(|_| !self.sensitive).map(|given| given.chars().take(GIVEN).collect());
        self.violations.push(Violation { path: self.here(), constraint, given });
    }

    fn mismatch(&self, value: &Value, expected: &'static str) -> TypeMismatch {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "a Boolean",
            Value::Number(_) => "this number",
            Value::String(_) => "this String",
            Value::Array(_) => "a list",
            Value::Object(_) => "a structure",
        };
        TypeMismatch { path: self.here(), found, expected }
    }

    fn here(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) if text.is_empty() => text.push_str(name),
                Step::Member(name) => {
                    text.push('.');
                    text.push_str(name);
                }
                Step::Index(at) => text.push_str(&format!("[{at}]")),
                Step::Key(key) => text.push_str(&format!("['{}']", cut(key))),
            }
        }
        text
    }
}

fn cut(text: &str) -> String {
    text.chars().take(GIVEN).collect()
}

/// The integer that a floating number is, if it is one.
#[expect(clippy::cast_possible_truncation, reason = "bounded before the cast")]
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}
