//! Network load balancers: bytes and datagrams.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use balancer::*;
use common::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

fn flows(protocol: GroupProtocol, targets: &[SocketAddr]) -> Group {
    Group { protocol, ..group("g", targets) }
}

#[tokio::test]
async fn bytes_pass_and_each_half_ends_by_itself() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut flows = flows(GroupProtocol::Tcp, &[target.local_addr().unwrap()]);
    flows.proxy_protocol_v2 = true;
    let rig = Rig::new(listener(ListenerProtocol::Tcp, to("g")), vec![flows]).await;
    let mut client = rig.client().await;
    client.send("hello").await;
    client.0.shutdown().await.unwrap();
    let (mut stream, _) = target.accept().await.unwrap();
    let mut seen = Vec::new();
    stream.read_to_end(&mut seen).await.unwrap();
    assert_eq!(seen[..12], *b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(seen[12..16], [0x21, 0x11, 0, 12]);
    let client_port = client.0.local_addr().unwrap().port();
    assert_eq!(seen[24..26], client_port.to_be_bytes());
    assert_eq!(&seen[28..], b"hello");
    stream.write_all(b"bye").await.unwrap();
    drop(stream);
    assert_eq!(client.rest().await, "bye");
}

#[tokio::test]
async fn a_source_keeps_its_target_and_a_dead_one_is_passed_by() {
    let (one, two) = (Backend::named("one").await, Backend::named("two").await);
    let mut sticky = flows(GroupProtocol::Tcp, &[one.address, two.address]);
    sticky.stickiness = Some(Stickiness::SourceIp);
    let rig = Rig::new(listener(ListenerProtocol::Tcp, to("g")), vec![sticky]).await;
    let first = rig.ask(GET).await;
    for _ in 0..5 {
        assert_eq!(body(&rig.ask(GET).await), body(&first));
    }
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::new(
        listener(ListenerProtocol::Tcp, to("g")),
        vec![flows(GroupProtocol::Tcp, &[dead, one.address])],
    )
    .await;
    for _ in 0..4 {
        assert_eq!(body(&rig.ask(GET).await), "one");
    }
}

#[tokio::test]
async fn flows_outlive_their_target_unless_they_are_to_be_cut() {
    for cut in [false, true] {
        let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut wanted = flows(GroupProtocol::Tcp, &[target.local_addr().unwrap()]);
        wanted.connection_termination = cut;
        let mut rig = Rig::new(listener(ListenerProtocol::Tcp, to("g")), vec![wanted]).await;
        let mut client = rig.client().await;
        client.send("x").await;
        let (mut stream, _) = target.accept().await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        rig.group("g", |group| group.targets.clear()).await;
        let wrote = stream.write_all(b"y").await;
        let mut byte = [0; 1];
        let read = tokio::time::timeout(PATIENCE, client.0.read(&mut byte)).await.unwrap();
        if cut {
            assert_eq!(read.unwrap_or(0), 0);
        } else {
            wrote.unwrap();
            assert_eq!((read.unwrap(), byte), (1, *b"y"));
        }
    }
}

#[tokio::test]
async fn silent_flows_end() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut wanted = listener(ListenerProtocol::Tcp, to("g"));
    wanted.tcp_idle_timeout = Duration::from_millis(300);
    let rig =
        Rig::new(wanted, vec![flows(GroupProtocol::Tcp, &[target.local_addr().unwrap()])]).await;
    assert_eq!(rig.client().await.rest().await, "");
}

#[tokio::test]
async fn datagrams_of_a_client_go_to_one_target_and_answers_come_back() {
    let mut targets = Vec::new();
    for name in ["one", "two"] {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        targets.push(socket.local_addr().unwrap());
        tokio::spawn(async move {
            let mut buffer = [0; 100];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = [name.as_bytes(), b" ", &buffer[..length]].concat();
                socket.send_to(&answer, from).await.unwrap();
            }
        });
    }
    let rig = Rig::new(
        listener(ListenerProtocol::Udp, to("g")),
        vec![flows(GroupProtocol::Udp, &targets)],
    )
    .await;
    let mut names = Vec::new();
    for _ in 0..2 {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(rig.address).await.unwrap();
        let mut seen = Vec::new();
        for text in ["a", "b", "c"] {
            client.send(text.as_bytes()).await.unwrap();
            let mut buffer = [0; 100];
            let length =
                tokio::time::timeout(PATIENCE, client.recv(&mut buffer)).await.unwrap().unwrap();
            let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let (name, back) = answer.split_once(' ').unwrap();
            assert_eq!(back, text);
            seen.push(name.to_owned());
        }
        seen.dedup();
        assert_eq!(seen.len(), 1);
        names.extend(seen);
    }
    assert_ne!(names[0], names[1]);
    let usage = rig.balancer.usage();
    assert_eq!((usage.balancers["lb"].new_connections, usage.groups["g"].requests), (2, 2));
}
