//! The worked examples of AWS's documentation: their inputs and results as facts.

use super::{Keys, at};
use crate::crypto::sha256_hex;
use crate::scope::{Scope, signing_key, string_to_sign};
use crate::{Body, Expected, Payload, SignedRequest, canonical, verify};

const IAM_HEADERS: [(&str, &[u8]); 3] = [
    ("content-type", b"application/x-www-form-urlencoded; charset=utf-8"),
    ("host", b"iam.amazonaws.com"),
    ("x-amz-date", b"20150830T123600Z"),
];

/// The IAM `ListUsers` example of "Create a signed AWS API request".
#[test]
fn the_iam_example() {
    let request = SignedRequest {
        method: "GET",
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &IAM_HEADERS,
        body: Body::Bytes(b""),
    };
    let names: Vec<String> = IAM_HEADERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let canonical = canonical::request(
        &request,
        &canonical::query_pairs(request.query),
        &names,
        &sha256_hex(b""),
    );
    assert_eq!(
        sha256_hex(&canonical),
        "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
    );
    let scope = Scope::new("us-east-1", "iam");
    let to_sign = string_to_sign("20150830T123600Z", &scope.render("20150830"), &canonical);
    assert!(
        to_sign.starts_with(
            "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n"
        )
    );
    let key = signing_key(&"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(), "20150830", &scope);
    assert_eq!(
        hex::encode(key),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
    accepted(
        &request,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    );
}

/// Cases of the published Signature Version 4 test suite.
#[test]
fn the_test_suite() {
    let cases = [
        ("/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "/",
            "Param2=value2&Param1=value1",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        ("/example/..", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("//", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ];
    for (path, query, signature) in cases {
        let headers: [(&str, &[u8]); 2] =
            [("host", b"example.amazonaws.com"), ("x-amz-date", b"20150830T123600Z")];
        let request =
            SignedRequest { method: "GET", path, query, headers: &headers, body: Body::Bytes(b"") };
        accepted(
            &request,
            &format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            ),
        );
    }
}

/// The S3 example with a presigned URL: `UNSIGNED-PAYLOAD` in place of a hash.
#[test]
fn the_presigned_example() {
    let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let headers: [(&str, &[u8]); 1] = [("host", b"examplebucket.s3.amazonaws.com")];
    let request = SignedRequest {
        method: "GET",
        path: "/test.txt",
        query,
        headers: &headers,
        body: Body::Bytes(b""),
    };
    let pairs: Vec<_> = canonical::query_pairs(query)
        .into_iter()
        .filter(|(name, _)| name != b"X-Amz-Signature")
        .collect();
    let canonical = canonical::request(&request, &pairs, &["host".to_owned()], "UNSIGNED-PAYLOAD");
    assert_eq!(
        sha256_hex(&canonical),
        "3bfa292879f6447bbcda7001decf97f4a54dc650c8942174ae0a9121cf58ad04"
    );
    // S3 takes the body as unsigned when nothing is said; every other service takes its hash.
    let expected = Expected::new("us-east-1", at("20130524T000100Z"));
    let verified = verify(&request, &Keys, &expected).unwrap();
    assert!(matches!(verified.payload, Payload::Unsigned));
}

fn accepted(request: &SignedRequest<'_>, authorization: &str) {
    let mut headers = request.headers.to_vec();
    headers.push(("authorization", authorization.as_bytes()));
    let expected = Expected::new("us-east-1", at("20150830T123700Z"));
    let verified = verify(&SignedRequest { headers: &headers, ..*request }, &Keys, &expected)
        .unwrap_or_else(|error| panic!("{}?{}: {error}", request.path, request.query));
    assert_eq!(verified.identity.access_key_id, "AKIDEXAMPLE");
    assert_eq!(verified.identity.principal.arn, "arn:aws:iam::123456789012:root");
}
