//! Manifests, tags, referrers and the catalogue.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;

use super::error::{Code, HttpError};
use super::route::TagPage;
use crate::digest::Digest;
use crate::image::{ImageFailureCode, ImageId};
use crate::manifest::{MAX_BYTES, OCI_INDEX};
use crate::push::Reference;
use crate::registry::Registry;

/// Names on a page if the client does not say, and at most.
const MOST_NAMES: usize = 1000;

pub(super) async fn get(
    registry: &Arc<Registry>,
    name: &str,
    reference: &Reference,
    head: bool,
) -> Result<Response, HttpError> {
    let (digest, media_type, bytes) = {
        let state = registry.state();
        let repository = registry.find(&state, name)?;
        let digest = match reference {
            Reference::Tag(tag) => repository.tags.get(tag),
            Reference::Digest(digest) => Some(digest),
        };
        let found = digest.and_then(|digest| Some((digest, repository.images.get(digest)?)));
        let (digest, image) = found.ok_or_else(|| unknown(name, reference))?;
        (digest.clone(), image.media_type.clone(), image.manifest_bytes)
    };
    let body = if head {
        Body::empty()
    } else {
        let digest = digest.clone();
        Body::from(registry.blocking(move |registry| registry.content.read(&digest)).await?)
    };
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_LENGTH, bytes)
        .header(header::ETAG, format!("\"{digest}\""))
        .header("docker-content-digest", digest.as_str())
        .body(body)
        .expect("all of these are valid headers"))
}

pub(super) async fn put(
    registry: &Arc<Registry>,
    name: &str,
    reference: Reference,
    request: Request,
) -> Result<Response, HttpError> {
    registry.repository_for_push(name).await?;
    let content_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let collected =
        Limited::new(request.into_body(), MAX_BYTES).collect().await.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                let message = format!("a manifest has at most {MAX_BYTES} bytes");
                return HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, message);
            }
            HttpError::bad(
                Code::ManifestInvalid,
                format!("the body could not be read to its end: {error}"),
            )
        })?;
    let bytes = collected.to_bytes().to_vec();
    let pushed = registry.put_manifest(name, reference, &content_type, bytes).await?;
    let mut response = super::empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    let value = |text: String| {
        HeaderValue::from_str(&text).expect("names and digests are valid in headers")
    };
    headers.insert(header::LOCATION, value(format!("/v2/{name}/manifests/{}", pushed.digest)));
    headers.insert("docker-content-digest", value(pushed.digest.to_string()));
    if let Some(subject) = pushed.subject {
        headers.insert("oci-subject", value(subject.to_string()));
    }
    Ok(response)
}

pub(super) async fn delete(
    registry: &Arc<Registry>,
    name: &str,
    reference: Reference,
) -> Result<Response, HttpError> {
    let absent = unknown(name, &reference);
    let digest = match reference {
        Reference::Tag(tag) => {
            return match registry.untag(name, tag).await? {
                true => Ok(super::empty(StatusCode::ACCEPTED)),
                false => Err(absent),
            };
        }
        Reference::Digest(digest) => digest,
    };
    let id = ImageId { digest: Some(digest.to_string()), tag: None };
    let batch = registry.batch_delete_image(name, vec![id]).await?;
    match batch.failures.first() {
        None => Ok(super::empty(StatusCode::ACCEPTED)),
        Some(failure) if failure.code == ImageFailureCode::NotFound => Err(absent),
        Some(failure) => {
            Err(HttpError::new(StatusCode::CONFLICT, Code::Denied, failure.reason.clone()))
        }
    }
}

fn unknown(name: &str, reference: &Reference) -> HttpError {
    let what = match reference {
        Reference::Tag(tag) => format!("tag '{tag}'"),
        Reference::Digest(digest) => format!("digest {digest}"),
    };
    HttpError::absent(
        Code::ManifestUnknown,
        format!("the repository '{name}' has no image with the {what}"),
    )
}

pub(super) fn tags(registry: &Registry, name: &str, page: &TagPage) -> Result<Response, HttpError> {
    #[derive(Serialize)]
    struct Tags<'a> {
        name: &'a str,
        tags: Vec<String>,
    }
    let state = registry.state();
    let repository = registry.find(&state, name)?;
    let (tags, link) = cut(repository.tags.keys(), page, &format!("/v2/{name}/tags/list"));
    Ok(json(&Tags { name, tags }, "application/json", link))
}

pub(super) fn catalog(registry: &Registry, page: &TagPage) -> Response {
    #[derive(Serialize)]
    struct Catalog {
        repositories: Vec<String>,
    }
    let state = registry.state();
    let (repositories, link) = cut(state.repositories.keys(), page, "/v2/_catalog");
    json(&Catalog { repositories }, "application/json", link)
}

/// A page of sorted names, and the `Link` to the next (distribution-spec, "Listing Tags").
fn cut<'a>(
    names: impl Iterator<Item = &'a String>,
    page: &TagPage,
    path: &str,
) -> (Vec<String>, Option<String>) {
    let most = page.n.unwrap_or(MOST_NAMES).min(MOST_NAMES);
    let mut rest = names.filter(|name| page.last.as_ref().is_none_or(|last| *name > last));
    let names: Vec<String> = rest.by_ref().take(most).cloned().collect();
    let link = names.last().filter(|_| rest.next().is_some()).map(|last| {
        let last: String = form_urlencoded::byte_serialize(last.as_bytes()).collect();
        format!("<{path}?n={most}&last={last}>; rel=\"next\"")
    });
    (names, link)
}

pub(super) fn referrers(
    registry: &Registry,
    name: &str,
    subject: &Digest,
    artifact_type: Option<&str>,
) -> Result<Response, HttpError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Referrer<'a> {
        media_type: &'a str,
        digest: &'a Digest,
        size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        artifact_type: Option<&'a str>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        annotations: &'a BTreeMap<String, String>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Index<'a> {
        schema_version: u32,
        media_type: &'a str,
        manifests: Vec<Referrer<'a>>,
    }
    let state = registry.state();
    let repository = registry.find(&state, name)?;
    let all = repository.referrers(subject).map(|(digest, image)| Referrer {
        media_type: &image.media_type,
        digest,
        size: image.manifest_bytes,
        artifact_type: image.artifact_type.as_deref(),
        annotations: &image.annotations,
    });
    let wanted = all
        .filter(|referrer| artifact_type.is_none_or(|kind| referrer.artifact_type == Some(kind)));
    let index = Index { schema_version: 2, media_type: OCI_INDEX, manifests: wanted.collect() };
    let mut response = json(&index, OCI_INDEX, None);
    if artifact_type.is_some() {
        let applied = HeaderValue::from_static("artifactType");
        response.headers_mut().insert("oci-filters-applied", applied);
    }
    Ok(response)
}

fn json(value: &impl Serialize, media_type: &'static str, link: Option<String>) -> Response {
    let bytes = serde_json::to_vec(value).expect("texts, numbers and lists are always JSON");
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        headers.insert(header::LINK, link);
    }
    response
}
