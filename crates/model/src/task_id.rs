//! A task's id, small enough to stand in every book as itself.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many hexadecimal digits an id has.
const DIGITS: usize = 32;

/// A task's id: 32 hexadecimal digits. Any other text is an id too, though no task has it.
///
/// It is ordered as its text, serialised as its text, and cannot be passed where another identity is
/// meant. There are as many of them as tasks, in several books, so the usual ones are numbers that
/// are copied and compared in place.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskId(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    /// Exactly 32 lower-case digits, sixteen in each half.
    Digits(u64, u64),
    /// Anything else.
    Text(Arc<str>),
}

impl TaskId {
    /// The identity with this text.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        Self(number(text).map_or_else(|| Form::Text(text.into()), |(a, b)| Form::Digits(a, b)))
    }

    /// Does something with its text.
    fn with_text<T>(&self, work: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Form::Text(text) => work(text),
            Form::Digits(high, low) => {
                let mut digits = [0; DIGITS];
                let number = (u128::from(*high) << 64) | u128::from(*low);
                for (at, digit) in digits.iter_mut().rev().enumerate() {
                    let nibble = (number >> (4 * at)) & 0xf;
                    *digit = b"0123456789abcdef"[nibble as usize];
                }
                work(std::str::from_utf8(&digits).unwrap_or_default())
            }
        }
    }
}

/// The halves of an id that is written as ids are.
fn number(text: &str) -> Option<(u64, u64)> {
    let digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    if text.len() != DIGITS || !text.as_bytes().iter().all(digit) {
        return None;
    }
    let (high, low) = text.split_at_checked(DIGITS / 2)?;
    Some((u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?))
}

impl Ord for TaskId {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // As many digits of either, so that the numbers stand as their texts.
            (Form::Digits(a, b), Form::Digits(c, d)) => (a, b).cmp(&(c, d)),
            _ => self.with_text(|one| other.with_text(|two| one.cmp(two))),
        }
    }
}

impl PartialOrd for TaskId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for TaskId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Form::Digits(high, low) => (high, low).hash(state),
            Form::Text(text) => text.hash(state),
        }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| fmt::Debug::fmt(text, f))
    }
}

impl From<&str> for TaskId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for TaskId {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = TaskId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a task's id")
            }

            fn visit_str<E>(self, text: &str) -> Result<TaskId, E> {
                Ok(TaskId::new(text))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[0-9a-f]{32}",
            1 => "[0-9a-f]{2}0{30}",
            1 => "[0-9A-F]{32}",
            1 => "\\+[0-9a-f]{31}",
            1 => "[0-9a-f]{31,33}",
            1 => ".{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn an_id_is_its_text(texts in proptest::collection::vec(texts(), 0..20)) {
            for text in &texts {
                let id = TaskId::new(text);
                prop_assert_eq!(&id.to_string(), text);
                prop_assert_eq!(format!("{id:?}"), format!("{text:?}"));
                let written = rmp_serde::to_vec(&id).expect("it is written");
                prop_assert_eq!(&written, &rmp_serde::to_vec(text).expect("it is written"));
                let read: TaskId = rmp_serde::from_slice(&written).expect("it is read");
                prop_assert_eq!(read, id);
            }
            let ids: BTreeSet<TaskId> = texts.iter().map(TaskId::new).collect();
            let sorted: BTreeSet<&String> = texts.iter().collect();
            prop_assert!(ids.iter().map(TaskId::to_string).eq(sorted.into_iter().cloned()));
        }
    }

    #[test]
    fn an_id_takes_no_room_beside_itself() {
        assert_eq!(size_of::<TaskId>(), 24);
        assert!(matches!(TaskId::new("0123456789abcdef0123456789abcdef").0, Form::Digits(..)));
        assert!(matches!(TaskId::new("0123456789abcdef0123456789ABCDEF").0, Form::Text(_)));
    }
}
