//! Values that JSON has no type for: bytes, instants, words of a closed set, free documents.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes; base64 on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(&text).map(Self).map_err(|_| D::Error::custom("not base64"))
    }
}

/// Stands in `Debug` output where a model calls a member sensitive.
pub(crate) struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Any JSON: a member whose content the service does not describe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Document(serde_json::Value);

impl Document {
    /// The document that JSON text says.
    ///
    /// # Errors
    ///
    /// If the text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }
}

/// The document as JSON text.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An instant that a JSON value says: epoch seconds, or text in RFC 3339 or ISO 8601's basic form.
pub(crate) fn instant(value: &serde_json::Value) -> Option<stdx::Timestamp> {
    match value {
        serde_json::Value::Number(number) => number
            .as_f64()
            .filter(|seconds| seconds.is_finite() && seconds.abs() < LAST_SECOND)
            .map(stdx::Timestamp::from_secs_f64),
        serde_json::Value::String(text) => stdx::Timestamp::parse(text),
        _ => None,
    }
}

/// The year 9999 ends before this second of the epoch; no clock of AWS goes beyond.
const LAST_SECOND: f64 = 253_402_300_800.0;

/// How a timestamp member travels in JSON: epoch seconds with a fraction.
pub(crate) mod timestamp {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use stdx::Timestamp;

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            None => serializer.serialize_none(),
            Some(instant) if instant.as_millis() % 1000 == 0 => {
                serializer.serialize_i64(instant.as_secs())
            }
            Some(instant) => serializer.serialize_f64(instant.as_secs_f64()),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let Some(value) = Option::<serde_json::Value>::deserialize(deserializer)? else {
            return Ok(None);
        };
        super::instant(&value).map(Some).ok_or_else(|| D::Error::custom("not an instant"))
    }
}

/// How a list of timestamps travels in JSON: each as [`timestamp`] has it.
pub(crate) mod timestamps {
    use serde::de::Error as _;
    use serde::ser::SerializeSeq;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use stdx::Timestamp;

    struct One(Timestamp);

    impl Serialize for One {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            super::timestamp::serialize(&Some(self.0), serializer)
        }
    }

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Vec<Timestamp>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Some(instants) = value else { return serializer.serialize_none() };
        let mut list = serializer.serialize_seq(Some(instants.len()))?;
        for instant in instants {
            list.serialize_element(&One(*instant))?;
        }
        list.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<Timestamp>>, D::Error> {
        let Some(values) = Option::<Vec<serde_json::Value>>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let instants = values
            .iter()
            .map(|value| super::instant(value).ok_or_else(|| D::Error::custom("not an instant")));
        instants.collect::<Result<_, _>>().map(Some)
    }
}

/// Makes an enum of words that is open to newer ones.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
            /// A word that this build does not know.
            Unrecognized(String),
        }

        impl $name {
            /// Every known word.
            pub const VALUES: &'static [&'static str] = &[$($text,)*];

            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Unrecognized(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Unrecognized(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::value::Word(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use wire_enum;

/// Reads a word into an enum made by [`wire_enum`].
pub(crate) struct Word<T>(pub(crate) std::marker::PhantomData<T>);

impl<T: for<'a> From<&'a str>> serde::de::Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ecs::LogDriver;

    #[test]
    fn words_are_open_to_newer_ones() {
        for (text, word) in [
            ("json-file", LogDriver::JsonFile),
            ("awslogs", LogDriver::Awslogs),
            ("AWSLOGS", LogDriver::Unrecognized("AWSLOGS".into())),
        ] {
            assert_eq!(LogDriver::from(text), word);
            assert_eq!(serde_json::from_value::<LogDriver>(json!(text)).unwrap(), word);
            assert_eq!(serde_json::to_value(&word).unwrap(), json!(text));
            assert_eq!(word.to_string(), text);
        }
        assert!(LogDriver::VALUES.contains(&"json-file"));
        assert!(serde_json::from_value::<LogDriver>(json!(1)).is_err());
    }

    #[test]
    fn bytes_are_base64() {
        let blob = Blob(vec![0, 255, 16]);
        assert_eq!(serde_json::to_value(&blob).unwrap(), json!("AP8Q"));
        assert_eq!(serde_json::from_value::<Blob>(json!("AP8Q")).unwrap(), blob);
        assert!(serde_json::from_value::<Blob>(json!("A*")).is_err());
    }

    #[test]
    fn instants_are_read_in_every_form_and_written_in_seconds() {
        let half = stdx::Timestamp::from_millis(1_795_357_857_500);
        for text in
            ["1795357857.5", "\"2026-11-22T14:30:57.5Z\"", "\"2026-11-22T15:30:57.5+01:00\""]
        {
            assert_eq!(instant(&serde_json::from_str(text).unwrap()), Some(half), "{text}");
        }
        for value in [json!(1e18), json!(-1e18), json!("soon"), json!(true), json!(null), json!([])]
        {
            assert_eq!(instant(&value), None, "{value}");
        }
        let task = crate::ecs::Task { created_at: Some(half), ..Default::default() };
        assert_eq!(serde_json::to_string(&task).unwrap(), r#"{"createdAt":1795357857.5}"#);
        let whole = stdx::Timestamp::from_millis(1_795_357_857_000);
        let task = crate::ecs::Task { created_at: Some(whole), ..Default::default() };
        assert_eq!(serde_json::to_string(&task).unwrap(), r#"{"createdAt":1795357857}"#);
    }

    #[test]
    fn documents_are_kept_as_they_are() {
        let text = r#"{"any":[1,null,"thing"]}"#;
        assert_eq!(Document::from_json(text).unwrap().to_string(), text);
        assert!(Document::from_json("{").is_err());
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let credentials = crate::sts::Credentials {
            access_key_id: Some("AKIA".into()),
            secret_access_key: Some("hush".into()),
            ..Default::default()
        };
        let shown = format!("{credentials:?}");
        assert!(
            shown.contains("AKIA") && shown.contains("***") && !shown.contains("hush"),
            "{shown}"
        );
        let container = crate::ecs::ContainerDefinition {
            environment: Some(vec![crate::ecs::KeyValuePair {
                name: Some("PASSWORD".into()),
                value: Some("hush".into()),
            }]),
            ..Default::default()
        };
        assert!(!format!("{container:?}").contains("hush"));
    }
}
