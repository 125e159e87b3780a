//! What a caller changes in a task definition for one run.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html>
//!
//! The stored document is the JSON of `aws::ecs::TaskOverride` as it came, the task's sizes in units.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws::Error;
use aws::ecs::{ContainerOverride, TaskOverride};
use model::{ContainerName, Document, Realm, TaskDefinition};
use scheduler::{ContainerResize, Resize};

use crate::definition::{self, environment_name};
use crate::errors::{invalid, server};
use crate::refuse::PARAMETER;

/// ECS: all overrides together have at most so many characters.
const LONGEST: usize = 8192;

/// What is stored, and what of it changes the reservation.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) document: Option<Document>,
    pub(crate) resize: Resize,
}

/// Checks overrides against the definition they change.
pub(crate) fn read(
    realm: &Realm,
    given: Option<&TaskOverride>,
    definition: &TaskDefinition,
) -> Result<Overrides, Error> {
    let Some(given) = given.filter(|given| **given != TaskOverride::default()) else {
        return Ok(Overrides::default());
    };
    let r = PARAMETER;
    let role =
        |given: &Option<String>| definition::role_arn(realm, given.as_deref()).map_err(invalid);
    let task_role = role(&given.task_role_arn)?;
    let execution_role = role(&given.execution_role_arn)?;
    let document = definition::decode(&definition.document)?;
    let storage = given.ephemeral_storage.as_ref();
    r.given("overrides.ephemeralStorage", storage, "limits of task storage are")?;
    let accelerators = given.inference_accelerator_overrides.as_ref();
    r.list("overrides.inferenceAcceleratorOverrides", accelerators, "accelerators are")?;
    let mut resize = Resize {
        cpu: task_size("cpu", given.cpu.as_ref(), definition::cpu_units)?,
        memory: task_size("memory", given.memory.as_ref(), definition::memory_mib)?,
        containers: Vec::new(),
        attributes: definition::task_role_attributes(task_role.is_some(), &document)
            .map(str::to_owned)
            .collect(),
    };
    let has_execution_role = execution_role.is_some() || document.execution_role_arn.is_some();
    let mut seen = BTreeSet::new();
    for container in given.container_overrides.iter().flatten() {
        let name = container.name.as_deref().unwrap_or_default();
        if definition.spec.container(&ContainerName::from(name)).is_none() {
            return Err(invalid(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            )));
        }
        if !seen.insert(name) {
            return Err(invalid(format!("overrides: container {name} is overridden twice.")));
        }
        check_container(name, container, has_execution_role)?;
        if container.environment_files.as_ref().is_some_and(|files| !files.is_empty()) {
            resize.attributes.push(definition::environment_files_attribute().to_owned());
        }
        let sizes = [container.cpu, container.memory, container.memory_reservation];
        let gpus = gpus(name, container)?;
        if gpus.is_some() || sizes.iter().any(Option::is_some) {
            let size = container_size(name, sizes, definition)?;
            resize.containers.push(ContainerResize { gpus, ..size });
        }
    }
    // The node reads sizes as numbers of units, and roles as ARNs.
    let stored = TaskOverride {
        task_role_arn: task_role,
        execution_role_arn: execution_role,
        cpu: resize.cpu.map(|units| units.to_string()),
        memory: resize.memory.map(|mib| mib.to_string()),
        ..given.clone()
    };
    let bytes = serde_json::to_vec(&stored)
        .map_err(|error| server(format!("The overrides have no JSON form: {error}.")))?;
    if bytes.len() > LONGEST {
        return Err(invalid(format!("Container Overrides length must be at most {LONGEST}")));
    }
    Ok(Overrides { document: Some(Document(Arc::from(bytes))), resize })
}

/// Reads stored overrides.
pub(crate) fn decode(document: &Document) -> Option<TaskOverride> {
    match serde_json::from_slice(&document.0) {
        Ok(overrides) => Some(overrides),
        Err(error) => {
            tracing::error!(%error, "the stored overrides of a task can not be read");
            None
        }
    }
}

fn check_container(
    name: &str,
    container: &ContainerOverride,
    has_execution_role: bool,
) -> Result<(), Error> {
    let at = |member: &str| format!("overrides.containerOverrides['{name}'].{member}");
    let files = container.environment_files.as_deref().unwrap_or_default();
    if !files.is_empty() && !has_execution_role {
        return Err(invalid(format!(
            "{}: files are fetched with the rights of an execution role; give executionRoleArn.",
            at("environmentFiles")
        )));
    }
    definition::check_environment_files(files)
        .map_err(|why| invalid(format!("{}: {why}", at("environmentFiles"))))?;
    for variable in container.environment.iter().flatten() {
        environment_name(variable.name.as_deref().unwrap_or_default())
            .map_err(|why| invalid(format!("{}: {why}", at("environment"))))?;
    }
    Ok(())
}

fn task_size(
    member: &str,
    given: Option<&String>,
    read: fn(&str) -> Option<u32>,
) -> Result<Option<u32>, Error> {
    given
        .map(|text| {
            read(text).ok_or_else(|| {
                invalid(format!("Invalid '{member}' setting for task: \"{text}\" is not a size."))
            })
        })
        .transpose()
}

/// How many GPUs the container has instead of the definition's, if that is said.
fn gpus(name: &str, container: &ContainerOverride) -> Result<Option<u32>, Error> {
    let given = container.resource_requirements.as_deref().filter(|given| !given.is_empty());
    let count = |given| {
        definition::gpus(Some(given)).map_err(|why| {
            invalid(format!("overrides.containerOverrides['{name}'].resourceRequirements: {why}"))
        })
    };
    given.map(count).transpose()
}

/// Sizes of a container: none may be negative, and the soft limit stays below the hard one.
fn container_size(
    name: &str,
    sizes: [Option<i32>; 3],
    definition: &TaskDefinition,
) -> Result<ContainerResize, Error> {
    let wrong = |why: &str| invalid(format!("overrides.containerOverrides['{name}']: {why}"));
    let [cpu, hard, soft] = sizes.map(|size| size.map(u32::try_from));
    let cpu = cpu.transpose().map_err(|_| wrong("cpu can not be negative."))?;
    let least = |size: Option<u32>| size.is_none_or(|mib| mib >= 4);
    let hard = hard.transpose().ok().filter(|mib| least(*mib));
    let soft = soft.transpose().ok().filter(|mib| least(*mib));
    let (Some(hard), Some(soft)) = (hard, soft) else {
        return Err(wrong("memory and memoryReservation are at least 4 MiB."));
    };
    let container = ContainerName::from(name);
    let spec = definition.spec.container(&container);
    let hard_now = hard.or_else(|| spec.and_then(|spec| spec.memory));
    let soft_now = soft.or_else(|| spec.and_then(|spec| spec.memory_reservation));
    if let (Some(hard), Some(soft)) = (hard_now, soft_now)
        && soft > hard
    {
        return Err(wrong("memoryReservation would be more than memory."));
    }
    Ok(ContainerResize { name: container, cpu, memory: hard, memory_reservation: soft, gpus: None })
}
