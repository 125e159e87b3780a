//! What ECS, and this build of Wharf, refuse in a container definition.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>

use std::collections::BTreeSet;
use std::net::IpAddr;

use aws::Error;
use aws::ecs::{ContainerDefinition, NetworkMode, VersionConsistency};

use super::validate::Surroundings;
use super::{devices, health, linux, log_driver, order, ports, secrets, security};
use crate::errors::client;
use crate::refer::is_name;
use crate::refuse::DEFINITION;

/// The least memory of a container, in MiB, as ECS has it.
const LEAST_MEMORY: i32 = 4;

/// The longest image reference.
const LONGEST_IMAGE: usize = 512;

/// Checks one container.
pub(super) fn check(container: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    let name = container.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(client("Container.name should not be null or empty."));
    }
    if !is_name(name) {
        return Err(client("Container.name contains invalid characters."));
    }
    image(container)?;
    not_built(name, container)?;
    sizes(name, container, task)?;
    devices::gpus(container.resource_requirements.as_deref())
        .map_err(|why| wrong(name, "resourceRequirements", why))?;
    ports::check(container, task)?;
    environment(name, container)?;
    mounts(name, container, task)?;
    linux::check(name, container, task)?;
    network(name, container, task)?;
    security::check(name, container)?;
    secrets::check(name, container, task)?;
    health::check_probe(name, container)?;
    health::check_restart(name, container)?;
    order::check(name, container, task)?;
    log_driver::check(name, container, task)
}

/// The error for a setting of a container.
pub(super) fn wrong(container: &str, member: &str, why: impl std::fmt::Display) -> Error {
    client(format!("Invalid '{member}' setting for container '{container}': {why}"))
}

fn image(container: &ContainerDefinition) -> Result<(), Error> {
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(client("Container.image should not be null or empty."));
    }
    let right = |b: u8| b.is_ascii_alphanumeric() || b"-_:./#@+".contains(&b);
    if image.len() > LONGEST_IMAGE || !image.bytes().all(right) {
        return Err(client("Container.image contains invalid characters."));
    }
    Ok(())
}

fn not_built(name: &str, c: &ContainerDefinition) -> Result<(), Error> {
    let r = DEFINITION;
    let at = |member: &str| format!("containerDefinitions['{name}'].{member}");
    r.list(&at("credentialSpecs"), c.credential_specs.as_ref(), "credential specifications are")?;
    if c.version_consistency == Some(VersionConsistency::Enabled) {
        return Err(r.not_built(&at("versionConsistency"), "resolving tags to digests is"));
    }
    Ok(())
}

fn sizes(name: &str, c: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    if c.cpu.is_some_and(|cpu| cpu < 0) {
        return Err(wrong(name, "cpu", "it can not be negative."));
    }
    for (member, value) in [("memory", c.memory), ("memoryReservation", c.memory_reservation)] {
        if value.is_some_and(|mib| mib < LEAST_MEMORY) {
            return Err(wrong(name, member, format!("it is at least {LEAST_MEMORY} MiB.")));
        }
    }
    if c.memory.is_none() && c.memory_reservation.is_none() && task.memory.is_none() {
        return Err(client(format!(
            "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' \
             must be specified."
        )));
    }
    if let (Some(hard), Some(soft)) = (c.memory, c.memory_reservation)
        && soft > hard
    {
        return Err(wrong(
            name,
            "memoryReservation",
            format!("{soft} MiB is more than the container's 'memory' of {hard} MiB."),
        ));
    }
    if let (Some(hard), Some(limit)) = (c.memory, task.memory)
        && i64::from(hard) > i64::from(limit)
    {
        return Err(client(format!(
            "The 'memory' setting for container '{name}' is greater than for the task."
        )));
    }
    for (member, value) in [("startTimeout", c.start_timeout), ("stopTimeout", c.stop_timeout)] {
        if value.is_some_and(|seconds| seconds < 0) {
            return Err(wrong(name, member, "it can not be negative."));
        }
    }
    Ok(())
}

fn environment(name: &str, c: &ContainerDefinition) -> Result<(), Error> {
    for variable in c.environment.iter().flatten() {
        environment_name(variable.name.as_deref().unwrap_or_default())
            .map_err(|why| wrong(name, "environment", why))?;
    }
    Ok(())
}

/// What is wrong with the name of an environment variable.
pub(crate) fn environment_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a variable has no name.".to_owned());
    }
    if name.contains(['=', '\0']) {
        return Err(format!("\"{name}\" can not name a variable."));
    }
    Ok(())
}

fn mounts(name: &str, c: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    let mut targets = BTreeSet::new();
    for mount in c.mount_points.iter().flatten() {
        let volume = mount.source_volume.as_deref().unwrap_or_default();
        if !task.volumes.contains(volume) {
            return Err(client(format!("Unknown volume '{volume}'.")));
        }
        let target = mount.container_path.as_deref().unwrap_or_default();
        if !target.starts_with('/') {
            return Err(wrong(
                name,
                "mountPoints",
                format!("containerPath \"{target}\" is not an absolute path."),
            ));
        }
        if !targets.insert(target.trim_end_matches('/')) {
            return Err(wrong(name, "mountPoints", format!("{target} is mounted twice.")));
        }
    }
    Ok(())
}

fn network(name: &str, c: &ContainerDefinition, task: &Surroundings<'_>) -> Result<(), Error> {
    if *task.mode == NetworkMode::Awsvpc {
        own_network(c)?;
    }
    for server in c.dns_servers.iter().flatten() {
        if server.parse::<IpAddr>().is_err() {
            return Err(wrong(name, "dnsServers", format!("\"{server}\" is not an IP address.")));
        }
    }
    for domain in c.dns_search_domains.iter().flatten() {
        if !is_host(domain) {
            return Err(wrong(name, "dnsSearchDomains", format!("\"{domain}\" is not a domain.")));
        }
    }
    for host in c.extra_hosts.iter().flatten() {
        let (hostname, address) = (
            host.hostname.as_deref().unwrap_or_default(),
            host.ip_address.as_deref().unwrap_or_default(),
        );
        if !is_host(hostname) || address.parse::<IpAddr>().is_err() {
            return Err(wrong(
                name,
                "extraHosts",
                format!("\"{hostname}\" with \"{address}\" is not a host name with an IP address."),
            ));
        }
    }
    match c.hostname.as_deref() {
        None | Some("") => Ok(()),
        Some(hostname) if is_host(hostname) => Ok(()),
        Some(hostname) => {
            Err(wrong(name, "hostname", format!("\"{hostname}\" is not a host name.")))
        }
    }
}

/// What belongs to the task where all its containers share one network.
fn own_network(c: &ContainerDefinition) -> Result<(), Error> {
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let asked = [
        (some(&c.dns_servers), "DNS servers are not supported on container"),
        (some(&c.dns_search_domains), "DNS search domains are not supported on container"),
        (c.extra_hosts.as_ref().is_some_and(|h| !h.is_empty()), "Extra hosts are not supported"),
        (
            c.hostname.as_ref().is_some_and(|h| !h.is_empty()),
            "Hostname is not supported on container",
        ),
    ];
    match asked.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(client(format!("{what} when networkMode=awsvpc."))),
        None => Ok(()),
    }
}

fn is_host(text: &str) -> bool {
    let right = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(right)
}
