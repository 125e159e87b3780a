//! `loadBalancers` of a service: where its tasks become targets.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LoadBalancer.html>

use std::time::Duration;

use aws::Error;
use aws::ecs::LoadBalancer;
use model::{BalancingResource, Realm, ServiceTarget};

use crate::errors::invalid;
use crate::refuse::PARAMETER;
use crate::view;

/// The role by which ECS itself registers targets, as AWS shows it of a service behind a balancer.
const LINKED_ROLE: &str = "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS";

/// Reads `loadBalancers`; absent is none.
pub(crate) fn read(
    realm: &Realm,
    given: Option<&Vec<LoadBalancer>>,
) -> Result<Option<Vec<ServiceTarget>>, Error> {
    let read = |(at, given)| one(realm, at, given);
    given.map(|list| list.iter().enumerate().map(read).collect()).transpose()
}

fn one(realm: &Realm, at: usize, given: &LoadBalancer) -> Result<ServiceTarget, Error> {
    let member = |name: &str| format!("loadBalancers[{at}].{name}");
    let name = given.load_balancer_name.as_ref();
    PARAMETER.text(&member("loadBalancerName"), name, "Classic Load Balancers are")?;
    let blue_green = given.advanced_configuration.as_ref();
    PARAMETER.said(&member("advancedConfiguration"), blue_green, "blue/green deployments are")?;
    let Some(arn) = given.target_group_arn.as_deref().filter(|arn| !arn.is_empty()) else {
        return Err(invalid(format!("{} can not be blank.", member("targetGroupArn"))));
    };
    let Some(BalancingResource::Group(group)) = realm.parse_balancing(arn) else {
        return Err(invalid(format!(
            "{}: {arn} is not the ARN of a target group of this account and region.",
            member("targetGroupArn")
        )));
    };
    let Some(container) = given.container_name.as_deref().filter(|name| !name.is_empty()) else {
        return Err(invalid("Container name can not be blank."));
    };
    let port = given.container_port.and_then(|port| u16::try_from(port).ok());
    let Some(container_port) = port.filter(|port| *port != 0) else {
        return Err(invalid(format!("{}: it is from 1 to 65535.", member("containerPort"))));
    };
    Ok(ServiceTarget { group, container: container.into(), container_port })
}

/// Reads `healthCheckGracePeriodSeconds`.
pub(crate) fn read_grace(given: Option<i32>) -> Result<Option<Duration>, Error> {
    let negative = || invalid("healthCheckGracePeriodSeconds: it can not be negative.");
    let seconds =
        given.map(|seconds| u64::try_from(seconds).map_err(|_| negative())).transpose()?;
    Ok(seconds.map(Duration::from_secs))
}

/// The targets as they are described.
pub(crate) fn view(realm: &Realm, targets: &[ServiceTarget]) -> Vec<LoadBalancer> {
    let one = |target: &ServiceTarget| LoadBalancer {
        target_group_arn: Some(realm.group(&target.group)),
        container_name: Some(target.container.to_string()),
        container_port: Some(i32::from(target.container_port)),
        ..LoadBalancer::default()
    };
    targets.iter().map(one).collect()
}

/// `healthCheckGracePeriodSeconds` as it is described: AWS tells it of services behind a balancer, and
/// where it was asked for.
pub(crate) fn grace(given: Option<Duration>, targets: &[ServiceTarget]) -> Option<i32> {
    let seconds = given.map(|grace| view::count(grace.as_secs()));
    seconds.or_else(|| (!targets.is_empty()).then_some(0))
}

/// `roleArn`: of a service behind a balancer only.
pub(crate) fn role(realm: &Realm, targets: &[ServiceTarget]) -> Option<String> {
    let Realm { partition, account, .. } = realm;
    (!targets.is_empty()).then(|| format!("arn:{partition}:iam::{account}:{LINKED_ROLE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/73e2d6bc24d8a067";

    fn given() -> LoadBalancer {
        LoadBalancer {
            target_group_arn: Some(ARN.to_owned()),
            container_name: Some("app".to_owned()),
            container_port: Some(80),
            ..LoadBalancer::default()
        }
    }

    #[test]
    fn what_is_read_is_shown_as_it_came() {
        let realm = Realm::new("eu-west-1", "123456789012");
        assert_eq!(read(&realm, None).unwrap(), None);
        assert_eq!(read(&realm, Some(&Vec::new())).unwrap(), Some(Vec::new()));
        let read = read(&realm, Some(&vec![given()])).unwrap().unwrap();
        assert_eq!(view(&realm, &read), [given()]);
    }

    #[test]
    fn what_is_no_target_is_refused_by_name() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let text = |text: &str| Some(text.to_owned());
        for (given, says) in [
            (
                LoadBalancer { load_balancer_name: text("old"), ..given() },
                "loadBalancerName: Classic",
            ),
            (LoadBalancer { target_group_arn: None, ..given() }, "targetGroupArn can not be blank"),
            (LoadBalancer { target_group_arn: text("x"), ..given() }, "x is not the ARN"),
            (
                LoadBalancer { target_group_arn: Some(ARN.replace("west-1", "west-2")), ..given() },
                "of this account and region",
            ),
            (LoadBalancer { container_name: None, ..given() }, "Container name can not be blank."),
            (LoadBalancer { container_port: Some(0), ..given() }, "from 1 to 65535"),
            (LoadBalancer { container_port: None, ..given() }, "from 1 to 65535"),
            (
                LoadBalancer {
                    advanced_configuration: Some(aws::ecs::AdvancedConfiguration {
                        role_arn: text("r"),
                        ..Default::default()
                    }),
                    ..given()
                },
                "advancedConfiguration: blue/green",
            ),
        ] {
            let error = read(&realm, Some(&vec![given])).unwrap_err();
            assert_eq!(error.code, "InvalidParameterException");
            assert!(error.message.contains(says), "{error}");
        }
        assert!(read_grace(Some(-1)).is_err());
        assert_eq!(read_grace(Some(0)).unwrap(), Some(Duration::ZERO));
    }
}
