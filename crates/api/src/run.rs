//! RunTask and StartTask.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>

use aws::Error;
use aws::ecs::{
    LaunchType as WireLaunch, PropagateTags, RunTaskRequest, RunTaskResponse, StartTaskRequest,
    StartTaskResponse, TaskOverride, TaskVolumeConfiguration,
};
use model::{ClusterName, InstanceId, LaunchType, State, TaskDefinition};
use scheduler::{Command, FailureReason, Reply, Resize, RunTask};
use store::Committed;

use crate::door::{Door, odd_reply};
use crate::errors::{self, invalid};
use crate::overrides;
use crate::refuse::PARAMETER;
use crate::{authorize, fargate, fingerprint, network, placement, refer, tag_list, task_view};

/// How many tasks one call may start.
const MOST: u32 = 10;

/// The longest `startedBy`.
const LONGEST_STARTED_BY: usize = 128;

/// The longest `clientToken` of RunTask; that of CreateService is shorter.
const LONGEST_TOKEN: usize = 64;

pub(crate) async fn run_task(
    door: &Door,
    request: RunTaskRequest,
) -> Result<RunTaskResponse, Error> {
    let state = door.snapshot();
    let run = read_run(&state, &request)?;
    check_roles(door, &state, &run, request.overrides.as_ref())?;
    let cluster = run.cluster.clone();
    let committed = door.submit(Command::RunTask(run)).await?;
    let (tasks, failures) = answer(door, &cluster, &committed)?;
    Ok(RunTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}

pub(crate) async fn start_task(
    door: &Door,
    request: StartTaskRequest,
) -> Result<StartTaskResponse, Error> {
    let state = door.snapshot();
    let (instances, run) = read_start(&state, &request)?;
    check_roles(door, &state, &run, request.overrides.as_ref())?;
    let cluster = run.cluster.clone();
    let committed = door.submit(Command::StartTask { instances, run }).await?;
    let (tasks, failures) = answer(door, &cluster, &committed)?;
    Ok(StartTaskResponse { tasks: Some(tasks), failures: Some(failures) })
}

/// Refuses tasks whose roles ECS could not assume.
fn check_roles(
    door: &Door,
    state: &State,
    run: &RunTask,
    overrides: Option<&TaskOverride>,
) -> Result<(), Error> {
    match state.definition(&run.definition) {
        Some(definition) => authorize::check_roles(state, definition, overrides, door.now()),
        None => Ok(()),
    }
}

fn answer(
    door: &Door,
    cluster: &ClusterName,
    committed: &Committed,
) -> Result<(Vec<aws::ecs::Task>, Vec<aws::ecs::Failure>), Error> {
    let Reply::Tasks { placed, failures } = &committed.reply else {
        return Err(odd_reply("RunTask", &committed.reply));
    };
    if placed.is_empty() && failures.iter().any(|f| f.reason == FailureReason::NoInstances) {
        return Err(invalid("No Container Instances were found in your cluster."));
    }
    let state = &committed.state;
    let tasks = placed
        .iter()
        .filter_map(|key| state.task(key))
        .map(|task| task_view::task_view(state, task, true))
        .collect();
    let failures = failures.iter().map(|f| errors::failure(door.realm(), cluster, f)).collect();
    Ok((tasks, failures))
}

/// The command for a RunTask request.
pub(crate) fn read_run(state: &State, request: &RunTaskRequest) -> Result<RunTask, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let providers = request.capacity_provider_strategy.as_ref();
    let (launch_type, providers) =
        fargate::capacity(state, &cluster, request.launch_type.as_ref(), providers)?;
    fargate::platform(launch_type, request.platform_version.as_ref())?;
    let (constraints, strategy) = (&request.placement_constraints, &request.placement_strategy);
    fargate::chooses_nothing(launch_type, constraints.as_ref(), strategy.as_ref())?;
    let count = u32::try_from(request.count.unwrap_or(1)).ok().filter(|n| (1..=MOST).contains(n));
    let count = count.ok_or_else(|| invalid(format!("count: it must be between 1 and {MOST}.")))?;
    let given = request.task_definition.as_deref().unwrap_or_default();
    let definition = refer::definition_to_run(state, given)?;
    let network =
        network::read(state.realm(), request.network_configuration.as_ref(), launch_type)?;
    let common = Common {
        group: request.group.as_ref(),
        started_by: request.started_by.as_ref(),
        reference: request.reference_id.as_ref(),
        propagate: request.propagate_tags.as_ref(),
        volumes: request.volume_configurations.as_ref(),
    };
    let propagate_from_definition = common.check()?;
    let overrides::Overrides { document, resize } =
        overrides::read(state.realm(), request.overrides.as_ref(), definition)?;
    if launch_type == LaunchType::Fargate {
        sized(&resize, definition)?;
    }
    Ok(RunTask {
        cluster,
        definition: definition.key.clone(),
        count,
        launch_type,
        providers,
        group: group(request.group.as_ref()),
        started_by: request.started_by.clone(),
        overrides: document,
        resize,
        constraints: placement::read_constraints(constraints.as_ref())?,
        strategy: placement::read_strategy(strategy.as_ref())?,
        tags: tag_list::read(request.tags.as_ref())?,
        propagate_from_definition,
        enable_ecs_managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        enable_execute_command: request.enable_execute_command.unwrap_or(false),
        network,
        client_token: run_token(request)?,
    })
}

