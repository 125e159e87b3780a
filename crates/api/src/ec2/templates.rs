//! Launch templates, as far as Auto Scaling groups start nodes by them.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html>
//!
//! Of what a template says of an instance, its image, type, user data and tags mean something to a
//! node. Everything else is refused by name when a version is made.

mod read;

use aws::Error;
use aws::ec2::*;
use model::{LaunchTemplateId, Realm, State, Tags, TemplateData, TemplateVersion, VersionChoice};
use scheduler::capacity::{NewTemplate, NewVersion};
use scheduler::{CapacityCommand, CapacityRejection, Command, Rejection, Reply};
use store::{Committed, SubmitError};

use super::filter::{dry, invalid};
use crate::autoscaling::user_data;
use crate::door::{Caller, Door};
use crate::errors;

pub(super) use read::{describe, describe_versions};
use read::{shown, version_shown};

/// The most versions that are deleted at once.
const MOST_DELETED: usize = 200;

fn error(code: &'static str, message: impl Into<String>) -> Error {
    Error::new(code, 400, message)
}

async fn submit(door: &Door, command: CapacityCommand) -> Result<Committed, Error> {
    use CapacityRejection as R;
    door.try_submit(Command::Capacity(command)).await.map_err(|refusal| match refusal {
        SubmitError::Rejected(Rejection::Capacity(refusal)) => {
            let code = match &refusal {
                R::TemplateExists(_) => "InvalidLaunchTemplateName.AlreadyExistsException",
                R::NoTemplate(_) => "InvalidLaunchTemplateId.NotFound",
                R::NoVersion(..) => "InvalidLaunchTemplateId.VersionNotFound",
                R::Limit(_) => "VersionLimitExceeded",
                _ => "InvalidParameterValue",
            };
            error(code, refusal.to_string())
        }
        other => errors::submit(door.realm(), &other),
    })
}

/// Which template an id or a name means: exactly one of them is given.
pub(crate) fn find(
    state: &State,
    id: Option<&String>,
    name: Option<&String>,
) -> Result<LaunchTemplateId, Error> {
    let book = state.capacity();
    match (id, name) {
        (Some(id), None) if !id.starts_with("lt-") => Err(error(
            "InvalidLaunchTemplateId.Malformed",
            format!("The specified launch template ID {id} is not valid: it begins with lt-."),
        )),
        (Some(id), None) => match book.template(&id.as_str().into()) {
            Some(template) => Ok(template.id.clone()),
            None => Err(error(
                "InvalidLaunchTemplateId.NotFound",
                format!("The specified launch template, with template ID {id}, does not exist."),
            )),
        },
        (None, Some(name)) => match book.templates().find(|template| template.name == *name) {
            Some(template) => Ok(template.id.clone()),
            None => Err(error(
                "InvalidLaunchTemplateName.NotFoundException",
                format!(
                    "The specified launch template, with template name {name}, does not exist."
                ),
            )),
        },
        (None, None) => Err(error(
            "MissingParameter",
            "Either LaunchTemplateId or LaunchTemplateName is required.",
        )),
        (Some(_), Some(_)) => Err(error(
            "InvalidParameterCombination",
            "LaunchTemplateId and LaunchTemplateName cannot both be given.",
        )),
    }
}

/// A version by its number, `$Latest` or `$Default`.
pub(crate) fn version(given: &str) -> Result<VersionChoice, Error> {
    match given {
        "$Latest" => Ok(VersionChoice::Latest),
        "$Default" => Ok(VersionChoice::Default),
        _ => match given.parse() {
            Ok(number) if number > 0 => Ok(VersionChoice::Number(number)),
            _ => Err(error(
                "InvalidLaunchTemplateId.VersionNotFound",
                format!(
                    "\"{given}\" is not a version of a launch template: it is a number from 1, $Latest \
                     or $Default."
                ),
            )),
        },
    }
}

