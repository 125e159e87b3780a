//! Uploads: in one request, in chunks, or as a stream; resumed, cancelled, mounted.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};

use super::error::{Code, HttpError};
use super::route::UploadQuery;
use crate::digest::Digest;
use crate::registry::Registry;
use crate::upload::Upload;

/// Bytes collected before they go to the disk.
const PIECE: usize = 1 << 20;

pub(super) async fn begin(
    registry: &Arc<Registry>,
    name: &str,
    query: UploadQuery,
    request: Request,
) -> Result<Response, HttpError> {
    registry.repository_for_push(name).await?;
    if let (Some(digest), Some(from)) = (&query.mount, &query.from)
        && registry.mount(from, name, digest).await?
    {
        return Ok(created(name, digest));
    }
    let id = registry.begin_upload(name).await?.ok_or_else(|| {
        HttpError::new(
            StatusCode::TOO_MANY_REQUESTS,
            Code::TooManyRequests,
            "too many uploads are under way; try again later",
        )
    })?;
    match query.digest {
        Some(digest) => end(registry, name, &id, Some(digest), request).await,
        None => Ok(progress(StatusCode::ACCEPTED, name, &id, 0)),
    }
}

pub(super) fn status(registry: &Registry, name: &str, id: &str) -> Result<Response, HttpError> {
    let upload = find(registry, name, id)?;
    Ok(progress(StatusCode::NO_CONTENT, name, id, upload.bytes()))
}

pub(super) fn cancel(registry: &Registry, name: &str, id: &str) -> Result<Response, HttpError> {
    find(registry, name, id)?;
    registry.uploads().remove(id);
    Ok(super::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn append(
    registry: &Arc<Registry>,
    name: &str,
    id: &str,
    request: Request,
) -> Result<Response, HttpError> {
    let upload = find(registry, name, id)?;
    let _turn = upload.turn.lock().await;
    receive(registry, name, id, &upload, request).await?;
    Ok(progress(StatusCode::ACCEPTED, name, id, upload.bytes()))
}

pub(super) async fn end(
    registry: &Arc<Registry>,
    name: &str,
    id: &str,
    digest: Option<Digest>,
    request: Request,
) -> Result<Response, HttpError> {
    let upload = find(registry, name, id)?;
    let digest = digest.ok_or_else(|| {
        HttpError::bad(
            Code::DigestInvalid,
            "the query parameter digest is missing: it ends an upload",
        )
    })?;
    let _turn = upload.turn.lock().await;
    receive(registry, name, id, &upload, request).await?;
    match registry.end_upload(id, Arc::clone(&upload), digest.clone()).await? {
        Some(()) => Ok(created(name, &digest)),
        None => {
            let message =
                format!("the bytes received do not have the digest {digest}; send them again");
            Err(HttpError::bad(Code::DigestInvalid, message))
        }
    }
}

fn find(registry: &Registry, name: &str, id: &str) -> Result<Arc<Upload>, HttpError> {
    let found = registry.uploads().get(id).filter(|upload| upload.repository == name).cloned();
    found.ok_or_else(|| {
        let message = format!("the repository '{name}' has no upload {id} under way; begin again");
        HttpError::absent(Code::BlobUploadUnknown, message)
    })
}

/// Takes in a request's body. What arrives before a connection breaks is kept: the client may ask
/// how much it was and go on from there.
async fn receive(
    registry: &Arc<Registry>,
    name: &str,
    id: &str,
    upload: &Arc<Upload>,
    request: Request,
) -> Result<(), HttpError> {
    check_range(request.headers(), upload.bytes()).map_err(|why| {
        HttpError::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, why)
            .with_header(header::RANGE, &range(upload.bytes()))
            .with_header(header::LOCATION, &location(name, id))
    })?;
    let mut body = Body::into_data_stream(request.into_body());
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut collected = 0;
    let mut broken = None;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => {
                collected += piece.len();
                pieces.push(piece);
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
        if collected >= PIECE {
            write(registry, upload, std::mem::take(&mut pieces)).await?;
            collected = 0;
        }
    }
    write(registry, upload, pieces).await?;
    match broken {
        None => Ok(()),
        Some(error) => Err(HttpError::bad(
            Code::BlobUploadInvalid,
            format!("the body could not be read to its end: {error}"),
        )),
    }
}

async fn write(
    registry: &Arc<Registry>,
    upload: &Arc<Upload>,
    pieces: Vec<Bytes>,
) -> Result<(), HttpError> {
    if pieces.is_empty() {
        return Ok(());
    }
    let upload = Arc::clone(upload);
    // Goes on to its end even if the request is dropped: the upload is never left half-written.
    Ok(registry.blocking(move |registry| upload.append(&pieces, registry.now())).await?)
}

/// A chunk says where it belongs (`Content-Range: first-last`); it must follow what is here.
fn check_range(headers: &HeaderMap, here: u64) -> Result<(), String> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let Some(range) = text(header::CONTENT_RANGE) else { return Ok(()) };
    // Some clients write it as RFC 9110 has it.
    let bare = range.strip_prefix("bytes ").unwrap_or(range);
    let bare = bare.split('/').next().unwrap_or(bare);
    let ends = bare
        .split_once('-')
        .and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
    let Some((first, last)) = ends.filter(|(first, last)| first <= last) else {
        return Err(format!("the Content-Range \"{range}\" is not of the form first-last"));
    };
    if first != here {
        return Err(format!("the chunk begins at byte {first}, and the next one wanted is {here}"));
    }
    match text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length.checked_add(first) != last.checked_add(1) => Err(format!(
            "the Content-Range \"{range}\" is not {length} bytes long, as the Content-Length says"
        )),
        _ => Ok(()),
    }
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// The bytes that are here, as `first-last`.
fn range(bytes: u64) -> String {
    format!("0-{}", bytes.saturating_sub(1))
}

fn progress(status: StatusCode, name: &str, id: &str, bytes: u64) -> Response {
    Response::builder()
        .status(status)
        .header(header::LOCATION, location(name, id))
        .header(header::RANGE, range(bytes))
        .header("docker-upload-uuid", id)
        .body(Body::empty())
        .expect("names, ids and numbers are valid in headers")
}

fn created(name: &str, digest: &Digest) -> Response {
    Response::builder()
        .status(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{name}/blobs/{digest}"))
        .header("docker-content-digest", digest.as_str())
        .body(Body::empty())
        .expect("names and digests are valid in headers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_must_follow_what_is_here() {
        let headers = |range: &str, length: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            headers.insert(header::CONTENT_LENGTH, length.parse().unwrap());
            headers
        };
        assert!(check_range(&HeaderMap::new(), 5).is_ok());
        assert!(check_range(&headers("5-9", "5"), 5).is_ok());
        assert!(check_range(&headers("bytes 5-9/100", "5"), 5).is_ok());
        for (range, length) in
            [("4-8", "5"), ("6-9", "4"), ("5-9", "4"), ("9-5", "5"), ("x", "5"), ("5-", "5")]
        {
            assert!(check_range(&headers(range, length), 5).is_err(), "{range}");
        }
        assert!(check_range(&headers("0-18446744073709551615", "1"), 0).is_err());
    }
}
