//! The schema of the wire: what each shape is, and which constraints it has.
//!
//! The generated modules hold one table of [`Shape`]s for each service. Type checks, validation and
//! the Query codec read them, so that the generated structures themselves stay plain.

use crate::pattern::Pattern;

/// A shape of a service's model.
#[derive(Debug)]
pub struct Shape {
    /// What it is.
    pub kind: Kind,
    /// The least length, count or value.
    pub min: Option<f64>,
    /// The greatest length, count or value.
    pub max: Option<f64>,
    /// What a text must match, in whole.
    pub pattern: Option<&'static Pattern>,
    /// Whether its values must not be repeated in messages.
    pub sensitive: bool,
    /// Whether a list or map stands in its parent without an element of its own (Query, XML).
    pub flattened: bool,
    /// The name of a list's element (Query, XML).
    pub item: &'static str,
}

/// What a shape is.
#[derive(Debug)]
pub enum Kind {
    /// Named members.
    Structure {
        /// The shape's name in the model.
        name: &'static str,
        /// The members, by name.
        members: &'static [Member],
    },
    /// Values of one shape.
    List(&'static Shape),
    /// Values of one shape by a text.
    Map {
        /// The shape of the keys.
        key: &'static Shape,
        /// The shape of the values.
        value: &'static Shape,
    },
    /// Any text.
    Text,
    /// One of these words.
    Words(&'static [&'static str]),
    /// 32 bits with sign.
    Integer,
    /// 64 bits with sign.
    Long,
    /// Binary floating point.
    Double,
    /// `true` or `false`.
    Boolean,
    /// An instant: epoch seconds in JSON, ISO 8601 in XML and Query.
    Timestamp,
    /// Bytes in base64.
    Blob,
    /// Any JSON.
    Document,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it holds.
    pub shape: &'static Shape,
    /// Whether a request without it is refused.
    pub required: bool,
}

impl Member {
    pub(crate) const fn optional(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, shape, required: false }
    }

    pub(crate) const fn required(name: &'static str, shape: &'static Shape) -> Self {
        Self { name, shape, required: true }
    }
}

impl Shape {
    const fn new(kind: Kind) -> Self {
        Self {
            kind,
            min: None,
            max: None,
            pattern: None,
            sensitive: false,
            flattened: false,
            item: "member",
        }
    }

    pub(crate) const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        Self::new(Kind::Structure { name, members })
    }

    pub(crate) const fn list(of: &'static Self) -> Self {
        Self::new(Kind::List(of))
    }

    pub(crate) const fn map(key: &'static Self, value: &'static Self) -> Self {
        Self::new(Kind::Map { key, value })
    }

    pub(crate) const fn text() -> Self {
        Self::new(Kind::Text)
    }

    pub(crate) const fn words(values: &'static [&'static str]) -> Self {
        Self::new(Kind::Words(values))
    }

    pub(crate) const fn integer() -> Self {
        Self::new(Kind::Integer)
    }

    pub(crate) const fn long() -> Self {
        Self::new(Kind::Long)
    }

    pub(crate) const fn double() -> Self {
        Self::new(Kind::Double)
    }

    pub(crate) const fn boolean() -> Self {
        Self::new(Kind::Boolean)
    }

    pub(crate) const fn timestamp() -> Self {
        Self::new(Kind::Timestamp)
    }

    /// Bytes.
    pub const fn blob() -> Self {
        Self::new(Kind::Blob)
    }

    pub(crate) const fn document() -> Self {
        Self::new(Kind::Document)
    }

    pub(crate) const fn min(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }

    pub(crate) const fn max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    pub(crate) const fn pattern(mut self, pattern: &'static Pattern) -> Self {
        self.pattern = Some(pattern);
        self
    }

    /// The shape, its values not to be repeated in messages.
    #[must_use]
    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The list or map, without an element of its own in XML and Query.
    #[must_use]
    pub const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    /// The list, its entries called so in XML and Query.
    #[must_use]
    pub const fn item(mut self, name: &'static str) -> Self {
        self.item = name;
        self
    }
}

/// A Rust type that a shape of the schema describes.
pub trait Shaped: serde::Serialize + serde::de::DeserializeOwned {
    /// Its shape.
    fn shape() -> &'static Shape;
}

/// Joins types to their shapes.
macro_rules! shaped {
    ($($name:ident = $shape:ident,)*) => {
        $(impl $crate::schema::Shaped for super::$name {
            fn shape() -> &'static $crate::schema::Shape {
                &$shape
            }
        })*

        /// Every structure of the service, with the trip from JSON to the type and back.
        #[cfg(test)]
        pub(crate) const TRIPS: &[(&Shape, crate::codec::Trip)] =
            &[$((&$shape, crate::codec::trip::<super::$name>),)*];
    };
}
pub(crate) use shaped;
