//! Clients and targets that mean no good, or do no good.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use balancer::*;
use common::*;
use stdx::{Entropy as _, SeededEntropy};

/// A balancer whose connections may be silent for a second.
async fn hasty(backend: &Backend) -> Rig {
    let mut wanted = listener(ListenerProtocol::Http, to("g"));
    wanted.balancer =
        Arc::new(BalancerSettings { idle_timeout: Duration::from_secs(1), ..settings() });
    Rig::new(wanted, vec![group("g", &[backend.address])]).await
}

#[tokio::test]
async fn smuggled_requests_are_refused_and_never_forwarded() {
    let backend = Backend::echo().await;
    let rig = http(&[backend.address]).await;
    let post =
        |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for (request, code) in [
        (post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), 400),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\nGPOST\r\n0\r\n\r\n"),
            400,
        ),
        (post("Content-Length: 0\r\nContent-Length: 40\r\n", hidden), 400),
        (post("Content-Length: 0, 40\r\n", hidden), 400),
        (post("Transfer-Encoding: xchunked\r\n", hidden), 501),
        (post("Transfer-Encoding: chunked, identity\r\n", hidden), 501),
        (post("Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", hidden), 400),
        (post("X: y\r\n Transfer-Encoding: chunked\r\n", hidden), 400),
        (post("X: y\nContent-Length: 40\r\n", hidden), 400),
        (post("X: y\rContent-Length: 40\r\n", hidden), 400),
        (post("Content-Length: 1\0\r\n", hidden), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{hidden}"), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\n\n{hidden}"), 400),
        (format!("WHARF-REFUSED / HTTP/1.1\r\nHost: a\r\n\r\n{hidden}"), 400),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000)), 400),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200)), 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {}\r\n\r\n",
                ["1.1.1.1"; 31].join(",")
            ),
            463,
        ),
    ] {
        let mut client = rig.client().await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(status(&answer), code, "{request:?}: {answer}");
        assert!(body(&answer).starts_with("<html>"), "{answer}");
        if code != 463 {
            assert_eq!(field(&answer, "connection"), Some("close"), "{request:?}");
            assert_eq!(client.rest().await, "", "{request:?}");
        }
    }
    assert_eq!(backend.heads(), 0);
    assert_eq!(rig.balancer.usage().balancers["lb"].refused_requests, 19);
}

#[tokio::test]
async fn a_malformed_chunk_ends_the_request_on_both_sides() {
    let backend = Backend::echo().await;
    let rig = http(&[backend.address]).await;
    let mut client = rig.client().await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        )
        .await;
    client.send("GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(!answer.contains("200 OK") && !answer.contains("hidden"), "{answer}");
    // The target saw a head, and no end of its body.
    assert!(backend.heads() <= 1);
    assert_eq!(status(&rig.ask(GET).await), 200);
}

#[tokio::test]
async fn bytes_at_random_never_make_two_requests_of_one() {
    let backend = Backend::echo().await;
    let rig = hasty(&backend).await;
    let pieces: [&[u8]; 16] = [
        b"POST / HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"hello",
        b"GET /x HTTP/1.1\r\n",
        b" ",
        b"\0",
        b"\t",
        b"Connection: close\r\n",
        b"\xff",
    ];
    let mut chance = SeededEntropy::new(42);
    let mut asks = Vec::new();
    for _ in 0..300 {
        let count = chance.below(8) + 2;
        let bytes: Vec<u8> = (0..count)
            .flat_map(|_| pieces[usize::try_from(chance.below(16)).unwrap()].to_vec())
            .collect();
        asks.push(bytes);
    }
    let mut most = 0;
    for batch in asks.chunks(50) {
        let rig = &rig;
        let all = batch.iter().map(|bytes| async move {
            let mut client = rig.client().await;
            client.send(bytes).await;
            tokio::io::AsyncWriteExt::shutdown(&mut client.0).await.ok();
            client.rest().await
        });
        futures_util::future::join_all(all).await;
        // Each has at most as many requests as it has request lines at the start of a line.
        most += batch
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes).matches(" HTTP/1.1\r\n").count())
            .sum::<usize>();
    }
    assert!(backend.heads() <= most, "{} of {most}", backend.heads());
    assert_eq!(status(&rig.ask(GET).await), 200);
}

