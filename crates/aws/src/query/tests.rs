//! The Query codec: round trips, goldens, hostile input.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::form::Naming;
use super::{decode_request, decode_response, encode_request, encode_response, form, xml};
use crate::ec2;
use crate::schema::{Member, Shape, Shaped};
use crate::sts::{
    self, AssumeRoleRequest, AssumeRoleResponse, GetCallerIdentityResponse, Operation,
};
use crate::tests::sample::{Chance, valid};

#[test]
fn a_form_is_read() {
    let body = b"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdemo\
        &RoleSessionName=me&DurationSeconds=900&Tags.member.2.Key=b&Tags.member.2.Value=2&Tags.member.10.Key=c\
        &Tags.member.10.Value=%22&Tags.member.1.Key=a&Tags.member.1.Value=&Unknown.member.1=x&PolicyArns=";
    let json: Value = serde_json::from_slice(
        &decode_request(&sts::FACTS, Operation::AssumeRole.facts(), "", body).unwrap(),
    )
    .unwrap();
    assert_eq!(
        json,
        json!({"RoleArn": "arn:aws:iam::123456789012:role/demo", "RoleSessionName": "me", "DurationSeconds": 900,
            "PolicyArns": [],
            "Tags": [{"Key": "a", "Value": ""}, {"Key": "b", "Value": "2"}, {"Key": "c", "Value": "\""}]})
    );
    let error =
        decode_request(&sts::FACTS, Operation::AssumeRole.facts(), "", b"DurationSeconds=soon")
            .unwrap_err();
    assert_eq!((error.code.as_ref(), error.status), ("MalformedInput", 400));
    assert!(error.message.contains("'DurationSeconds'"), "{error}");
    let deep = format!("Tags{}=1", ".member.1".repeat(1000));
    assert!(
        decode_request(&sts::FACTS, Operation::AssumeRole.facts(), "", deep.as_bytes()).is_err()
    );
}

#[test]
fn an_answer_is_as_sts_writes_it() {
    let json = br#"{"Account":"123456789012","Arn":"arn:aws:iam::123456789012:root","UserId":"<me & you>"}"#;
    let text =
        encode_response(&sts::FACTS, Operation::GetCallerIdentity.facts(), json, "r-1").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(
        text,
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Account>123456789012</Account><Arn>arn:aws:iam::123456789012:root</Arn><UserId>&lt;me &amp; you&gt;</UserId>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    );
    let read: GetCallerIdentityResponse =
        decode_response(Operation::GetCallerIdentity.facts(), text.as_bytes()).unwrap();
    assert_eq!(read.user_id.as_deref(), Some("<me & you>"));
}

#[test]
fn instants_are_iso_in_xml() {
    let json = br#"{"Credentials":{"AccessKeyId":"ASIAEXAMPLEEXAMPLE","SecretAccessKey":"s","SessionToken":"t","Expiration":1795357857}}"#;
    let text = encode_response(&sts::FACTS, Operation::AssumeRole.facts(), json, "r").unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("<Expiration>2026-11-22T14:30:57.000Z</Expiration>"), "{text}");
    let read: AssumeRoleResponse =
        decode_response(Operation::AssumeRole.facts(), text.as_bytes()).unwrap();
    assert_eq!(
        read.credentials.unwrap().expiration,
        Some(stdx::Timestamp::from_millis(1_795_357_857_000))
    );
}

/// Drops empty structures from lists: a form has no way to say them.
fn sayable(mut value: Value) -> Value {
    match &mut value {
        Value::Array(entries) => entries.retain(|entry| *entry != json!({})),
        Value::Object(object) => {
            object.values_mut().for_each(|inner| *inner = sayable(inner.take()))
        }
        _ => {}
    }
    value
}

#[test]
fn requests_and_answers_survive_both_ways() {
    let mut chance = Chance::seeded(7);
    for _ in 0..200 {
        let facts = Operation::AssumeRole.facts();
        let request: AssumeRoleRequest =
            serde_json::from_value(sayable(valid(AssumeRoleRequest::shape(), &mut chance)))
                .unwrap();
        let body = encode_request(&sts::FACTS, facts, &request).unwrap();
        let read: AssumeRoleRequest =
            serde_json::from_slice(&decode_request(&sts::FACTS, facts, "", &body).unwrap())
                .unwrap();
        assert_eq!(read, request);
        let answer: AssumeRoleResponse =
            serde_json::from_value(valid(AssumeRoleResponse::shape(), &mut chance)).unwrap();
        let body = encode_response(&sts::FACTS, facts, &serde_json::to_vec(&answer).unwrap(), "r")
            .unwrap();
        assert_eq!(decode_response::<AssumeRoleResponse>(facts, &body).unwrap(), answer);
    }
}

static TEXT: Shape = Shape::text();
static NUMBER: Shape = Shape::integer();
static PLAIN_LIST: Shape = Shape::list(&TEXT).item("item");
static FLAT_LIST: Shape = Shape::list(&TEXT).flattened();
static PLAIN_MAP: Shape = Shape::map(&TEXT, &NUMBER);
static FLAT_MAP: Shape = Shape::map(&TEXT, &NUMBER).flattened();
static FLAG: Shape = Shape::boolean();
static EVERYTHING: Shape = Shape::structure(
    "Everything",
    &[
        Member::optional("PlainList", &PLAIN_LIST),
        Member::optional("FlatList", &FLAT_LIST),
        Member::optional("PlainMap", &PLAIN_MAP),
        Member::optional("FlatMap", &FLAT_MAP),
        Member::optional("Flag", &FLAG),
    ],
);

