//! Secrets Manager: the wire in front of [`vault::Vault`].
//! <https://docs.aws.amazon.com/secretsmanager/latest/apireference/Welcome.html>

mod value;
mod view;

use aws::Error;
use aws::secretsmanager::{
    BatchGetSecretValueRequest, BatchGetSecretValueResponse, CreateSecretRequest,
    CreateSecretResponse, DeleteSecretRequest, DeleteSecretResponse, DescribeSecretRequest,
    DescribeSecretResponse, ErrorKind, GetRandomPasswordRequest, GetRandomPasswordResponse,
    GetSecretValueRequest, GetSecretValueResponse, ListSecretVersionIdsRequest,
    ListSecretVersionIdsResponse, ListSecretsRequest, ListSecretsResponse, PutSecretValueRequest,
    PutSecretValueResponse, RestoreSecretRequest, RestoreSecretResponse, SecretsManager,
    SortByType, SortOrderType, Tag, TagResourceRequest, TagResourceResponse, UntagResourceRequest,
    UntagResourceResponse, UpdateSecretRequest, UpdateSecretResponse,
    UpdateSecretVersionStageRequest, UpdateSecretVersionStageResponse,
};
use shell::OsEntropy;
use vault::{
    CreateSecret, ListQuery, PasswordPolicy, Recovery, SecretSort, StageMove, Tags, UpdateSecret,
    Vault, VaultError, VersionChoice,
};

use crate::door::{Caller, Door};

/// A refusal or failure of the vault as Secrets Manager answers it.
fn error(error: &VaultError) -> Error {
    if let Some(code) = error.code() {
        return match ErrorKind::from_code(code) {
            Some(kind) => kind.with(error.to_string()),
            None => Error::new(code, 400, error.to_string()),
        };
    }
    tracing::error!(error = stdx::chain(error), "the vault failed");
    ErrorKind::InternalServiceError
        .with("The vault failed, and nothing was done. The server's log says why.")
}

fn invalid(message: impl Into<String>) -> Error {
    ErrorKind::InvalidParameterException.with(message)
}

fn not_built(member: &str, what: &str) -> Error {
    invalid(format!("{member}: {what} not built yet in Wharf; leave it out."))
}

