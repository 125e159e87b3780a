//! Both ways to the packet filter must make the same table, and take the same ports away. Runs as
//! root in a network namespace of its own.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Firewall, Native, Nft, Published, Ruleset};
use crate::subnet::Subnet;
use crate::types::{InsidePorts, Protocol};

fn rules() -> Ruleset {
    Ruleset {
        table: "both".to_owned(),
        bridge: "wharf0".to_owned(),
        subnet: Subnet::parse("172.30.0.0/16").unwrap(),
        blocked: vec![4747, 22],
        others: vec!["docker0".to_owned()],
        block_instance_metadata: true,
        inside: Some(InsidePorts { bridge: Some(40001), machine: 40002 }),
        vpc: Some(Subnet::parse("172.31.0.0/16").unwrap()),
    }
}

fn port(protocol: Protocol, host_ip: Option<Ipv4Addr>, host_port: u16) -> Published {
    Published { protocol, host_ip, host_port, address: Ipv4Addr::new(172, 30, 1, 2), port: 80 }
}

/// What `nft` sees after installing, publishing and withdrawing.
async fn history(firewall: &impl Firewall) -> Vec<String> {
    let mut seen = Vec::new();
    // A map lists its elements in no order.
    let mut look = || {
        let text = support::sh("nft list table ip both");
        let mut words: Vec<_> = text.split(',').flat_map(|part| part.lines()).collect();
        let elements: BTreeSet<_> =
            words.iter().map(|word| word.trim().replace(['{', '}'], "")).collect();
        words
            .retain(|word| !word.contains(" . ") || word.contains("type") || word.contains("dnat"));
        seen.push(format!("{words:?} {elements:?}"));
    };
    let loopback = Some(Ipv4Addr::LOCALHOST);
    let first = port(Protocol::Tcp, None, 8080);
    firewall.install(&rules(), &BTreeSet::from([first])).await.unwrap();
    look();
    let more = [port(Protocol::Udp, None, 8080), port(Protocol::Tcp, loopback, 9000)];
    firewall.publish(&rules(), &more).await.unwrap();
    look();
    firewall.withdraw(&rules(), &more[1..]).await.unwrap();
    look();
    assert!(firewall.withdraw(&rules(), &more[1..]).await.is_err(), "it is gone already");
    firewall.install(&rules(), &BTreeSet::new()).await.unwrap();
    look();
    firewall.remove("both").await.unwrap();
    firewall.remove("both").await.unwrap();
    seen.push(support::sh("nft list ruleset"));
    seen
}

#[test]
fn netlink_and_the_program_agree() {
    support::on_a_host(|| async {
        if !support::have("nft") {
            eprintln!("skipped: needs the program nft");
            return;
        }
        let native = history(&Native::open().unwrap()).await;
        let program = history(&Nft).await;
        assert_eq!(native.last().map(String::as_str), Some(""));
        for (native, program) in native.iter().zip(&program) {
            assert_eq!(native, program);
        }
    });
}

#[test]
fn many_ports_go_in_one_transaction() {
    support::on_a_host(|| async {
        let native = Native::open().unwrap();
        let all: BTreeSet<_> = (1..=3000).map(|n| port(Protocol::Tcp, None, n)).collect();
        native.install(&rules(), &all).await.unwrap();
        let all: Vec<_> = all.into_iter().collect();
        native.withdraw(&rules(), &all).await.unwrap();
        native.publish(&rules(), &all[..1500]).await.unwrap();
        native.remove("both").await.unwrap();
    });
}
