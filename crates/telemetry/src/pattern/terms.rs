//! Patterns of terms: `ERROR "out of memory" -healthz`, `?ERROR ?WARN`, `%5[0-9]{2}%`.

use super::regex;

/// What a message must and must not contain.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

#[derive(Clone, Debug)]
enum Term {
    Text(String),
    Regex(regex_lite::Regex),
}

impl Term {
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message),
        }
    }
}

impl Terms {
    /// As AWS documents it, `?` terms count only when they are alone: beside others they are
    /// passed over.
    pub(super) fn matches(&self, message: &str) -> bool {
        if self.all.is_empty() && self.none.is_empty() {
            return self.any.iter().any(|term| term.is_in(message));
        }
        self.all.iter().all(|term| term.is_in(message))
            && !self.none.iter().any(|term| term.is_in(message))
    }
}

/// Reads the terms of a pattern that is not empty.
pub(super) fn parse(text: &str) -> Result<Terms, String> {
    let mut terms = Terms::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (place, body) = match rest.split_at_checked(1) {
            Some(("?", body)) => (&mut terms.any, body),
            Some(("-", body)) => (&mut terms.none, body),
            _ => (&mut terms.all, rest),
        };
        let (term, after) = term(body)?;
        place.push(term);
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return Err(format!("A space is expected before '{after}'."));
        }
        rest = after.trim_start();
    }
    Ok(terms)
}

fn term(text: &str) -> Result<(Term, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (phrase, after) = super::lexer::quoted(quoted)?;
        if phrase.is_empty() {
            return Err("A term between quotation marks is empty.".to_owned());
        }
        return Ok((Term::Text(phrase), after));
    }
    if let Some(expression) = text.strip_prefix('%') {
        let (source, after) = expression
            .split_once('%')
            .ok_or_else(|| format!("The expression %{expression} has no closing '%'."))?;
        return Ok((Term::Regex(regex(source)?), after));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, after) = text.split_at(end);
    if word.is_empty() {
        return Err("A term is expected after '?' or '-'.".to_owned());
    }
    if word.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Ok((Term::Text(word.to_owned()), after));
    }
    Err(format!(
        "Invalid character(s) in term '{word}'. Put a term with other characters than letters, \
         digits and underscores in double quotation marks."
    ))
}
