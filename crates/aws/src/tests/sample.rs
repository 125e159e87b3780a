//! Random values of a shape, valid by all that the model says, and random damage to them.

#![expect(clippy::cast_possible_truncation, reason = "the models' bounds are small whole numbers")]

use serde_json::{Map, Value, json};
use stdx::{Entropy, SeededEntropy};

use crate::schema::{Kind, Shape};

/// A source of chance that a test can repeat.
pub(crate) struct Chance(SeededEntropy);

impl Chance {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.below(u64::try_from(bound.max(1)).unwrap())).unwrap()
    }
}

/// Texts that between them satisfy every pattern of the built operations.
const TEXTS: &[&str] = &[
    "größe 七 💥",
    "a",
    "abc",
    "my-name_1",
    "123456789012",
    "123456",
    "sha256:0123abcd",
    "Ym9keQ==",
    "arn:aws:iam::123456789012:role/demo",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:demo",
    // The model's pattern is escaped once too often, and means it.
    r"arn:aws:vpc-lattice:eu-west-1:\dddddddddddd:servicenetworkresourceassociation/snra-0123456789abcdefg",
    "arn:aws:events:eu-west-1:123456789012:connection/demo/00000000-0000-4000-8000-000000000000",
    "arn:aws:events:eu-west-1:123456789012:api-destination/demo/00000000-0000-4000-8000-000000000000",
    "m5.large",
    "<&\"'>\n",
    "/",
    "v1",
    "v1.0",
    "4h",
    "rate(10 days)",
    "text/plain",
    "2026-11-22",
    "us-east-1",
    "String",
    "tag:owner",
    "tag:",
    "Path",
    "arn:aws:acm:us-east-1:123456789012:certificate/a",
    "arn:aws:acm-pca:us-east-1:123456789012:certificate-authority/a",
    "arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/a",
    "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "www.example.com",
    "ami-1",
    "200",
    "HTTP",
    "ipam-pool-a",
    "ipv4pool-coip-a",
    "",
];

/// A value of `shape` that violates nothing. Optional members are there more often than not.
pub(crate) fn valid(shape: &'static Shape, chance: &mut Chance) -> Value {
    let least = shape.min.unwrap_or(0.0) as usize;
    let most = shape.max.map_or(3, |max| (max as usize).min(3)).max(least);
    match &shape.kind {
        Kind::Structure { members, .. } => {
            let mut object = Map::new();
            for member in *members {
                if member.required || chance.below(3) > 0 {
                    object.insert(member.name.to_owned(), valid(member.shape, chance));
                }
            }
            Value::Object(object)
        }
        Kind::List(of) => {
            let count = least + chance.below(most - least + 1);
            (0..count).map(|_| valid(of, chance)).collect()
        }
        Kind::Map { key, value } => {
            let mut object = Map::new();
            while object.len() < least.max(1) {
                let name = match &key.kind {
                    Kind::Words(words) => words[chance.below(words.len())].to_owned(),
                    _ => text(key, chance),
                };
                object.insert(name, valid(value, chance));
            }
            Value::Object(object)
        }
        Kind::Text => Value::from(text(shape, chance)),
        Kind::Words(words) => Value::from(words[chance.below(words.len())]),
        Kind::Integer | Kind::Long => {
            let low = shape.min.map_or(-1000, |min| min as i64);
            let high = shape.max.map_or(low + 2000, |max| max as i64);
            json!(
                low + i64::try_from(chance.below(usize::try_from(high - low + 1).unwrap()))
                    .unwrap()
            )
        }
        Kind::Double => json!(shape.min.unwrap_or(-2.5) + 0.5),
        Kind::Boolean => json!(chance.below(2) == 0),
        Kind::Timestamp if chance.below(2) == 0 => json!(1_795_357_857),
        Kind::Timestamp => json!(1_795_357_857.125),
        Kind::Blob => json!("Ym9keQ=="),
        Kind::Document => json!({"free": [1, null, {"as": "air"}]}),
    }
}

fn text(shape: &'static Shape, chance: &mut Chance) -> String {
    let start = chance.below(TEXTS.len());
    let least = shape.min.unwrap_or(0.0) as usize;
    let most = shape.max.map_or(usize::MAX, |max| max as usize);
    (0..TEXTS.len())
        .map(|at| TEXTS[(start + at) % TEXTS.len()])
        .flat_map(|text| [text.to_owned(), text.repeat(least.div_ceil(text.len().max(1)).max(1))])
        .find(|text| {
            (least..=most).contains(&text.chars().count())
                && shape.pattern.is_none_or(|pattern| pattern.matches(text))
        })
        .unwrap_or_else(|| panic!("no sample fits {:?}", shape.pattern))
}

/// Something else in the place of one random value inside.
pub(crate) fn damage(value: &mut Value, chance: &mut Chance) {
    let inside = match value {
        Value::Array(entries) => entries.len(),
        Value::Object(object) => object.len(),
        _ => 0,
    };
    if inside > 0 && chance.below(4) > 0 {
        let at = chance.below(inside);
        let inner = match value {
            Value::Array(entries) => entries.get_mut(at),
            Value::Object(object) => object.values_mut().nth(at),
            _ => None,
        };
        damage(inner.unwrap(), chance);
        return;
    }
    let others = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e300),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(2.5),
        json!(7.0),
        json!(""),
        json!("no such word 💥"),
        json!("x".repeat(100_000)),
        json!([]),
        json!([null]),
        json!({}),
        json!({"": {"": null}}),
    ];
    *value = others[chance.below(others.len())].clone();
}
