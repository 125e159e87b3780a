//! Pure: from a [`ContainerSpec`] to what the Engine is asked to create.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HealthConfig, HostConfig,
    HostConfigLogConfig, PortBinding, ResourcesUlimits,
};

use crate::{
    ContainerSpec, HealthCheck, IpcMode, LogMode, Mount, NetworkMode, PidMode, PublishedPort,
    RuntimeError, SandboxSpec, Seccomp,
};

/// What the Engine keeps at least of a log until it has been written down here.
const KEPT_BYTES: u64 = 4 << 20;

/// The network that a container gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// An own one on the Engine's bridge.
    Bridge,
    /// The node's.
    Host,
    /// Loopback only.
    None,
    /// That of another container, by its name on the Engine.
    Of(String),
}

/// What a container is put into.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) sandbox: &'a SandboxSpec,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) network: Network,
    /// The container that holds what the sandbox's share, by its name on the Engine.
    pub(crate) pause: Option<String>,
    /// The parent of its cgroup.
    pub(crate) group: Option<String>,
}

/// What the Engine is asked to create.
pub(crate) fn body(
    spec: &ContainerSpec,
    around: Surroundings<'_>,
) -> Result<ContainerCreateBody, RuntimeError> {
    let Some((program, arguments)) =
        spec.args.split_first().filter(|(program, _)| !program.is_empty())
    else {
        return Err(invalid(spec, "it has no program to run".to_owned()));
    };
    let host_name = match around.network {
        Network::Host | Network::Of(_) => None,
        Network::Bridge | Network::None if spec.hostname.is_empty() => {
            Some(around.sandbox.id.as_str().chars().take(12).collect())
        }
        Network::Bridge | Network::None => Some(spec.hostname.clone()),
    };
    let exposed: Vec<String> = spec.ports.iter().map(port_name).collect();
    let host_config = host(spec, &around)?;
    Ok(ContainerCreateBody {
        hostname: host_name,
        // The image's own user is what an empty one would mean to the Engine.
        user: Some(if spec.user.is_empty() { "0".to_owned() } else { spec.user.clone() }),
        exposed_ports: some(exposed),
        tty: Some(spec.tty),
        open_stdin: Some(spec.open_stdin),
        env: Some(spec.env.clone()),
        entrypoint: Some(vec![program.clone()]),
        cmd: Some(arguments.to_vec()),
        // Nor is the image's own health check ever run.
        healthcheck: Some(health(spec.health.as_ref())),
        image: Some(spec.image.clone()),
        working_dir: Some(if spec.cwd.is_empty() { "/".to_owned() } else { spec.cwd.clone() }),
        stop_signal: Some(spec.stop_signal.clone()).filter(|signal| !signal.is_empty()),
        labels: Some(around.labels),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    })
}

fn invalid(spec: &ContainerSpec, why: String) -> RuntimeError {
    RuntimeError::Invalid { id: spec.id.to_string(), why }
}

