//! Heads: those of requests as they are written, and those of answers as they are read.

use std::io;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

/// The most fields of an answer.
const FIELDS: usize = 128;

/// How long an answer's body is (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bounds {
    /// So many bytes.
    Length(u64),
    /// As its chunks say.
    Chunked,
    /// Until the connection ends.
    Close,
    /// Another protocol is spoken from here on.
    Switched,
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: http::response::Parts,
    pub(super) bounds: Bounds,
    /// Whether the connection may carry another exchange afterwards.
    pub(super) reusable: bool,
}

impl Head {
    /// Whether the answer itself is still to come.
    pub(super) fn is_interim(&self) -> bool {
        self.parts.status.is_informational() && self.parts.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

pub(super) fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

pub(super) fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off")
}

/// Writes the head of a request. The fields are as the client's side checked them: none has a line's end.
pub(super) fn write(out: &mut Vec<u8>, request: &Parts, chunked: bool) {
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    let path = request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if path.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields(out, &request.headers);
    if chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes fields.
pub(super) fn fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads the head of an answer to `request`, and how long it is; none if it is not complete.
pub(super) fn read(bytes: &[u8], request: &Parts) -> io::Result<Option<(Head, usize)>> {
    let mut room = [const { std::mem::MaybeUninit::uninit() }; FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut answer,
        bytes,
        &mut room,
    );
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status.ok_or_else(|| bad("its status is none"))?;
    let newest = answer.version == Some(1);
    parts.version = if newest { Version::HTTP_11 } else { Version::HTTP_10 };
    parts.headers = collect(bytes, length, answer.headers)?;
    let (bounds, sure) = bounds(request, &mut parts, newest)?;
    let reusable = sure && bounds_end(bounds) && keeps_alive(&parts.headers, newest);
    Ok(Some((Head { parts, bounds, reusable }, length)))
}

const fn bounds_end(bounds: Bounds) -> bool {
    matches!(bounds, Bounds::Length(_) | Bounds::Chunked)
}

/// The fields, with their values in one piece of memory that they share.
fn collect(bytes: &[u8], length: usize, read: &[httparse::Header<'_>]) -> io::Result<HeaderMap> {
    let shared = Bytes::copy_from_slice(&bytes[..length]);
    let mut headers = HeaderMap::with_capacity(read.len() + 2);
    for field in read {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| bad("the name of a field is none"))?;
        // A slice of `bytes`, as all that was read is.
        let at = field.value.as_ptr() as usize - bytes.as_ptr() as usize;
        let value = HeaderValue::from_maybe_shared(shared.slice(at..at + field.value.len()))
            .map_err(|_| bad("the value of a field is none"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// How long the body is, and whether that is beyond doubt.
fn bounds(
    request: &Parts,
    answer: &mut http::response::Parts,
    newest: bool,
) -> io::Result<(Bounds, bool)> {
    let status = answer.status;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok((Bounds::Switched, true));
    }
    if request.method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    {
        return Ok((Bounds::Length(0), true));
    }
    if answer.headers.contains_key(TRANSFER_ENCODING) {
        if !newest {
            return Err(bad("chunks before HTTP/1.1"));
        }
        let sole = answer.headers.get_all(TRANSFER_ENCODING).iter().count() == 1;
        let chunked = answer.headers[TRANSFER_ENCODING].as_bytes().eq_ignore_ascii_case(b"chunked");
        if !(sole && chunked) {
            return Err(bad("a transfer coding other than chunked"));
        }
        // What chunks say counts; who sends both is not trusted with another exchange.
        let doubtful = answer.headers.remove(CONTENT_LENGTH).is_some();
        return Ok((Bounds::Chunked, !doubtful));
    }
    match content_length(&answer.headers)? {
        Some(length) => Ok((Bounds::Length(length), true)),
        None => Ok((Bounds::Close, true)),
    }
}

/// The one length that a message says it has.
pub(super) fn content_length(headers: &HeaderMap) -> io::Result<Option<u64>> {
    let mut found = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.as_bytes();
        let number = (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
            .then(|| value.to_str().ok()?.parse::<u64>().ok())
            .flatten()
            .ok_or_else(|| bad("its length is no number"))?;
        if found.is_some_and(|before| before != number) {
            return Err(bad("it has two lengths"));
        }
        found = Some(number);
    }
    Ok(found)
}

fn keeps_alive(headers: &HeaderMap, newest: bool) -> bool {
    let says = |word: &[u8]| {
        headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|b| *b == b',')
                .any(|t| t.trim_ascii().eq_ignore_ascii_case(word))
        })
    };
    if newest { !says(b"close") } else { says(b"keep-alive") && !says(b"close") }
}
