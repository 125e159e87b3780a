//! Services: create, update, delete, describe, list.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_services.html>

use aws::Error;
use aws::ecs::{
    CreateServiceRequest, CreateServiceResponse, DeleteServiceRequest, DeleteServiceResponse,
    DescribeServicesRequest, DescribeServicesResponse, ErrorKind, ListServicesRequest,
    ListServicesResponse, PropagateTags as WirePropagate, ResourceManagementType, Service as Wire,
    ServiceField, UpdateServiceRequest, UpdateServiceResponse,
};
use model::{
    DeploymentController, LaunchType, PropagateTags, RolloutMethod, SchedulingStrategy, ServiceKey,
    ServiceStatus, State,
};
use scheduler::{Command, CreateService, Reply, UpdateService};
use store::Committed;

use crate::door::{Caller, Door, odd_reply};
use crate::errors::{invalid, missing};
use crate::page::{Order, Page};
use crate::service_members::{self, Members};
use crate::service_view::service_view;
use crate::{capacity, fargate, network, placement, refer, run, service_targets, tag_list, view};
use crate::{service_kind, service_method};

/// How many services can be described at once.
const MOST_DESCRIBED: usize = 10;

/// The longest `clientToken`.
const LONGEST_TOKEN: usize = 36;

/// ECS's quota of tasks in a service.
const MOST_TASKS: u32 = 5_000;

pub(crate) async fn create(
    door: &Door,
    caller: &Caller,
    request: CreateServiceRequest,
) -> Result<CreateServiceResponse, Error> {
    let command = read_create(&door.snapshot(), caller, &request)?;
    let committed = door.submit(Command::CreateService(command)).await?;
    Ok(CreateServiceResponse { service: Some(answer(door, "CreateService", &committed)?) })
}

pub(crate) async fn update(
    door: &Door,
    request: UpdateServiceRequest,
) -> Result<UpdateServiceResponse, Error> {
    let command = read_update(&door.snapshot(), &request)?;
    let committed = door.submit(Command::UpdateService(command)).await?;
    Ok(UpdateServiceResponse { service: Some(answer(door, "UpdateService", &committed)?) })
}

pub(crate) async fn delete(
    door: &Door,
    request: DeleteServiceRequest,
) -> Result<DeleteServiceResponse, Error> {
    let command = read_delete(&door.snapshot(), &request)?;
    let committed = door.submit(command).await?;
    Ok(DeleteServiceResponse { service: Some(answer(door, "DeleteService", &committed)?) })
}

/// The command for a DeleteService request.
pub(crate) fn read_delete(state: &State, request: &DeleteServiceRequest) -> Result<Command, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.service.as_deref().unwrap_or_default();
    let key = refer::service(state.realm(), &cluster, given)?;
    Ok(Command::DeleteService { key, force: request.force.unwrap_or(false) })
}

fn answer(door: &Door, command: &str, committed: &Committed) -> Result<Wire, Error> {
    let service = match &committed.reply {
        Reply::Service(key) => committed.state.service(key),
        _ => None,
    };
    service
        .map(|service| service_view(&committed.state, service, true, door.now()))
        .ok_or_else(|| odd_reply(command, &committed.reply))
}