/// Nothing rather than an empty list.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// The Engine counts in signed numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn host(spec: &ContainerSpec, around: &Surroundings<'_>) -> Result<HostConfig, RuntimeError> {
    let (network, bindings) = network(spec, &around.network);
    let shared = || around.pause.as_ref().map(|name| format!("container:{name}"));
    let limits = &spec.limits;
    let (binds, tmpfs) = mounts(spec)?;
    Ok(HostConfig {
        binds: some(binds),
        tmpfs: Some(tmpfs).filter(|tmpfs| !tmpfs.is_empty()),
        network_mode: Some(network),
        port_bindings: bindings,
        pid_mode: match around.sandbox.pid {
            PidMode::Container => None,
            PidMode::Host => Some("host".to_owned()),
            PidMode::Sandbox => shared(),
        },
        ipc_mode: match around.sandbox.ipc {
            IpcMode::Container => Some("private".to_owned()),
            IpcMode::Host => Some("host".to_owned()),
            IpcMode::None => Some("none".to_owned()),
            IpcMode::Sandbox => shared(),
        },
        cgroup_parent: around.group.clone(),
        cap_add: some(spec.cap_add.clone()),
        cap_drop: some(spec.cap_drop.clone()),
        privileged: Some(spec.privileged),
        readonly_rootfs: Some(spec.readonly_root),
        security_opt: some(security(spec)),
        init: Some(spec.init),
        group_add: some(spec.groups.clone()),
        memory: limits.memory_bytes.map(signed),
        memory_swap: limits.memory_swap_bytes.map(signed),
        memory_reservation: limits.memory_reservation_bytes.map(signed),
        memory_swappiness: spec.swappiness.map(i64::from),
        cpu_shares: limits.cpu_shares.map(signed),
        nano_cpus: limits.cpu_millis.map(|millis| signed(millis.saturating_mul(1_000_000))),
        pids_limit: limits.pids.map(signed),
        ulimits: some(spec.ulimits.iter().map(ulimit).collect()),
        sysctls: Some(map(&spec.sysctls)).filter(|settings| !settings.is_empty()),
        shm_size: spec.shm_bytes.map(signed),
        devices: some(spec.devices.iter().map(device).collect()),
        device_requests: some(gpus(spec)),
        extra_hosts: some(spec.hosts.iter().map(|(name, at)| format!("{name}:{at}")).collect()),
        dns: some(spec.dns_servers.clone()),
        dns_search: some(spec.dns_search.clone()),
        log_config: Some(log(&spec.log)),
        ..HostConfig::default()
    })
}

/// GPUs as `docker run --gpus device=…` asks for them.
fn gpus(spec: &ContainerSpec) -> Vec<DeviceRequest> {
    let request = || DeviceRequest {
        driver: Some("nvidia".to_owned()),
        device_ids: Some(spec.gpus.clone()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    };
    (!spec.gpus.is_empty()).then(request).into_iter().collect()
}

fn map(pairs: &BTreeMap<String, String>) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A port as the Engine names it: `80/tcp`.
pub(crate) fn port_name(port: &PublishedPort) -> String {
    format!("{}/{}", port.container_port, if port.udp { "udp" } else { "tcp" })
}

type Bindings = HashMap<String, Option<Vec<PortBinding>>>;

fn network(spec: &ContainerSpec, network: &Network) -> (String, Option<Bindings>) {
    let mut bindings: Bindings = HashMap::new();
    for port in &spec.ports {
        let host_port = port.host_port.map(|port| port.to_string()).unwrap_or_default();
        let binding = PortBinding { host_ip: None, host_port: Some(host_port) };
        bindings.entry(port_name(port)).or_default().get_or_insert_default().push(binding);
    }
    let bindings = Some(bindings).filter(|bindings| !bindings.is_empty());
    match network {
        Network::Bridge => ("bridge".to_owned(), bindings),
        // What listens on the node's network needs no publishing.
        Network::Host => ("host".to_owned(), None),
        Network::None => ("none".to_owned(), None),
        Network::Of(name) => (format!("container:{name}"), bindings),
    }
}

fn security(spec: &ContainerSpec) -> Vec<String> {
    let mut options = Vec::new();
    if spec.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &spec.seccomp {
        Seccomp::Default => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Profile(profile) => options.push(format!("seccomp={profile}")),
    }
    options.extend(spec.apparmor.iter().map(|profile| format!("apparmor={profile}")));
    options
}

fn ulimit((name, soft, hard): &(String, u64, u64)) -> ResourcesUlimits {
    // What is beyond a signed number is "unlimited", which the Engine spells -1.
    let number = |limit: u64| i64::try_from(limit).unwrap_or(-1);
    ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(number(*soft)),
        hard: Some(number(*hard)),
    }
}

fn device((on_host, inside, permissions): &(String, String, String)) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(on_host.clone()),
        path_in_container: Some(inside.clone()),
        cgroup_permissions: Some(permissions.clone()),
    }
}

