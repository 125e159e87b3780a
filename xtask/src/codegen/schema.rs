//! The schema: static tables of what each shape is and which constraints it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::Input;
use super::model::{Kind, Reference, Shape};
use super::names;
use super::shapes::named;

/// `schema_ends.rs` (requests and responses), `schema.rs` (other structures) and `schema_values.rs`
/// (everything else).
pub(super) fn render(input: &Input<'_>) -> Vec<(String, String)> {
    let mut ends = String::from(
        "//! The schema of requests and responses.\n\n\
         use crate::schema::{Member, Shape};\n\nuse super::schema::*;\nuse super::schema_values::*;\n",
    );
    let mut structures = String::from(
        "//! The schema of what requests and responses are made of.\n\n\
         use crate::schema::{Member, Shape};\n\nuse super::schema_ends::*;\nuse super::schema_values::*;\n",
    );
    let mut values = String::new();
    let mut patterns = BTreeMap::new();
    let mut shaped = Vec::new();
    for name in empty_ends(input) {
        let _infallible = writeln!(
            ends,
            "\npub(super) static {}: Shape = Shape::structure(\"{name}\", &[]);",
            names::constant(&name)
        );
        shaped.push(name);
    }
    // Most are requests and responses by name; Systems Manager has results.
    let ends_of_operations: BTreeSet<&str> = input
        .model
        .operations
        .values()
        .flat_map(|operation| [&operation.input, &operation.output])
        .flatten()
        .map(|end| end.shape.as_str())
        .collect();
    let is_end = |name: &str| {
        ends_of_operations.contains(name) || name.ends_with("Request") || name.ends_with("Response")
    };
    let mut ends_in_lists = false;
    for name in input.model.reached(input.plan) {
        let shape = input.model.shape(name);
        ends_in_lists |=
            shape.member.iter().chain(&shape.value).any(|of| {
                is_end(&of.shape) && input.model.shape(&of.shape).kind == Kind::Structure
            });
        if shape.kind == Kind::Structure && !shape.document {
            let end = is_end(name);
            structure(if end { &mut ends } else { &mut structures }, name, shape);
            shaped.push(name.to_owned());
        } else {
            value(&mut values, &mut patterns, name, shape);
        }
    }
    let uses = if patterns.is_empty() { "" } else { "use crate::pattern::Pattern;\n" };
    let ends_use = if ends_in_lists { "use super::schema_ends::*;\n" } else { "" };
    let values_head = format!(
        "//! The schema of lists, maps and plain values.\n\n\
         {uses}use crate::schema::Shape;\n\nuse super::schema::*;\n{ends_use}"
    );
    for (pattern, constant) in patterns {
        let _infallible =
            writeln!(values, "\nstatic {constant}: Pattern = Pattern::new(r#\"{pattern}\"#);");
    }
    structures.push_str("\ncrate::schema::shaped! {\n");
    for name in shaped {
        let _infallible =
            writeln!(structures, "    {} = {},", names::type_name(&name), names::constant(&name));
    }
    structures.push_str("}\n");
    vec![
        ("schema.rs".to_owned(), structures),
        ("schema_ends.rs".to_owned(), ends),
        ("schema_values.rs".to_owned(), values_head + &values),
    ]
}

/// Inputs and outputs that the model leaves out.
fn empty_ends(input: &Input<'_>) -> Vec<String> {
    input
        .model
        .operations
        .iter()
        .filter(|(name, _)| input.plan.operations.contains(name))
        .flat_map(|(name, operation)| {
            [
                operation.input.is_none().then(|| named(None, name, "Request")),
                operation.output.is_none().then(|| named(None, name, "Response")),
            ]
        })
        .flatten()
        .collect()
}

fn structure(text: &mut String, name: &str, shape: &Shape) {
    let _infallible = write!(
        text,
        "\npub(super) static {}: Shape = Shape::structure(\"{name}\", &[",
        names::constant(name)
    );
    for (member, reference) in &shape.members {
        let kind = if shape.required.contains(member) { "required" } else { "optional" };
        let wire = reference.wire(member);
        let _infallible =
            write!(text, "Member::{kind}(\"{wire}\", &{}),", names::constant(&reference.shape));
    }
    text.push_str("])");
    if shape.sensitive {
        text.push_str(".sensitive()");
    }
    text.push_str(";\n");
}

fn value(text: &mut String, patterns: &mut BTreeMap<String, String>, name: &str, shape: &Shape) {
    let of = |reference: &Option<Reference>| {
        names::constant(&reference.as_ref().expect("a list or map says what it holds").shape)
    };
    let mut made = match shape.kind {
        Kind::Structure => "Shape::document()".to_owned(),
        Kind::String if !shape.values.is_empty() => {
            let values: Vec<String> =
                shape.values.iter().map(|value| format!("\"{value}\"")).collect();
            format!("Shape::words(&[{}])", values.join(", "))
        }
        Kind::String => "Shape::text()".to_owned(),
        Kind::List => format!("Shape::list(&{})", of(&shape.member)),
        Kind::Map => format!("Shape::map(&{}, &{})", of(&shape.key), of(&shape.value)),
        Kind::Integer => "Shape::integer()".to_owned(),
        Kind::Long => "Shape::long()".to_owned(),
        Kind::Float | Kind::Double => "Shape::double()".to_owned(),
        Kind::Boolean => "Shape::boolean()".to_owned(),
        Kind::Timestamp => "Shape::timestamp()".to_owned(),
        Kind::Blob => "Shape::blob()".to_owned(),
    };
    for (bound, method) in [(shape.min, "min"), (shape.max, "max")] {
        if let Some(bound) = bound {
            let _infallible = write!(made, ".{method}({bound:?})");
        }
    }
    if let Some(pattern) = &shape.pattern {
        let next = format!("PATTERN_{}", names::constant(name));
        let constant = patterns.entry(pattern.clone()).or_insert(next);
        let _infallible = write!(made, ".pattern(&{constant})");
    }
    if shape.sensitive {
        made.push_str(".sensitive()");
    }
    if shape.flattened {
        made.push_str(".flattened()");
    }
    let item = shape.member.as_ref().and_then(|member| member.location_name.as_deref());
    if let Some(item) = item {
        let _infallible = write!(made, ".item(\"{item}\")");
    }
    let _infallible =
        writeln!(text, "\npub(super) static {}: Shape = {made};", names::constant(name));
}
