//! The resources of the operations of traffic and scale: load balancers, certificates, networks,
//! metrics and scaling. `None` for what is not built.

use aws::{acm, application_autoscaling, autoscaling, cloudwatch, ec2, elbv2};

use super::request::Asked;

type Resources = Option<Vec<String>>;

/// Elastic Load Balancing. <https://docs.aws.amazon.com/service-authorization/latest/reference/list_elasticloadbalancingv2.html>
pub(super) fn elbv2(asked: &Asked<'_>, operation: elbv2::Operation) -> Resources {
    use elbv2::Operation as O;
    let given = |member: &str| asked.arns(member, str::to_owned);
    let name = || asked.text("Name").unwrap_or_default();
    Some(match operation {
        O::DescribeAccountLimits
        | O::DescribeListenerAttributes
        | O::DescribeListenerCertificates
        | O::DescribeListeners
        | O::DescribeLoadBalancerAttributes
        | O::DescribeLoadBalancers
        | O::DescribeRules
        | O::DescribeSSLPolicies
        | O::DescribeTags
        | O::DescribeTargetGroupAttributes
        | O::DescribeTargetGroups
        | O::DescribeTargetHealth => Vec::new(),
        O::CreateLoadBalancer => {
            let kind = match asked.text("Type") {
                Some("network") => "net",
                _ => "app",
            };
            vec![asked.arn("elasticloadbalancing", &format!("loadbalancer/{kind}/{}/*", name()))]
        }
        O::CreateTargetGroup => {
            vec![asked.arn("elasticloadbalancing", &format!("targetgroup/{}/*", name()))]
        }
        O::CreateListener
        | O::DeleteLoadBalancer
        | O::ModifyLoadBalancerAttributes
        | O::SetIpAddressType
        | O::SetSecurityGroups
        | O::SetSubnets => given("LoadBalancerArn"),
        O::AddListenerCertificates
        | O::CreateRule
        | O::DeleteListener
        | O::ModifyListener
        | O::ModifyListenerAttributes
        | O::RemoveListenerCertificates => given("ListenerArn"),
        O::DeleteRule | O::ModifyRule => given("RuleArn"),
        O::SetRulePriorities => {
            let pairs = asked.body.get("RulePriorities").and_then(serde_json::Value::as_array);
            let arns = pairs.into_iter().flatten().filter_map(|pair| pair.get("RuleArn"));
            arns.filter_map(|arn| arn.as_str()).map(str::to_owned).collect()
        }
        O::DeleteTargetGroup
        | O::DeregisterTargets
        | O::ModifyTargetGroup
        | O::ModifyTargetGroupAttributes
        | O::RegisterTargets => given("TargetGroupArn"),
        O::AddTags | O::RemoveTags => given("ResourceArns"),
        _ => return None,
    })
}

/// Certificate Manager. <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscertificatemanager.html>
pub(super) fn acm(asked: &Asked<'_>, operation: acm::Operation) -> Resources {
    use acm::Operation as O;
    Some(match operation {
        O::ListCertificates | O::RequestCertificate => Vec::new(),
        O::AddTagsToCertificate
        | O::DeleteCertificate
        | O::DescribeCertificate
        | O::GetCertificate
        | O::ImportCertificate
        | O::ListTagsForCertificate
        | O::RemoveTagsFromCertificate => asked.arns("CertificateArn", str::to_owned),
        _ => return None,
    })
}

/// EC2: what it describes has no resources of its own; launch templates have ARNs by their ids.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html>
pub(super) fn ec2(asked: &Asked<'_>, operation: ec2::Operation) -> Resources {
    use ec2::Operation as O;
    match operation {
        O::DescribeAccountAttributes
        | O::DescribeAvailabilityZones
        | O::DescribeInstances
        | O::DescribeInternetGateways
        | O::DescribeNetworkInterfaces
        | O::DescribeRegions
        | O::DescribeRouteTables
        | O::DescribeSecurityGroups
        | O::DescribeSubnets
        | O::DescribeVpcAttribute
        | O::DescribeVpcs
        | O::DescribeLaunchTemplates
        | O::DescribeLaunchTemplateVersions => Some(Vec::new()),
        O::CreateLaunchTemplate
        | O::CreateLaunchTemplateVersion
        | O::ModifyLaunchTemplate
        | O::DeleteLaunchTemplate
        | O::DeleteLaunchTemplateVersions => Some(
            asked.arns("LaunchTemplateId", |id| asked.arn("ec2", &format!("launch-template/{id}"))),
        ),
        _ => None,
    }
}

