//! The CBOR codec: goldens, round trips, hostile input.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DEPTH, decode_request, encode, encode_error, encode_response, read};
use crate::Error;
use crate::cloudwatch::Operation;
use crate::schema::{Member, Shape};
use crate::tests::sample::{Chance, valid};

fn request(operation: Operation, body: &[u8]) -> Result<Value, Error> {
    decode_request(operation.facts(), body).map(|json| serde_json::from_slice(&json).unwrap())
}

#[test]
fn a_request_is_read_in_every_form_of_its_values() {
    // {"Namespace": "N", "MetricData": [{"MetricName": "m", "Timestamp": 1(1.5), "Value": 2.5_2,
    //  "Values": [_ 1, -2], "StorageResolution": 1, "Later": {"a": h'00'}}]}
    let body =
        b"\xa2\x69Namespace\x61N\x6aMetricData\x81\xbf\x6aMetricName\x7f\x61m\xff\x69Timestamp\
        \xc1\xf9\x3e\x00\x65Value\xf9\x41\x00\x66Values\x9f\x01\x21\xff\x71StorageResolution\x01\
        \x65Later\xa1\x61a\x41\x00\xff";
    assert_eq!(
        request(Operation::PutMetricData, body).unwrap(),
        json!({"Namespace": "N", "MetricData": [{"MetricName": "m", "Timestamp": 1.5, "Value": 2.5,
            "Values": [1, -2], "StorageResolution": 1, "Later": {"a": "AA=="}}]})
    );
    assert_eq!(request(Operation::ListMetrics, b"").unwrap(), json!({}));
}

#[test]
fn an_answer_is_golden() {
    let json =
        br#"{"MetricDataResults":[{"Id":"a","Timestamps":[10],"Values":[2]}],"NextToken":null}"#;
    let body = encode_response(Operation::GetMetricData.facts(), json).unwrap();
    assert_eq!(
        body,
        b"\xa1\x71MetricDataResults\x81\xa3\x62Id\x61a\x6aTimestamps\x81\xc1\xfb\x40\x24\0\0\0\0\0\0\
          \x66Values\x81\xfb\x40\0\0\0\0\0\0\0"
    );
    let error = encode_error("Gone", &Error::new("Gone", 400, "no").with_field("at", &1));
    assert_eq!(error, b"\xa3\x66__type\x64Gone\x62at\x01\x67message\x62no");
}

static TEXT: Shape = Shape::text();
static NUMBER: Shape = Shape::long();
static BYTES: Shape = Shape::blob();
static MAP: Shape = Shape::map(&TEXT, &BYTES);
static EVERYTHING: Shape = Shape::structure(
    "Everything",
    &[
        Member::optional("Bytes", &BYTES),
        Member::optional("Map", &MAP),
        Member::optional("Number", &NUMBER),
        Member::optional("Text", &TEXT),
    ],
);

#[test]
fn bytes_are_bytes() {
    let value = json!({"Bytes": "AP8=", "Map": {"a": "AA=="}, "Number": -5, "Text": "AA=="});
    let body = encode(Some(&EVERYTHING), &value);
    assert!(body.windows(3).any(|part| part == b"\x42\x00\xff"), "{body:x?}");
    let read_back = read(&mut minicbor::Decoder::new(&body), Some(&EVERYTHING), 0).unwrap();
    assert_eq!(read_back, value);
}

#[test]
fn requests_survive_both_ways() {
    let mut chance = Chance::seeded(11);
    for operation in Operation::ALL {
        let Some((shape, _)) = operation.facts().shapes else { continue };
        for _ in 0..20 {
            let value = valid(shape, &mut chance);
            let body = encode(Some(shape), &value);
            let mut read = request(*operation, &body).unwrap();
            let mut value = value;
            assert_eq!(crate::check::check(shape, &mut read, false), Ok(Vec::new()), "{operation}");
            assert_eq!(crate::check::check(shape, &mut value, false), Ok(Vec::new()));
            assert_eq!(numbers(read), numbers(value), "{operation}");
        }
    }
}

/// Every number in one form: 2 is 2.0.
fn numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(entries) => entries.into_iter().map(numbers).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(name, value)| (name, numbers(value))).collect()
        }
        other => other,
    }
}

#[test]
fn hostile_bodies_are_refused() {
    let deep = vec![0x81; 100_000];
    let nested: Vec<u8> = std::iter::repeat_n(0xc1, DEPTH + 2).chain([0]).collect();
    for body in [
        &b"\xa1"[..],
        b"\xa1\x61a",
        b"\xbf\x61a\x01",
        b"\xa0\x00",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x61a\x01",
        b"\xa1\x69Namespace\x41N",
        b"\xa1\x69Namespace\x62\xff\xff",
        b"\xa1\x61a\xf9\x7e\x00",
        b"\xa1\x61a\xc2\x41\x01",
        b"\xa1\x61a\xe0",
        b"\xa1\x01\x01",
        b"\xff",
        &deep,
        &nested,
    ] {
        let error = request(Operation::ListMetrics, body).unwrap_err();
        assert_eq!(
            (error.code.as_ref(), error.status),
            ("SerializationException", 400),
            "{body:x?}"
        );
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for operation in [Operation::PutMetricData, Operation::GetMetricData] {
            let _refused = decode_request(operation.facts(), &body).is_err();
        }
    }
}
