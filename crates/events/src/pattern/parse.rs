//! From a pattern's text to what it asks.

use super::condition::{Cidr, Comparison, Condition, Text, fold};
use super::wildcard::Wildcard;
use super::{LONGEST, Node, PatternError, Want};
use crate::tree::Tree;

/// Numbers are compared between these.
const LARGEST: f64 = 5.0e9;
/// So many ways to choose are allowed in a pattern.
const MOST_CHOICES: usize = 1000;

type Read<T> = Result<T, PatternError>;

fn bad<T>(why: impl Into<String>) -> Read<T> {
    Err(PatternError { why: why.into(), at: Vec::new() })
}

/// The same inside of a member.
fn inside<T>(name: &str, read: Read<T>) -> Read<T> {
    read.map_err(|mut error| {
        error.at.insert(0, name.to_owned());
        error
    })
}

pub(super) fn pattern(text: &str) -> Read<Node> {
    if text.chars().count() > LONGEST {
        return bad(format!("It is longer than {LONGEST} characters"));
    }
    let tree: Tree = match serde_json::from_str(text) {
        Ok(tree) => tree,
        Err(error) => return bad(error.to_string()),
    };
    let Tree::Members(members) = tree else { return bad("Filter is not an object") };
    let mut choices = 1;
    node(members, &mut choices)
}

fn node(members: Vec<(String, Tree)>, choices: &mut usize) -> Read<Node> {
    if members.is_empty() {
        return bad("Empty objects are not allowed");
    }
    let mut node = Node::default();
    for (name, tree) in members {
        if name == "$or" && is_choice(&tree) {
            node.choices.push(inside(&name, choice(tree, choices))?);
        } else {
            let want = inside(&name, want(&name, tree, choices))?;
            node.members.push((name, want));
        }
    }
    Ok(node)
}

/// `$or` is one if it has two objects or more; otherwise it is a member by that name.
fn is_choice(tree: &Tree) -> bool {
    let Tree::List(all) = tree else { return false };
    all.len() > 1 && all.iter().all(|one| matches!(one, Tree::Members(_)))
}

fn choice(tree: Tree, choices: &mut usize) -> Read<Vec<Node>> {
    let Tree::List(all) = tree else { return Ok(Vec::new()) };
    *choices = choices.saturating_mul(all.len());
    if *choices > MOST_CHOICES {
        return bad(format!("The $or operators make more than {MOST_CHOICES} combinations"));
    }
    let nodes = all.into_iter().map(|one| match one {
        Tree::Members(members) => node(members, choices),
        _ => bad("$or must be an array of objects"),
    });
    nodes.collect()
}

fn want(name: &str, tree: Tree, choices: &mut usize) -> Read<Want> {
    match tree {
        Tree::Members(members) => node(members, choices).map(Want::Inside),
        Tree::List(all) if all.is_empty() => bad("Empty arrays are not allowed"),
        Tree::List(all) => all.into_iter().map(condition).collect::<Read<_>>().map(Want::OneOf),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) => {
            bad(format!("\"{name}\" must be an object or an array"))
        }
    }
}

fn condition(tree: Tree) -> Read<Condition> {
    Ok(match tree {
        Tree::Null => Condition::Null,
        Tree::Bool(it) => Condition::Bool(it),
        Tree::Number(it) => Condition::Number(it),
        Tree::Text(it) => Condition::Text(Text::Is(it)),
        Tree::List(_) => return bad("Match value must be String, number, true, false, or null"),
        Tree::Members(members) => {
            let (name, value) = only(members)?;
            match name.as_str() {
                "exists" => match value {
                    Tree::Bool(it) => Condition::Exists(it),
                    _ => return bad("exists match pattern must be either true or false."),
                },
                "numeric" => Condition::Numeric(numeric(value)?),
                "cidr" => Condition::Cidr(cidr(value)?),
                "anything-but" => anything_but(value)?,
                _ => Condition::Text(operator(&name, value)?),
            }
        }
    })
}

/// The one member of a match expression.
fn only(members: Vec<(String, Tree)>) -> Read<(String, Tree)> {
    let mut members = members.into_iter();
    match (members.next(), members.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => bad("Empty match expressions are not allowed"),
        (Some(_), Some(_)) => bad("Only one key allowed in match expression"),
    }
}

/// What asks something about a text.
fn operator(name: &str, value: Tree) -> Read<Text> {
    let of = |name: &str, value: Tree| match value {
        Tree::Text(text) => Ok(text),
        _ => bad(format!("{name} match pattern must be a string")),
    };
    Ok(match (name, value) {
        ("prefix", Tree::Members(members)) => Text::BeginsFolded(folded(name, members)?),
        ("suffix", Tree::Members(members)) => Text::EndsFolded(folded(name, members)?),
        ("prefix", value) => Text::Begins(of(name, value)?),
        ("suffix", value) => Text::Ends(of(name, value)?),
        ("equals-ignore-case", value) => Text::IsFolded(fold(&of(name, value)?)),
        ("wildcard", value) => {
            let wildcard = Wildcard::parse(&of(name, value)?);
            Text::Like(wildcard.or_else(bad)?)
        }
        _ => return bad(format!("Unrecognized match type {name}")),
    })
}

