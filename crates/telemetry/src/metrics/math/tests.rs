//! Expressions and what they are worth.

use std::collections::BTreeMap;

use super::{Inputs, Series, Value, evaluate, parse};
use crate::metrics::memory::Span;

const SPAN: Span = Span { from: 0, to: 240, period: 60 };

fn series(points: &[(i64, f64)]) -> Value {
    Value::One(Series {
        label: "m".to_owned(),
        period: 60,
        points: points.iter().copied().collect(),
    })
}

fn inputs() -> BTreeMap<String, Value> {
    [
        ("m1", series(&[(0, 1.0), (60, 2.0), (120, 4.0), (180, 8.0)])),
        ("m2", series(&[(0, 10.0), (120, 0.0), (180, 2.0)])),
        ("empty", series(&[])),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn value(text: &str) -> Result<Value, String> {
    let values = inputs();
    let metrics = ["m1".to_owned(), "m2".to_owned()];
    let expression = parse(text).map_err(|error| error.why)?;
    evaluate(&expression, &Inputs { values: &values, metrics: &metrics, span: SPAN })
        .map_err(|error| error.why)
}

#[test]
fn numbers() {
    for (text, expected) in [
        ("1+2*3", 7.0),
        ("(1+2)*3", 9.0),
        ("2^3^2", 64.0),
        ("-2^2", -4.0),
        ("10-3-2", 5.0),
        ("7/2", 3.5),
        ("1 < 2 && 3 >= 4", 0.0),
        ("1 == 1 OR 0", 1.0),
        ("AVG(m1)", 3.75),
        ("SUM(m1)", 15.0),
        ("MAX(m1) - MIN(m1)", 7.0),
        ("STDDEV(m2)", (56.0_f64 / 3.0).sqrt()),
        ("PERIOD(m1)", 60.0),
        ("METRIC_COUNT(METRICS())", 2.0),
        ("CEIL(1.2) + FLOOR(1.8) + ABS(-3)", 6.0),
        ("IF(1 > 2, 3, 4)", 4.0),
        ("LOG10(1000)", 3.0),
    ] {
        match value(text) {
            Ok(Value::Number(found)) => assert!((found - expected).abs() < 1e-9, "{text}: {found}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn series_point_by_point() {
    for (text, expected) in [
        ("m1+m2", &[(0, 11.0), (120, 4.0), (180, 10.0)][..]),
        ("m1*100/2", &[(0, 50.0), (60, 100.0), (120, 200.0), (180, 400.0)]),
        ("m1/m2", &[(0, 0.1), (180, 4.0)]),
        ("m1 > 2", &[(0, 0.0), (60, 0.0), (120, 1.0), (180, 1.0)]),
        ("DIFF(m1)", &[(60, 1.0), (120, 2.0), (180, 4.0)]),
        ("RATE(m1)", &[(60, 1.0 / 60.0), (120, 2.0 / 60.0), (180, 4.0 / 60.0)]),
        ("RUNNING_SUM(m1)", &[(0, 1.0), (60, 3.0), (120, 7.0), (180, 15.0)]),
        ("FILL(m2, 5)", &[(0, 10.0), (60, 5.0), (120, 0.0), (180, 2.0)]),
        ("FILL(m2, REPEAT)", &[(0, 10.0), (60, 10.0), (120, 0.0), (180, 2.0)]),
        ("FILL(m2, LINEAR)", &[(0, 10.0), (60, 5.0), (120, 0.0), (180, 2.0)]),
        ("FILL(m2, m1)", &[(0, 10.0), (60, 2.0), (120, 0.0), (180, 2.0)]),
        ("FILL(empty, 0)", &[(0, 0.0), (60, 0.0), (120, 0.0), (180, 0.0)]),
        ("SUM(METRICS())", &[(0, 11.0), (60, 2.0), (120, 4.0), (180, 10.0)]),
        ("MAX([m1, m2])", &[(0, 10.0), (60, 2.0), (120, 4.0), (180, 8.0)]),
        ("AVG([m1, 0])", &[(0, 0.5), (60, 1.0), (120, 2.0), (180, 4.0)]),
        ("IF(m1 > 2, m1)", &[(120, 4.0), (180, 8.0)]),
        ("IF(m1 > 2, 1, -m1)", &[(0, -1.0), (60, -2.0), (120, 1.0), (180, 1.0)]),
        ("FIRST(METRICS(\"m2\"))", &[(0, 10.0), (120, 0.0), (180, 2.0)]),
        ("TIME_SERIES(3)", &[(0, 3.0), (60, 3.0), (120, 3.0), (180, 3.0)]),
        ("AVG(empty)", &[]),
    ] {
        match value(text) {
            Ok(Value::One(found)) => {
                let found: Vec<(i64, f64)> = found.points.into_iter().collect();
                assert_eq!(found, expected, "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn lists_stay_lists() {
    let Ok(Value::Many(found)) = value("METRICS() * 2") else { panic!() };
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].points[&0], 20.0);
}

#[test]
fn what_has_no_value_says_why() {
    for (text, part) in [
        ("", "ends"),
        ("m1 +", "ends"),
        ("m1 m2", "position 3"),
        ("m3", "'m3'"),
        ("NOSUCH(m1)", "NOSUCH"),
        ("SEARCH('{AWS/ECS} x', 'Sum')", "not built"),
        ("SUM(m1, m2)", "one value"),
        ("METRICS() + METRICS()", "lists"),
        ("RATE(3)", "series"),
        ("1..2", "position 0"),
        ("m1 ? 2", "position 3"),
        ("(1", "ends"),
        ("[m1", "ends"),
        ("'a", "position 0"),
        ("\"a\" + 1", "Text"),
    ] {
        let why = value(text).unwrap_err();
        assert!(why.contains(part), "{text}: {why}");
    }
    let deep = "(".repeat(500);
    assert!(value(&deep).unwrap_err().contains("nested"));
    assert!(value(&"-".repeat(500)).unwrap_err().contains("nested"));
    assert!(value(&"1+".repeat(2000)).unwrap_err().contains("characters"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-zA-Z0-9+*/^()\\[\\],<>=!&|\"'. -]{0,60}") {
        drop(value(&text));
    }
}