/// A task of Fargate has one of its sizes after overrides too.
fn sized(resize: &Resize, definition: &TaskDefinition) -> Result<(), Error> {
    let spec = &definition.spec;
    let size = resize.cpu.or(spec.cpu).zip(resize.memory.or(spec.memory));
    match size.and_then(|(cpu, memory)| fargate::wrong_size(cpu, memory)) {
        Some(wrong) => Err(invalid(wrong)),
        None => Ok(()),
    }
}

fn run_token(request: &RunTaskRequest) -> Result<Option<(String, u64)>, Error> {
    let bare = RunTaskRequest { client_token: None, ..request.clone() };
    client_token(request.client_token.as_ref(), LONGEST_TOKEN, &bare)
}

/// A client token with the fingerprint of its request, the token left out.
pub(crate) fn client_token(
    token: Option<&String>,
    longest: usize,
    bare: &impl serde::Serialize,
) -> Result<Option<(String, u64)>, Error> {
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    if token.len() > longest || !token.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(invalid(format!(
            "clientToken: it has up to {longest} printable ASCII characters without spaces."
        )));
    }
    Ok(Some((token.clone(), fingerprint::of(bare)?)))
}

fn read_start(
    state: &State,
    request: &StartTaskRequest,
) -> Result<(Vec<InstanceId>, RunTask), Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.container_instances.as_deref().unwrap_or_default();
    if given.is_empty() || u32::try_from(given.len()).is_ok_and(|n| n > MOST) {
        return Err(invalid(format!("containerInstances: between 1 and {MOST} can be given.")));
    }
    let instances = given
        .iter()
        .map(|given| refer::instance(state.realm(), &cluster, given).map(|key| key.instance))
        .collect::<Result<Vec<_>, _>>()?;
    let definition =
        refer::definition_to_run(state, request.task_definition.as_deref().unwrap_or_default())?;
    let common = Common {
        group: request.group.as_ref(),
        started_by: request.started_by.as_ref(),
        reference: request.reference_id.as_ref(),
        propagate: request.propagate_tags.as_ref(),
        volumes: request.volume_configurations.as_ref(),
    };
    let propagate_from_definition = common.check()?;
    let overrides::Overrides { document, resize } =
        overrides::read(state.realm(), request.overrides.as_ref(), definition)?;
    let external = |id: &InstanceId| {
        let key = model::InstanceKey { cluster: cluster.clone(), instance: id.clone() };
        state.instance(&key).is_some_and(|instance| instance.external)
    };
    let launch_type =
        if instances.iter().any(external) { LaunchType::External } else { LaunchType::Ec2 };
    let network =
        network::read(state.realm(), request.network_configuration.as_ref(), launch_type)?;
    let run = RunTask {
        cluster: cluster.clone(),
        definition: definition.key.clone(),
        count: 1,
        launch_type,
        providers: Vec::new(),
        group: group(request.group.as_ref()),
        started_by: request.started_by.clone(),
        overrides: document,
        resize,
        constraints: Vec::new(),
        strategy: Vec::new(),
        tags: tag_list::read(request.tags.as_ref())?,
        propagate_from_definition,
        enable_ecs_managed_tags: request.enable_ecs_managed_tags.unwrap_or(false),
        enable_execute_command: request.enable_execute_command.unwrap_or(false),
        network,
        client_token: None,
    };
    Ok((instances, run))
}

fn group(given: Option<&String>) -> Option<String> {
    given.filter(|group| !group.is_empty()).cloned()
}

/// What both operations take and check alike.
struct Common<'a> {
    group: Option<&'a String>,
    started_by: Option<&'a String>,
    reference: Option<&'a String>,
    propagate: Option<&'a PropagateTags>,
    volumes: Option<&'a Vec<TaskVolumeConfiguration>>,
}

impl Common<'_> {
    /// Whether the definition's tags are to be added.
    fn check(&self) -> Result<bool, Error> {
        let r = PARAMETER;
        r.list("volumeConfigurations", self.volumes, "volumes configured at launch are")?;
        r.text("referenceId", self.reference, "references between tasks are")?;
        if self.started_by.is_some_and(|by| by.chars().count() > LONGEST_STARTED_BY) {
            return Err(invalid(format!(
                "startedBy: it is longer than {LONGEST_STARTED_BY} characters."
            )));
        }
        if self.group.is_some_and(|group| group.starts_with("service:")) {
            return Err(invalid(
                "group: the prefix \"service:\" is reserved for the tasks of services.",
            ));
        }
        match self.propagate {
            None | Some(PropagateTags::None) => Ok(false),
            Some(PropagateTags::TaskDefinition) => Ok(true),
            Some(other) => Err(invalid(format!(
                "propagateTags: {other} has no meaning here; tags of a task come from \
                 TASK_DEFINITION or NONE."
            ))),
        }
    }
}

/// The launch type of a request; EC2 unless given.
pub(crate) fn launch_type(given: Option<&WireLaunch>) -> Result<LaunchType, Error> {
    match given {
        None | Some(WireLaunch::Ec2) => Ok(LaunchType::Ec2),
        Some(WireLaunch::External) => Ok(LaunchType::External),
        Some(WireLaunch::Fargate) => Ok(LaunchType::Fargate),
        Some(other @ WireLaunch::ManagedInstances) => Err(invalid(format!(
            "launchType: {other} is not built yet in Wharf; use EC2, FARGATE or EXTERNAL."
        ))),
        Some(WireLaunch::Unrecognized(text)) => {
            Err(invalid(format!("launchType: \"{text}\" is no launch type.")))
        }
    }
}
