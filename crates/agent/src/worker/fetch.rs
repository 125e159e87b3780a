//! Fetching what containers need before they start, as the task's execution role.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws::ClientError;
use aws::secretsmanager::{GetSecretValueRequest, GetSecretValueResponse};
use aws::ssm::GetParametersRequest;
use futures_util::future::{join_all, try_join_all};
use shell::OsEntropy;
use stdx::{Backoff, chain};

use crate::calls::{Calls, is};
use crate::plan::{
    EnvFile, Given, GivenContainer, SecretSource, SecretTarget, TaskPlan, parse_env_file,
};
use crate::roles::Roles;

/// So often something is asked for before the task fails.
const TRIES: u32 = 4;
/// GetParameters takes so many names.
const NAMES_AT_ONCE: usize = 10;
/// How ECS words it.
const FAILED: &str = "ResourceInitializationError: unable to pull secrets or registry auth: ";

/// Fetches everything.
///
/// # Errors
/// What could not be had, in ECS's words; a value is never in them.
pub(super) async fn fetch(
    node: &dyn Calls,
    roles: &Roles,
    plan: &TaskPlan,
) -> Result<Given, String> {
    let failed = |why: String| format!("{FAILED}{why}");
    let Some(credentials) = roles.execution(&plan.order).await.map_err(failed)? else {
        return Err(failed(
            "execution resource retrieval failed: the task has no execution role; give the task \
             definition an executionRoleArn"
                .to_owned(),
        ));
    };
    let calls = node.with(&credentials);
    let values = secrets(&calls, plan).await.map_err(failed)?;
    let containers = plan.containers.iter().map(|container| container.needs.env_files.as_slice());
    let files = try_join_all(containers.map(|files| env_files(&calls, files))).await.map_err(
        // ECS tells files apart from secrets.
        |why| format!("ResourceInitializationError: failed to download env files: {why}"),
    )?;
    let mut given = Given::default();
    for (container, env_files) in plan.containers.iter().zip(files) {
        let mut own = GivenContainer { env_files, ..GivenContainer::default() };
        if let Some(file) = &container.needs.router_config {
            let text = text_of(&calls, file, "firelens config file").await;
            own.router_config =
                Some(text.map_err(|why| format!("ResourceInitializationError: {why}"))?);
        }
        for secret in &container.needs.secrets {
            let Some(value) = values.get(&secret.source) else { continue };
            let pair = (secret.name.clone(), value.clone());
            match secret.target {
                SecretTarget::Environment => own.environment.push(pair),
                SecretTarget::LogOption => own.log_options.push(pair),
            }
        }
        if let Some(text) = container.needs.registry.as_ref().and_then(|id| values.get(id)) {
            own.registry = Some(login(text).map_err(failed)?);
        }
        given.containers.push(own);
    }
    Ok(given)
}

