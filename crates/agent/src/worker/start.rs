//! Starting a container: what it is told of its neighbours and of itself.

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use net::{PortBinding, Protocol};
use runtime::{ContainerNetwork, PublishedPort, RuntimeError, Started};
use stdx::chain;

use super::Context;
use super::act::nowhere;
use super::network::{attach_one, requests};
use crate::plan::{
    Circumstances, ContainerPlan, NetworkPlan, ROUTER_PORT, RouterPlan, TaskPlan, container_spec,
};
use crate::task::{Fetch, Happening, Place, TaskView};

/// Starts a container.
pub(super) fn start(
    context: Arc<Context>,
    view: &TaskView,
    at: usize,
) -> BoxFuture<'static, Happening> {
    let state = view.state.containers.get(at);
    let (Some(plan), Some(Fetch::Present(image))) =
        (view.plan.containers.get(at), state.map(|state| &state.image))
    else {
        return async move { nowhere(at) }.boxed();
    };
    let refused = |why: String| {
        let reason = format!("CannotCreateContainerError: {why}");
        async move { Happening::StartFailed(at, reason) }.boxed()
    };
    let ports = match published(&view.plan, plan) {
        Ok(ports) => ports,
        Err(why) => return refused(why),
    };
    let role = view.plan.order.task_role.as_ref().map(|role| role.credentials_id.as_str());
    let mut environment = context.directory.environment(&plan.id, role);
    environment.extend(router_address(view, plan));
    let circumstances = Circumstances {
        address: view.place(at).and_then(|place| place.address).map(|a| a.to_string()),
        hosts: hosts(view, plan),
        linked: linked(view, plan),
        environment,
        given: view.given.of(at),
        ports,
    };
    let spec = match container_spec(plan, &image.id, &image.config, circumstances) {
        Ok(spec) => spec,
        Err(refusal) => return refused(format!("{}: {}", refusal.member, refusal.why)),
    };
    // The namespace of its own went with its last run.
    let moved = state.is_some_and(|state| state.restarts > 0)
        && view.plan.network == NetworkPlan::Bridge
        && plan.template.network == ContainerNetwork::Own;
    let whole = Arc::clone(&view.plan);
    let external = plan.routes.as_ref().map(RouterPlan::external_file);
    let external = external.zip(view.given.of(at).and_then(|given| given.router_config.clone()));
    async move {
        if moved && let Err(why) = attach_one(&context, &whole, at).await {
            return Happening::StartFailed(at, format!("CannotStartContainerError: {why}"));
        }
        if let Some((path, text)) = external
            && let Err(error) = tokio::fs::write(&path, text).await
        {
            let why = format!("CannotCreateContainerError: write {}: {error}", path.display());
            return Happening::StartFailed(at, why);
        }
        match context.runtime.start_container(&spec).await {
            Ok(started) => Happening::Started(at, started.at, place(&whole, at, &started)),
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

/// Ports for a runtime that publishes them itself.
fn published(task: &TaskPlan, plan: &ContainerPlan) -> Result<Vec<PublishedPort>, String> {
    if task.network != NetworkPlan::Runtime {
        return Ok(Vec::new());
    }
    Ok(requests(&plan.ports)?
        .into_iter()
        .map(|request| PublishedPort {
            container_port: request.container_port,
            host_port: request.host_port,
            udp: request.protocol == Protocol::Udp,
        })
        .collect())
}

/// The place that a runtime has given a container by itself, with its ports in the plan's order.
fn place(task: &TaskPlan, at: usize, started: &Started) -> Option<Place> {
    let plan = task.containers.get(at).filter(|_| task.network == NetworkPlan::Runtime)?;
    let asked = plan.ports.iter().flat_map(|ask| ask.requests(None));
    let bindings = asked.filter_map(|request| {
        let udp = request.protocol == Protocol::Udp;
        let found = started
            .ports
            .iter()
            .find(|port| port.container_port == request.container_port && port.udp == udp)?;
        Some(PortBinding {
            bind_ip: Ipv4Addr::UNSPECIFIED.into(),
            container_port: request.container_port,
            host_port: found.host_port?,
            protocol: request.protocol,
        })
    });
    Some(Place { address: started.address, bindings: bindings.collect() })
}

/// Where a program on the bridge reaches its task's log router by itself, as the ECS agent tells it.
fn router_address(view: &TaskView, plan: &ContainerPlan) -> Vec<(String, String)> {
    let place = plan.router.and_then(|router| view.place(router));
    let Some(address) = place.and_then(|place| place.address) else { return Vec::new() };
    let address = match view.plan.network {
        NetworkPlan::Own(_) => Ipv4Addr::LOCALHOST,
        NetworkPlan::Bridge | NetworkPlan::Runtime | NetworkPlan::Host | NetworkPlan::None => {
            address
        }
    };
    vec![
        ("FLUENT_HOST".to_owned(), address.to_string()),
        ("FLUENT_PORT".to_owned(), ROUTER_PORT.to_string()),
    ]
}

/// The names that linked containers are known by.
fn hosts(view: &TaskView, plan: &ContainerPlan) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for link in &plan.links {
        let Some(address) = view.place(link.container).and_then(|place| place.address) else {
            continue;
        };
        let name = view.plan.containers.get(link.container).map(|other| other.name.clone());
        lines.push((link.alias.clone(), address.to_string()));
        lines.extend(
            name.filter(|name| *name != link.alias).map(|name| (name, address.to_string())),
        );
    }
    lines
}

/// Docker's legacy variables of links.
/// <https://docs.docker.com/engine/network/links/#environment-variables>
fn linked(view: &TaskView, plan: &ContainerPlan) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for link in &plan.links {
        let Some(other) = view.plan.containers.get(link.container) else { continue };
        let Some(address) = view.place(link.container).and_then(|place| place.address) else {
            continue;
        };
        let alias = link.alias.to_ascii_uppercase().replace('-', "_");
        variables.push((format!("{alias}_NAME"), format!("/{}/{}", plan.name, link.alias)));
        let mut ports: Vec<(u16, &str)> = other
            .ports
            .iter()
            .flat_map(|ask| ask.requests(None))
            .map(|request| {
                let udp = request.protocol == Protocol::Udp;
                (request.container_port, if udp { "udp" } else { "tcp" })
            })
            .collect();
        ports.sort_unstable();
        if let Some((port, protocol)) = ports.first() {
            variables.push((format!("{alias}_PORT"), format!("{protocol}://{address}:{port}")));
        }
        for (port, protocol) in ports {
            let name = format!("{alias}_PORT_{port}_{}", protocol.to_ascii_uppercase());
            variables.push((name.clone(), format!("{protocol}://{address}:{port}")));
            variables.push((format!("{name}_ADDR"), address.to_string()));
            variables.push((format!("{name}_PORT"), port.to_string()));
            variables.push((format!("{name}_PROTO"), protocol.to_owned()));
        }
        for (name, value) in &other.launch.environment {
            variables.push((format!("{alias}_ENV_{name}"), value.clone()));
        }
    }
    variables
}
