//! Image references: what a user writes, what it is called here, and where it is fetched.
//!
//! The grammar and the defaults are Docker's (`nginx` is `docker.io/library/nginx:latest`). It is read
//! by hand because the pattern of the client's crate takes a tenth of a second and megabytes to
//! compile, at every start; a property test holds the two to each other.
//! <https://pkg.go.dev/github.com/distribution/reference>

use std::net::Ipv4Addr;

use oci_client::Reference;

use super::digest::Digest;
use crate::seam::{ImageError, ImageRequest};

/// A reference, understood.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    /// As the user wrote it, for messages.
    pub given: String,
    /// The one spelling under which it is remembered; a digest beats a tag.
    pub canonical: String,
    /// The host that is asked, for messages.
    pub host: String,
    /// What is asked of it.
    pub remote: Reference,
    /// Asked without TLS.
    pub plain_http: bool,
}

/// Understands the reference of a request.
pub(crate) fn parse(request: &ImageRequest) -> Result<Name, ImageError> {
    let bad = |why: String| ImageError::Reference { reference: request.reference.clone(), why };
    let read = read(&request.reference).map_err(|why| bad(explain(why)))?;
    let digest = read.digest.map(Digest::parse).transpose().map_err(bad)?;
    let (host, plain_http) = match &request.endpoint {
        Some((host, plain)) => (host.clone(), *plain),
        None => (read.registry.to_owned(), is_loopback(read.registry)),
    };
    let at = |registry: String| match &digest {
        Some(digest) => {
            Reference::with_digest(registry, read.repository.clone(), digest.to_string())
        }
        None => {
            let tag = read.tag.unwrap_or("latest").to_owned();
            Reference::with_tag(registry, read.repository.clone(), tag)
        }
    };
    Ok(Name {
        given: request.reference.clone(),
        canonical: at(read.registry.to_owned()).whole(),
        remote: at(host.clone()),
        host,
        plain_http,
    })
}

/// The registry of a name without one.
const DOCKER_HUB: &str = "docker.io";
/// The longest name, its registry included.
const LONGEST_NAME: usize = 255;

/// The parts of a reference, defaults filled in.
#[derive(Debug, PartialEq)]
struct Parts<'a> {
    registry: &'a str,
    repository: String,
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

/// Takes a reference apart; the error is what is wrong with it.
fn read(reference: &str) -> Result<Parts<'_>, &'static str> {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("its digest is not sha256: and 64 hexadecimal digits");
    }
    // A colon before the last slash is a port's.
    let end = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[end..].split_once(':') {
        Some((last, tag)) => (&rest[..end + last.len()], Some(tag)),
        None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is not 1 to 128 letters, digits, underscores, dots and hyphens");
    }
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (DOCKER_HUB, name),
    };
    // The hub has an older name.
    let registry = if registry == "index.docker.io" { DOCKER_HUB } else { registry };
    if !is_host(registry) {
        return Err("its registry is not a host with perhaps a port");
    }
    if path.is_empty() || !path.split('/').all(is_component) {
        return Err("its name is not lower-case letters and digits with single . _ - between them");
    }
    let repository = if registry == DOCKER_HUB && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    if name.len() > LONGEST_NAME {
        return Err("its name is longer than 255 characters");
    }
    Ok(Parts { registry, repository, tag, digest })
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:");
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    host.split('.').all(label) && port.is_none_or(digits)
}

/// Runs of lower-case letters and digits, with one of `.`, `_`, `__` or any number of `-` between.
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = |b: Option<u8>| b.is_some_and(alphanumeric);
    ends(text.bytes().next())
        && ends(text.bytes().next_back())
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .filter(|between| !between.is_empty())
            .all(|b| matches!(b, "." | "_" | "__") || b.bytes().all(|b| b == b'-'))
}

/// What is wrong, with what would be right.
fn explain(why: &str) -> String {
    format!(
        "{why}; it should look like [host[:port]/]name[:tag][@sha256:digest] with a lower-case name"
    )
}

