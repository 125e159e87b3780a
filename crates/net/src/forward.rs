//! Other firewalls' forwarding chains. A packet must be accepted by every base chain of a hook, so
//! our own table cannot help where another drops by default, as Docker's `FORWARD` does. There, two
//! rules for our bridge are inserted, in the place the firewall's owner documents for it
//! (`DOCKER-USER`) or at the head of the chain, marked with a comment by which they are found again.
//!
//! What comes *into* the bridge is still held to published ports and replies by our own table.

use std::process::Stdio;

use nlink::netlink::nftables::Family;
use nlink::netlink::{Connection, Nftables};
use tokio::process::Command;

use crate::error::NetError;
use crate::firewall::run_script;

/// `NF_INET_FORWARD`.
const HOOK_FORWARD: u32 = 2;
/// `NF_DROP`.
const POLICY_DROP: u32 = 0;

/// The comment on rules in other tables.
fn tag(table: &str) -> String {
    format!("wharf:{table}")
}

/// Makes sure that forwarded traffic of `bridge` passes every other firewall that is found.
pub(crate) async fn admit(table: &str, bridge: &str) -> Result<(), NetError> {
    let tag = tag(table);
    let by_iptables = match iptables_listing().await {
        Some(listing) => {
            for arguments in iptables_plan(&listing, bridge, &tag) {
                iptables(&arguments).await?;
            }
            true
        }
        None => false,
    };
    let connection = connect()?;
    for chain in dropping_chains(&connection, table, by_iptables).await? {
        let rules = connection.list_rules(&chain.table, chain.family).await.map_err(listing)?;
        let known = |rule: &nlink::netlink::nftables::RuleInfo| {
            rule.chain == chain.name && rule.comment_text.as_deref() == Some(tag.as_str())
        };
        if rules.iter().any(known) {
            continue;
        }
        let at = format!("{} {} {}", chain.family.name(), chain.table, chain.name);
        let script: String = ["iifname", "oifname"]
            .map(|side| format!("insert rule {at} {side} \"{bridge}\" accept comment \"{tag}\"\n"))
            .concat();
        run_script(format!("let bridge {bridge} pass the chain {at}"), script).await?;
    }
    Ok(())
}

/// Removes what [`admit`] inserted, wherever it is found.
pub(crate) async fn withdraw(table: &str) -> Result<(), NetError> {
    let tag = tag(table);
    if let Some(listing) = iptables_listing().await {
        for arguments in iptables_removals(&listing, &tag) {
            iptables(&arguments).await?;
        }
    }
    let connection = connect()?;
    for family in [Family::Ip, Family::Inet] {
        for other in connection.list_tables_in(family).await.map_err(listing)? {
            let rules = connection.list_rules(&other.name, family).await.map_err(listing)?;
            for rule in rules {
                if rule.comment_text.as_deref() == Some(tag.as_str()) {
                    connection
                        .del_rule_if_exists(&rule.table, &rule.chain, family, rule.handle)
                        .await
                        .map_err(|error| {
                            NetError::firewall(format!("remove the rule {tag}"), error)
                        })?;
                }
            }
        }
    }
    Ok(())
}

fn connect() -> Result<Connection<Nftables>, NetError> {
    Connection::<Nftables>::new()
        .map_err(|error| NetError::firewall("open an nftables socket", error))
}

fn listing(error: nlink::Error) -> NetError {
    NetError::firewall("list the packet filter's rules", error)
}

struct DroppingChain {
    family: Family,
    table: String,
    name: String,
}

async fn dropping_chains(
    connection: &Connection<Nftables>,
    own: &str,
    by_iptables: bool,
) -> Result<Vec<DroppingChain>, NetError> {
    let chains = connection.list_chains().await.map_err(listing)?;
    let ours = |family: Family, table: &str| family == Family::Ip && table == own;
    let iptables =
        |family: Family, table: &str| by_iptables && family == Family::Ip && table == "filter";
    Ok(chains
        .into_iter()
        .filter(|chain| {
            matches!(chain.family, Family::Ip | Family::Inet)
                && chain.hook == Some(HOOK_FORWARD)
                && chain.policy == Some(POLICY_DROP)
                && !ours(chain.family, &chain.table)
                && !iptables(chain.family, &chain.table)
        })
        .map(|chain| DroppingChain { family: chain.family, table: chain.table, name: chain.name })
        .collect())
}

