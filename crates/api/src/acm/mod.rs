//! Certificate Manager: the wire in front of the vault's certificates.
//! <https://docs.aws.amazon.com/acm/latest/APIReference/Welcome.html>

use aws::acm::Acm;

use crate::door::{Caller, Door};

impl Acm for Door {
    type Context = Caller;
}
