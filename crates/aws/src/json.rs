//! AWS JSON 1.0 and 1.1: the bodies of errors. Requests and responses are the shapes themselves.
//!
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::Error;

/// An error's body: `{"__type":"ClientException","message":"…"}`. `kind` is its code or, for a
/// service that tells them apart, its shape.
pub fn encode_error(kind: &str, error: &Error) -> Vec<u8> {
    let mut object = error.fields().clone();
    object.insert("__type".to_owned(), Value::from(kind));
    object.insert("message".to_owned(), Value::from(error.message.as_str()));
    Value::Object(object).to_string().into_bytes()
}

/// Reads an error's body. The code may carry a namespace before `#` and a URL after `:`, and the
/// message's name may be capital: servers differ.
///
/// # Errors
///
/// A sentence about a body that holds no error.
pub fn decode_error(status: u16, body: &[u8]) -> Result<Error, String> {
    let object: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| format!("the body is no JSON object: {error}"))?;
    let text =
        |names: &[&str]| names.iter().find_map(|name| object.get(*name)).and_then(Value::as_str);
    let code = text(&["__type", "code", "Code"]).ok_or("the body has no error code (`__type`)")?;
    let code = code.rsplit('#').next().unwrap_or(code);
    let code = code.split(':').next().unwrap_or(code).to_owned();
    let message = text(&["message", "Message", "errorMessage"]).unwrap_or_default().to_owned();
    let mut error = Error::new(Cow::Owned(code), status, message);
    for (name, value) in &object {
        if !["__type", "code", "Code", "message", "Message", "errorMessage"]
            .contains(&name.as_str())
        {
            error = error.with_field(name, value);
        }
    }
    Ok(error)
}
