//! What the balancer answers itself: errors, redirects and fixed responses.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, SERVER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::route::Facts;
use crate::{Redirect, RedirectStatus};

/// What answers of its own bear as `Server`, as those of an ALB do.
const SERVER_NAME: HeaderValue = HeaderValue::from_static("awselb/2.0");

/// An answer that no target made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How a status is called in the page that tells it.
fn title(status: u16) -> &'static str {
    match status {
        400 => "400 Bad Request",
        403 => "403 Forbidden",
        405 => "405 Not Allowed",
        408 => "408 Request Time-out",
        413 => "413 Request Entity Too Large",
        414 => "414 Request-URI Too Large",
        460 => "460 Client Closed Request",
        463 => "463 Bad Request",
        464 => "464 Incompatible Protocol",
        500 => "500 Internal Server Error",
        501 => "501 Not Implemented",
        502 => "502 Bad Gateway",
        503 => "503 Service Temporarily Unavailable",
        504 => "504 Gateway Time-out",
        505 => "505 HTTP Version Not Supported",
        _ => "Error",
    }
}

/// The page that tells an error.
pub(crate) fn error(status: u16) -> Answer {
    let title = title(status);
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    answer(status, Some("text/html"), body.into())
}

/// An error as a caller of gRPC reads it: an answer of 200 that has the status in its only head.
pub(crate) fn grpc_error(status: u16) -> Answer {
    // The mapping of gRPC's own document on HTTP statuses.
    let code = match status {
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 | 502 | 503 | 504 => "14",
        _ => "2",
    };
    let mut answer = answer(200, Some("application/grpc"), Bytes::new());
    answer.headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(code));
    answer
        .headers
        .insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(title(status)));
    answer.headers.remove(CONTENT_LENGTH);
    answer
}

/// A fixed response of a rule.
pub(crate) fn fixed(status: u16, content_type: Option<&str>, body: &str) -> Answer {
    let kind = content_type.filter(|_| !body.is_empty());
    answer(status, kind, Bytes::copy_from_slice(body.as_bytes()))
}

fn answer(status: u16, content_type: Option<&str>, body: Bytes) -> Answer {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(SERVER, SERVER_NAME);
    if let Some(kind) = content_type.and_then(|kind| HeaderValue::from_str(kind).ok()) {
        headers.insert(CONTENT_TYPE, kind);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer { status, headers, body }
}

/// A redirect of a rule, for a request that came to `port` with this scheme. A place that is no URI, which
/// only the request's own parts can cause, is 400; and what it says, for the access log.
pub(crate) fn redirect(
    redirect: &Redirect,
    facts: &Facts<'_>,
    https: bool,
    port: u16,
) -> (Answer, Option<String>) {
    let location = location(redirect, facts, https, port);
    let Ok(value) = HeaderValue::from_str(&location) else { return (error(400), None) };
    let status = match redirect.status {
        RedirectStatus::MovedPermanently => 301,
        RedirectStatus::Found => 302,
    };
    let title = if status == 301 { "301 Moved Permanently" } else { "302 Found" };
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    let mut answer = answer(status, Some("text/html"), body.into());
    answer.headers.insert(LOCATION, value);
    (answer, Some(location))
}

fn location(redirect: &Redirect, facts: &Facts<'_>, https: bool, port: u16) -> String {
    let port = port.to_string();
    let protocol = if https { "https" } else { "http" };
    let fill = |text: &str| {
        text.replace("#{protocol}", protocol)
            .replace("#{host}", facts.host)
            .replace("#{port}", &port)
            .replace("#{path}", facts.path.strip_prefix('/').unwrap_or(facts.path))
            .replace("#{query}", facts.query.unwrap_or_default())
    };
    let query = fill(&redirect.query);
    let mark = if query.is_empty() { "" } else { "?" };
    let path = fill(&redirect.path);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let scheme = fill(&redirect.protocol).to_ascii_lowercase();
    format!(
        "{scheme}://{}:{}{slash}{path}{mark}{query}",
        fill(&redirect.host),
        fill(&redirect.port)
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn redirects_take_parts_of_the_request() {
        let headers = HeaderMap::new();
        let facts = Facts {
            host: "a.example",
            path: "/x/y",
            query: Some("q=1"),
            method: "GET",
            headers: &headers,
            source: Ipv4Addr::LOCALHOST.into(),
        };
        let to = |change: &dyn Fn(&mut Redirect)| {
            let mut wanted = Redirect::default();
            change(&mut wanted);
            redirect(&wanted, &facts, false, 80).1.unwrap()
        };
        assert_eq!(to(&|_| {}), "http://a.example:80/x/y?q=1");
        assert_eq!(
            to(&|r| (r.protocol, r.port) = ("HTTPS".to_owned(), "443".to_owned())),
            "https://a.example:443/x/y?q=1"
        );
        assert_eq!(
            to(&|r| {
                r.host = "www.#{host}".to_owned();
                r.path = "/v2/#{path}".to_owned();
                r.query = String::new();
            }),
            "http://www.a.example:80/v2/x/y"
        );
        let nasty = Redirect { host: "a\r\nX: y".to_owned(), ..Redirect::default() };
        assert_eq!(redirect(&nasty, &facts, false, 80).0.status, 400);
    }

    #[test]
    fn errors_tell_their_status_in_the_form_of_the_caller() {
        let page = error(502);
        assert_eq!(page.status, 502);
        assert!(page.body.starts_with(b"<html>\r\n<head><title>502 Bad Gateway"));
        assert_eq!(page.headers[CONTENT_LENGTH], page.body.len().to_string());
        let grpc = grpc_error(503);
        assert_eq!(
            (grpc.status.as_u16(), &grpc.headers["grpc-status"]),
            (200, &HeaderValue::from_static("14"))
        );
        assert_eq!(fixed(204, Some("text/plain"), "").headers.get(CONTENT_TYPE), None);
        assert_eq!(error(463).status.as_u16(), 463);
    }
}
