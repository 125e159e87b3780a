//! Tokens of pages: opaque to clients, positions to us.

use std::fmt::Write as _;

use crate::LogsError;

/// A place between events of one stream, told by the event beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Milliseconds since the epoch.
    pub(crate) millis: i64,
    /// The event's number in its stream.
    pub(crate) sequence: u64,
}

/// A token of `GetLogEvents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Events after this place.
    After(Place),
    /// Events before this place.
    Before(Place),
}

const MEMBER: &str = "nextToken";

fn wrong() -> LogsError {
    LogsError::invalid(MEMBER, "The specified nextToken is invalid.")
}

impl Turn {
    pub(crate) fn render(self) -> String {
        let (direction, place) = match self {
            Self::After(place) => ('f', place),
            Self::Before(place) => ('b', place),
        };
        format!("{direction}/{:020}{:036}/s", place.millis, place.sequence)
    }

    pub(crate) fn parse(token: &str) -> Result<Self, LogsError> {
        let (direction, rest) = token.split_once('/').ok_or_else(wrong)?;
        let digits = rest.strip_suffix("/s").unwrap_or(rest);
        if digits.len() != 56 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let (millis, sequence) = digits.split_at(20);
        let place = Place {
            millis: millis.parse().map_err(|_| wrong())?,
            sequence: sequence.parse().map_err(|_| wrong())?,
        };
        match direction {
            "f" => Ok(Self::After(place)),
            "b" => Ok(Self::Before(place)),
            _ => Err(wrong()),
        }
    }
}

/// Where a search across streams stands: after this event, in the order of time, stream, number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor {
    pub(crate) millis: i64,
    pub(crate) stream: u64,
    pub(crate) sequence: u64,
}

impl Cursor {
    /// 56 digits: also the event's id.
    pub(crate) fn render(self) -> String {
        format!("{:018}{:018}{:020}", self.millis, self.stream, self.sequence)
    }

    pub(crate) fn parse(token: &str) -> Result<Self, LogsError> {
        if token.len() != 56 || !token.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let (millis, rest) = token.split_at(18);
        let (stream, sequence) = rest.split_at(18);
        Ok(Self {
            millis: millis.parse().map_err(|_| wrong())?,
            stream: stream.parse().map_err(|_| wrong())?,
            sequence: sequence.parse().map_err(|_| wrong())?,
        })
    }
}

/// A name, and maybe an instant before it, as a token of the `Describe` calls.
pub(crate) fn name_token(millis: Option<i64>, name: &str) -> String {
    let mut token = String::new();
    if let Some(millis) = millis {
        // Writing to a string does not fail.
        write!(token, "{millis}.").unwrap_or(());
    }
    token.push_str(&hex::encode(name));
    token
}

/// Reads what [`name_token`] made.
pub(crate) fn parse_name_token(token: &str) -> Result<(Option<i64>, String), LogsError> {
    let (millis, name) = match token.split_once('.') {
        Some((millis, name)) => (Some(millis.parse().map_err(|_| wrong())?), name),
        None => (None, token),
    };
    let name = hex::decode(name).map_err(|_| wrong())?;
    Ok((millis, String::from_utf8(name).map_err(|_| wrong())?))
}
