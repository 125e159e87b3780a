//! The ARNs of what scales.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapplicationautoscaling.html>

use crate::{
    Realm, ScalableTarget, ScalableTargetId, ScalingPolicyKey, ScheduledActionKey, ServiceKey,
};

const POLICY: &str = ":policyName/";

impl Realm {
    fn scaling(&self, service: &str) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:{service}:{region}:{account}:")
    }

    /// A scalable target's ARN.
    pub fn scalable_target(&self, id: &ScalableTargetId) -> String {
        format!("{}scalable-target/{id}", self.scaling("application-autoscaling"))
    }

    /// A scaling policy's ARN.
    pub fn scaling_policy(&self, target: &ScalableTarget, key: &ScalingPolicyKey) -> String {
        let ScalingPolicyKey { service, name } = key;
        let start = self.scaling("autoscaling");
        format!("{start}scalingPolicy:{}:resource/ecs/service/{service}{POLICY}{name}", target.id)
    }

    /// A scheduled action's ARN.
    pub fn scheduled_action(&self, target: &ScalableTarget, key: &ScheduledActionKey) -> String {
        let ScheduledActionKey { service, name } = key;
        let start = self.scaling("autoscaling");
        format!(
            "{start}scheduledAction:{}:resource/ecs/service/{service}:scheduledActionName/{name}",
            target.id
        )
    }

    /// The id of the scalable target that an ARN of this realm names.
    pub fn parse_scalable_target(&self, arn: &str) -> Option<ScalableTargetId> {
        let start = self.scalable_target(&ScalableTargetId::from(""));
        let id = arn.strip_prefix(&start)?;
        (!id.is_empty() && !id.contains('/')).then(|| id.into())
    }

    /// The policy, and the id of its scalable target, that an ARN of this realm names.
    pub fn parse_scaling_policy(&self, arn: &str) -> Option<(ScalableTargetId, ScalingPolicyKey)> {
        let rest =
            arn.strip_prefix(&self.scaling("autoscaling"))?.strip_prefix("scalingPolicy:")?;
        let (id, rest) = rest.split_once(":resource/ecs/service/")?;
        // No cluster or service has a colon in its name; a policy may.
        let (service, name) = rest.split_once(POLICY)?;
        let (cluster, service) = service.split_once('/')?;
        let empty = [id, cluster, service, name].iter().any(|part| part.is_empty());
        let service = ServiceKey { cluster: cluster.into(), service: service.into() };
        (!empty).then(|| (id.into(), ScalingPolicyKey { service, name: name.into() }))
    }
}

#[cfg(test)]
mod tests {
    use stdx::Timestamp;

    use super::*;
    use crate::{Suspended, Tags};

    #[test]
    fn what_is_made_is_read_back() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let service = ServiceKey { cluster: "default".into(), service: "web".into() };
        let target = ScalableTarget {
            service: service.clone(),
            id: "6d8972f3-efc8".into(),
            min: 1,
            max: 2,
            suspended: Suspended::default(),
            tags: Tags::default(),
            created_at: Timestamp::EPOCH,
            last_out: None,
            last_in: None,
        };
        let key = ScalingPolicyKey { service, name: "up:policyName/x".into() };
        let arn = realm.scaling_policy(&target, &key);
        assert_eq!(
            arn,
            "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:6d8972f3-efc8:resource/ecs/\
             service/default/web:policyName/up:policyName/x"
        );
        assert_eq!(realm.parse_scaling_policy(&arn), Some((target.id.clone(), key)));
        assert_eq!(Realm::new("x", "123456789012").parse_scaling_policy(&arn), None);
        let arn = realm.scalable_target(&target.id);
        assert_eq!(realm.parse_scalable_target(&arn), Some(target.id));
        for odd in ["", "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:x"] {
            assert_eq!(realm.parse_scaling_policy(odd), None);
            assert_eq!(realm.parse_scalable_target(odd), None);
        }
    }
}