fn health(check: Option<&HealthCheck>) -> HealthConfig {
    let Some(check) = check else {
        return HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() };
    };
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let test = std::iter::once("CMD".to_owned()).chain(check.args.iter().cloned());
    HealthConfig {
        test: Some(test.collect()),
        interval: Some(nanos(check.interval)),
        timeout: Some(nanos(check.timeout)),
        retries: Some(i64::from(check.retries)),
        start_period: Some(nanos(check.start_period)),
        start_interval: None,
    }
}

/// Binds and volumes in the Engine's notation, and memory file systems by their paths.
fn mounts(spec: &ContainerSpec) -> Result<(Vec<String>, HashMap<String, String>), RuntimeError> {
    let text = |path: &Path| match path.to_str() {
        Some(text) if !text.contains(':') => Ok(text.to_owned()),
        _ => {
            let why =
                format!("Docker cannot mount {}: no colon and only UTF-8 in paths", path.display());
            Err(invalid(spec, why))
        }
    };
    let mode = |readonly: bool| if readonly { "ro" } else { "rw" };
    let (mut binds, mut memory) = (Vec::new(), HashMap::new());
    for mount in &spec.mounts {
        match mount {
            Mount::Bind { source, target, readonly } => {
                binds.push(format!("{}:{}:{}", text(source)?, text(target)?, mode(*readonly)));
            }
            Mount::Volume { name, target, readonly } => {
                binds.push(format!("{name}:{}:{}", text(target)?, mode(*readonly)));
            }
            Mount::Tmpfs { target, size_bytes, options } => {
                let size = size_bytes.map(|size| format!("size={size}"));
                let all: Vec<String> = size.into_iter().chain(options.iter().cloned()).collect();
                memory.insert(text(target)?, all.join(","));
            }
        }
    }
    Ok((binds, memory))
}

/// The Engine's log driver: `json-file`, which tells the end of a long line from its pieces.
fn log(mode: &LogMode) -> HostConfigLogConfig {
    let config = |driver: &str, options: HashMap<String, String>| HostConfigLogConfig {
        typ: Some(driver.to_owned()),
        config: Some(options),
    };
    match mode {
        LogMode::None => config("none", HashMap::new()),
        LogMode::Driver { name, options } => config(name, map(options)),
        LogMode::Files { max_bytes, max_files, non_blocking_bytes } => {
            let mut options = HashMap::from([
                ("max-size".to_owned(), (*max_bytes).max(KEPT_BYTES).to_string()),
                ("max-file".to_owned(), (*max_files).max(2).to_string()),
            ]);
            if let Some(buffer) = non_blocking_bytes {
                options.insert("mode".to_owned(), "non-blocking".to_owned());
                options.insert("max-buffer-size".to_owned(), buffer.to_string());
            }
            config("json-file", options)
        }
    }
}

