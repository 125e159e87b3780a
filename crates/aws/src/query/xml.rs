//! The XML of Query answers.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesRef, Event};
use serde_json::{Map, Value};

use super::{plain, text};
use crate::schema::{Kind, Shape};

/// How deep elements may be.
const DEPTH: usize = 64;

pub(super) fn open(out: &mut String, name: &str, namespace: Option<&str>) {
    out.push('<');
    out.push_str(name);
    if let Some(namespace) = namespace {
        out.push_str(" xmlns=\"");
        out.push_str(&escape(namespace));
        out.push('"');
    }
    out.push('>');
}

pub(super) fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

pub(super) fn leaf(out: &mut String, name: &str, text: &str) {
    open(out, name, None);
    // XML has no way to carry most control characters.
    let text: String = text
        .chars()
        .filter(|letter| !letter.is_control() || matches!(letter, '\t' | '\n' | '\r'))
        .collect();
    out.push_str(&escape(text));
    close(out, name);
}

/// The content of an element that holds a structure.
pub(super) fn encode(out: &mut String, shape: &'static Shape, value: &Value) {
    if let (Kind::Structure { members, .. }, Value::Object(object)) = (&shape.kind, value) {
        for member in *members {
            if let Some(inner) = object.get(member.name) {
                element(out, member.shape, member.name, inner);
            }
        }
    }
}

fn element(out: &mut String, shape: &'static Shape, name: &str, value: &Value) {
    match (&shape.kind, value) {
        (_, Value::Null) => {}
        (Kind::Structure { .. }, _) => {
            open(out, name, None);
            encode(out, shape, value);
            close(out, name);
        }
        (Kind::List(of), Value::Array(entries)) => {
            if shape.flattened {
                entries.iter().for_each(|entry| element(out, of, name, entry));
            } else {
                open(out, name, None);
                entries.iter().for_each(|entry| element(out, of, shape.item, entry));
                close(out, name);
            }
        }
        (Kind::Map { key, value: of }, Value::Object(object)) => {
            if !shape.flattened {
                open(out, name, None);
            }
            let entry_name = if shape.flattened { name } else { "entry" };
            for (word, entry) in object {
                open(out, entry_name, None);
                element(out, key, "key", &Value::from(word.as_str()));
                element(out, of, "value", entry);
                close(out, entry_name);
            }
            if !shape.flattened {
                close(out, name);
            }
        }
        (_, plain) => leaf(out, name, &text(shape, plain)),
    }
}

/// An element.
#[derive(Debug, Default)]
pub(super) struct Node {
    name: String,
    pub(super) text: String,
    children: Vec<Node>,
}

impl Node {
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// Reads a document's root element.
pub(super) fn parse(body: &[u8]) -> Result<Node, String> {
    let body = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
    let mut reader = Reader::from_str(body);
    let mut open: Vec<Node> = vec![Node::default()];
    let ill = |error: quick_xml::Error| format!("the body is not XML: {error}");
    loop {
        let event = reader.read_event().map_err(ill)?;
        let top = open.last_mut().ok_or("the body closes what it did not open")?;
        match event {
            Event::Start(start) => {
                if open.len() > DEPTH {
                    return Err("the body is nested too deeply".to_owned());
                }
                open.push(Node { name: start.local_name().as_ref().to_owned(), ..Node::default() });
            }
            Event::Empty(start) => {
                top.children
                    .push(Node { name: start.local_name().as_ref().to_owned(), ..Node::default() });
            }
            Event::End(_) => {
                let node = open.pop().ok_or("the body closes what it did not open")?;
                open.last_mut().ok_or("the body closes what it did not open")?.children.push(node);
            }
            Event::Text(part) => top.text.push_str(&part.xml10_content()),
            Event::CData(part) => top.text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => top.text.push_str(&resolve(&reference)?),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    match open.as_mut_slice() {
        [document] if !document.children.is_empty() => Ok(document.children.swap_remove(0)),
        [_] => Err("the body holds no element".to_owned()),
        _ => Err("the body ends inside an element".to_owned()),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Some(letter) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(letter.to_string());
    }
    let name: &str = reference;
    quick_xml::escape::resolve_predefined_entity(name)
        .map(str::to_owned)
        .ok_or_else(|| "the body refers to an unknown entity".to_owned())
}

/// The JSON value that an element holds.
pub(super) fn decode(shape: &'static Shape, node: &Node) -> Result<Value, String> {
    match &shape.kind {
        Kind::Structure { members, .. } => {
            let mut object = Map::new();
            for member in *members {
                if member.shape.flattened {
                    let entries: Vec<&Node> =
                        node.children.iter().filter(|child| child.name == member.name).collect();
                    if !entries.is_empty() {
                        object.insert(member.name.to_owned(), repeated(member.shape, &entries)?);
                    }
                } else if let Some(child) = node.child(member.name) {
                    object.insert(member.name.to_owned(), decode(member.shape, child)?);
                }
            }
            Ok(Value::Object(object))
        }
        Kind::List(_) | Kind::Map { .. } => {
            repeated(shape, &node.children.iter().collect::<Vec<_>>())
        }
        _ => plain(shape, &node.text)
            .ok_or_else(|| format!("'{}' holds a value of another type", node.name)),
    }
}

/// A list or a map from its entries.
fn repeated(shape: &'static Shape, entries: &[&Node]) -> Result<Value, String> {
    match &shape.kind {
        Kind::List(of) => {
            let entries: Result<Vec<Value>, String> =
                entries.iter().map(|entry| decode(of, entry)).collect();
            entries.map(Value::Array)
        }
        Kind::Map { value: of, .. } => {
            let mut object = Map::new();
            for entry in entries {
                if let (Some(key), Some(value)) = (entry.child("key"), entry.child("value")) {
                    object.insert(key.text.clone(), decode(of, value)?);
                }
            }
            Ok(Value::Object(object))
        }
        _ => Err("only lists and maps repeat".to_owned()),
    }
}
