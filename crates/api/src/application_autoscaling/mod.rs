//! Application Auto Scaling.
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/Welcome.html>

use aws::application_autoscaling::ApplicationAutoScaling;

use crate::door::{Caller, Door};

impl ApplicationAutoScaling for Door {
    type Context = Caller;
}