fn known<'a>(
    state: &'a State,
    id: &LaunchTemplateId,
    choice: VersionChoice,
) -> Result<&'a TemplateVersion, Error> {
    state.capacity().version(id, choice).map(|version| &**version).ok_or_else(|| {
        error(
            "InvalidLaunchTemplateId.VersionNotFound",
            format!(
                "Could not find the specified version {choice} for the launch template with ID {id}."
            ),
        )
    })
}

// === Written ===

pub(super) async fn create(
    door: &Door,
    caller: &Caller,
    request: CreateLaunchTemplateRequest,
) -> Result<CreateLaunchTemplateResult, Error> {
    dry(request.dry_run)?;
    refuse(&[("Operator", request.operator.is_some())])?;
    let name = request.launch_template_name.unwrap_or_default();
    let valid = |c: char| c.is_ascii_alphanumeric() || "-()./_".contains(c);
    if !(3..=128).contains(&name.len()) || !name.chars().all(valid) {
        return Err(error(
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters, \
             numbers, and the following characters: - ( ) . / _",
        ));
    }
    let specifications = request.tag_specifications.unwrap_or_default();
    let specifications = specifications.into_iter().map(|s| (s.resource_type, s.tags));
    let new = NewTemplate {
        name,
        description: request.version_description,
        data: data(door.realm(), request.launch_template_data)?,
        tags: tags("launch-template", specifications)?,
        by: caller.identity.principal.arn.clone(),
        token: request.client_token,
    };
    let committed = submit(door, CapacityCommand::CreateTemplate(new)).await?;
    let launch_template = made(&committed).and_then(|(id, _)| shown(&committed.state, &id));
    Ok(CreateLaunchTemplateResult { launch_template, warning: None })
}

fn made(committed: &Committed) -> Option<(LaunchTemplateId, u64)> {
    match &committed.reply {
        Reply::TemplateVersion(id, number) => Some((id.clone(), *number)),
        _ => None,
    }
}

pub(super) async fn create_version(
    door: &Door,
    caller: &Caller,
    request: CreateLaunchTemplateVersionRequest,
) -> Result<CreateLaunchTemplateVersionResult, Error> {
    dry(request.dry_run)?;
    refuse(&[("ResolveAlias", request.resolve_alias == Some(true))])?;
    let state = door.snapshot();
    let (id, name) = (request.launch_template_id.as_ref(), request.launch_template_name.as_ref());
    let template = find(&state, id, name)?;
    let source = match request.source_version.as_deref() {
        None => None,
        Some(given) => Some(known(&state, &template, version(given)?)?.number),
    };
    let new = NewVersion {
        template,
        source,
        description: request.version_description,
        data: data(door.realm(), request.launch_template_data)?,
        by: caller.identity.principal.arn.clone(),
        token: request.client_token,
    };
    let committed = submit(door, CapacityCommand::CreateVersion(new)).await?;
    let launch_template_version = made(&committed).and_then(|(id, number)| {
        let book = committed.state.capacity();
        let version = book.version(&id, VersionChoice::Number(number))?;
        version_shown(&committed.state, version)
    });
    Ok(CreateLaunchTemplateVersionResult { launch_template_version, warning: None })
}

pub(super) async fn modify(
    door: &Door,
    request: ModifyLaunchTemplateRequest,
) -> Result<ModifyLaunchTemplateResult, Error> {
    dry(request.dry_run)?;
    let state = door.snapshot();
    let (id, name) = (request.launch_template_id.as_ref(), request.launch_template_name.as_ref());
    let id = find(&state, id, name)?;
    let Some(given) = request.default_version else {
        return Err(error("MissingParameter", "SetDefaultVersion is required."));
    };
    let number = known(&state, &id, version(&given)?)?.number;
    let committed = submit(door, CapacityCommand::SetDefaultVersion(id.clone(), number)).await?;
    Ok(ModifyLaunchTemplateResult { launch_template: shown(&committed.state, &id) })
}