/// The command for a CreateService request.
pub(crate) fn read_create(
    state: &State,
    caller: &Caller,
    request: &CreateServiceRequest,
) -> Result<CreateService, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let name = request.service_name.as_deref().unwrap_or_default();
    if !refer::is_name(name) {
        return Err(invalid(
            "serviceName: it has up to 255 letters, digits, hyphens and underscores.",
        ));
    }
    let members = Members::of_create(request);
    members.check()?;
    let scheduling = service_kind::scheduling(request.scheduling_strategy.as_ref())?;
    let controller = service_kind::controller(request.deployment_controller.as_ref())?;
    let controller = controller.unwrap_or_default();
    // Of a daemon it is told first that it has none of this.
    if scheduling == SchedulingStrategy::Replica {
        service_kind::left_to_sets(controller, request)?;
    }
    let providers = request.capacity_provider_strategy.as_ref();
    let launch = request.launch_type.as_ref();
    let (launch_type, providers) = match controller {
        DeploymentController::Ecs => fargate::capacity(state, &cluster, launch, providers)?,
        DeploymentController::External => (run::launch_type(launch)?, capacity::read(providers)?),
    };
    let platform = fargate::platform(launch_type, request.platform_version.as_ref())?;
    let (constraints, strategy) = (&request.placement_constraints, &request.placement_strategy);
    fargate::chooses_nothing(launch_type, constraints.as_ref(), strategy.as_ref())?;
    let ours = controller == DeploymentController::Ecs;
    if request.desired_count.is_none() && ours && scheduling == SchedulingStrategy::Replica {
        return Err(invalid("desiredCount: a REPLICA service needs it; it may be 0."));
    }
    let definition = match request.task_definition.as_deref().filter(|given| !given.is_empty()) {
        Some(given) => Some(refer::definition_to_run(state, given)?),
        None if ours => return Err(invalid("TaskDefinition can not be blank.")),
        None => None,
    };
    let network =
        network::read(state.realm(), request.network_configuration.as_ref(), launch_type)?;
    let rollout = service_members::read_deployment(request.deployment_configuration.as_ref())?;
    let method =
        service_method::read(&RolloutMethod::default(), request.deployment_configuration.as_ref())?;
    let bare = CreateServiceRequest { client_token: None, ..request.clone() };
    let grace = request.health_check_grace_period_seconds;
    Ok(CreateService {
        key: ServiceKey { cluster, service: name.into() },
        definition: definition.map(|definition| definition.key.clone()),
        scheduling,
        controller,
        desired_count: request.desired_count.map(desired).transpose()?,
        launch_type,
        platform: platform.unwrap_or_default(),
        providers,
        percents: rollout.percents,
        circuit_breaker: rollout.circuit_breaker,
        method: method.unwrap_or_default(),
        rebalances: placement::read_rebalancing(request.availability_zone_rebalancing.as_ref())?,
        constraints: placement::read_constraints(constraints.as_ref())?,
        strategy: placement::read_strategy(strategy.as_ref())?,
        tags: tag_list::read(request.tags.as_ref())?,
        propagate_tags: propagate(request.propagate_tags.as_ref())?.unwrap_or(PropagateTags::None),
        enable_ecs_managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        enable_execute_command: request.enable_execute_command.unwrap_or(false),
        load_balancers: service_targets::read(state.realm(), request.load_balancers.as_ref())?
            .unwrap_or_default(),
        network,
        health_check_grace: service_targets::read_grace(grace)?,
        by: caller.identity.principal.arn.clone(),
        client_token: run::client_token(request.client_token.as_ref(), LONGEST_TOKEN, &bare)?,
    })
}

/// The command for an UpdateService request: what is absent stays as it is.
pub(crate) fn read_update(
    state: &State,
    request: &UpdateServiceRequest,
) -> Result<UpdateService, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.service.as_deref().unwrap_or_default();
    let key = refer::service(state.realm(), &cluster, given)?;
    let service = state
        .service(&key)
        .ok_or_else(|| ErrorKind::ServiceNotFoundException.with("Service not found."))?;
    Members::of_update(request).check()?;
    let definition = match request.task_definition.as_deref().filter(|given| !given.is_empty()) {
        None => None,
        Some(given) => Some(refer::definition_to_run(state, given)?),
    };
    let providers = match &request.capacity_provider_strategy {
        None => None,
        given => Some(capacity::read(given.as_ref())?),
    };
    let launch_type = providers.as_deref().and_then(LaunchType::of_strategy);
    let launch_type = launch_type.unwrap_or(service.launch_type);
    let given = request.network_configuration.as_ref();
    let network = network::read(state.realm(), given, launch_type)?;
    let rollout = service_members::read_deployment(request.deployment_configuration.as_ref())?;
    let constraints = request.placement_constraints.as_ref();
    let strategy = request.placement_strategy.as_ref();
    fargate::chooses_nothing(launch_type, constraints, strategy)?;
    Ok(UpdateService {
        key: Some(key),
        definition: definition.map(|definition| definition.key.clone()),
        controller: service_kind::controller(request.deployment_controller.as_ref())?,
        rebalances: placement::read_rebalancing(request.availability_zone_rebalancing.as_ref())?,
        desired_count: request.desired_count.map(desired).transpose()?,
        providers,
        platform: fargate::platform(launch_type, request.platform_version.as_ref())?,
        percents: rollout.percents,
        circuit_breaker: rollout.circuit_breaker,
        method: service_method::read(&service.method, request.deployment_configuration.as_ref())?,
        constraints: constraints.map(|c| placement::read_constraints(Some(c))).transpose()?,
        strategy: strategy.map(|s| placement::read_strategy(Some(s))).transpose()?,
        propagate_tags: propagate(request.propagate_tags.as_ref())?,
        enable_ecs_managed_tags: request.enable_ecs_managed_tags,
        enable_execute_command: request.enable_execute_command,
        load_balancers: service_targets::read(state.realm(), request.load_balancers.as_ref())?,
        network,
        health_check_grace: service_targets::read_grace(request.health_check_grace_period_seconds)?,
        force_new_deployment: request.force_new_deployment.unwrap_or(false),
    })
}