/// The network that a container asks for, when its sandbox's is not another container's already.
pub(crate) fn own_network(sandbox: &SandboxSpec, spec: &ContainerSpec) -> Network {
    match (sandbox.network, spec.network) {
        (NetworkMode::Host, _) => Network::Host,
        (NetworkMode::Private, crate::ContainerNetwork::None) => Network::None,
        (NetworkMode::Private, _) => Network::Bridge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn made(
        change: impl FnOnce(&mut ContainerSpec),
        network: Network,
    ) -> (ContainerCreateBody, HostConfig) {
        let mut spec = testing::container("box", "a-long-sandbox-name");
        change(&mut spec);
        let sandbox = SandboxSpec {
            pid: PidMode::Sandbox,
            ipc: IpcMode::None,
            ..testing::sandbox("a-long-sandbox-name")
        };
        let around = Surroundings {
            sandbox: &sandbox,
            labels: HashMap::new(),
            network,
            pause: Some("hold".to_owned()),
            group: Some("/wharf/sand".to_owned()),
        };
        let body = body(&spec, around).unwrap();
        let host = body.host_config.clone().unwrap();
        (body, host)
    }

    #[test]
    fn what_the_image_says_is_overruled() {
        let (body, host) = made(|spec| spec.args.push("x".into()), Network::Bridge);
        assert_eq!(body.entrypoint.unwrap(), ["/probe"]);
        assert_eq!(body.cmd.unwrap(), ["x"]);
        assert_eq!(body.user.as_deref(), Some("0"));
        assert_eq!(body.working_dir.as_deref(), Some("/"));
        assert_eq!(body.healthcheck.unwrap().test.unwrap(), ["NONE"]);
        assert_eq!(body.hostname.as_deref(), Some("a-long-sandb"));
        assert_eq!(host.pid_mode.as_deref(), Some("container:hold"));
        assert_eq!(host.ipc_mode.as_deref(), Some("none"));
        assert_eq!(host.cgroup_parent.as_deref(), Some("/wharf/sand"));
    }

    #[test]
    fn ports_are_published_on_a_bridge_only() {
        let publish = |spec: &mut ContainerSpec| {
            let port =
                |container_port, host_port, udp| PublishedPort { container_port, host_port, udp };
            spec.ports =
                vec![port(80, None, false), port(80, Some(8080), false), port(53, None, true)];
        };
        let (body, host) = made(publish, Network::Bridge);
        assert_eq!(body.exposed_ports.unwrap(), ["80/tcp", "80/tcp", "53/udp"]);
        let bindings = host.port_bindings.unwrap();
        let ports: Vec<_> =
            bindings["80/tcp"].iter().flatten().map(|b| b.host_port.clone().unwrap()).collect();
        assert_eq!(ports, ["", "8080"]);
        let (body, host) = made(publish, Network::Host);
        assert_eq!((host.port_bindings, body.hostname), (None, None));
        let (_, host) = made(|_| {}, Network::Of("other".into()));
        assert_eq!(host.network_mode.as_deref(), Some("container:other"));
    }

    #[test]
    fn limits_mounts_and_security_are_spelt_as_the_engine_has_them() {
        let (_, host) = made(
            |spec| {
                spec.limits.cpu_millis = Some(250);
                spec.ulimits = vec![("nofile".into(), 5, u64::MAX)];
                (spec.no_new_privileges, spec.seccomp) = (true, Seccomp::Unconfined);
                spec.mounts = vec![
                    Mount::Bind { source: "/a".into(), target: "/b".into(), readonly: true },
                    Mount::Volume { name: "v".into(), target: "/c".into(), readonly: false },
                    Mount::Tmpfs {
                        target: "/t".into(),
                        size_bytes: Some(1024),
                        options: vec!["exec".into()],
                    },
                ];
            },
            Network::Bridge,
        );
        assert_eq!(host.nano_cpus, Some(250_000_000));
        assert_eq!(host.ulimits.unwrap()[0].hard, Some(-1));
        assert_eq!(host.security_opt.unwrap(), ["no-new-privileges", "seccomp=unconfined"]);
        assert_eq!(host.binds.unwrap(), ["/a:/b:ro", "v:/c:rw"]);
        assert_eq!(host.tmpfs.unwrap()["/t"], "size=1024,exec");
        assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("json-file"));
    }

    #[test]
    fn what_cannot_be_said_to_the_engine_is_refused() {
        let sandbox = testing::sandbox("sand");
        let refused = |change: fn(&mut ContainerSpec)| {
            let mut spec = testing::container("box", "sand");
            change(&mut spec);
            let around = Surroundings {
                sandbox: &sandbox,
                labels: HashMap::new(),
                network: Network::Bridge,
                pause: None,
                group: None,
            };
            body(&spec, around).unwrap_err().to_string()
        };
        assert!(refused(|spec| spec.args.clear()).contains("no program"));
        let odd = refused(|spec| {
            spec.mounts =
                vec![Mount::Bind { source: "/a:b".into(), target: "/c".into(), readonly: false }];
        });
        assert!(odd.contains("/a:b"), "{odd}");
    }
}