/// CloudWatch: alarms have ARNs, metrics have none.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html>
pub(super) fn cloudwatch(asked: &Asked<'_>, operation: cloudwatch::Operation) -> Resources {
    use cloudwatch::Operation as O;
    let alarms =
        |member: &str| asked.arns(member, |name| asked.arn("cloudwatch", &format!("alarm:{name}")));
    Some(match operation {
        O::DescribeAlarmsForMetric
        | O::GetMetricData
        | O::GetMetricStatistics
        | O::ListMetrics
        | O::PutMetricData => Vec::new(),
        O::DescribeAlarmHistory | O::PutMetricAlarm | O::SetAlarmState => alarms("AlarmName"),
        O::DeleteAlarms | O::DescribeAlarms | O::DisableAlarmActions | O::EnableAlarmActions => {
            alarms("AlarmNames")
        }
        O::ListTagsForResource | O::TagResource | O::UntagResource => alarms("ResourceARN"),
        _ => return None,
    })
}

/// Application Auto Scaling. A scalable target's ARN has an id that the request does not tell, so
/// that all but the tags are asked for on everything.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapplicationautoscaling.html>
pub(super) fn application_autoscaling(
    asked: &Asked<'_>,
    operation: application_autoscaling::Operation,
) -> Resources {
    use application_autoscaling::Operation as O;
    Some(match operation {
        O::DeleteScalingPolicy
        | O::DeleteScheduledAction
        | O::DeregisterScalableTarget
        | O::DescribeScalableTargets
        | O::DescribeScalingActivities
        | O::DescribeScalingPolicies
        | O::DescribeScheduledActions
        | O::PutScalingPolicy
        | O::PutScheduledAction
        | O::RegisterScalableTarget => Vec::new(),
        O::ListTagsForResource | O::TagResource | O::UntagResource => {
            asked.arns("ResourceARN", str::to_owned)
        }
        _ => return None,
    })
}

/// Auto Scaling. A group's ARN has an id that the request does not tell; it stands as `*`.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html>
pub(super) fn autoscaling(asked: &Asked<'_>, operation: autoscaling::Operation) -> Resources {
    use autoscaling::Operation as O;
    let named = |kind: &str, field: &str, member: &str| {
        asked.arns(member, |name| asked.arn("autoscaling", &format!("{kind}:*:{field}/{name}")))
    };
    Some(match operation {
        O::DescribeAccountLimits
        | O::DescribeAutoScalingGroups
        | O::DescribeAutoScalingInstances
        | O::DescribeLaunchConfigurations
        | O::DescribeLifecycleHookTypes
        | O::DescribeLifecycleHooks
        | O::DescribeAdjustmentTypes
        | O::DescribePolicies
        | O::DescribeScalingProcessTypes
        | O::DescribeScheduledActions
        | O::DescribeScalingActivities
        | O::DescribeTags
        | O::DescribeTerminationPolicyTypes
        | O::SetInstanceHealth
        | O::TerminateInstanceInAutoScalingGroup => Vec::new(),
        O::BatchDeleteScheduledAction
        | O::BatchPutScheduledUpdateGroupAction
        | O::CompleteLifecycleAction
        | O::CreateAutoScalingGroup
        | O::DeleteAutoScalingGroup
        | O::DeleteLifecycleHook
        | O::DeletePolicy
        | O::DeleteScheduledAction
        | O::DetachInstances
        | O::ExecutePolicy
        | O::PutLifecycleHook
        | O::PutScalingPolicy
        | O::PutScheduledUpdateGroupAction
        | O::RecordLifecycleActionHeartbeat
        | O::ResumeProcesses
        | O::SetDesiredCapacity
        | O::SetInstanceProtection
        | O::SuspendProcesses
        | O::UpdateAutoScalingGroup => {
            named("autoScalingGroup", "autoScalingGroupName", "AutoScalingGroupName")
        }
        O::CreateLaunchConfiguration | O::DeleteLaunchConfiguration => {
            named("launchConfiguration", "launchConfigurationName", "LaunchConfigurationName")
        }
        O::CreateOrUpdateTags | O::DeleteTags => {
            let tags = asked.body.get("Tags").and_then(serde_json::Value::as_array);
            let ids = tags.into_iter().flatten().filter_map(|tag| tag.get("ResourceId"));
            ids.filter_map(|id| id.as_str())
                .map(|name| format!("autoScalingGroup:*:autoScalingGroupName/{name}"))
                .map(|rest| asked.arn("autoscaling", &rest))
                .collect()
        }
        _ => return None,
    })
}
