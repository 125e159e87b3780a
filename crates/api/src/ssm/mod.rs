//! Systems Manager: Parameter Store, the wire in front of [`vault::Vault`]; Session Manager as far as
//! ExecuteCommand's sessions need it is in `exec_ssm`.
//! <https://docs.aws.amazon.com/systems-manager/latest/APIReference/Welcome.html>

mod view;

use std::collections::BTreeSet;

use auth::Dialect;
use aws::Error;
use aws::ssm::{
    AddTagsToResourceRequest, AddTagsToResourceResult, DeleteParameterRequest,
    DeleteParameterResult, DeleteParametersRequest, DeleteParametersResult,
    DescribeParametersRequest, DescribeParametersResult, DescribeSessionsRequest,
    DescribeSessionsResponse, ErrorKind, GetParameterHistoryRequest, GetParameterHistoryResult,
    GetParameterRequest, GetParameterResult, GetParametersByPathRequest, GetParametersByPathResult,
    GetParametersRequest, GetParametersResult, LabelParameterVersionRequest,
    LabelParameterVersionResult, ListTagsForResourceRequest, ListTagsForResourceResult,
    PutParameterRequest, PutParameterResult, RemoveTagsFromResourceRequest,
    RemoveTagsFromResourceResult, ResourceTypeForTagging, ResumeSessionRequest,
    ResumeSessionResponse, Ssm, Tag, TerminateSessionRequest, TerminateSessionResponse,
    UnlabelParameterVersionRequest, UnlabelParameterVersionResult,
};
use vault::{DescribeQuery, PathQuery, PutParameter, SecretValue, Tags, Vault, VaultError};

use crate::authenticate::refusal;
use crate::door::{Caller, Door};
use crate::exec_ssm;

/// A refusal or failure of the vault as Systems Manager answers it.
fn error(error: &VaultError) -> Error {
    if let Some(code) = error.code() {
        return match ErrorKind::from_code(code) {
            Some(kind) => kind.with(error.to_string()),
            None => Error::new(code, 400, error.to_string()),
        };
    }
    tracing::error!(error = stdx::chain(error), "the vault failed");
    ErrorKind::InternalServerError
        .with("The vault failed, and nothing was done. The server's log says why.")
}

fn invalid(message: impl Into<String>) -> Error {
    ErrorKind::ValidationException.with(message)
}

/// Text that the model requires and that has been checked to be there.
fn given(value: Option<String>) -> String {
    value.unwrap_or_default()
}

/// The parameter of a call about tags, which may be about other things elsewhere.
fn tagged(
    kind: Option<&ResourceTypeForTagging>,
    resource: Option<String>,
) -> Result<String, Error> {
    match kind {
        Some(ResourceTypeForTagging::Parameter) => Ok(given(resource)),
        other => Err(ErrorKind::InvalidResourceType.with(format!(
            "ResourceType: {} is not built yet in Wharf; only Parameter is.",
            other.map_or_else(String::new, ToString::to_string)
        ))),
    }
}

fn tags(list: Option<Vec<Tag>>) -> Result<Tags, Error> {
    let mut tags = Tags::new();
    for tag in list.unwrap_or_default() {
        let key = given(tag.key);
        if tags.insert(key.clone(), given(tag.value)).is_some() {
            return Err(invalid(format!("Duplicate tag keys found: \"{key}\" is given twice.")));
        }
    }
    Ok(tags)
}

/// What a parameter's name begins with that is a secret of Secrets Manager.
const REFERENCE: &str = "/aws/reference/secretsmanager/";

impl Door {
    fn parameters(&self) -> &Vault {
        &self.config().vault
    }

    /// A role that reads a secret by way of a parameter has to be allowed to read the secret.
    async fn may_refer(&self, caller: &Caller, name: &str) -> Result<(), Error> {
        let Some(secret) = name.strip_prefix(REFERENCE) else { return Ok(()) };
        let secret = secret.split_once(':').map_or(secret, |(name, _)| name);
        // One that is not there is told so when it is read.
        let Ok(known) = self.parameters().describe_secret(secret).await else { return Ok(()) };
        self.permit(caller, "secretsmanager:GetSecretValue", &known.arn)
            .map_err(|error| refusal(&error, Dialect::Json))
    }
}

impl Ssm for Door {
    type Context = Caller;

