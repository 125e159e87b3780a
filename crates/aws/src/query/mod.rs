//! AWS Query: a form in, XML out. EC2's own kind of it names members and lists otherwise.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>
//! <https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html>

use serde_json::Value;

use crate::facts::{OperationFacts, ServiceFacts};
use crate::protocol::Protocol;
use crate::schema::{Shape, Shaped};
use crate::{Error, Fault};

mod form;
mod xml;

/// The JSON of a request, from its form in the body or in the URL's query string.
pub(crate) fn decode_request(
    service: &ServiceFacts,
    operation: &OperationFacts,
    query: &str,
    body: &[u8],
) -> Result<Vec<u8>, Error> {
    let Some((shape, _)) = operation.shapes else {
        return Ok(b"{}".to_vec());
    };
    let value = form::decode(naming(service), shape, query.as_bytes(), body).map_err(|reason| {
        Error::new("MalformedInput", 400, format!("In {}, {reason}.", operation.name))
    })?;
    Ok(value.to_string().into_bytes())
}

/// The form of a request.
pub(crate) fn encode_request<T: Shaped>(
    service: &ServiceFacts,
    operation: &OperationFacts,
    request: &T,
) -> Result<Vec<u8>, String> {
    let value = serde_json::to_value(request).map_err(|error| error.to_string())?;
    let (action, version) = (operation.name, service.api_version);
    Ok(form::encode(naming(service), T::shape(), action, version, &value).into_bytes())
}

fn naming(service: &ServiceFacts) -> form::Naming {
    if service.speaks(Protocol::Ec2) { form::Naming::Ec2 } else { form::Naming::Query }
}

/// The XML of a good answer, from its JSON.
pub(crate) fn encode_response(
    service: &ServiceFacts,
    operation: &OperationFacts,
    json: &[u8],
    request_id: &str,
) -> Result<Vec<u8>, Error> {
    let value: Value = serde_json::from_slice(json).map_err(|error| {
        Error::internal(format!("The answer to {} is not JSON: {error}.", operation.name))
    })?;
    let mut text = String::new();
    let outer = format!("{}Response", operation.name);
    xml::open(&mut text, &outer, service.xml_namespace);
    if service.speaks(Protocol::Ec2) {
        xml::leaf(&mut text, "requestId", request_id);
        if let Some((_, shape)) = operation.shapes {
            xml::encode(&mut text, shape, &value);
        }
        xml::close(&mut text, &outer);
        return Ok(text.into_bytes());
    }
    if let (Some(wrapper), Some((_, shape))) = (operation.wrapper, operation.shapes) {
        xml::open(&mut text, wrapper, None);
        xml::encode(&mut text, shape, &value);
        xml::close(&mut text, wrapper);
    }
    xml::open(&mut text, "ResponseMetadata", None);
    xml::leaf(&mut text, "RequestId", request_id);
    xml::close(&mut text, "ResponseMetadata");
    xml::close(&mut text, &outer);
    Ok(text.into_bytes())
}

/// A typed answer, from its XML.
pub(crate) fn decode_response<T: Shaped>(
    operation: &OperationFacts,
    body: &[u8],
) -> Result<T, String> {
    let root = xml::parse(body)?;
    let result = operation.wrapper.and_then(|wrapper| root.child(wrapper)).unwrap_or(&root);
    let value = xml::decode(T::shape(), result)?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The XML of an error.
pub fn encode_error(service: Option<&ServiceFacts>, error: &Error, request_id: &str) -> Vec<u8> {
    let mut text = String::new();
    if service.is_some_and(|service| service.speaks(Protocol::Ec2)) {
        return ec2_error(error, request_id);
    }
    xml::open(&mut text, "ErrorResponse", service.and_then(|service| service.xml_namespace));
    xml::open(&mut text, "Error", None);
    let whose = match error.fault {
        Fault::Client => "Sender",
        Fault::Server => "Receiver",
    };
    xml::leaf(&mut text, "Type", whose);
    xml::leaf(&mut text, "Code", &error.code);
    xml::leaf(&mut text, "Message", &error.message);
    xml::close(&mut text, "Error");
    xml::leaf(&mut text, "RequestId", request_id);
    xml::close(&mut text, "ErrorResponse");
    text.into_bytes()
}

fn ec2_error(error: &Error, request_id: &str) -> Vec<u8> {
    let mut text = String::new();
    xml::open(&mut text, "Response", None);
    xml::open(&mut text, "Errors", None);
    xml::open(&mut text, "Error", None);
    xml::leaf(&mut text, "Code", &error.code);
    xml::leaf(&mut text, "Message", &error.message);
    xml::close(&mut text, "Error");
    xml::close(&mut text, "Errors");
    xml::leaf(&mut text, "RequestID", request_id);
    xml::close(&mut text, "Response");
    text.into_bytes()
}

/// Reads an error's XML.
///
/// # Errors
///
/// A sentence about a body that holds no error.
pub fn decode_error(status: u16, body: &[u8]) -> Result<Error, String> {
    let root = xml::parse(body)?;
    let holder = root.child("Errors").unwrap_or(&root);
    let error = holder.child("Error").ok_or("the body has no Error element")?;
    let code = error.child("Code").ok_or("the body has no error code")?.text.clone();
    let message = error.child("Message").map(|message| message.text.clone()).unwrap_or_default();
    Ok(Error::new(code, status, message))
}

/// A plain value from text, by its shape: what Query and XML carry has no types of its own.
fn plain(shape: &Shape, text: &str) -> Option<Value> {
    use crate::schema::Kind;
    match &shape.kind {
        Kind::Text | Kind::Words(_) | Kind::Blob => Some(Value::from(text)),
        Kind::Integer | Kind::Long => text.trim().parse::<i64>().ok().map(Value::from),
        Kind::Double => {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from)
        }
        Kind::Boolean => text.trim().parse::<bool>().ok().map(Value::from),
        Kind::Timestamp => stdx::Timestamp::parse(text.trim())
            .or_else(|| {
                text.trim().parse::<f64>().ok().and_then(|n| crate::value::instant(&n.into()))
            })
            .map(|instant| Value::from(instant.as_secs_f64())),
        Kind::Structure { .. } | Kind::List(_) | Kind::Map { .. } | Kind::Document => None,
    }
}

/// A plain value as text.
fn text(shape: &Shape, value: &Value) -> String {
    if matches!(shape.kind, crate::schema::Kind::Timestamp)
        && let Some(instant) = crate::value::instant(value)
    {
        return instant.rfc3339();
    }
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
