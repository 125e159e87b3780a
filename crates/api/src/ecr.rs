//! ECR: the wire in front of [`registry::Registry`]. Images themselves go over `/v2/`.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html>

use std::sync::Arc;

use auth::EcrToken;
use aws::Error;
use aws::ecr::{
    AuthorizationData, BatchCheckLayerAvailabilityRequest, BatchCheckLayerAvailabilityResponse,
    BatchDeleteImageRequest, BatchDeleteImageResponse, BatchGetImageRequest, BatchGetImageResponse,
    CreateRepositoryRequest, CreateRepositoryResponse, DeleteRepositoryRequest,
    DeleteRepositoryResponse, DescribeImagesRequest, DescribeImagesResponse,
    DescribeRepositoriesRequest, DescribeRepositoriesResponse, Ecr, ErrorKind,
    GetAuthorizationTokenRequest, GetAuthorizationTokenResponse, ListImagesRequest,
    ListImagesResponse, ListTagsForResourceRequest, ListTagsForResourceResponse,
    PutImageTagMutabilityRequest, PutImageTagMutabilityResponse, TagResourceRequest,
    TagResourceResponse, UntagResourceRequest, UntagResourceResponse,
};
use registry::{NewRepository, Registry, RegistryError};

use crate::door::{Caller, Door};
use crate::ecr_wire as wire;

/// How many images one batch may name.
const MOST_IN_BATCH: usize = 100;

/// A refusal or failure of the registry as ECR answers it.
fn error(error: &RegistryError) -> Error {
    use ErrorKind as K;
    let kind = match error {
        RegistryError::RepositoryNotFound { .. } => K::RepositoryNotFoundException,
        RegistryError::RepositoryAlreadyExists { .. } => K::RepositoryAlreadyExistsException,
        RegistryError::RepositoryNotEmpty { .. } => K::RepositoryNotEmptyException,
        RegistryError::ImageNotFound { .. } => K::ImageNotFoundException,
        RegistryError::InvalidParameter(_) | RegistryError::InvalidManifest(_) => {
            K::InvalidParameterException
        }
        RegistryError::ImageTagAlreadyExists { .. } => K::ImageTagAlreadyExistsException,
        RegistryError::ImageDigestDoesNotMatch { .. } => K::ImageDigestDoesNotMatchException,
        RegistryError::LayersNotFound { .. } => K::LayersNotFoundException,
        RegistryError::ReferencedImagesNotFound { .. } => K::ReferencedImagesNotFoundException,
        RegistryError::InvalidTag(_) => K::InvalidTagParameterException,
        RegistryError::TooManyTags(_) => K::TooManyTagsException,
        RegistryError::Disk { .. } | RegistryError::Records { .. } => {
            tracing::error!(error = stdx::chain(error), "the registry failed");
            return K::ServerException
                .with("The registry failed, and nothing was done. The server's log says why.");
        }
    };
    kind.with(error.to_string())
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    ErrorKind::InvalidParameterException.with(message)
}

impl Door {
    fn registry(&self) -> &Arc<Registry> {
        &self.config().registry
    }

    /// There is one registry, whose id is the account.
    fn check_registry(&self, id: Option<&str>) -> Result<(), Error> {
        match id {
            Some(id) if id != self.realm().account => Err(invalid(format!(
                "registryId: the registry here is {}, not {id}.",
                self.realm().account
            ))),
            _ => Ok(()),
        }
    }

    /// The repository that an ARN names.
    fn repository_of_arn(&self, arn: Option<&str>) -> Result<String, Error> {
        let (realm, arn) = (self.realm(), arn.unwrap_or_default());
        let prefix =
            format!("arn:{}:ecr:{}:{}:repository/", realm.partition, realm.region, realm.account);
        arn.strip_prefix(&prefix).map(str::to_owned).ok_or_else(|| {
            invalid(format!(
                "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN': \
                 \"{arn}\" does not begin with {prefix}"
            ))
        })
    }
}

impl Ecr for Door {
    type Context = Caller;

