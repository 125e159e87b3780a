//! TLS, HTTP/2 and gRPC through the balancer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use balancer::*;
use bytes::Bytes;
use common::*;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn certificate(name: &str) -> Arc<Certificate> {
    let (chain_pem, key_pem) = match name {
        "a" => (include_str!("fixtures/a.crt"), include_str!("fixtures/a.key")),
        _ => (include_str!("fixtures/b.crt"), include_str!("fixtures/b.key")),
    };
    Arc::new(Certificate {
        id: name.into(),
        chain_pem: chain_pem.to_owned(),
        key_pem: key_pem.to_owned(),
    })
}

fn tls() -> TlsSettings {
    TlsSettings {
        default_certificate: certificate("a"),
        certificates: vec![certificate("b")],
        minimum: TlsVersion::Tls12,
        only_tls12: false,
        alpn: AlpnPolicy::None,
    }
}

/// A stream whose server showed a certificate for this very name.
async fn connect(
    address: SocketAddr,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    for name in ["a", "b"] {
        roots
            .add(CertificateDer::from_pem_slice(certificate(name).chain_pem.as_bytes()).unwrap())
            .unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(name.to_owned()).unwrap(), stream)
        .await
}

type Sender = hyper::client::conn::http2::SendRequest<Full<Bytes>>;

