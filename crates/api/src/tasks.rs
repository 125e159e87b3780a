//! Tasks: stop, describe, list. Starting them is in [`crate::run`].
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>

use aws::Error;
use aws::ecs::{
    DescribeTasksRequest, DescribeTasksResponse, DesiredStatus as WireDesired, ErrorKind,
    ListTasksRequest, ListTasksResponse, StopTaskRequest, StopTaskResponse, TaskField,
};
use model::{
    ClusterName, DesiredStatus, Family, InstanceKey, LaunchType, ServiceKey, State, Task, TaskId,
};
use scheduler::{Command, Reply};

use crate::door::{Door, odd_reply};
use crate::errors::{invalid, missing};
use crate::page::Page;
use crate::refuse::PARAMETER;
use crate::{refer, task_view, view};

/// How many tasks can be described at once.
const MOST_DESCRIBED: usize = 100;

/// The longest `reason`.
const LONGEST_REASON: usize = 1024;

pub(crate) async fn stop(door: &Door, request: StopTaskRequest) -> Result<StopTaskResponse, Error> {
    let command = read_stop(&door.snapshot(), &request)?;
    let committed = door.submit(command).await?;
    let Reply::Task(key) = &committed.reply else {
        return Err(odd_reply("StopTask", &committed.reply));
    };
    let state = &committed.state;
    Ok(StopTaskResponse {
        task: state.task(key).map(|task| task_view::task_view(state, task, true)),
    })
}

/// The command for a StopTask request.
pub(crate) fn read_stop(state: &State, request: &StopTaskRequest) -> Result<Command, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let key = refer::task(state.realm(), &cluster, request.task.as_deref().unwrap_or_default())?;
    let reason = request.reason.clone().filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
        return Err(invalid(format!("reason: it is longer than {LONGEST_REASON} characters.")));
    }
    Ok(Command::StopTask { key, reason })
}

pub(crate) fn describe(
    state: &State,
    request: &DescribeTasksRequest,
) -> Result<DescribeTasksResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.tasks.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if given.len() > MOST_DESCRIBED {
        return Err(invalid(format!("tasks: at most {MOST_DESCRIBED} can be described at once.")));
    }
    let tags = request.include.as_ref().is_some_and(|include| include.contains(&TaskField::Tags));
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for given in given {
        let key = refer::task(state.realm(), &cluster, given)?;
        match state.task(&key) {
            Some(task) => tasks.push(task_view::task_view(state, task, tags)),
            None => failures.push(missing(state.realm().task(&key))),
        }
    }
    Ok(DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

/// Every filter that is given must hold. Without `desiredStatus` it is RUNNING, as ECS has it.
pub(crate) fn list(state: &State, request: &ListTasksRequest) -> Result<ListTasksResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    PARAMETER.text("daemonName", request.daemon_name.as_ref(), "daemons are")?;
    check_filters(request)?;
    let desired = match &request.desired_status {
        None | Some(WireDesired::Running) => Some(DesiredStatus::Running),
        Some(WireDesired::Stopped) => Some(DesiredStatus::Stopped),
        // ECS never wants a task to be pending, so there is none.
        Some(WireDesired::Pending) => None,
        Some(WireDesired::Unrecognized(text)) => {
            return Err(invalid(format!("desiredStatus: \"{text}\" is no status of a task.")));
        }
    };
    let wanted = |task: &&Task| {
        Some(task.progress.desired) == desired
            && request
                .started_by
                .as_ref()
                .is_none_or(|by| task.facts.started_by.as_ref() == Some(by))
            && request
                .launch_type
                .as_ref()
                .is_none_or(|launch| *launch == view::launch_type(task.facts.launch_type))
            && request
                .family
                .as_ref()
                .is_none_or(|family| task.facts.definition.family.as_str() == family)
    };
    let among = Among::read(state, &cluster, request)?;
    let question = ListTasksRequest { next_token: None, max_results: None, ..request.clone() };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListTasks", token, request.max_results).of(&question)?;
    let after = page.after()?.map(TaskId::from);
    let later = |task: &&Task| after.as_ref().is_none_or(|after| task.facts.key.task > *after);
    let (task_arns, next_token) = page.first(
        among
            .tasks(state, &cluster)
            .filter(later)
            .filter(wanted)
            .map(|task| (task.facts.key.task.to_string(), state.realm().task(&task.facts.key))),
    )?;
    Ok(ListTasksResponse { task_arns: Some(task_arns), next_token })
}

/// ECS takes `startedBy` and `serviceName` for answers of their own, which others do not narrow.
fn check_filters(request: &ListTasksRequest) -> Result<(), Error> {
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let beside = given(&request.container_instance) || given(&request.family);
    let (by, service) = (given(&request.started_by), given(&request.service_name));
    let alone =
        |member: &str| Err(invalid(format!("cannot specify {member} with other arguments")));
    if by && (beside || service || request.launch_type.is_some()) {
        return alone("startedBy");
    }
    if service && beside {
        return alone("serviceName");
    }
    Ok(())
}

/// Among which tasks those are that are asked for.
struct Among {
    service: Option<ServiceKey>,
    instance: Option<InstanceKey>,
    family: Option<Family>,
}

impl Among {
    fn read(
        state: &State,
        cluster: &ClusterName,
        request: &ListTasksRequest,
    ) -> Result<Self, Error> {
        let realm = state.realm();
        let service = match request.service_name.as_deref() {
            None => None,
            Some(given) => {
                let key = refer::service(realm, cluster, given)?;
                if state.service(&key).is_none() {
                    return Err(ErrorKind::ServiceNotFoundException.with("Service not found."));
                }
                Some(key)
            }
        };
        let instance = match request.container_instance.as_deref() {
            None => None,
            Some(given) => Some(refer::instance(realm, cluster, given)?),
        };
        Ok(Self { service, instance, family: request.family.as_deref().map(Family::from) })
    }

    /// The tasks of the narrowest index that the filters allow, by id. Nobody looks at more of them
    /// than a page needs.
    fn tasks<'a>(
        &'a self,
        state: &'a State,
        cluster: &'a ClusterName,
    ) -> Box<dyn Iterator<Item = &'a Task> + 'a> {
        match (&self.service, &self.instance, &self.family) {
            (Some(service), _, _) => Box::new(state.tasks_of(service)),
            (None, Some(instance), _) => {
                // Fargate's are on none, as far as anybody is told.
                let shown = |task: &&Task| task.facts.launch_type != LaunchType::Fargate;
                Box::new(state.tasks_on(instance).filter(shown))
            }
            (None, None, Some(family)) => Box::new(state.tasks_of_family(cluster, family)),
            (None, None, None) => Box::new(state.tasks(cluster)),
        }
    }
}
