//! Smithy RPC v2 with CBOR: the bodies. Inside they are the JSON of the other protocols, so that an
//! operation is given the same request whichever way it came.
//!
//! <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minicbor::data::{Tag, Type};
use minicbor::{Decoder, Encoder};
use serde_json::{Map, Number, Value};

use crate::Error;
use crate::facts::OperationFacts;
use crate::schema::{Kind, Shape};

/// How deep values may be; the deepest shape of any model is far shallower.
const DEPTH: usize = 64;

/// The tag of an instant in epoch seconds (RFC 8949, 3.4.2).
const EPOCH: u64 = 1;

/// The JSON of a request.
pub(crate) fn decode_request(operation: &OperationFacts, body: &[u8]) -> Result<Vec<u8>, Error> {
    let Some((shape, _)) = operation.shapes.filter(|_| !body.is_empty()) else {
        return Ok(b"{}".to_vec());
    };
    let mut decoder = Decoder::new(body);
    let value = read(&mut decoder, Some(shape), 0).and_then(|value| {
        let rest = body.len() - decoder.position();
        if rest == 0 { Ok(value) } else { Err(format!("{rest} bytes follow its end")) }
    });
    value.map(|value| value.to_string().into_bytes()).map_err(|reason| {
        Error::serialization(format!(
            "The body of {} is not CBOR that can be read: {reason}.",
            operation.name
        ))
    })
}

/// The CBOR of a good answer, from its JSON.
pub(crate) fn encode_response(operation: &OperationFacts, json: &[u8]) -> Result<Vec<u8>, Error> {
    let value: Value = serde_json::from_slice(json).map_err(|error| {
        Error::internal(format!("The answer to {} is not JSON: {error}.", operation.name))
    })?;
    Ok(encode(operation.shapes.map(|(_, shape)| shape), &value))
}

/// An error's body: `__type`, `message`, and what its shape has beside.
pub(crate) fn encode_error(kind: &str, error: &Error) -> Vec<u8> {
    let mut object = error.fields().clone();
    object.insert("__type".to_owned(), Value::from(kind));
    object.insert("message".to_owned(), Value::from(error.message.as_str()));
    encode(None, &Value::Object(object))
}

