//! The form of a Query request: `Tags.member.1.Key=…`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use form_urlencoded::Serializer;
use serde_json::{Map, Value};

use super::{plain, text};
use crate::schema::{Kind, Shape};

/// How deep a name may be; the deepest shape of any model is far shallower.
const DEPTH: usize = 32;

/// How a form names what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// `Tags.member.1.Key`, as the model has it.
    Query,
    /// EC2's: `Filter.1.Value.1`. Members begin with a capital, and lists have no element between.
    Ec2,
}

impl Naming {
    /// The name of a member.
    fn member(self, name: &'static str) -> Cow<'static, str> {
        match self {
            Self::Query => Cow::Borrowed(name),
            Self::Ec2 if name.starts_with(|letter: char| letter.is_ascii_uppercase()) => {
                Cow::Borrowed(name)
            }
            Self::Ec2 => {
                let mut letters = name.chars();
                let first = letters.next().map(|first| first.to_ascii_uppercase());
                Cow::Owned(first.into_iter().chain(letters).collect())
            }
        }
    }

    /// Whether a list's entries stand right under its name.
    fn flat(self, list: &Shape) -> bool {
        list.flattened || self == Self::Ec2
    }
}

/// A form by the steps of its names.
#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn insert(&mut self, name: &str, value: String) -> Result<(), String> {
        if name.split('.').count() > DEPTH {
            return Err(format!(
                "'{}…' is nested too deeply",
                name.chars().take(100).collect::<String>()
            ));
        }
        let node = name
            .split('.')
            .fold(self, |node, step| node.children.entry(step.to_owned()).or_default());
        node.value = Some(value);
        Ok(())
    }

    /// The children whose names are numbers, in their order.
    fn numbered(&self) -> Vec<&Self> {
        let mut entries: Vec<(u64, &Self)> = self
            .children
            .iter()
            .filter_map(|(name, node)| name.parse().ok().map(|number: u64| (number, node)))
            .collect();
        entries.sort_by_key(|(number, _)| *number);
        entries.into_iter().map(|(_, node)| node).collect()
    }
}

pub(super) fn decode(
    naming: Naming,
    shape: &'static Shape,
    query: &[u8],
    body: &[u8],
) -> Result<Value, String> {
    let mut root = Node::default();
    for (name, value) in form_urlencoded::parse(query).chain(form_urlencoded::parse(body)) {
        root.insert(&name, value.into_owned())?;
    }
    read(naming, shape, &root, "the request")
        .map(|value| value.unwrap_or_else(|| Value::Object(Map::new())))
}

fn read(
    naming: Naming,
    shape: &'static Shape,
    node: &Node,
    name: &str,
) -> Result<Option<Value>, String> {
    match &shape.kind {
        Kind::Structure { members, .. } => {
            let mut object = Map::new();
            for member in *members {
                let value = match node.children.get(naming.member(member.name).as_ref()) {
                    Some(inner) => read(naming, member.shape, inner, member.name)?,
                    None => None,
                };
                if let Some(value) = value {
                    object.insert(member.name.to_owned(), value);
                }
            }
            Ok(Some(Value::Object(object)))
        }
        Kind::List(of) => {
            let flat = naming.flat(shape);
            let holder = if flat { Some(node) } else { node.children.get(shape.item) };
            // An empty list is sent as the bare name with an empty value.
            let Some(holder) = holder else {
                return Ok(node.value.is_some().then(|| Value::Array(Vec::new())));
            };
            let entries: Result<Vec<Value>, String> = holder
                .numbered()
                .into_iter()
                .filter_map(|entry| read(naming, of, entry, name).transpose())
                .collect();
            entries.map(|entries| Some(Value::Array(entries)))
        }
        Kind::Map { key: _, value: of } => {
            let holder = if shape.flattened { Some(node) } else { node.children.get("entry") };
            let mut object = Map::new();
            for entry in holder.map(Node::numbered).unwrap_or_default() {
                let key = entry.children.get("key").and_then(|key| key.value.clone());
                let value = entry
                    .children
                    .get("value")
                    .map(|value| read(naming, of, value, name))
                    .transpose()?;
                if let (Some(key), Some(Some(value))) = (key, value) {
                    object.insert(key, value);
                }
            }
            Ok(Some(Value::Object(object)))
        }
        _ => match &node.value {
            None => Ok(None),
            Some(text) => plain(shape, text).map(Some).ok_or_else(|| {
                format!(
                    "'{name}': this value has not the type that belongs there ({:?})",
                    shape.kind
                )
            }),
        },
    }
}

pub(super) fn encode(
    naming: Naming,
    shape: &'static Shape,
    action: &str,
    version: &str,
    value: &Value,
) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", action).append_pair("Version", version);
    write(naming, &mut form, shape, "", value);
    form.finish()
}

fn write(
    naming: Naming,
    form: &mut Serializer<'_, String>,
    shape: &'static Shape,
    name: &str,
    value: &Value,
) {
    match (&shape.kind, value) {
        (_, Value::Null) => {}
        (Kind::Structure { members, .. }, Value::Object(object)) => {
            for member in *members {
                if let Some(inner) = object.get(member.name) {
                    let dot = if name.is_empty() { "" } else { "." };
                    let inner_name = format!("{name}{dot}{}", naming.member(member.name));
                    write(naming, form, member.shape, &inner_name, inner);
                }
            }
        }
        (Kind::List(_), Value::Array(entries)) if entries.is_empty() => {
            form.append_pair(name, "");
        }
        (Kind::List(of), Value::Array(entries)) => {
            let flat = naming.flat(shape);
            let item = if flat { String::new() } else { format!(".{}", shape.item) };
            for (at, entry) in entries.iter().enumerate() {
                write(naming, form, of, &format!("{name}{item}.{}", at + 1), entry);
            }
        }
        (Kind::Map { key, value: of }, Value::Object(object)) => {
            let item = if shape.flattened { "" } else { ".entry" };
            for (at, (word, entry)) in object.iter().enumerate() {
                let at = at + 1;
                let name = format!("{name}{item}.{at}");
                write(naming, form, key, &format!("{name}.key"), &Value::from(word.as_str()));
                write(naming, form, of, &format!("{name}.value"), entry);
            }
        }
        (_, plain) => {
            form.append_pair(name, &text(shape, plain));
        }
    }
}
