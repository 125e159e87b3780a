//! `loadBalancers` of a service: where its tasks become targets.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_LoadBalancer.html>

use std::time::Duration;

use aws::Error;
use aws::ecs::{AdvancedConfiguration, LoadBalancer};
use model::{AdvancedTarget, BalancingResource, ListenerId, Realm, ServiceTarget, TrafficRule};

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
    let advanced = given.advanced_configuration.as_ref();
    let advanced = advanced
        .filter(|advanced| **advanced != AdvancedConfiguration::default())
        .map(|advanced| self::advanced(realm, at, advanced))
        .transpose()?;
    Ok(ServiceTarget { group, container: container.into(), container_port, advanced })
}

fn advanced(
    realm: &Realm,
    at: usize,
    given: &AdvancedConfiguration,
) -> Result<AdvancedTarget, Error> {
    let member = |name: &str| format!("loadBalancers[{at}].advancedConfiguration.{name}");
    let arn = given.alternate_target_group_arn.as_deref().unwrap_or_default();
    let Some(BalancingResource::Group(alternate)) = realm.parse_balancing(arn) else {
        return Err(invalid(format!(
            "{}: \"{arn}\" is not the ARN of a target group of this account and region.",
            member("alternateTargetGroupArn")
        )));
    };
    let rule = |name: &str, arn: &str| match realm.parse_balancing(arn) {
        Some(BalancingResource::Rule(id)) => Ok(TrafficRule::Rule(id)),
        Some(BalancingResource::Listener(id)) if is_of_network_balancer(&id) => {
            Ok(TrafficRule::Listener(id))
        }
        Some(_) | None => Err(invalid(format!(
            "{}: \"{arn}\" is not the ARN of a listener rule of an Application Load Balancer, nor of a listener of a \
             Network Load Balancer. The rule of a listener's default action is in DescribeRules.",
            member(name)
        ))),
    };
    let production = given.production_listener_rule.as_deref().unwrap_or_default();
    let test = given.test_listener_rule.as_deref().filter(|arn| !arn.is_empty());
    Ok(AdvancedTarget {
        alternate,
        production: rule("productionListenerRule", production)?,
        test: test.map(|arn| rule("testListenerRule", arn)).transpose()?,
        role: given.role_arn.clone(),
    })
}

/// Listeners of network load balancers have no rules: they are named themselves.
fn is_of_network_balancer(id: &ListenerId) -> bool {
    id.as_str().starts_with("net/")
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
    let rule = |rule: &TrafficRule| match rule {
        TrafficRule::Rule(id) => realm.rule(id),
        TrafficRule::Listener(id) => realm.listener(id),
    };
    let one = |target: &ServiceTarget| LoadBalancer {
        target_group_arn: Some(realm.group(&target.group)),
        container_name: Some(target.container.to_string()),
        container_port: Some(i32::from(target.container_port)),
        advanced_configuration: target.advanced.as_ref().map(|advanced| AdvancedConfiguration {
            alternate_target_group_arn: Some(realm.group(&advanced.alternate)),
            production_listener_rule: Some(rule(&advanced.production)),
            test_listener_rule: advanced.test.as_ref().map(rule),
            role_arn: advanced.role.clone(),
        }),
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
    fn pairs_of_groups_are_read_and_shown() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let listener =
            |rest: &str| format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{rest}");
        let rule =
            listener("listener-rule/app/lb/50dc6c495c0c9188/f2f7dc8efc522ab2/9683b2d02a6cabee");
        let of_network = listener("listener/net/lb/50dc6c495c0c9188/f2f7dc8efc522ab2");
        let of_application = listener("listener/app/lb/50dc6c495c0c9188/f2f7dc8efc522ab2");
        let with = |production: &str| LoadBalancer {
            advanced_configuration: Some(AdvancedConfiguration {
                alternate_target_group_arn: Some(ARN.replace("web", "other")),
                production_listener_rule: Some(production.to_owned()),
                test_listener_rule: None,
                role_arn: Some("arn:aws:iam::123456789012:role/r".to_owned()),
            }),
            ..given()
        };
        for production in [&rule, &of_network] {
            let read = read(&realm, Some(&vec![with(production)])).unwrap().unwrap();
            assert_eq!(view(&realm, &read), [with(production)]);
        }
        let error = read(&realm, Some(&vec![with(&of_application)])).unwrap_err();
        assert!(error.message.contains("is not the ARN of a listener rule"), "{error}");
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
                "alternateTargetGroupArn: \"\" is not the ARN",
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
