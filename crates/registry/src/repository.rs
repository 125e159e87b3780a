//! Repositories as ECR's API knows them (Amazon ECR API Reference).

use std::collections::BTreeMap;
use std::sync::Arc;

use stdx::Timestamp;

use crate::error::RegistryError;
use crate::name;
use crate::page::{self, Page, Paged};
use crate::registry::Registry;
use crate::state::{Change, Repository, RepositoryRecord, TagMutability};

/// The most resource tags that anything on AWS may have.
const MAX_RESOURCE_TAGS: usize = 50;

/// A repository to make.
#[derive(Clone, Debug, Default)]
pub struct NewRepository {
    /// Its name, with slashes for namespaces.
    pub name: String,
    /// Whether its images' tags may move.
    pub mutability: TagMutability,
    /// AWS resource tags.
    pub tags: BTreeMap<String, String>,
}

impl NewRepository {
    /// One with nothing but a name.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

/// A repository as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryDescription {
    /// `repositoryName`.
    pub name: String,
    /// `repositoryArn`.
    pub arn: String,
    /// `registryId`: the account.
    pub registry_id: String,
    /// `repositoryUri`: what image references begin with.
    pub uri: String,
    /// `createdAt`.
    pub created_at: Timestamp,
    /// `imageTagMutability` and its exclusion filters.
    pub mutability: TagMutability,
}

impl Registry {
    fn describe(&self, name: &str, record: &RepositoryRecord) -> RepositoryDescription {
        let (account, region) = (&self.config.account, &self.config.region);
        RepositoryDescription {
            name: name.to_owned(),
            arn: format!("arn:aws:ecr:{region}:{account}:repository/{name}"),
            registry_id: account.clone(),
            uri: format!("{}/{name}", self.host()),
            created_at: record.created_at,
            mutability: record.mutability.clone(),
        }
    }

    /// `CreateRepository`.
    pub async fn create_repository(
        self: &Arc<Self>,
        new: NewRepository,
    ) -> Result<RepositoryDescription, RegistryError> {
        name::check_repository(&new.name)?;
        check_mutability(&new.mutability)?;
        check_resource_tags(&new.tags)?;
        self.blocking(move |registry| {
            let record = RepositoryRecord {
                created_at: registry.now(),
                mutability: new.mutability,
                resource_tags: new.tags,
            };
            registry.change(|state| {
                if state.repositories.contains_key(&new.name) {
                    let (name, registry) = (new.name.clone(), registry.config.account.clone());
                    return Err(RegistryError::RepositoryAlreadyExists { name, registry });
                }
                let described = registry.describe(&new.name, &record);
                Ok((vec![Change::Repository(new.name.clone(), Some(record.clone()))], described))
            })
        })
        .await
    }

    /// `DescribeRepositories`: the named ones, or all in pages. A name that does not exist is an
    /// error.
    pub fn describe_repositories(
        &self,
        names: &[String],
        page: &Page,
    ) -> Result<Paged<RepositoryDescription>, RegistryError> {
        let state = self.state();
        if names.is_empty() {
            let each = state.repositories.iter();
            return page::cut(
                each.map(|(name, r)| (name.clone(), self.describe(name, &r.record))),
                page,
            );
        }
        let named =
            names.iter().map(|name| Ok(self.describe(name, &self.find(&state, name)?.record)));
        Ok(Paged { items: named.collect::<Result<_, _>>()?, next: None })
    }

    /// `DeleteRepository`. One with images is deleted only with `force`.
    pub async fn delete_repository(
        self: &Arc<Self>,
        name: &str,
        force: bool,
    ) -> Result<RepositoryDescription, RegistryError> {
        let name = name.to_owned();
        self.blocking(move |registry| {
            registry.change(|state| {
                let repository = registry.find(state, &name)?;
                if !force && !repository.images.is_empty() {
                    let (name, registry) = (name.clone(), registry.config.account.clone());
                    return Err(RegistryError::RepositoryNotEmpty { name, registry });
                }
                let described = registry.describe(&name, &repository.record);
                Ok((vec![Change::Repository(name.clone(), None)], described))
            })
        })
        .await
    }

    /// `PutImageTagMutability`.
    pub async fn put_tag_mutability(
        self: &Arc<Self>,
        name: &str,
        mutability: TagMutability,
    ) -> Result<RepositoryDescription, RegistryError> {
        check_mutability(&mutability)?;
        self.edit(name, move |record| {
            record.mutability = mutability;
            Ok(())
        })
        .await
    }

    /// `TagResource`, for the repository with this name.
    pub async fn tag_repository(
        self: &Arc<Self>,
        name: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), RegistryError> {
        self.edit(name, move |record| {
            record.resource_tags.extend(tags);
            check_resource_tags(&record.resource_tags)
        })
        .await
        .map(drop)
    }

    /// `UntagResource`. Keys that are not there are passed over.
    pub async fn untag_repository(
        self: &Arc<Self>,
        name: &str,
        keys: Vec<String>,
    ) -> Result<(), RegistryError> {
        self.edit(name, move |record| {
            record.resource_tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await
        .map(drop)
    }

    /// `ListTagsForResource`.
    pub fn repository_tags(&self, name: &str) -> Result<BTreeMap<String, String>, RegistryError> {
        Ok(self.find(&self.state(), name)?.record.resource_tags.clone())
    }

    async fn edit(
        self: &Arc<Self>,
        name: &str,
        edit: impl FnOnce(&mut RepositoryRecord) -> Result<(), RegistryError> + Send + 'static,
    ) -> Result<RepositoryDescription, RegistryError> {
        let name = name.to_owned();
        self.blocking(move |registry| {
            registry.change(|state| {
                let repository: &Repository = registry.find(state, &name)?;
                let mut record = repository.record.clone();
                edit(&mut record)?;
                let described = registry.describe(&name, &record);
                Ok((vec![Change::Repository(name.clone(), Some(record))], described))
            })
        })
        .await
    }
}

fn check_mutability(mutability: &TagMutability) -> Result<(), RegistryError> {
    let is_filter = |text: &String| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'*' | b'-');
        (1..=128).contains(&text.len())
            && text.bytes().all(letter)
            && text.bytes().filter(|b| *b == b'*').count() <= 2
    };
    if mutability.except.len() <= 5 && mutability.except.iter().all(is_filter) {
        return Ok(());
    }
    Err(RegistryError::InvalidParameter(
        "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'at most 5 filters, each of 1 to 128 letters, digits, '.', '_', '-' and at most two '*''".to_owned(),
    ))
}

fn check_resource_tags(tags: &BTreeMap<String, String>) -> Result<(), RegistryError> {
    if tags.len() > MAX_RESOURCE_TAGS {
        return Err(RegistryError::TooManyTags(format!(
            "A resource has at most {MAX_RESOURCE_TAGS} tags"
        )));
    }
    for (key, value) in tags {
        let (letters, value_letters) = (key.chars().count(), value.chars().count());
        if !(1..=128).contains(&letters) || value_letters > 256 {
            return Err(RegistryError::InvalidTag(format!(
                "The tag '{key}' is not valid: a key has 1 to 128 characters and a value at most 256"
            )));
        }
        if key.starts_with("aws:") {
            return Err(RegistryError::InvalidTag(format!(
                "The tag '{key}' is not valid: aws: is reserved"
            )));
        }
    }
    Ok(())
}
