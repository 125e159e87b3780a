//! Who may pass, and what the others are told.

use std::time::Duration;

use auth::{Credentials, Outgoing, Scope, presign, sign};
use http::Request;
use serde_json::json;
use shell::Clock;

use super::bench::{Answer, Bench, REGION};

const LIST: &str = "AmazonEC2ContainerServiceV20141113.ListClusters";

async fn list_with(
    bench: &Bench,
    credentials: &Credentials,
    scope: &Scope,
    change: impl FnOnce(&mut Outgoing, &mut Vec<u8>),
) -> Answer {
    let mut request = Bench::request(LIST);
    let mut body = b"{}".to_vec();
    sign(&mut request, &body, credentials, scope, bench.clock.now());
    change(&mut request, &mut body);
    bench.send(&request, &body).await
}

#[tokio::test]
async fn only_right_signatures_pass() {
    let bench = Bench::new();
    let ecs = Scope::new(REGION, "ecs");
    let right = bench.credentials.clone();
    let answer = list_with(&bench, &right, &ecs, |_, _| ()).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    let wrong = Credentials::new(right.access_key_id.clone(), "another secret");
    let stranger = Credentials::new("AKIAAAAAAAAAAAAAAAAA", right.secret.clone());
    for (answer, code) in [
        (list_with(&bench, &wrong, &ecs, |_, _| ()).await, "InvalidSignatureException"),
        (list_with(&bench, &stranger, &ecs, |_, _| ()).await, "UnrecognizedClientException"),
        (
            list_with(&bench, &right, &ecs, |_, body| body.push(b' ')).await,
            "InvalidSignatureException",
        ),
        (
            list_with(&bench, &right, &ecs, |request, _| {
                request.headers.retain(|(name, _)| name != "authorization");
            })
            .await,
            "MissingAuthenticationTokenException",
        ),
        (
            list_with(&bench, &right, &Scope::new(REGION, "ecr"), |_, _| ()).await,
            "InvalidSignatureException",
        ),
    ] {
        assert_eq!((answer.status, answer.error().0.as_str()), (400, code), "{answer:?}");
        assert!(answer.headers.contains_key("x-amzn-requestid"));
    }
}

#[tokio::test]
async fn another_region_is_told_which_this_is() {
    let bench = Bench::new();
    let scope = Scope::new("us-east-1", "ecs");
    let answer = list_with(&bench, &bench.credentials, &scope, |_, _| ()).await;
    let (code, message) = answer.error();
    assert_eq!(code, "InvalidSignatureException");
    assert!(message.contains("us-east-1") && message.contains(REGION), "{message}");
}

#[tokio::test]
async fn an_old_signature_has_expired() {
    let bench = Bench::new();
    let mut request = Bench::request(LIST);
    let scope = Scope::new(REGION, "ecs");
    sign(&mut request, b"{}", &bench.credentials, &scope, bench.clock.now());
    bench.clock.advance(Duration::from_secs(16 * 60));
    let (_, message) = bench.send(&request, b"{}").await.error();
    assert!(message.starts_with("Signature expired"), "{message}");
}

#[tokio::test]
async fn an_unsigned_payload_passes_and_a_false_hash_does_not() {
    let bench = Bench::new();
    let scope = Scope::new(REGION, "ecs");
    for (declared, status) in [("UNSIGNED-PAYLOAD", 200), (&"0".repeat(64), 400)] {
        let mut request = Bench::request(LIST);
        request.headers.push(("x-amz-content-sha256".to_owned(), declared.to_owned()));
        sign(&mut request, b"{}", &bench.credentials, &scope, bench.clock.now());
        let answer = bench.send(&request, b"{}").await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_put_together() {
    let bench = Bench::new();
    let scope = Scope::new(REGION, "ecs");
    let chunked = b"8\r\n{\"maxRes\r\nb\r\nults\": 101}\r\n0\r\n\r\n";
    for (body, code) in
        [(&chunked[..], "InvalidParameterException"), (&chunked[..20], "InvalidSignatureException")]
    {
        let mut request = Bench::request(LIST);
        for (name, value) in [
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", "19"),
        ] {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        sign(&mut request, body, &bench.credentials, &scope, bench.clock.now());
        let answer = bench.send(&request, body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.error().0, code, "{answer:?}");
    }
}

#[tokio::test]
async fn identity_is_told_in_xml_by_post_and_by_get() {
    let bench = Bench::new();
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    let mut post = Outgoing::to("POST", "http://127.0.0.1:4747/").unwrap();
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    post.headers.push(("content-type".to_owned(), kind.to_owned()));
    let answer = bench.signed(post, "sts", form.as_bytes()).await;
    for part in [
        "<Arn>arn:aws:iam::123456789012:root</Arn>",
        "<Account>123456789012</Account>",
        "<UserId>123456789012</UserId>",
        "<RequestId>",
    ] {
        assert!(answer.text.contains(part), "{answer:?}");
    }
    assert_eq!(answer.headers["content-type"], "text/xml");

    let mut get = Outgoing::to("GET", &format!("http://127.0.0.1:4747/?{form}")).unwrap();
    let scope = Scope::new(REGION, "sts");
    presign(&mut get, &bench.credentials, &scope, bench.clock.now(), Duration::from_secs(60));
    let answer = bench.send(&get, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.contains("GetCallerIdentityResult"), "{answer:?}");
}

#[tokio::test]
async fn a_query_client_is_refused_in_xml() {
    let bench = Bench::new();
    let mut post = Outgoing::to("POST", "http://127.0.0.1:4747/").unwrap();
    let kind = "application/x-www-form-urlencoded";
    post.headers.push(("content-type".to_owned(), kind.to_owned()));
    let answer = bench.send(&post, b"Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.text.contains("<Code>MissingAuthenticationToken</Code>"), "{answer:?}");
    assert!(answer.text.contains("<Type>Sender</Type>"), "{answer:?}");
    let answer = bench.signed(post, "sts", b"Action=AssumeRole&Version=2011-06-15").await;
    assert!(answer.status == 400 || answer.status == 501, "{answer:?}");
    assert!(answer.text.contains("<Code>"), "{answer:?}");
}

#[tokio::test]
async fn sockets_are_guarded_by_the_same_check() {
    let bench = Bench::new();
    let url = "http://127.0.0.1:4747/acs/ws?clusterArn=default&seqNum=1";
    let scope = Scope::new(REGION, "ecs");
    let headers = auth::sign_websocket(url, &bench.credentials, &scope, bench.clock.now()).unwrap();
    let build = |headers: &[(String, String)]| {
        let mut request =
            Request::builder().method("GET").uri("/acs/ws?clusterArn=default&seqNum=1");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    };
    let identity = bench.door.authenticate(&build(&headers)).unwrap();
    assert_eq!(identity.principal.account, "123456789012");
    assert_eq!(identity.service, "ecs");
    let refused = bench.door.authenticate(&build(&headers[..1])).unwrap_err();
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn probes_and_metrics_need_no_signature_and_everything_else_does() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bench = Bench::new();
    bench.ecs("ListClusters", json!({})).await.ok();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = crate::router(bench.door.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    for (path, status, part) in [
        ("/healthz", "200", "alive"),
        ("/readyz", "200", "region eu-west-1"),
        ("/metrics", "200", "operation=\"ListClusters\",status=\"200\"} 1"),
        ("/", "400", "MissingAuthenticationTokenException"),
        ("/nowhere", "400", "MissingAuthenticationTokenException"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {text}");
        assert!(text.contains(part), "{path}: {text}");
    }
    server.abort();
}
