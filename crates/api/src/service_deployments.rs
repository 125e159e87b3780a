//! Service deployments and revisions: described, listed, stopped, continued.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use aws::Error;
use aws::ecs::{
    ContinueServiceDeploymentRequest, ContinueServiceDeploymentResponse,
    DescribeServiceDeploymentsRequest, DescribeServiceDeploymentsResponse,
    DescribeServiceRevisionsRequest, DescribeServiceRevisionsResponse, ErrorKind,
    ListServiceDeploymentsRequest, ListServiceDeploymentsResponse, ServiceDeploymentStatus as Word,
    StopServiceDeploymentRequest, StopServiceDeploymentResponse, StopServiceDeploymentStopType,
};
use model::{
    DeploymentResource, HookAction, Realm, ServiceDeployment, ServiceDeploymentKey, State,
};
use scheduler::{Command, DeploymentCommand};

use crate::door::Door;
use crate::errors::{invalid, missing};
use crate::page::{Order, Page};
use crate::{refer, service_deployments_view as show, service_method};

/// How many can be described at once.
const MOST_DESCRIBED: usize = 20;

fn few(member: &str, given: &[String]) -> Result<(), Error> {
    if given.is_empty() {
        return Err(invalid(format!("{member} cannot be empty.")));
    }
    if given.len() > MOST_DESCRIBED {
        return Err(invalid(format!(
            "{member}: at most {MOST_DESCRIBED} can be described at once."
        )));
    }
    Ok(())
}

pub(crate) fn describe(
    state: &State,
    request: &DescribeServiceDeploymentsRequest,
) -> Result<DescribeServiceDeploymentsResponse, Error> {
    let given = request.service_deployment_arns.as_deref().unwrap_or_default();
    few("serviceDeploymentArns", given)?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in given {
        let key = deployment(state.realm(), arn)?;
        match state.deployments().deployment(&key) {
            Some(record) => found.push(show::deployment(state, record)),
            None => failures.push(missing(arn.clone())),
        }
    }
    Ok(DescribeServiceDeploymentsResponse {
        service_deployments: Some(found),
        failures: Some(failures),
    })
}

pub(crate) fn describe_revisions(
    state: &State,
    request: &DescribeServiceRevisionsRequest,
) -> Result<DescribeServiceRevisionsResponse, Error> {
    let given = request.service_revision_arns.as_deref().unwrap_or_default();
    few("serviceRevisionArns", given)?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in given {
        let Some(DeploymentResource::Revision(key)) = state.realm().parse_deployment(arn) else {
            return Err(invalid(format!(
                "serviceRevisionArns: {arn} is not the ARN of a service revision of this account and region."
            )));
        };
        match state.deployments().revision(&key) {
            Some(revision) => found.push(show::revision(state, revision)),
            None => failures.push(missing(arn.clone())),
        }
    }
    Ok(DescribeServiceRevisionsResponse {
        service_revisions: Some(found),
        failures: Some(failures),
    })
}

/// The newest first, twenty to a page unless asked otherwise, as ECS has it.
pub(crate) fn list(
    state: &State,
    request: &ListServiceDeploymentsRequest,
) -> Result<ListServiceDeploymentsResponse, Error> {
    let cluster = refer::cluster(state, request.cluster.as_deref())?;
    let given = request.service.as_deref().unwrap_or_default();
    let key = refer::service(state.realm(), &cluster, given)?;
    if state.service(&key).is_none() {
        return Err(ErrorKind::ServiceNotFoundException.with("Service not found."));
    }
    let words = request.status.as_deref().unwrap_or_default();
    if let Some(Word::Unrecognized(text)) =
        words.iter().find(|word| matches!(word, Word::Unrecognized(_)))
    {
        return Err(invalid(format!("status: \"{text}\" is no status of a service deployment.")));
    }
    let created = request.created_at.clone().unwrap_or_default();
    let wanted = |record: &&std::sync::Arc<ServiceDeployment>| {
        (words.is_empty() || words.contains(&show::status(record.status)))
            && created.before.is_none_or(|before| record.created_at < before)
            && created.after.is_none_or(|after| record.created_at > after)
    };
    let entries = state
        .deployments()
        .deployments(&key)
        .filter(wanted)
        .map(|record| {
            let order = format!("{:020}{}", record.created_at.as_millis(), record.key.id);
            (order, show::brief(state, record))
        })
        .collect();
    let question =
        ListServiceDeploymentsRequest { next_token: None, max_results: None, ..request.clone() };
    let token = request.next_token.as_deref();
    let page = Page::of_100("ListServiceDeployments", token, request.max_results).of(&question)?;
    let page = Page { usual: 20, ..page };
    let (service_deployments, next_token) = page.cut(entries, Order::Descending)?;
    Ok(ListServiceDeploymentsResponse {
        service_deployments: Some(service_deployments),
        next_token,
    })
}

pub(crate) async fn stop(
    door: &Door,
    request: StopServiceDeploymentRequest,
) -> Result<StopServiceDeploymentResponse, Error> {
    let arn = request.service_deployment_arn.unwrap_or_default();
    let key = deployment(door.realm(), &arn)?;
    let rollback = match &request.stop_type {
        None | Some(StopServiceDeploymentStopType::Rollback) => true,
        Some(StopServiceDeploymentStopType::Abort) => false,
        Some(StopServiceDeploymentStopType::Unrecognized(text)) => {
            return Err(invalid(format!("stopType: \"{text}\" is neither ABORT nor ROLLBACK.")));
        }
    };
    door.submit(Command::Deployment(DeploymentCommand::Stop { key, rollback })).await?;
    Ok(StopServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

pub(crate) async fn go_on(
    door: &Door,
    request: ContinueServiceDeploymentRequest,
) -> Result<ContinueServiceDeploymentResponse, Error> {
    let arn = request.service_deployment_arn.unwrap_or_default();
    let key = deployment(door.realm(), &arn)?;
    let action = match &request.action {
        None => HookAction::Continue,
        Some(action) => service_method::hook_action(action, "action")?,
    };
    let hook = request.hook_id.unwrap_or_default().as_str().into();
    door.submit(Command::Deployment(DeploymentCommand::Continue { key, hook, action })).await?;
    Ok(ContinueServiceDeploymentResponse { service_deployment_arn: Some(arn) })
}

fn deployment(realm: &Realm, arn: &str) -> Result<ServiceDeploymentKey, Error> {
    match realm.parse_deployment(arn) {
        Some(DeploymentResource::Deployment(key)) => Ok(key),
        Some(DeploymentResource::Revision(_)) | None => Err(invalid(format!(
            "{arn} is not the ARN of a service deployment of this account and region. See ListServiceDeployments."
        ))),
    }
}
