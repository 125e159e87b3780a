//! What clients ask EC2 before they make a balancer: one default network, told as EC2 tells it.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html>

mod network;

use aws::ec2::Ec2;

use crate::door::{Caller, Door};

pub(crate) use network::Network;

impl Ec2 for Door {
    type Context = Caller;
}
