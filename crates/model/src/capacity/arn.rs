//! The ARNs of what moves a group's size.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html>

use crate::{GroupAction, GroupPolicy, GroupPolicyKey, Realm};

const GROUP: &str = ":autoScalingGroupName/";
const POLICY: &str = ":policyName/";

impl Realm {
    fn of_groups(&self, kind: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:autoscaling:{region}:{account}:{kind}:")
    }

    /// The ARN of a group's scaling policy.
    pub fn group_policy(&self, policy: &GroupPolicy) -> String {
        let GroupPolicyKey { group, name } = &policy.key;
        format!("{}{}{GROUP}{group}{POLICY}{name}", self.of_groups("scalingPolicy"), policy.id)
    }

    /// The ARN of a group's scheduled action.
    pub fn group_action(&self, action: &GroupAction) -> String {
        let start = self.of_groups("scheduledUpdateGroupAction");
        let key = &action.key;
        format!("{start}{}{GROUP}{}:scheduledActionName/{}", action.id, key.group, key.name)
    }

    /// The policy of a group that an ARN of this realm names, and its id.
    pub fn parse_group_policy(&self, arn: &str) -> Option<(String, GroupPolicyKey)> {
        let rest = arn.strip_prefix(&self.of_groups("scalingPolicy"))?;
        let (id, rest) = rest.split_once(GROUP)?;
        let (group, name) = rest.split_once(POLICY)?;
        let whole = [id, group, name].iter().all(|part| !part.is_empty()) && !id.contains(':');
        whole.then(|| (id.to_owned(), GroupPolicyKey { group: group.into(), name: name.into() }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stdx::Timestamp;

    use super::*;
    use crate::{Adjustment, GroupPolicyKind, SimpleScaling};

    #[test]
    fn what_is_made_is_read_back() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let key = GroupPolicyKey { group: "web".into(), name: "up".into() };
        let simple = SimpleScaling {
            adjustment: Adjustment::Change,
            by: 1,
            min_magnitude: None,
            cooldown: Some(Duration::ZERO),
        };
        let policy = GroupPolicy {
            key: key.clone(),
            id: "6d89".to_owned(),
            kind: GroupPolicyKind::Simple(simple),
            enabled: true,
            warmup: None,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        };
        let arn = realm.group_policy(&policy);
        assert_eq!(
            arn,
            "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:6d89:autoScalingGroupName/web:\
             policyName/up"
        );
        assert_eq!(realm.parse_group_policy(&arn), Some(("6d89".to_owned(), key)));
        assert_eq!(realm.parse_scaling_policy(&arn), None);
        for odd in ["", "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:x"] {
            assert_eq!(realm.parse_group_policy(odd), None);
        }
    }
}
