//! A table of everything that can be wrong with a signature, and of what is right in spite of
//! looking odd.

use std::time::Duration;

use super::{ID, Keys, TEMPORARY, TOKEN, at, borrowed, long_term, temporary};
use crate::{
    AuthError, Body, Credentials, Dialect, Expected, Identity, Outgoing, Payload, Scope,
    SignedRequest, presign, sign, sign_websocket, verify,
};

const NOW: &str = "20261122T143057Z";

fn scope() -> Scope {
    Scope::new("us-east-1", "ecs")
}

fn outgoing() -> Outgoing {
    let mut request = Outgoing::to("POST", "http://localhost:4747/").unwrap();
    request.headers.push(("x-amz-target".to_owned(), "T.ListTasks".to_owned()));
    request
}

fn signed(credentials: &Credentials) -> Outgoing {
    let mut request = outgoing();
    sign(&mut request, b"{}", credentials, &scope(), at(NOW));
    request
}

fn check(request: &Outgoing, body: &[u8], now: &str) -> Result<Identity, AuthError> {
    let headers = borrowed(&request.headers);
    let request = SignedRequest {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        headers: &headers,
        body: Body::Bytes(body),
    };
    verify(&request, &Keys, &Expected::new("us-east-1", at(now))).map(|verified| verified.identity)
}

fn with_authorization(change: impl Fn(&str) -> String) -> Outgoing {
    let mut request = signed(&long_term());
    let (_, value) = request.headers.iter_mut().find(|(name, _)| name == "authorization").unwrap();
    *value = change(value);
    request
}

fn refusal(request: &Outgoing) -> (&'static str, &'static str, u16, String) {
    let error = check(request, b"{}", NOW).expect_err("it is wrong");
    (
        error.code(Dialect::Json),
        error.code(Dialect::Query),
        error.status(Dialect::Query),
        error.message(),
    )
}

#[test]
fn what_is_signed_here_verifies_here() {
    let identity = check(&signed(&long_term()), b"{}", NOW).unwrap();
    assert_eq!((identity.access_key_id.as_str(), identity.session), (ID, false));
    assert_eq!((identity.service.as_str(), identity.region.as_str()), ("ecs", "us-east-1"));
    let identity = check(&signed(&temporary()), b"{}", NOW).unwrap();
    assert_eq!((identity.access_key_id.as_str(), identity.session), (TEMPORARY, true));
}

#[test]
fn malformed_authorizations_say_what_they_lack() {
    let mut bare = outgoing();
    assert_eq!(
        refusal(&bare),
        (
            "MissingAuthenticationTokenException",
            "MissingAuthenticationToken",
            403,
            "Request is missing Authentication Token".to_owned()
        )
    );
    bare.headers.push(("authorization".to_owned(), "AWS4-HMAC-SHA256 Credential=a".to_owned()));
    let (json, query, status, message) = refusal(&bare);
    assert_eq!((json, query, status), ("IncompleteSignatureException", "IncompleteSignature", 400));
    assert_eq!(
        message,
        "Authorization header requires 'Signature' parameter. Authorization header requires \
         'SignedHeaders' parameter. Authorization header requires existence of either a \
         'X-Amz-Date' or a 'Date' header."
    );
    for (from, to, says) in [
        ("AWS4-HMAC-SHA256 ", "AWS AKIA:c2ln ", "Unsupported AWS 'algorithm': 'AWS'"),
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 ", "Please use AWS4-HMAC-SHA256."),
        ("AWS4-HMAC-SHA256 ", "Bearer ", "'Bearer'"),
        ("Signature=", "Signature", "missing equal-sign"),
        ("/ecs/", "/", "exactly 5 slash-delimited elements"),
        ("Signature=", "Signature=a, Signature=", "more than one 'Signature'"),
    ] {
        let (_, query, _, message) = refusal(&with_authorization(|v| v.replace(from, to)));
        assert_eq!(query, "IncompleteSignature", "{message}");
        assert!(message.contains(says), "{message}");
    }
    let mut twice = signed(&long_term());
    twice.headers.push(("authorization".to_owned(), "AWS4-HMAC-SHA256 x".to_owned()));
    assert!(refusal(&twice).3.contains("more than one 'Authorization' header"));
    let mut both = signed(&long_term());
    both.query = "X-Amz-Signature=00".to_owned();
    assert!(refusal(&both).3.contains("signed twice"));
}

#[test]
fn a_scope_for_elsewhere_is_told_where_this_is() {
    for (from, to, says) in [
        (
            "/us-east-1/",
            "/eu-west-1/",
            "valid region, not 'eu-west-1'. This region is 'us-east-1'.",
        ),
        ("/aws4_request", "/aws5_request", "valid terminator: 'aws4_request', not 'aws5_request'."),
        ("/20261122/", "/20261121/", "'20261121' != '20261122', from '20261122T143057Z'."),
    ] {
        let (json, query, status, message) = refusal(&with_authorization(|v| v.replace(from, to)));
        assert_eq!(
            (json, query, status),
            ("InvalidSignatureException", "SignatureDoesNotMatch", 403),
            "{message}"
        );
        assert!(message.contains(says), "{message}");
    }
    let request = signed(&long_term());
    let headers = borrowed(&request.headers);
    let value = SignedRequest {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: Body::Bytes(b"{}"),
    };
    let expected = Expected { service: Some("sts"), ..Expected::new("us-east-1", at(NOW)) };
    let error = verify(&value, &Keys, &expected).unwrap_err();
    assert_eq!(error.message(), "Credential should be scoped to correct service: 'sts'.");
}

