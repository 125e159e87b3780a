//! What is known of a service and its operations.

use crate::protocol::Protocol;
use crate::schema::Shape;
use crate::validate::Wording;

/// What is known of a service.
#[derive(Clone, Copy, Debug)]
pub struct ServiceFacts {
    /// The service's name in botocore and in this project: `ecs`.
    pub name: &'static str,
    /// The service's name for people.
    pub label: &'static str,
    /// The version of its API, a date.
    pub api_version: &'static str,
    /// What stands before the dot in `X-Amz-Target`, for the JSON protocols.
    pub target_prefix: Option<&'static str>,
    /// The service in a signature's scope.
    pub signing_name: &'static str,
    /// The first label of the service's AWS host name.
    pub endpoint_prefix: &'static str,
    /// The protocols that its model names, what our own client speaks first.
    pub protocols: &'static [Protocol],
    /// The XML namespace of its answers, for the Query protocol.
    pub xml_namespace: Option<&'static str>,
    /// There if the service spoke Query before it spoke JSON: then callers in newer protocols are told
    /// an error by its shape and, in a header, by its old code. These are the errors, code and shape,
    /// where the two differ.
    /// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait>
    pub query_errors: Option<&'static [(&'static str, &'static str)]>,
    /// The code of its answer to a violated constraint.
    pub validation_error: &'static str,
    /// How it words a violated constraint.
    pub wording: Wording,
    /// Every operation of the model, by name.
    pub operations: &'static [OperationFacts],
}

impl ServiceFacts {
    /// Whether the service is called in that protocol too.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// The protocol in which our own client calls it.
    pub fn protocol(&self) -> Protocol {
        self.protocols.first().copied().unwrap_or(Protocol::Json11)
    }

    /// The operation of that name.
    pub fn operation(&self, name: &str) -> Option<&'static OperationFacts> {
        let at = self.operations.binary_search_by(|facts| facts.name.cmp(name)).ok()?;
        self.operations.get(at)
    }
}

/// What is known of an operation.
#[derive(Clone, Copy, Debug)]
pub struct OperationFacts {
    /// The operation's name: `RunTask`.
    pub name: &'static str,
    /// The shapes of its request and its response, if it is built.
    pub shapes: Option<(&'static Shape, &'static Shape)>,
    /// Whether its requests are refused for their types and missing members only: a report from an
    /// agent must not be lost for the length of a word.
    pub lenient: bool,
    /// The element that wraps its result in the Query protocol.
    pub wrapper: Option<&'static str>,
    /// How its answer comes in pages, if it does.
    pub pagination: Option<Pagination>,
}

/// How an answer comes in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pagination {
    /// The request's member that takes the token.
    pub input_token: &'static str,
    /// The response's member that gives the token.
    pub output_token: &'static str,
    /// The request's member that limits a page.
    pub limit: Option<&'static str>,
    /// The response's member that holds the page.
    pub result: Option<&'static str>,
}

impl OperationFacts {
    pub(crate) const fn built(
        name: &'static str,
        input: &'static Shape,
        output: &'static Shape,
    ) -> Self {
        Self {
            name,
            shapes: Some((input, output)),
            lenient: false,
            wrapper: None,
            pagination: None,
        }
    }

    pub(crate) const fn unbuilt(name: &'static str) -> Self {
        Self { name, shapes: None, lenient: false, wrapper: None, pagination: None }
    }

    pub(crate) const fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    pub(crate) const fn wrapped(mut self, wrapper: &'static str) -> Self {
        self.wrapper = Some(wrapper);
        self
    }

    pub(crate) const fn paged(mut self, pagination: Pagination) -> Self {
        self.pagination = Some(pagination);
        self
    }
}

/// Makes the enum of a service's operations, in the order of its facts.
macro_rules! operations {
    ($(#[$meta:meta])* $($name:ident,)*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($name,)*
        }

        impl Operation {
            /// Every operation of the service.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The operation's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The operation of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                let at = Self::ALL.binary_search_by(|operation| operation.name().cmp(name)).ok()?;
                Self::ALL.get(at).copied()
            }

            /// What is known of it.
            pub fn facts(self) -> &'static $crate::OperationFacts {
                &super::FACTS.operations[self as usize]
            }
        }

        impl std::fmt::Display for Operation {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use operations;
