//! Doing what a step asks for, and wording what goes wrong as ECS does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use runtime::{Exit, RuntimeError};
use shell::OsEntropy;
use stdx::{Backoff, chain};

use super::network::{attach, detach};
use super::start::start;
use super::{Context, fetch};
use crate::awslogs;
use crate::plan::{Given, LogPlan, RouterPlan, TaskPlan};
use crate::task::{Action, Happening, TaskView, render};

/// What cannot fail for good is tried again after so long at most.
pub(super) fn patience() -> Backoff {
    Backoff::new(Duration::from_millis(200), Duration::from_secs(10))
}

/// Does it, and tells what came of it.
pub(super) fn perform(
    context: Arc<Context>,
    view: &TaskView,
    action: Action,
) -> BoxFuture<'static, Happening> {
    let plan = Arc::clone(&view.plan);
    match action {
        Action::CreateSandbox => async move { create_sandbox(&context, &plan).await }.boxed(),
        Action::AttachNetwork => async move { attach(&context, &plan).await }.boxed(),
        Action::DetachNetwork => async move { detach(&context, &plan).await }.boxed(),
        Action::RemoveSandbox => async move { remove_sandbox(&context, &plan).await }.boxed(),
        Action::FetchResources => async move { resources(&context, &plan).await }.boxed(),
        Action::PullImage(at) => {
            let given = Arc::clone(&view.given);
            async move { pull(&context, &plan, &given, at).await }.boxed()
        }
        Action::PrepareLogs(at) => async move { logs(&context, &plan, at).await }.boxed(),
        Action::StartContainer(at) => start(context, view, at),
        Action::ClearContainer(at) => async move { clear(&context, &plan, at).await }.boxed(),
        Action::StopContainer(at) => async move { stop(&context, &plan, at).await }.boxed(),
        Action::Report(report) => {
            let request = render(view, &report, &context.cluster);
            async move {
                context.reports.deliver(request).await;
                Happening::Reported(report.tells)
            }
            .boxed()
        }
        // Done by noting it; its happening changes nothing that is over.
        Action::Skip { container, reason, .. } => {
            let reason = reason.unwrap_or_default();
            async move { Happening::StartFailed(container, reason) }.boxed()
        }
    }
}

async fn create_sandbox(context: &Context, plan: &TaskPlan) -> Happening {
    for folder in &plan.own_volumes {
        if let Err(error) = tokio::fs::create_dir_all(folder).await {
            return Happening::SandboxFailed(format!(
                "ResourceInitializationError: make the volume {}: {error}",
                folder.display()
            ));
        }
    }
    if let Some(router) = plan.router()
        && let Err(error) = router_files(router).await
    {
        return Happening::SandboxFailed(format!(
            "ResourceInitializationError: make the log router's folder {}: {error}",
            router.folder.display()
        ));
    }
    let (volumes, sandbox) =
        tokio::join!(volumes(context, plan), context.runtime.create_sandbox(&plan.sandbox));
    let made = sandbox.map_err(|error| chain(&error)).and(volumes);
    match made {
        Ok(()) => Happening::SandboxReady,
        Err(why) => Happening::SandboxFailed(format!("ResourceInitializationError: {why}")),
    }
}

/// Makes a log router's configuration, and the folder of its socket. The socket is made by the router
/// as whichever user it runs, so anybody who sees the folder may write it: that is the router alone.
async fn router_files(router: &RouterPlan) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let (socket, config) = (router.socket_folder(), router.config_file());
    tokio::fs::create_dir_all(&socket).await?;
    tokio::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).await?;
    if let Some(folder) = config.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::write(&config, &router.config).await?;
    tokio::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).await
}

/// Makes the task's volumes.
async fn volumes(context: &Context, plan: &TaskPlan) -> Result<(), String> {
    for volume in &plan.volumes {
        let (what, done) = if volume.make {
            ("make", context.runtime.create_volume(&volume.spec).await)
        } else {
            ("find", context.runtime.find_volume(&volume.spec).await)
        };
        done.map_err(|error| format!("{what} volume {}: {}", volume.spec.name, chain(&error)))?;
    }
    Ok(())
}

async fn resources(context: &Context, plan: &TaskPlan) -> Happening {
    match fetch::fetch(context.calls.as_ref(), &context.roles, plan).await {
        Ok(given) => Happening::Fetched(Arc::new(given)),
        Err(reason) => Happening::FetchFailed(reason),
    }
}

