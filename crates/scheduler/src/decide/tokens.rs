//! Client tokens: a repeated request answers as the first one did, and does nothing.

use std::sync::Arc;

use model::{Change, ClusterName, TokenKey, TokenRecord};

use crate::desk::Desk;
use crate::{Rejection, timing};

/// An operation of a cluster that a token may be given for.
pub(super) struct Use<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) operation: &'static str,
    /// `(token, fingerprint of the request)`
    pub(super) token: Option<&'a (String, u64)>,
}

impl Use<'_> {
    fn key(&self, token: &str) -> TokenKey {
        TokenKey {
            cluster: self.cluster.clone(),
            operation: self.operation.to_owned(),
            token: token.to_owned(),
        }
    }

    /// What the same request made before, if it came before. The token of another request is an
    /// error.
    pub(super) fn before(&self, desk: &Desk<'_>) -> Result<Option<Arc<TokenRecord>>, Rejection> {
        let Some((token, fingerprint)) = self.token else { return Ok(None) };
        let Some(record) = desk.state.token(&self.key(token)) else { return Ok(None) };
        if record.at + timing::TOKENS_KEPT <= desk.now {
            return Ok(None);
        }
        if record.fingerprint != *fingerprint {
            return Err(Rejection::TokenReused(token.clone()));
        }
        Ok(Some(record.clone()))
    }

    /// Remembers what the request made.
    pub(super) fn remember(&self, desk: &mut Desk<'_>, made: Vec<String>) {
        let Some((token, fingerprint)) = self.token else { return };
        let record =
            TokenRecord { key: self.key(token), fingerprint: *fingerprint, made, at: desk.now };
        desk.put(Change::PutToken(Arc::new(record)));
    }
}
