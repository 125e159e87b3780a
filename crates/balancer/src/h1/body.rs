//! An answer's body on its way from a target.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Frame, SizeHint};

use super::send::Sending;
use super::{Bounds, H1, head};

/// The longest line with a chunk's size, with its extensions.
const LINE_LIMIT: usize = 1024;
/// The longest trailer section.
const TRAILER_LIMIT: usize = 16 * 1024;

/// Where in the body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// So many bytes are left of a body that has a length.
    Length(u64),
    /// Until the connection ends.
    Close,
    /// At the line with a chunk's size.
    Size,
    /// So many bytes are left of a chunk.
    Chunk(u64),
    /// At the end of a chunk.
    ChunkEnd,
    /// In the trailer section.
    Trailers,
    Over,
}

/// An answer's body, with the connection that it comes by.
#[derive(Debug)]
pub(crate) struct Body {
    /// None once it was given back or broke.
    conn: Option<Box<H1>>,
    at: At,
    sending: Sending,
    reusable: bool,
    switched: bool,
}

impl Body {
    pub(super) fn new(conn: Box<H1>, bounds: Bounds, sending: Sending, reusable: bool) -> Self {
        let at = match bounds {
            Bounds::Length(0) | Bounds::Switched => At::Over,
            Bounds::Length(length) => At::Length(length),
            Bounds::Chunked => At::Size,
            Bounds::Close => At::Close,
        };
        Self { conn: Some(conn), at, sending, reusable, switched: bounds == Bounds::Switched }
    }

    /// The connection, once the answer is complete and if it may carry another exchange: the request is
    /// sent whole, and nothing has come behind the answer.
    pub(crate) fn give_back(&mut self) -> Option<Box<H1>> {
        let conn = self.conn.take()?;
        let clean = self.at == At::Over
            && self.reusable
            && self.sending.is_complete()
            && conn.out.is_empty()
            && conn.rest.is_empty();
        clean.then_some(conn).map(|mut conn| {
            conn.rest = bytes::BytesMut::new();
            conn
        })
    }

    /// The connection, if another protocol is spoken on it from here on.
    pub(crate) fn switched(&mut self) -> Option<H1> {
        if self.switched { self.conn.take().map(|conn| *conn) } else { None }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.at == At::Over
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.at {
            At::Length(left) => SizeHint::with_exact(left),
            At::Over => SizeHint::with_exact(0),
            At::Close | At::Size | At::Chunk(_) | At::ChunkEnd | At::Trailers => {
                SizeHint::default()
            }
        }
    }

    /// The next piece. The rest of the request is sent meanwhile.
    pub(crate) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.at == At::Over {
            return Poll::Ready(None);
        }
        let Some(conn) = &mut self.conn else { return Poll::Ready(None) };
        if conn.link.poll_cut(context) {
            return self.broken(io::ErrorKind::ConnectionAborted.into());
        }
        if !self.sending.is_complete() || !conn.out.is_empty() {
            match self.sending.poll(conn, context) {
                Poll::Ready(Ok(())) | Poll::Pending => {}
                // The answer may be complete without it.
                Poll::Ready(Err(_)) => {
                    drop(self.sending.take());
                    conn.out.clear();
                    self.reusable = false;
                }
            }
        }
        loop {
            match self.step() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) if self.at == At::Over => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return self.broken(error),
            }
            let Some(conn) = &mut self.conn else { return Poll::Ready(None) };
            match ready!(conn.poll_fill(context)) {
                Ok(0) if self.at == At::Close => {
                    self.at = At::Over;
                    return Poll::Ready(None);
                }
                Ok(0) => return self.broken(head::ended()),
                Ok(_) => {}
                Err(error) => return self.broken(error),
            }
        }
    }

    fn broken(&mut self, error: io::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.at = At::Over;
        self.conn = None;
        Poll::Ready(Some(Err(error)))
    }

    /// Takes the next piece out of what was read; none if more is needed, or nothing is left.
    fn step(&mut self) -> io::Result<Option<Frame<Bytes>>> {
        let Some(conn) = &mut self.conn else { return Ok(None) };
        loop {
            let rest = &mut conn.rest;
            if rest.is_empty() {
                return Ok(None);
            }
            match self.at {
                At::Over => return Ok(None),
                At::Close => return Ok(Some(Frame::data(rest.split().freeze()))),
                At::Length(left) => {
                    let taken = usize::try_from(left).map_or(rest.len(), |n| n.min(rest.len()));
                    let left = left - taken as u64;
                    self.at = if left == 0 { At::Over } else { At::Length(left) };
                    return Ok(Some(Frame::data(rest.split_to(taken).freeze())));
                }
                At::Chunk(left) => {
                    let taken = usize::try_from(left).map_or(rest.len(), |n| n.min(rest.len()));
                    let left = left - taken as u64;
                    self.at = if left == 0 { At::ChunkEnd } else { At::Chunk(left) };
                    return Ok(Some(Frame::data(rest.split_to(taken).freeze())));
                }
                At::ChunkEnd => match &rest[..] {
                    [b'\r', b'\n', ..] => {
                        rest.advance(2);
                        self.at = At::Size;
                    }
                    [b'\r'] => return Ok(None),
                    _ => return Err(head::bad("a chunk is longer than its size")),
                },
                At::Size => {
                    let Some((size, length)) = chunk_size(rest)? else { return Ok(None) };
                    rest.advance(length);
                    self.at = if size == 0 { At::Trailers } else { At::Chunk(size) };
                }
                At::Trailers => {
                    let Some((trailers, length)) = trailers(rest)? else { return Ok(None) };
                    rest.advance(length);
                    self.at = At::Over;
                    return Ok(trailers.map(Frame::trailers));
                }
            }
        }
    }
}

/// A chunk's size, and how long its line is; none if the line is not complete.
fn chunk_size(rest: &[u8]) -> io::Result<Option<(u64, usize)>> {
    let Some(end) = rest.iter().take(LINE_LIMIT).position(|byte| *byte == b'\n') else {
        return if rest.len() < LINE_LIMIT { Ok(None) } else { Err(head::bad("a chunk's size")) };
    };
    let Some(line) = rest[..end].strip_suffix(b"\r") else {
        return Err(head::bad("a line does not end in CRLF"));
    };
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, after) = line.split_at(digits);
    let after = after.trim_ascii_start();
    if !(1..=15).contains(&digits) || !(after.is_empty() || after[0] == b';') {
        return Err(head::bad("a chunk's size is no number"));
    }
    let digit = |byte: u8| u64::from(char::from(byte).to_digit(16).unwrap_or(0));
    Ok(Some((size.iter().fold(0, |size, byte| size << 4 | digit(*byte)), end + 1)))
}

/// The trailer section, if it has fields, and how long it is; none if it is not complete.
fn trailers(rest: &[u8]) -> io::Result<Option<(Option<HeaderMap>, usize)>> {
    let mut room = [httparse::EMPTY_HEADER; 64];
    match httparse::parse_headers(rest, &mut room) {
        Ok(httparse::Status::Complete((length, fields))) => {
            let mut headers = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes());
                let value = HeaderValue::from_bytes(field.value);
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(head::bad("a trailer field is none"));
                };
                headers.append(name, value);
            }
            Ok(Some(((!headers.is_empty()).then_some(headers), length)))
        }
        Ok(httparse::Status::Partial) if rest.len() <= TRAILER_LIMIT => Ok(None),
        Ok(httparse::Status::Partial) => Err(head::bad("its trailers are too large")),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
