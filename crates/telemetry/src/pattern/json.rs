//! JSON patterns: `{ $.level = "ERROR" && ($.took > 100 || $.user IS NULL) }`.
//!
//! The one place of the room that looks into a JSON value: a message is anybody's JSON, of no known
//! shape.

use serde_json::Value;

use super::lexer::{Comparison, Step, Token, tokens};
use super::regex;

/// What a message's JSON has to fulfil.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Test { selector: Vec<Step>, test: Test },
}

/// What a selected value has to fulfil. A value that is not there fulfils `NOT EXISTS` only.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Number(Comparison, f64),
    /// Pieces of text that were separated by `*`, and whether they have to be absent.
    Text {
        negated: bool,
        pieces: Vec<String>,
    },
    Regex {
        negated: bool,
        regex: regex_lite::Regex,
    },
    IsNull,
    IsBool(bool),
    NotExists,
}

/// How deep parentheses may be nested.
const DEEPEST: usize = 32;

impl Condition {
    pub(super) fn matches(&self, message: &str) -> bool {
        // What is not an object cannot match, and most of it shows in the first character.
        if !message.trim_start().starts_with(['{', '[']) {
            return false;
        }
        serde_json::from_str::<Value>(message).is_ok_and(|value| self.holds(&value))
    }

    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(value)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(value)),
            Self::Test { selector, test } => match (select(value, selector), test) {
                (None, Test::NotExists) => true,
                (None, _) | (Some(_), Test::NotExists) => false,
                (Some(value), test) => test.holds(value),
            },
        }
    }
}

fn select<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.as_object()?.get(name),
        Step::Element(index) => value.as_array()?.get(*index),
    })
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Number(comparison, wanted) => value.as_f64().is_some_and(|found| {
                let order = found.partial_cmp(wanted);
                match comparison {
                    Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
                    Comparison::NotEqual => order.is_some_and(std::cmp::Ordering::is_ne),
                    Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
                    Comparison::AtMost => order.is_some_and(std::cmp::Ordering::is_le),
                    Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
                    Comparison::AtLeast => order.is_some_and(std::cmp::Ordering::is_ge),
                }
            }),
            Self::Text { negated, pieces } => {
                value.as_str().is_some_and(|text| glob(pieces, text) != *negated)
            }
            Self::Regex { negated, regex } => {
                value.as_str().is_some_and(|text| regex.is_match(text) != *negated)
            }
            Self::IsNull => value.is_null(),
            Self::IsBool(wanted) => value.as_bool() == Some(*wanted),
            Self::NotExists => false,
        }
    }
}

/// Whether the text is these pieces with anything between them.
fn glob(pieces: &[String], text: &str) -> bool {
    let Some((first, others)) = pieces.split_first() else { return text.is_empty() };
    let Some((last, middle)) = others.split_last() else { return text == first };
    let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
    let Some(mut rest) = rest.strip_suffix(last.as_str()) else { return false };
    for piece in middle {
        let Some(at) = rest.find(piece.as_str()) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

/// Reads a pattern that begins with `{`.
pub(super) fn parse(text: &str) -> Result<Condition, String> {
    let inside = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .ok_or("A JSON pattern begins with '{' and ends with '}'.")?;
    let mut parser = Parser { tokens: tokens(inside)?, next: 0 };
    let condition = parser.any(0)?;
    match parser.take() {
        None => Ok(condition),
        Some(token) => Err(format!("'&&', '||' or '}}' is expected before {}.", name(&token))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn skip(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.next) == Some(token);
        self.next += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Condition, String> {
        let mut conditions = vec![self.all(depth)?];
        while self.skip(&Token::Or) {
            conditions.push(self.all(depth)?);
        }
        Ok(Condition::Any(conditions))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, String> {
        let mut conditions = vec![self.one(depth)?];
        while self.skip(&Token::And) {
            conditions.push(self.one(depth)?);
        }
        Ok(Condition::All(conditions))
    }

    fn one(&mut self, depth: usize) -> Result<Condition, String> {
        if depth == DEEPEST {
            return Err(format!("Parentheses are nested deeper than {DEEPEST}."));
        }
        match self.take() {
            Some(Token::Open) => {
                let condition = self.any(depth + 1)?;
                if self.skip(&Token::Close) {
                    Ok(condition)
                } else {
                    Err("A parenthesis is not closed.".to_owned())
                }
            }
            Some(Token::Selector(selector)) => Ok(Condition::Test { selector, test: self.test()? }),
            Some(token) => {
                Err(format!("A selector such as $.name is expected in place of {}.", name(&token)))
            }
            None => Err("A selector such as $.name is expected at the end.".to_owned()),
        }
    }

    fn test(&mut self) -> Result<Test, String> {
        match self.take() {
            Some(Token::Compare(comparison)) => self.value(comparison),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("IS") => {
                match self.word()?.as_str() {
                    "NULL" => Ok(Test::IsNull),
                    "TRUE" => Ok(Test::IsBool(true)),
                    "FALSE" => Ok(Test::IsBool(false)),
                    other => Err(format!("After IS comes NULL, TRUE or FALSE, not '{other}'.")),
                }
            }
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("NOT") => {
                match self.word()?.as_str() {
                    "EXISTS" => Ok(Test::NotExists),
                    other => Err(format!("After NOT comes EXISTS, not '{other}'.")),
                }
            }
            Some(token) => Err(format!(
                "A comparison, IS or NOT EXISTS is expected in place of {}.",
                name(&token)
            )),
            None => Err("A comparison, IS or NOT EXISTS is expected at the end.".to_owned()),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.take() {
            Some(Token::Word(word)) => Ok(word.to_ascii_uppercase()),
            Some(token) => Err(format!("A word is expected in place of {}.", name(&token))),
            None => Err("A word is expected at the end.".to_owned()),
        }
    }

    fn value(&mut self, comparison: Comparison) -> Result<Test, String> {
        let negated = match comparison {
            Comparison::Equal => Some(false),
            Comparison::NotEqual => Some(true),
            _ => None,
        };
        let token = self.take().ok_or("A value is expected at the end.")?;
        if let Token::Word(word) = &token
            && let Ok(number) = word.parse::<f64>()
            && number.is_finite()
        {
            return Ok(Test::Number(comparison, number));
        }
        match (token, negated) {
            (Token::Text(text) | Token::Word(text), Some(negated)) => {
                Ok(Test::Text { negated, pieces: text.split('*').map(str::to_owned).collect() })
            }
            (Token::Regex(source), Some(negated)) => {
                Ok(Test::Regex { negated, regex: regex(&source)? })
            }
            (token @ (Token::Text(_) | Token::Word(_) | Token::Regex(_)), None) => {
                Err(format!("Only numbers can be compared by order, and {} is none.", name(&token)))
            }
            (token, _) => Err(format!("A value is expected in place of {}.", name(&token))),
        }
    }
}

fn name(token: &Token) -> String {
    match token {
        Token::Open => "'('".to_owned(),
        Token::Close => "')'".to_owned(),
        Token::And => "'&&'".to_owned(),
        Token::Or => "'||'".to_owned(),
        Token::Compare(_) => "a comparison".to_owned(),
        Token::Selector(_) => "a selector".to_owned(),
        Token::Text(text) => format!("\"{text}\""),
        Token::Regex(source) => format!("%{source}%"),
        Token::Word(word) => format!("'{word}'"),
    }
}
