//! Doing what a step asks for, and wording what goes wrong as ECS does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use runtime::{Exit, RuntimeError};
use shell::OsEntropy;
use stdx::{Backoff, chain};

use super::Context;
use crate::awslogs;
use crate::plan::{LogPlan, NetworkPlan, TaskPlan, container_spec};
use crate::task::{Action, Fetch, Happening, TaskView, render};

/// What cannot fail for good is tried again after so long at most.
fn patience() -> Backoff {
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
        Action::PullImage(at) => async move { pull(&context, &plan, at).await }.boxed(),
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
        Action::Skip { container, reason } => {
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
    match context.runtime.create_sandbox(&plan.sandbox).await {
        Ok(_) => Happening::SandboxReady,
        Err(error) => {
            Happening::SandboxFailed(format!("ResourceInitializationError: {}", chain(&error)))
        }
    }
}

async fn attach(context: &Context, plan: &TaskPlan) -> Happening {
    let failed = |why: String| {
        Happening::AttachFailed(format!("ResourceInitializationError: network: {why}"))
    };
    match &plan.network {
        NetworkPlan::None => Happening::Attached { address: None, bindings: Vec::new() },
        NetworkPlan::Host(ports) => {
            match context.networking.reserve_host_ports(&plan.id, ports).await {
                Ok(bindings) => Happening::Attached { address: None, bindings },
                Err(error) => failed(chain(&error)),
            }
        }
        NetworkPlan::Bridge(ports) => {
            let netns = match context.runtime.network_namespace(&plan.sandbox.id, None).await {
                Ok(netns) => netns,
                Err(error) => return failed(chain(&error)),
            };
            match context.networking.attach(&plan.id, netns, ports).await {
                Ok(a) => Happening::Attached { address: Some(a.address), bindings: a.bindings },
                Err(error) => failed(chain(&error)),
            }
        }
    }
}

async fn detach(context: &Context, plan: &TaskPlan) -> Happening {
    let mut backoff = patience();
    while let Err(error) = context.networking.detach(&plan.id).await {
        let error = chain(&error);
        tracing::warn!(task = plan.id, error, "A task's network could not be taken back yet.");
        tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
    }
    Happening::Detached
}

async fn remove_sandbox(context: &Context, plan: &TaskPlan) -> Happening {
    let mut backoff = patience();
    while let Err(error) = context.runtime.remove_sandbox(&plan.sandbox.id).await {
        let error = chain(&error);
        tracing::warn!(task = plan.id, error, "A task's sandbox could not be removed yet.");
        tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
    }
    // An attachment that an earlier agent began and did not write down.
    if let Err(error) = context.networking.detach(&plan.id).await {
        let error = chain(&error);
        tracing::warn!(task = plan.id, error, "A task's network could not be taken back.");
    }
    if let Some(volumes) = plan.volumes_root()
        && let Err(error) = tokio::fs::remove_dir_all(&volumes).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %volumes.display(), %error, "A task's volumes could not be removed.");
    }
    Happening::SandboxRemoved
}

async fn pull(context: &Context, plan: &TaskPlan, at: usize) -> Happening {
    let Some(container) = plan.containers.get(at) else { return nowhere(at) };
    let request = context.images.request(&container.image).await;
    match context.runtime.ensure_image(&request).await {
        Ok(image) => Happening::ImagePresent(at, image),
        Err(error) => {
            Happening::ImageFailed(at, format!("CannotPullContainerError: {}", chain(&error)))
        }
    }
}

async fn logs(context: &Context, plan: &TaskPlan, at: usize) -> Happening {
    match plan.containers.get(at).map(|container| &container.log) {
        Some(LogPlan::AwsLogs(logs)) => {
            match awslogs::prepare(context.calls.as_ref(), logs).await {
                Ok(()) => Happening::LogsReady(at),
                Err(reason) => Happening::LogsFailed(at, reason),
            }
        }
        Some(LogPlan::None | LogPlan::Files) | None => Happening::LogsReady(at),
    }
}

fn start(context: Arc<Context>, view: &TaskView, at: usize) -> BoxFuture<'static, Happening> {
    let address = view.address().map(|address| address.to_string());
    let image = view.state.containers.get(at).map(|c| &c.image);
    let (Some(plan), Some(Fetch::Present(image))) = (view.plan.containers.get(at), image) else {
        return async move { nowhere(at) }.boxed();
    };
    let spec = container_spec(plan, &image.id, &image.config, address);
    async move {
        let spec = match spec {
            Ok(spec) => spec,
            Err(refusal) => {
                let reason =
                    format!("CannotCreateContainerError: {}: {}", refusal.member, refusal.why);
                return Happening::StartFailed(at, reason);
            }
        };
        match context.runtime.start_container(&spec).await {
            Ok(started) => Happening::Started(at, started.at),
            Err(error) => Happening::StartFailed(at, start_reason(&error)),
        }
    }
    .boxed()
}

/// ECS tells what could not be made from what could be made and not started.
fn start_reason(error: &RuntimeError) -> String {
    let kind = match error {
        RuntimeError::Start { .. } | RuntimeError::System { .. } => "CannotStartContainerError",
        RuntimeError::Invalid { .. }
        | RuntimeError::Unsupported { .. }
        | RuntimeError::NotFound { .. } => "CannotCreateContainerError",
    };
    format!("{kind}: {}", chain(error))
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
fn nowhere(at: usize) -> Happening {
    Happening::StartFailed(at, "CannotCreateContainerError: no such container".to_owned())
}
