//! Which service and operation a request calls, in which protocol.

use std::borrow::Cow;

use crate::facts::{OperationFacts, ServiceFacts};
use crate::{Error, Fault, SERVICES, cbor, json, query};

/// A protocol in which AWS services are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// AWS JSON 1.0.
    Json10,
    /// AWS JSON 1.1.
    Json11,
    /// AWS Query: a form in, XML out.
    Query,
    /// AWS EC2 Query: as Query, with other names and other frames.
    Ec2,
    /// Smithy RPC v2 with CBOR.
    Cbor,
}

impl Protocol {
    /// The `Content-Type` of a request.
    pub const fn request_type(self) -> &'static str {
        match self {
            Self::Json10 => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
            Self::Query | Self::Ec2 => "application/x-www-form-urlencoded; charset=utf-8",
            Self::Cbor => "application/cbor",
        }
    }

    /// The `Content-Type` of an answer.
    pub const fn response_type(self) -> &'static str {
        match self {
            Self::Json10 => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
            Self::Query | Self::Ec2 => "text/xml",
            Self::Cbor => "application/cbor",
        }
    }
}

/// The head of a request, as far as it tells the protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path of the URL.
    pub path: &'a str,
    /// The query string of the URL, without `?`.
    pub query: &'a str,
    /// The header `X-Amz-Target`.
    pub target: Option<&'a str>,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The header `Smithy-Protocol`.
    pub smithy_protocol: Option<&'a str>,
}

/// What a request calls.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The service.
    pub service: &'static ServiceFacts,
    /// The operation, built or not.
    pub operation: &'static OperationFacts,
    /// How it is called, and is to be answered.
    pub protocol: Protocol,
}

impl Call {
    /// The JSON that the service's `dispatch` takes, from the body as the protocol has it. `query`
    /// is the URL's query string: a Query call may stand there.
    ///
    /// # Errors
    ///
    /// `SerializationException` (Query: `MalformedInput`) for a body that is not such a request.
    pub fn request<'a>(&self, query: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Error> {
        match self.protocol {
            Protocol::Query | Protocol::Ec2 => {
                query::decode_request(self.service, self.operation, query, body).map(Cow::Owned)
            }
            Protocol::Json10 | Protocol::Json11 => Ok(Cow::Borrowed(body)),
            Protocol::Cbor => cbor::decode_request(self.operation, body).map(Cow::Owned),
        }
    }

    /// The body of a good answer, from the JSON that `dispatch` gave.
    ///
    /// # Errors
    ///
    /// `InternalFailure` if the JSON is not the operation's response.
    pub fn response(&self, json: Vec<u8>, request_id: &str) -> Result<Vec<u8>, Error> {
        match self.protocol {
            Protocol::Query | Protocol::Ec2 => {
                query::encode_response(self.service, self.operation, &json, request_id)
            }
            Protocol::Json10 | Protocol::Json11 => Ok(json),
            Protocol::Cbor => cbor::encode_response(self.operation, &json),
        }
    }
}

/// The body of an error, for whoever called in `protocol`.
pub fn encode_error(
    protocol: Protocol,
    service: Option<&ServiceFacts>,
    error: &Error,
    request_id: &str,
) -> Vec<u8> {
    match protocol {
        Protocol::Query | Protocol::Ec2 => query::encode_error(service, error, request_id),
        Protocol::Json10 | Protocol::Json11 => json::encode_error(shape_of(service, error), error),
        Protocol::Cbor => cbor::encode_error(shape_of(service, error), error),
    }
}

/// What `__type` says: the error's code, or its shape where the service tells them apart.
fn shape_of<'a>(service: Option<&ServiceFacts>, error: &'a Error) -> &'a str {
    let pairs = service.and_then(|service| service.query_errors).unwrap_or_default();
    let found = pairs.iter().find(|(code, _)| *code == error.code);
    found.map_or(error.code.as_ref(), |(_, shape)| *shape)
}

/// The header `x-amzn-query-error` of an error, from a service that once spoke Query alone: its
/// code of then and whose fault it is.
/// <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait>
pub fn query_error(
    protocol: Protocol,
    service: Option<&ServiceFacts>,
    error: &Error,
) -> Option<String> {
    let compatible = service.is_some_and(|service| service.query_errors.is_some());
    let newer = matches!(protocol, Protocol::Json10 | Protocol::Json11 | Protocol::Cbor);
    let whose = match error.fault {
        Fault::Client => "Sender",
        Fault::Server => "Receiver",
    };
    (compatible && newer).then(|| format!("{};{whose}", error.code))
}

