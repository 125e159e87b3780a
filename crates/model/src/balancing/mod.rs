//! What stands in front of services: load balancers, their listeners and rules, target groups and
//! their targets. <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html>
//!
//! A service's tasks are targets like any other; [`Target::task`] tells whose they are. What a health
//! check found is a record of its own ([`Verdict`]), since it moves while the registration stands.

mod arn;
mod balancer;
mod book;
mod differences;
mod group;
mod health;
mod listener;
mod target;

pub use arn::BalancingResource;
pub use balancer::{
    BalancerKind, BalancerSettings, Desync, ForwardedFor, IpAddressType, LoadBalancer, Scheme,
    TrafficLog,
};
pub use book::{BalancingChange, Book};
pub use differences::BookDifference;
pub use group::{
    Algorithm, GroupProtocol, GroupSettings, HealthCheck, HealthPort, Matcher, ProtocolVersion,
    Stickiness, StickyBy, TargetGroup, TargetKind,
};
pub use health::TargetState;
pub use listener::{
    Action, AlpnPolicy, Condition, Forward, Listener, ListenerProtocol, Redirect, Rule, Weighted,
};
pub use target::{
    AdvancedTarget, Place, ServiceTarget, Target, TargetKey, TrafficRule, Verdict, VerdictReason,
    VerdictState,
};

stdx::ids! {
    /// A load balancer: `app/NAME/ID` or `net/NAME/ID`, as its ARN ends.
    BalancerId;
    /// A target group: `NAME/ID`, as its ARN ends.
    GroupId;
    /// A listener: its balancer's id, a slash and its own, as its ARN ends.
    ListenerId;
    /// A rule: its listener's id, a slash and its own, as its ARN ends.
    RuleId;
    /// The ARN of a certificate.
    CertificateArn;
}

impl BalancerId {
    /// Its name.
    pub fn name(&self) -> &str {
        self.as_str().split('/').nth(1).unwrap_or_default()
    }
}

impl GroupId {
    /// Its name.
    pub fn name(&self) -> &str {
        self.as_str().split('/').next().unwrap_or_default()
    }
}

impl ListenerId {
    /// The balancer that it belongs to.
    pub fn balancer(&self) -> BalancerId {
        self.as_str().rsplit_once('/').map_or("", |(balancer, _)| balancer).into()
    }
}

impl RuleId {
    /// The listener that it belongs to.
    pub fn listener(&self) -> ListenerId {
        self.as_str().rsplit_once('/').map_or("", |(listener, _)| listener).into()
    }
}
