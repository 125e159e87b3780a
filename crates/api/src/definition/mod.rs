//! From a registered task definition to what is stored: parsed once, here, and kept as a document.
//!
//! The document is the JSON of `aws::ecs::TaskDefinition`: what was registered, with ECS's defaults
//! filled in, and without what belongs to the revision rather than to the request (ARN, revision,
//! status, dates, who registered it). The door adds those when it describes it; the agent sessions
//! read containers, volumes and modes from it. Beside it stands [`model::TaskSpec`], derived once,
//! which is all that placement and the state machine look at.

mod attributes;
mod container;
mod devices;
mod document;
mod fargate;
mod health;
mod linux;
mod log_driver;
pub mod members;
mod order;
mod ports;
mod roles;
mod secrets;
mod security;
mod size;
mod spec;
#[cfg(test)]
mod tests;
mod validate;
mod volumes;

use std::sync::Arc;

use aws::Error;
use aws::ecs::{RegisterTaskDefinitionRequest, TaskDefinition};
use model::{Document, Family, Realm, Tags, TaskSpec};

use crate::errors::{client, server};
use crate::tag_list;

pub use attributes::ALL as REQUIRED_ATTRIBUTES;
pub(crate) use attributes::{
    TASK_NETWORK, environment_files as environment_files_attribute,
    task_role as task_role_attributes,
};
pub(crate) use container::environment_name;
pub(crate) use devices::gpus;
pub(crate) use roles::arn as role_arn;
pub(crate) use secrets::check_files as check_environment_files;
pub(crate) use size::{cpu_units, memory_mib};

/// The largest document, in bytes. ECS's limit is 64 KiB; a record of the store, of which the
/// document is the greater part, stays below that.
const LARGEST: usize = 56 * 1024;

/// A task definition that may be registered.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) family: Family,
    pub(crate) document: Document,
    pub(crate) spec: TaskSpec,
    pub(crate) tags: Tags,
}

/// Checks a request, fills in the defaults and derives what follows from it.
pub(crate) fn parse(
    realm: &Realm,
    request: RegisterTaskDefinitionRequest,
) -> Result<Parsed, Error> {
    validate::request(realm, &request)?;
    let tags = tag_list::read(request.tags.as_ref())?;
    let family = Family::from(request.family.clone().unwrap_or_default());
    let mut definition = document::fill(realm, request)?;
    let spec = spec::derive(&definition)?;
    definition.requires_attributes = Some(attributes::as_wire(&spec));
    let document = encode(&definition)?;
    Ok(Parsed { family, document, spec, tags })
}

fn encode(definition: &TaskDefinition) -> Result<Document, Error> {
    let bytes = serde_json::to_vec(definition)
        .map_err(|error| server(format!("The task definition has no JSON form: {error}.")))?;
    if bytes.len() > LARGEST {
        return Err(client(format!(
            "The task definition is {} bytes long; it can have at most {LARGEST}. Move what is large, \
             such as configuration in environment variables, into the image or a volume.",
            bytes.len()
        )));
    }
    Ok(Document(Arc::from(bytes)))
}

/// Reads a stored document.
pub(crate) fn decode(document: &Document) -> Result<TaskDefinition, Error> {
    serde_json::from_slice(&document.0)
        .map_err(|error| server(format!("A stored task definition can not be read: {error}.")))
}
