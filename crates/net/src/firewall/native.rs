//! The packet filter by netlink: one socket, kept open.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use nlink::netlink::nftables::{
    BaseChain, Chain, CtState, CtStatus, Expr, Family, FibFlags, FilterHook, LookupExpr, MetaKey,
    NFT_MSG_NEWTABLE, NFTA_NAT_FAMILY, NFTA_NAT_FLAGS, NFTA_NAT_REG_ADDR_MAX,
    NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MAX, NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_TYPE,
    NFTA_TABLE_NAME, NatHook, PayloadBase, Policy, Priority, RawExpr, RawMessage, Register, Rule,
    Set, SetDataType, SetElement, SetKeyType, Transaction,
};
use nlink::netlink::types::route::RouteType;
use nlink::netlink::{Connection, Nftables};

use super::{Firewall, INSIDE, INSIDE_PORT, INSTANCE_METADATA, Published, Ruleset};
use crate::error::NetError;

/// `NLM_F_CREATE`: make it unless it is there.
const CREATE: u16 = 0x400;
/// Elements that go into one message; attributes are limited to 64 KiB.
const ELEMENTS: usize = 500;
/// The maps' names: ports of every local address, and ports of one.
const PORTS: &str = "ports";
const PORTS_AT: &str = "ports_at";

/// The open socket.
pub(crate) struct Native {
    connection: Connection<Nftables>,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Native")
    }
}

impl Native {
    /// Opens the socket, in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, NetError> {
        let connection = Connection::<Nftables>::new()
            .map_err(|error| NetError::firewall("open an nftables socket", error))?;
        Ok(Self { connection })
    }

    async fn commit(&self, what: String, transaction: Transaction) -> Result<(), NetError> {
        transaction.commit(&self.connection).await.map_err(|error| NetError::firewall(what, error))
    }
}

impl Firewall for Native {
    async fn install(&self, rules: &Ruleset, ports: &BTreeSet<Published>) -> Result<(), NetError> {
        let table = rules.table.as_str();
        let chains = chains(table)
            .map_err(|error| NetError::firewall(format!("name the chains of {table}"), error))?;
        // Made (unless there), deleted with all its contents, and made afresh: one transaction, so
        // no packet meets a moment without rules.
        let mut batch = self
            .connection
            .transaction()
            .raw(ensure_table(table))
            .del_table(table, Family::Ip)
            .add_table(table, Family::Ip)
            .add_set(ports_map(table))
            .add_set(ports_at_map(table));
        for chain in chains {
            batch = batch.add_chain(chain);
        }
        for rule in fixed_rules(rules) {
            batch = batch.add_rule(rule);
        }
        let ports: Vec<_> = ports.iter().copied().collect();
        batch = with_elements(batch, table, &ports, Transaction::add_set_elements);
        self.commit(format!("install the packet filter table {table}"), batch).await
    }

    async fn publish(&self, rules: &Ruleset, ports: &[Published]) -> Result<(), NetError> {
        let table = rules.table.as_str();
        let batch = self.connection.transaction();
        let batch = with_elements(batch, table, ports, Transaction::add_set_elements);
        self.commit(format!("publish ports in table {table}"), batch).await
    }

    async fn withdraw(&self, rules: &Ruleset, ports: &[Published]) -> Result<(), NetError> {
        let table = rules.table.as_str();
        let batch = self.connection.transaction();
        let batch = with_elements(batch, table, ports, Transaction::del_set_elements);
        self.commit(format!("withdraw ports in table {table}"), batch).await
    }

    async fn remove(&self, table: &str) -> Result<(), NetError> {
        let batch =
            self.connection.transaction().raw(ensure_table(table)).del_table(table, Family::Ip);
        self.commit(format!("remove the packet filter table {table}"), batch).await
    }
}

/// Adds or removes the elements of `ports` in both maps.
fn with_elements(
    mut batch: Transaction,
    table: &str,
    ports: &[Published],
    change: fn(Transaction, &Set, &[SetElement]) -> Transaction,
) -> Transaction {
    let (mut any, mut at) = (Vec::new(), Vec::new());
    for port in ports {
        let key =
            [SetElement::inet_proto(port.protocol.number()), SetElement::port(port.host_port)];
        let to = SetElement::concat([SetElement::ipv4(port.address), SetElement::port(port.port)]);
        match port.host_ip {
            None => any.push(SetElement::concat(key).value(to)),
            Some(ip) => {
                at.push(SetElement::concat([SetElement::ipv4(ip)].into_iter().chain(key)).value(to))
            }
        }
    }
    for (map, elements) in [(ports_map(table), any), (ports_at_map(table), at)] {
        for chunk in elements.chunks(ELEMENTS) {
            batch = change(batch, &map, chunk);
        }
    }
    batch
}

