//! Tables from AWS's documentation, and properties.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Pattern;

fn takes(pattern: &Value, event: &Value) -> bool {
    let text = pattern.to_string();
    Pattern::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}")).matches(event)
}

#[test]
fn conditions_take_what_they_say() {
    for (condition, taken, left) in [
        (
            json!("a"),
            vec![json!("a"), json!(["b", "a"]), json!([["a"]])],
            vec![json!("A"), json!(""), json!(null), json!({"a": "a"})],
        ),
        (json!(""), vec![json!("")], vec![json!(null), json!("a")]),
        (json!(null), vec![json!(null)], vec![json!(""), json!("null"), json!(0)]),
        (json!(true), vec![json!(true)], vec![json!(false), json!("true")]),
        (json!(300), vec![json!(300)], vec![json!(300.0), json!("300"), json!(301)]),
        (json!({"prefix": "us-"}), vec![json!("us-east-1")], vec![json!("eu-us-"), json!(5)]),
        (
            json!({"prefix": {"equals-ignore-case": "EventB"}}),
            vec![json!("eventbridge"), json!("EVENTB")],
            vec![json!("event")],
        ),
        (
            json!({"suffix": ".png"}),
            vec![json!("a.png"), json!(".png")],
            vec![json!("a.PNG"), json!("png")],
        ),
        (
            json!({"suffix": {"equals-ignore-case": ".png"}}),
            vec![json!("a.PNG")],
            vec![json!("a.jpg")],
        ),
        (
            json!({"equals-ignore-case": "alice"}),
            vec![json!("ALICE"), json!("Alice")],
            vec![json!("alic")],
        ),
        (
            json!({"wildcard": "dir/*.png"}),
            vec![json!("dir/a.png"), json!("dir/b/c.png"), json!("dir/.png")],
            vec![json!("dir/.pn"), json!("xdir/a.png")],
        ),
        (
            json!({"wildcard": "*/lib/*"}),
            vec![json!("a/lib/b"), json!("/lib/")],
            vec![json!("lib/")],
        ),
        (json!({"wildcard": "a*a"}), vec![json!("aa"), json!("aba")], vec![json!("a")]),
        (json!({"wildcard": "a\\*b"}), vec![json!("a*b")], vec![json!("axb")]),
        (
            json!({"numeric": [">", 10, "<=", 20]}),
            vec![json!(11), json!(20), json!(10.5), json!(20.0)],
            vec![json!(10), json!(21), json!("15")],
        ),
        (
            json!({"numeric": ["=", 100]}),
            vec![json!(100), json!(100.0), json!(1e2)],
            vec![json!(99)],
        ),
        (
            json!({"cidr": "10.0.0.0/24"}),
            vec![json!("10.0.0.255")],
            vec![json!("10.0.1.0"), json!("x"), json!("::1")],
        ),
        (
            json!({"cidr": "2001:db8::/32"}),
            vec![json!("2001:db8:1::1")],
            vec![json!("2001:db9::"), json!("10.0.0.1")],
        ),
        (
            json!({"exists": true}),
            vec![json!("a"), json!(null), json!(["a"])],
            vec![json!({"a": 1}), json!([])],
        ),
        (
            json!({"anything-but": "a"}),
            vec![json!("b"), json!(5), json!(["a", "b"])],
            vec![json!("a"), json!([])],
        ),
        (json!({"anything-but": ["a", "b"]}), vec![json!("c")], vec![json!("a"), json!("b")]),
        (
            json!({"anything-but": [100, 200]}),
            vec![json!(300), json!("100")],
            vec![json!(100), json!(200.0)],
        ),
        (
            json!({"anything-but": {"prefix": "us-"}}),
            vec![json!("eu-1"), json!(5)],
            vec![json!("us-1")],
        ),
        (
            json!({"anything-but": {"prefix": ["us-", "eu-"]}}),
            vec![json!("ap-1")],
            vec![json!("us-1"), json!("eu-1")],
        ),
        (json!({"anything-but": {"suffix": ".png"}}), vec![json!("a.jpg")], vec![json!("a.png")]),
        (
            json!({"anything-but": {"equals-ignore-case": ["init", "done"]}}),
            vec![json!("up")],
            vec![json!("INIT"), json!("Done")],
        ),
        (
            json!({"anything-but": {"wildcard": "*/lib/*"}}),
            vec![json!("/bin/x")],
            vec![json!("/lib/x")],
        ),
    ] {
        let pattern = json!({"m": [condition]});
        for value in taken {
            assert!(takes(&pattern, &json!({"m": value})), "{pattern} takes {value}");
        }
        for value in left {
            assert!(!takes(&pattern, &json!({"m": value})), "{pattern} leaves {value}");
        }
    }
}

