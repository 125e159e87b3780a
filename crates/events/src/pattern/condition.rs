//! What may be asked of one value.

use std::net::IpAddr;

use serde_json::{Number, Value};

use super::wildcard::Wildcard;

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is written: 300 is not 300.0.
    Number(Number),
    /// A text, or something about one.
    Text(Text),
    /// `{"exists": …}`
    Exists(bool),
    /// `{"numeric": …}`
    Numeric(Vec<(Comparison, f64)>),
    /// `{"cidr": …}`
    Cidr(Cidr),
    /// `{"anything-but": …}`: a text of which none of these is true.
    NoText(Vec<Text>),
    /// `{"anything-but": …}`: none of these numbers.
    NoNumber(Vec<Number>),
}

/// What may be asked of a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    Is(String),
    Begins(String),
    Ends(String),
    /// In lower case.
    IsFolded(String),
    BeginsFolded(String),
    EndsFolded(String),
    Like(Wildcard),
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    address: u128,
    mask: u128,
    is_v4: bool,
}

impl Condition {
    /// Whether one of the values that are there fits. Only one condition asks for none.
    pub(super) fn takes(&self, leaves: &[&Value]) -> bool {
        match self {
            Self::Exists(wanted) => leaves.is_empty() != *wanted,
            _ => leaves.iter().any(|leaf| self.fits(leaf)),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(wanted), Value::Bool(is)) => wanted == is,
            (Self::Number(wanted), Value::Number(is)) => wanted == is,
            (Self::Text(wanted), Value::String(is)) => wanted.fits(is),
            (Self::Numeric(bounds), Value::Number(is)) => {
                is.as_f64().is_some_and(|is| bounds.iter().all(|(how, than)| how.holds(is, *than)))
            }
            (Self::Cidr(net), Value::String(is)) => net.has(is),
            (Self::NoText(unwanted), Value::String(is)) => !unwanted.iter().any(|t| t.fits(is)),
            // Whatever is no text is not one of these texts.
            (Self::NoText(_), _) => true,
            (Self::NoNumber(unwanted), Value::Number(is)) => {
                !unwanted.iter().any(|n| n == is || n.as_f64() == is.as_f64())
            }
            (Self::NoNumber(_), _) => true,
            _ => false,
        }
    }
}

impl Text {
    fn fits(&self, is: &str) -> bool {
        match self {
            Self::Is(wanted) => wanted == is,
            Self::Begins(wanted) => is.starts_with(wanted.as_str()),
            Self::Ends(wanted) => is.ends_with(wanted.as_str()),
            Self::IsFolded(wanted) => fold(is) == *wanted,
            Self::BeginsFolded(wanted) => fold(is).starts_with(wanted.as_str()),
            Self::EndsFolded(wanted) => fold(is).ends_with(wanted.as_str()),
            Self::Like(wildcard) => wildcard.fits(is),
        }
    }
}

/// A text without the difference of upper and lower case.
pub(super) fn fold(text: &str) -> String {
    text.to_lowercase()
}

impl Comparison {
    /// Reads `<` and the like.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, a: f64, b: f64) -> bool {
        match self {
            Self::Equal => a.total_cmp(&b).is_eq() || a == b,
            Self::Less => a < b,
            Self::LessOrEqual => a <= b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
        }
    }
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a single address.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let (bits, width, is_v4) = bits(address.parse().ok()?);
        let length = length.unwrap_or(width);
        let mask = match length {
            0 => 0,
            n if n <= width => (u128::MAX << (width - n)) & (u128::MAX >> (128 - width)),
            _ => return None,
        };
        Some(Self { address: bits & mask, mask, is_v4 })
    }

    fn has(&self, text: &str) -> bool {
        let Ok(address) = text.parse() else { return false };
        let (bits, _, is_v4) = bits(address);
        is_v4 == self.is_v4 && bits & self.mask == self.address
    }
}

fn bits(address: IpAddr) -> (u128, u32, bool) {
    match address {
        IpAddr::V4(it) => (u128::from(u32::from(it)), 32, true),
        IpAddr::V6(it) => (u128::from(it), 128, false),
    }
}