    async fn put_parameter(
        &self,
        caller: &Caller,
        request: PutParameterRequest,
    ) -> Result<PutParameterResult, Error> {
        let none = |text: &str| matches!(text.trim(), "" | "[]" | "[{}]");
        if request.policies.as_deref().is_some_and(|policies| !none(policies)) {
            return Err(ErrorKind::InvalidPolicyTypeException.with(
                "Policies: policies of parameters are not built yet in Wharf; leave it out.",
            ));
        }
        let wanted = PutParameter {
            name: given(request.name),
            value: SecretValue::text(given(request.value)),
            kind: request.r#type.as_ref().map(view::read_type).transpose()?,
            description: request.description,
            key_id: request.key_id,
            overwrite: request.overwrite.unwrap_or(false),
            allowed_pattern: request.allowed_pattern,
            tags: tags(request.tags)?,
            tier: request.tier.as_ref().map(view::read_tier).transpose()?,
            data_type: request.data_type,
            user: caller.identity.principal.arn.clone(),
        };
        let made = self.parameters().put_parameter(wanted).await.map_err(|e| error(&e))?;
        Ok(PutParameterResult {
            tier: Some(view::tier(made.tier)),
            version: Some(view::number(made.version)),
        })
    }

    async fn resume_session(
        &self,
        _: &Caller,
        request: ResumeSessionRequest,
    ) -> Result<ResumeSessionResponse, Error> {
        exec_ssm::resume(self, request).await
    }

    async fn terminate_session(
        &self,
        _: &Caller,
        request: TerminateSessionRequest,
    ) -> Result<TerminateSessionResponse, Error> {
        exec_ssm::terminate(self, request)
    }

    async fn describe_sessions(
        &self,
        _: &Caller,
        request: DescribeSessionsRequest,
    ) -> Result<DescribeSessionsResponse, Error> {
        exec_ssm::describe(self, &request)
    }

    async fn get_parameter(
        &self,
        caller: &Caller,
        request: GetParameterRequest,
    ) -> Result<GetParameterResult, Error> {
        let decrypt = request.with_decryption.unwrap_or(false);
        let name = given(request.name);
        self.may_refer(caller, &name).await?;
        let found = self.parameters().parameter(&name, decrypt).await.map_err(|e| error(&e))?;
        Ok(GetParameterResult { parameter: Some(view::parameter(found)) })
    }

    async fn get_parameters(
        &self,
        caller: &Caller,
        request: GetParametersRequest,
    ) -> Result<GetParametersResult, Error> {
        let names = request.names.unwrap_or_default();
        let unlike: BTreeSet<&String> = names.iter().collect();
        if unlike.len() < names.len() {
            return Err(invalid("Names: the same name is given more than once."));
        }
        for name in &names {
            self.may_refer(caller, name).await?;
        }
        let decrypt = request.with_decryption.unwrap_or(false);
        let (found, missing) =
            self.parameters().parameters(names, decrypt).await.map_err(|e| error(&e))?;
        Ok(GetParametersResult {
            invalid_parameters: Some(missing),
            parameters: Some(found.into_iter().map(view::parameter).collect()),
        })
    }

    async fn get_parameters_by_path(
        &self,
        _: &Caller,
        request: GetParametersByPathRequest,
    ) -> Result<GetParametersByPathResult, Error> {
        let query = PathQuery {
            path: given(request.path),
            recursive: request.recursive.unwrap_or(false),
            decrypt: request.with_decryption.unwrap_or(false),
            filters: view::filters(request.parameter_filters)?,
            limit: request.max_results.map(i64::from),
            next_token: request.next_token,
        };
        let page = self.parameters().parameters_by_path(query).await.map_err(|e| error(&e))?;
        Ok(GetParametersByPathResult {
            parameters: Some(page.items.into_iter().map(view::parameter).collect()),
            next_token: page.next_token,
        })
    }

    async fn get_parameter_history(
        &self,
        _: &Caller,
        request: GetParameterHistoryRequest,
    ) -> Result<GetParameterHistoryResult, Error> {
        let (name, decrypt) = (given(request.name), request.with_decryption.unwrap_or(false));
        let limit = request.max_results.map(i64::from);
        let page = self
            .parameters()
            .parameter_history(&name, decrypt, limit, request.next_token.as_deref())
            .await
            .map_err(|e| error(&e))?;
        Ok(GetParameterHistoryResult {
            parameters: Some(page.items.into_iter().map(view::history).collect()),
            next_token: page.next_token,
        })
    }