async fn http2(rig: &Rig) -> Sender {
    let stream = connect(rig.address, "a.example", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn the_server_name_chooses_the_certificate() {
    let backend = Backend::echo().await;
    let mut wanted = listener(ListenerProtocol::Https(tls()), to("g"));
    wanted.balancer = Arc::new(BalancerSettings { tls_headers: true, ..settings() });
    let rig = Rig::new(wanted, vec![group("g", &[backend.address])]).await;
    for name in ["a.example", "x.a.example", "b.example"] {
        let mut stream = connect(rig.address, name, &[]).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(
            &mut stream,
            GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .unwrap();
        let mut bytes = Vec::new();
        drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await);
        let answer = String::from_utf8(bytes).unwrap();
        assert_eq!(field(body(&answer), "x-forwarded-proto"), Some("https"));
        assert_eq!(field(body(&answer), "x-amzn-tls-version"), Some("TLSv1.3"));
        assert!(field(body(&answer), "x-amzn-tls-cipher-suite").unwrap().starts_with("TLS_"));
    }
    // Nobody has a certificate for this name: the default one is shown, and the client says no.
    assert!(connect(rig.address, "c.example", &[]).await.is_err());
    let mut plain = rig.client().await;
    plain.send(GET).await;
    plain.rest().await;
    let failed = async {
        while rig.balancer.usage().balancers["lb"].client_tls_errors < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.unwrap();
}

#[tokio::test]
async fn keys_that_do_not_fit_are_told_of() {
    let mixed =
        Certificate { key_pem: certificate("b").key_pem.clone(), ..(*certificate("a")).clone() };
    assert_eq!(check_certificate(&mixed), Err(CertificateError::Mismatch { id: "a".into() }));
    assert!(check_certificate(&certificate("a")).is_ok());
    let none = Certificate { chain_pem: "x".to_owned(), ..(*certificate("a")).clone() };
    assert!(matches!(check_certificate(&none), Err(CertificateError::Chain { .. })));
    assert!(!format!("{none:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn http2_clients_reach_targets_of_http1() {
    let backend = Backend::echo().await;
    let rig = Rig::new(
        listener(ListenerProtocol::Https(tls()), to("g")),
        vec![group("g", &[backend.address])],
    )
    .await;
    let sender = http2(&rig).await;
    let asks = (0..20).map(|number| {
        let mut sender = sender.clone();
        async move {
            let request = Request::post(format!("https://a.example/{number}"))
                .body(Full::from("hello"))
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let seen = text(response).await;
            assert!(seen.starts_with(&format!("POST /{number} HTTP/1.1\r\n")), "{seen}");
            assert!(field(&seen, "host").unwrap().starts_with("a.example"), "{seen}");
            assert_eq!(field(&seen, "content-length"), Some("5"));
        }
    });
    futures_util::future::join_all(asks).await;
    assert_eq!(rig.balancer.usage().balancers["lb"].new_connections, 1);
}

/// A server of HTTP/2 in clear that answers with the body that it was given and with trailers.
async fn grpc_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let path = request.uri().path().to_owned();
                let te = request.headers().get("te").cloned();
                let body = request.into_body().collect().await?.to_bytes();
                let mut trailers = HeaderMap::new();
                let code = if path == "/AWS.ALB/healthcheck" { "12" } else { "0" };
                trailers.insert("grpc-status", HeaderValue::from_static(code));
                let frames =
                    [Ok::<_, hyper::Error>(Frame::data(body)), Ok(Frame::trailers(trailers))];
                let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
                let mut response = Response::new(body);
                response
                    .headers_mut()
                    .insert("content-type", HeaderValue::from_static("application/grpc"));
                if let Some(te) = te {
                    response.headers_mut().insert("x-te", te);
                }
                Ok::<_, hyper::Error>(response)
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

#[tokio::test]
async fn calls_of_grpc_keep_their_trailers_and_are_checked_by_a_call() {
    let mut grpc = group("g", &[grpc_server().await]);
    grpc.version = ProtocolVersion::Grpc;
    grpc.health_check = HealthCheck {
        path: "/AWS.ALB/healthcheck".to_owned(),
        matcher: Matcher::Grpc(vec![CodeRange { first: 12, last: 12 }]),
        ..HealthCheck::default()
    };
    let mut rig = Rig::new(listener(ListenerProtocol::Https(tls()), to("g")), vec![grpc]).await;
    rig.until(|event| matches!(event, Event::TargetHealth { health: Health::Healthy, .. })).await;
    let mut sender = http2(&rig).await;
    let call = |path: &str| {
        Request::post(format!("https://a.example{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::from("message"))
            .unwrap()
    };
    let response = sender.send_request(call("/Service/Method")).await.unwrap();
    assert_eq!(response.headers()["x-te"], "trailers");
    let whole = response.into_body().collect().await.unwrap();
    assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(whole.to_bytes(), "message");
    // No target left: the error is told as gRPC has it.
    rig.group("g", |group| group.targets.clear()).await;
    let response = sender.send_request(call("/Service/Method")).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &HeaderValue::from_static("14"))
    );
    assert_eq!(rig.balancer.usage().balancers["lb"].grpc_requests, 2);
}

#[tokio::test]
async fn protocols_that_do_not_fit_the_group_are_464() {
    let server = grpc_server().await;
    for version in [ProtocolVersion::Http2, ProtocolVersion::Grpc] {
        let mut group = group("g", &[server]);
        group.version = version;
        let rig = Rig::new(listener(ListenerProtocol::Http, to("g")), vec![group]).await;
        assert_eq!(status(&rig.ask(GET).await), 464);
    }
}

#[tokio::test]
async fn tls_to_targets_and_tls_listeners_pass_bytes() {
    let backend = Backend::named("inside").await;
    // A TLS listener before a TCP group is what an HTTPS group of another balancer speaks to.
    let flows = Group { protocol: GroupProtocol::Tcp, ..group("g", &[backend.address]) };
    let inner = Rig::new(listener(ListenerProtocol::Tls(tls()), to("g")), vec![flows]).await;
    let mut https = group("g", &[inner.address]);
    https.protocol = GroupProtocol::Https;
    https.health_check = HealthCheck { protocol: HealthProtocol::Https, ..HealthCheck::default() };
    let mut outer = Rig::new(listener(ListenerProtocol::Http, to("g")), vec![https]).await;
    outer.until(|event| matches!(event, Event::TargetHealth { health: Health::Healthy, .. })).await;
    assert_eq!(body(&outer.ask(GET).await), "inside");
    let usage = inner.balancer.usage().balancers["lb"].clone();
    assert!(usage.processed_bytes > 0 && usage.new_connections >= 2);
}
