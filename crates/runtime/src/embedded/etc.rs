//! Pure: the contents of a container's `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf`.

use std::fmt::Write;

use crate::{ContainerSpec, NetworkMode};

/// `/etc/hosts`.
pub(crate) fn hosts(container: &ContainerSpec, hostname: &str) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\n\
         ff02::2\tip6-allrouters\n",
    );
    let mut line = |address: &str, name: &str| {
        writeln!(text, "{address}\t{name}").expect("writing to a string does not fail");
    };
    for (name, address) in &container.hosts {
        line(address, name);
    }
    if let Some(address) = &container.address {
        line(address, hostname);
    }
    text
}

/// `/etc/resolv.conf`, from the node's own where the container does not say. With a network of its
/// own, the node's loopback servers cannot be reached from it and are left out.
pub(crate) fn resolv_conf(container: &ContainerSpec, network: NetworkMode, node: &str) -> String {
    let words = |key: &str| -> Vec<String> {
        node.lines()
            .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix([' ', '\t']))
            .map(|rest| rest.trim().to_owned())
            .collect()
    };
    let mut servers = container.dns_servers.clone();
    if servers.is_empty() {
        servers = words("nameserver");
        if network == NetworkMode::Private {
            servers.retain(|server| !server.starts_with("127.") && server != "::1");
        }
    }
    let mut text = String::new();
    for server in &servers {
        writeln!(text, "nameserver {server}").expect("writing to a string does not fail");
    }
    let search = match container.dns_search.as_slice() {
        [] => words("search").pop(),
        domains => Some(domains.join(" ")),
    };
    if let Some(search) = search {
        writeln!(text, "search {search}").expect("writing to a string does not fail");
    }
    for options in words("options") {
        writeln!(text, "options {options}").expect("writing to a string does not fail");
    }
    text
}

/// Whether a node's file names only servers that containers cannot reach, as systemd-resolved's does.
pub(crate) fn is_stub(node: &str) -> bool {
    let mut servers =
        node.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).peekable();
    servers.peek().is_some() && servers.all(|server| server.trim().starts_with("127."))
}
