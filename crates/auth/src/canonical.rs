//! The canonical form of a request: the one place that both signing and verifying stand on.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! The form is that of every service but S3: the path is normalised, and encoded once more than it
//! came. All functions here are total: any bytes have a canonical form, which is only useful if
//! somebody has signed it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::SignedRequest;

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As [`RESERVED`], but a path keeps its slashes.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Percent-encodes as AWS does: upper-case hexadecimal, a space as `%20`.
pub(crate) fn encode(text: &[u8]) -> String {
    percent_encode(text, RESERVED).to_string()
}

/// A query's names and values, decoded. A `+` is a space, as in every form; an empty piece between
/// two `&` is nothing; a name without `=` has the empty value.
pub(crate) fn query_pairs(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|b| if b == b'+' { b' ' } else { b }).collect();
    percent_decode(&spaced).collect()
}

/// Names and values encoded anew and sorted, by name and then by value, as encoded.
pub(crate) fn query(pairs: &[(Vec<u8>, Vec<u8>)]) -> String {
    let mut encoded: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    encoded.sort();
    let pieces: Vec<String> =
        encoded.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pieces.join("&")
}

/// The path without `.`, `..` and doubled slashes, then percent-encoded whatever it was before. A
/// trailing slash stays, and the empty path is `/`.
pub(crate) fn path(raw: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut normal = String::with_capacity(raw.len() + 1);
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if normal.is_empty() || raw.ends_with('/') {
        normal.push('/');
    }
    percent_encode(normal.as_bytes(), RESERVED_IN_PATH).to_string()
}

/// The path as S3 has it: encoded once and not normalised, since `a//b` and `a/./b` are names of
/// objects. How the client wrote it does not matter, so it is decoded first.
pub(crate) fn path_as_it_is(raw: &str) -> String {
    let plain: Vec<u8> = percent_decode(raw.as_bytes()).collect();
    let path = percent_encode(&plain, RESERVED_IN_PATH).to_string();
    if path.is_empty() { "/".to_owned() } else { path }
}

/// A header's value without white space around it, and one space for each run of it within.
pub(crate) fn header_value(value: &[u8]) -> Vec<u8> {
    let mut trimmed = Vec::with_capacity(value.len());
    for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        if !trimmed.is_empty() {
            trimmed.push(b' ');
        }
        trimmed.extend_from_slice(word);
    }
    trimmed
}

/// The service whose paths are signed as they are.
pub(crate) const S3: &str = "s3";

/// The canonical request of `request` to a service, with these signed headers (lower-case, sorted),
/// this query (which may be the request's own without the signature) and this hash of the body.
pub(crate) fn request_to(
    service: &str,
    request: &SignedRequest<'_>,
    query_pairs: &[(Vec<u8>, Vec<u8>)],
    signed_headers: &[String],
    payload_hash: &str,
) -> Vec<u8> {
    let path = if service == S3 { path_as_it_is(request.path) } else { path(request.path) };
    assemble(&path, request, query_pairs, signed_headers, payload_hash)
}

/// The canonical request to any service but S3.
#[cfg(test)]
pub(crate) fn request(
    request: &SignedRequest<'_>,
    query_pairs: &[(Vec<u8>, Vec<u8>)],
    signed_headers: &[String],
    payload_hash: &str,
) -> Vec<u8> {
    assemble(&path(request.path), request, query_pairs, signed_headers, payload_hash)
}

fn assemble(
    path: &str,
    request: &SignedRequest<'_>,
    query_pairs: &[(Vec<u8>, Vec<u8>)],
    signed_headers: &[String],
    payload_hash: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(path.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(query(query_pairs).as_bytes());
    out.push(b'\n');
    for name in signed_headers {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        for (index, value) in request.header_values(name).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&header_value(value));
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.join(";").as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_encoded_once_more() {
        for (raw, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/./foo", "/foo"),
            ("/foo/..", "/"),
            ("/foo/bar/../..", "/"),
            ("/../../foo", "/foo"),
            ("//foo//", "/foo/"),
            ("/foo/.", "/foo"),
            ("/foo/./", "/foo/"),
            ("/foo/bar", "/foo/bar"),
            ("/-._~0189AZaz", "/-._~0189AZaz"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%2520b"),
            ("/ሴ", "/%E1%88%B4"),
            ("/a:b@c", "/a%3Ab%40c"),
            ("/...", "/..."),
        ] {
            assert_eq!(path(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn paths_to_s3_stay_and_are_encoded_once() {
        for (raw, canonical) in [
            ("", "/"),
            ("/b/a//c", "/b/a//c"),
            ("/b/./../c/", "/b/./../c/"),
            ("/b/a%20b", "/b/a%20b"),
            ("/b/a+b", "/b/a%2Bb"),
            ("/b/%e1%88%b4", "/b/%E1%88%B4"),
        ] {
            assert_eq!(path_as_it_is(raw), canonical, "{raw}");
        }
    }

    #[test]
    fn queries_are_decoded_encoded_and_sorted() {
        for (raw, canonical) in [
            ("", ""),
            ("a", "a="),
            ("a=", "a="),
            ("&&a=1&", "a=1"),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1", "a=1&a=2"),
            ("a=b=c", "a=b%3Dc"),
            ("a=%20", "a=%20"),
            ("a=+", "a=%20"),
            ("a=%2B", "a=%2B"),
            ("a=%2b", "a=%2B"),
            ("a=%7e", "a=~"),
            ("a=*", "a=%2A"),
            ("a=%zz", "a=%25zz"),
            ("ሴ=bar", "%E1%88%B4=bar"),
            ("Param1=1&param1=2&Param-3=3&Param=0", "Param=0&Param-3=3&Param1=1&param1=2"),
        ] {
            assert_eq!(query(&query_pairs(raw)), canonical, "{raw}");
        }
    }

    #[test]
    fn a_header_keeps_one_space_for_each_run() {
        assert_eq!(header_value(b"  a   b \t c "), b"a b c");
        assert_eq!(header_value(b"   "), b"");
        assert_eq!(header_value(b"\"a   b\""), b"\"a b\"");
    }
}
