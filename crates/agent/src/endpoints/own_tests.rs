//! What a task with an interface of its own is told, and whom it is told to.

use std::net::Ipv4Addr;

use serde_json::json;

use super::directory::Asker;
use super::documents::{ContainerDocument, Version};
use super::tests::{container, task};
use super::*;

#[test]
fn an_interface_of_the_tasks_own_is_told_in_version_4() {
    let directory = Directory::new([7; 32]);
    let interface = crate::order::Interface {
        address: Ipv4Addr::new(172, 31, 16, 9),
        mac: [2, 87, 172, 31, 16, 9],
        dns_name: "ip-172-31-16-9.ec2.internal".to_owned(),
        router: (Ipv4Addr::new(172, 31, 16, 1), 20),
        vpc: (Ipv4Addr::new(172, 31, 0, 0), 16),
    };
    let shared = ContainerMeta { address: Some(interface.address), ..container() };
    let task = TaskMeta {
        network: TaskNetwork::Own,
        interface: Some(interface),
        containers: vec![shared],
        ..task()
    };
    let told = |version| {
        let document = ContainerDocument::new(&task, &task.containers[0], version, &directory);
        serde_json::to_value(document).unwrap()["Networks"][0].clone()
    };
    let plain = json!({"NetworkMode": "awsvpc", "IPv4Addresses": ["172.31.16.9"]});
    assert_eq!(told(Version::V3), plain);
    let mut whole = plain;
    whole["AttachmentIndex"] = json!(0);
    whole["MACAddress"] = json!("02:57:ac:1f:10:09");
    whole["IPv4SubnetCIDRBlock"] = json!("172.31.16.0/20");
    whole["PrivateDNSName"] = json!("ip-172-31-16-9.ec2.internal");
    whole["SubnetGatewayIpv4Address"] = json!("172.31.16.1/20");
    assert_eq!(told(Version::V4), whole);
    directory.put_task(task.clone());
    let id = directory.endpoint_id(&task.containers[0].id);
    let own = Asker::Container(Ipv4Addr::new(172, 31, 16, 9));
    assert!(directory.find(&id, own).is_some());
    let other = Asker::Container(Ipv4Addr::new(172, 31, 16, 10));
    assert!(directory.find(&id, other).is_none() && directory.find(&id, Asker::Machine).is_none());
}
