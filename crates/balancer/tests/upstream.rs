//! What targets say, in pieces: answers are passed on whole or not at all, and connections are used again
//! only when nothing is left on them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use balancer::*;
use common::*;
use stdx::{Entropy as _, SeededEntropy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A target that says each answer in pieces, with a pause between them.
async fn in_pieces(answers: Vec<Vec<Vec<u8>>>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            loop {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                if !head.ends_with(b"\r\n\r\n") {
                    break;
                }
                let Some(pieces) = answers.next() else { return };
                for piece in pieces {
                    stream.write_all(&piece).await.ok();
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
            }
        }
    });
    address
}

#[tokio::test]
async fn answers_are_whole_however_they_come() {
    let answers: [(&str, &str); 6] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", "hello world"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
            "hello world",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "x"),
        ("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Late: 1\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
    ];
    let mut chance = SeededEntropy::new(7);
    let (mut scripts, mut expected) = (Vec::new(), Vec::new());
    for round in 0..120_usize {
        let (text, body) = answers[round % answers.len()];
        let mut pieces = Vec::new();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let most = if round < 6 { 1 } else { 40 };
            let taken = usize::try_from(chance.below(most) + 1).unwrap().min(rest.len());
            pieces.push(rest[..taken].to_vec());
            rest = &rest[taken..];
        }
        scripts.push(pieces);
        expected.push(body);
    }
    let rig = http(&[in_pieces(scripts).await]).await;
    let mut client = rig.client().await;
    for body_wanted in expected {
        client.send(GET).await;
        let answer = client.answer().await;
        assert!(matches!(status(&answer), 200 | 204), "{answer}");
        let seen = if answer.contains("chunked") {
            unchunked(body(&answer))
        } else {
            body(&answer).to_owned()
        };
        assert_eq!(seen, body_wanted, "{answer}");
    }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&rest[..size]);
        text = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    whole
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_nobodys_answer() {
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";
    let backend = Backend::new(move |_, _| Some(twice.to_owned())).await;
    let rig = http(&[backend.address]).await;
    let mut client = rig.client().await;
    for asked in 1..=5 {
        client.send(GET).await;
        assert_eq!(body(&client.answer().await), "one");
        assert_eq!(
            backend.connections.load(Ordering::SeqCst),
            asked,
            "the connection is not used again"
        );
    }
}

#[tokio::test]
async fn an_answer_to_the_end_of_the_connection_is_whole() {
    let backend = Backend::new(|_, _| Some("HTTP/1.0 200 OK\r\n\r\nall of it\0".to_owned())).await;
    let rig = http(&[backend.address]).await;
    let answer = rig.ask(GET).await;
    assert_eq!(unchunked(body(&answer)), "all of it");
}

#[tokio::test]
async fn an_early_answer_ends_a_long_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut some = [0; 1000];
            drop(stream.read(&mut some).await);
            let no = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
            drop(stream.write_all(no).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let rig = http(&[address]).await;
    let mut client = rig.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n").await;
    let (mut from, mut to) = client.0.split();
    let upload = async {
        let piece = vec![b'x'; 100_000];
        for _ in 0..300 {
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let answer = async {
        let mut seen = Vec::new();
        let mut some = [0; 1000];
        while !seen.ends_with(b"no") {
            match from.read(&mut some).await {
                Ok(0) | Err(_) => break,
                Ok(n) => seen.extend_from_slice(&some[..n]),
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    };
    let ((), answer) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(upload, answer) }).await.unwrap();
    assert_eq!((status(&answer), body(&answer)), (413, "no"), "{answer}");
}

#[tokio::test]
async fn a_long_body_comes_through_both_ways() {
    let backend = Backend::new(|head, _| {
        let length = field(head, "content-length").unwrap_or("0").to_owned();
        Some(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}{length}",
            3_000_000 + length.len(),
            "y".repeat(3_000_000)
        ))
    })
    .await;
    let rig = http(&[backend.address]).await;
    let mut client = rig.client().await;
    for _ in 0..2 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n").await;
        client.send("x".repeat(2_000_000)).await;
        let mut answer = vec![0; 3_000_000];
        let head = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.0.read_u8().await.unwrap());
            }
            client.0.read_exact(&mut answer).await.unwrap();
            let mut tail = [0; 7];
            client.0.read_exact(&mut tail).await.unwrap();
            (String::from_utf8(head).unwrap(), tail)
        };
        let (head, tail) = tokio::time::timeout(PATIENCE, head).await.unwrap();
        assert_eq!((status(&head), &tail), (200, b"2000000"));
        assert!(answer.iter().all(|byte| *byte == b'y'));
    }
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
    let _: &Balancer = &rig.balancer;
}
