//! A secret value in memory: shown by nothing, wiped when it goes.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A value: text or bytes. `Debug` shows only which, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct SecretValue {
    form: Form,
    bytes: Zeroizing<Vec<u8>>,
}

/// Whether a value is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

impl SecretValue {
    /// Takes text over.
    pub fn text(text: String) -> Self {
        Self { form: Form::Text, bytes: Zeroizing::new(text.into_bytes()) }
    }

    /// Takes bytes over.
    pub fn binary(bytes: Vec<u8>) -> Self {
        Self { form: Form::Binary, bytes: Zeroizing::new(bytes) }
    }

    /// A value of that form; text that is not UTF-8 is no value.
    pub(crate) fn restore(form: Form, mut bytes: Vec<u8>) -> Option<Self> {
        if form == Form::Text && std::str::from_utf8(&bytes).is_err() {
            bytes.zeroize();
            return None;
        }
        Some(Self { form, bytes: Zeroizing::new(bytes) })
    }

    /// The text, if it is text.
    pub fn reveal_text(&self) -> Option<&str> {
        match self.form {
            Form::Text => std::str::from_utf8(&self.bytes).ok(),
            Form::Binary => None,
        }
    }

    /// The bytes, whatever they are.
    pub fn reveal_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is text.
    pub fn is_text(&self) -> bool {
        self.form == Form::Text
    }

    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    /// Whether both are the same, in a time that depends on their lengths only.
    pub fn same(&self, other: &Self) -> bool {
        #[expect(deprecated, reason = "ring has no other comparison in constant time")]
        let equal = ring::constant_time::verify_slices_are_equal(&self.bytes, &other.bytes);
        self.form == other.form && equal.is_ok()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.form {
            Form::Text => "SecretValue(text …)",
            Form::Binary => "SecretValue(binary …)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_it_and_equality_looks_at_all() {
        let value = SecretValue::text("hunter2".to_owned());
        assert!(!format!("{value:?}").contains("hunter2"));
        assert!(value.same(&SecretValue::text("hunter2".to_owned())));
        assert!(!value.same(&SecretValue::text("hunter3".to_owned())));
        assert!(!value.same(&SecretValue::binary(b"hunter2".to_vec())));
        assert!(SecretValue::restore(Form::Text, vec![0xff]).is_none());
        assert_eq!(SecretValue::binary(vec![0xff]).reveal_text(), None);
    }
}
