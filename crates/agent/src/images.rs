//! Where an image is asked for, when, and as whom.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aws::agent::acs::RoleCredentials;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use runtime::{Credentials, ImageRequest, PullPolicy};
use shell::Clock;
use stdx::Timestamp;
use tokio::sync::Mutex;

use crate::calls::Calls;
use crate::config::PullBehavior;

/// A token is asked for anew when it has no longer to live than this.
const SPARE: Duration = Duration::from_secs(30 * 60);
/// ECR's tokens live for so long; for one that does not say.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The server's own registry, and when registries are asked at all.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    /// `host:port`.
    host: String,
    plain_http: bool,
    region: String,
    behavior: PullBehavior,
}

impl Registry {
    pub(crate) fn new(endpoint: &str, region: &str, behavior: PullBehavior) -> Self {
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("http", endpoint));
        Self {
            host: rest.split('/').next().unwrap_or(rest).to_owned(),
            plain_http: scheme != "https",
            region: region.to_owned(),
            behavior,
        }
    }

    /// Whether the server's own registry has the image: it is named by ECR's host of this region, or
    /// by the server's host.
    fn is_own(&self, reference: &str) -> bool {
        let Some((host, _)) = reference.split_once('/') else { return false };
        let local = |host: &str| host.replace("localhost:", "127.0.0.1:");
        if local(host) == local(&self.host) {
            return true;
        }
        let Some((account, rest)) = host.split_once(".dkr.ecr.") else { return false };
        let account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        account && rest.strip_suffix(".amazonaws.com") == Some(self.region.as_str())
    }

    /// What a digest names never changes, so that it need not be asked for twice.
    fn policy(&self, reference: &str) -> PullPolicy {
        match self.behavior {
            PullBehavior::Always => PullPolicy::Always,
            PullBehavior::Default if !reference.contains("@sha256:") => PullPolicy::PreferFresh,
            PullBehavior::Default | PullBehavior::Once | PullBehavior::PreferCached => {
                PullPolicy::IfAbsent
            }
        }
    }
}

/// Makes requests for images.
pub(crate) struct Images {
    registry: Registry,
    calls: Arc<dyn Calls>,
    clock: Arc<dyn Clock>,
    token: Mutex<Option<(Credentials, Timestamp)>>,
    /// Tokens of execution roles, by the id of the role's credentials.
    of_roles: std::sync::Mutex<BTreeMap<String, (Credentials, Timestamp)>>,
}

impl Images {
    pub(crate) fn new(registry: Registry, calls: Arc<dyn Calls>, clock: Arc<dyn Clock>) -> Self {
        Self {
            registry,
            calls,
            clock,
            token: Mutex::new(None),
            of_roles: std::sync::Mutex::default(),
        }
    }

    /// The request for an image, with credentials if the server's own registry has it. Without a
    /// token the registry is asked all the same: what is here already needs none.
    pub(crate) async fn request(&self, reference: &str) -> ImageRequest {
        let endpoint = self.endpoint(reference);
        ImageRequest {
            reference: reference.to_owned(),
            policy: self.registry.policy(reference),
            credentials: if endpoint.is_some() { self.credentials().await } else { None },
            endpoint,
            progress: None,
        }
    }

    /// The request for an image of a task: with its registry's password if one was fetched, with a
    /// token of its execution role if it has one.
    ///
    /// # Errors
    /// The role is refused a token, in ECS's words.
    pub(crate) async fn request_for(
        &self,
        reference: &str,
        role: Option<&RoleCredentials>,
        login: Option<Credentials>,
    ) -> Result<ImageRequest, String> {
        if let Some(login) = login {
            return Ok(ImageRequest {
                reference: reference.to_owned(),
                policy: self.registry.policy(reference),
                credentials: Some(login),
                endpoint: self.endpoint(reference),
                progress: None,
            });
        }
        let Some(role) = role.filter(|_| self.registry.is_own(reference)) else {
            return Ok(self.request(reference).await);
        };
        Ok(ImageRequest {
            reference: reference.to_owned(),
            policy: self.registry.policy(reference),
            credentials: Some(self.token_of(role).await?),
            endpoint: self.endpoint(reference),
            progress: None,
        })
    }