    async fn describe_parameters(
        &self,
        _: &Caller,
        request: DescribeParametersRequest,
    ) -> Result<DescribeParametersResult, Error> {
        if request.shared == Some(true) {
            return Err(invalid(
                "Shared: parameters of other accounts are not built yet in Wharf; leave it out.",
            ));
        }
        let older = request.filters.filter(|filters| !filters.is_empty());
        if older.is_some() && request.parameter_filters.as_ref().is_some_and(|f| !f.is_empty()) {
            return Err(invalid("You can use either Filters or ParameterFilters in a request."));
        }
        let filters = match older {
            Some(filters) => view::older_filters(filters)?,
            None => view::filters(request.parameter_filters)?,
        };
        let query = DescribeQuery {
            filters,
            limit: request.max_results.map(i64::from),
            next_token: request.next_token,
        };
        let page = self.parameters().describe_parameters(query).await.map_err(|e| error(&e))?;
        Ok(DescribeParametersResult {
            parameters: Some(page.items.into_iter().map(view::metadata).collect()),
            next_token: page.next_token,
        })
    }

    async fn delete_parameter(
        &self,
        _: &Caller,
        request: DeleteParameterRequest,
    ) -> Result<DeleteParameterResult, Error> {
        let name = given(request.name);
        self.parameters().delete_parameter(&name).await.map_err(|e| error(&e))?;
        Ok(DeleteParameterResult::default())
    }

    async fn delete_parameters(
        &self,
        _: &Caller,
        request: DeleteParametersRequest,
    ) -> Result<DeleteParametersResult, Error> {
        let names = request.names.unwrap_or_default();
        let deleted =
            self.parameters().delete_parameters(names.clone()).await.map_err(|e| error(&e))?;
        let missing = names.into_iter().filter(|name| !deleted.contains(name)).collect();
        Ok(DeleteParametersResult {
            deleted_parameters: Some(deleted),
            invalid_parameters: Some(missing),
        })
    }

    async fn label_parameter_version(
        &self,
        _: &Caller,
        request: LabelParameterVersionRequest,
    ) -> Result<LabelParameterVersionResult, Error> {
        let (name, labels) = (given(request.name), request.labels.unwrap_or_default());
        let labelled = self
            .parameters()
            .label_parameter(&name, request.parameter_version, labels)
            .await
            .map_err(|e| error(&e))?;
        Ok(LabelParameterVersionResult {
            invalid_labels: Some(labelled.invalid),
            parameter_version: Some(view::number(labelled.version)),
        })
    }

    async fn unlabel_parameter_version(
        &self,
        _: &Caller,
        request: UnlabelParameterVersionRequest,
    ) -> Result<UnlabelParameterVersionResult, Error> {
        let (name, labels) = (given(request.name), request.labels.unwrap_or_default());
        let version = request.parameter_version.unwrap_or(0);
        let outcome = self
            .parameters()
            .unlabel_parameter(&name, version, labels)
            .await
            .map_err(|e| error(&e))?;
        Ok(UnlabelParameterVersionResult {
            invalid_labels: Some(outcome.invalid),
            removed_labels: Some(outcome.removed),
        })
    }

    async fn add_tags_to_resource(
        &self,
        _: &Caller,
        request: AddTagsToResourceRequest,
    ) -> Result<AddTagsToResourceResult, Error> {
        let name = tagged(request.resource_type.as_ref(), request.resource_id)?;
        let tags = tags(request.tags)?;
        self.parameters().tag_parameter(&name, tags).await.map_err(|e| error(&e))?;
        Ok(AddTagsToResourceResult::default())
    }

    async fn remove_tags_from_resource(
        &self,
        _: &Caller,
        request: RemoveTagsFromResourceRequest,
    ) -> Result<RemoveTagsFromResourceResult, Error> {
        let name = tagged(request.resource_type.as_ref(), request.resource_id)?;
        let keys = request.tag_keys.unwrap_or_default();
        self.parameters().untag_parameter(&name, keys).await.map_err(|e| error(&e))?;
        Ok(RemoveTagsFromResourceResult::default())
    }

    async fn list_tags_for_resource(
        &self,
        _: &Caller,
        request: ListTagsForResourceRequest,
    ) -> Result<ListTagsForResourceResult, Error> {
        let name = tagged(request.resource_type.as_ref(), request.resource_id)?;
        let tags = self.parameters().parameter_tags(&name).await.map_err(|e| error(&e))?;
        let tag = |(key, value)| Tag { key: Some(key), value: Some(value) };
        Ok(ListTagsForResourceResult { tag_list: Some(tags.into_iter().map(tag).collect()) })
    }
}
