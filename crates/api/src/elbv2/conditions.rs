//! Conditions of rules, read and shown.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RuleCondition.html>

use std::net::IpAddr;

use aws::Error;
use aws::elbv2 as wire;
use model::Condition;

use super::errors::{invalid, not_built};

/// The most values that all conditions of a rule have together.
pub(super) const MOST_VALUES: usize = 5;
/// The most wildcards that all of them have together.
pub(super) const MOST_WILDCARDS: usize = 6;
/// The longest value.
const LONGEST: usize = 128;
/// The longest name of a header.
const LONGEST_HEADER: usize = 40;

/// Reads the conditions of a rule.
pub(super) fn read(given: Option<&Vec<wire::RuleCondition>>) -> Result<Vec<Condition>, Error> {
    let given = given.map(Vec::as_slice).unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("A rule must have at least one condition"));
    }
    let conditions: Vec<Condition> = given.iter().map(one).collect::<Result<_, _>>()?;
    for (field, same) in [
        ("host-header", is_host as fn(&Condition) -> bool),
        ("path-pattern", is_path),
        ("http-request-method", is_method),
        ("source-ip", is_source),
    ] {
        if conditions.iter().filter(|condition| same(condition)).count() > 1 {
            return Err(invalid(format!("A rule can only have one '{field}' condition")));
        }
    }
    let values: usize = conditions.iter().map(|condition| count(condition).0).sum();
    if values > MOST_VALUES {
        return Err(invalid(format!(
            "A rule can only have '{MOST_VALUES}' condition values; this one has {values}"
        )));
    }
    let wildcards: usize = conditions.iter().map(|condition| count(condition).1).sum();
    if wildcards > MOST_WILDCARDS {
        return Err(invalid(format!(
            "A rule can only have '{MOST_WILDCARDS}' wildcards in its conditions; this one has {wildcards}"
        )));
    }
    Ok(conditions)
}

const fn is_host(condition: &Condition) -> bool {
    matches!(condition, Condition::Host(_))
}

const fn is_path(condition: &Condition) -> bool {
    matches!(condition, Condition::Path(_))
}

const fn is_method(condition: &Condition) -> bool {
    matches!(condition, Condition::Method(_))
}

const fn is_source(condition: &Condition) -> bool {
    matches!(condition, Condition::SourceIp(_))
}

/// How many values and how many wildcards a condition has.
fn count(condition: &Condition) -> (usize, usize) {
    let wild = |text: &String| text.matches(['*', '?']).count();
    match condition {
        Condition::Host(values) | Condition::Path(values) | Condition::Header { values, .. } => {
            (values.len(), values.iter().map(wild).sum())
        }
        Condition::Method(values) | Condition::SourceIp(values) => (values.len(), 0),
        Condition::Query(pairs) => {
            let each = |(key, value): &(Option<String>, String)| {
                key.as_ref().map_or(0, wild) + wild(value)
            };
            (pairs.len(), pairs.iter().map(each).sum())
        }
    }
}

fn one(given: &wire::RuleCondition) -> Result<Condition, Error> {
    not_built("RegexValues", given.regex_values.as_ref(), "regular expressions are")?;
    let legacy = || given.values.clone().filter(|values| !values.is_empty());
    let either = |field: &str, config: Option<Option<Vec<String>>>| {
        let config = config.flatten().filter(|values| !values.is_empty());
        match (legacy(), config) {
            (Some(_), Some(_)) => {
                Err(invalid(format!("'{field}': you cannot specify both Values and its config")))
            }
            (Some(values), None) | (None, Some(values)) => Ok(values),
            (None, None) => Err(invalid(format!("A '{field}' condition must have values"))),
        }
    };
    match given.field.as_deref() {
        Some("host-header") => {
            let config = given.host_header_config.as_ref();
            not_built(
                "HostHeaderConfig.RegexValues",
                config.and_then(|config| config.regex_values.as_ref()),
                "regular expressions are",
            )?;
            let values = either("host-header", config.map(|config| config.values.clone()))?;
            texts("host-header", &values, host)?;
            Ok(Condition::Host(values))
        }
        Some("path-pattern") => {
            let config = given.path_pattern_config.as_ref();
            not_built(
                "PathPatternConfig.RegexValues",
                config.and_then(|config| config.regex_values.as_ref()),
                "regular expressions are",
            )?;
            let values = either("path-pattern", config.map(|config| config.values.clone()))?;
            texts("path-pattern", &values, path)?;
            Ok(Condition::Path(values))
        }
        Some("http-request-method") => {
            let config = given.http_request_method_config.as_ref();
            let values = either("http-request-method", config.map(|c| c.values.clone()))?;
            texts("http-request-method", &values, method)?;
            Ok(Condition::Method(values))
        }
        Some("source-ip") => {
            let config = given.source_ip_config.as_ref();
            not_built(
                "SourceIpConfig.IpAddressType",
                config.and_then(|config| config.ip_address_type.as_ref()),
                "it is",
            )?;
            let values = either("source-ip", config.map(|c| c.values.clone()))?;
            texts("source-ip", &values, is_cidr)?;
            Ok(Condition::SourceIp(values))
        }
        Some("http-header") => header(given.http_header_config.as_ref()),
        Some("query-string") => query(given.query_string_config.as_ref()),
        other => Err(invalid(format!(
            "Condition field '{}' must be one of '[path-pattern, host-header, http-header, \
             http-request-method, query-string, source-ip]'",
            other.unwrap_or_default()
        ))),
    }
}