/// The value of each source that the task's containers name, each asked for once.
async fn secrets(
    calls: &Arc<dyn Calls>,
    plan: &TaskPlan,
) -> Result<BTreeMap<SecretSource, String>, String> {
    let needs = plan.containers.iter().map(|container| &container.needs);
    let mut sources: Vec<SecretSource> = needs
        .flat_map(|needs| {
            needs.secrets.iter().map(|secret| &secret.source).chain(needs.registry.as_ref())
        })
        .cloned()
        .collect();
    sources.sort();
    sources.dedup();
    let parameters: Vec<String> = sources
        .iter()
        .filter_map(|source| match source {
            SecretSource::Parameter(name) => Some(name.clone()),
            SecretSource::Secret { .. } => None,
        })
        .collect();
    let of_ssm = join_all(parameters.chunks(NAMES_AT_ONCE).map(|names| of_ssm(calls, names)));
    let of_asm = join_all(sources.iter().filter_map(|source| match source {
        SecretSource::Parameter(_) => None,
        SecretSource::Secret { .. } => Some(of_secrets_manager(calls, source)),
    }));
    let (of_ssm, of_asm) = tokio::join!(of_ssm, of_asm);
    let (mut values, mut reasons) = (BTreeMap::new(), Vec::new());
    for result in of_ssm {
        match result {
            Ok(found) => values.extend(found),
            Err(reason) => reasons.push(reason),
        }
    }
    for result in of_asm {
        match result {
            Ok((source, value)) => {
                values.insert(source, value);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if reasons.is_empty() { Ok(values) } else { Err(reasons.join(";")) }
}

/// Asks again while that may help; the count of tries is told with what failed at last.
async fn retried<T, F: Future<Output = Result<T, ClientError>>>(
    mut call: impl FnMut() -> F,
) -> Result<T, (ClientError, u32)> {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut tries = 1;
    loop {
        match call().await {
            Err(error) if error.retryable() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
            }
            result => return result.map_err(|error| (error, tries)),
        }
    }
}

async fn of_ssm(
    calls: &Arc<dyn Calls>,
    names: &[String],
) -> Result<Vec<(SecretSource, String)>, String> {
    let words = |tries: u32, why: &str| {
        format!(
            "execution resource retrieval failed: unable to retrieve secrets from ssm: service \
             call has been retried {tries} time(s): {why}"
        )
    };
    let request = GetParametersRequest { names: Some(names.to_vec()), with_decryption: Some(true) };
    let answer = retried(|| calls.parameters(request.clone())).await;
    let answer = answer.map_err(|(error, tries)| words(tries, &chain(&error)))?;
    if let Some(invalid) = answer.invalid_parameters.filter(|invalid| !invalid.is_empty()) {
        return Err(words(1, &format!("invalid parameters: {}", invalid.join(","))));
    }
    let parameters = answer.parameters.unwrap_or_default();
    names
        .iter()
        .map(|asked| {
            let found = parameters.iter().find(|parameter| {
                let selector = parameter.selector.as_deref().unwrap_or_default();
                [&parameter.name, &parameter.arn].into_iter().flatten().any(|known| {
                    known == asked || asked.strip_prefix(known.as_str()) == Some(selector)
                })
            });
            let value = found.and_then(|parameter| parameter.value.clone());
            let value = value.ok_or_else(|| words(1, &format!("invalid parameters: {asked}")))?;
            Ok((SecretSource::Parameter(asked.clone()), value))
        })
        .collect()
}

async fn of_secrets_manager(
    calls: &Arc<dyn Calls>,
    source: &SecretSource,
) -> Result<(SecretSource, String), String> {
    let SecretSource::Secret { id, key, stage, version } = source else {
        return Err("not a secret of Secrets Manager".to_owned());
    };
    let words = |tries: u32, why: &str| {
        format!(
            "execution resource retrieval failed: unable to retrieve secret from asm: service call \
             has been retried {tries} time(s): {why}"
        )
    };
    let request = GetSecretValueRequest {
        secret_id: Some(id.clone()),
        version_id: version.clone(),
        version_stage: stage.clone(),
    };
    let answer = retried(|| calls.secret(request.clone())).await.map_err(|(error, tries)| {
        let why = if is(&error, "ResourceNotFoundException") {
            format!(
                "ResourceNotFoundException: The task can't retrieve the secret with ARN '{id}' from \
                 AWS Secrets Manager. Check whether the secret exists in the specified Region"
            )
        } else {
            format!("secret {id}: {}", chain(&error))
        };
        words(tries, &why)
    })?;
    value(answer, id, key.as_deref())
        .map(|value| (source.clone(), value))
        .map_err(|why| words(1, &why))
}

/// The text of a secret, or of one member of it.
fn value(answer: GetSecretValueResponse, id: &str, key: Option<&str>) -> Result<String, String> {
    let text = answer
        .secret_string
        .ok_or_else(|| format!("secret {id} is binary; a container's secrets are texts"))?;
    let Some(key) = key else { return Ok(text) };
    // The error of the parser may show a piece of the text.
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
        .map_err(|_| format!("retrieved secret from Secrets Manager {id} is not a JSON object"))?;
    match members.get(key) {
        Some(serde_json::Value::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
        None => {
            Err(format!("retrieved secret from Secrets Manager did not contain json key {key}"))
        }
    }
}

/// A registry's user and password.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/private-auth.html>
fn login(text: &str) -> Result<runtime::Credentials, String> {
    let wrong = |why: &str| format!("asm fetching authorization data: {why}");
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|_| wrong("unable to unmarshal secret value, invalid schema"))?;
    let member = |name: &str| {
        let found = members.get(name).and_then(serde_json::Value::as_str);
        let found = found.filter(|text| !text.is_empty()).map(str::to_owned);
        found.ok_or_else(|| wrong(&format!("{name}: AuthorizationData is malformed, empty field")))
    };
    Ok(runtime::Credentials { username: member("username")?, password: member("password")? })
}

async fn env_files(
    calls: &Arc<dyn Calls>,
    files: &[EnvFile],
) -> Result<Vec<Vec<(String, String)>>, String> {
    let texts = join_all(files.iter().map(|file| text_of(calls, file, "env file"))).await;
    texts.into_iter().map(|text| text.map(|text| parse_env_file(&text))).collect()
}

/// A file of text from S3; `what` it is, for messages.
async fn text_of(calls: &Arc<dyn Calls>, file: &EnvFile, what: &str) -> Result<String, String> {
    let EnvFile { bucket, key } = file;
    let words = |why: String| {
        format!("unable to download {what} with key {key} from bucket {bucket}, error: {why}")
    };
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut tries = 1;
    loop {
        match calls.object(bucket, key).await {
            Ok(bytes) => {
                let text = String::from_utf8(bytes);
                return text.map_err(|_| words("it is not UTF-8 text".to_owned()));
            }
            Err(error) if error.retryable() && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(backoff.delay(&mut OsEntropy)).await;
            }
            Err(error) => return Err(words(chain(&error))),
        }
    }
}
