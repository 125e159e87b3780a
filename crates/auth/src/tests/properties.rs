//! Properties: whatever is signed verifies, whatever is changed does not, and nothing panics.

use std::time::Duration;

use proptest::prelude::*;
use stdx::Timestamp;

use super::{Keys, at, borrowed, long_term, temporary};
use crate::{
    AuthError, Body, ChunkedDecoder, EcrToken, Expected, Outgoing, Scope, SecretString,
    SignedRequest, Verified, canonical, presign, sign, sign_websocket, verify,
};

const NOW: &str = "20261122T143057Z";

fn request() -> impl Strategy<Value = Outgoing> {
    let headers = prop::collection::vec(("x-[a-z]{1,8}", "[ -~]{0,20}"), 0..5);
    ("GET|POST|PUT|DELETE", "(/[ -~&&[^?#]]{0,8}){1,4}", "[ -~&&[^#]]{0,40}", headers).prop_map(
        |(method, path, query, extra)| {
            let mut headers = vec![("host".to_owned(), "localhost:4747".to_owned())];
            headers.extend(extra);
            Outgoing { method, path, query, headers }
        },
    )
}

fn check(request: &Outgoing, body: &[u8]) -> Result<Verified, AuthError> {
    let headers = borrowed(&request.headers);
    let value = SignedRequest {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        headers: &headers,
        body: Body::Bytes(body),
    };
    verify(&value, &Keys, &Expected::new("us-east-1", at(NOW)))
}

/// What a request means: two that mean the same have the same signature, on purpose.
fn meaning(request: &Outgoing) -> (String, String, String, Vec<(String, Vec<u8>)>) {
    let mut headers: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), canonical::header_value(value.as_bytes())))
        .collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    (
        request.method.clone(),
        canonical::path(&request.path),
        canonical::query(&canonical::query_pairs(&request.query)),
        headers,
    )
}

/// One character of the request put in place of another, or put in, or taken out.
fn mutate(request: &Outgoing, part: usize, at: usize, with: char) -> Outgoing {
    let mut changed = request.clone();
    let signed: Vec<usize> = (0..changed.headers.len())
        .filter(|index| changed.headers[*index].0 != "authorization")
        .collect();
    let text = match part % 4 {
        0 => &mut changed.method,
        1 => &mut changed.path,
        2 => &mut changed.query,
        _ => &mut changed.headers[signed[at % signed.len()]].1,
    };
    let at = at % (text.len() + 1);
    if at < text.len() && with != '\u{0}' {
        text.replace_range(at..=at, &with.to_string());
    } else if at < text.len() {
        text.remove(at);
    } else if with != '\u{0}' {
        text.push(with);
    }
    changed
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not(
        mut request in request(),
        body in prop::collection::vec(any::<u8>(), 0..40),
        with_token in any::<bool>(),
        part in 0usize..4,
        position in 0usize..200,
        with in prop_oneof![Just('\u{0}'), prop::char::range(' ', '~')],
    ) {
        let credentials = if with_token { temporary() } else { long_term() };
        sign(&mut request, &body, &credentials, &Scope::new("us-east-1", "ecs"), at(NOW));
        let verified = check(&request, &body);
        prop_assert!(verified.is_ok(), "{:?}: {:?}", request, verified);

        let changed = mutate(&request, part, position, with);
        if meaning(&changed) != meaning(&request) {
            prop_assert!(check(&changed, &body).is_err(), "{changed:?} instead of {request:?}");
        }
        let mut other = body.clone();
        other.push(0);
        prop_assert!(check(&request, &other).is_err());
    }

    #[test]
    fn what_is_presigned_verifies_and_what_is_changed_does_not(
        mut request in request(),
        with_token in any::<bool>(),
        position in 0usize..400,
        with in prop::char::range('!', '~'),
    ) {
        request.headers.truncate(1);
        let credentials = if with_token { temporary() } else { long_term() };
        let scope = Scope::new("us-east-1", "ecs");
        presign(&mut request, &credentials, &scope, at(NOW), Duration::from_secs(900));
        let verified = check(&request, b"");
        prop_assert!(verified.is_ok(), "{:?}: {:?}", request, verified);
        let changed = mutate(&request, 2, position, with);
        let signature = |r: &Outgoing| r.query.rsplit_once("&X-Amz-Signature=").map(|(_, s)| s.to_lowercase());
        // Hexadecimal digits mean the same in either case.
        if meaning(&changed) != meaning(&request) && (signature(&changed) != signature(&request)
            || changed.query.rsplit_once('&').map(|(q, _)| q) != request.query.rsplit_once('&').map(|(q, _)| q))
        {
            prop_assert!(check(&changed, b"").is_err(), "{changed:?} instead of {request:?}");
        }
    }

    #[test]
    fn nothing_panics_on_any_text(
        text in any::<String>(),
        other in any::<String>(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        millis in any::<i64>(),
    ) {
        let now = Timestamp::from_millis(millis);
        let credential = format!("AWS4-HMAC-SHA256 Credential={text}, SignedHeaders={other}, Signature={text}");
        let query = format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={text}&X-Amz-Date={other}&X-Amz-Expires={millis}&X-Amz-SignedHeaders=host&X-Amz-Signature={text}");
        for (authorization, query) in
            [(Some(text.as_str()), ""), (Some(credential.as_str()), other.as_str()), (None, query.as_str())]
        {
            let mut headers: Vec<(&str, &[u8])> = vec![("host", &bytes), ("x-amz-date", other.as_bytes())];
            headers.extend(authorization.map(|value| ("authorization", value.as_bytes())));
            let request = SignedRequest { method: &text, path: &other, query, headers: &headers, body: Body::Bytes(&bytes) };
            let result = verify(&request, &Keys, &Expected::new("us-east-1", now));
            prop_assert!(result.is_err());
        }
        let mut decoder = ChunkedDecoder::new(None, true, "", "", None);
        if decoder.push(&bytes).is_ok() {
            prop_assert!(decoder.push(text.as_bytes()).is_ok() || decoder.push(b"").is_err());
        }
        prop_assert!(EcrToken::new(&SecretString::from("k")).verify(&text, now).is_err());
        prop_assert!(EcrToken::new(&SecretString::from("k")).verify_basic(&text, now).is_err());
        if let Ok(headers) = sign_websocket(&text, &long_term(), &Scope::new(&*text, &*other), now) {
            prop_assert_eq!(headers.len(), 3);
        }
    }
}
