//! A task as a payload has it, and what is attached to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Container, DesiredStatus, RoleCredentials, Volume};
use crate::ecs;

/// A task as a payload has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// Its cluster's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_cluster_arn: Option<String>,
    /// Its definition's family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Its definition's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it should come to.
    pub desired_status: DesiredStatus,
    /// How its containers reach the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<ecs::NetworkMode>,
    /// Its limit, in vCPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Its limit, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// Its containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// Its volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overrides: Option<String>,
    /// `FARGATE` skips the stock agent's own admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<ecs::LaunchType>,
    /// The service it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Its group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whose definition it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_definition_account_id: Option<String>,
    /// Its availability zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its task role's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_credentials: Option<RoleCredentials>,
    /// Its execution role's credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_credentials: Option<RoleCredentials>,
    /// Its network interfaces (`awsvpc`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_network_interfaces: Vec<ElasticNetworkInterface>,
    /// Its volumes from elsewhere.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Its devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<Association>,
    /// Whose processes it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<ecs::PidMode>,
    /// Whose shared memory it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<ecs::IpcMode>,
    /// Its proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_configuration: Option<ProxyConfiguration>,
    /// Whether faults may be injected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_fault_injection: Option<bool>,
    /// What our own agent reads instead of Docker's JSON; the stock agent ignores it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wharf: Option<WharfTask>,
}

/// The task as typed by ECS itself, overrides applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WharfTask {
    /// Its containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub container_definitions: Vec<ecs::ContainerDefinition>,
    /// Its volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<ecs::Volume>,
    /// How its containers reach the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_mode: Option<ecs::NetworkMode>,
    /// Whose processes it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_mode: Option<ecs::PidMode>,
    /// Whose shared memory it sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipc_mode: Option<ecs::IpcMode>,
    /// Its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<ecs::EphemeralStorage>,
    /// The platform that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_platform: Option<ecs::RuntimePlatform>,
    /// The ARN of the role that its programs have, overrides applied. Its credentials are the
    /// task's `roleCredentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_role_arn: Option<String>,
    /// The ARN of the role by which the node pulls, reads secrets and sends logs for it. Its
    /// credentials are the task's `executionRoleCredentials`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_role_arn: Option<String>,
    /// Whether commands may be run in it (ECS Exec).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable_execute_command: bool,
    /// Where it runs, for its metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// The block of addresses that its network interface's is one of: the VPC's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_cidr_block: Option<String>,
    /// Its tags, for its metadata.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<ecs::Tag>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ElasticNetworkInterface {
    /// Its attachment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_arn: Option<String>,
    /// Its id, `eni-…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ec2_id: Option<String>,
    /// Its hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<i64>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv4_addresses: Vec<Ipv4Assignment>,
    /// Its addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<Ipv6Assignment>,
    /// The gateway with the subnet's prefix: `10.0.0.1/24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_gateway_ipv4_address: Option<String>,
    /// The gateway with the subnet's prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_gateway_ipv6_address: Option<String>,
    /// DNS search domains.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domain_name: Vec<String>,
    /// DNS servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domain_name_servers: Vec<String>,
    /// Its own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name: Option<String>,
    /// `default`, `tunnel`, `veth` or `vlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_association_protocol: Option<String>,
    /// For `vlan`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_vlan_properties: Option<VlanProperties>,
}

/// An address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipv4Assignment {
    /// Whether it is the first.
    pub primary: bool,
    /// The address.
    pub private_address: String,
}

/// An address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipv6Assignment {
    /// Whether it is the first.
    pub primary: bool,
    /// The address.
    pub address: String,
}

/// A VLAN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VlanProperties {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan_id: Option<String>,
    /// The interface it is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk_interface_mac_address: Option<String>,
}

/// Something attached to a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attachment {
    /// Its ARN.
    pub attachment_arn: String,
    /// Such as `amazonebs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_type: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachment_properties: Vec<Property>,
}

/// A property of an attachment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A device of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Association {
    /// Its name.
    pub name: String,
    /// `gpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Who has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<EncodedText>,
}

/// Text in an encoding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EncodedText {
    /// The text.
    pub value: String,
    /// `identity` or `base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// A task's proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfiguration {
    /// `APPMESH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// The proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// Its settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}
