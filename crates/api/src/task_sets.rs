//! Task sets: create, scale, make primary, delete, describe.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-external.html>

use aws::Error;
use aws::ecs::{
    CreateTaskSetRequest, CreateTaskSetResponse, DeleteTaskSetRequest, DeleteTaskSetResponse,
    DescribeTaskSetsRequest, DescribeTaskSetsResponse, Scale as WireScale, ScaleUnit,
    StabilityStatus, TaskSet as Wire, TaskSetField, UpdateServicePrimaryTaskSetRequest,
    UpdateServicePrimaryTaskSetResponse, UpdateTaskSetRequest, UpdateTaskSetResponse,
};
use model::{Deployment, DeploymentId, DeploymentStatus, Scale, Service, ServiceKey, State};
use scheduler::{Command, CreateTaskSet, Reply};
use stdx::Timestamp;
use store::Committed;

use crate::door::{Door, odd_reply};
use crate::errors::{invalid, missing};
use crate::refuse::PARAMETER;
use crate::{capacity, fargate, network, refer, run, service_targets, tag_list, view};

/// The longest `clientToken`.
const LONGEST_TOKEN: usize = 36;

/// The longest `externalId`.
const LONGEST_EXTERNAL: usize = 255;

/// How the ids of task sets begin, as those of deployments do.
const PREFIX: &str = "ecs-svc/";

pub(crate) async fn create(
    door: &Door,
    request: CreateTaskSetRequest,
) -> Result<CreateTaskSetResponse, Error> {
    let command = read_create(&door.snapshot(), &request)?;
    let committed = door.submit(Command::CreateTaskSet(command)).await?;
    Ok(CreateTaskSetResponse { task_set: Some(answer(door, "CreateTaskSet", &committed)?) })
}

pub(crate) async fn update(
    door: &Door,
    request: UpdateTaskSetRequest,
) -> Result<UpdateTaskSetResponse, Error> {
    let state = door.snapshot();
    let service = service(&state, request.cluster.as_deref(), request.service.as_deref())?;
    let set = id(&state, &service, request.task_set.as_deref().unwrap_or_default())?;
    let scale = read_scale(request.scale.as_ref())?
        .ok_or_else(|| invalid("scale: UpdateTaskSet changes the scale, so it needs one."))?;
    let committed = door.submit(Command::ScaleTaskSet { service, set, scale }).await?;
    Ok(UpdateTaskSetResponse { task_set: Some(answer(door, "UpdateTaskSet", &committed)?) })
}

pub(crate) async fn set_primary(
    door: &Door,
    request: UpdateServicePrimaryTaskSetRequest,
) -> Result<UpdateServicePrimaryTaskSetResponse, Error> {
    let state = door.snapshot();
    let service = service(&state, request.cluster.as_deref(), request.service.as_deref())?;
    let set = id(&state, &service, request.primary_task_set.as_deref().unwrap_or_default())?;
    let committed = door.submit(Command::SetPrimaryTaskSet { service, set }).await?;
    let task_set = answer(door, "UpdateServicePrimaryTaskSet", &committed)?;
    Ok(UpdateServicePrimaryTaskSetResponse { task_set: Some(task_set) })
}

pub(crate) async fn delete(
    door: &Door,
    request: DeleteTaskSetRequest,
) -> Result<DeleteTaskSetResponse, Error> {
    let state = door.snapshot();
    let service = service(&state, request.cluster.as_deref(), request.service.as_deref())?;
    let set = id(&state, &service, request.task_set.as_deref().unwrap_or_default())?;
    let force = request.force.unwrap_or(false);
    let committed = door.submit(Command::DeleteTaskSet { service, set, force }).await?;
    Ok(DeleteTaskSetResponse { task_set: Some(answer(door, "DeleteTaskSet", &committed)?) })
}

pub(crate) async fn describe(
    door: &Door,
    request: DescribeTaskSetsRequest,
) -> Result<DescribeTaskSetsResponse, Error> {
    let state = door.snapshot();
    let key = service(&state, request.cluster.as_deref(), request.service.as_deref())?;
    let Some(service) = state.service(&key) else {
        return Err(aws::ecs::ErrorKind::ServiceNotFoundException.with("Service not found."));
    };
    if service.status != model::ServiceStatus::Active {
        return Err(aws::ecs::ErrorKind::ServiceNotActiveException.with("Service was not ACTIVE."));
    }
    let tags = request.include.as_ref().is_some_and(|all| all.contains(&TaskSetField::Tags));
    let show = |set: &Deployment| task_set_view(&state, service, set, tags, door.now());
    let given = request.task_sets.as_deref().unwrap_or_default();
    if given.is_empty() {
        let all = service.deployments.iter().filter(|d| d.set.is_some()).map(show).collect();
        return Ok(DescribeTaskSetsResponse { task_sets: Some(all), failures: Some(Vec::new()) });
    }
    let (mut task_sets, mut failures) = (Vec::new(), Vec::new());
    for given in given {
        let id = id(&state, &key, given)?;
        match service.deployment(&id).filter(|d| d.set.is_some()) {
            Some(set) => task_sets.push(show(set)),
            None => failures.push(missing(state.realm().task_set(&key, &id))),
        }
    }
    Ok(DescribeTaskSetsResponse { task_sets: Some(task_sets), failures: Some(failures) })
}

fn answer(door: &Door, operation: &str, committed: &Committed) -> Result<Wire, Error> {
    let state = &committed.state;
    let found = match &committed.reply {
        Reply::TaskSet(key, id) => {
            state.service(key).and_then(|service| Some((service, service.deployment(id)?)))
        }
        _ => None,
    };
    found
        .map(|(service, set)| task_set_view(state, service, set, true, door.now()))
        .ok_or_else(|| odd_reply(operation, &committed.reply))
}

