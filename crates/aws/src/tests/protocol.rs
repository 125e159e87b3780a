//! Which call a request makes, and errors in each protocol.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::protocol::{self, Head, Protocol, detect, encode_error};
use crate::{Error, Fault, cloudwatch, ecs, json as codec, sts};

fn target(target: &'static str) -> Head<'static> {
    Head {
        method: "POST",
        path: "/",
        target: Some(target),
        content_type: Some("application/x-amz-json-1.1"),
        ..Head::default()
    }
}

#[test]
fn calls_are_found() {
    let call = detect(&target("AmazonEC2ContainerServiceV20141113.RunTask"), b"{}").unwrap();
    assert_eq!(
        (call.service.name, call.operation.name, call.protocol),
        ("ecs", "RunTask", Protocol::Json11)
    );
    let head = Head {
        content_type: Some("application/x-amz-json-1.0"),
        ..target("Logs_20140328.StartLiveTail")
    };
    let call = detect(&head, b"").unwrap();
    assert_eq!((call.operation.name, call.protocol), ("StartLiveTail", Protocol::Json10));
    assert!(call.operation.shapes.is_none());
    let form = Head {
        method: "POST",
        path: "/",
        content_type: Some("application/x-www-form-urlencoded; charset=utf-8"),
        ..Head::default()
    };
    let call = detect(&form, b"Action=GetCallerIdentity&Version=2011-06-15").unwrap();
    assert_eq!(
        (call.service.name, call.operation.name, call.protocol),
        ("sts", "GetCallerIdentity", Protocol::Query)
    );
    let get = Head {
        method: "GET",
        path: "/",
        query: "Version=2011-06-15&Action=AssumeRole&RoleArn=a",
        ..Head::default()
    };
    let call = detect(&get, b"").unwrap();
    assert_eq!(call.operation.name, "AssumeRole");
    assert_eq!(&*call.request(get.query, b"").unwrap(), br#"{"RoleArn":"a"}"#);
}

#[test]
fn one_service_is_called_in_three_protocols() {
    let json = target("GraniteServiceVersion20100801.ListMetrics");
    let form = Head {
        method: "POST",
        path: "/",
        content_type: Some("application/x-www-form-urlencoded"),
        ..Head::default()
    };
    let cbor = Head {
        method: "POST",
        path: "/service/GraniteServiceVersion20100801/operation/ListMetrics",
        smithy_protocol: Some("rpc-v2-cbor"),
        content_type: Some("application/cbor"),
        ..Head::default()
    };
    let form_body =
        b"Action=ListMetrics&Version=2010-08-01&Namespace=Demo&Dimensions.member.1.Name=a";
    let cbor_body = b"\xa2\x69Namespace\x64Demo\x6aDimensions\x81\xa1\x64Name\x61a";
    for (head, body) in [
        (json, &br#"{"Namespace":"Demo","Dimensions":[{"Name":"a"}]}"#[..]),
        (form, form_body),
        (cbor, cbor_body),
    ] {
        let call = detect(&head, body).unwrap();
        assert_eq!((call.service.name, call.operation.name), ("cloudwatch", "ListMetrics"));
        let request: cloudwatch::ListMetricsInput =
            serde_json::from_slice(&call.request("", body).unwrap()).unwrap();
        let dimension =
            cloudwatch::DimensionFilter { name: Some("a".into()), ..Default::default() };
        assert_eq!(
            request,
            cloudwatch::ListMetricsInput {
                namespace: Some("Demo".into()),
                dimensions: Some(vec![dimension]),
                ..Default::default()
            }
        );
    }
}

#[test]
fn errors_keep_their_old_code_beside_their_shape() {
    let error = cloudwatch::ErrorKind::InvalidParameterValueException.with("no");
    let service = Some(&cloudwatch::FACTS);
    assert_eq!(error.code, "InvalidParameterValue");
    for protocol in [Protocol::Json10, Protocol::Cbor] {
        assert_eq!(
            protocol::query_error(protocol, service, &error).as_deref(),
            Some("InvalidParameterValue;Sender")
        );
    }
    let body = encode_error(Protocol::Json10, service, &error, "r");
    assert_eq!(codec::decode_error(400, &body).unwrap().code, "InvalidParameterValueException");
    let body = encode_error(Protocol::Query, service, &error, "r");
    assert_eq!(crate::query::decode_error(400, &body).unwrap().code, "InvalidParameterValue");
    assert_eq!(protocol::query_error(Protocol::Query, service, &error), None);
    assert_eq!(protocol::query_error(Protocol::Json11, Some(&ecs::FACTS), &error), None);
}

#[test]
fn what_is_unknown_is_refused_as_aws_does() {
    for (head, body, code, status) in [
        (target("AmazonEC2ContainerServiceV20141113.Fly"), "", "UnknownOperationException", 400),
        (target("Nobody_2020.Fly"), "", "UnknownOperationException", 400),
        (target("RunTask"), "", "UnknownOperationException", 400),
        (
            Head { method: "GET", path: "/favicon.ico", ..Head::default() },
            "",
            "UnknownOperationException",
            400,
        ),
        (
            Head { content_type: Some("application/x-www-form-urlencoded"), ..Head::default() },
            "Version=2011-06-15",
            "MissingAction",
            400,
        ),
        (
            Head { content_type: Some("application/x-www-form-urlencoded"), ..Head::default() },
            "Action=Fly&Version=2011-06-15",
            "InvalidAction",
            400,
        ),
        (
            Head { content_type: Some("application/x-www-form-urlencoded"), ..Head::default() },
            "Action=GetCallerIdentity&Version=1999-01-01",
            "InvalidAction",
            400,
        ),
        (
            Head { path: "/service/ECS/operation/RunTask", ..Head::default() },
            "",
            "NotImplemented",
            501,
        ),
        (
            Head { smithy_protocol: Some("rpc-v2-cbor"), ..Head::default() },
            "",
            "UnknownOperationException",
            400,
        ),
        (
            Head {
                path: "/service/GraniteServiceVersion20100801/operation/ListMetrics",
                smithy_protocol: Some("rpc-v2-json"),
                ..Head::default()
            },
            "",
            "UnknownOperationException",
            400,
        ),
        (
            Head {
                path: "/service/GraniteServiceVersion20100801/operation/Fly",
                ..Head::default()
            },
            "",
            "UnknownOperationException",
            400,
        ),
    ] {
        let error = detect(&head, body.as_bytes()).unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), (code, status), "{head:?}: {error}");
    }
}

#[test]
fn errors_are_readable_in_each_protocol() {
    let error = Error::new("InvalidClientTokenId", 403, "The <key> \u{7}is \"unknown\" & gone");
    let body = encode_error(Protocol::Query, Some(&sts::FACTS), &error, "r-1");
    let text = String::from_utf8(body.clone()).unwrap();
    assert_eq!(
        text,
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>InvalidClientTokenId</Code><Message>The &lt;key&gt; is &quot;unknown&quot; &amp; gone</Message></Error>\
         <RequestId>r-1</RequestId></ErrorResponse>"
    );
    let read = crate::query::decode_error(403, &body).unwrap();
    assert_eq!(
        (read.code.as_ref(), read.message.as_str()),
        ("InvalidClientTokenId", "The <key> is \"unknown\" & gone")
    );
    for protocol in [Protocol::Json10, Protocol::Json11] {
        let read = codec::decode_error(403, &encode_error(protocol, None, &error, "r-1")).unwrap();
        assert_eq!(read, error);
    }
}

#[test]
fn other_servers_errors_are_read() {
    for body in [
        r#"{"__type":"com.amazonaws.ecs#ClusterNotFoundException","message":"gone"}"#,
        r#"{"__type":"ClusterNotFoundException:http://internal/","Message":"gone"}"#,
        r#"{"code":"ClusterNotFoundException","errorMessage":"gone"}"#,
    ] {
        let error = codec::decode_error(400, body.as_bytes()).unwrap();
        assert_eq!(
            (error.code.as_ref(), error.message.as_str()),
            ("ClusterNotFoundException", "gone")
        );
        assert_eq!(error.fault, Fault::Client);
    }
    let error =
        codec::decode_error(503, br#"{"__type":"ConflictException","resourceIds":["a"]}"#).unwrap();
    assert_eq!(
        (error.fault, error.field("resourceIds").as_deref()),
        (Fault::Server, Some(r#"["a"]"#))
    );
    for body in ["", "[]", "<html>", r#"{"message":"no code"}"#] {
        assert!(codec::decode_error(500, body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn the_content_types_are_aws_own() {
    assert_eq!(protocol::of(&Head::default()), Protocol::Json11);
    assert_eq!(Protocol::Json11.response_type(), "application/x-amz-json-1.1");
    assert_eq!(Protocol::Query.response_type(), "text/xml");
    let body: Value = serde_json::from_slice(&encode_error(
        Protocol::Json11,
        Some(&ecs::FACTS),
        &Error::not_implemented("ecs", "RunTask"),
        "r",
    ))
    .unwrap();
    assert_eq!(
        body,
        json!({"__type": "NotImplemented", "message": "ecs:RunTask is not built here yet; the call had no effect."})
    );
}

proptest! {
    #[test]
    fn no_request_makes_the_detection_panic(
        path in ".{0,60}", query in ".{0,60}", target in proptest::option::of(".{0,60}"),
        content in proptest::option::of(".{0,40}"), body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let head = Head {
            method: "POST", path: &path, query: &query, target: target.as_deref(), content_type: content.as_deref(),
            smithy_protocol: None,
        };
        let _refused = detect(&head, &body).is_err();
        let _refused = codec::decode_error(500, &body).is_err();
        let _refused = crate::query::decode_error(500, &body).is_err();
    }
}
