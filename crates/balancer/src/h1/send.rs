//! A request's body on its way to a target.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BufMut as _;
use http::request::Parts;
use hyper::body::Body as _;

use super::{H1, head};
use crate::body::UpBody;

/// Why a body cannot be sent.
#[derive(Debug)]
pub(super) enum Error {
    /// The client's side broke off.
    Client(io::Error),
    /// The target takes no more.
    Target,
}

/// What is left to send of a request whose head is under way.
#[derive(Debug)]
pub(super) struct Sending {
    /// None once it is complete.
    body: Option<UpBody>,
    chunked: bool,
}

impl Sending {
    pub(super) fn new(request: &Parts, body: UpBody) -> Self {
        let chunked =
            !body.is_end_stream() && !request.headers.contains_key(http::header::CONTENT_LENGTH);
        Self { body: Some(body), chunked }
    }

    pub(super) const fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// The body, of which nothing was sent.
    pub(super) fn take(&mut self) -> UpBody {
        self.body.take().unwrap_or(UpBody::Empty)
    }

    /// Whether all was given to the connection.
    pub(super) const fn is_complete(&self) -> bool {
        self.body.is_none()
    }

    /// Sends what there is. Ready when all is sent.
    pub(super) fn poll(
        &mut self,
        conn: &mut H1,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            match conn.poll_out(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Error::Target)),
                Poll::Pending => return Poll::Pending,
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
            match Pin::new(body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    self.body = None;
                    if self.chunked {
                        conn.out.put_slice(b"0\r\n\r\n");
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Error::Client(io::Error::other(error))));
                }
                Poll::Ready(Some(Ok(frame))) => self.put(conn, frame),
            }
        }
    }

    fn put(&mut self, conn: &mut H1, frame: hyper::body::Frame<bytes::Bytes>) {
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) if self.chunked => {
                conn.out.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
                conn.out.put_slice(&data);
                conn.out.put_slice(b"\r\n");
            }
            Ok(data) => conn.out.put_slice(&data),
            Err(frame) => {
                if let (true, Ok(trailers)) = (self.chunked, frame.into_trailers()) {
                    let mut text = b"0\r\n".to_vec();
                    head::fields(&mut text, &trailers);
                    conn.out.put_slice(&text);
                    conn.out.put_slice(b"\r\n");
                    self.body = None;
                }
            }
        }
    }
}