/// The protocol of a request, whether or not it calls anything known: an error about it must be
/// readable by whoever sent it.
pub fn of(head: &Head<'_>) -> Protocol {
    let content = head.content_type.unwrap_or_default();
    if head.smithy_protocol.is_some() || cbor_path(head.path).is_some() {
        Protocol::Cbor
    } else if content.starts_with("application/x-amz-json-1.0") {
        Protocol::Json10
    } else if head.target.is_none()
        && (content.starts_with("application/x-www-form-urlencoded")
            || head.query.contains("Action="))
    {
        Protocol::Query
    } else {
        Protocol::Json11
    }
}

/// Which operation of which service a request calls.
///
/// # Errors
///
/// `UnknownOperationException` for a target that no service has, `MissingAction` or `InvalidAction`
/// in the Query protocol, `NotImplemented` for a service that is not spoken to in RPC v2 CBOR.
pub fn detect(head: &Head<'_>, body: &[u8]) -> Result<Call, Error> {
    match of(head) {
        Protocol::Cbor => by_path(head),
        Protocol::Query | Protocol::Ec2 => by_action(head, body),
        protocol @ (Protocol::Json10 | Protocol::Json11) => by_target(head, protocol),
    }
}

fn by_target(head: &Head<'_>, protocol: Protocol) -> Result<Call, Error> {
    let Some(target) = head.target else {
        return Err(Error::unknown_operation(format!(
            "{} {} names no operation: there is neither an X-Amz-Target header nor an Action.",
            head.method,
            cut(head.path)
        )));
    };
    let unknown = || {
        Error::unknown_operation(format!(
            "No service here has the operation {} (X-Amz-Target).",
            cut(target)
        ))
    };
    let (prefix, name) = target.rsplit_once('.').ok_or_else(unknown)?;
    let service = SERVICES
        .iter()
        .copied()
        .find(|service| service.target_prefix == Some(prefix))
        .ok_or_else(unknown)?;
    let operation = service.operation(name).ok_or_else(unknown)?;
    Ok(Call { service, operation, protocol })
}

fn by_action(head: &Head<'_>, body: &[u8]) -> Result<Call, Error> {
    let find = |wanted: &str| {
        form_urlencoded::parse(body)
            .chain(form_urlencoded::parse(head.query.as_bytes()))
            .find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
    };
    let Some(action) = find("Action") else {
        return Err(Error::new("MissingAction", 400, "The request has no Action."));
    };
    let version = find("Version").unwrap_or_default();
    let invalid = |what: String| Error::new("InvalidAction", 400, what);
    let mut services = SERVICES
        .iter()
        .copied()
        .filter(|service| service.speaks(Protocol::Query) || service.speaks(Protocol::Ec2));
    let service = services.find(|service| service.api_version == version).ok_or_else(|| {
        invalid(format!("No service here has Query API version '{}'.", cut(&version)))
    })?;
    let operation = service.operation(&action).ok_or_else(|| {
        invalid(format!(
            "{} has no operation '{}' in version {version}.",
            service.label,
            cut(&action)
        ))
    })?;
    let protocol = if service.speaks(Protocol::Ec2) { Protocol::Ec2 } else { Protocol::Query };
    Ok(Call { service, operation, protocol })
}

/// Service and operation of the path `/service/<Service>/operation/<Operation>`.
fn cbor_path(path: &str) -> Option<(&str, &str)> {
    let (before, operation) = path.split_once("/operation/")?;
    let (_, service) = before.split_once("/service/")?;
    Some((service, operation))
}

fn by_path(head: &Head<'_>) -> Result<Call, Error> {
    let spoken = head.smithy_protocol.unwrap_or("rpc-v2-cbor");
    let Some((name, operation)) = cbor_path(head.path).filter(|_| spoken == "rpc-v2-cbor") else {
        return Err(Error::unknown_operation(format!(
            "{} {} with Smithy-Protocol '{}' names no operation: rpc-v2-cbor is spoken here, at \
             /service/SERVICE/operation/OPERATION.",
            head.method,
            cut(head.path),
            cut(spoken)
        )));
    };
    let protocol = Protocol::Cbor;
    let service = SERVICES.iter().copied().find(|service| service.target_prefix == Some(name));
    let Some(service) = service.filter(|service| service.speaks(protocol)) else {
        return Err(Error::new(
            "NotImplemented",
            501,
            format!(
                "{} is not spoken to in RPC v2 CBOR here ({}); call with AWS JSON or Query instead.",
                cut(name),
                cut(operation)
            ),
        ));
    };
    let operation = service.operation(operation).ok_or_else(|| {
        Error::unknown_operation(format!(
            "{} has no operation '{}'.",
            service.label,
            cut(operation)
        ))
    })?;
    Ok(Call { service, operation, protocol })
}

/// Text of the caller's, short enough to repeat.
fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}
