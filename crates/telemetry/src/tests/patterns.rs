//! Filter patterns: what they match, what they do not, and how a wrong one is told.

use proptest::prelude::*;

use crate::pattern::Pattern;

fn matches(pattern: &str, message: &str) -> bool {
    Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}")).matches(message)
}

#[test]
fn terms() {
    for (pattern, yes, no) in [
        ("", "anything", None),
        ("   ", "anything", None),
        ("ERROR", "[ERROR 400] BAD", Some("[error 400] bad")),
        ("ERROR 400", "400 ERROR", Some("ERROR 401")),
        ("\"two words\"", "these two words here", Some("two  words")),
        ("\"a \\\"b\\\" \\\\\"", "x a \"b\" \\ y", Some("a b")),
        ("?ERROR ?WARN", "a WARN", Some("INFO")),
        ("ERROR -EXITING", "ERROR 1", Some("ERROR EXITING")),
        ("-\"not this\"", "this", Some("not this")),
        ("ERROR ?WARN", "ERROR", Some("WARN")),
        ("%4[0-9]{2}%", "status 404", Some("status 504")),
        ("%^AUTH% -%DENIED$%", "AUTHORIZED", Some("AUTHORIZED DENIED")),
        ("été", "un été", Some("un ete")),
    ] {
        assert!(matches(pattern, yes), "{pattern} on {yes}");
        assert!(no.is_none_or(|no| !matches(pattern, no)), "{pattern} on {no:?}");
    }
}

#[test]
fn json() {
    let message = r#"{"level":"ERROR","took":12.5,"ok":true,"user":null,"n":{"a.b":[{"id":7},"x"]},
        "cluster-name":"c1","path":"/api/v1/users","list":[1,2]}"#;
    for (pattern, expected) in [
        (r#"{ $.level = "ERROR" }"#, true),
        (r#"{$.level="ERROR"}"#, true),
        (r#"{ $.level = ERROR }"#, true),
        (r#"{ $.level = "ERR*" }"#, true),
        (r#"{ $.level = "*RO*" }"#, true),
        (r#"{ $.level = "E*R*R" }"#, true),
        (r#"{ $.level = "ERROR*ERROR" }"#, false),
        (r#"{ $.level = "*" }"#, true),
        (r#"{ $.level = "error" }"#, false),
        (r#"{ $.level != "INFO" }"#, true),
        (r#"{ $.level != "ERROR" }"#, false),
        (r#"{ $.missing != "ERROR" }"#, false),
        (r#"{ $.level = %^ERR% }"#, true),
        (r#"{ $.level != %^ERR% }"#, false),
        (r#"{ $.path = "/api/*/users" }"#, true),
        (r#"{ $.took > 12 && $.took < 13 }"#, true),
        (r#"{ $.took >= 12.5 && $.took <= 1.25e1 }"#, true),
        (r#"{ $.took = 12.5 }"#, true),
        (r#"{ $.took != 12.5 }"#, false),
        (r#"{ $.took > 13 || $.level = "ERROR" }"#, true),
        (r#"{ ($.took > 13 || $.level = "ERROR") && $.ok IS FALSE }"#, false),
        (r#"{ $.took > 13 || $.level = "ERROR" && $.ok IS FALSE }"#, false),
        (r#"{ $.level = "ERROR" || $.took > 13 && $.ok IS FALSE }"#, true),
        (r#"{ $.ok IS TRUE }"#, true),
        (r#"{ $.user IS NULL }"#, true),
        (r#"{ $.missing IS NULL }"#, false),
        (r#"{ $.missing NOT EXISTS }"#, true),
        (r#"{ $.user not exists }"#, false),
        (r#"{ $.n.['a.b'][0].id = 7 }"#, true),
        (r#"{ $.n["a.b"][1] = "x" }"#, true),
        (r#"{ $.n["a.b"][2] NOT EXISTS }"#, true),
        (r#"{ $.cluster-name = "c1" }"#, true),
        (r#"{ $.list[1] = 2 }"#, true),
        (r#"{ $.list = 2 }"#, false),
        (r#"{ $.level > 3 }"#, false),
        (r#"{ $.took = "12.5" }"#, false),
    ] {
        assert_eq!(matches(pattern, message), expected, "{pattern}");
    }
    for message in ["", "ERROR", "{", "[1]", "\"x\"", "null", r#"{"level": "ERROR""#] {
        assert!(!matches(r#"{ $.level = "ERROR" }"#, message), "{message}");
        assert_eq!(matches("{ $.a NOT EXISTS }", message), message == "[1]", "{message}");
    }
}

#[test]
fn wrong_patterns_say_what_is_wrong() {
    for (pattern, says) in [
        ("foo-bar", "Invalid character(s) in term 'foo-bar'"),
        ("\"open", "is not closed"),
        ("\"a\"b", "A space is expected before 'b'"),
        ("\"\"", "is empty"),
        ("?", "A term is expected"),
        ("%a", "no closing '%'"),
        ("%a(b)%", "The character '(' is not supported"),
        ("%[%", "The expression %[%"),
        ("[ip, user]", "Space-delimited patterns"),
        ("{ $.a = 1", "ends with '}'"),
        ("{ }", "A selector such as $.name is expected"),
        ("{ a = 1 }", "in place of 'a'"),
        ("{ $ = 1 }", "A selector is '$.'"),
        ("{ $. = 1 }", "member's name is expected"),
        ("{ $.a }", "A comparison, IS or NOT EXISTS"),
        ("{ $.a = }", "A value is expected at the end"),
        ("{ $.a = && }", "A value is expected in place of '&&'"),
        ("{ $.a > \"x\" }", "Only numbers can be compared by order"),
        ("{ $.a IS 5 }", "NULL, TRUE or FALSE, not '5'"),
        ("{ $.a NOT NULL }", "After NOT comes EXISTS"),
        ("{ ($.a = 1 }", "parenthesis is not closed"),
        ("{ $.a = 1 $.b = 2 }", "'&&', '||' or '}' is expected before a selector"),
        ("{ $.a[x] = 1 }", "In brackets stands an index"),
    ] {
        let error = Pattern::parse(pattern).expect_err(pattern);
        assert_eq!(error.code(), "InvalidParameterException");
        assert!(error.to_string().contains(says), "{pattern}: {error}");
    }
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(100), ")".repeat(100));
    assert!(Pattern::parse(&deep).unwrap_err().to_string().contains("nested deeper"));
    assert!(Pattern::parse(&"a".repeat(1025)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(pattern in any::<String>(), inside in "[ -~]{0,40}", message in any::<String>()) {
        for pattern in [pattern.clone(), format!("{{{inside}}}"), format!("{{ $.a{pattern} }}"), inside] {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&message);
                pattern.matches(r#"{"a":[{"b":"c"}]}"#);
            }
        }
    }

    #[test]
    fn a_quoted_term_finds_its_own_text(text in "[a-z\"\\\\ ]{1,10}", around in "[x-z ]{0,5}") {
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let message = format!("{around}{text}{around}");
        prop_assert!(matches(&quoted, &message));
    }
}
