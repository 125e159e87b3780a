//! Filter patterns, as CloudWatch Logs has them.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>
//!
//! Built are terms (`ERROR`, `"two words"`, `?either ?or`, `-not`), regular expressions
//! (`%4[0-9]{2}%`) and JSON patterns (`{ $.level = "ERROR" && $.took > 100 }`). Space-delimited
//! patterns (`[ip, user, …]`) are refused with a sentence that says so.

mod json;
mod lexer;
mod terms;

use crate::LogsError;

/// A pattern that is understood.
#[derive(Clone, Debug)]
pub struct Pattern(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Everything,
    Terms(terms::Terms),
    Json(json::Condition),
}

/// The longest pattern, as AWS has it.
const LONGEST: usize = 1024;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`LogsError::InvalidParameter`], which says where and why.
    pub fn parse(text: &str) -> Result<Self, LogsError> {
        let trimmed = text.trim();
        let kind = if text.chars().count() > LONGEST {
            Err(format!("It has more than {LONGEST} characters."))
        } else if trimmed.is_empty() {
            Ok(Kind::Everything)
        } else if trimmed.starts_with('{') {
            json::parse(trimmed).map(Kind::Json)
        } else if trimmed.starts_with('[') {
            Err("Space-delimited patterns, which begin with '[', are not supported; use terms or a \
                 JSON pattern."
                .to_owned())
        } else {
            terms::parse(trimmed).map(Kind::Terms)
        };
        kind.map(Self).map_err(|why| {
            LogsError::invalid("filterPattern", format!("Invalid filter pattern. {why}"))
        })
    }

    /// Whether an event with this message matches.
    pub fn matches(&self, message: &str) -> bool {
        match &self.0 {
            Kind::Everything => true,
            Kind::Terms(terms) => terms.matches(message),
            Kind::Json(condition) => condition.matches(message),
        }
    }
}

/// A regular expression between two `%`, which is all of AWS's subset: no groups, no look-around.
fn regex(source: &str) -> Result<regex_lite::Regex, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " ':_#=@/;,-^$?[]{}|\\*+.".contains(c);
    if let Some(wrong) = source.chars().find(|c| !allowed(*c)) {
        return Err(format!(
            "The character '{wrong}' is not supported in the expression %{source}%."
        ));
    }
    regex_lite::Regex::new(source).map_err(|error| format!("The expression %{source}%: {error}."))
}