#[tokio::test]
async fn a_client_that_trickles_its_head_is_told_so() {
    let backend = Backend::echo().await;
    let rig = hasty(&backend).await;
    let mut slow = rig.client().await;
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    let trickle = async {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if tokio::io::AsyncWriteExt::write_all(&mut slow.0, b"X: y\r\n").await.is_err() {
                break;
            }
        }
    };
    trickle.await;
    let answer = slow.rest().await;
    assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
    assert_eq!(backend.heads(), 0);

    let mut silent = rig.client().await;
    silent.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(status(&silent.rest().await), 408);
    // One that says nothing at all is let go without a word.
    assert_eq!(rig.client().await.rest().await, "");
}

#[tokio::test]
async fn targets_that_do_no_good_are_told_of_as_an_alb_does() {
    // Nobody listens there, and nobody else will.
    let dead = "127.0.0.1:1".parse().unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scripts: [(&str, Option<&str>, u16); 5] = [
        ("closes", None, 502),
        ("says nonsense", Some("SSH-2.0-OpenSSH\r\n\r\n\0"), 502),
        ("breaks off its head", Some("HTTP/1.1 200 OK\r\nContent-Le\0"), 502),
        (
            "switches unasked",
            Some("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            502,
        ),
        (
            "has two lengths",
            Some("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            502,
        ),
    ];
    for (name, script, code) in scripts {
        let backend = Backend::new(move |_, _| script.map(str::to_owned)).await;
        let rig = hasty(&backend).await;
        assert_eq!(status(&rig.ask(GET).await), code, "{name}");
    }
    assert_eq!(status(&http(&[dead]).await.ask(GET).await), 502);
    let mut wanted = listener(ListenerProtocol::Http, to("g"));
    wanted.balancer =
        Arc::new(BalancerSettings { idle_timeout: Duration::from_secs(1), ..settings() });
    let rig = Rig::new(wanted, vec![group("g", &[silent.local_addr().unwrap()])]).await;
    assert_eq!(status(&rig.ask(GET).await), 504);
    assert_eq!(
        status(&rig.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await),
        504
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_complete() {
    let backend = Backend::new(|_, _| {
        Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel\0".to_owned())
    })
    .await;
    let rig = http(&[backend.address]).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    let answer = client.rest().await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    // Each connection serves one request and is closed after it, without a word.
    let backend = Backend::new(|_, number| {
        (number == 0).then(|| "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_owned())
    })
    .await;
    let rig = http(&[backend.address]).await;
    let mut client = rig.client().await;
    for _ in 0..20 {
        client.send(GET).await;
        assert_eq!(status(&client.answer().await), 200);
    }
    // A request that may change something is not sent twice.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await;
    assert!(matches!(status(&client.answer().await), 200 | 502));
}

#[tokio::test]
async fn a_dead_target_among_others_costs_no_request() {
    // Nobody listens there, and nobody else will.
    let dead = "127.0.0.1:1".parse().unwrap();
    let backend = Backend::named("x").await;
    let rig = http(&[dead, backend.address]).await;
    for _ in 0..10 {
        assert_eq!(
            status(&rig.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").await),
            200
        );
    }
    assert!(rig.balancer.usage().groups["g"].connection_errors > 0);
}

#[tokio::test]
async fn a_target_that_is_removed_is_cut() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut rig = http(&[silent.local_addr().unwrap()]).await;
    let mut client = rig.client().await;
    client.send(GET).await;
    let (_held, _) = silent.accept().await.unwrap();
    rig.group("g", |group| group.targets.clear()).await;
    assert_eq!(status(&client.answer().await), 502);
}
