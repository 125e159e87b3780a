//! Making sandboxes and starting containers.

use std::sync::Arc;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptionsBuilder, StartContainerOptions,
};
use futures_util::TryStreamExt;

use super::create::{Network, Surroundings, body, own_network};
use super::fault::{creating, starting, status};
use super::found::Found;
use super::watch::Seen;
use super::{Inner, group, logs, pause};
use crate::embedded::check_name;
use crate::{
    ContainerNetwork, ContainerSpec, IpcMode, Limits, NetworkMode, PidMode, RuntimeError, Sandbox,
    SandboxSpec, Started,
};

/// Whether a process has to hold what the containers share.
fn needs_pause(spec: &SandboxSpec) -> bool {
    spec.pid == PidMode::Sandbox || spec.ipc == IpcMode::Sandbox
}

/// What no cgroup can be given.
fn check_limits(spec: &SandboxSpec) -> Result<(), RuntimeError> {
    let Limits { memory_bytes, memory_swap_bytes, .. } = spec.limits;
    let why = match (memory_bytes, memory_swap_bytes) {
        (None, Some(_)) => "a limit of memory and swap together needs one of memory",
        (Some(memory), Some(both)) if both < memory => {
            "its limit of memory and swap together is below that of memory"
        }
        _ => return Ok(()),
    };
    Err(RuntimeError::Invalid { id: spec.id.to_string(), why: why.to_owned() })
}

impl Inner {
    /// Writes a sandbox down, with its cgroup and its holding process if it needs them.
    pub(crate) async fn make_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, RuntimeError> {
        check_name(spec.id.as_str())?;
        check_limits(spec)?;
        let known = self.records.read(&spec.id)?;
        let spec = known.as_ref().unwrap_or(spec);
        let group = group::of(&self.config.cgroup_parent, spec);
        if let Some(group) = group.as_ref().filter(|_| known.is_none()) {
            group::create(group, spec, self.systemd)?;
        }
        let pid = if needs_pause(spec) { self.hold(spec, group).await? } else { 0 };
        if known.is_none() {
            self.records.write(spec)?;
        }
        Ok(Sandbox { id: spec.id.clone(), pid })
    }