#[test]
fn members_are_together_and_lists_are_choices() {
    let event = json!({
        "source": "aws.ecs",
        "detail-type": "ECS Task State Change",
        "resources": ["arn:1", "arn:2"],
        "detail": {
            "lastStatus": "STOPPED",
            "containers": [{"name": "a", "exitCode": 0}, {"name": "b", "exitCode": 1}],
            "none": null
        }
    });
    for (pattern, expected) in [
        (json!({"source": ["aws.ecs"]}), true),
        (json!({"source": ["aws.ec2", "aws.ecs"], "resources": ["arn:2"]}), true),
        (json!({"source": ["aws.ecs"], "detail-type": ["other"]}), false),
        (json!({"detail": {"lastStatus": ["STOPPED"], "none": [null]}}), true),
        (json!({"detail": {"containers": {"name": ["a"], "exitCode": [0]}}}), true),
        // Of one container, not of any two.
        (json!({"detail": {"containers": {"name": ["a"], "exitCode": [1]}}}), false),
        (json!({"detail": {"missing": [{"exists": false}]}}), true),
        (json!({"other": {"missing": [{"exists": false}]}}), true),
        (json!({"other": {"missing": [{"exists": true}]}}), false),
        (json!({"detail": {"lastStatus": [{"exists": false}, "STOPPED"]}}), true),
        (json!({"$or": [{"source": ["x"]}, {"detail": {"lastStatus": ["STOPPED"]}}]}), true),
        (json!({"$or": [{"source": ["x"]}, {"source": ["y"]}]}), false),
        (
            json!({"source": ["aws.ecs"], "detail": {"$or": [{"lastStatus": ["RUNNING"]}, {"containers": {"exitCode": [{"numeric": [">", 0]}]}}]}}),
            true,
        ),
    ] {
        assert_eq!(takes(&pattern, &event), expected, "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_a_reason() {
    for (text, why) in [
        ("", "EOF"),
        ("[]", "not an object"),
        ("{}", "Empty objects"),
        ("{\"a\": 1}", "\"a\" must be an object or an array"),
        ("{\"a\": []}", "Empty arrays are not allowed at a"),
        ("{\"a\": {\"b\": {}}}", "Empty objects are not allowed at a.b"),
        ("{\"a\": [[1]]}", "Match value"),
        ("{\"a\": [{\"b\": [1]}]}", "Unrecognized match type b"),
        ("{\"a\": [{}]}", "Empty match"),
        ("{\"a\": [{\"prefix\": \"x\", \"suffix\": \"y\"}]}", "Only one key"),
        ("{\"a\": [{\"prefix\": 5}]}", "prefix match pattern must be a string"),
        ("{\"a\": [{\"exists\": 1}]}", "either true or false"),
        ("{\"a\": [{\"numeric\": []}]}", "operator and a number"),
        ("{\"a\": [{\"numeric\": [\"!\", 1]}]}", "Unrecognized numeric range operator: !"),
        ("{\"a\": [{\"numeric\": [\">\", \"1\"]}]}", "must be numeric"),
        ("{\"a\": [{\"numeric\": [\">\", 6e9]}]}", "5.0E9"),
        ("{\"a\": [{\"numeric\": [\">\", 5, \"<\", 5]}]}", "Bottom must be less than top"),
        ("{\"a\": [{\"numeric\": [\">\", 1, \">\", 2]}]}", "range"),
        ("{\"a\": [{\"cidr\": \"10.0.0.0/33\"}]}", "Malformed CIDR"),
        ("{\"a\": [{\"wildcard\": \"a**\"}]}", "Consecutive wildcard"),
        ("{\"a\": [{\"wildcard\": \"a\\\\b\"}]}", "Invalid escape"),
        ("{\"a\": [{\"anything-but\": [1, \"a\"]}]}", "mixed type"),
        ("{\"a\": [{\"anything-but\": []}]}", "Empty arrays"),
        ("{\"a\": [{\"anything-but\": {\"numeric\": [\">\", 1]}}]}", "Unsupported anything-but"),
        ("{\"a\": [1], \"a\": [2]}", "multiple times"),
        ("{\"$or\": [{\"a\": [1]}]}", "Unrecognized match type a"),
    ] {
        let error = Pattern::parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let long = format!("{{\"a\": [\"{}\"]}}", "x".repeat(super::LONGEST));
    assert!(Pattern::parse(&long).unwrap_err().why.contains("4096"));
    let deep = "{\"a\":".repeat(500) + "[1]" + &"}".repeat(500);
    assert!(Pattern::parse(&deep).is_err());
}

/// Documents of a few names and values, so that patterns made of them meet often.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        "[ab]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[xyz]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The pattern that asks for every leaf of an object outside of lists.
fn of(event: &Value) -> Option<Value> {
    let members = event.as_object()?;
    let mut pattern = serde_json::Map::new();
    for (name, value) in members {
        let want = match value {
            Value::Object(_) => of(value),
            Value::Array(_) => None,
            leaf => Some(json!([leaf])),
        };
        if let Some(want) = want {
            pattern.insert(name.clone(), want);
        }
    }
    (!pattern.is_empty()).then_some(Value::Object(pattern))
}

proptest! {
    #[test]
    fn an_event_is_taken_by_the_pattern_of_its_values(event in document()) {
        if let Some(pattern) = of(&event) {
            prop_assert!(takes(&pattern, &event));
        }
    }

    #[test]
    fn anything_but_is_the_opposite_for_a_single_value(wanted in "[ab]{0,2}", is in "[ab]{0,2}") {
        let event = json!({"m": is});
        let same = takes(&json!({"m": [wanted]}), &event);
        prop_assert_eq!(takes(&json!({"m": [{"anything-but": wanted}]}), &event), !same);
        let begins = takes(&json!({"m": [{"prefix": wanted}]}), &event);
        prop_assert_eq!(takes(&json!({"m": [{"anything-but": {"prefix": wanted}}]}), &event), !begins);
    }

    #[test]
    fn a_wildcard_says_what_a_slow_search_says(like in "[ab*]{0,6}", text in "[ab]{0,8}") {
        fn slow(like: &[u8], text: &[u8]) -> bool {
            match like.split_first() {
                None => text.is_empty(),
                Some((b'*', rest)) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
                Some((c, rest)) => text.split_first().is_some_and(|(t, left)| t == c && slow(rest, left)),
            }
        }
        prop_assume!(!like.contains("**"));
        let found = takes(&json!({"m": [{"wildcard": like}]}), &json!({"m": text}));
        prop_assert_eq!(found, slow(like.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn any_text_is_a_pattern_or_refused_and_nothing_breaks(text in "[\\[\\]{}\":,a$or0-9<>=*\\\\. ]{0,60}", event in document()) {
        if let Ok(pattern) = Pattern::parse(&text) {
            pattern.matches(&event);
        }
    }

    #[test]
    fn any_document_is_a_pattern_or_refused(pattern in document(), event in document()) {
        if let Ok(pattern) = Pattern::parse(&pattern.to_string()) {
            pattern.matches(&event);
        }
    }
}
