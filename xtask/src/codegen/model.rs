//! The facts in `models/*.json`, as `xtask/src/models.py` writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

/// What `models/services.json` says of one service: how it is spoken of and what is typed.
#[derive(Debug, Deserialize)]
pub(super) struct Plan {
    #[serde(rename = "trait")]
    pub(super) trait_name: String,
    pub(super) label: String,
    pub(super) wording: String,
    pub(super) validation_error: String,
    pub(super) operations: Built,
    /// Operations whose requests are never refused for a range, a pattern or an unknown enum value.
    pub(super) lenient: Vec<String>,
}

/// The operations that get types and a trait method.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Built {
    All(All),
    Named(BTreeSet<String>),
}

/// The word `all`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum All {
    All,
}

impl Built {
    pub(super) fn contains(&self, operation: &str) -> bool {
        match self {
            Self::All(All::All) => true,
            Self::Named(names) => names.contains(operation),
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) metadata: Metadata,
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) api_version: String,
    pub(super) endpoint_prefix: String,
    pub(super) json_version: Option<String>,
    pub(super) protocol: String,
    /// Every protocol that the service speaks, where the model names more than one.
    #[serde(default)]
    pub(super) protocols: Vec<String>,
    /// There if errors keep the codes that the service had when it spoke Query alone.
    pub(super) aws_query_compatible: Option<serde_json::Value>,
    pub(super) signing_name: Option<String>,
    pub(super) target_prefix: Option<String>,
    pub(super) xml_namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Operation {
    pub(super) input: Option<Reference>,
    pub(super) output: Option<Reference>,
    pub(super) pagination: Option<Pagination>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Pagination {
    pub(super) input_token: OneOrMany,
    pub(super) output_token: OneOrMany,
    pub(super) limit_key: Option<String>,
    pub(super) result_key: Option<OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn first(&self) -> &str {
        match self {
            Self::One(name) => name,
            Self::Many(names) => names.first().map_or("", String::as_str),
        }
    }
}

/// How one shape refers to another.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reference {
    pub(super) shape: String,
    pub(super) location_name: Option<String>,
    pub(super) result_wrapper: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) required: BTreeSet<String>,
    #[serde(default, rename = "enum")]
    pub(super) values: Vec<String>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) pattern: Option<String>,
    #[serde(default)]
    pub(super) sensitive: bool,
    #[serde(default)]
    pub(super) flattened: bool,
    #[serde(default)]
    pub(super) document: bool,
    #[serde(default)]
    pub(super) exception: bool,
    #[serde(default)]
    pub(super) fault: bool,
    pub(super) error: Option<ErrorFacts>,
    #[serde(default)]
    pub(super) members: BTreeMap<String, Reference>,
    pub(super) member: Option<Reference>,
    pub(super) key: Option<Reference>,
    pub(super) value: Option<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorFacts {
    pub(super) code: Option<String>,
    pub(super) http_status_code: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Structure,
    List,
    Map,
    String,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Timestamp,
    Blob,
}

impl Model {
    /// The shape of that name.
    pub(super) fn shape(&self, name: &str) -> &Shape {
        self.shapes
            .get(name)
            .unwrap_or_else(|| panic!("the model refers to shape {name}, which it lacks"))
    }

    /// Every shape that the built operations reach, themselves included.
    pub(super) fn reached(&self, plan: &Plan) -> BTreeSet<&str> {
        let mut open: Vec<&str> = self
            .operations
            .iter()
            .filter(|(name, _)| plan.operations.contains(name))
            .flat_map(|(_, operation)| [operation.input.as_ref(), operation.output.as_ref()])
            .flatten()
            .map(|reference| reference.shape.as_str())
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = open.pop() {
            if seen.insert(name) {
                open.extend(
                    self.shape(name).references().map(|reference| reference.shape.as_str()),
                );
            }
        }
        seen
    }

    /// Whether a shape is a list of instants.
    pub(super) fn timestamps(&self, shape: &Shape) -> bool {
        let of = shape.member.as_ref().filter(|_| shape.kind == Kind::List);
        of.is_some_and(|of| self.shape(&of.shape).kind == Kind::Timestamp)
    }

    /// Whether a structure holds itself through structures alone, so that it must be boxed.
    pub(super) fn recursive(&self, name: &str) -> bool {
        let mut open = vec![name];
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            for reference in self.shape(next).members.values() {
                if reference.shape == name {
                    return true;
                }
                if seen.insert(reference.shape.as_str()) {
                    open.push(&reference.shape);
                }
            }
        }
        false
    }
}

impl Reference {
    /// The member's name on the wire.
    pub(super) fn wire<'a>(&'a self, member: &'a str) -> &'a str {
        self.location_name.as_deref().unwrap_or(member)
    }
}

impl Shape {
    fn references(&self) -> impl Iterator<Item = &Reference> {
        self.members.values().chain(&self.member).chain(&self.key).chain(&self.value)
    }
}

/// Reads `models/services.json`.
pub(super) fn plans(models: &Path) -> anyhow::Result<BTreeMap<String, Plan>> {
    read(&models.join("services.json"))
}

/// Reads `models/<service>.json`.
pub(super) fn model(models: &Path, service: &str) -> anyhow::Result<Model> {
    read(&models.join(format!("{service}.json")))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("understand {}", path.display()))
}