#[test]
fn lists_and_maps_have_their_two_forms() {
    let value = json!({"PlainList": ["a", "b"], "FlatList": ["c", "d"], "PlainMap": {"e": 1, "f": 2},
        "FlatMap": {"g": 3, "h": 4}, "Flag": true});
    let text = form::encode(Naming::Query, &EVERYTHING, "Do", "1", &value);
    assert!(text.contains("PlainList.item.2=b") && text.contains("FlatList.1=c"), "{text}");
    assert!(
        text.contains("PlainMap.entry.1.key=e") && text.contains("FlatMap.2.value=4"),
        "{text}"
    );
    assert_eq!(form::decode(Naming::Query, &EVERYTHING, b"", text.as_bytes()).unwrap(), value);
    let mut out = String::from("<Root>");
    xml::encode(&mut out, &EVERYTHING, &value);
    out.push_str("</Root>");
    assert!(
        out.contains("<PlainList><item>a</item>") && out.contains("<FlatList>c</FlatList>"),
        "{out}"
    );
    assert_eq!(xml::decode(&EVERYTHING, &xml::parse(out.as_bytes()).unwrap()).unwrap(), value);
}

#[test]
fn ec2_has_names_and_frames_of_its_own() {
    let facts = ec2::Operation::DescribeSubnets.facts();
    let body = b"Action=DescribeSubnets&Version=2016-11-15&SubnetId.2=subnet-b&SubnetId.1=subnet-a\
        &Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1&Filter.1.Value.2=vpc-2&DryRun=false&MaxResults=7";
    let read: ec2::DescribeSubnetsRequest =
        serde_json::from_slice(&decode_request(&ec2::FACTS, facts, "", body).unwrap()).unwrap();
    assert_eq!(read.subnet_ids.as_deref().unwrap(), ["subnet-a", "subnet-b"]);
    let filter = &read.filters.as_deref().unwrap()[0];
    assert_eq!(filter.name.as_deref(), Some("vpc-id"));
    assert_eq!(filter.values.as_deref().unwrap(), ["vpc-1", "vpc-2"]);
    assert_eq!((read.dry_run, read.max_results), (Some(false), Some(7)));
    let again = encode_request(&ec2::FACTS, facts, &read).unwrap();
    let again: ec2::DescribeSubnetsRequest =
        serde_json::from_slice(&decode_request(&ec2::FACTS, facts, "", &again).unwrap()).unwrap();
    assert_eq!(again, read);

    let subnet = ec2::Subnet {
        subnet_id: Some("subnet-a".into()),
        default_for_az: Some(true),
        ..Default::default()
    };
    let answer = ec2::DescribeSubnetsResult { subnets: Some(vec![subnet]), next_token: None };
    let json = serde_json::to_vec(&answer).unwrap();
    let body = encode_response(&ec2::FACTS, facts, &json, "r-1").unwrap();
    assert_eq!(
        std::str::from_utf8(&body).unwrap(),
        "<DescribeSubnetsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\"><requestId>r-1</requestId>\
         <subnetSet><item><defaultForAz>true</defaultForAz><subnetId>subnet-a</subnetId></item></subnetSet>\
         </DescribeSubnetsResponse>"
    );
    assert_eq!(decode_response::<ec2::DescribeSubnetsResult>(facts, &body).unwrap(), answer);

    let error =
        crate::Error::new("InvalidSubnetID.NotFound", 400, "The subnet ID 's' does not exist");
    let body = super::encode_error(Some(&ec2::FACTS), &error, "r-2");
    assert_eq!(
        std::str::from_utf8(&body).unwrap(),
        "<Response><Errors><Error><Code>InvalidSubnetID.NotFound</Code>\
         <Message>The subnet ID &apos;s&apos; does not exist</Message></Error></Errors>\
         <RequestID>r-2</RequestID></Response>"
    );
    assert_eq!(super::decode_error(400, &body).unwrap(), error);
}

#[test]
fn hostile_xml_is_refused() {
    let deep = "<a>".repeat(100_000);
    for body in [
        "",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        deep.as_str(),
        "<a>&unknown;</a>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "<a>&#x110000;</a>",
    ] {
        assert!(xml::parse(body.as_bytes()).is_err(), "{}", &body[..body.len().min(40)]);
    }
    assert!(xml::parse(b"\xff<a/>").is_err());
    assert!(
        decode_response::<GetCallerIdentityResponse>(Operation::GetCallerIdentity.facts(), b"<a/>")
            .is_ok()
    );
}

proptest! {
    #[test]
    fn no_form_makes_the_decoder_panic(body in "[A-Za-z0-9.=&%+ ]{0,200}") {
        let text = format!("Tags.member.1.{body}&DurationSeconds={body}");
        let _refused = decode_request(&sts::FACTS, Operation::AssumeRole.facts(), &body, text.as_bytes()).is_err();
    }

    #[test]
    fn no_xml_makes_the_decoder_panic(body in "[<>/&;#a-z!\\[\\]\"'= ]{0,200}") {
        let _refused = decode_response::<AssumeRoleResponse>(Operation::AssumeRole.facts(), body.as_bytes()).is_err();
    }
}