    /// Starts the process that holds what a sandbox's containers share; its number.
    async fn hold(&self, spec: &SandboxSpec, group: Option<String>) -> Result<u32, RuntimeError> {
        let name = self.names.pause(&spec.id);
        if let Some(found) = self.inspect(&name).await? {
            if let Some(pid) = found.pid {
                return Ok(pid);
            }
            if found.exit.is_some() {
                let why = "what its containers shared is gone with the process that held it; \
                           remove it first";
                return Err(RuntimeError::Invalid { id: spec.id.to_string(), why: why.to_owned() });
            }
            self.discard(&name).await?;
        }
        self.pause_image(spec).await?;
        let host = HostConfig {
            network_mode: Some("none".to_owned()),
            ipc_mode: (spec.ipc == IpcMode::Sandbox).then(|| "shareable".to_owned()),
            cgroup_parent: group,
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody {
            image: Some(pause::IMAGE.to_owned()),
            entrypoint: Some(vec![pause::PROGRAM.to_owned()]),
            labels: Some(self.names.of_sandbox(spec)),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let attempt = || format!("start the process that holds what {} shares", spec.id);
        let id = self.create(&name, body).await.map_err(|error| self.failed(attempt(), &error))?;
        self.begin(&id, Seen::new(&spec.id, None, false));
        let start = self.engine.start_container(&id, None::<StartContainerOptions>).await;
        if let Err(error) = start {
            self.forget(&id);
            self.discard(&id).await?;
            return Err(self.failed(attempt(), &error));
        }
        Ok(self.inspect(&id).await?.and_then(|found| found.pid).unwrap_or(0))
    }

    async fn pause_image(&self, spec: &SandboxSpec) -> Result<(), RuntimeError> {
        let attempt = "make the image of the process that holds what containers share";
        match self.engine.inspect_image(pause::IMAGE).await {
            Ok(_) => return Ok(()),
            Err(error) if status(&error) == Some(404) => {}
            Err(error) => return Err(self.failed(attempt, &error)),
        }
        let archive = pause::archive().ok_or_else(|| RuntimeError::Unsupported {
            what: format!("share processes or memory among the containers of {}", spec.id),
            why:
                "on Docker Engine that is built for x86-64 only; use --runtime embedded, or leave \
                  out pidMode and ipcMode"
                    .to_owned(),
        })?;
        let (repository, tag) = pause::IMAGE.split_once(':').unwrap_or((pause::IMAGE, "latest"));
        let options =
            CreateImageOptionsBuilder::default().from_src("-").repo(repository).tag(tag).build();
        let made = self.engine.create_image(Some(options), Some(bollard::body_full(archive)), None);
        let made: Result<Vec<_>, Error> = made.try_collect().await;
        made.map(drop).map_err(|error| self.failed(attempt, &error))
    }

    async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Error> {
        let options =
            CreateContainerOptions { name: Some(name.to_owned()), platform: String::new() };
        Ok(self.engine.create_container(Some(options), body).await?.id)
    }

    /// Starts a container.
    pub(crate) async fn start(
        self: &Arc<Self>,
        spec: &ContainerSpec,
    ) -> Result<Started, RuntimeError> {
        check_name(spec.id.as_str())?;
        let sandbox = self.records.read(&spec.sandbox)?.ok_or_else(|| RuntimeError::NotFound {
            what: "sandbox",
            id: spec.sandbox.to_string(),
        })?;
        self.check_volumes(spec).await?;
        let id = spec.id.as_str();
        let name = self.names.container(&spec.id);
        let (network, has_network) = self.network(&sandbox, spec);
        let around = Surroundings {
            sandbox: &sandbox,
            labels: self.names.of_container(&sandbox, spec, has_network),
            network,
            pause: needs_pause(&sandbox).then(|| self.names.pause(&sandbox.id)),
            group: group::of(&self.config.cgroup_parent, &sandbox),
        };
        let engine_id = match self.create(&name, body(spec, around)?).await {
            Ok(engine_id) => engine_id,
            Err(error) if status(&error) == Some(409) => match self.inspect(&name).await? {
                // Begun before, by this caller or one before it.
                Some(found) if found.started_at.is_some() => return Ok(started(&found, spec)),
                Some(found) => found.engine_id,
                None => return Err(self.refused_to_create(spec, &error)),
            },
            Err(error) => return Err(self.refused_to_create(spec, &error)),
        };
        self.begin(&engine_id, Seen::new(&spec.sandbox, Some(&spec.id), has_network));
        let start = self.engine.start_container(&engine_id, None::<StartContainerOptions>).await;
        if let Err(error) = start {
            self.forget(&engine_id);
            // Of one that did not start nothing is left; if that fails, removing the sandbox mends it.
            self.discard(&engine_id).await.unwrap_or_default();
            let attempt = || format!("start {id}");
            return Err(starting(id, &error).unwrap_or_else(|| self.failed(attempt(), &error)));
        }
        logs::follow(self, &engine_id, spec);
        let found = self.inspect(&engine_id).await?;
        let found = found
            .ok_or_else(|| RuntimeError::NotFound { what: "container", id: spec.id.to_string() })?;
        self.images_used(&spec.image);
        Ok(started(&found, spec))
    }

    fn refused_to_create(&self, spec: &ContainerSpec, error: &Error) -> RuntimeError {
        creating(spec.id.as_str(), &spec.image, error)
            .unwrap_or_else(|| self.failed(format!("create {}", spec.id), error))
    }

    /// A container's network, and whether it is then the sandbox's own.
    fn network(&self, sandbox: &SandboxSpec, spec: &ContainerSpec) -> (Network, bool) {
        let shares =
            sandbox.network == NetworkMode::Private && spec.network == ContainerNetwork::Sandbox;
        match self.network_of(&sandbox.id).filter(|owner| shares && *owner != spec.id) {
            Some(owner) => (Network::Of(self.names.container(&owner)), false),
            None => (own_network(sandbox, spec), shares),
        }
    }
}

/// What is told of a container that started.
fn started(found: &Found, spec: &ContainerSpec) -> Started {
    Started {
        pid: found.pid.unwrap_or(0),
        at: found.started_at.unwrap_or_default(),
        ports: found.ports(&spec.ports),
        address: found.address,
    }
}
