//! A statement's conditions: all of them have to hold.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use std::cmp::Ordering::{Equal, Greater, Less};

use super::Context;
use super::values::Comparison;

/// One key under one operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) operator: Operator,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

/// An operator with its prefix and suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    test: Test,
    over: Over,
    if_exists: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// `Null`: whether the key is absent.
    Null,
    /// One of the values satisfies the comparison, or, negated, none does.
    Compare(Comparison, bool),
}

/// How several values of the request are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// One is expected.
    One,
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

impl Operator {
    /// Reads `ForAnyValue:StringLikeIfExists` and its like.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (over, rest) = match text.split_once(':') {
            None => (Over::One, text),
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ForAllValues") => {
                (Over::All, rest)
            }
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("ForAnyValue") => (Over::Any, rest),
            Some(_) => return None,
        };
        let lower = rest.to_ascii_lowercase();
        let (name, if_exists) = match lower.strip_suffix("ifexists") {
            Some(name) => (name, true),
            None => (lower.as_str(), false),
        };
        if name == "null" {
            return (!if_exists).then_some(Self { test: Test::Null, over, if_exists });
        }
        let (comparison, negated) = comparison(name)?;
        Some(Self { test: Test::Compare(comparison, negated), over, if_exists })
    }
}

fn comparison(name: &str) -> Option<(Comparison, bool)> {
    use Comparison as C;
    Some(match name {
        "stringequals" => (C::Text, false),
        "stringnotequals" => (C::Text, true),
        "stringequalsignorecase" => (C::TextIgnoreCase, false),
        "stringnotequalsignorecase" => (C::TextIgnoreCase, true),
        "stringlike" => (C::TextLike, false),
        "stringnotlike" => (C::TextLike, true),
        "numericequals" => (C::Number(&[Equal]), false),
        "numericnotequals" => (C::Number(&[Equal]), true),
        "numericlessthan" => (C::Number(&[Less]), false),
        "numericlessthanequals" => (C::Number(&[Less, Equal]), false),
        "numericgreaterthan" => (C::Number(&[Greater]), false),
        "numericgreaterthanequals" => (C::Number(&[Greater, Equal]), false),
        "dateequals" => (C::Date(&[Equal]), false),
        "datenotequals" => (C::Date(&[Equal]), true),
        "datelessthan" => (C::Date(&[Less]), false),
        "datelessthanequals" => (C::Date(&[Less, Equal]), false),
        "dategreaterthan" => (C::Date(&[Greater]), false),
        "dategreaterthanequals" => (C::Date(&[Greater, Equal]), false),
        "bool" => (C::Bool, false),
        "binaryequals" => (C::Binary, false),
        "ipaddress" => (C::Ip, false),
        "notipaddress" => (C::Ip, true),
        "arnequals" | "arnlike" => (C::Arn, false),
        "arnnotequals" | "arnnotlike" => (C::Arn, true),
        _ => return None,
    })
}

impl Condition {
    /// Whether it holds. A key that the request does not have satisfies negations, `IfExists` and
    /// `ForAllValues`, and nothing else.
    pub(super) fn holds(&self, context: &Context) -> bool {
        let Operator { test, over, if_exists } = self.operator;
        let found = context.get(&self.key).filter(|values| !values.is_empty());
        let (comparison, negated) = match test {
            Test::Null => {
                let wanted = if found.is_none() { "true" } else { "false" };
                return self.values.iter().any(|value| value.eq_ignore_ascii_case(wanted));
            }
            Test::Compare(comparison, negated) => (comparison, negated),
        };
        let Some(found) = found else {
            return if_exists
                || match over {
                    Over::One => negated,
                    Over::All => true,
                    Over::Any => false,
                };
        };
        let satisfied = |value: &String| {
            let any = self.values.iter().any(|wanted| comparison.holds(value, wanted, context));
            any != negated
        };
        match over {
            Over::All => found.iter().all(satisfied),
            Over::One if negated => found.iter().all(satisfied),
            Over::One | Over::Any => found.iter().any(satisfied),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_hold_as_documented() {
        let context = Context::default()
            .with("one", "a")
            .with("many", "a")
            .with("many", "b")
            .with("flag", "true");
        for (operator, key, values, holds) in [
            ("StringEquals", "One", &["x", "a"][..], true),
            ("StringEquals", "one", &["x"], false),
            ("StringEquals", "none", &["a"], false),
            ("StringNotEquals", "one", &["x", "a"], false),
            ("StringNotEquals", "one", &["x", "y"], true),
            ("StringNotEquals", "none", &["a"], true),
            ("StringEqualsIfExists", "none", &["a"], true),
            ("StringEqualsIfExists", "one", &["b"], false),
            ("ForAllValues:StringEquals", "many", &["a", "b", "c"], true),
            ("ForAllValues:StringEquals", "many", &["a"], false),
            ("ForAllValues:StringEquals", "none", &["a"], true),
            ("ForAllValues:StringNotEquals", "many", &["c"], true),
            ("ForAnyValue:StringEquals", "many", &["b"], true),
            ("ForAnyValue:StringEquals", "none", &["b"], false),
            ("ForAnyValue:StringNotEquals", "many", &["a"], true),
            ("ForAnyValue:StringNotEquals", "none", &["a"], false),
            ("Null", "none", &["true"], true),
            ("Null", "one", &["true"], false),
            ("Null", "one", &["false"], true),
            ("bool", "flag", &["true"], true),
        ] {
            let condition = Condition {
                operator: Operator::parse(operator).unwrap(),
                key: key.to_owned(),
                values: values.iter().map(|v| (*v).to_owned()).collect(),
            };
            assert_eq!(condition.holds(&context), holds, "{operator} {key} {values:?}");
        }
        for wrong in ["StringEqual", "ForSome:StringEquals", "NullIfExists", ""] {
            assert_eq!(Operator::parse(wrong), None, "{wrong}");
        }
    }
}
