//! Serving blobs, whole or in ranges, and deleting them.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::error::{Code, HttpError};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::registry::Registry;

/// Bytes read from the disk at a time.
const PIECE: usize = 256 << 10;

/// The part of a blob that is wanted: first byte and number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range(u64, u64),
    Unsatisfiable,
}

pub(super) async fn get(
    registry: &Arc<Registry>,
    name: &str,
    digest: &Digest,
    headers: &HeaderMap,
    head: bool,
) -> Result<Response, HttpError> {
    let size = registry.blob(name, digest)?.ok_or_else(|| unknown(name, digest))?;
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let part = if head { Part::Whole } else { part(range, size) };
    let (status, first, length) = match part {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Range(first, length) => (StatusCode::PARTIAL_CONTENT, first, length),
        Part::Unsatisfiable => {
            let message = format!("the blob has {size} bytes");
            return Err(HttpError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                Code::SizeInvalid,
                message,
            )
            .with_header(header::CONTENT_RANGE, &format!("bytes */{size}")));
        }
    };
    let body = if head {
        Body::empty()
    } else {
        Body::from_stream(read(registry, digest, first, length).await?)
    };
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, length)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{digest}\""))
        .header("docker-content-digest", digest.as_str())
        .body(body)
        .expect("all of these are valid headers");
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{size}", first + length - 1);
        let value = HeaderValue::from_str(&range).expect("numbers are valid in headers");
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

pub(super) async fn delete(
    registry: &Arc<Registry>,
    name: &str,
    digest: &Digest,
) -> Result<Response, HttpError> {
    if !registry.delete_blob(name, digest).await? {
        return Err(unknown(name, digest));
    }
    Ok(super::empty(StatusCode::ACCEPTED))
}

fn unknown(name: &str, digest: &Digest) -> HttpError {
    HttpError::absent(Code::BlobUnknown, format!("the repository '{name}' has no blob {digest}"))
}

/// A file's bytes, a piece at a time.
async fn read(
    registry: &Registry,
    digest: &Digest,
    first: u64,
    length: u64,
) -> Result<impl Stream<Item = std::io::Result<Bytes>> + use<>, HttpError> {
    let path = registry.content.path(digest);
    let open = async {
        let mut file = File::open(&path).await?;
        file.set_max_buf_size(PIECE);
        file.seek(SeekFrom::Start(first)).await?;
        Ok(file)
    };
    let file = open.await.map_err(RegistryError::disk("read", &path))?;
    Ok(futures_util::stream::try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut piece = BytesMut::with_capacity(usize::try_from(left).unwrap_or(PIECE).min(PIECE));
        let read = (&mut file).take(left).read_buf(&mut piece).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((piece.freeze(), (file, left - read as u64))))
    }))
}

/// Reads a `Range` header (RFC 9110, section 14.1.2). Several ranges, other units and what cannot
/// be read are as if nothing was said.
fn part(range: Option<&str>, size: u64) -> Part {
    let Some((from, to)) =
        range.and_then(|r| r.strip_prefix("bytes=")).and_then(|r| r.split_once('-'))
    else {
        return Part::Whole;
    };
    match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), _) if from >= size && (to.is_empty() || to.parse::<u64>().is_ok()) => {
            Part::Unsatisfiable
        }
        (Ok(from), Ok(to)) if to >= from => Part::Range(from, to.min(size - 1) - from + 1),
        (Ok(from), Err(_)) if to.is_empty() => Part::Range(from, size - from),
        (Err(_), Ok(0)) if from.is_empty() => Part::Unsatisfiable,
        (Err(_), Ok(_)) if from.is_empty() && size == 0 => Part::Unsatisfiable,
        (Err(_), Ok(last)) if from.is_empty() => Part::Range(size - last.min(size), last.min(size)),
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_rfc_9110s() {
        for (range, expected) in [
            (None, Part::Whole),
            (Some("bytes=0-"), Part::Range(0, 10)),
            (Some("bytes=3-5"), Part::Range(3, 3)),
            (Some("bytes=3-99"), Part::Range(3, 7)),
            (Some("bytes=-4"), Part::Range(6, 4)),
            (Some("bytes=-99"), Part::Range(0, 10)),
            (Some("bytes=10-"), Part::Unsatisfiable),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=5-3"), Part::Whole),
            (Some("bytes=0-1,3-4"), Part::Whole),
            (Some("lines=0-1"), Part::Whole),
            (Some("bytes=x-"), Part::Whole),
            (Some("bytes=-"), Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=-1"), 0), Part::Unsatisfiable);
    }
}