fn service(
    state: &State,
    cluster: Option<&str>,
    service: Option<&str>,
) -> Result<ServiceKey, Error> {
    let cluster = refer::cluster(state, cluster)?;
    refer::service(state.realm(), &cluster, service.unwrap_or_default())
}

/// A task set by its id or ARN.
fn id(state: &State, service: &ServiceKey, given: &str) -> Result<DeploymentId, Error> {
    let unlike = || invalid("Task Set Identifier is invalid");
    let prefix = state.realm().task_set(service, &"".into());
    let text = match given.strip_prefix(&prefix) {
        Some(id) => id,
        None if given.starts_with("arn:") => return Err(unlike()),
        None => given,
    };
    let digits = text.strip_prefix(PREFIX).ok_or_else(unlike)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(unlike());
    }
    Ok(text.into())
}

/// The command for a CreateTaskSet request.
fn read_create(state: &State, request: &CreateTaskSetRequest) -> Result<CreateTaskSet, Error> {
    let service = service(state, request.cluster.as_deref(), request.service.as_deref())?;
    let r = PARAMETER;
    r.list("serviceRegistries", request.service_registries.as_ref(), "service discovery is")?;
    let Some(given) = request.task_definition.as_deref().filter(|given| !given.is_empty()) else {
        return Err(invalid("TaskDefinition can not be blank."));
    };
    let definition = refer::definition_to_run(state, given)?;
    let launch = request.launch_type.as_ref();
    let strategy = request.capacity_provider_strategy.as_ref();
    let (launch_type, providers) = fargate::capacity(state, &service.cluster, launch, strategy)?;
    fargate::platform(launch_type, request.platform_version.as_ref())?;
    let given = request.network_configuration.as_ref();
    let network = network::read(state.realm(), given, launch_type)?;
    let external_id = request.external_id.clone().filter(|id| !id.is_empty());
    if external_id.as_ref().is_some_and(|id| id.len() > LONGEST_EXTERNAL) {
        return Err(invalid(format!("externalId: it has up to {LONGEST_EXTERNAL} characters.")));
    }
    let bare = CreateTaskSetRequest { client_token: None, ..request.clone() };
    Ok(CreateTaskSet {
        service,
        definition: definition.key.clone(),
        launch_type,
        providers,
        load_balancers: service_targets::read(state.realm(), request.load_balancers.as_ref())?
            .unwrap_or_default(),
        network,
        scale: read_scale(request.scale.as_ref())?.unwrap_or(Scale::NONE),
        external_id,
        tags: tag_list::read(request.tags.as_ref())?,
        client_token: run::client_token(request.client_token.as_ref(), LONGEST_TOKEN, &bare)?,
    })
}

/// A share in percent; none if none is given.
fn read_scale(given: Option<&WireScale>) -> Result<Option<Scale>, Error> {
    let Some(given) = given else { return Ok(None) };
    if let Some(ScaleUnit::Unrecognized(text)) = &given.unit {
        return Err(invalid(format!("scale.unit: \"{text}\" is not PERCENT.")));
    }
    let percent = given.value.unwrap_or(0.0);
    let scale = Scale::percent(percent);
    let outside = || invalid(format!("scale.value: {percent} is not between 0 and 100."));
    scale.map(Some).ok_or_else(outside)
}

/// A task set as it is described; its tags only where they are asked for.
pub(crate) fn task_set_view(
    state: &State,
    service: &Service,
    deployment: &Deployment,
    tags: bool,
    now: Timestamp,
) -> Wire {
    let realm = state.realm();
    let tasks = || {
        state.tasks_of(&service.key).filter(|t| t.facts.deployment.as_ref() == Some(&deployment.id))
    };
    let set = deployment.set.clone().unwrap_or_default();
    let status = match deployment.status {
        _ if set.draining => "DRAINING",
        DeploymentStatus::Primary => "PRIMARY",
        DeploymentStatus::Active => "ACTIVE",
    };
    let stable = scheduler::is_stable(state, service, &deployment.id, now);
    let launched = set.providers.is_empty();
    Wire {
        id: Some(deployment.id.to_string()),
        task_set_arn: Some(realm.task_set(&service.key, &deployment.id)),
        service_arn: Some(realm.service(&service.key)),
        cluster_arn: Some(realm.cluster(&service.key.cluster)),
        external_id: set.external_id,
        status: Some(status.to_owned()),
        task_definition: Some(realm.definition(&deployment.definition)),
        computed_desired_count: Some(view::count(scheduler::computed_count(service, deployment))),
        running_count: Some(view::count(tasks().filter(|t| t.is_running()).count())),
        pending_count: Some(view::count(tasks().filter(|t| t.is_pending()).count())),
        created_at: Some(deployment.created_at),
        updated_at: Some(deployment.updated_at),
        launch_type: launched.then(|| view::launch_type(deployment.launch_type)),
        platform_family: fargate::family(deployment.launch_type),
        platform_version: fargate::runs_on(deployment.launch_type),
        capacity_provider_strategy: (!launched).then(|| capacity::show(&set.providers)),
        network_configuration: deployment.network.as_ref().map(network::show),
        load_balancers: Some(service_targets::view(realm, &deployment.load_balancers)),
        service_registries: Some(Vec::new()),
        scale: Some(WireScale {
            unit: Some(ScaleUnit::Percent),
            value: Some(set.scale.as_percent()),
        }),
        stability_status: Some(match stable {
            true => StabilityStatus::SteadyState,
            false => StabilityStatus::Stabilizing,
        }),
        stability_status_at: Some(now),
        tags: Some(if tags { view::tags(&set.tags) } else { Vec::new() }),
        ..Wire::default()
    }
}