/// Text that the model requires and that has been checked to be there.
fn given(value: Option<String>) -> String {
    value.unwrap_or_default()
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

/// Refuses a kind of secret that a partner rotates.
fn no_type(kind: Option<&String>) -> Result<(), Error> {
    match kind.filter(|kind| !kind.is_empty()) {
        Some(_) => Err(not_built("Type", "secrets that a partner manages are")),
        None => Ok(()),
    }
}

impl Door {
    fn vault(&self) -> &Vault {
        &self.config().vault
    }
}

impl SecretsManager for Door {
    type Context = Caller;

    async fn create_secret(
        &self,
        _: &Caller,
        request: CreateSecretRequest,
    ) -> Result<CreateSecretResponse, Error> {
        if request.add_replica_regions.is_some_and(|list| !list.is_empty())
            || request.force_overwrite_replica_secret == Some(true)
        {
            return Err(not_built("AddReplicaRegions", "replicas in other regions are"));
        }
        if request.cross_account_primary_arn.is_some() {
            return Err(not_built("CrossAccountPrimaryARN", "replicas of other accounts are"));
        }
        no_type(request.r#type.as_ref())?;
        let wanted = CreateSecret {
            name: given(request.name),
            token: request.client_request_token,
            description: request.description,
            kms_key_id: request.kms_key_id,
            value: value::read(request.secret_string, request.secret_binary)?,
            tags: tags(request.tags)?,
        };
        let made = self.vault().create_secret(wanted).await.map_err(|e| error(&e))?;
        Ok(CreateSecretResponse {
            arn: Some(made.arn),
            name: Some(made.name),
            version_id: made.version_id,
            replication_status: None,
        })
    }

    async fn put_secret_value(
        &self,
        _: &Caller,
        request: PutSecretValueRequest,
    ) -> Result<PutSecretValueResponse, Error> {
        if request.rotation_token.is_some() {
            return Err(not_built("RotationToken", "rotation is"));
        }
        let Some(value) = value::read(request.secret_string, request.secret_binary)? else {
            return Err(ErrorKind::InvalidRequestException
                .with("You must provide either SecretString or SecretBinary."));
        };
        let stages = request.version_stages.unwrap_or_default().into_iter().collect();
        let id = given(request.secret_id);
        let made = self
            .vault()
            .put_secret_value(&id, request.client_request_token, value, stages)
            .await
            .map_err(|e| error(&e))?;
        Ok(PutSecretValueResponse {
            arn: Some(made.arn),
            name: Some(made.name),
            version_id: made.version_id,
            version_stages: Some(made.stages.into_iter().collect()),
        })
    }

    async fn update_secret(
        &self,
        _: &Caller,
        request: UpdateSecretRequest,
    ) -> Result<UpdateSecretResponse, Error> {
        no_type(request.r#type.as_ref())?;
        let wanted = UpdateSecret {
            token: request.client_request_token,
            description: request.description,
            kms_key_id: request.kms_key_id,
            value: value::read(request.secret_string, request.secret_binary)?,
        };
        let id = given(request.secret_id);
        let made = self.vault().update_secret(&id, wanted).await.map_err(|e| error(&e))?;
        Ok(UpdateSecretResponse {
            arn: Some(made.arn),
            name: Some(made.name),
            version_id: made.version_id,
        })
    }

    async fn update_secret_version_stage(
        &self,
        _: &Caller,
        request: UpdateSecretVersionStageRequest,
    ) -> Result<UpdateSecretVersionStageResponse, Error> {
        let step = StageMove {
            stage: given(request.version_stage),
            to: request.move_to_version_id,
            from: request.remove_from_version_id,
        };
        let id = given(request.secret_id);
        let (arn, name) = self.vault().move_secret_stage(&id, step).await.map_err(|e| error(&e))?;
        Ok(UpdateSecretVersionStageResponse { arn: Some(arn), name: Some(name) })
    }

    async fn get_secret_value(
        &self,
        _: &Caller,
        request: GetSecretValueRequest,
    ) -> Result<GetSecretValueResponse, Error> {
        let id = given(request.secret_id);
        let choice = VersionChoice { id: request.version_id, stage: request.version_stage };
        let found = self.vault().secret_value(&id, choice).await.map_err(|e| error(&e))?;
        let (secret_string, secret_binary) = value::show(&found.value);
        Ok(GetSecretValueResponse {
            arn: Some(found.arn),
            created_date: Some(found.created),
            name: Some(found.name),
            secret_binary,
            secret_string,
            version_id: Some(found.version_id),
            version_stages: Some(found.stages.into_iter().collect()),
        })
    }

    async fn batch_get_secret_value(
        &self,
        _: &Caller,
        request: BatchGetSecretValueRequest,
    ) -> Result<BatchGetSecretValueResponse, Error> {
        value::batch(self.vault(), request).await
    }

    async fn describe_secret(
        &self,
        _: &Caller,
        request: DescribeSecretRequest,
    ) -> Result<DescribeSecretResponse, Error> {
        let id = given(request.secret_id);
        let secret = self.vault().describe_secret(&id).await.map_err(|e| error(&e))?;
        Ok(view::described(secret))
    }

    async fn list_secret_version_ids(
        &self,
        _: &Caller,
        request: ListSecretVersionIdsRequest,
    ) -> Result<ListSecretVersionIdsResponse, Error> {
        let id = given(request.secret_id);
        let deprecated = request.include_deprecated.unwrap_or(false);
        let limit = request.max_results.map(i64::from);
        let (secret, page) = self
            .vault()
            .secret_versions(&id, deprecated, limit, request.next_token.as_deref())
            .await
            .map_err(|e| error(&e))?;
        let versions = page.items.into_iter().map(|version| view::version(&secret, version));
        Ok(ListSecretVersionIdsResponse {
            versions: Some(versions.collect()),
            next_token: page.next_token,
            arn: Some(secret.arn),
            name: Some(secret.name),
        })
    }

    async fn list_secrets(
        &self,
        _: &Caller,
        request: ListSecretsRequest,
    ) -> Result<ListSecretsResponse, Error> {
        let query = ListQuery {
            filters: view::filters(request.filters)?,
            deleted: request.include_planned_deletion.unwrap_or(false),
            sort: match request.sort_by {
                None | Some(SortByType::CreatedDate) => SecretSort::Created,
                Some(SortByType::LastAccessedDate) => SecretSort::Accessed,
                Some(SortByType::LastChangedDate) => SecretSort::Changed,
                Some(SortByType::Name) => SecretSort::Name,
                Some(other) => return Err(not_built("SortBy", &format!("an order by {other} is"))),
            },
            descending: request.sort_order == Some(SortOrderType::Desc),
            limit: request.max_results.map(i64::from),
            next_token: request.next_token,
        };
        let page = self.vault().list_secrets(query).await.map_err(|e| error(&e))?;
        Ok(ListSecretsResponse {
            secret_list: Some(page.items.into_iter().map(view::listed).collect()),
            next_token: page.next_token,
        })
    }

    async fn delete_secret(
        &self,
        _: &Caller,
        request: DeleteSecretRequest,
    ) -> Result<DeleteSecretResponse, Error> {
        let days = request.recovery_window_in_days;
        let how = match request.force_delete_without_recovery {
            Some(true) if days.is_some() => {
                return Err(invalid(
                    "You can't use ForceDeleteWithoutRecovery in conjunction with \
                     RecoveryWindowInDays.",
                ));
            }
            Some(true) => Recovery::None,
            Some(false) | None => Recovery::Days(days),
        };
        let id = given(request.secret_id);
        let deleted = self.vault().delete_secret(&id, how).await.map_err(|e| error(&e))?;
        Ok(DeleteSecretResponse {
            arn: Some(deleted.arn),
            name: Some(deleted.name),
            deletion_date: Some(deleted.due),
        })
    }

    async fn restore_secret(
        &self,
        _: &Caller,
        request: RestoreSecretRequest,
    ) -> Result<RestoreSecretResponse, Error> {
        let id = given(request.secret_id);
        let (arn, name) = self.vault().restore_secret(&id).await.map_err(|e| error(&e))?;
        Ok(RestoreSecretResponse { arn: Some(arn), name: Some(name) })
    }

    async fn tag_resource(
        &self,
        _: &Caller,
        request: TagResourceRequest,
    ) -> Result<TagResourceResponse, Error> {
        let (id, tags) = (given(request.secret_id), tags(request.tags)?);
        self.vault().tag_secret(&id, tags).await.map_err(|e| error(&e))?;
        Ok(TagResourceResponse::default())
    }

    async fn untag_resource(
        &self,
        _: &Caller,
        request: UntagResourceRequest,
    ) -> Result<UntagResourceResponse, Error> {
        let (id, keys) = (given(request.secret_id), request.tag_keys.unwrap_or_default());
        self.vault().untag_secret(&id, keys).await.map_err(|e| error(&e))?;
        Ok(UntagResourceResponse::default())
    }

    /// Nothing is kept of a password that is made.
    async fn get_random_password(
        &self,
        _: &Caller,
        request: GetRandomPasswordRequest,
    ) -> Result<GetRandomPasswordResponse, Error> {
        let with = |excluded: Option<bool>| !excluded.unwrap_or(false);
        let policy = PasswordPolicy {
            length: request.password_length.unwrap_or(32),
            exclude: request.exclude_characters.unwrap_or_default(),
            lowercase: with(request.exclude_lowercase),
            uppercase: with(request.exclude_uppercase),
            numbers: with(request.exclude_numbers),
            punctuation: with(request.exclude_punctuation),
            space: request.include_space.unwrap_or(false),
            each: request.require_each_included_type.unwrap_or(true),
        };
        let password = vault::random_password(&policy, &mut OsEntropy).map_err(|e| error(&e))?;
        Ok(GetRandomPasswordResponse { random_password: value::show(&password).0 })
    }
}
