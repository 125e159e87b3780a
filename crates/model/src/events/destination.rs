//! API destinations: web hooks, and the connections that say how to be let in there.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html>

use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::{ApiDestinationName, ConnectionName, Document};

/// How to be let in somewhere. What is secret of it lies in a secret of the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its name.
    pub name: ConnectionName,
    /// A UUID, the end of its ARN.
    pub id: String,
    /// Anybody's note.
    pub description: Option<String>,
    /// What may be shown of it, as a document of the wire.
    pub shown: Document,
    /// The ARN of the secret with the whole of it.
    pub secret: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A web hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiDestination {
    /// Its name.
    pub name: ApiDestinationName,
    /// A UUID, the end of its ARN.
    pub id: String,
    /// Anybody's note.
    pub description: Option<String>,
    /// How to be let in.
    pub connection: ConnectionName,
    /// Its URL; `*` stands for the path parameters of a target.
    pub endpoint: String,
    /// The method of HTTP.
    pub method: String,
    /// At most so many calls a second.
    pub rate: u32,
    /// When it was made.
    pub created_at: Timestamp,
}