pub(super) async fn delete(
    door: &Door,
    request: DeleteLaunchTemplateRequest,
) -> Result<DeleteLaunchTemplateResult, Error> {
    dry(request.dry_run)?;
    let state = door.snapshot();
    let (id, name) = (request.launch_template_id.as_ref(), request.launch_template_name.as_ref());
    let id = find(&state, id, name)?;
    let launch_template = shown(&state, &id);
    submit(door, CapacityCommand::DeleteTemplate(id)).await?;
    Ok(DeleteLaunchTemplateResult { launch_template })
}

pub(super) async fn delete_versions(
    door: &Door,
    request: DeleteLaunchTemplateVersionsRequest,
) -> Result<DeleteLaunchTemplateVersionsResult, Error> {
    dry(request.dry_run)?;
    let state = door.snapshot();
    let (id, name) = (request.launch_template_id.as_ref(), request.launch_template_name.as_ref());
    let id = find(&state, id, name)?;
    let Some(template) = state.capacity().template(&id).cloned() else {
        return Err(invalid("The launch template has just gone."));
    };
    let given = request.versions.unwrap_or_default();
    if given.is_empty() || given.len() > MOST_DELETED {
        return Err(invalid(format!("Versions: there must be 1 to {MOST_DELETED} of them.")));
    }
    let (mut going, mut failed) = (Vec::new(), Vec::new());
    for text in given {
        let number: u64 =
            text.parse().map_err(|_| invalid(format!("Versions: \"{text}\" is not a number.")))?;
        let why = match known(&state, &id, VersionChoice::Number(number)) {
            Err(error) => {
                Some((LaunchTemplateErrorCode::LaunchTemplateVersionDoesNotExist, error.message))
            }
            Ok(_) if number == template.default => Some((
                LaunchTemplateErrorCode::UnexpectedError,
                format!(
                    "Version {number} is the default version; make another the default one with \
                     ModifyLaunchTemplate first."
                ),
            )),
            Ok(_) => None,
        };
        match why {
            None => going.push(number),
            Some((code, message)) => failed.push(DeleteLaunchTemplateVersionsResponseErrorItem {
                launch_template_id: Some(id.to_string()),
                launch_template_name: Some(template.name.clone()),
                version_number: i64::try_from(number).ok(),
                response_error: Some(ResponseError { code: Some(code), message: Some(message) }),
            }),
        }
    }
    if !going.is_empty() {
        submit(door, CapacityCommand::DeleteVersions(id.clone(), going.clone())).await?;
    }
    let done = going.into_iter().map(|number| DeleteLaunchTemplateVersionsResponseSuccessItem {
        launch_template_id: Some(id.to_string()),
        launch_template_name: Some(template.name.clone()),
        version_number: i64::try_from(number).ok(),
    });
    Ok(DeleteLaunchTemplateVersionsResult {
        successfully_deleted_launch_template_versions: Some(done.collect()),
        unsuccessfully_deleted_launch_template_versions: Some(failed),
    })
}

/// Refuses members that mean nothing to a node, by name.
fn refuse(asked: &[(&str, bool)]) -> Result<(), Error> {
    match asked.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((member, _)) => Err(error(
            "UnsupportedOperation",
            format!(
                "{member} is not built in Wharf, where a node is not a virtual machine; leave it out."
            ),
        )),
    }
}

