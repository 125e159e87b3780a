//! Bodies that are signed chunk by chunk (`STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, with and without
//! trailer, and the unsigned framing with a trailer).
//!
//! Each chunk's signature covers the one before it, back to the request's own, so chunks cannot be
//! swapped, dropped or repeated. Nothing is handed out before its signature is verified, hence one
//! whole chunk is kept at a time, at most 16 MiB.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use std::fmt;

use crate::AuthError;
use crate::canonical::header_value;
use crate::crypto::{Digest32, EMPTY_SHA256, hmac, same, sha256_hex};

/// The largest chunk that is taken: 16 MiB. Clients send 64 KiB to 1 MiB.
pub(crate) const MOST: usize = 16 * 1024 * 1024;

/// The longest line of framing, trailers included.
const LONGEST_LINE: usize = 4096;

/// How many trailers are taken.
const MOST_TRAILERS: usize = 16;

/// Takes the body as it comes over the wire, yields the body that was meant.
pub struct ChunkedDecoder {
    chain: Option<Chain>,
    has_trailer: bool,
    decoded_length: Option<u64>,
    decoded: u64,
    buffer: Vec<u8>,
    state: State,
    trailers: Vec<(String, String)>,
}

/// The chain of signatures.
struct Chain {
    key: Digest32,
    previous: String,
    /// Instant and scope, as they enter each string to sign.
    context: String,
}

enum State {
    /// Before a line `<size in hex>[;chunk-signature=<hex>]`.
    Head,
    /// Before that many bytes and CR LF.
    Data {
        size: usize,
        signature: String,
    },
    /// Before a trailer, or the empty line that ends them.
    Trailer,
    /// After the last chunk: only the empty line is left.
    End,
    Done,
}

impl fmt::Debug for ChunkedDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkedDecoder")
            .field("signed", &self.chain.is_some())
            .field("decoded", &self.decoded)
            .finish_non_exhaustive()
    }
}

fn bad(text: impl Into<String>) -> AuthError {
    AuthError::BadChunk(text.into())
}

impl ChunkedDecoder {
    /// `seed` is the signing key and the request's signature; none for the unsigned framing.
    pub(crate) fn new(
        seed: Option<(Digest32, String)>,
        has_trailer: bool,
        instant: &str,
        scope: &str,
        decoded_length: Option<u64>,
    ) -> Self {
        let context = format!("{instant}\n{scope}");
        Self {
            chain: seed.map(|(key, previous)| Chain { key, previous, context }),
            has_trailer,
            decoded_length,
            decoded: 0,
            buffer: Vec::new(),
            state: State::Head,
            trailers: Vec::new(),
        }
    }

