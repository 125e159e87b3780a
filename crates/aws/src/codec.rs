//! From bytes to a request and from a response to bytes, for the generated dispatchers.

use serde::Serialize;
use serde_json::Value;

use crate::check::check;
use crate::facts::{OperationFacts, ServiceFacts};
use crate::schema::Shaped;
use crate::{Error, validate};

/// Decodes and validates a JSON request.
pub(crate) fn request<T: Shaped>(
    service: &ServiceFacts,
    operation: &OperationFacts,
    body: &[u8],
) -> Result<T, Error> {
    let mut value = parse(body).map_err(|error| {
        Error::serialization(format!("The body of {} is not JSON: {error}.", operation.name))
    })?;
    let violations = check(T::shape(), &mut value, operation.lenient)
        .map_err(|error| Error::serialization(format!("In {}, {error}.", operation.name)))?;
    if !violations.is_empty() {
        return Err(validate::refusal(service, &violations));
    }
    serde_json::from_value(value)
        .map_err(|error| Error::serialization(format!("In {}, {error}.", operation.name)))
}

/// Encodes a response as JSON.
pub(crate) fn response<T: Serialize>(response: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(response)
        .map_err(|error| Error::internal(format!("The answer has no JSON form: {error}.")))
}

/// JSON from bytes; no bytes at all are an empty structure, as AWS reads them.
pub(crate) fn parse(body: &[u8]) -> Result<Value, serde_json::Error> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_slice(body)
}

/// A trip from JSON through a type and back.
#[cfg(test)]
pub(crate) type Trip = fn(Value) -> Result<Value, serde_json::Error>;

/// The trip through `T`.
#[cfg(test)]
pub(crate) fn trip<T: Shaped>(value: Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(value)?)
}
