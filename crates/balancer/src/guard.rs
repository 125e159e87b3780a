//! Which bytes of a client are a request at all: the strict reading of HTTP/1 before the HTTP library's.
//!
//! A [`Guard`] follows a connection's framing byte by byte (RFC 9112) and lets pass only what has one
//! reading: lines end in CRLF, a message has one length, chunks are well formed, a field has one line.
//! What it refuses becomes a [`Refusal`] in place of the request, in its turn, and nothing after it is
//! read. So two servers can never see different numbers of requests in what is forwarded.
//!
//! Invariant: pure; bytes in, verdicts out.

mod head;

pub(crate) use head::asks_for_upgrade;

use head::Framing;

/// The longest request line, as an ALB has it.
const LINE_LIMIT: usize = 16 * 1024;
/// The longest header field.
const FIELD_LIMIT: usize = 16 * 1024;
/// The longest head in all.
const HEAD_LIMIT: usize = 64 * 1024;
/// The most fields; the HTTP library reads no more.
const FIELD_COUNT: usize = 100;
/// The longest line with a chunk's size, with its extensions.
const CHUNK_LINE_LIMIT: usize = 1024;
/// The longest trailer section.
const TRAILER_LIMIT: usize = 16 * 1024;

/// The method that stands for a refused request on its way to the service. A client that sends it is
/// refused.
pub(crate) const REFUSED_METHOD: &str = "WHARF-REFUSED";

/// What stands in place of a refused request.
pub(crate) const REFUSED_REQUEST: &[u8] =
    b"WHARF-REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400: it is not HTTP, or its bounds are doubtful; the text says how, for the access log.
    Malformed(&'static str),
    /// 400: a head, a field or their number is too large.
    HeadTooLarge,
    /// 405: TRACE.
    MethodNotAllowed,
    /// 408: its head did not come in time.
    Timeout,
    /// 414: the request line is too long.
    UriTooLong,
    /// 501: a transfer coding other than chunked.
    UnknownCoding,
    /// 505: neither HTTP/1.0 nor HTTP/1.1.
    Version,
}

impl Refusal {
    /// What the access log says of it, if it was doubtful.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Malformed(reason) => Some(reason),
            Self::HeadTooLarge
            | Self::MethodNotAllowed
            | Self::Timeout
            | Self::UriTooLong
            | Self::UnknownCoding
            | Self::Version => None,
        }
    }

    /// The status that says so.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::Malformed(_) | Self::HeadTooLarge => 400,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::UriTooLong => 414,
            Self::UnknownCoding => 501,
            Self::Version => 505,
        }
    }
}

/// What may be done with the bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// So many of them may pass.
    pub(crate) pass: usize,
    /// What comes after these.
    pub(crate) then: Then,
}

/// What comes after the bytes that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The rest has to be shown again, with more after it.
    More,
    /// The rest has to wait until it is known whether the protocol is switched: see [`Guard::decided`].
    Undecided,
    /// A head is refused: what stands for it is to be passed, and nothing after it.
    RefuseRequest(Refusal),
    /// A body is refused: the connection has to end.
    RefuseBody(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a head, or within one that is not complete; so many bytes of it have been looked at.
    Head {
        looked: usize,
        line: usize,
    },
    /// Within a body; so many bytes are left.
    Body(u64),
    /// At the line with a chunk's size.
    ChunkSize,
    /// Within a chunk and the CRLF after it.
    Chunk(u64),
    ChunkEnd,
    /// Within the trailer section, of which so many bytes were let pass.
    Trailer(usize),
    /// After a request to switch protocols.
    Undecided,
    /// The protocol was switched.
    Tunnel,
    /// Nothing more is read.
    Over,
}

/// Follows what a client sends on one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    state: State,
    /// Whether the message under way asks to switch protocols.
    upgrade: bool,
    /// Whether only requests are let through that follow RFC 9112 to the letter.
    strictest: bool,
}

impl Guard {
    pub(crate) const fn new(strictest: bool) -> Self {
        Self { state: State::Head { looked: 0, line: 0 }, upgrade: false, strictest }
    }

    /// Whether a head is, of which something was seen.
    pub(crate) const fn within_head(&self) -> bool {
        matches!(self.state, State::Head { looked, .. } if looked > 0)
    }

    /// Whether a body is.
    pub(crate) const fn within_body(&self) -> bool {
        matches!(
            self.state,
            State::Body(_)
                | State::ChunkSize
                | State::Chunk(_)
                | State::ChunkEnd
                | State::Trailer(_)
        )
    }

    /// Whether the bytes are nobody's to look at any more.
    pub(crate) const fn is_tunnel(&self) -> bool {
        matches!(self.state, State::Tunnel)
    }

    /// Whether it has to be known first whether the protocol is switched.
    pub(crate) const fn is_undecided(&self) -> bool {
        matches!(self.state, State::Undecided)
    }

    /// Whether nothing more is read.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The head under way did not come in time.
    pub(crate) const fn give_up(&mut self) {
        self.state = State::Over;
    }

    /// It is known whether the protocol was switched.
    pub(crate) fn decided(&mut self, switched: bool) {
        if self.state == State::Undecided {
            self.state = if switched { State::Tunnel } else { State::Head { looked: 0, line: 0 } };
        }
    }

