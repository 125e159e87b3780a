//! `networkConfiguration` and what a task shows of its interface.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html>

use std::collections::BTreeSet;

use aws::Error;
use aws::ecs::{
    AssignPublicIp, Attachment, AwsVpcConfiguration, KeyValuePair, NetworkConfiguration as Wire,
    NetworkInterface,
};
use model::{LaunchType, NetworkConfiguration, Realm, Task, TaskFacts, TaskStatus, Vpc};

use crate::errors::invalid;

/// ECS's limits of an `awsvpcConfiguration`.
const MOST_SUBNETS: usize = 16;
const MOST_GROUPS: usize = 5;

/// Reads a network configuration; one in which nothing is said is none.
///
/// # Errors
/// What ECS refuses whatever the task definition: too many, unknown or no subnets and security groups,
/// and a public address for a task on an instance.
pub(crate) fn read(
    realm: &Realm,
    given: Option<&Wire>,
    launch_type: LaunchType,
) -> Result<Option<NetworkConfiguration>, Error> {
    let Some(given) = given.and_then(|given| given.awsvpc_configuration.as_ref()) else {
        return Ok(None);
    };
    let vpc = Vpc::of(realm);
    let subnets = once(given.subnets.as_deref().unwrap_or_default());
    let groups = once(given.security_groups.as_deref().unwrap_or_default());
    if subnets.is_empty() {
        return Err(invalid("subnets can not be empty."));
    }
    if subnets.len() > MOST_SUBNETS {
        return Err(invalid(format!(
            "subnets can have at most {MOST_SUBNETS} items; {} are given.",
            subnets.len()
        )));
    }
    if groups.len() > MOST_GROUPS {
        return Err(invalid(format!(
            "securityGroups can have at most {MOST_GROUPS} items; {} are given.",
            groups.len()
        )));
    }
    if let Some(unknown) = subnets.iter().find(|id| vpc.subnet(id).is_none()) {
        return Err(invalid(format!(
            "Error retrieving subnet information for [{unknown}]: The subnet ID '{unknown}' does not \
             exist (ErrorCode: InvalidSubnetID.NotFound)"
        )));
    }
    if let Some(unknown) = groups.iter().find(|id| **id != vpc.security_group) {
        return Err(invalid(format!(
            "Error retrieving security group information for [{unknown}]: The security group \
             '{unknown}' does not exist (ErrorCode: InvalidGroup.NotFound)"
        )));
    }
    let public_ip = public_ip(given.assign_public_ip.as_ref(), launch_type)?;
    Ok(Some(NetworkConfiguration { subnets, security_groups: groups, public_ip }))
}

/// Each once, in the order of their first.
fn once(ids: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    ids.iter().filter(|id| seen.insert(id.as_str())).cloned().collect()
}

fn public_ip(given: Option<&AssignPublicIp>, launch_type: LaunchType) -> Result<bool, Error> {
    match (given, launch_type) {
        (None | Some(AssignPublicIp::Disabled), _) => Ok(false),
        (Some(AssignPublicIp::Enabled), LaunchType::Fargate) => Ok(true),
        (Some(AssignPublicIp::Enabled), LaunchType::Ec2 | LaunchType::External) => {
            Err(invalid("Assign public IP is not supported for this launch type."))
        }
        (Some(AssignPublicIp::Unrecognized(other)), _) => {
            Err(invalid(format!("assignPublicIp: \"{other}\" is neither ENABLED nor DISABLED.")))
        }
    }
}

/// A network configuration as a service and its deployments show it.
pub(crate) fn show(configuration: &NetworkConfiguration) -> Wire {
    let public = configuration.public_ip;
    Wire {
        awsvpc_configuration: Some(AwsVpcConfiguration {
            subnets: Some(configuration.subnets.clone()),
            security_groups: Some(configuration.security_groups.clone()),
            assign_public_ip: Some(if public {
                AssignPublicIp::Enabled
            } else {
                AssignPublicIp::Disabled
            }),
        }),
    }
}

/// The security groups of a task's interface: the VPC's own unless others are named.
pub(crate) fn groups(realm: &Realm, facts: &TaskFacts) -> Vec<String> {
    let named = facts.network.as_ref().map(|network| &network.configuration.security_groups);
    match named.filter(|groups| !groups.is_empty()) {
        Some(groups) => groups.clone(),
        None => vec![Vpc::of(realm).security_group],
    }
}

