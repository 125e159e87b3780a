//! The Rust types: structures and enums.

use std::fmt::Write;

use super::Input;
use super::model::{Kind, Reference, Shape};
use super::names;

/// How many lines of structures go into one file.
const LINES: usize = 1800;

/// `enums.rs`, `requests.rs`, `responses.rs`, `shapes*.rs`.
pub(super) fn render(input: &Input<'_>) -> Vec<(String, String)> {
    let (mut requests, mut responses): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (name, operation) in &input.model.operations {
        if input.plan.operations.contains(name) {
            let request = named(operation.input.as_ref(), name, "Request");
            let response = named(operation.output.as_ref(), name, "Response");
            // Auto Scaling has operations that share a shape.
            if !requests.contains(&request) {
                requests.push(request);
            }
            if !responses.contains(&response) {
                responses.push(response);
            }
        }
    }
    responses.retain(|response| !requests.contains(response));
    let mut inner = Vec::new();
    let mut enums = String::from(
        "//! Closed sets of words, open to newer ones.\n\nuse crate::value::wire_enum;\n",
    );
    for name in input.model.reached(input.plan) {
        let shape = input.model.shape(name);
        if shape.kind == Kind::String && !shape.values.is_empty() {
            enumeration(&mut enums, input, name, shape);
        } else if shape.kind == Kind::Structure
            && !shape.document
            && !requests.iter().chain(&responses).any(|known| known == name)
        {
            inner.push(name.to_owned());
        }
    }
    let mut files = Vec::new();
    if enums.contains("wire_enum! {") {
        files.push(("enums.rs".to_owned(), enums));
    }
    files.push(("requests.rs".to_owned(), file(input, "What is asked.", &requests)));
    files.push(("responses.rs".to_owned(), file(input, "What is answered.", &responses)));
    for (at, part) in parts(input, &inner).iter().enumerate() {
        let name = if at == 0 { "shapes.rs".to_owned() } else { format!("shapes{}.rs", at + 1) };
        files.push((name, file(input, "What requests and responses are made of.", part)));
    }
    files
}

/// The shape of an operation's input or output; an operation without one has an empty structure.
pub(super) fn named(reference: Option<&Reference>, operation: &str, ending: &str) -> String {
    reference.map_or_else(|| format!("{operation}{ending}"), |reference| reference.shape.clone())
}

fn parts(input: &Input<'_>, names: &[String]) -> Vec<Vec<String>> {
    let mut parts = vec![Vec::new()];
    let mut lines = 0;
    for name in names {
        let members = input.model.shape(name).members.len();
        if lines > LINES {
            parts.push(Vec::new());
            lines = 0;
        }
        lines += members * 2 + 6;
        parts.last_mut().expect("there is always a part").push(name.clone());
    }
    parts
}

fn file(input: &Input<'_>, about: &str, names: &[String]) -> String {
    let mut text = format!("//! {about}\n\nuse serde::{{Deserialize, Serialize}};\n");
    if names.iter().any(|name| refers_outside(input, name, names)) {
        text.push_str("\nuse super::*;\n");
    }
    for name in names {
        structure(&mut text, input, name);
    }
    text
}

/// Whether a structure has a member whose type is generated into another file.
fn refers_outside(input: &Input<'_>, name: &str, here: &[String]) -> bool {
    let mut open: Vec<&str> = input
        .model
        .shapes
        .get(name)
        .map(|shape| shape.members.values().map(|member| member.shape.as_str()).collect())
        .unwrap_or_default();
    while let Some(next) = open.pop() {
        let shape = input.model.shape(next);
        let typed = (shape.kind == Kind::Structure && !shape.document) || !shape.values.is_empty();
        if typed && !here.iter().any(|name| name == next) {
            return true;
        }
        open.extend(shape.member.iter().chain(&shape.value).map(|inner| inner.shape.as_str()));
    }
    false
}