    fn endpoint(&self, reference: &str) -> Option<(String, bool)> {
        let own = self.registry.is_own(reference);
        own.then(|| (self.registry.host.clone(), self.registry.plain_http))
    }

    async fn token_of(&self, role: &RoleCredentials) -> Result<Credentials, String> {
        let kept = || self.of_roles.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        if let Some((credentials, until)) = kept().get(&role.credentials_id)
            && *until > now + SPARE
        {
            return Ok(credentials.clone());
        }
        let refused = |why: String| format!("CannotPullECRContainerError: {why}");
        let answer = self.calls.with(role).registry_token().await;
        let answer = answer.map_err(|error| refused(stdx::chain(&error)))?;
        let data = answer.authorization_data.into_iter().flatten().next();
        let data = data.ok_or_else(|| refused("the server answered without a token".to_owned()))?;
        let credentials = decode(&data.authorization_token.unwrap_or_default())
            .ok_or_else(|| refused("the server's token cannot be read".to_owned()))?;
        let until = data.expires_at.unwrap_or(now + LIFETIME);
        let mut kept = kept();
        kept.retain(|_, (_, until)| *until > now);
        kept.insert(role.credentials_id.clone(), (credentials.clone(), until));
        Ok(credentials)
    }

    /// Has a token at hand before the first image is asked for.
    pub(crate) async fn warm(&self) {
        drop(self.credentials().await);
    }

    async fn credentials(&self) -> Option<Credentials> {
        let mut kept = self.token.lock().await;
        let now = self.clock.now();
        if let Some((credentials, until)) = kept.as_ref()
            && *until > now + SPARE
        {
            return Some(credentials.clone());
        }
        match self.calls.registry_token().await {
            Ok(answer) => {
                let data = answer.authorization_data.into_iter().flatten().next()?;
                let credentials = decode(&data.authorization_token.unwrap_or_default())?;
                *kept = Some((credentials.clone(), data.expires_at.unwrap_or(now + LIFETIME)));
                Some(credentials)
            }
            Err(error) => {
                let error = stdx::chain(&error);
                tracing::warn!(error, "No token for the server's registry could be had.");
                None
            }
        }
    }
}

/// ECR's token is `user:password` in base64.
fn decode(token: &str) -> Option<Credentials> {
    let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Credentials { username: username.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(behavior: PullBehavior) -> Registry {
        Registry::new("http://127.0.0.1:4747/", "eu-west-1", behavior)
    }

    #[test]
    fn only_images_of_the_servers_registry_are_its_own() {
        let registry = registry(PullBehavior::Default);
        assert_eq!((registry.host.as_str(), registry.plain_http), ("127.0.0.1:4747", true));
        for (reference, own) in [
            ("111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:1", true),
            ("111122223333.dkr.ecr.us-east-1.amazonaws.com/web:1", false),
            ("11112222.dkr.ecr.eu-west-1.amazonaws.com/web:1", false),
            ("127.0.0.1:4747/web", true),
            ("localhost:4747/web", true),
            ("localhost:5000/web", false),
            ("docker.io/library/busybox", false),
            ("busybox", false),
            ("evil.dkr.ecr.eu-west-1.amazonaws.com.example.com/web", false),
        ] {
            assert_eq!(registry.is_own(reference), own, "{reference}");
        }
    }

    #[test]
    fn policies_follow_the_behavior() {
        use PullBehavior as B;
        for (behavior, tag, digest) in [
            (B::Default, PullPolicy::PreferFresh, PullPolicy::IfAbsent),
            (B::Always, PullPolicy::Always, PullPolicy::Always),
            (B::Once, PullPolicy::IfAbsent, PullPolicy::IfAbsent),
            (B::PreferCached, PullPolicy::IfAbsent, PullPolicy::IfAbsent),
        ] {
            assert_eq!(registry(behavior).policy("web:1"), tag);
            assert_eq!(registry(behavior).policy("web@sha256:00"), digest);
        }
    }

    #[test]
    fn tokens_are_taken_apart() {
        let credentials = decode(&STANDARD.encode("AWS:pass:word")).unwrap();
        assert_eq!(
            (credentials.username.as_str(), credentials.password.as_str()),
            ("AWS", "pass:word")
        );
        assert!(decode("%").is_none());
    }
}
