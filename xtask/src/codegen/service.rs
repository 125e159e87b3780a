//! The service itself: facts, operations, errors, the trait, its dispatch, the client.

use std::fmt::Write;

use super::Input;
use super::model::{Operation, Pagination};
use super::names;
use super::shapes::named;

/// `operations.rs`, `errors.rs`, `service.rs`, `client.rs`, `facts.rs`.
pub(super) fn render(input: &Input<'_>) -> Vec<(String, String)> {
    vec![
        ("client.rs".to_owned(), client(input)),
        ("errors.rs".to_owned(), errors(input)),
        ("facts.rs".to_owned(), facts(input)),
        ("operations.rs".to_owned(), operations(input)),
        ("service.rs".to_owned(), service(input)),
    ]
}

/// `mod.rs` of the service.
pub(super) fn render_module(input: &Input<'_>, modules: &[String]) -> String {
    let label = &input.plan.label;
    let mut text = format!(
        "//! {label} (API version {}): its shapes, operations, errors, trait and client.\n\n\
         #![expect(missing_docs, reason = \"a member is documented by the AWS shape that its type names\")]\n\n",
        input.model.metadata.api_version
    );
    for module in modules {
        let _infallible = writeln!(text, "mod {module};");
    }
    text.push_str("\n#[cfg(test)]\npub(crate) use schema::TRIPS;\n");
    for module in modules {
        if !module.starts_with("schema") {
            let _infallible = writeln!(text, "pub use {module}::*;");
        }
    }
    text
}

/// The built operations: name, input, output.
fn built<'a>(input: &'a Input<'_>) -> impl Iterator<Item = (&'a str, String, String)> {
    input.model.operations.iter().filter(|(name, _)| input.plan.operations.contains(name)).map(
        |(name, operation)| {
            (
                name.as_str(),
                names::type_name(&named(operation.input.as_ref(), name, "Request")),
                names::type_name(&named(operation.output.as_ref(), name, "Response")),
            )
        },
    )
}

fn operations(input: &Input<'_>) -> String {
    let mut text = format!(
        "//! The operations.\n\ncrate::facts::operations! {{\n    /// An operation of {}.\n",
        input.plan.label
    );
    for name in input.model.operations.keys() {
        let _infallible = writeln!(text, "    {name},");
    }
    text.push_str("}\n");
    text
}

fn errors(input: &Input<'_>) -> String {
    let mut text = format!(
        "//! The errors.\n\ncrate::error::error_kinds! {{\n    /// An error that {} names.\n",
        input.plan.label
    );
    for (name, shape) in &input.model.shapes {
        if !shape.exception {
            continue;
        }
        let error = shape.error.as_ref();
        let code = error.and_then(|error| error.code.as_deref()).unwrap_or(name);
        let usual = if shape.fault { 500 } else { 400 };
        let status = error.and_then(|error| error.http_status_code).unwrap_or(usual);
        let _infallible =
            writeln!(text, "    {} = (\"{code}\", {status}),", names::type_name(name));
    }
    text.push_str("}\n");
    text
}