#[test]
fn clocks_may_differ_by_a_quarter_of_an_hour() {
    let request = signed(&long_term());
    for now in ["20261122T144557Z", "20261122T141557Z"] {
        assert!(check(&request, b"{}", now).is_ok(), "{now}");
    }
    assert_eq!(
        check(&request, b"{}", "20261122T144558Z").unwrap_err().message(),
        "Signature expired: 20261122T143057Z is now earlier than 20261122T143058Z \
         (20261122T144558Z - 15 min.)"
    );
    assert_eq!(
        check(&request, b"{}", "20261122T141556Z").unwrap_err().message(),
        "Signature not yet current: 20261122T143057Z is still later than 20261122T143056Z \
         (20261122T141556Z + 15 min.)"
    );
}

#[test]
fn unknown_keys_and_wrong_secrets() {
    let (json, query, status, message) = refusal(&signed(&Credentials::new("AKIANOBODY", "x")));
    assert_eq!((json, query, status), ("UnrecognizedClientException", "InvalidClientTokenId", 403));
    assert_eq!(message, "The security token included in the request is invalid.");
    let (json, query, status, message) = refusal(&signed(&Credentials::new(ID, "wrong")));
    assert_eq!((json, query, status), ("InvalidSignatureException", "SignatureDoesNotMatch", 403));
    assert!(message.starts_with(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details."
    ));
    assert!(message.contains("host;x-amz-date;x-amz-target"), "{message}");
    assert!(!message.contains(super::SECRET));
}

#[test]
fn session_tokens_belong_to_their_key() {
    let mut none = temporary();
    none.session_token = None;
    let mut wrong = temporary();
    wrong.session_token = Some("another".into());
    let mut needless = long_term();
    needless.session_token = Some(TOKEN.into());
    for credentials in [none, wrong, needless] {
        assert_eq!(
            check(&signed(&credentials), b"{}", NOW),
            Err(AuthError::InvalidToken),
            "{credentials:?}"
        );
    }
    let mut late = outgoing();
    sign(&mut late, b"{}", &temporary(), &scope(), at("20261122T145900Z"));
    let error = check(&late, b"{}", "20261122T150000Z").unwrap_err();
    assert_eq!(error.code(Dialect::Json), "ExpiredTokenException");
}

#[test]
fn a_session_token_may_be_added_after_signing() {
    let mut bare = temporary();
    bare.session_token = None;
    let mut request = signed(&bare);
    request.headers.push(("x-amz-security-token".to_owned(), TOKEN.to_owned()));
    assert!(check(&request, b"{}", NOW).unwrap().session);

    let mut request = Outgoing::to("GET", "http://localhost:4747/").unwrap();
    presign(&mut request, &bare, &scope(), at(NOW), Duration::from_secs(60));
    request.query.push_str("&X-Amz-Security-Token=token%2Fwith%2Bsigns%3D%3D");
    assert!(check(&request, b"", NOW).unwrap().session);
}

#[test]
fn host_and_every_amz_header_must_be_signed() {
    let mut request = outgoing();
    request.headers.retain(|(name, _)| name != "host");
    sign(&mut request, b"{}", &long_term(), &scope(), at(NOW));
    assert_eq!(
        refusal(&request).3,
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
    );
    let mut request = signed(&long_term());
    request.headers.push(("x-amz-meta-b".to_owned(), "1".to_owned()));
    assert_eq!(
        refusal(&request).3,
        "There were headers present in the request which were not signed: x-amz-meta-b."
    );
    // What is not AWS's may be added on the way.
    let mut request = signed(&long_term());
    request.headers.push(("x-forwarded-for".to_owned(), "10.0.0.1".to_owned()));
    assert!(check(&request, b"{}", NOW).is_ok());
}

#[test]
fn the_date_header_stands_in_and_odd_dates_are_refused() {
    let mut request = outgoing();
    sign(&mut request, b"{}", &long_term(), &scope(), at(NOW));
    // Without x-amz-date the signature differs, so this one must fail at the signature alone.
    request.headers.retain(|(name, _)| name != "x-amz-date");
    request.headers.push(("date".to_owned(), "Sun, 22 Nov 2026 14:30:57 GMT".to_owned()));
    assert_eq!(refusal(&request).0, "InvalidSignatureException");
    assert!(refusal(&request).3.contains("20261122T143057Z\n20261122/us-east-1/ecs"));
    for odd in ["2026-11-22T14:30:57Z", "20261322T143057Z", "yesterday", "20261122T143057", ""] {
        let mut request = signed(&long_term());
        request.headers.retain(|(name, _)| name != "x-amz-date");
        request.headers.push(("x-amz-date".to_owned(), odd.to_owned()));
        assert_eq!(refusal(&request).0, "IncompleteSignatureException", "{odd}");
    }
}

