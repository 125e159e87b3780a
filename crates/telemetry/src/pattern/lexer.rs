//! The words of a JSON pattern, and quoted text.

use std::borrow::Cow;

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    And,
    Or,
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`.
    Compare(Comparison),
    /// `$.a.b[0]`: the steps after the `$`.
    Selector(Vec<Step>),
    /// In quotation marks.
    Text(String),
    /// Between two `%`.
    Regex(String),
    /// `IS`, `NOT`, `NULL`, a number, or text without quotation marks.
    Word(String),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// The text up to a quotation mark, where `\"` and `\\` stand for the characters; and what follows.
pub(super) fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok((value, text.get(index + 1..).unwrap_or_default())),
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                Some((_, other)) => {
                    value.push('\\');
                    value.push(other);
                }
                None => break,
            },
            _ => value.push(c),
        }
    }
    Err(format!("The quotation mark before '{text}' is not closed."))
}

/// Splits the inside of a JSON pattern into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '"' => {
                let (value, after) = quoted(&rest[1..])?;
                (Token::Text(value), after)
            }
            '%' => {
                let (source, after) = rest[1..]
                    .split_once('%')
                    .ok_or_else(|| format!("The expression {rest} has no closing '%'."))?;
                (Token::Regex(source.to_owned()), after)
            }
            '$' => {
                let (steps, after) = selector(&rest[1..])?;
                (Token::Selector(steps), after)
            }
            _ => operator(rest).map_or_else(|| word(rest), Ok)?,
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

fn operator(text: &str) -> Option<(Token, &str)> {
    let operators = [
        ("&&", Token::And),
        ("||", Token::Or),
        ("!=", Token::Compare(Comparison::NotEqual)),
        ("<=", Token::Compare(Comparison::AtMost)),
        (">=", Token::Compare(Comparison::AtLeast)),
        ("=", Token::Compare(Comparison::Equal)),
        ("<", Token::Compare(Comparison::Less)),
        (">", Token::Compare(Comparison::Greater)),
    ];
    operators
        .into_iter()
        .find_map(|(sign, token)| text.strip_prefix(sign).map(|after| (token, after)))
}

fn word(text: &str) -> Result<(Token, &str), String> {
    let end = text
        .find(|c: char| c.is_whitespace() || "()&|=!<>\"%${}".contains(c))
        .unwrap_or(text.len());
    if end == 0 {
        return Err(format!("Nothing is known that begins like '{text}'."));
    }
    let (word, after) = text.split_at(end);
    Ok((Token::Word(word.to_owned()), after))
}

/// Reads what follows the `$`: `.name`, `['name']`, `.['name']`, `[0]`.
fn selector(text: &str) -> Result<(Vec<Step>, &str), String> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        if let Some(inside) = rest.strip_prefix(".[").or_else(|| rest.strip_prefix('[')) {
            let (step, after) = bracket(inside)?;
            steps.push(step);
            rest = after;
        } else if let Some(name) = rest.strip_prefix('.') {
            let end = name
                .find(|c: char| !(c.is_alphanumeric() || "_-@:/".contains(c)))
                .unwrap_or(name.len());
            if end == 0 {
                return Err(format!("A member's name is expected after the point in '${text}'."));
            }
            let (member, after) = name.split_at(end);
            steps.push(Step::Member(member.to_owned()));
            rest = after;
        } else if steps.is_empty() {
            return Err(format!("A selector is '$.' and a member's name, not '${text}'."));
        } else {
            return Ok((steps, rest));
        }
    }
}

fn bracket(text: &str) -> Result<(Step, &str), String> {
    let wrong = || format!("In brackets stands an index or a name in quotes, not '[{text}'.");
    for quote in ['\'', '"'] {
        if let Some(name) = text.strip_prefix(quote) {
            let close: Cow<'_, str> = format!("{quote}]").into();
            let (name, after) = name.split_once(close.as_ref()).ok_or_else(wrong)?;
            return Ok((Step::Member(name.to_owned()), after));
        }
    }
    let (index, after) = text.split_once(']').ok_or_else(wrong)?;
    Ok((Step::Element(index.trim().parse().map_err(|_| wrong())?), after))
}