fn header(config: Option<&wire::HttpHeaderConditionConfig>) -> Result<Condition, Error> {
    let config = config.ok_or_else(|| invalid("'http-header' needs an HttpHeaderConfig"))?;
    not_built(
        "HttpHeaderConfig.RegexValues",
        config.regex_values.as_ref(),
        "regular expressions are",
    )?;
    let name = config.http_header_name.clone().unwrap_or_default();
    let token =
        |letter: char| letter.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}*".contains(letter);
    if name.is_empty() || name.len() > LONGEST_HEADER || !name.chars().all(token) {
        return Err(invalid(format!(
            "The header name '{name}' must be a token of 1 to {LONGEST_HEADER} characters without wildcards"
        )));
    }
    if name.eq_ignore_ascii_case("host") {
        return Err(invalid("The header name 'Host' belongs into a 'host-header' condition"));
    }
    let values = config.values.clone().unwrap_or_default();
    if values.is_empty() {
        return Err(invalid("An 'http-header' condition must have values"));
    }
    texts("http-header", &values, |text| !text.chars().any(char::is_control))?;
    Ok(Condition::Header { name, values })
}

fn query(config: Option<&wire::QueryStringConditionConfig>) -> Result<Condition, Error> {
    let pairs = config.and_then(|config| config.values.as_ref());
    let pairs = pairs.map(Vec::as_slice).unwrap_or_default();
    if pairs.is_empty() {
        return Err(invalid("A 'query-string' condition must have values"));
    }
    let mut read = Vec::new();
    for pair in pairs {
        let key = pair.key.clone().filter(|key| !key.is_empty());
        let value = pair.value.clone().unwrap_or_default();
        let sound = |text: &str| !text.chars().any(char::is_control);
        if let Some(key) = &key {
            texts("query-string", std::slice::from_ref(key), sound)?;
        }
        texts("query-string", std::slice::from_ref(&value), sound)?;
        read.push((key, value));
    }
    Ok(Condition::Query(read))
}

fn texts(field: &str, values: &[String], sound: impl Fn(&str) -> bool) -> Result<(), Error> {
    for value in values {
        let long = value.is_empty() || value.chars().count() > LONGEST;
        if long || !sound(value) {
            return Err(invalid(format!("Condition value '{value}' is not valid for '{field}'")));
        }
    }
    Ok(())
}

/// Letters, digits and `-.*?`; at least one dot, and letters only behind the last.
fn host(text: &str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-.*?".contains(letter);
    text.chars().all(allowed)
}

fn path(text: &str) -> bool {
    let allowed =
        |letter: char| letter.is_ascii_alphanumeric() || "_-.$/~\"'@:+&()!,;=%*?".contains(letter);
    text.chars().all(allowed)
}

fn method(text: &str) -> bool {
    text.len() <= LONGEST_HEADER
        && text.chars().all(|l| l.is_ascii_uppercase() || l == '-' || l == '_')
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) else {
        return false;
    };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}

/// Conditions as answers have them.
pub(super) fn view(conditions: &[Condition]) -> Vec<wire::RuleCondition> {
    conditions.iter().map(view_one).collect()
}