fn facts(input: &Input<'_>) -> String {
    let metadata = &input.model.metadata;
    let option = |value: &Option<String>| match value {
        Some(value) => format!("Some(\"{value}\")"),
        None => "None".to_owned(),
    };
    let protocols = protocols(input);
    let mut text = format!(
        "//! The service's facts.\n\n\
         use crate::facts::{{OperationFacts, Pagination, ServiceFacts}};\n\
         use crate::protocol::Protocol;\n\
         use crate::validate::Wording;\n\n\
         use super::schema_ends::*;\n\n\
         /// What is known of {label}.\n\
         pub static FACTS: ServiceFacts = ServiceFacts {{\n\
         name: \"{name}\",\nlabel: \"{label}\",\napi_version: \"{version}\",\n\
         target_prefix: {target},\nsigning_name: \"{signing}\",\nendpoint_prefix: \"{endpoint}\",\n\
         protocols: &[{protocols}],\nxml_namespace: {namespace},\n\
         query_errors: {query_errors},\n\
         validation_error: \"{error}\",\nwording: Wording::{wording},\noperations: &[\n",
        label = input.plan.label,
        name = input.service,
        version = metadata.api_version,
        target = option(&metadata.target_prefix),
        signing = metadata.signing_name.as_deref().unwrap_or(&metadata.endpoint_prefix),
        endpoint = metadata.endpoint_prefix,
        namespace = option(&metadata.xml_namespace),
        query_errors = query_errors(input),
        error = input.plan.validation_error,
        wording = input.plan.wording,
    );
    for (name, operation) in &input.model.operations {
        text.push_str(&operation_facts(input, name, operation));
    }
    text.push_str("],\n};\n");
    if !text.contains("Pagination {") {
        text = text.replace(
            "{OperationFacts, Pagination, ServiceFacts}",
            "{OperationFacts, ServiceFacts}",
        );
    }
    text
}