/// `{"equals-ignore-case": …}` under `prefix` and `suffix`.
fn folded(outer: &str, members: Vec<(String, Tree)>) -> Read<String> {
    match only(members)? {
        (name, Tree::Text(text)) if name == "equals-ignore-case" => Ok(fold(&text)),
        (name, _) => bad(format!("Unsupported {outer} pattern: {name}")),
    }
}

fn anything_but(value: Tree) -> Read<Condition> {
    const KINDS: &str = "Inside anything but list, either all values are number or string, mixed \
                         type is not supported";
    match value {
        Tree::Text(text) => Ok(Condition::NoText(vec![Text::Is(text)])),
        Tree::Number(number) => Ok(Condition::NoNumber(vec![number])),
        Tree::List(all) if all.is_empty() => bad("Empty arrays are not allowed"),
        Tree::List(all) if all.iter().all(|one| matches!(one, Tree::Text(_))) => {
            Ok(Condition::NoText(
                texts("anything-but", Tree::List(all))?.into_iter().map(Text::Is).collect(),
            ))
        }
        Tree::List(all) => {
            let numbers = all.into_iter().map(|one| match one {
                Tree::Number(number) => Ok(number),
                _ => bad(KINDS),
            });
            numbers.collect::<Read<_>>().map(Condition::NoNumber)
        }
        Tree::Members(members) => {
            let (name, value) = only(members)?;
            let unwanted = match (name.as_str(), value) {
                ("prefix" | "suffix" | "equals-ignore-case" | "wildcard", value) => match value {
                    Tree::Members(_) => vec![operator(&name, value)?],
                    value => {
                        let texts = texts(&name, value)?.into_iter();
                        texts.map(|t| operator(&name, Tree::Text(t))).collect::<Read<_>>()?
                    }
                },
                _ => return bad(format!("Unsupported anything-but pattern: {name}")),
            };
            Ok(Condition::NoText(unwanted))
        }
        Tree::Null | Tree::Bool(_) => {
            bad("anything-but match pattern must be a string, a number, or a list of them")
        }
    }
}

/// A text or several.
fn texts(name: &str, value: Tree) -> Read<Vec<String>> {
    let wrong = || bad(format!("anything-but {name} must be a string or a list of strings"));
    match value {
        Tree::Text(text) => Ok(vec![text]),
        Tree::List(all) if !all.is_empty() => all
            .into_iter()
            .map(|one| match one {
                Tree::Text(text) => Ok(text),
                _ => wrong().map(|_: Vec<String>| String::new()),
            })
            .collect(),
        _ => wrong(),
    }
}

fn numeric(value: Tree) -> Read<Vec<(Comparison, f64)>> {
    let Tree::List(all) = value else { return bad("Invalid numeric match: must be an array") };
    let mut bounds = Vec::new();
    let mut all = all.into_iter();
    while let Some(how) = all.next() {
        let Tree::Text(how) = how else {
            return bad("Invalid member in numeric match: an operator is expected");
        };
        let Some(comparison) = Comparison::parse(&how) else {
            return bad(format!("Unrecognized numeric range operator: {how}"));
        };
        let number = match all.next() {
            Some(Tree::Number(number)) => number.as_f64(),
            _ => None,
        };
        let Some(number) = number else {
            return bad(format!("Value of {how} must be numeric"));
        };
        if number.abs() > LARGEST {
            return bad("Value must be between -5.0E9 and 5.0E9, inclusive");
        }
        bounds.push((comparison, number));
    }
    check_range(&bounds)?;
    Ok(bounds)
}

/// One number that is equal, or a range that has something in it.
fn check_range(bounds: &[(Comparison, f64)]) -> Read<()> {
    use Comparison as C;
    let lower = |how| matches!(how, C::Greater | C::GreaterOrEqual);
    match *bounds {
        [_] => Ok(()),
        [(C::Equal, _), _] | [_, (C::Equal, _)] => bad("Too many elements in numeric expression"),
        [(a, low), (b, high)] if lower(a) && !lower(b) => {
            if low < high {
                Ok(())
            } else {
                bad("Bottom must be less than top")
            }
        }
        [(a, high), (b, low)] if !lower(a) && lower(b) => {
            if low < high {
                Ok(())
            } else {
                bad("Bottom must be less than top")
            }
        }
        [_, _] => bad("Bad numeric range operator: a range has one lower and one upper bound"),
        [] => bad("Invalid numeric match: must have an operator and a number"),
        _ => bad("Too many terms in numeric range expression"),
    }
}

fn cidr(value: Tree) -> Read<Cidr> {
    let Tree::Text(text) = value else { return bad("prefix match pattern must be a string") };
    Cidr::parse(&text).map_or_else(
        || bad(format!("Malformed CIDR, one '/' required or one IP address: {text}")),
        Ok,
    )
}
