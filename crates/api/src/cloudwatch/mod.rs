//! CloudWatch: metrics and alarms.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/Welcome.html>

use aws::cloudwatch::CloudWatch;

use crate::door::{Caller, Door};

impl CloudWatch for Door {
    type Context = Caller;
}
