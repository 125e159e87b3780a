//! STS: who is asking. AssumeRole waits for roles.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>

use aws::Error;
use aws::sts::{GetCallerIdentityRequest, GetCallerIdentityResponse, Sts};

use crate::door::{Caller, Door};

impl Sts for Door {
    type Context = Caller;

    async fn get_caller_identity(
        &self,
        caller: &Caller,
        _request: GetCallerIdentityRequest,
    ) -> Result<GetCallerIdentityResponse, Error> {
        let principal = &caller.identity.principal;
        Ok(GetCallerIdentityResponse {
            account: Some(principal.account.clone()),
            arn: Some(principal.arn.clone()),
            user_id: Some(principal.user_id.clone()),
        })
    }
}