#[test]
fn presigned_requests_end() {
    let mut request = Outgoing::to("GET", "http://localhost:4747/x?Action=A&b=%20").unwrap();
    presign(&mut request, &temporary(), &scope(), at(NOW), Duration::from_secs(60));
    assert!(check(&request, b"", "20261122T143157Z").is_ok());
    let error = check(&request, b"", "20261122T143158Z").unwrap_err();
    assert_eq!(error.code(Dialect::Query), "RequestExpired");
    assert!(check(&request, b"a body", NOW).is_err());
    for (validity, says) in [
        ("0", "at least 1"),
        ("-5", "at least 1"),
        ("604801", "604800"),
        ("99999999999999999999999999", "604800"),
        ("soon", "number of seconds"),
    ] {
        let mut request = request.clone();
        request.query =
            request.query.replace("X-Amz-Expires=60", &format!("X-Amz-Expires={validity}"));
        let error = check(&request, b"", NOW).unwrap_err();
        assert!(error.message().contains(says), "{validity}: {error}");
    }
    let mut lacking = request.clone();
    lacking.query = lacking.query.replace("X-Amz-SignedHeaders", "x");
    assert_eq!(
        check(&lacking, b"", NOW).unwrap_err().message(),
        "AWS query-string parameters must include 'X-Amz-SignedHeaders'."
    );
    request.query.push_str("&X-Amz-Expires=61");
    assert!(check(&request, b"", NOW).unwrap_err().message().contains("must not repeat"));
}

#[test]
fn declared_hashes_are_held_to() {
    let verified = |declared: &str, body| {
        let mut request = outgoing();
        request.headers.push(("x-amz-content-sha256".to_owned(), declared.to_owned()));
        sign(&mut request, b"", &long_term(), &scope(), at(NOW));
        let headers = borrowed(&request.headers);
        let request =
            SignedRequest { method: "POST", path: "/", query: "", headers: &headers, body };
        verify(&request, &Keys, &Expected::new("us-east-1", at(NOW))).map(|v| v.payload)
    };
    let hash = crate::crypto::sha256_hex(b"{}");
    assert!(matches!(verified(&hash, Body::Bytes(b"{}")), Ok(Payload::Verified)));
    assert!(matches!(verified(&hash, Body::Unread), Ok(Payload::Promised(_))));
    assert!(matches!(verified(&hash, Body::Bytes(b"{ }")), Err(AuthError::PayloadMismatch { .. })));
    assert!(matches!(verified("UNSIGNED-PAYLOAD", Body::Bytes(b"any")), Ok(Payload::Unsigned)));
    assert!(matches!(verified("nonsense", Body::Unread), Err(AuthError::Incomplete(_))));
    let streaming = verified("STREAMING-UNSIGNED-PAYLOAD-TRAILER", Body::Unread);
    assert!(matches!(streaming, Ok(Payload::Chunked(_))));
}

#[test]
fn repeated_headers_are_one_and_in_order() {
    let mut request = outgoing();
    request.headers.push(("x-my".to_owned(), " b   c ".to_owned()));
    request.headers.push(("x-my".to_owned(), "a".to_owned()));
    sign(&mut request, b"{}", &long_term(), &scope(), at(NOW));
    assert!(check(&request, b"{}", NOW).is_ok());
    let mut joined = request.clone();
    joined.headers.retain(|(name, _)| name != "x-my");
    joined.headers.push(("x-my".to_owned(), "b c,a".to_owned()));
    assert!(check(&joined, b"{}", NOW).is_ok());
    joined.headers.retain(|(name, _)| name != "x-my");
    joined.headers.push(("x-my".to_owned(), "a,b c".to_owned()));
    assert!(check(&joined, b"{}", NOW).is_err());
}

#[test]
fn a_websocket_is_signed_as_the_agent_does() {
    let url = "ws://127.0.0.1:4747/ws?clusterArn=probe&agentHash=a8&dockerVersion=DockerVersion%3A+20%2Bx";
    let headers = sign_websocket(url, &long_term(), &scope(), at(NOW)).unwrap();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "x-amz-date", "authorization"]);
    assert_eq!(headers[0].1, "127.0.0.1:4747");
    assert!(headers[2].1.contains("SignedHeaders=host;x-amz-date,"));
    let request = Outgoing {
        method: "GET".to_owned(),
        path: "/ws".to_owned(),
        // A client may send a space either way.
        query: url.split_once('?').unwrap().1.replace('+', "%20"),
        headers,
    };
    assert!(check(&request, b"", NOW).is_ok());
    for wrong in ["", "localhost/ws", "ws://", "ws:///ws", "ws://a b/"] {
        assert!(sign_websocket(wrong, &long_term(), &scope(), at(NOW)).is_err(), "{wrong}");
    }
}
