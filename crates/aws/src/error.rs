//! An error as an AWS service answers it.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// Whose fault an error is: `Sender` and `Receiver` in the Query protocol's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is at fault; repeating it does not help. HTTP 4xx.
    Client,
    /// The service is at fault; repeating may help. HTTP 5xx.
    Server,
}

/// An error answer: a code that programs compare, a sentence that people read, an HTTP status.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// The error's code, such as `ClusterNotFoundException`.
    pub code: Cow<'static, str>,
    /// What happened, to what, and what to do about it.
    pub message: String,
    /// The HTTP status that carries it.
    pub status: u16,
    /// Whose fault it is.
    pub fault: Fault,
    /// What the error's shape has beside the message, such as `resourceIds`.
    fields: Map<String, Value>,
}

impl Error {
    /// An error of that code and HTTP status; the status tells whose fault it is.
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> Self {
        let fault = if status >= 500 { Fault::Server } else { Fault::Client };
        Self { code: code.into(), message: message.into(), status, fault, fields: Map::new() }
    }

    /// HTTP 501 `NotImplemented`: the operation exists, but not here.
    pub fn not_implemented(service: &str, operation: &str) -> Self {
        Self::new(
            "NotImplemented",
            501,
            format!("{service}:{operation} is not built here yet; the call had no effect."),
        )
    }

    /// HTTP 400 `SerializationException`: the body is not what the protocol or the shape says.
    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", 400, message)
    }

    /// HTTP 400 `UnknownOperationException`, as AWS answers a target that no service has.
    pub fn unknown_operation(message: impl Into<String>) -> Self {
        Self::new("UnknownOperationException", 400, message)
    }

    /// HTTP 500 `InternalFailure`: a fault of ours that is no service's own error.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("InternalFailure", 500, message)
    }

    /// Adds a member that the error's shape has beside its message. A value that has no JSON form
    /// is left out.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.fields.insert(name.to_owned(), value);
        }
        self
    }

    /// A member added by [`Error::with_field`], or read from a service's answer.
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields.get(name).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// The members beside the message.
    pub(crate) const fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

/// Makes the enum of a service's errors.
macro_rules! error_kinds {
    ($(#[$meta:meta])* $($name:ident = ($code:literal, $status:literal),)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorKind {
            $($name,)*
        }

        impl ErrorKind {
            /// Every error of the service.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code that programs compare.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The HTTP status that carries it.
            pub const fn http_status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                }
            }

            /// The error of that code.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.code() == code)
            }

            /// This error with a sentence.
            pub fn with(self, message: impl Into<String>) -> $crate::Error {
                $crate::Error::new(self.code(), self.http_status(), message)
            }
        }
    };
}
pub(crate) use error_kinds;
