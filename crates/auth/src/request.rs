//! A request as a value: what Signature Version 4 looks at, and nothing else.

/// The parts of an HTTP request that a signature covers, as they were received: nothing decoded,
/// nothing normalised. Names of headers are lower-case, in the order of the wire, repeated when the
/// wire repeats them.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path of the request line, from the first `/` to before the `?`.
    pub path: &'a str,
    /// What follows the `?`; empty when there is none.
    pub query: &'a str,
    /// Lower-case names and raw values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body, as far as it is known yet.
    pub body: Body<'a>,
}

/// A request's body, when its signature is verified.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// All of it.
    Bytes(&'a [u8]),
    /// It has not been read. The hash that the client declared is taken at its word, and
    /// [`Payload`](crate::Payload) says what the reader owes.
    Unread,
}

impl<'a> SignedRequest<'a> {
    /// Every value of the header with this lower-case name, in order.
    pub(crate) fn header_values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let headers = self.headers;
        let name = name.to_owned();
        headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, value)| *value)
    }

    /// The header's first value as trimmed text, if it is present and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        let value = self.header_values(name).next()?;
        std::str::from_utf8(value).ok().map(str::trim)
    }
}
