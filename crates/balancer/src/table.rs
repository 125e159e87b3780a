//! The table: everything that a balancer is told, as pure values.
//!
//! Listeners, rules and groups are shared by `Arc`, so that the next table can share whatever did not
//! change, and a change is found by comparing pointers.

mod group;
mod listener;
mod rule;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use group::{
    Algorithm, CodeRange, Group, GroupProtocol, HealthCheck, HealthProtocol, Matcher, Phase,
    ProbePort, ProtocolVersion, Stickiness, Target,
};
pub use listener::{
    AlpnPolicy, BalancerSettings, Certificate, DesyncMode, Listener, ListenerProtocol, TlsSettings,
    TlsVersion, Transport, XffMode,
};
pub use rule::{
    Action, Cidr, CidrError, Condition, Pattern, QueryPattern, Redirect, RedirectStatus, Rule,
    WeightedGroup,
};

stdx::ids! {
    /// A load balancer; the owner of the table chooses the text, such as an ARN.
    BalancerId;
    /// A listener.
    ListenerId;
    /// A rule of a listener.
    RuleId;
    /// A target group.
    GroupId;
    /// A target within its group, such as `i-1234:32768` or `10.0.0.7:80`.
    TargetKey;
    /// A certificate.
    CertificateId;
}

/// All that every listener of this machine does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The listeners, each with its rules.
    pub listeners: Vec<Arc<Listener>>,
    /// The target groups that actions name. An action that names a group which is not here answers 503.
    pub groups: BTreeMap<GroupId, Arc<Group>>,
}