/// What the service speaks, what our own client prefers first.
fn protocols(input: &Input<'_>) -> String {
    let metadata = &input.model.metadata;
    let all = if metadata.protocols.is_empty() {
        std::slice::from_ref(&metadata.protocol)
    } else {
        &metadata.protocols
    };
    let mut known: Vec<(u8, &str)> = all
        .iter()
        .map(|protocol| match (protocol.as_str(), metadata.json_version.as_deref()) {
            ("json", Some("1.0")) => (0, "Protocol::Json10"),
            ("json", _) => (0, "Protocol::Json11"),
            ("query", _) => (1, "Protocol::Query"),
            ("ec2", _) => (1, "Protocol::Ec2"),
            ("smithy-rpc-v2-cbor", _) => (2, "Protocol::Cbor"),
            (other, _) => panic!("{}: protocol {other} has no codec", input.service),
        })
        .collect();
    known.sort_unstable();
    known.into_iter().map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

/// The errors whose code differs from their shape's name, if callers are told both. A code that is
/// the name of another error's shape is that one's.
fn query_errors(input: &Input<'_>) -> String {
    if input.model.metadata.aws_query_compatible.is_none() {
        return "None".to_owned();
    }
    let mut pairs = String::new();
    for (name, shape) in &input.model.shapes {
        let code = shape.error.as_ref().and_then(|error| error.code.as_deref());
        let anothers = |code: &str| input.model.shapes.get(code).is_some_and(|it| it.exception);
        let differs = |code: &&str| shape.exception && code != name && !anothers(code);
        if let Some(code) = code.filter(differs) {
            let _infallible = write!(pairs, "(\"{code}\", \"{name}\"),");
        }
    }
    format!("Some(&[{pairs}])")
}

fn operation_facts(input: &Input<'_>, name: &str, operation: &Operation) -> String {
    let mut text = if input.plan.operations.contains(name) {
        format!(
            "OperationFacts::built(\"{name}\", &{}, &{})",
            names::constant(&named(operation.input.as_ref(), name, "Request")),
            names::constant(&named(operation.output.as_ref(), name, "Response")),
        )
    } else {
        format!("OperationFacts::unbuilt(\"{name}\")")
    };
    if input.plan.lenient.iter().any(|lenient| lenient == name) {
        text.push_str(".lenient()");
    }
    if let Some(wrapper) =
        operation.output.as_ref().and_then(|output| output.result_wrapper.as_ref())
    {
        let _infallible = write!(text, ".wrapped(\"{wrapper}\")");
    }
    if let Some(pages) = &operation.pagination {
        let _infallible = write!(text, ".paged({})", pagination(pages));
    }
    text.push_str(",\n");
    text
}

fn pagination(pages: &Pagination) -> String {
    let option =
        |value: Option<&str>| value.map_or("None".to_owned(), |value| format!("Some(\"{value}\")"));
    format!(
        "Pagination {{ input_token: \"{}\", output_token: \"{}\", limit: {}, result: {} }}",
        pages.input_token.first(),
        pages.output_token.first(),
        option(pages.limit_key.as_deref()),
        option(pages.result_key.as_ref().map(|key| key.first())),
    )
}

/// More operations than this make a dispatcher longer than a function of the workspace may be.
const LONG: usize = 18;

fn service(input: &Input<'_>) -> String {
    let (service, label, name) = (input.service, &input.plan.label, &input.plan.trait_name);
    let mut text = format!(
        "//! The trait that a server of {label} implements, and the way from bytes to it.\n\n\
         use std::future::{{Future, ready}};\n\nuse super::*;\n\n\
         /// {label} as a server offers it. An operation that is not overridden answers HTTP 501 `NotImplemented`.\n\
         pub trait {name}: Send + Sync {{\n\
         /// What accompanies a request: who asks, from where, when.\n\
         type Context: Send + Sync;\n"
    );
    for (operation, request, response) in built(input) {
        let _infallible = writeln!(
            text,
            "\n/// {label} operation `{operation}`.\n\
             fn {}(&self, _context: &Self::Context, _request: {request}) \
             -> impl Future<Output = Result<{response}, crate::Error>> + Send {{\n\
             ready(Err(crate::Error::not_implemented(\"{service}\", \"{operation}\")))\n}}",
            names::field(operation)
        );
    }
    let long = if built(input).count() > LONG {
        "#[expect(clippy::too_many_lines, reason = \"one arm for each operation\")]\n"
    } else {
        ""
    };
    let _infallible = writeln!(
        text,
        "}}\n\n\
         /// Decodes and validates the JSON `body` of `operation`, calls `service` and encodes the answer as JSON.\n\
         ///\n/// # Errors\n///\n\
         /// `SerializationException` for what is not such a request, {label}'s validation error for a\n\
         /// violated constraint, `NotImplemented` for what is not built, and whatever `service` answers.\n\
         {long}\
         pub async fn dispatch<S: {name}>(service: &S, context: &S::Context, operation: Operation, body: &[u8]) \
         -> Result<Vec<u8>, crate::Error> {{\n\
         use crate::codec::{{request, response}};\n\
         let facts = operation.facts();\n\
         match operation {{"
    );
    for (operation, _, _) in built(input) {
        let _infallible = writeln!(
            text,
            "Operation::{operation} => \
             response(&service.{}(context, request(&FACTS, facts, body)?).await?),",
            names::field(operation)
        );
    }
    if built(input).count() < input.model.operations.len() {
        let _infallible = writeln!(
            text,
            "other => Err(crate::Error::not_implemented(\"{service}\", other.name())),"
        );
    }
    text.push_str("}\n}\n");
    text
}

fn client(input: &Input<'_>) -> String {
    let label = &input.plan.label;
    let mut text = format!(
        "//! The client.\n\n\
         use crate::client::{{ClientError, Transport, call}};\n\nuse super::*;\n\n\
         /// {label} as a client sees it, over any [`Transport`].\n\
         #[derive(Clone, Debug)]\n\
         pub struct Client<T> {{ transport: T }}\n\n\
         impl<T: Transport> Client<T> {{\n\
         /// A client that sends its calls through `transport`.\n\
         pub const fn new(transport: T) -> Self {{ Self {{ transport }} }}\n\n\
         /// What carries the calls.\n\
         pub const fn transport(&self) -> &T {{ &self.transport }}\n"
    );
    for (operation, request, response) in built(input) {
        let _infallible = writeln!(
            text,
            "\n/// Calls {label}'s `{operation}`.\n\
             pub async fn {}(&self, request: {request}) -> Result<{response}, ClientError> {{\n\
             call(&self.transport, &FACTS, Operation::{operation}.facts(), &request).await\n}}",
            names::field(operation)
        );
    }
    text.push_str("}\n");
    text
}