async fn remove_sandbox(context: &Context, plan: &TaskPlan) -> Happening {
    let mut backoff = patience();
    while let Err(error) = context.runtime.remove_sandbox(&plan.sandbox.id).await {
        let error = chain(&error);
        tracing::warn!(task = plan.id, error, "A task's sandbox could not be removed yet.");
        tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
    }
    // An attachment that an earlier agent began and did not write down.
    for container in 0..plan.containers.len() {
        if let Err(error) = context.networking.detach(&plan.network_id(container)).await {
            let error = chain(&error);
            tracing::warn!(task = plan.id, error, "A task's network could not be taken back.");
        }
    }
    for volume in plan.volumes.iter().filter(|volume| volume.own) {
        let name = &volume.spec.name;
        if let Err(error) = context.runtime.remove_volume(name).await {
            let error = chain(&error);
            tracing::warn!(task = plan.id, volume = name, error, "A task's volume is left behind.");
        }
    }
    for folder in plan.volumes_root().into_iter().chain(plan.router().map(|r| r.folder.clone())) {
        if let Err(error) = tokio::fs::remove_dir_all(&folder).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %folder.display(), %error, "A task's folder could not be removed.");
        }
    }
    Happening::SandboxRemoved
}

async fn pull(context: &Context, plan: &TaskPlan, given: &Given, at: usize) -> Happening {
    let Some(container) = plan.containers.get(at) else { return nowhere(at) };
    let login = given.of(at).and_then(|given| given.registry.clone());
    let request = async {
        let role = context.roles.execution(&plan.order).await?;
        context.images.request_for(&container.image, role.as_ref(), login).await
    };
    let request = match request.await {
        Ok(request) => request,
        Err(reason) => return Happening::ImageFailed(at, reason),
    };
    match context.runtime.ensure_image(&request).await {
        Ok(image) => {
            context.tracked.note(&image.id);
            Happening::ImagePresent(at, image)
        }
        Err(error) => {
            Happening::ImageFailed(at, format!("CannotPullContainerError: {}", chain(&error)))
        }
    }
}

async fn logs(context: &Context, plan: &TaskPlan, at: usize) -> Happening {
    match plan.containers.get(at).map(|container| &container.log) {
        Some(LogPlan::AwsLogs(logs)) => {
            let calls = match context.roles.execution(&plan.order).await {
                Ok(Some(role)) => context.calls.with(&role),
                Ok(None) => Arc::clone(&context.calls),
                Err(why) => {
                    let reason = format!("ResourceInitializationError: {why}");
                    return Happening::LogsFailed(at, reason);
                }
            };
            match awslogs::prepare(calls.as_ref(), logs).await {
                Ok(()) => Happening::LogsReady(at),
                Err(reason) => Happening::LogsFailed(at, reason),
            }
        }
        Some(LogPlan::None | LogPlan::Files | LogPlan::Fluent(_) | LogPlan::Driver) | None => {
            Happening::LogsReady(at)
        }
    }
}

async fn clear(context: &Context, plan: &TaskPlan, at: usize) -> Happening {
    let Some(container) = plan.containers.get(at) else { return nowhere(at) };
    match context.runtime.remove_container(&container.id).await {
        Ok(()) => Happening::Cleared(at),
        Err(error) => {
            Happening::ClearFailed(at, format!("CannotStartContainerError: {}", chain(&error)))
        }
    }
}

/// Stops it, however long that takes: a container that cannot be stopped has not stopped.
async fn stop(context: &Context, plan: &TaskPlan, at: usize) -> Happening {
    let Some(container) = plan.containers.get(at) else { return nowhere(at) };
    let mut backoff = patience();
    loop {
        match context.runtime.stop_container(&container.id, container.stop_timeout).await {
            Ok(exit) => return Happening::Exited(at, exit),
            Err(RuntimeError::NotFound { .. }) => {
                let exit = Exit { code: None, oom_killed: false, at: context.clock.now() };
                return Happening::Exited(at, exit);
            }
            Err(error) => {
                let (container, error) = (&container.id, chain(&error));
                tracing::warn!(%container, error, "A container could not be stopped yet.");
                tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
            }
        }
    }
}

/// An index that the plan does not have; steps come from the same plan, so that there is none.
pub(super) fn nowhere(at: usize) -> Happening {
    Happening::StartFailed(at, "CannotCreateContainerError: no such container".to_owned())
}