    /// Takes the next piece of the wire's body and returns what of the plain body is verified by
    /// it, which may be nothing.
    ///
    /// # Errors
    /// [`AuthError::BadChunk`]; the decoder is of no use after it.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, AuthError> {
        self.buffer.extend_from_slice(piece);
        let mut plain = Vec::new();
        while self.step(&mut plain)? {}
        Ok(plain)
    }

    /// The end of the body.
    ///
    /// # Errors
    /// The body ended too early, or is not as long as `x-amz-decoded-content-length` says.
    pub fn finish(self) -> Result<(), AuthError> {
        // Some clients leave out the last empty line; the last chunk's signature is what counts.
        let complete = match self.state {
            State::Done | State::End => self.buffer.is_empty(),
            _ => false,
        };
        if !complete {
            return Err(bad("The request body ended before its last chunk."));
        }
        match self.decoded_length {
            Some(length) if length != self.decoded => Err(bad(format!(
                "The request body has {} bytes, and its 'x-amz-decoded-content-length' says \
                 {length}.",
                self.decoded
            ))),
            _ => Ok(()),
        }
    }

    /// Headers that came after the body, without the signature.
    pub fn trailers(&self) -> &[(String, String)] {
        &self.trailers
    }

    /// Does one thing; whether it could.
    fn step(&mut self, plain: &mut Vec<u8>) -> Result<bool, AuthError> {
        match &self.state {
            State::Head => {
                let Some(line) = self.line()? else { return Ok(false) };
                let (size, signature) = head(&line, self.chain.is_some())?;
                self.state = match size {
                    0 => {
                        self.verify("AWS4-HMAC-SHA256-PAYLOAD", true, b"", &signature)?;
                        if self.has_trailer { State::Trailer } else { State::End }
                    }
                    size => State::Data { size, signature },
                };
                Ok(true)
            }
            State::Data { size, signature } => {
                let (size, signature) = (*size, signature.clone());
                if self.buffer.len() < size + 2 {
                    return Ok(false);
                }
                if self.buffer.get(size..size + 2) != Some(b"\r\n") {
                    return Err(bad(format!("A chunk of {size} bytes is not followed by CR LF.")));
                }
                let data: Vec<u8> = self.buffer.drain(..size + 2).take(size).collect();
                self.verify("AWS4-HMAC-SHA256-PAYLOAD", true, &data, &signature)?;
                self.decoded += data.len() as u64;
                plain.extend_from_slice(&data);
                self.state = State::Head;
                Ok(true)
            }
            State::Trailer => {
                let Some(line) = self.line()? else { return Ok(false) };
                self.trailer(&line)?;
                Ok(true)
            }
            State::End => {
                let Some(line) = self.line()? else { return Ok(false) };
                if !line.is_empty() {
                    return Err(bad("The last chunk is not followed by an empty line."));
                }
                self.state = State::Done;
                Ok(true)
            }
            State::Done if self.buffer.is_empty() => Ok(false),
            State::Done => Err(bad("The request body goes on after its last chunk.")),
        }
    }

    /// Takes a line out of the buffer, without its end.
    fn line(&mut self) -> Result<Option<String>, AuthError> {
        let Some(end) = self.buffer.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n')
        else {
            return if self.buffer.len() < LONGEST_LINE {
                Ok(None)
            } else {
                Err(bad(format!("A line of the chunked body is longer than {LONGEST_LINE} bytes.")))
            };
        };
        let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        match std::str::from_utf8(line) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(bad("A line of the chunked body is not text.")),
        }
    }

    fn trailer(&mut self, line: &str) -> Result<(), AuthError> {
        if line.is_empty() {
            if self.chain.is_some() {
                return Err(bad("The trailer has no 'x-amz-trailer-signature'."));
            }
            self.state = State::Done;
            return Ok(());
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| bad("A trailer of the chunked body has no colon."))?;
        let name = name.trim().to_ascii_lowercase();
        if name == "x-amz-trailer-signature" && self.chain.is_some() {
            let mut signed = Vec::new();
            for (name, value) in &self.trailers {
                signed.extend_from_slice(name.as_bytes());
                signed.push(b':');
                signed.extend_from_slice(&header_value(value.as_bytes()));
                signed.push(b'\n');
            }
            self.verify("AWS4-HMAC-SHA256-TRAILER", false, &signed, value.trim())?;
            self.state = State::End;
            return Ok(());
        }
        if self.trailers.len() == MOST_TRAILERS {
            return Err(bad(format!("More than {MOST_TRAILERS} trailers follow the body.")));
        }
        self.trailers.push((name, value.trim().to_owned()));
        Ok(())
    }

    /// Verifies one link of the chain. A chunk's string to sign has the hash of nothing before
    /// the data's; a trailer's has not.
    fn verify(
        &mut self,
        algorithm: &str,
        is_chunk: bool,
        data: &[u8],
        signature: &str,
    ) -> Result<(), AuthError> {
        let Some(chain) = &mut self.chain else { return Ok(()) };
        let empty = if is_chunk { format!("{EMPTY_SHA256}\n") } else { String::new() };
        let to_sign = format!(
            "{algorithm}\n{}\n{}\n{empty}{}",
            chain.context,
            chain.previous,
            sha256_hex(data)
        );
        let tag = hmac(&chain.key, to_sign.as_bytes());
        if !same(&tag, &hex::decode(signature).unwrap_or_default()) {
            return Err(bad(format!(
                "The signature of the chunk after {} bytes does not match its content.",
                self.decoded
            )));
        }
        chain.previous = hex::encode(tag);
        Ok(())
    }
}

/// Reads `<size in hex>[;chunk-signature=<hex>]`.
fn head(line: &str, signed: bool) -> Result<(usize, String), AuthError> {
    let (size, extension) = line.split_once(';').unwrap_or((line, ""));
    let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = usize::from_str_radix(size, 16)
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| bad("A chunk does not begin with its size in hexadecimal."))?;
    if size > MOST {
        return Err(bad(format!("A chunk of {size} bytes; at most {MOST} are taken.")));
    }
    let signature = extension.trim().strip_prefix("chunk-signature=").unwrap_or_default();
    if signed && signature.is_empty() {
        return Err(bad("A chunk has no 'chunk-signature'."));
    }
    Ok((size, signature.to_owned()))
}
