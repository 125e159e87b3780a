//! Auto Scaling.
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/Welcome.html>

use aws::autoscaling::AutoScaling;

use crate::door::{Caller, Door};

impl AutoScaling for Door {
    type Context = Caller;
}