fn ports_map(table: &str) -> Set {
    map(table, PORTS, vec![SetKeyType::InetProto, SetKeyType::InetService])
}

fn ports_at_map(table: &str) -> Set {
    let key = vec![SetKeyType::Ipv4Addr, SetKeyType::InetProto, SetKeyType::InetService];
    map(table, PORTS_AT, key)
}

fn map(table: &str, name: &str, key: Vec<SetKeyType>) -> Set {
    let to = SetKeyType::Concat(vec![SetKeyType::Ipv4Addr, SetKeyType::InetService]);
    Set::new(table, name)
        .family(Family::Ip)
        .key_type(SetKeyType::Concat(key))
        .map(SetDataType::Value(to))
}

fn chains(table: &str) -> nlink::Result<Vec<Chain>> {
    // nft's `dstnat` of the output hook: the number it gives local DNAT.
    let local_dnat = Priority::Custom(-100);
    let bases = [
        ("guard", BaseChain::filter(FilterHook::Prerouting, Priority::Raw)),
        ("prerouting", BaseChain::nat(NatHook::Prerouting, Priority::DstNat)),
        ("output", BaseChain::nat(NatHook::Output, local_dnat)),
        ("postrouting", BaseChain::nat(NatHook::Postrouting, Priority::SrcNat)),
        ("input", BaseChain::filter(FilterHook::Input, Priority::Filter)),
        ("forward", BaseChain::filter(FilterHook::Forward, Priority::Filter)),
    ];
    bases
        .into_iter()
        .map(|(name, base)| {
            let chain = Chain::new(table, name)?.family(Family::Ip);
            Ok(chain.base(base.policy(Policy::Accept)))
        })
        .collect()
}

fn fixed_rules(rules: &Ruleset) -> Vec<Rule> {
    let bridge = rules.bridge.as_str();
    let rule = |chain: &str| Rule::new(&rules.table, chain).family(Family::Ip);
    let (net, prefix) = (rules.subnet.network(), rules.subnet.prefix());
    let mut all = guard_rules(rules);
    all.extend(inside_rules(rules));
    for chain in ["prerouting", "output"] {
        let local = || rule(chain).match_fib_type(FibFlags::DADDR, RouteType::Local);
        all.push(dnat_by(local(), PORTS_AT));
        all.push(dnat_by(local(), PORTS));
    }
    all.extend([
        rule("postrouting")
            .match_saddr_v4(Ipv4Addr::new(127, 0, 0, 0), 8)
            .match_oif(bridge)
            .masquerade(),
        rule("postrouting").match_saddr_v4(net, prefix).match_oif_not(bridge).masquerade(),
        rule("postrouting")
            .match_saddr_v4(net, prefix)
            .match_oif(bridge)
            .match_ct_status(CtStatus::DST_NAT)
            .masquerade(),
    ]);
    if let Some(vpc) = rules.vpc {
        let (net, prefix) = (vpc.network(), vpc.prefix());
        let from = || rule("postrouting").match_saddr_v4(net, prefix);
        all.push(from().match_daddr_v4(net, prefix).accept());
        all.push(from().match_oif_not(bridge).masquerade());
    }
    for port in &rules.blocked {
        for bridge in rules.bridges() {
            all.push(rule("input").match_iif(bridge).match_tcp_dport(*port).drop());
        }
    }
    all.extend([
        rule("forward").match_daddr_v4(INSIDE, 32).drop(),
        rule("forward").match_iif(bridge).match_oif(bridge).accept(),
        rule("forward")
            .match_oif(bridge)
            .match_ct_state(CtState::ESTABLISHED | CtState::RELATED)
            .accept(),
        rule("forward").match_oif(bridge).match_ct_status(CtStatus::DST_NAT).accept(),
    ]);
    if let Some(vpc) = rules.vpc {
        let to = rule("forward").match_oif(bridge);
        all.push(to.match_daddr_v4(vpc.network(), vpc.prefix()).accept());
    }
    all.push(rule("forward").match_oif(bridge).drop());
    all
}

