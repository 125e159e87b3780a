//! The ARNs of what balances.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/load-balancer-authentication-access-control.html>

use crate::{BalancerId, GroupId, ListenerId, Realm, RuleId};

/// What an ARN of Elastic Load Balancing names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BalancingResource {
    /// `loadbalancer/app/NAME/ID`
    Balancer(BalancerId),
    /// `targetgroup/NAME/ID`
    Group(GroupId),
    /// `listener/app/NAME/ID/ID`
    Listener(ListenerId),
    /// `listener-rule/app/NAME/ID/ID/ID`
    Rule(RuleId),
}

impl Realm {
    fn elb(&self, rest: std::fmt::Arguments<'_>) -> String {
        let Self { partition, region, account, .. } = self;
        format!("arn:{partition}:elasticloadbalancing:{region}:{account}:{rest}")
    }

    /// A load balancer's ARN.
    pub fn balancer(&self, id: &BalancerId) -> String {
        self.elb(format_args!("loadbalancer/{id}"))
    }

    /// A target group's ARN.
    pub fn group(&self, id: &GroupId) -> String {
        self.elb(format_args!("targetgroup/{id}"))
    }

    /// A listener's ARN.
    pub fn listener(&self, id: &ListenerId) -> String {
        self.elb(format_args!("listener/{id}"))
    }

    /// A rule's ARN.
    pub fn rule(&self, id: &RuleId) -> String {
        self.elb(format_args!("listener-rule/{id}"))
    }

    /// Reads an ARN of Elastic Load Balancing of this realm; none if it is another's or not one.
    pub fn parse_balancing(&self, arn: &str) -> Option<BalancingResource> {
        let rest = arn.strip_prefix(&self.elb(format_args!("")))?;
        let (kind, id) = rest.split_once('/')?;
        let parts: Vec<&str> = id.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let balanced = matches!(parts.first(), Some(&"app" | &"net"));
        match (kind, parts.len()) {
            ("loadbalancer", 3) if balanced => Some(BalancingResource::Balancer(id.into())),
            ("targetgroup", 2) => Some(BalancingResource::Group(id.into())),
            ("listener", 4) if balanced => Some(BalancingResource::Listener(id.into())),
            ("listener-rule", 5) if balanced => Some(BalancingResource::Rule(id.into())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_back() {
        let realm = Realm::new("eu-west-1", "123456789012");
        let rule = RuleId::from("app/web/50dc/f2f7/9683");
        let listener = rule.listener();
        let balancer = listener.balancer();
        let group = GroupId::from("web/73e2");
        assert_eq!((balancer.name(), group.name()), ("web", "web"));
        for (arn, resource) in [
            (realm.balancer(&balancer), BalancingResource::Balancer(balancer.clone())),
            (realm.group(&group), BalancingResource::Group(group.clone())),
            (realm.listener(&listener), BalancingResource::Listener(listener.clone())),
            (realm.rule(&rule), BalancingResource::Rule(rule.clone())),
        ] {
            assert_eq!(realm.parse_balancing(&arn), Some(resource), "{arn}");
            assert_eq!(Realm::new("eu-west-2", "123456789012").parse_balancing(&arn), None);
        }
        let base = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:";
        for odd in ["", "loadbalancer/web", "loadbalancer/app//x", "targetgroup/web", "rule/a/b/c"]
        {
            assert_eq!(realm.parse_balancing(&format!("{base}{odd}")), None, "{odd}");
        }
    }
}
