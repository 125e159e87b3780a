//! The data plane of load balancers: listeners, rules, targets and health checks.
//!
//! What to do is a [`Table`], a plain value that somebody else derives, and the sockets are made to
//! agree with it without dropping a connection. What was seen comes back as [`Event`]s and as
//! [`Usage`]. Which rule matches, which target serves, what a cookie says, whether a target is healthy,
//! which headers are passed on and which bytes are a request at all are pure functions; the sockets are
//! the shell around them.
//!
//! Invariant: nothing here knows where the tables come from, and nothing here knows AWS's wire.

mod accept;
mod access_log;
mod account;
mod answer;
mod bind;
mod body;
mod choose;
mod conn;
mod engine;
mod event;
mod flow;
mod flow_log;
mod forward;
mod guard;
mod h1;
mod headers;
mod health;
mod io;
mod log;
mod pattern;
mod pick;
mod pool;
mod probe;
mod proxy;
mod route;
mod serve;
mod state;
mod sticky;
mod table;
mod tcp;
mod tls;
mod tunnel;
mod udp;
mod upstream;
mod usage;
mod worker;

pub use access_log::{AccessEntry, RequestKind};
pub use bind::BindError;
pub use engine::{Balancer, Config};
pub use event::{Event, Failure, Health, InitialReason};
pub use flow_log::{ConnectionEntry, FlowEntry, TlsAgreed};
pub use log::{LogEntry, LogSink, LogSource, log_queue};
pub use table::{
    Action, Algorithm, AlpnPolicy, BalancerId, BalancerSettings, Certificate, CertificateId, Cidr,
    CidrError, CodeRange, Condition, DesyncMode, Group, GroupId, GroupProtocol, HealthCheck,
    HealthProtocol, Listener, ListenerId, ListenerProtocol, Matcher, Pattern, Phase, ProbePort,
    ProtocolVersion, QueryPattern, Redirect, RedirectStatus, Rule, RuleId, Stickiness, Table,
    Target, TargetKey, TlsSettings, TlsVersion, Transport, WeightedGroup, XffMode,
};
pub use tls::{CertificateError, check_certificate};
pub use usage::{BUCKETS, BalancerUsage, GroupUsage, Histogram, TargetUsage, Usage};
