//! What is logged of requests, websockets and connections.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use balancer::*;
use common::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn rig(protocol: ListenerProtocol, group: Group) -> (Rig, LogSource) {
    let (sink, source) = log_queue(10);
    let mut wanted = listener(protocol, to("g"));
    wanted.balancer =
        Arc::new(BalancerSettings { access_log: true, connection_log: true, ..settings() });
    let config = Config { workers: 1, log: Some(sink), ..Config::default() };
    (Rig::with(wanted, vec![group], config).await, source)
}

async fn next(log: &mut LogSource) -> LogEntry {
    let wait = async {
        loop {
            match log.take() {
                Some(entry) => return entry,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap()
}

fn request(entry: LogEntry) -> AccessEntry {
    let LogEntry::Request(entry) = entry else { panic!("{entry:?}") };
    *entry
}

#[tokio::test]
async fn requests_and_their_connection_are_told() {
    let backend = Backend::named("x").await;
    let (rig, mut log) = rig(ListenerProtocol::Http, group("g", &[backend.address])).await;
    rig.ask("GET /p?q HTTP/1.1\r\nHost: a\r\nUser-Agent: me\r\n\r\n").await;
    let LogEntry::Connection(connection) = next(&mut log).await else { panic!("a connection") };
    assert_eq!((connection.port, connection.secure), (rig.address.port(), false));
    let entry = request(next(&mut log).await);
    assert_eq!(entry.connection, connection.connection);
    assert_eq!((entry.elb_status, entry.target_status), (200, Some(200)));
    // With their heads, the request's as it came.
    assert_eq!(entry.received_bytes, 46);
    assert!((60..150).contains(&entry.sent_bytes), "{entry:?}");
    assert!(entry.response_time.is_some(), "{entry:?}");
    assert_eq!((entry.user_agent.as_str(), entry.target), ("me", Some(backend.address)));
    let wanted = format!("\"GET http://a:{}/p?q HTTP/1.1\" \"me\"", rig.address.port());
    assert!(entry.to_string().contains(&wanted), "{entry}");
    rig.ask("nonsense\r\n\r\n").await;
    next(&mut log).await;
    let entry = request(next(&mut log).await);
    assert_eq!(entry.elb_status, 400);
    assert!(entry.to_string().contains("\"Severe\""), "{entry}");
    assert_eq!(log.lost(), 0);
}

#[tokio::test]
async fn a_websocket_is_told_when_it_is_over_and_a_shutdown_ends_it() {
    let backend = Backend::new(|head, _| {
        if head.starts_with("GET /ws") {
            let accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                            Connection: Upgrade\r\n\r\nhello";
            return Some(accepted.to_owned());
        }
        Some("pong".to_owned())
    })
    .await;
    let (rig, mut log) = rig(ListenerProtocol::Http, group("g", &[backend.address])).await;
    let mut client = rig.client().await;
    client
        .send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(status(&answer), 101);
    client.send("ping\r\n\r\n").await;
    let mut heard = [0; 9];
    client.0.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hellopong");
    next(&mut log).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(log.take(), None, "it is not over");
    let head = 70;
    rig.balancer.finish(Duration::from_millis(50)).await;
    let entry = request(next(&mut log).await);
    assert_eq!((entry.kind, entry.elb_status), (RequestKind::Ws, 101));
    assert_eq!(entry.received_bytes, head + 8, "{entry:?}");
    assert!(entry.sent_bytes > 60 && entry.sent_bytes < 200, "{entry:?}");
    assert_eq!(client.rest().await, "");
}

fn tls() -> TlsSettings {
    TlsSettings {
        default_certificate: Arc::new(Certificate {
            id: "a".into(),
            chain_pem: include_str!("fixtures/a.crt").to_owned(),
            key_pem: include_str!("fixtures/a.key").to_owned(),
        }),
        certificates: vec![],
        minimum: TlsVersion::Tls12,
        only_tls12: false,
        alpn: AlpnPolicy::None,
    }
}

#[tokio::test]
async fn tls_flows_are_told_when_they_are_over() {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    let backend = Backend::named("x").await;
    let flows = Group { protocol: GroupProtocol::Tcp, ..group("g", &[backend.address]) };
    let (rig, mut log) = rig(ListenerProtocol::Tls(tls()), flows).await;
    let connect = async |trusting: bool| {
        let mut roots = rustls::RootCertStore::empty();
        let known = CertificateDer::from_pem_slice(tls().default_certificate.chain_pem.as_bytes());
        if trusting {
            roots.add(known.unwrap()).unwrap();
        }
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
        let stream = rig.client().await.0;
        let name = ServerName::try_from("a.example").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let mut stream = connect(true).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut answer = [0; 39];
    stream.read_exact(&mut answer).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    next(&mut log).await;
    let LogEntry::Flow(flow) = next(&mut log).await else { panic!("a flow") };
    assert_eq!((flow.received_bytes, flow.sent_bytes), (GET.len() as u64, 39));
    assert_eq!((flow.destination, flow.alert), (rig.address, None));
    let agreed = flow.tls.unwrap();
    assert_eq!((agreed.version, agreed.server_name.as_deref()), ("TLSv1.3", Some("a.example")));
    // Who does not trust the certificate says so by an alert.
    assert!(connect(false).await.is_err());
    next(&mut log).await;
    let LogEntry::Flow(flow) = next(&mut log).await else { panic!("a flow") };
    assert_eq!((flow.alert, &flow.tls), (Some(48), &None));
}
