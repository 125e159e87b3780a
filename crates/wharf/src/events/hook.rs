//! Web hooks: API destinations as targets.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html>

use std::time::Duration;

use anyhow::{Context, Result};
use aws::events::{
    ConnectionHttpParameters, CreateConnectionAuthRequestParameters, HttpParameters, Target,
};
use events::{Delivery, Outcome};
use model::{ApiDestination, State};
use reqwest::{Client, Method, Url};
use serde_json::Value;
use vault::{Vault, VersionChoice};

/// A hook has so long to answer, as with AWS.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls web hooks.
#[derive(Debug)]
pub(super) struct Hooks {
    client: Client,
    vault: Vault,
}

impl Hooks {
    pub(super) fn new(vault: Vault) -> Result<Self> {
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("Amazon/EventBridge/ApiDestinations")
            .build()
            .context("make the client of web hooks")?;
        Ok(Self { client, vault })
    }

    /// Calls a hook for each delivery, in order, until one fails.
    pub(super) async fn post(
        &self,
        state: &State,
        arn: &str,
        target: &Target,
        told: &[(&Delivery, String)],
    ) -> Vec<Outcome> {
        let found = state.realm().parse_api_destination(arn);
        let destination = found
            .and_then(|(name, id)| state.bus().destination(&name).filter(|there| there.id == id));
        let refuse = |why: String| told.iter().map(|_| Outcome::Refused(why.clone())).collect();
        let Some(destination) = destination else {
            return refuse(format!("the api-destination {arn} does not exist"));
        };
        let parameters = match self.parameters(state, destination).await {
            Ok(parameters) => parameters,
            Err(why) => return vec![Outcome::Failed(why)],
        };
        let url = match url(destination, target.http_parameters.as_ref(), &parameters) {
            Ok(url) => url,
            Err(why) => return refuse(why),
        };
        let apart = Duration::from_secs(1) / destination.rate.max(1);
        let mut outcomes = Vec::new();
        for (_, text) in told {
            let began = tokio::time::Instant::now();
            let outcome = self.call(destination, url.clone(), target, &parameters, text).await;
            let failed = matches!(outcome, Outcome::Failed(_));
            outcomes.push(outcome);
            if failed {
                break;
            }
            if outcomes.len() < told.len() {
                tokio::time::sleep_until(began + apart).await;
            }
        }
        outcomes
    }

    /// What the destination's connection is let in with.
    async fn parameters(
        &self,
        state: &State,
        destination: &ApiDestination,
    ) -> Result<CreateConnectionAuthRequestParameters, String> {
        let connection = state.bus().connection(&destination.connection);
        let connection = connection
            .ok_or_else(|| format!("the connection {} does not exist", destination.connection))?;
        let secret = self.vault.secret_value(&connection.secret, VersionChoice::default()).await;
        let secret = secret.map_err(|error| stdx::chain(&error))?;
        serde_json::from_slice(secret.value.reveal_bytes()).map_err(|error| {
            format!("the secret {} is not a connection's: {error}", connection.secret)
        })
    }

    async fn call(
        &self,
        destination: &ApiDestination,
        url: Url,
        target: &Target,
        parameters: &CreateConnectionAuthRequestParameters,
        text: &str,
    ) -> Outcome {
        let Ok(method) = Method::from_bytes(destination.method.as_bytes()) else {
            return Outcome::Refused(format!("{} is not a method of HTTP", destination.method));
        };
        let mut request = self
            .client
            .request(method, url)
            .header("content-type", "application/json; charset=utf-8");
        let http = target.http_parameters.as_ref();
        for (name, value) in http.and_then(|it| it.header_parameters.as_ref()).into_iter().flatten()
        {
            request = request.header(name, value);
        }
        let common = parameters.invocation_http_parameters.as_ref();
        for it in common.and_then(|it| it.header_parameters.as_ref()).into_iter().flatten() {
            request = request.header(
                it.key.as_deref().unwrap_or_default(),
                it.value.as_deref().unwrap_or_default(),
            );
        }
        if let Some(basic) = &parameters.basic_auth_parameters {
            request = request.basic_auth(
                basic.username.as_deref().unwrap_or_default(),
                basic.password.as_deref(),
            );
        }
        if let Some(key) = &parameters.api_key_auth_parameters {
            request = request.header(
                key.api_key_name.as_deref().unwrap_or_default(),
                key.api_key_value.as_deref().unwrap_or_default(),
            );
        }
        match request.body(body(text, common)).send().await {
            Ok(answer) => judge(answer.status().as_u16()),
            Err(error) if error.is_builder() => Outcome::Refused(stdx::chain(&error)),
            Err(error) => Outcome::Failed(stdx::chain(&error)),
        }
    }
}