    async fn create_repository(
        &self,
        _: &Caller,
        request: CreateRepositoryRequest,
    ) -> Result<CreateRepositoryResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        wire::check_new(&request)?;
        let new = NewRepository {
            name: request.repository_name.unwrap_or_default(),
            mutability: wire::mutability(
                request.image_tag_mutability.as_ref(),
                request.image_tag_mutability_exclusion_filters,
            )?,
            tags: wire::read_tags(request.tags.unwrap_or_default()),
        };
        let made = self.registry().create_repository(new).await.map_err(|e| error(&e))?;
        Ok(CreateRepositoryResponse { repository: Some(wire::repository(made)) })
    }

    async fn describe_repositories(
        &self,
        _: &Caller,
        request: DescribeRepositoriesRequest,
    ) -> Result<DescribeRepositoriesResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let names = request.repository_names.unwrap_or_default();
        let page = wire::page(request.max_results, request.next_token)?;
        let found = self.registry().describe_repositories(&names, &page).map_err(|e| error(&e))?;
        Ok(DescribeRepositoriesResponse {
            repositories: Some(found.items.into_iter().map(wire::repository).collect()),
            next_token: found.next,
        })
    }

    async fn delete_repository(
        &self,
        _: &Caller,
        request: DeleteRepositoryRequest,
    ) -> Result<DeleteRepositoryResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let name = request.repository_name.unwrap_or_default();
        let force = request.force.unwrap_or(false);
        let gone = self.registry().delete_repository(&name, force).await.map_err(|e| error(&e))?;
        Ok(DeleteRepositoryResponse { repository: Some(wire::repository(gone)) })
    }

    /// One token for the one registry. It is good for twelve hours.
    async fn get_authorization_token(
        &self,
        caller: &Caller,
        request: GetAuthorizationTokenRequest,
    ) -> Result<GetAuthorizationTokenResponse, Error> {
        for id in request.registry_ids.iter().flatten() {
            self.check_registry(Some(id))?;
        }
        let (password, until) = self.config().ecr_token.mint(&caller.identity, self.now());
        let authorization = EcrToken::authorization(&password);
        Ok(GetAuthorizationTokenResponse {
            authorization_data: Some(vec![AuthorizationData {
                authorization_token: Some(authorization.reveal().to_owned()),
                expires_at: Some(until),
                proxy_endpoint: Some(self.config().endpoints.registry.clone()),
            }]),
        })
    }

    async fn describe_images(
        &self,
        _: &Caller,
        request: DescribeImagesRequest,
    ) -> Result<DescribeImagesResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let filter = request.filter.unwrap_or_default();
        let page = wire::page(request.max_results, request.next_token)?;
        if wire::only_archived(filter.image_status.as_ref()) {
            return Ok(DescribeImagesResponse {
                image_details: Some(Vec::new()),
                next_token: None,
            });
        }
        let name = request.repository_name.unwrap_or_default();
        let ids = wire::image_ids(request.image_ids);
        let status = wire::tag_status(filter.tag_status.as_ref());
        let found =
            self.registry().describe_images(&name, &ids, status, &page).map_err(|e| error(&e))?;
        let account = &self.realm().account;
        let details = found.items.into_iter().map(|image| wire::image(image, account, &name));
        Ok(DescribeImagesResponse {
            image_details: Some(details.collect()),
            next_token: found.next,
        })
    }

    async fn list_images(
        &self,
        _: &Caller,
        request: ListImagesRequest,
    ) -> Result<ListImagesResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let filter = request.filter.unwrap_or_default();
        let page = wire::page(request.max_results, request.next_token)?;
        if wire::only_archived(filter.image_status.as_ref()) {
            return Ok(ListImagesResponse { image_ids: Some(Vec::new()), next_token: None });
        }
        let name = request.repository_name.unwrap_or_default();
        let status = wire::tag_status(filter.tag_status.as_ref());
        let found = self.registry().list_images(&name, status, &page).map_err(|e| error(&e))?;
        Ok(ListImagesResponse {
            image_ids: Some(found.items.into_iter().map(wire::image_id).collect()),
            next_token: found.next,
        })
    }

    async fn batch_get_image(
        &self,
        _: &Caller,
        request: BatchGetImageRequest,
    ) -> Result<BatchGetImageResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let name = request.repository_name.unwrap_or_default();
        let ids = wire::image_ids(request.image_ids);
        check_batch(ids.len())?;
        let batch = self.registry().batch_get_image(&name, ids).await.map_err(|e| error(&e))?;
        let accepted = request.accepted_media_types.unwrap_or_default();
        Ok(wire::batch_get(batch, &accepted, &self.realm().account, &name))
    }

    async fn batch_delete_image(
        &self,
        _: &Caller,
        request: BatchDeleteImageRequest,
    ) -> Result<BatchDeleteImageResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let name = request.repository_name.unwrap_or_default();
        let ids = wire::image_ids(request.image_ids);
        check_batch(ids.len())?;
        let batch = self.registry().batch_delete_image(&name, ids).await.map_err(|e| error(&e))?;
        Ok(BatchDeleteImageResponse {
            image_ids: Some(batch.done.into_iter().map(wire::image_id).collect()),
            failures: Some(batch.failures.into_iter().map(wire::failure).collect()),
        })
    }

    async fn batch_check_layer_availability(
        &self,
        _: &Caller,
        request: BatchCheckLayerAvailabilityRequest,
    ) -> Result<BatchCheckLayerAvailabilityResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let name = request.repository_name.unwrap_or_default();
        let digests = request.layer_digests.unwrap_or_default();
        check_batch(digests.len())?;
        let (known, failures) = wire::layer_digests(digests);
        let sizes = self.registry().layer_sizes(&name, &known).map_err(|e| error(&e))?;
        let layers = known.iter().zip(sizes).map(|(digest, size)| wire::layer(digest, size));
        Ok(BatchCheckLayerAvailabilityResponse {
            layers: Some(layers.collect()),
            failures: Some(failures),
        })
    }

    async fn put_image_tag_mutability(
        &self,
        _: &Caller,
        request: PutImageTagMutabilityRequest,
    ) -> Result<PutImageTagMutabilityResponse, Error> {
        self.check_registry(request.registry_id.as_deref())?;
        let name = request.repository_name.unwrap_or_default();
        let mutability = wire::mutability(
            request.image_tag_mutability.as_ref(),
            request.image_tag_mutability_exclusion_filters,
        )?;
        let now =
            self.registry().put_tag_mutability(&name, mutability).await.map_err(|e| error(&e))?;
        let (mutability, filters) = wire::show_mutability(now.mutability);
        Ok(PutImageTagMutabilityResponse {
            image_tag_mutability: Some(mutability),
            image_tag_mutability_exclusion_filters: filters,
            registry_id: Some(now.registry_id),
            repository_name: Some(now.name),
        })
    }

    async fn tag_resource(
        &self,
        _: &Caller,
        request: TagResourceRequest,
    ) -> Result<TagResourceResponse, Error> {
        let name = self.repository_of_arn(request.resource_arn.as_deref())?;
        let tags = wire::read_tags(request.tags.unwrap_or_default());
        self.registry().tag_repository(&name, tags).await.map_err(|e| error(&e))?;
        Ok(TagResourceResponse::default())
    }

    async fn untag_resource(
        &self,
        _: &Caller,
        request: UntagResourceRequest,
    ) -> Result<UntagResourceResponse, Error> {
        let name = self.repository_of_arn(request.resource_arn.as_deref())?;
        let keys = request.tag_keys.unwrap_or_default();
        self.registry().untag_repository(&name, keys).await.map_err(|e| error(&e))?;
        Ok(UntagResourceResponse::default())
    }

    async fn list_tags_for_resource(
        &self,
        _: &Caller,
        request: ListTagsForResourceRequest,
    ) -> Result<ListTagsForResourceResponse, Error> {
        let name = self.repository_of_arn(request.resource_arn.as_deref())?;
        let tags = self.registry().repository_tags(&name).map_err(|e| error(&e))?;
        Ok(ListTagsForResourceResponse { tags: Some(wire::show_tags(tags)) })
    }
}

fn check_batch(len: usize) -> Result<(), Error> {
    if (1..=MOST_IN_BATCH).contains(&len) {
        return Ok(());
    }
    Err(invalid(format!("A batch names between 1 and {MOST_IN_BATCH} of them, not {len}.")))
}
