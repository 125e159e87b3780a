//! The language as it is documented, what is refused of it, and what holds for whatever is written.

use proptest::prelude::*;

use super::*;

/// An instance to ask.
struct Sample {
    attributes: Vec<(&'static str, &'static str)>,
    groups: Vec<&'static str>,
    version: Option<&'static str>,
}

impl Facts for Sample {
    fn agent_connected(&self) -> bool {
        true
    }
    fn agent_version(&self) -> Option<&str> {
        self.version
    }
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
    fn ec2_instance_id(&self) -> Option<&str> {
        Some("i-abcd1234")
    }
    fn registered_at(&self) -> Timestamp {
        Timestamp::parse("2018-02-12T10:00:00.250Z").unwrap()
    }
    fn running_tasks(&self) -> u32 {
        1
    }
    fn hosts(&self, passes: &dyn Fn(&str) -> bool) -> bool {
        self.groups.iter().any(|group| passes(group))
    }
}

fn sample() -> Sample {
    Sample {
        attributes: vec![
            ("ecs.instance-type", "g2.2xlarge"),
            ("ecs.availability-zone", "us-east-1a"),
            ("stack", "prod"),
            ("generation", "10"),
            ("flag", ""),
        ],
        groups: vec!["service:production", "family:web"],
        version: Some("1.14.3"),
    }
}

fn holds(text: &str) -> bool {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).holds(&sample())
}