/// What a status of HTTP says: AWS tries these again and no others.
fn judge(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Done,
        401 | 407 | 409 | 429 | 500..=599 => {
            Outcome::Failed(format!("the web hook answered {status}"))
        }
        _ => Outcome::Refused(format!("the web hook answered {status}")),
    }
}

/// The destination's URL with the parameters of its path and its query.
fn url(
    destination: &ApiDestination,
    http: Option<&HttpParameters>,
    parameters: &CreateConnectionAuthRequestParameters,
) -> Result<Url, String> {
    let mut text = String::new();
    let mut values = http.and_then(|it| it.path_parameter_values.as_ref()).into_iter().flatten();
    for piece in destination.endpoint.split_inclusive('*') {
        match piece.strip_suffix('*') {
            Some(before) => {
                text.push_str(before);
                text.push_str(values.next().map(String::as_str).unwrap_or("*"));
            }
            None => text.push_str(piece),
        }
    }
    let mut url = Url::parse(&text).map_err(|error| format!("{text} is not a URL: {error}"))?;
    let common = parameters.invocation_http_parameters.as_ref();
    let own = common.and_then(|it| it.query_string_parameters.as_ref()).into_iter().flatten();
    for (name, value) in
        http.and_then(|it| it.query_string_parameters.as_ref()).into_iter().flatten()
    {
        url.query_pairs_mut().append_pair(name, value);
    }
    for it in own {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        url.query_pairs_mut().append_pair(&text(&it.key), &text(&it.value));
    }
    Ok(url)
}

/// What the target is told, with the connection's members if it is a JSON object.
fn body(text: &str, common: Option<&ConnectionHttpParameters>) -> String {
    let more = common.and_then(|it| it.body_parameters.as_ref()).filter(|list| !list.is_empty());
    let Some(more) = more else { return text.to_owned() };
    match serde_json::from_str(text) {
        Ok(Value::Object(mut members)) => {
            for it in more {
                let value = it.value.clone().unwrap_or_default();
                members.insert(it.key.clone().unwrap_or_default(), Value::String(value));
            }
            Value::Object(members).to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use stdx::Timestamp;

    use super::*;

    #[test]
    fn paths_and_queries_are_filled_in() {
        let destination = ApiDestination {
            name: "d".into(),
            id: "1".into(),
            description: None,
            connection: "c".into(),
            endpoint: "http://127.0.0.1:1/a/*/b/*?x=1".into(),
            method: "POST".into(),
            rate: 1,
            created_at: Timestamp::EPOCH,
        };
        let http = HttpParameters {
            path_parameter_values: Some(vec!["one".into(), "two".into()]),
            query_string_parameters: Some([("q".to_owned(), "a b".to_owned())].into()),
            ..HttpParameters::default()
        };
        let nothing = CreateConnectionAuthRequestParameters::default();
        let url = url(&destination, Some(&http), &nothing).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:1/a/one/b/two?x=1&q=a+b");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(judge(204), Outcome::Done);
        assert!(matches!(judge(503), Outcome::Failed(_)));
        assert!(matches!(judge(429), Outcome::Failed(_)));
        assert!(matches!(judge(404), Outcome::Refused(_)));
        assert!(matches!(judge(302), Outcome::Refused(_)));
    }
}
