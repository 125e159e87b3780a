//! A task as the server ordered it: kept as it came, so that a restarted agent plans it again.

use std::net::Ipv4Addr;

use aws::agent::acs;
use aws::ecs;
use serde::{Deserialize, Serialize};

/// What the server wants run, with overrides merged in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// The task's ARN.
    pub arn: String,
    /// The cluster, as the payload names it.
    pub cluster: String,
    /// The task definition's family.
    pub family: String,
    /// The task definition's revision.
    pub version: String,
    /// Limit of the whole task, in vCPUs.
    pub cpu: Option<f64>,
    /// Limit of the whole task, in MiB.
    pub memory: Option<i64>,
    /// The network of its containers; `bridge` if absent.
    pub network_mode: Option<ecs::NetworkMode>,
    /// Its network interface, in the network mode `awsvpc`.
    pub interface: Option<Interface>,
    /// Whose process ids it sees.
    pub pid_mode: Option<ecs::PidMode>,
    /// Whose System V IPC it sees.
    pub ipc_mode: Option<ecs::IpcMode>,
    /// What its mount points refer to.
    pub volumes: Vec<ecs::Volume>,
    /// Its containers, in the order of the task definition.
    pub containers: Vec<ecs::ContainerDefinition>,
    /// Each container's ARN, in the same order; empty where the server names none.
    pub container_arns: Vec<String>,
    /// The service it belongs to.
    pub service: Option<String>,
    /// Its launch type's name.
    pub launch_type: Option<String>,
    /// Where the instance is.
    pub zone: Option<String>,
    /// Devices that are its own.
    pub associations: Vec<acs::Association>,
    /// Whether ExecuteCommand may be used on it.
    pub exec: bool,
    /// What its programs may do.
    pub task_role: Option<Role>,
    /// What the node may do for it.
    pub execution_role: Option<Role>,
}

/// The network interface that is a task's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its name in the VPC's DNS, which is the host name of the task's containers.
    pub dns_name: String,
    /// Its subnet's router, with the length of the subnet's prefix.
    pub router: (Ipv4Addr, u8),
    /// The VPC's first address, and the length of its prefix.
    pub vpc: (Ipv4Addr, u8),
}

impl Interface {
    /// The interface of a payload's task, if it has one.
    ///
    /// # Errors
    /// What of it cannot be understood.
    pub(crate) fn read(
        enis: &[acs::ElasticNetworkInterface],
        vpc: Option<&str>,
    ) -> Result<Option<Self>, String> {
        let Some(eni) = enis.first() else { return Ok(None) };
        let lacks =
            |what: &str| format!("ResourceInitializationError: the interface has no {what}");
        let first = eni.ipv4_addresses.iter().find(|a| a.primary).or(eni.ipv4_addresses.first());
        let address = first.and_then(|a| a.private_address.parse().ok());
        let router = eni.subnet_gateway_ipv4_address.as_deref().and_then(network);
        Ok(Some(Self {
            address: address.ok_or_else(|| lacks("IPv4 address"))?,
            mac: eni.mac_address.as_deref().and_then(mac).ok_or_else(|| lacks("MAC address"))?,
            dns_name: eni.private_dns_name.clone().unwrap_or_default(),
            router: router.ok_or_else(|| lacks("subnet's gateway"))?,
            vpc: vpc.and_then(network).ok_or_else(|| lacks("VPC's block of addresses"))?,
        }))
    }

    /// The hardware address as it is written.
    pub(crate) fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    /// The subnet's block.
    pub(crate) fn subnet(&self) -> String {
        let (router, prefix) = self.router;
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        format!("{}/{prefix}", Ipv4Addr::from(u32::from(router) & mask))
    }
}

/// Reads `10.0.0.1/24`.
fn network(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?))
}

/// Reads `02:57:0a:00:00:01`.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
    let mut mac = [0; 6];
    for byte in &mut mac {
        *byte = bytes.next()??;
    }
    bytes.next().is_none().then_some(mac)
}

/// A role of a task. Its credentials are kept in memory alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// What its credentials are known by, whichever are the newest.
    pub credentials_id: String,
    /// The role.
    pub arn: String,
}

impl From<&acs::RoleCredentials> for Role {
    fn from(credentials: &acs::RoleCredentials) -> Self {
        Self {
            credentials_id: credentials.credentials_id.clone(),
            arn: credentials.role_arn.clone(),
        }
    }
}

impl Order {
    /// Whether it runs on Fargate's capacity: kept apart from the node, and of any cluster.
    pub fn on_fargate(&self) -> bool {
        self.launch_type.as_deref() == Some("FARGATE")
    }

    /// The last part of the ARN: the task's id.
    pub fn task_id(&self) -> &str {
        task_id(&self.arn)
    }
}

/// The last part of a task's ARN.
pub fn task_id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
