//! Who says it: Signature Version 4, the root key, and the registry's passwords.
//!
//! Verification and signing stand on one canonicalisation (`canonical.rs`), so what this room signs
//! is what it verifies. Everything is a pure function over values: no HTTP server's types, no
//! clock, no randomness but by argument. Two things touch the world: [`RootKey::load_or_create`]
//! reads and writes one file.
//!
//! - [`verify()`]: is this request signed by a key we know, for this region, now?
//! - [`ChunkedDecoder`]: the signed chunks of a streamed body, verified as they arrive.
//! - [`sign()`], [`presign`], [`sign_websocket`]: the same, from the client's side.
//! - [`RootKey`], [`EcrToken`]: the keys that this cluster makes for itself.
//! - [`SessionMint`]: the temporary credentials of roles.
//! - [`policy`]: IAM's policy documents, read and evaluated.
//! - [`AuthError`]: every refusal, as AWS words it.

mod canonical;
mod chunked;
mod crypto;
mod ecr_token;
mod error;
mod key;
mod parse;
pub mod policy;
mod request;
mod root_key;
mod scope;
mod session;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub use chunked::ChunkedDecoder;
pub use ecr_token::EcrToken;
pub use error::{AuthError, Dialect};
pub use key::{Credentials, Identity, Key, KeyStore, Principal, SecretString};
pub use request::{Body, SignedRequest};
pub use root_key::{RootKey, RootKeyError};
pub use scope::Scope;
pub use session::{RoleSession, SessionMint, SessionStore};
pub use sign::{Outgoing, UrlError, presign, sign, sign_websocket};
pub use verify::{Expected, Payload, Verified, carries_signature, verify};