/// What is attached to a task: its interface.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attachment.html>
pub(crate) fn attachments(realm: &Realm, task: &Task) -> Vec<Attachment> {
    let Some(interface) = task.facts.interface() else { return Vec::new() };
    let status = match task.progress.status {
        TaskStatus::Provisioning => "PRECREATED",
        TaskStatus::Pending => "ATTACHING",
        TaskStatus::Activating
        | TaskStatus::Running
        | TaskStatus::Deactivating
        | TaskStatus::Stopping => "ATTACHED",
        TaskStatus::Deprovisioning => "DETACHING",
        TaskStatus::Stopped => "DELETED",
    };
    let details = [
        ("subnetId", interface.subnet.clone()),
        ("networkInterfaceId", interface.id.clone()),
        ("macAddress", interface.mac()),
        ("privateDnsName", interface.dns_name(realm)),
        ("privateIPv4Address", interface.address.to_string()),
    ];
    let pair = |(name, value): (&str, String)| KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(value),
    };
    vec![Attachment {
        id: Some(interface.attachment.clone()),
        r#type: Some("ElasticNetworkInterface".to_owned()),
        status: Some(status.to_owned()),
        details: Some(details.into_iter().map(pair).collect()),
    }]
}

/// The interface as each of the task's containers shows it.
pub(crate) fn interfaces(facts: &TaskFacts) -> Vec<NetworkInterface> {
    let interface = facts.interface().map(|interface| NetworkInterface {
        attachment_id: Some(interface.attachment.clone()),
        private_ipv4_address: Some(interface.address.to_string()),
        ..Default::default()
    });
    interface.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn realm() -> Realm {
        Realm::new("us-east-1", "123456789012")
    }

    fn asked(
        given: serde_json::Value,
        launch_type: LaunchType,
    ) -> Result<Option<NetworkConfiguration>, Error> {
        let wire: Wire = serde_json::from_value(json!({ "awsvpcConfiguration": given })).unwrap();
        read(&realm(), Some(&wire), launch_type)
    }

    #[test]
    fn what_is_read_is_shown_again() {
        let vpc = Vpc::of(&realm());
        let (a, b) = (&vpc.subnets[0].id, &vpc.subnets[1].id);
        let given = json!({"subnets": [b, a, b], "securityGroups": [vpc.security_group]});
        let read = asked(given, LaunchType::Ec2).unwrap().unwrap();
        assert_eq!(read.subnets, [b.clone(), a.clone()], "each once, in their order");
        let shown = show(&read).awsvpc_configuration.unwrap();
        assert_eq!(shown.subnets.unwrap(), [b.clone(), a.clone()]);
        assert_eq!(shown.security_groups.unwrap(), [vpc.security_group]);
        assert_eq!(shown.assign_public_ip, Some(AssignPublicIp::Disabled));
        assert_eq!(super::read(&realm(), Some(&Wire::default()), LaunchType::Ec2).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let subnet = Vpc::of(&realm()).subnets[0].id.clone();
        let many = |n: usize| (0..n).map(|n| format!("x-{n}")).collect::<Vec<_>>();
        for (given, words) in [
            (json!({}), "subnets can not be empty."),
            (json!({"subnets": many(17)}), "at most 16"),
            (json!({"subnets": [subnet], "securityGroups": many(6)}), "at most 5"),
            (json!({"subnets": [subnet, "subnet-1"]}), "The subnet ID 'subnet-1' does not exist"),
            (
                json!({"subnets": [subnet], "securityGroups": ["sg-1"]}),
                "group 'sg-1' does not exist",
            ),
            (
                json!({"subnets": [subnet], "assignPublicIp": "ENABLED"}),
                "not supported for this launch",
            ),
            (
                json!({"subnets": [subnet], "assignPublicIp": "MAYBE"}),
                "neither ENABLED nor DISABLED",
            ),
        ] {
            let error = asked(given, LaunchType::Ec2).unwrap_err();
            assert!(error.message.contains(words), "{words}: {}", error.message);
            assert_eq!(error.code, "InvalidParameterException");
        }
    }
}
