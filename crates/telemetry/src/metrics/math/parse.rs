//! From text to a tree.

use super::{MOST_DEPTH, MOST_TEXT, MathError};

/// A tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Number(f64),
    Text(String),
    /// The id of a metric or of another expression, or a keyword of a function.
    Name(String),
    Negative(Box<Self>),
    Operation(Box<Self>, Operator, Box<Self>),
    /// A function's name in capitals, and what it is given.
    Call(String, Vec<Self>),
    List(Vec<Self>),
}

/// What stands between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Power,
}

impl Operator {
    /// How tightly it binds: `^` most.
    const fn rank(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::GreaterOrEqual => 3,
            Self::Plus | Self::Minus => 4,
            Self::Times | Self::Divide => 5,
            Self::Power => 7,
        }
    }
}

/// A minus before an operand binds tighter than a product and less tightly than a power.
const NEGATIVE: u8 = 6;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    Name(String),
    Operator(Operator),
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
}

/// Reads an expression.
pub(crate) fn parse(text: &str) -> Result<Expression, MathError> {
    if text.len() > MOST_TEXT {
        return Err(MathError::new(format!("It has more than {MOST_TEXT} characters.")));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let expression = parser.expression(0)?;
    match parser.tokens.first() {
        None => Ok(expression),
        Some((at, _)) => Err(unexpected(*at)),
    }
}

fn unexpected(at: usize) -> MathError {
    MathError::new(format!("Unexpected character at position {at}."))
}

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, MathError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (token, length) = token(rest, first).ok_or_else(|| unexpected(at))?;
        tokens.push((at, token));
        rest = &rest[length..];
    }
}

const SIGNS: [(&str, Token); 20] = [
    ("==", Token::Operator(Operator::Equal)),
    ("!=", Token::Operator(Operator::NotEqual)),
    ("<=", Token::Operator(Operator::LessOrEqual)),
    (">=", Token::Operator(Operator::GreaterOrEqual)),
    ("&&", Token::Operator(Operator::And)),
    ("||", Token::Operator(Operator::Or)),
    ("<", Token::Operator(Operator::Less)),
    (">", Token::Operator(Operator::Greater)),
    ("+", Token::Operator(Operator::Plus)),
    ("-", Token::Operator(Operator::Minus)),
    ("*", Token::Operator(Operator::Times)),
    ("/", Token::Operator(Operator::Divide)),
    ("^", Token::Operator(Operator::Power)),
    ("(", Token::Open),
    (")", Token::Close),
    ("[", Token::OpenList),
    ("]", Token::CloseList),
    ("{", Token::OpenList),
    ("}", Token::CloseList),
    (",", Token::Comma),
];

fn token(rest: &str, first: char) -> Option<(Token, usize)> {
    if first.is_ascii_digit() || first == '.' {
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        return Some((Token::Number(rest[..length].parse().ok()?), length));
    }
    if first.is_alphabetic() || first == '_' {
        let inside = |c: char| c.is_alphanumeric() || c == '_';
        let length = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let word = &rest[..length];
        let token = match word.to_ascii_uppercase().as_str() {
            "AND" => Token::Operator(Operator::And),
            "OR" => Token::Operator(Operator::Or),
            _ => Token::Name(word.to_owned()),
        };
        return Some((token, length));
    }
    if first == '"' || first == '\'' {
        let inside = &rest[1..];
        let end = inside.find(first)?;
        return Some((Token::Text(inside[..end].to_owned()), end + 2));
    }
    let (sign, token) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign))?;
    Some((token.clone(), sign.len()))
}

struct Parser<'t> {
    tokens: &'t [(usize, Token)],
    depth: usize,
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Result<&'t (usize, Token), MathError> {
        let ended = || MathError::new("It ends where something is missing.");
        let (first, rest) = self.tokens.split_first().ok_or_else(ended)?;
        self.tokens = rest;
        Ok(first)
    }

    fn expect(&mut self, wanted: &Token) -> Result<(), MathError> {
        match self.next()? {
            (_, token) if token == wanted => Ok(()),
            (at, _) => Err(unexpected(*at)),
        }
    }

    /// Operands whose operators bind at least as tightly as `least`.
    fn expression(&mut self, least: u8) -> Result<Expression, MathError> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(MathError::new(format!("It is nested more than {MOST_DEPTH} deep.")));
        }
        let mut left = self.operand()?;
        while let Some((_, Token::Operator(operator))) = self.tokens.first() {
            if operator.rank() < least {
                break;
            }
            self.next()?;
            // What is of the same rank stands to the left: a-b-c is (a-b)-c.
            let right = self.expression(operator.rank() + 1)?;
            left = Expression::Operation(Box::new(left), *operator, Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expression, MathError> {
        let (at, token) = self.next()?;
        match token {
            Token::Number(number) => Ok(Expression::Number(*number)),
            Token::Text(text) => Ok(Expression::Text(text.clone())),
            Token::Operator(Operator::Minus) => {
                Ok(Expression::Negative(Box::new(self.expression(NEGATIVE)?)))
            }
            Token::Open => {
                let inner = self.expression(0)?;
                self.expect(&Token::Close)?;
                Ok(inner)
            }
            Token::OpenList => Ok(Expression::List(self.until(&Token::CloseList)?)),
            Token::Name(name) => {
                if matches!(self.tokens.first(), Some((_, Token::Open))) {
                    self.next()?;
                    let given = self.until(&Token::Close)?;
                    return Ok(Expression::Call(name.to_ascii_uppercase(), given));
                }
                Ok(Expression::Name(name.clone()))
            }
            Token::Operator(_) | Token::Close | Token::CloseList | Token::Comma => {
                Err(unexpected(*at))
            }
        }
    }

    /// Expressions between commas, up to and with `end`.
    fn until(&mut self, end: &Token) -> Result<Vec<Expression>, MathError> {
        let mut given = Vec::new();
        if self.tokens.first().is_some_and(|(_, token)| token == end) {
            self.next()?;
            return Ok(given);
        }
        loop {
            given.push(self.expression(0)?);
            match self.next()? {
                (_, Token::Comma) => {}
                (_, token) if token == end => return Ok(given),
                (at, _) => return Err(unexpected(*at)),
            }
        }
    }
}
