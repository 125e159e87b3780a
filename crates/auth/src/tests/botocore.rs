//! Requests signed by botocore 1.x, recorded byte by byte: what the AWS CLI and boto3 send.

use super::{ID, Keys, SECRET, TOKEN, at, principal};
use crate::{Body, Expected, Key, KeyStore, SignedRequest, verify};

struct Golden {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

/// The recorder used one key with and without a token.
struct WithToken;

impl KeyStore for WithToken {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        (access_key_id == ID).then(|| Key {
            secret: SECRET.into(),
            session_token: Some(TOKEN.into()),
            expires: None,
            principal: principal(),
            role: None,
        })
    }
}

#[test]
fn requests_of_botocore_verify_and_no_other_body_does() {
    for golden in GOLDENS {
        let headers: Vec<(&str, &[u8])> =
            golden.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request = SignedRequest {
            method: golden.method,
            path: golden.path,
            query: golden.query,
            headers: &headers,
            body: Body::Bytes(golden.body.as_bytes()),
        };
        let keys: &dyn KeyStore = if golden.name.contains("token") { &WithToken } else { &Keys };
        let expected =
            Expected { service: Some("ecs"), ..Expected::new("us-east-1", at("20261122T143100Z")) };
        let verified = verify(&request, keys, &expected)
            .unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        assert_eq!(verified.identity.service, "ecs", "{}", golden.name);
        let other = SignedRequest { body: Body::Bytes(b"another"), ..request };
        assert!(verify(&other, keys, &expected).is_err(), "{}", golden.name);
    }
}

const GOLDENS: &[Golden] = &[
    Golden {
        name: "json_1_1",
        method: "POST",
        path: "/",
        query: "",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-east-1/ecs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=e293d1908f015901c1bfd5c99674ac27adae9513e9b4ed6b410e45e054ab772d",
            ),
            ("content-length", "21"),
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "127.0.0.1:4747"),
            ("user-agent", "aws-cli/2"),
            ("x-amz-date", "20261122T143057Z"),
            ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListTasks"),
        ],
        body: "{\"cluster\":\"default\"}",
    },
    Golden {
        name: "session_token",
        method: "POST",
        path: "/",
        query: "",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-east-1/ecs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=d6270d022b985d69e8802e31c50350e59b07e30853ab53f7a519a5bc8e0b5802",
            ),
            ("content-length", "2"),
            ("content-type", "application/x-amz-json-1.1"),
            ("host", "127.0.0.1:4747"),
            ("x-amz-date", "20261122T143057Z"),
            ("x-amz-security-token", "token/with+signs=="),
            ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListClusters"),
        ],
        body: "{}",
    },
    Golden {
        name: "query_form",
        method: "POST",
        path: "/",
        query: "",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-east-1/ecs/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=2d9e517d9489fa99ec9cf96ebe7a82e4daf71fcf492877db4797108e2b5a7507",
            ),
            ("content-length", "43"),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "wharf.example.com"),
            ("x-amz-date", "20261122T143057Z"),
        ],
        body: "Action=GetCallerIdentity&Version=2011-06-15",
    },
    Golden {
        name: "query_string",
        method: "GET",
        path: "/ws/a%20b/../c//d",
        query: "b=2&a=%2B&a=1&empty=&u=%E1%88%B4&agent=Docker%3A%2020.10",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date;x-spaces, Signature=a0eef1fb05e240f02ffdeb01cc24de80867061d95e09825009c79778a089726a",
            ),
            ("host", "wharf.example.com"),
            ("x-amz-date", "20261122T143057Z"),
            ("x-spaces", "  a   b  "),
        ],
        body: "",
    },
    Golden {
        name: "presigned",
        method: "GET",
        path: "/",
        query: "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fus-east-1%2Fecs%2Faws4_request&X-Amz-Date=20261122T143057Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=9f3815f65ee289b53347bde40da9e4141f8c827311c3eab2a71b11b0510f0af2",
        headers: &[("host", "wharf.example.com")],
        body: "",
    },
    Golden {
        name: "presigned_token",
        method: "GET",
        path: "/",
        query: "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Fus-east-1%2Fecs%2Faws4_request&X-Amz-Date=20261122T143057Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Security-Token=token%2Fwith%2Bsigns%3D%3D&X-Amz-Signature=f402ed7bb6d53fd61a6e4b3597c9abf33e4953b7cc4e8f1a8f9304f000917e9c",
        headers: &[("host", "wharf.example.com")],
        body: "",
    },
    Golden {
        name: "utf8_body",
        method: "PUT",
        path: "/x-._~y",
        query: "",
        headers: &[
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261122/us-east-1/ecs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-meta-a, Signature=c49a1da16dc4f25b5206481389d625f98b2609cdbe9558408707379bc55659a3",
            ),
            ("content-length", "3"),
            ("content-type", "text/plain"),
            ("host", "wharf.example.com:8080"),
            ("x-amz-date", "20261122T143057Z"),
            ("x-amz-meta-a", "1"),
        ],
        body: "ሴ",
    },
];