#[test]
fn documented_examples_are_understood() {
    for (text, expected) in [
        ("attribute:ecs.instance-type == t2.small", false),
        ("attribute:ecs.availability-zone in [us-east-1a, us-east-1b]", true),
        (
            "attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d",
            true,
        ),
        ("task:group == service:production", true),
        ("not(task:group == database)", true),
        ("runningTasksCount == 1", true),
        ("agentVersion < 1.14.5", true),
        ("registeredAt < 2018-02-13", true),
        ("ec2InstanceId in ['i-abcd1234', 'i-wxyx7890']", true),
        ("attribute:stack==prod", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn operators_have_two_spellings_and_their_opposites() {
    for (text, expected) in [
        ("attribute:stack equals prod", true),
        ("attribute:stack not_equals prod", false),
        ("attribute:none != prod", true),
        ("attribute:generation > 9", true),
        ("attribute:generation greater_than_equal 10", true),
        ("attribute:generation < 9", false),
        ("attribute:generation less_than_equal 10", true),
        ("attribute:stack > prod", false),
        ("attribute:stack greater_than pro", true),
        ("attribute:flag exists", true),
        ("attribute:flag == ''", true),
        ("attribute:none exists", false),
        ("attribute:none !exists", true),
        ("attribute:stack not_exists", false),
        ("attribute:stack !in [test]", true),
        ("attribute:stack not_in [test,'prod']", false),
        ("attribute:stack matches pr|qu", false),
        ("attribute:stack matches (pro|qua)d?", true),
        ("attribute:stack !~ pro", true),
        ("attribute:stack not_matches [a-p]rod", false),
        ("agentConnected == true", true),
        ("agentConnected in [false]", false),
        ("agentConnected =~ tr.e", true),
        ("agentVersion == 1.14.3", true),
        ("agentVersion != 1.14.3.0", false),
        ("agentVersion >= 1.9.0", true),
        ("agentVersion > 1.14.3-dev", true),
        ("registeredAt >= 2018-02-12T10:00:00", true),
        ("registeredAt <= 2018-02-12T10:00:00Z", true),
        ("registeredAt == 2018-02-12T11:00:00+01:00", true),
        ("runningTasksCount >= 2", false),
        ("ec2InstanceId =~ i-ab.*", true),
        ("task:group in [database, family:web]", true),
        ("task:group =~ 'service:.*'", true),
        ("task:group exists", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn an_agent_without_a_version_is_neither_older_nor_newer() {
    let unknown = Sample { version: None, ..sample() };
    for (text, expected) in
        [("agentVersion < 2", false), ("agentVersion >= 2", false), ("agentVersion != 2", true)]
    {
        assert_eq!(parse(text).unwrap().holds(&unknown), expected, "{text}");
    }
}

#[test]
fn precedence_is_not_before_and_before_or() {
    assert!(holds("attribute:stack == prod || attribute:none exists && attribute:none exists"));
    assert!(!holds("(attribute:stack == prod or attribute:none exists) and attribute:none exists"));
    assert!(!holds("!attribute:stack == prod && attribute:stack == prod"));
    assert!(holds("not not attribute:stack == prod"));
    assert!(holds("!(attribute:stack == a)&&(attribute:stack==prod)"));
}

#[test]
fn quotes_hold_what_would_end_a_value() {
    let test = |text: &str| match parse(text).unwrap() {
        Query::Test { test: Test::Attribute(_, Match::Compares(_, value)), .. } => value,
        other => panic!("{other:?}"),
    };
    assert_eq!(test("attribute:a == 'b c'"), "b c");
    assert_eq!(test("attribute:a == \"b ' c\""), "b ' c");
    assert_eq!(test(r"attribute:a == 'b \' \\ \d'"), r"b ' \ \d");
    assert_eq!(test(r"attribute:a == C:\x"), r"C:\x");
}

#[test]
fn what_cannot_be_read_says_where_and_what_was_expected() {
    for (text, at, expected) in [
        ("", 1, "a subject"),
        ("attribute:x", 12, "an operator"),
        ("attribute: == x", 11, "the name of an attribute"),
        ("attribute:x = y", 13, "an operator"),
        ("attribute:x == ", 16, "a value"),
        ("zone == x", 1, "a subject"),
        ("attribute:x == y z", 18, "and, or, or the end"),
        ("attribute:x == y and", 18, "and, or, or the end"),
        ("attribute:x == y and ", 22, "a subject"),
        ("(attribute:x == y", 18, "a closing parenthesis"),
        ("attribute:x == y)", 17, "and, or, or the end"),
        ("attribute:x in a", 16, "a list"),
        ("attribute:x in [a b]", 19, "a comma or ]"),
        ("attribute:x in []", 17, "a value"),
        ("attribute:x == 'y", 18, "a closing '"),
        ("agentVersion =~ 1", 14, "one of the operators =="),
        ("agentVersion > new", 16, "a version"),
        ("agentConnected == yes", 19, "true or false"),
        ("agentConnected exists", 16, "one of the operators =="),
        ("ec2InstanceId > i-1", 15, "one of the operators =="),
        ("registeredAt < yesterday", 16, "a date"),
        ("registeredAt < 2018-02-30", 16, "a date"),
        ("runningTasksCount == -1", 22, "a number"),
        ("runningTasksCount == few", 22, "a number"),
        ("task:group > a", 12, "one of the operators =="),
        ("attribute:x =~ (?=a)b", 16, "a pattern without look-ahead ((?=)"),
        ("attribute:x =~ '(?<!a)b'", 16, "a pattern without negative look-behind"),
        (r"attribute:x =~ '(a)\1'", 16, "a pattern without a back-reference"),
        ("attribute:x =~ a*+", 16, "a pattern without possessive quantifier"),
        (r"attribute:x =~ '\p{L}'", 16, "a pattern without Unicode classes"),
        ("attribute:x =~ 'a('", 16, "a regular expression"),
        ("attribute:x =~ 'a)(b'", 16, "a regular expression"),
        ("attribute:x =~ a{1000}{1000}", 16, "a regular expression"),
        ("größe == x", 1, "a subject"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(
            error.expected.starts_with(expected) || error.expected.contains(expected),
            "{error}"
        );
    }
    let error = parse("attribute:x == y and zone == a").unwrap_err();
    assert!(error.to_string().ends_with("found \"zone\""), "{error}");
}

#[test]
fn size_and_depth_are_limited() {
    let deep = |n: usize| format!("{}attribute:x exists{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(MOST_NESTED - 1)).is_ok());
    assert!(parse(&deep(MOST_NESTED)).unwrap_err().expected.contains("levels of nesting"));
    assert!(parse(&format!("{}x", "!".repeat(LONGEST - 1))).is_err());
    let chain = |n| vec!["task:group == a"; n].join(" or ");
    assert!(parse(&chain(100)).is_ok(), "a chain is not deep");
    assert!(parse(&chain(200)).unwrap_err().expected.contains("bytes"));
}

#[test]
fn records_hold_the_text_and_are_read_back() {
    let expression = Expression::parse(" attribute:stack  ==  prod").unwrap();
    let record = rmp_serde::to_vec_named(&crate::PlacementConstraint::MemberOf(expression.clone()));
    let text = rmp_serde::to_vec_named(&std::collections::BTreeMap::from([(
        "MemberOf",
        " attribute:stack  ==  prod",
    )]));
    assert_eq!(record.as_ref().unwrap(), &text.unwrap(), "as before there were expressions");
    let back: crate::PlacementConstraint = rmp_serde::from_slice(&record.unwrap()).unwrap();
    assert_eq!(back, crate::PlacementConstraint::MemberOf(expression));
    // One that no version of the language knows loads all the same, and selects nothing.
    let odd = rmp_serde::to_vec_named("instance.zone is near").unwrap();
    let odd: Expression = rmp_serde::from_slice(&odd).unwrap();
    assert_eq!(odd.text(), "instance.zone is near");
    assert!(!odd.holds(&sample()));
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Equal),
        Just(Order::Greater),
        Just(Order::GreaterEqual),
        Just(Order::Less),
        Just(Order::LessEqual),
    ]
}

fn wanted(ordered: bool, optional: bool) -> impl Strategy<Value = Match> {
    let value = || prop_oneof!["[a-z0-9.:@/-]{1,8}", "[ -~äß\\\\'\"]{0,8}"];
    let pattern = prop_oneof!["[a-z]{1,4}[.][*]", "[(]a[|]b[)][+]?", "[\\\\][.]x'"];
    prop_oneof![
        (order(), value()).prop_map(move |(order, value)| {
            Match::Compares(if ordered { order } else { Order::Equal }, value)
        }),
        prop::collection::vec(value(), 1..4).prop_map(Match::In),
        pattern.prop_map(|source| Match::Like(Pattern::new(&source).unwrap())),
        Just(if optional { Match::Exists } else { Match::In(vec!["a".to_owned()]) }),
    ]
}

fn test() -> impl Strategy<Value = Query> {
    let test = prop_oneof![
        any::<bool>().prop_map(|is| Test::AgentConnected(Match::In(vec![is.to_string()]))),
        (order(), "[0-9]{1,3}([.][0-9]{1,3}){0,3}(-[a-z]{1,4})?")
            .prop_map(|(order, v)| Test::AgentVersion(order, Version::parse(&v).unwrap())),
        ("[a-z][a-zA-Z0-9._/-]{0,8}", wanted(true, true)).prop_map(|(n, w)| Test::Attribute(n, w)),
        wanted(false, false).prop_map(Test::Ec2InstanceId),
        wanted(false, true).prop_map(Test::TaskGroup),
        (order(), 0..4_000_000_000_i64)
            .prop_map(|(o, s)| Test::RegisteredAt(o, Timestamp::from_millis(s * 1000))),
        (order(), any::<u32>()).prop_map(|(order, n)| Test::RunningTasks(order, n)),
    ];
    (test, any::<bool>()).prop_map(|(test, negated)| {
        // Orders other than equality have no negated operator.
        let ordered = match &test {
            Test::AgentVersion(order, _)
            | Test::RegisteredAt(order, _)
            | Test::RunningTasks(order, _)
            | Test::Attribute(_, Match::Compares(order, _)) => *order != Order::Equal,
            Test::Attribute(..)
            | Test::AgentConnected(_)
            | Test::Ec2InstanceId(_)
            | Test::TaskGroup(_) => false,
        };
        Query::Test { test, negated: negated && !ordered }
    })
}

/// Any query as it can be written: chains of two or more, of which none stands bare in its like.
fn query() -> impl Strategy<Value = Query> {
    test().prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Query::Or),
            inner.prop_map(|one| Query::Not(Box::new(one))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_displayed_is_read_as_the_same(query in query()) {
        let text = query.to_string();
        prop_assume!(text.len() <= LONGEST);
        prop_assert_eq!(parse(&text).map_err(|e| format!("{text}: {e}")), Ok(query));
    }

    #[test]
    fn nothing_that_is_written_panics(text in "\\PC{0,60}") {
        _ = parse(&text);
    }

    #[test]
    fn nothing_made_of_the_languages_own_words_panics(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "attribute:a", "attribute:", "task:group", "agentVersion", "registeredAt", "not", "!",
                "and", "&&", "or", "||", "(", ")", "==", "!=", "in", "!in", "exists", "[", "]", ",",
                "=~", "'", "\"", "\\", "a", "ä", "1.2", "2018-06-18", " ", "(?=", "*", "+", "{9}",
            ]),
            0..24,
        ),
        spaced in any::<bool>(),
    ) {
        let text = words.join(if spaced { " " } else { "" });
        if let Ok(query) = parse(&text) {
            let again = query.to_string();
            prop_assert_eq!(parse(&again).map_err(|e| format!("{again}: {e}")), Ok(query));
        }
    }

    #[test]
    fn an_order_holds_as_its_negation_does_not(query in query()) {
        let opposite = Query::Not(Box::new(query.clone()));
        prop_assert_ne!(query.holds(&sample()), opposite.holds(&sample()));
    }
}