fn data(realm: &Realm, given: Option<RequestLaunchTemplateData>) -> Result<TemplateData, Error> {
    fn filled<T>(list: Option<&Vec<T>>) -> bool {
        list.is_some_and(|list| !list.is_empty())
    }
    let Some(given) = given else {
        return Err(error(
            "MissingParameter",
            "The request must contain the parameter LaunchTemplateData",
        ));
    };
    refuse(&[
        ("BlockDeviceMappings", filled(given.block_device_mappings.as_ref())),
        ("CapacityReservationSpecification", given.capacity_reservation_specification.is_some()),
        ("CpuOptions", given.cpu_options.is_some()),
        ("CreditSpecification", given.credit_specification.is_some()),
        ("DisableApiStop", given.disable_api_stop == Some(true)),
        ("DisableApiTermination", given.disable_api_termination == Some(true)),
        ("EbsOptimized", given.ebs_optimized == Some(true)),
        ("ElasticGpuSpecifications", filled(given.elastic_gpu_specifications.as_ref())),
        ("ElasticInferenceAccelerators", filled(given.elastic_inference_accelerators.as_ref())),
        ("EnclaveOptions", given.enclave_options.is_some()),
        ("HibernationOptions", given.hibernation_options.is_some()),
        ("IamInstanceProfile", given.iam_instance_profile.is_some()),
        ("InstanceInitiatedShutdownBehavior", given.instance_initiated_shutdown_behavior.is_some()),
        ("InstanceMarketOptions", given.instance_market_options.is_some()),
        ("InstanceRequirements", given.instance_requirements.is_some()),
        ("KernelId", given.kernel_id.is_some()),
        ("KeyName", given.key_name.is_some()),
        ("LicenseSpecifications", filled(given.license_specifications.as_ref())),
        ("MaintenanceOptions", given.maintenance_options.is_some()),
        ("MetadataOptions", given.metadata_options.is_some()),
        ("Monitoring", given.monitoring.is_some_and(|m| m.enabled == Some(true))),
        ("NetworkInterfaces", filled(given.network_interfaces.as_ref())),
        ("NetworkPerformanceOptions", given.network_performance_options.is_some()),
        ("Operator", given.operator.is_some()),
        ("Placement", given.placement.is_some()),
        ("PrivateDnsNameOptions", given.private_dns_name_options.is_some()),
        ("RamDiskId", given.ram_disk_id.is_some()),
        ("SecondaryInterfaces", filled(given.secondary_interfaces.as_ref())),
        ("SecurityGroupIds", filled(given.security_group_ids.as_ref())),
        ("SecurityGroups", filled(given.security_groups.as_ref())),
    ])?;
    let specifications = given.tag_specifications.unwrap_or_default();
    let specifications = specifications.into_iter().map(|s| (s.resource_type, s.tags));
    let told = match given.user_data.as_deref() {
        None | Some("") => None,
        Some(encoded) => Some(user_data::read(encoded).map_err(|why| {
            error(
                "InvalidUserData.Malformed",
                format!("Invalid BASE64 encoding of user data: {why}"),
            )
        })?),
    };
    let cluster = told.as_deref().and_then(user_data::cluster);
    let cluster = cluster
        .map(|given| crate::refer::cluster_name(realm, Some(&given)))
        .transpose()
        .map_err(|why| invalid(format!("UserData: {}", why.message)))?;
    Ok(TemplateData {
        image: given.image_id,
        instance_type: given.instance_type.map(|it| it.as_str().to_owned()),
        user_data: told,
        cluster,
        tags: tags("instance", specifications)?,
    })
}

type Specification = (Option<ResourceType>, Option<Vec<Tag>>);

/// The tags for one kind of resource; for another kind they would be for nothing.
fn tags(kind: &str, given: impl Iterator<Item = Specification>) -> Result<Tags, Error> {
    let mut all = Tags::default();
    for (resource, tags) in given {
        let resource = resource.as_ref().map_or("", ResourceType::as_str);
        if resource != kind {
            return Err(invalid(format!(
                "TagSpecifications: ResourceType \"{resource}\" is for nothing that there is here; \
                 only {kind} can be tagged."
            )));
        }
        for tag in tags.unwrap_or_default() {
            let key = tag.key.unwrap_or_default();
            if key.is_empty() || key.len() > 128 || key.starts_with("aws:") {
                return Err(invalid(format!(
                    "TagSpecifications: the key \"{key}\" is empty, longer than 128 or reserved."
                )));
            }
            all.0.insert(key, tag.value.unwrap_or_default());
        }
    }
    if all.0.len() > Tags::MOST {
        return Err(error(
            "TagLimitExceeded",
            format!("There can be at most {} tags.", Tags::MOST),
        ));
    }
    Ok(all)
}