/// `iptables -S`, where there is anything in its filter table. Asking where there is nothing would
/// load the module and make the table.
async fn iptables_listing() -> Option<String> {
    let legacy = std::fs::read_to_string("/proc/net/ip_tables_names")
        .is_ok_and(|names| names.lines().any(|name| name == "filter"));
    let nft = match connect() {
        Ok(connection) => connection
            .list_tables_in(Family::Ip)
            .await
            .is_ok_and(|tables| tables.iter().any(|table| table.name == "filter")),
        Err(_) => false,
    };
    if !legacy && !nft {
        return None;
    }
    let output = Command::new("iptables")
        .args(["-w", "5", "-S"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    // Without the program, or where it cannot read a table that is not its own, the rules are
    // looked at as plain nftables.
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn iptables(arguments: &[String]) -> Result<(), NetError> {
    let what = || format!("run iptables {}", arguments.join(" "));
    let output = Command::new("iptables")
        .args(["-w", "5"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| NetError::firewall(what(), error))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NetError::firewall(what(), reason))
}

/// The commands that let `bridge` pass, given `iptables -S`: none where `FORWARD` accepts
/// everything or the rules stand already.
fn iptables_plan(listing: &str, bridge: &str, tag: &str) -> Vec<Vec<String>> {
    let has = |line: &str| listing.lines().any(|found| found.trim() == line);
    let rules_in_forward = listing.lines().any(|line| line.starts_with("-A FORWARD "));
    if has("-P FORWARD ACCEPT") && !rules_in_forward {
        return Vec::new();
    }
    let chain = if has("-N DOCKER-USER") && has("-A FORWARD -j DOCKER-USER") {
        "DOCKER-USER"
    } else {
        "FORWARD"
    };
    ["-i", "-o"]
        .into_iter()
        .filter(|side| {
            let words = [side, bridge, "--comment", tag];
            !listing.lines().any(|line| {
                let found: Vec<_> = line.split_whitespace().map(unquoted).collect();
                found.get(1) == Some(&chain) && words.iter().all(|word| found.contains(word))
            })
        })
        .map(|side| {
            let words =
                ["-I", chain, side, bridge, "-m", "comment", "--comment", tag, "-j", "ACCEPT"];
            words.map(str::to_owned).to_vec()
        })
        .collect()
}

/// The commands that remove every rule with our comment, given `iptables -S`.
fn iptables_removals(listing: &str, tag: &str) -> Vec<Vec<String>> {
    listing
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().map(unquoted).collect();
            let ours = words.windows(2).any(|pair| pair == ["--comment", tag]);
            let rule = words.strip_prefix(&["-A"])?;
            ours.then(|| {
                std::iter::once("-D").chain(rule.iter().copied()).map(str::to_owned).collect()
            })
        })
        .collect()
}

fn unquoted(word: &str) -> &str {
    word.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = "-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER
-N DOCKER-USER
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-USER -j RETURN
";

    fn plan(listing: &str) -> Vec<String> {
        iptables_plan(listing, "wharf0", "wharf:w").iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn rules_go_where_the_firewall_wants_them() {
        assert_eq!(
            plan(DOCKER),
            [
                "-I DOCKER-USER -i wharf0 -m comment --comment wharf:w -j ACCEPT",
                "-I DOCKER-USER -o wharf0 -m comment --comment wharf:w -j ACCEPT",
            ]
        );
        assert!(plan("-P FORWARD DROP\n")[0].starts_with("-I FORWARD -i wharf0 "));
        let rejecting = "-P FORWARD ACCEPT\n-A FORWARD -j REJECT\n";
        assert!(plan(rejecting)[0].starts_with("-I FORWARD -i wharf0 "));
        assert!(plan("-P INPUT DROP\n-P FORWARD ACCEPT\n").is_empty());
    }

    #[test]
    fn what_stands_is_not_added_again_and_is_found_for_removal() {
        let listing = format!(
            "{DOCKER}-A DOCKER-USER -i wharf0 -m comment --comment \"wharf:w\" -j ACCEPT\n\
             -A DOCKER-USER -o wharf0 -m comment --comment wharf:w2 -j ACCEPT\n"
        );
        let planned = plan(&listing);
        assert_eq!(planned.len(), 1);
        assert!(planned[0].starts_with("-I DOCKER-USER -o wharf0 "));
        let removals: Vec<_> =
            iptables_removals(&listing, "wharf:w").iter().map(|words| words.join(" ")).collect();
        assert_eq!(
            removals,
            ["-D DOCKER-USER -i wharf0 -m comment --comment wharf:w -j ACCEPT"],
            "another data folder's rules stay"
        );
    }
}