/// What containers never reach, whatever it would be turned into later.
fn guard_rules(rules: &Ruleset) -> Vec<Rule> {
    let rule = || Rule::new(&rules.table, "guard").family(Family::Ip);
    let mut all = Vec::new();
    for bridge in rules.bridges() {
        let from = || rule().match_iif(bridge);
        all.push(from().match_daddr_v4(Ipv4Addr::new(127, 0, 0, 0), 8).drop());
        if rules.block_instance_metadata {
            all.push(from().match_daddr_v4(INSTANCE_METADATA, 32).drop());
        }
    }
    if let Some((address, port)) = rules.inside_for_containers() {
        all.push(rule().match_daddr_v4(address, 32).match_tcp_dport(port).drop());
    }
    all
}

/// What leads 169.254.170.2 to the endpoints.
fn inside_rules(rules: &Ruleset) -> Vec<Rule> {
    let to_inside = |rule: Rule| rule.match_daddr_v4(INSIDE, 32).match_tcp_dport(INSIDE_PORT);
    let rule = |chain: &str| Rule::new(&rules.table, chain).family(Family::Ip);
    let mut all = Vec::new();
    if let Some((address, port)) = rules.inside_for_containers() {
        for bridge in rules.bridges() {
            let from = rule("prerouting").match_iif(bridge);
            all.push(to_inside(from).dnat(address, Some(port)));
        }
    }
    if let Some(inside) = rules.inside {
        let to = Ipv4Addr::LOCALHOST;
        all.push(to_inside(rule("output")).dnat(to, Some(inside.machine)));
    }
    all
}

/// `dnat to <key> map @<map>`. The key's fields go to consecutive 4-byte registers, and so do the
/// two fields of the value that the lookup finds.
fn dnat_by(rule: Rule, map: &str) -> Rule {
    let protocol = |dreg| Expr::Meta { dreg, key: MetaKey::L4Proto };
    // The destination port stands at the same place in TCP and UDP.
    let port = |dreg| Expr::Payload { dreg, base: PayloadBase::Transport, offset: 2, len: 2 };
    let rule = if map == PORTS_AT {
        rule.expr(Expr::Payload {
            dreg: Register::R0,
            base: PayloadBase::Network,
            offset: 16,
            len: 4,
        })
        .expr(protocol(Register::Reg32_01))
        .expr(port(Register::Reg32_02))
    } else {
        rule.expr(protocol(Register::R0)).expr(port(Register::Reg32_01))
    };
    rule.expr(LookupExpr::new(map, Register::R0).dreg(Register::R0)).expr(dnat_to_registers())
}

/// `dnat` to the address in the first data register and the port in the word after it. Written out,
/// because the crate's own form takes the port from another register than a map's value is in.
fn dnat_to_registers() -> RawExpr {
    const DNAT: u32 = 1;
    const IPV4: u32 = 2;
    const ADDRESS_AND_PORT: u32 = 3;
    let attributes = [
        (NFTA_NAT_TYPE, DNAT),
        (NFTA_NAT_FAMILY, IPV4),
        (NFTA_NAT_REG_ADDR_MIN, Register::R0 as u32),
        (NFTA_NAT_REG_ADDR_MAX, Register::R0 as u32),
        (NFTA_NAT_REG_PROTO_MIN, Register::Reg32_01 as u32),
        (NFTA_NAT_REG_PROTO_MAX, Register::Reg32_01 as u32),
        (NFTA_NAT_FLAGS, ADDRESS_AND_PORT),
    ];
    let data = attributes.iter().flat_map(|(kind, value)| attribute(*kind, &value.to_be_bytes()));
    RawExpr::new("nat", data.collect())
}

/// Makes the table unless it is there, which `add_table` would refuse.
fn ensure_table(table: &str) -> RawMessage {
    let mut name = table.as_bytes().to_vec();
    name.push(0);
    RawMessage::new(NFT_MSG_NEWTABLE, Family::Ip)
        .flags(CREATE)
        .attrs(attribute(NFTA_TABLE_NAME, &name))
}

/// One netlink attribute: length, type, value, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).expect("names are checked to be short");
    let mut bytes = Vec::with_capacity(value.len() + 8);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
