//! Which bucket and object a request is about, and what its query says.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::request::Parts;
use objects::Code;
use percent_encoding::percent_decode_str;

use super::error::S3Error;
use super::refused;

/// What names this machine under which buckets may be names of hosts (RFC 6761, section 6.3).
const LOCAL: &str = "localhost";

/// Whether a request is signed for a service, in its header or its query.
pub(super) fn is_for(service: &str, headers: &HeaderMap, query: &str) -> bool {
    let scoped = |credential: &str| credential.split('/').nth(3) == Some(service);
    let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some((_, credential)) = header.and_then(|text| text.split_once("Credential=")) {
        return scoped(credential.split([',', ' ']).next().unwrap_or_default());
    }
    query.contains("X-Amz-Credential=")
        && Query::parse(query).get("X-Amz-Credential").is_some_and(scoped)
}

/// A bucket, and perhaps an object in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) bucket: Option<String>,
    pub(super) key: Option<String>,
}

impl Target {
    /// By the host's name and the path.
    pub(super) fn of(parts: &Parts) -> Result<Self, S3Error> {
        let host = parts.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| parts.uri.host()).unwrap_or_default();
        Self::parse(host, parts.uri.path())
    }

    fn parse(host: &str, path: &str) -> Result<Self, S3Error> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(std::borrow::Cow::into_owned)
                .map_err(|_| refused(Code::InvalidArgument, "The path is not UTF-8."))
        };
        let (bucket, key) = match virtual_host(host) {
            Some(bucket) => (bucket.to_owned(), path),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (decode(bucket)?, key)
            }
        };
        let some = |text: String| (!text.is_empty()).then_some(text);
        Ok(Self { bucket: some(bucket), key: some(decode(key)?) })
    }

    /// The source of a copy: `bucket/key`, perhaps with a slash before it.
    pub(super) fn source(text: &str) -> Result<(String, String), S3Error> {
        let (path, version) = text.split_once("?versionId=").unwrap_or((text, ""));
        if !version.is_empty() {
            return Err(S3Error::not_built("versionId: versions of objects"));
        }
        match Self::parse("", path)? {
            Self { bucket: Some(bucket), key: Some(key) } => Ok((bucket, key)),
            _ => Err(refused(
                Code::InvalidArgument,
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
            )),
        }
    }
}

/// The bucket in a host's name: `BUCKET.localhost`, `BUCKET.s3.localhost`, `BUCKET.s3.REGION.localhost`.
fn virtual_host(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.strip_suffix(LOCAL)?.strip_suffix('.')?;
    let bucket = match name.rsplit_once(".s3") {
        Some((bucket, rest)) if rest.is_empty() || !rest[1..].contains('.') => bucket,
        _ => name,
    };
    let service = bucket == "s3" || bucket.starts_with("s3.");
    (!service && !bucket.is_empty()).then_some(bucket)
}

/// A query's names and values, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A number, at most `most`, which it also is unless said.
    pub(super) fn limit(&self, name: &str, most: usize) -> Result<usize, S3Error> {
        let Some(text) = self.get(name) else { return Ok(most) };
        let number: usize = text.parse().map_err(|_| {
            refused(
                Code::InvalidArgument,
                format!("Provided {name} not an integer or within integer range"),
            )
        })?;
        Ok(number.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_the_path_or_in_the_host() {
        for (host, path, bucket, key) in [
            ("127.0.0.1:4747", "/", None, None),
            ("127.0.0.1:4747", "/b", Some("b"), None),
            ("127.0.0.1:4747", "/b/", Some("b"), None),
            ("localhost:4747", "/b/a%20b//c", Some("b"), Some("a b//c")),
            ("s3.localhost", "/b/k", Some("b"), Some("k")),
            ("s3.us-east-1.localhost:1", "/b/k", Some("b"), Some("k")),
            ("my.b.localhost:4747", "/k/../x", Some("my.b"), Some("k/../x")),
            ("b.s3.localhost", "/healthz", Some("b"), Some("healthz")),
            ("b.s3.us-east-1.localhost", "/", Some("b"), None),
        ] {
            let target = Target::parse(host, path).unwrap();
            assert_eq!(target.bucket.as_deref(), bucket, "{host} {path}");
            assert_eq!(target.key.as_deref(), key, "{host} {path}");
        }
        assert!(Target::parse("", "/b/%ff").is_err());
    }

    #[test]
    fn a_request_says_by_its_signature_that_it_is_for_s3() {
        let mut headers = HeaderMap::new();
        let text =
            "AWS4-HMAC-SHA256 Credential=A/20261122/us-east-1/s3/aws4_request, SignedHeaders=host";
        headers.insert("authorization", text.parse().unwrap());
        assert!(is_for("s3", &headers, "") && !is_for("ecs", &headers, ""));
        let query = "X-Amz-Credential=A%2F20261122%2Fus-east-1%2Fs3%2Faws4_request";
        assert!(is_for("s3", &HeaderMap::new(), query));
        assert!(!is_for("s3", &HeaderMap::new(), "list-type=2"));
    }
}
