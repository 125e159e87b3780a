//! One head, from its request line to its empty line.

use super::{FIELD_COUNT, REFUSED_METHOD, Refusal};

/// How long the message's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What a head says about the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) framing: Framing,
    pub(super) upgrade: bool,
}

/// Reads a whole head, the empty line included, whose lines all end in CRLF.
pub(super) fn read(head: &[u8], strictest: bool) -> Result<Head, Refusal> {
    let mut lines =
        head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let version = request_line(lines.next().unwrap_or_default(), strictest)?;
    let mut fields = Fields::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        fields.take(line)?;
    }
    fields.finish(version)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

fn request_line(line: &[u8], strictest: bool) -> Result<Version, Refusal> {
    let malformed = Refusal::Malformed("the request line is not a method, a target and a version");
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed);
    };
    if method.is_empty()
        || !method.iter().all(|byte| is_token(*byte))
        || method == REFUSED_METHOD.as_bytes()
    {
        return Err(malformed);
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::Version);
        }
        _ => return Err(malformed),
    };
    match method {
        b"TRACE" => return Err(Refusal::MethodNotAllowed),
        b"CONNECT" => return Err(Refusal::Malformed("a balancer is no proxy for CONNECT")),
        _ => {}
    }
    let form = target.starts_with(b"/")
        || (target == b"*" && method == b"OPTIONS")
        || target.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http://"))
        || target.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https://"));
    // What RFC 3986 does not allow, but clients send and no server splits at, passes unless asked not to.
    let strange =
        |byte: &u8| matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
    let plain = target.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#');
    if !form || !plain || (strictest && target.iter().any(strange)) {
        return Err(Refusal::Malformed("the request's target is none"));
    }
    Ok(version)
}

/// What the fields say so far.
#[derive(Default)]
struct Fields {
    count: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    connection_upgrade: bool,
    upgrade: bool,
}

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > FIELD_COUNT {
            return Err(Refusal::HeadTooLarge);
        }
        let (name, value) = field(line)?;
        // Most names are told from these by their length alone.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if !value.iter().all(|byte| is_host(*byte)) {
                    return Err(Refusal::Malformed("the Host field is no host"));
                }
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade |= asks_for_upgrade(value),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection_upgrade |= value
                    .split(|byte| *byte == b',')
                    .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Refusal::Malformed("two Content-Length fields"));
                }
                self.length = Some(number(value)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked {
                    return Err(Refusal::Malformed("two Transfer-Encoding fields"));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::UnknownCoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, version: Version) -> Result<Head, Refusal> {
        if self.hosts > 1 {
            return Err(Refusal::Malformed("two Host fields"));
        }
        if self.hosts == 0 && version == Version::Http11 {
            return Err(Refusal::Malformed("no Host field"));
        }
        if self.chunked && self.length.is_some() {
            return Err(Refusal::Malformed("both Content-Length and Transfer-Encoding"));
        }
        if self.chunked && version == Version::Http10 {
            return Err(Refusal::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        let framing = match self.length {
            Some(length) => Framing::Length(length),
            None if self.chunked => Framing::Chunked,
            None => Framing::None,
        };
        let upgrade = self.upgrade && self.connection_upgrade && version == Version::Http11;
        Ok(Head { framing, upgrade })
    }
}

/// A field's name and value: no space before the colon, no continued line, no control characters.
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::Malformed("a field that continues on the next line"));
    }
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Err(Refusal::Malformed("a field without a colon"));
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Refusal::Malformed("a field's name is no token"));
    }
    if value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
        return Err(Refusal::Malformed("a control character in a field"));
    }
    Ok((name, trim(value)))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn number(value: &[u8]) -> Result<u64, Refusal> {
    let malformed = Refusal::Malformed("Content-Length is no number");
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

/// Whether an `Upgrade` field asks for a protocol that is passed on. HTTP/2 in clear is not: the requests
/// within it would go past every rule.
pub(crate) fn asks_for_upgrade(value: &[u8]) -> bool {
    let mut parts =
        value.split(|byte| *byte == b',').map(trim).filter(|part| !part.is_empty()).peekable();
    parts.peek().is_some()
        && parts.all(|part| !part.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c")))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

const fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':' | b'[' | b']' | b'%')
}