fn desired(given: i32) -> Result<u32, Error> {
    u32::try_from(given)
        .ok()
        .filter(|n| *n <= MOST_TASKS)
        .ok_or_else(|| invalid(format!("desiredCount: it must be between 0 and {MOST_TASKS}.")))
}

fn propagate(given: Option<&WirePropagate>) -> Result<Option<PropagateTags>, Error> {
    Ok(match given {
        None => None,
        Some(WirePropagate::None) => Some(PropagateTags::None),
        Some(WirePropagate::Service) => Some(PropagateTags::Service),
        Some(WirePropagate::TaskDefinition) => Some(PropagateTags::TaskDefinition),
        Some(WirePropagate::Unrecognized(text)) => {
            return Err(invalid(format!(
                "propagateTags: \"{text}\" is none of TASK_DEFINITION, SERVICE and NONE."
            )));
        }
    })
}

pub(crate) async fn describe(
    door: &Door,
    request: DescribeServicesRequest,
) -> Result<DescribeServicesResponse, Error> {
    let state = &*door.snapshot();
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.services.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if given.len() > MOST_DESCRIBED {
        return Err(invalid(format!(
            "services: at most {MOST_DESCRIBED} can be described at once."
        )));
    }
    let tags =
        request.include.as_ref().is_some_and(|include| include.contains(&ServiceField::Tags));
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for given in given {
        let key = refer::service(state.realm(), &cluster, given)?;
        match state.service(&key) {
            Some(service) => services.push(service_view(state, service, tags, door.now())),
            None => failures.push(missing(state.realm().service(&key))),
        }
    }
    Ok(DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

/// Ten to a page unless asked otherwise, as ECS has it.
pub(crate) fn list(
    state: &State,
    request: &ListServicesRequest,
) -> Result<ListServicesResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let wanted = |service: &&std::sync::Arc<model::Service>| {
        service.status != ServiceStatus::Inactive
            && request
                .launch_type
                .as_ref()
                .is_none_or(|launch| *launch == view::launch_type(service.launch_type))
            && request
                .scheduling_strategy
                .as_ref()
                .is_none_or(|wanted| *wanted == service_kind::show_scheduling(service.scheduling))
            && request
                .resource_management_type
                .as_ref()
                .is_none_or(|kind| *kind == ResourceManagementType::Customer)
    };
    let entries = state
        .services(&cluster)
        .filter(wanted)
        .map(|service| (service.key.service.to_string(), state.realm().service(&service.key)))
        .collect();
    let question = ListServicesRequest { next_token: None, max_results: None, ..request.clone() };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListServices", token, request.max_results).of(&question)?;
    let page = Page { usual: 10, ..page };
    let (service_arns, next_token) = page.cut(entries, Order::Ascending)?;
    Ok(ListServicesResponse { service_arns: Some(service_arns), next_token })
}