    /// Looks at what is at hand: what was not passed the last time, and what came since.
    pub(crate) fn look(&mut self, bytes: &[u8]) -> Verdict {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.step(rest) {
                Ok(0) => {
                    let then =
                        if self.state == State::Undecided { Then::Undecided } else { Then::More };
                    return Verdict { pass: at, then };
                }
                Ok(taken) => at += taken,
                Err(refusal) => {
                    let head = matches!(self.state, State::Head { .. });
                    self.state = State::Over;
                    let then =
                        if head { Then::RefuseRequest(refusal) } else { Then::RefuseBody(refusal) };
                    return Verdict { pass: at, then };
                }
            }
        }
    }

    /// Takes the next piece; how long it is, or nothing if it is not complete or there is none.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        if rest.is_empty() {
            return Ok(0);
        }
        match self.state {
            State::Head { looked, line } => self.head(rest, looked, line),
            State::Body(left) => {
                let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                self.state = State::Body(left - taken as u64);
                if left == taken as u64 {
                    self.message_ends();
                }
                Ok(taken)
            }
            State::ChunkSize => self.chunk_size(rest),
            State::Chunk(left) => {
                let taken = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let left = left - taken as u64;
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                Ok(taken)
            }
            State::ChunkEnd => match rest {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(2)
                }
                [b'\r'] => Ok(0),
                _ => Err(Refusal::Malformed("a chunk is longer than its size")),
            },
            State::Trailer(passed) => self.trailer(rest, passed),
            State::Tunnel => Ok(rest.len()),
            State::Undecided | State::Over => Ok(0),
        }
    }

    const fn message_ends(&mut self) {
        self.state =
            if self.upgrade { State::Undecided } else { State::Head { looked: 0, line: 0 } };
    }

    /// A head, once its last line is there. An offence is found as soon as its line is complete.
    fn head(&mut self, rest: &[u8], looked: usize, line: usize) -> Result<usize, Refusal> {
        // Empty lines before a request are skipped, as RFC 9112, 2.2 has it.
        if looked == 0 && rest.starts_with(b"\r\n") && !self.strictest {
            return Ok(2);
        }
        if looked == 0 && rest == b"\r" {
            return Ok(0);
        }
        let (mut looked, mut line) = (looked.min(rest.len()), line);
        while let Some(length) = rest[looked..].iter().position(|byte| *byte == b'\n') {
            let end = looked + length;
            if end == 0 || rest[end - 1] != b'\r' {
                return Err(Refusal::Malformed("a line does not end in CRLF"));
            }
            if end - 1 == line {
                if line == 0 {
                    return Err(Refusal::Malformed("an empty request line"));
                }
                return self.whole_head(&rest[..=end]);
            }
            bounds(&rest[line..end - 1], line == 0, end)?;
            looked = end + 1;
            line = looked;
        }
        bounds(&rest[line..], line == 0, rest.len())?;
        self.state = State::Head { looked: rest.len(), line };
        Ok(0)
    }

    fn whole_head(&mut self, head: &[u8]) -> Result<usize, Refusal> {
        if head.len() > HEAD_LIMIT {
            return Err(Refusal::HeadTooLarge);
        }
        let read = head::read(head, self.strictest)?;
        self.upgrade = read.upgrade;
        match read.framing {
            Framing::None | Framing::Length(0) => self.message_ends(),
            Framing::Length(length) => self.state = State::Body(length),
            Framing::Chunked => self.state = State::ChunkSize,
        }
        Ok(head.len())
    }

    fn chunk_size(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        let Some(line) = whole_line(rest, CHUNK_LINE_LIMIT, "a chunk's size")? else {
            return Ok(0);
        };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let known = extension.is_empty()
            || (extension[0] == b';'
                && !self.strictest
                && extension.iter().all(|b| matches!(b, 0x20..=0x7e)));
        if !(1..=15).contains(&digits) || !known {
            return Err(Refusal::Malformed("a chunk's size is no number"));
        }
        let size = size.iter().fold(0_u64, |size, byte| size << 4 | u64::from(hex(*byte)));
        self.state = if size == 0 { State::Trailer(0) } else { State::Chunk(size) };
        Ok(line.len() + 2)
    }

    fn trailer(&mut self, rest: &[u8], passed: usize) -> Result<usize, Refusal> {
        let left = TRAILER_LIMIT.saturating_sub(passed);
        let Some(line) = whole_line(rest, left, "the trailer section")? else { return Ok(0) };
        if line.is_empty() {
            self.message_ends();
        } else {
            let (name, _) = head::field(line)?;
            // Fields that would change how the message is read may not come late (RFC 9110, 6.5.1).
            if [&b"content-length"[..], b"transfer-encoding", b"host"]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n))
            {
                return Err(Refusal::Malformed("a trailer field that belongs into the head"));
            }
            self.state = State::Trailer(passed + line.len() + 2);
        }
        Ok(line.len() + 2)
    }
}

const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// The line at the front without its CRLF; none if it is not complete.
fn whole_line<'a>(
    rest: &'a [u8],
    limit: usize,
    what: &'static str,
) -> Result<Option<&'a [u8]>, Refusal> {
    match rest.iter().take(limit + 2).position(|byte| *byte == b'\n') {
        Some(end) if end > 0 && rest[end - 1] == b'\r' => Ok(Some(&rest[..end - 1])),
        Some(_) => Err(Refusal::Malformed("a line does not end in CRLF")),
        None if rest.len() > limit + 1 => Err(Refusal::Malformed(what)),
        None => Ok(None),
    }
}

/// Refuses what is too long already.
fn bounds(line: &[u8], first: bool, head: usize) -> Result<(), Refusal> {
    if first && line.len() > LINE_LIMIT {
        return Err(Refusal::UriTooLong);
    }
    if line.len() > FIELD_LIMIT || head > HEAD_LIMIT {
        return Err(Refusal::HeadTooLarge);
    }
    Ok(())
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
