//! Requests and near-requests by table; any cut of the bytes gives the same verdict.

use proptest::prelude::*;

use super::*;

/// What a connection's bytes come to: those that pass, and how it ends.
fn run(guard: &mut Guard, pieces: &[&[u8]]) -> (Vec<u8>, Then) {
    let (mut passed, mut held) = (Vec::new(), Vec::new());
    let mut then = Then::More;
    for piece in pieces {
        held.extend_from_slice(piece);
        let verdict = guard.look(&held);
        passed.extend(held.drain(..verdict.pass));
        then = verdict.then;
        if matches!(then, Then::RefuseRequest(_) | Then::RefuseBody(_)) {
            break;
        }
    }
    (passed, then)
}

fn verdict(bytes: &[u8]) -> (usize, Then) {
    let (passed, then) = run(&mut Guard::new(false), &[bytes]);
    (passed.len(), then)
}

#[test]
fn plain_requests_pass_whole() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET http://a/b HTTP/1.1\r\nhost: [::1]:80\r\nX: \t a \t\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
        "GET /a|b?{x} HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(verdict(text.as_bytes()), (text.len(), Then::More), "{text}");
    }
}

#[test]
fn doubtful_requests_are_refused_before_they_pass() {
    let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let cases = [
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (head("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        (head("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
        (head("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        (head("Content-Length: 5, 5\r\n"), 400),
        (head("Content-Length: +5\r\n"), 400),
        (head("Content-Length: -1\r\n"), 400),
        (head("Content-Length: 0x5\r\n"), 400),
        (head("Content-Length:\r\n"), 400),
        (head("Content-Length: 99999999999999999999\r\n"), 400),
        (head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        (head("Transfer-Encoding: gzip, chunked\r\n"), 501),
        (head("Transfer-Encoding: identity\r\n"), 501),
        (head("Transfer-Encoding: xchunked\r\n"), 501),
        (head("Transfer-Encoding: \x0bchunked\r\n"), 400),
        (head("Transfer-Encoding : chunked\r\n"), 400),
        (head(" Transfer-Encoding: chunked\r\n"), 400),
        (head("X: a\r\n b\r\n"), 400),
        (head("X: a\r\n\tb\r\n"), 400),
        (head("X: a\nTransfer-Encoding: chunked\r\n"), 400),
        (head("X: a\rTransfer-Encoding: chunked\r\n"), 400),
        (head("X: a\0b\r\n"), 400),
        (head("X\r\n"), 400),
        (head(": x\r\n"), 400),
        (head("Host: b\r\n"), 400),
        (head(&"X: y\r\n".repeat(101)), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n".to_owned(), 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /\r\n\r\n".to_owned(), 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        ("WHARF-REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(LINE_LIMIT)), 414),
        (format!("GET /{}", "a".repeat(LINE_LIMIT)), 414),
        (head(&format!("X: {}\r\n", "y".repeat(FIELD_LIMIT))), 400),
        (head(&format!("X: {}\r\n", "y".repeat(FIELD_LIMIT - 100)).repeat(5)), 400),
    ];
    for (text, status) in cases {
        let (passed, then) = verdict(text.as_bytes());
        let Then::RefuseRequest(refusal) = then else { panic!("{text:?}: {then:?}") };
        assert_eq!((passed, refusal.status()), (0, status), "{text:?}");
    }
}

#[test]
fn bad_chunks_end_the_connection_where_they_are() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "\r\n",
        "x\r\n",
        "0x5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\nhello\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "-1\r\n",
        "0000000000000005\r\nhello\r\n",
        "ffffffffffffffff\r\n",
        "5;\x01\r\nhello\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\n x\r\n\r\n",
        "0\r\nX: y\n\r\n",
    ] {
        let (_, then) = verdict(format!("{head}{body}").as_bytes());
        assert!(matches!(then, Then::RefuseBody(_)), "{body:?}: {then:?}");
    }
    let long = format!("{head}5;{}", "x".repeat(CHUNK_LINE_LIMIT));
    assert!(matches!(verdict(long.as_bytes()).1, Then::RefuseBody(_)));
}

#[test]
fn a_refused_request_waits_for_its_turn_and_nothing_comes_after_it() {
    let first = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut guard = Guard::new(false);
    let bytes = [&first[..], b"GET /2 HTTP/1.1\nX\r\n\r\n", first].concat();
    let verdict = guard.look(&bytes);
    assert_eq!(verdict.pass, first.len());
    assert!(matches!(verdict.then, Then::RefuseRequest(_)));
    assert!(guard.is_over());
    assert_eq!(guard.look(first).pass, 0);
}

#[test]
fn bytes_after_a_request_to_switch_wait_for_the_answer() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for switched in [true, false] {
        let mut guard = Guard::new(false);
        let bytes = [&head[..], b"\x81\x05 not http"].concat();
        assert_eq!(guard.look(&bytes), Verdict { pass: head.len(), then: Then::Undecided });
        guard.decided(switched);
        let rest = &bytes[head.len()..];
        let verdict = guard.look(&[rest, b"\r\n\r\n"].concat());
        if switched {
            assert_eq!(verdict, Verdict { pass: rest.len() + 4, then: Then::More });
        } else {
            assert!(matches!(verdict.then, Then::RefuseRequest(_)));
        }
    }
}

#[test]
fn the_strictest_mode_refuses_more() {
    for text in ["GET /a|b HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert!(
            matches!(Guard::new(true).look(text.as_bytes()).then, Then::RefuseRequest(_)),
            "{text:?}"
        );
        assert_eq!(Guard::new(false).look(text.as_bytes()).then, Then::More);
    }
}

/// Pieces that requests and attacks on them are made of.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /x HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "\n", "\r", " ", "\t", ":",
            "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "hello", "5\r\n",
            "0\r\n", "0\r\n\r\n", "X: y\r\n", "Connection: upgrade\r\n", "Upgrade: websocket\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_verdict_does_not_depend_on_how_the_bytes_arrive(bytes in soup(), cuts in prop::collection::vec(0_usize..200, 0..6)) {
        let whole = run(&mut Guard::new(false), &[&bytes]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        pieces.push(&bytes[from..]);
        let cut = run(&mut Guard::new(false), &pieces);
        prop_assert_eq!(&whole.0, &cut.0);
        // A piece may end within a head that is refused once more of it is seen.
        prop_assert_eq!(whole.1, cut.1);
    }

    #[test]
    fn no_byte_is_made_up_and_none_is_skipped(bytes in soup()) {
        let (passed, _) = run(&mut Guard::new(false), &[&bytes]);
        prop_assert!(bytes.starts_with(&passed));
    }

    #[test]
    fn what_passes_has_as_many_requests_as_a_plain_reading_finds(count in 0_usize..5, tail in soup()) {
        // Whatever follows, requests that are complete pass, and pass as they are.
        let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET";
        let bytes = [request.repeat(count), tail].concat();
        let (passed, _) = run(&mut Guard::new(false), &[&bytes]);
        prop_assert!(passed.len() >= request.len() * count);
    }
}
