//! What clients ask EC2 before they make a balancer: one default network, told as EC2 tells it.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Welcome.html>

use aws::ec2::Ec2;

use crate::door::{Caller, Door};

impl Ec2 for Door {
    type Context = Caller;
}
