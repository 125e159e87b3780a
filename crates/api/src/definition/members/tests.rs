//! The table against AWS's model, and against the door.

use aws::ecs::RegisterTaskDefinitionRequest;
use aws::schema::{Kind, Shape, Shaped};
use serde_json::Value;

use super::super::{decode, parse};
use super::{Member, Standing, Verdict, all, attributes, table};
use model::Realm;

/// Every leaf of a shape, by its path.
fn leaves(shape: &Shape, path: &str, into: &mut Vec<String>) {
    match &shape.kind {
        Kind::Structure { members, .. } => {
            for member in *members {
                let dot = if path.is_empty() { "" } else { "." };
                leaves(member.shape, &format!("{path}{dot}{}", member.name), into);
            }
        }
        Kind::List(of) => leaves(of, &format!("{path}[]"), into),
        Kind::Words(words) => into.extend(words.iter().map(|word| format!("{path}={word}"))),
        _ => into.push(path.to_owned()),
    }
}

/// Whether an entry speaks for a leaf: it is the leaf, or the member of a leaf that is a word, or what
/// holds a refused one.
fn speaks_for(member: &Member, leaf: &str) -> bool {
    let plain = leaf.split('=').next().unwrap();
    if member.path == leaf || member.path == plain {
        return true;
    }
    let below = plain.strip_prefix(member.path).is_some_and(|rest| rest.starts_with(['.', '[']));
    below && matches!(member.verdict, Verdict::Refused(_))
}

#[test]
fn every_member_of_the_model_is_classified() {
    let mut paths = Vec::new();
    leaves(RegisterTaskDefinitionRequest::shape(), "", &mut paths);
    assert!(paths.len() > 120, "{}", paths.len());
    let open: Vec<&String> =
        paths.iter().filter(|leaf| !all().any(|member| speaks_for(member, leaf))).collect();
    assert!(open.is_empty(), "say in definition/members what becomes of {open:?}");
}

#[test]
fn nothing_is_classified_that_the_model_lacks_or_twice() {
    let mut paths = Vec::new();
    leaves(RegisterTaskDefinitionRequest::shape(), "", &mut paths);
    // Words beyond the model: a driver of the agent's, and options that are plain text.
    let beyond =
        |path: &str| path.ends_with("logDriver=none") || path.contains("SecurityOptions[]=");
    for member in all() {
        let known = beyond(member.path) || paths.iter().any(|leaf| speaks_for(member, leaf));
        assert!(known, "{} is no member", member.path);
        assert_eq!(all().filter(|other| other.path == member.path).count(), 1, "{}", member.path);
    }
}

/// Whether a request has the member, with its word if the path names one.
fn has(value: &Value, path: &str) -> bool {
    let (path, word) = match path.split_once('=') {
        Some((path, word)) => (path, Some(word)),
        None => (path, None),
    };
    let mut at = vec![value];
    for step in path.split('.') {
        let name = step.trim_end_matches("[]");
        at = at.into_iter().filter_map(|value| value.get(name)).collect();
        if step.ends_with("[]") {
            at = at.into_iter().filter_map(Value::as_array).flatten().collect();
        }
    }
    at.into_iter().any(|value| word.is_none_or(|word| value == word))
}

#[test]
fn the_door_does_as_the_table_says() {
    let realm = Realm::new("eu-west-1", "123456789012");
    for member in all() {
        let path = member.path;
        let request = member.request().unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(has(&request, path), "the sample of {path} does not have it: {request}");
        let answer = parse(&realm, serde_json::from_value(request.clone()).unwrap());
        match (member.verdict, answer) {
            (Verdict::Accepted { .. }, Ok(parsed)) => {
                let kept = serde_json::to_value(decode(&parsed.document).unwrap()).unwrap();
                let apart = path.starts_with("tags");
                assert!(
                    apart || has(&kept, path.split('=').next().unwrap()),
                    "{path} is lost: {kept}"
                );
            }
            (Verdict::Refused(words), Err(error)) => {
                assert_eq!(error.code, "ClientException", "{path}");
                assert!(error.message.contains(words), "{path}: {} lacks {words}", error.message);
                let name = path.split('=').next().unwrap().trim_end_matches("[]");
                let name = name.rsplit('.').next().unwrap();
                assert!(error.message.contains(name), "{path}: {} lacks {name}", error.message);
            }
            (verdict, answer) => panic!("{path} is {verdict:?}, and the door says {answer:?}"),
        }
    }
}

#[test]
fn what_only_some_nodes_do_asks_placement_for_them() {
    for member in all() {
        let Verdict::Accepted { embedded, docker, stock } = member.verdict else { continue };
        let needed = attributes(member).unwrap();
        for standing in [embedded, docker, stock] {
            if let Standing::Having(attribute) | Standing::Lacking(attribute) = standing {
                let asked = needed.iter().any(|needed| needed == attribute);
                assert!(asked, "{} does not ask for {attribute}: {needed:?}", member.path);
            }
        }
    }
}

#[test]
fn the_document_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/task-definition.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, rest) = document.split_once("<!-- members -->\n").expect("it has its mark");
    let (shown, _) = rest.split_once("<!-- /members -->").expect("it has its end");
    assert!(shown == table(), "docs/task-definition.md is stale: run `cargo xtask docs`");
}