fn view_one(condition: &Condition) -> wire::RuleCondition {
    let field = |name: &str| wire::RuleCondition { field: Some(name.into()), ..Default::default() };
    match condition {
        Condition::Host(values) => wire::RuleCondition {
            values: Some(values.clone()),
            host_header_config: Some(wire::HostHeaderConditionConfig {
                values: Some(values.clone()),
                ..Default::default()
            }),
            ..field("host-header")
        },
        Condition::Path(values) => wire::RuleCondition {
            values: Some(values.clone()),
            path_pattern_config: Some(wire::PathPatternConditionConfig {
                values: Some(values.clone()),
                ..Default::default()
            }),
            ..field("path-pattern")
        },
        Condition::Header { name, values } => wire::RuleCondition {
            http_header_config: Some(wire::HttpHeaderConditionConfig {
                http_header_name: Some(name.clone()),
                values: Some(values.clone()),
                ..Default::default()
            }),
            ..field("http-header")
        },
        Condition::Method(values) => wire::RuleCondition {
            http_request_method_config: Some(wire::HttpRequestMethodConditionConfig {
                values: Some(values.clone()),
            }),
            ..field("http-request-method")
        },
        Condition::Query(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| wire::QueryStringKeyValuePair {
                key: key.clone(),
                value: Some(value.clone()),
            });
            wire::RuleCondition {
                query_string_config: Some(wire::QueryStringConditionConfig {
                    values: Some(pairs.collect()),
                }),
                ..field("query-string")
            }
        }
        Condition::SourceIp(values) => wire::RuleCondition {
            source_ip_config: Some(wire::SourceIpConditionConfig {
                values: Some(values.clone()),
                ..Default::default()
            }),
            ..field("source-ip")
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(field: &str, values: &[&str]) -> wire::RuleCondition {
        wire::RuleCondition {
            field: Some(field.to_owned()),
            values: Some(values.iter().map(|&value| value.to_owned()).collect()),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_read_is_shown_again() {
        let given = vec![
            condition("host-header", &["*.example.com"]),
            condition("path-pattern", &["/img/*", "/a?c"]),
            wire::RuleCondition {
                field: Some("query-string".into()),
                query_string_config: Some(wire::QueryStringConditionConfig {
                    values: Some(vec![wire::QueryStringKeyValuePair {
                        key: None,
                        value: Some("v*".into()),
                    }]),
                }),
                ..Default::default()
            },
        ];
        let read_once = read(Some(&given)).unwrap();
        let mut shown = view(&read_once);
        for condition in &mut shown {
            if condition.host_header_config.is_some() || condition.path_pattern_config.is_some() {
                condition.values = None;
            }
        }
        assert_eq!(read(Some(&shown)).unwrap(), read_once);
    }

    #[test]
    fn what_aws_refuses_is_refused() {
        for (given, words) in [
            (vec![], "at least one condition"),
            (vec![condition("host-header", &[])], "must have values"),
            (vec![condition("weather", &["fine"])], "must be one of"),
            (vec![condition("host-header", &["a b"])], "is not valid"),
            (vec![condition("path-pattern", &["/a b"])], "is not valid"),
            (vec![condition("path-pattern", &["/<"])], "is not valid"),
            (vec![condition("http-request-method", &["get"])], "is not valid"),
            (vec![condition("source-ip", &["10.0.0.0"])], "is not valid"),
            (vec![condition("source-ip", &["10.0.0.0/33"])], "is not valid"),
            (
                vec![condition("host-header", &["a"]), condition("host-header", &["b"])],
                "only have one",
            ),
            (vec![condition("path-pattern", &["1", "2", "3", "4", "5", "6"])], "condition values"),
            (vec![condition("path-pattern", &["*******"])], "wildcards"),
            (vec![condition("path-pattern", &[&"x".repeat(129)])], "is not valid"),
        ] {
            let error = read(Some(&given)).unwrap_err();
            assert_eq!(error.code, "ValidationError");
            assert!(error.message.contains(words), "{error}");
        }
        let regex = wire::RuleCondition {
            regex_values: Some(vec![".*".into()]),
            ..condition("path-pattern", &["/"])
        };
        assert_eq!(read(Some(&vec![regex])).unwrap_err().code, "InvalidConfigurationRequest");
    }
}
