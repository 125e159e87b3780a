//! The packet filter by the `nft` program: the same rules as text. Each change costs a process, some
//! 2 ms, so this is the second choice.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Firewall, INSIDE, INSIDE_PORT, INSTANCE_METADATA, Published, Ruleset};
use crate::error::NetError;

/// Runs `nft -f -`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nft;

impl Firewall for Nft {
    async fn install(&self, rules: &Ruleset, ports: &BTreeSet<Published>) -> Result<(), NetError> {
        let ports: Vec<_> = ports.iter().copied().collect();
        let script = install_script(rules) + &elements_script("add", &rules.table, &ports);
        run(format!("install the packet filter table {}", rules.table), script).await
    }

    async fn publish(&self, rules: &Ruleset, ports: &[Published]) -> Result<(), NetError> {
        let script = elements_script("add", &rules.table, ports);
        run(format!("publish ports in table {}", rules.table), script).await
    }

    async fn withdraw(&self, rules: &Ruleset, ports: &[Published]) -> Result<(), NetError> {
        let script = elements_script("delete", &rules.table, ports);
        run(format!("withdraw ports in table {}", rules.table), script).await
    }

    async fn remove(&self, table: &str) -> Result<(), NetError> {
        let script = format!("table ip {table}\ndelete table ip {table}\n");
        run(format!("remove the packet filter table {table}"), script).await
    }
}

/// Runs a script as one transaction.
pub(crate) async fn run(what: String, script: String) -> Result<(), NetError> {
    if script.is_empty() {
        return Ok(());
    }
    let said = |error: std::io::Error| {
        NetError::firewall(format!("{what} by the nft program (is nftables installed?)"), error)
    };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(said)?;
    let mut stdin = child.stdin.take().expect("the child was given a pipe");
    // A program that ends early says why on its standard error, which is the better message.
    let written = stdin.write_all(script.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(said)?;
    if output.status.success() {
        return written.map_err(said);
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NetError::firewall(what, reason))
}

/// The table without ports, replacing what stands.
fn install_script(rules: &Ruleset) -> String {
    let Ruleset { table, bridge, subnet, .. } = rules;
    let Parts { guard, prerouting, output, input, postrouting, forward } = parts(rules);
    let dnat =
        "    fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @ports_at
    fib daddr type local dnat ip to meta l4proto . th dport map @ports";
    format!(
        r#"table ip {table}
delete table ip {table}
table ip {table} {{
  map ports {{
    type inet_proto . inet_service : ipv4_addr . inet_service
  }}
  map ports_at {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
{guard}  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
{prerouting}{dnat}
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
{output}{dnat}
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
    ip saddr {subnet} oifname != "{bridge}" masquerade
    ip saddr {subnet} oifname "{bridge}" ct status dnat masquerade
{postrouting}  }}
  chain input {{
    type filter hook input priority filter; policy accept;
{input}  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ip daddr {INSIDE} drop
    iifname "{bridge}" oifname "{bridge}" accept
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" ct status dnat accept
{forward}    oifname "{bridge}" drop
  }}
}}
"#
    )
}

/// The rules that depend on the configuration, chain by chain.
#[derive(Default)]
struct Parts {
    guard: String,
    prerouting: String,
    output: String,
    input: String,
    postrouting: String,
    forward: String,
}

fn parts(rules: &Ruleset) -> Parts {
    let mut parts = Parts::default();
    let line = |text: &mut String, rule: String| {
        writeln!(text, "    {rule}").expect("writing to a string");
    };
    let inside = format!("ip daddr {INSIDE} tcp dport {INSIDE_PORT}");
    for bridge in rules.bridges() {
        let from = format!("iifname \"{bridge}\"");
        line(&mut parts.guard, format!("{from} ip daddr 127.0.0.0/8 drop"));
        if rules.block_instance_metadata {
            line(&mut parts.guard, format!("{from} ip daddr {INSTANCE_METADATA} drop"));
        }
        if let Some((address, port)) = rules.inside_for_containers() {
            line(&mut parts.prerouting, format!("{from} {inside} dnat to {address}:{port}"));
        }
    }
    for port in &rules.blocked {
        for bridge in rules.bridges() {
            line(&mut parts.input, format!("iifname \"{bridge}\" tcp dport {port} drop"));
        }
    }
    if let Some(vpc) = rules.vpc {
        let bridge = &rules.bridge;
        line(&mut parts.postrouting, format!("ip saddr {vpc} ip daddr {vpc} accept"));
        let elsewhere = format!("ip saddr {vpc} oifname != \"{bridge}\" masquerade");
        line(&mut parts.postrouting, elsewhere);
        line(&mut parts.forward, format!("oifname \"{bridge}\" ip daddr {vpc} accept"));
    }
    if let Some((address, port)) = rules.inside_for_containers() {
        line(&mut parts.guard, format!("ip daddr {address} tcp dport {port} drop"));
    }
    if let Some(ports) = rules.inside {
        line(&mut parts.output, format!("{inside} dnat to 127.0.0.1:{}", ports.machine));
    }
    parts
}

/// `add` or `delete` of the ports' elements.
fn elements_script(verb: &str, table: &str, ports: &[Published]) -> String {
    let mut script = String::new();
    for port in ports {
        let Published { protocol, host_port, address, .. } = port;
        let (map, at) = match port.host_ip {
            None => ("ports", String::new()),
            Some(ip) => ("ports_at", format!("{ip} . ")),
        };
        writeln!(
            script,
            "{verb} element ip {table} {map} {{ {at}{protocol} . {host_port} : {address} . {} }}",
            port.port
        )
        .expect("writing to a string");
    }
    script
}