fn structure(text: &mut String, input: &Input<'_>, name: &str) {
    let empty = std::collections::BTreeMap::new();
    let members = input.model.shapes.get(name).map_or(&empty, |shape| &shape.members);
    let wire_names = members.iter().map(|(name, reference)| reference.wire(name));
    let capitals = wire_names.filter(|name| name.starts_with(char::is_uppercase)).count();
    let pascal = capitals * 2 > members.len();
    let case = if pascal { "PascalCase" } else { "camelCase" };
    let label = &input.plan.label;
    let secret = members.values().any(|member| input.model.shape(&member.shape).sensitive);
    let debug = if secret { "" } else { "Debug, " };
    let _infallible = writeln!(
        text,
        "\n/// {label} shape `{name}`.\n\
         #[derive(Clone, {debug}Default, PartialEq, Serialize, Deserialize)]\n\
         #[serde(rename_all = \"{case}\")]\n\
         pub struct {} {{",
        names::type_name(name)
    );
    for (member, reference) in members {
        let wire = reference.wire(member);
        let field = names::field(member);
        let shape = input.model.shape(&reference.shape);
        let mut attributes = Vec::new();
        if names::serde_case(&field, pascal) != wire {
            attributes.push(format!("rename = \"{wire}\""));
        }
        if shape.kind == Kind::Timestamp {
            attributes.push("default".to_owned());
            attributes.push("with = \"crate::value::timestamp\"".to_owned());
        } else if input.model.timestamps(shape) {
            attributes.push("default".to_owned());
            attributes.push("with = \"crate::value::timestamps\"".to_owned());
        }
        attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
        let mut rust = rust_type(input, &reference.shape);
        if shape.kind == Kind::Structure && input.model.recursive(&reference.shape) {
            rust = format!("Box<{rust}>");
        }
        let _infallible =
            writeln!(text, "#[serde({})]\npub {field}: Option<{rust}>,", attributes.join(", "));
    }
    text.push_str("}\n");
    if secret {
        debug_without_secrets(text, input, name);
    }
}

/// `Debug` for a structure with members that the model calls sensitive: they must not reach a log.
fn debug_without_secrets(text: &mut String, input: &Input<'_>, name: &str) {
    let rust = names::type_name(name);
    let _infallible = writeln!(
        text,
        "\nimpl std::fmt::Debug for {rust} {{\n\
         fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n\
         f.debug_struct(\"{rust}\")"
    );
    for (member, reference) in &input.model.shape(name).members {
        let field = names::field(member);
        let shown = if input.model.shape(&reference.shape).sensitive {
            format!("&self.{field}.as_ref().map(|_| crate::value::Hidden)")
        } else {
            format!("&self.{field}")
        };
        let _infallible = writeln!(text, ".field(\"{}\", {shown})", field.trim_start_matches("r#"));
    }
    text.push_str(".finish()\n}\n}\n");
}

/// The Rust type of a shape, as a member holds it.
fn rust_type(input: &Input<'_>, name: &str) -> String {
    let shape = input.model.shape(name);
    if input.model.timestamps(shape) {
        return "Vec<stdx::Timestamp>".to_owned();
    }
    let inner = |reference: &Option<Reference>| {
        let name = &reference.as_ref().expect("a list or map says what it holds").shape;
        assert!(
            input.model.shape(name).kind != Kind::Timestamp,
            "{name}: a map of timestamps, or a list of lists, needs a serde helper of its own"
        );
        rust_type(input, name)
    };
    match shape.kind {
        Kind::Structure if shape.document => "crate::value::Document".to_owned(),
        Kind::Structure => names::type_name(name),
        Kind::String if !shape.values.is_empty() => names::type_name(name),
        Kind::String => "String".to_owned(),
        Kind::List => format!("Vec<{}>", inner(&shape.member)),
        Kind::Map => format!("std::collections::BTreeMap<String, {}>", inner(&shape.value)),
        Kind::Integer => "i32".to_owned(),
        Kind::Long => "i64".to_owned(),
        Kind::Float | Kind::Double => "f64".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Timestamp => "stdx::Timestamp".to_owned(),
        Kind::Blob => "crate::value::Blob".to_owned(),
    }
}

fn enumeration(text: &mut String, input: &Input<'_>, name: &str, shape: &Shape) {
    let label = &input.plan.label;
    let _infallible = writeln!(
        text,
        "\nwire_enum! {{\n    /// {label} shape `{name}`.\n    {} {{",
        names::type_name(name)
    );
    for value in &shape.values {
        let _infallible = writeln!(text, "        {} = \"{value}\",", names::variant(value));
    }
    text.push_str("    }\n}\n");
}