/// Whether a registry's host is this very machine, where TLS protects nothing.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, _port)) => host,
        None => registry,
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::PullPolicy;
    use proptest::prelude::*;

    fn name(reference: &str, endpoint: Option<(&str, bool)>) -> Result<Name, ImageError> {
        parse(&ImageRequest {
            reference: reference.to_owned(),
            policy: PullPolicy::Always,
            credentials: None,
            endpoint: endpoint.map(|(host, plain)| (host.to_owned(), plain)),
            progress: None,
        })
    }

    #[test]
    fn defaults_are_dockers() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (given, canonical, host, plain) in [
            ("nginx", "docker.io/library/nginx:latest", "docker.io", false),
            ("nginx:1", "docker.io/library/nginx:1", "docker.io", false),
            ("me/app", "docker.io/me/app:latest", "docker.io", false),
            ("localhost/app", "localhost/app:latest", "localhost", true),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000", true),
            ("127.9.0.1:5000/a", "127.9.0.1:5000/a:latest", "127.9.0.1:5000", true),
            ("r.localhost:1/a", "r.localhost:1/a:latest", "r.localhost:1", true),
            ("128.0.0.1:5000/a", "128.0.0.1:5000/a:latest", "128.0.0.1:5000", false),
            (
                "localhost.example.com/a",
                "localhost.example.com/a:latest",
                "localhost.example.com",
                false,
            ),
        ] {
            let name = name(given, None).expect(given);
            assert_eq!(
                (name.canonical.as_str(), name.host.as_str(), name.plain_http),
                (canonical, host, plain),
                "{given}"
            );
        }
        let both = name(&format!("nginx:1@{digest}"), None).unwrap();
        assert_eq!(both.canonical, format!("docker.io/library/nginx@{digest}"));
        assert_eq!(both.remote.digest(), Some(digest.as_str()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn the_clients_own_reading_is_the_same(
            text in prop_oneof![
                "[a-z0-9._:/@-]{0,14}",
                "([a-zA-Z0-9.-]{1,9}(:[0-9]{1,4})?/)?[a-z0-9]{1,3}([._-]{0,3}[a-z0-9/]{1,3}){0,3}(:[a-zA-Z0-9._-]{0,5})?",
                "(localhost/|index.docker.io/|docker.io/)?[a-z]{1,2}(/[a-z]{1,2})?(:[a-z]{1,3})?(@sha256:[a-f0-9]{63,65})?",
            ]
        ) {
            // It takes a first part for a host by one rule and for a part of the name by another, so
            // that capitals get into names and underscores into hosts.
            let sound = |r: &Reference| {
                !r.repository().contains(char::is_uppercase) && is_host(r.registry())
            };
            let theirs = text.parse::<Reference>().ok().filter(sound);
            let theirs = theirs.as_ref().map(|r| {
                (r.registry().to_owned(), r.repository().to_owned(), r.digest().map(str::to_owned))
            });
            let ours = read(&text).ok();
            let ours = ours.map(|p| {
                (p.registry.to_owned(), p.repository, p.digest.map(str::to_owned))
            });
            prop_assert_eq!(ours, theirs, "{}", text);
        }
    }

    #[test]
    fn an_endpoint_moves_the_request_but_not_the_name() {
        let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1";
        let name = name(ecr, Some(("127.0.0.1:4747", true))).unwrap();
        assert_eq!(name.canonical, ecr);
        assert_eq!(name.remote.whole(), "127.0.0.1:4747/web:1");
        assert!(name.plain_http);
    }

    #[test]
    fn nonsense_is_refused_with_the_right_form() {
        let long = format!("a@sha256:{}", "A".repeat(64));
        for bad in
            ["", "UPPER", "a b", "a:", "a/../b", "http://x/y", "a@sha256:12", "a@sha512:00", &long]
        {
            let error = name(bad, None).expect_err(bad);
            assert!(matches!(&error, ImageError::Reference { reference, .. } if reference == bad));
        }
        assert!(name("UPPER", None).unwrap_err().to_string().contains("lower-case"));
    }
}
