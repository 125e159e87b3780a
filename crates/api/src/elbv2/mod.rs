//! Elastic Load Balancing: the wire in front of the state's balancers.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/Welcome.html>

use aws::elbv2::Elbv2;

use crate::door::{Caller, Door};

impl Elbv2 for Door {
    type Context = Caller;
}
