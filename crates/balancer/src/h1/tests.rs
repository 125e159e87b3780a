//! Heads and bodies of answers, by tables and in pieces of every size.

use bytes::Bytes;
use http::{Method, Request};

use super::head::{Bounds, Head, read};

fn request(method: Method) -> http::request::Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts
}

fn head(text: &str) -> std::io::Result<Option<(Head, usize)>> {
    read(text.as_bytes(), &request(Method::GET))
}

#[test]
fn bounds_follow_the_head() {
    for (fields, bounds, reusable) in [
        ("Content-Length: 5", Bounds::Length(5), true),
        ("Content-Length: 5\r\nContent-Length: 5", Bounds::Length(5), true),
        ("Content-Length: 5\r\nConnection: close", Bounds::Length(5), false),
        ("Content-Length: 5\r\nConnection: x, Close", Bounds::Length(5), false),
        ("Transfer-Encoding: Chunked", Bounds::Chunked, true),
        // What chunks say counts, and the connection is not trusted any more.
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", Bounds::Chunked, false),
        ("Server: x", Bounds::Close, false),
    ] {
        let (head, _) = head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).unwrap().unwrap();
        assert_eq!((head.bounds, head.reusable), (bounds, reusable), "{fields}");
        assert!(bounds != Bounds::Chunked || !head.parts.headers.contains_key("content-length"));
    }
    let old = |field| head(&format!("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n{field}\r\n\r\n"));
    assert!(!old("Server: x").unwrap().unwrap().0.reusable);
    assert!(old("Connection: keep-alive").unwrap().unwrap().0.reusable);
}

#[test]
fn what_has_no_body_has_none() {
    for (status, method) in [("204", Method::GET), ("304", Method::GET), ("200", Method::HEAD)] {
        let text = format!("HTTP/1.1 {status} x\r\nContent-Length: 5\r\n\r\n");
        let (head, length) = read(text.as_bytes(), &request(method)).unwrap().unwrap();
        assert_eq!((head.bounds, length), (Bounds::Length(0), text.len()), "{status}");
        assert_eq!(head.parts.headers["content-length"], "5");
    }
    let (interim, _) = head("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n").unwrap().unwrap();
    assert!(interim.is_interim());
    let (switched, _) = head("HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n").unwrap().unwrap();
    assert_eq!((switched.bounds, switched.is_interim()), (Bounds::Switched, false));
}

#[test]
fn doubtful_heads_are_none() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 99 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        assert!(head(text).is_err(), "{text:?}");
    }
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
    for end in 1..whole.len() {
        assert!(head(&whole[..end]).unwrap().is_none(), "{end}");
    }
}

#[test]
fn requests_are_written_as_they_are() {
    let mut parts = request(Method::POST);
    parts.uri = "/a?b".parse().unwrap();
    parts.headers.insert("host", "x".parse().unwrap());
    let mut out = Vec::new();
    super::head::write(&mut out, &parts, true);
    let text = Bytes::from(out);
    assert_eq!(&text[..], b"POST /a?b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
}