fn encode(shape: Option<&'static Shape>, value: &Value) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    // Writing to memory does not fail.
    let _infallible = write(&mut encoder, shape, value);
    encoder.into_writer()
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(to: &mut Encoder<Vec<u8>>, shape: Option<&'static Shape>, value: &Value) -> Written {
    let kind = shape.map(|shape| &shape.kind);
    match value {
        Value::Null => to.null()?,
        Value::Bool(flag) => to.bool(*flag)?,
        Value::Number(number) => return number_of(to, kind, number),
        Value::String(text) => match (kind, STANDARD.decode(text)) {
            (Some(Kind::Blob), Ok(bytes)) => to.bytes(&bytes)?,
            _ => to.str(text)?,
        },
        Value::Array(entries) => {
            to.array(length(entries.len()))?;
            let of = match kind {
                Some(Kind::List(of)) => Some(*of),
                _ => None,
            };
            return entries.iter().try_for_each(|entry| write(to, of, entry));
        }
        Value::Object(object) => {
            let said = || object.iter().filter(|(_, inner)| !inner.is_null());
            to.map(length(said().count()))?;
            return said().try_for_each(|(name, inner)| {
                to.str(name)?;
                write(to, inside(shape, name), inner)
            });
        }
    };
    Ok(())
}

fn number_of(to: &mut Encoder<Vec<u8>>, kind: Option<&Kind>, number: &Number) -> Written {
    let float = number.as_f64().unwrap_or_default();
    match (kind, number.as_i64(), number.as_u64()) {
        (Some(Kind::Timestamp), ..) => to.tag(Tag::new(EPOCH))?.f64(float)?,
        (Some(Kind::Double), ..) | (_, None, None) => to.f64(float)?,
        (_, Some(whole), _) => to.i64(whole)?,
        (_, None, Some(whole)) => to.u64(whole)?,
    };
    Ok(())
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The shape of what stands under `name` in a structure or a map.
fn inside(shape: Option<&'static Shape>, name: &str) -> Option<&'static Shape> {
    match &shape?.kind {
        Kind::Structure { members, .. } => {
            members.iter().find(|member| member.name == name).map(|member| member.shape)
        }
        Kind::Map { value, .. } => Some(*value),
        _ => None,
    }
}

/// The value that comes next. Lengths are claims: nothing is reserved for them.
fn read(
    from: &mut Decoder<'_>,
    shape: Option<&'static Shape>,
    depth: usize,
) -> Result<Value, String> {
    if depth > DEPTH {
        return Err("it is nested too deeply".to_owned());
    }
    match from.datatype().map_err(ill)? {
        Type::Bool => from.bool().map(Value::from).map_err(ill),
        Type::Null => from.null().map(|()| Value::Null).map_err(ill),
        Type::Undefined => from.undefined().map(|()| Value::Null).map_err(ill),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => from.u64().map(Value::from).map_err(ill),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => from.i64().map(Value::from).map_err(ill),
        Type::F16 => finite(f64::from(from.f16().map_err(ill)?)),
        Type::F32 => finite(f64::from(from.f32().map_err(ill)?)),
        Type::F64 => finite(from.f64().map_err(ill)?),
        Type::Bytes | Type::BytesIndef => bytes(from, shape),
        Type::String | Type::StringIndef => text(from, shape),
        Type::Array | Type::ArrayIndef => list(from, shape, depth),
        Type::Map | Type::MapIndef => object(from, shape, depth),
        Type::Tag => match from.tag().map_err(ill)?.as_u64() {
            EPOCH => read(from, shape, depth + 1),
            other => Err(format!("tag {other} has no meaning here")),
        },
        other => Err(format!("a value of type {other} has no meaning here")),
    }
}

fn finite(number: f64) -> Result<Value, String> {
    let number = Number::from_f64(number);
    number.map(Value::Number).ok_or_else(|| "a number is not finite".to_owned())
}

fn bytes(from: &mut Decoder<'_>, shape: Option<&'static Shape>) -> Result<Value, String> {
    if shape.is_some_and(|shape| !matches!(shape.kind, Kind::Blob)) {
        return Err("bytes stand where no Blob belongs".to_owned());
    }
    let mut all = Vec::new();
    for part in from.bytes_iter().map_err(ill)? {
        all.extend_from_slice(part.map_err(ill)?);
    }
    Ok(Value::from(STANDARD.encode(all)))
}

fn text(from: &mut Decoder<'_>, shape: Option<&'static Shape>) -> Result<Value, String> {
    if shape.is_some_and(|shape| matches!(shape.kind, Kind::Blob)) {
        return Err("a text stands where a Blob belongs".to_owned());
    }
    whole_text(from).map(Value::from)
}

fn whole_text(from: &mut Decoder<'_>) -> Result<String, String> {
    let mut all = String::new();
    for part in from.str_iter().map_err(ill)? {
        all.push_str(part.map_err(ill)?);
    }
    Ok(all)
}

fn list(
    from: &mut Decoder<'_>,
    shape: Option<&'static Shape>,
    depth: usize,
) -> Result<Value, String> {
    let of = shape.and_then(|shape| match shape.kind {
        Kind::List(of) => Some(of),
        _ => None,
    });
    let mut left = from.array().map_err(ill)?;
    let mut entries = Vec::new();
    while more(from, &mut left)? {
        entries.push(read(from, of, depth + 1)?);
    }
    Ok(Value::Array(entries))
}

fn object(
    from: &mut Decoder<'_>,
    shape: Option<&'static Shape>,
    depth: usize,
) -> Result<Value, String> {
    let mut left = from.map().map_err(ill)?;
    let mut object = Map::new();
    while more(from, &mut left)? {
        let name = whole_text(from)?;
        let inner = read(from, inside(shape, &name), depth + 1)?;
        object.insert(name, inner);
    }
    Ok(Value::Object(object))
}

/// Whether a list or map goes on; one of unknown length ends with a break, which is taken.
fn more(from: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, String> {
    if let Some(left) = left {
        let goes_on = *left > 0;
        *left = left.saturating_sub(1);
        return Ok(goes_on);
    }
    let over = from.datatype().map_err(ill)? == Type::Break;
    if over {
        from.set_position(from.position() + 1);
    }
    Ok(!over)
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn ill(error: minicbor::decode::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;
