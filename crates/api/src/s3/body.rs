//! Bodies: received in pieces, verified to be what was signed and what their checksums say.

use std::time::Duration;

use auth::Payload;
use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http_body_util::BodyExt;
use objects::{Algorithm, Code, MOST_BYTES, Received};

use super::error::S3Error;
use super::{Asked, headers, refused};
use crate::door::Door;

/// How long the next piece of a body may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest body that is XML.
const MOST_XML: usize = 4 << 20;

/// A body that is still to come, and how far it is verified.
pub(super) struct Incoming {
    pub(super) payload: Payload,
    pub(super) body: Body,
}

/// Whether a request says that it has no body.
pub(super) fn is_none(parts: &Parts) -> bool {
    let length = parts.headers.get(http::header::CONTENT_LENGTH);
    length.is_none_or(|length| length == "0")
        && !parts.headers.contains_key(http::header::TRANSFER_ENCODING)
}

impl Incoming {
    async fn piece(&mut self) -> Result<Option<Bytes>, S3Error> {
        let broken = || {
            refused(
                Code::IncompleteBody,
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
            )
        };
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.map_err(|_| {
                refused(
                    Code::RequestTimeout,
                    "Your socket connection to the server was not read from or written to within \
                     the timeout period. Idle connections will be closed.",
                )
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let Ok(data) = frame.map_err(|_| broken())?.into_data() else { continue };
            let Payload::Chunked(decoder) = &mut self.payload else { return Ok(Some(data)) };
            let plain = decoder.push(&data)?;
            if !plain.is_empty() {
                return Ok(Some(Bytes::from(plain)));
            }
        }
    }

    /// What is owed when all has come: the chunks' end, or the hash that was signed. Answers the
    /// headers behind the body.
    fn end(self, sha256: &str) -> Result<Vec<(String, String)>, S3Error> {
        match self.payload {
            Payload::Verified | Payload::Unsigned => Ok(Vec::new()),
            Payload::Promised(promised) if hex(&promised) == sha256 => Ok(Vec::new()),
            Payload::Promised(_) => Err(S3Error::new(
                "XAmzContentSHA256Mismatch",
                400,
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )),
            Payload::Chunked(decoder) => {
                let trailers = decoder.trailers().to_vec();
                decoder.finish()?;
                Ok(trailers)
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Receives the content of an object or of a part onto the disk, with the checksum that it says, or
/// S3's usual one.
pub(super) async fn content(
    door: &Door,
    asked: &Asked,
    mut body: Incoming,
) -> Result<Received, S3Error> {
    let length = asked
        .header("x-amz-decoded-content-length")
        .or_else(|| asked.header("content-length"))
        .and_then(|text| text.parse::<u64>().ok())
        .ok_or_else(|| {
            refused(Code::MissingContentLength, "You must provide the Content-Length HTTP header.")
        })?;
    if length > MOST_BYTES {
        return Err(refused(
            Code::EntityTooLarge,
            "Your proposed upload exceeds the maximum allowed size",
        ));
    }
    let algorithm = headers::algorithm(asked)?.unwrap_or(Algorithm::Crc64Nvme);
    let mut incoming = door.objects().receive(&[algorithm])?;
    while let Some(piece) = body.piece().await? {
        incoming.push(piece).await?;
    }
    if incoming.bytes() != length {
        return Err(refused(
            Code::IncompleteBody,
            format!("The body has {} bytes, and the request says {length}.", incoming.bytes()),
        ));
    }
    let received = incoming.finish().await?;
    let trailers = body.end(received.sha256())?;
    check(asked, &received, algorithm, &trailers)?;
    Ok(received)
}

/// Holds a body against the digests that were said of it.
fn check(
    asked: &Asked,
    received: &Received,
    algorithm: Algorithm,
    trailers: &[(String, String)],
) -> Result<(), S3Error> {
    check_md5(asked, &received.md5)?;
    let name = headers::checksum_header(algorithm);
    let said = headers::said_checksum(&asked.parts.headers).map(|(_, value)| value).or_else(|| {
        trailers.iter().find(|(trailer, _)| trailer == name).map(|(_, value)| value.clone())
    });
    let computed = received.checksums.first().map(|checksum| &checksum.value);
    match said {
        Some(said) if Some(&said) != computed => Err(refused(
            Code::BadDigest,
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.as_str()
            ),
        )),
        None if asked.header("x-amz-trailer").is_some_and(|names| names.contains(name)) => {
            Err(refused(Code::InvalidRequest, format!("The trailer {name} did not come.")))
        }
        _ => Ok(()),
    }
}

fn check_md5(asked: &Asked, computed: &[u8; 16]) -> Result<(), S3Error> {
    let Some(text) = asked.header("content-md5") else { return Ok(()) };
    let given = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == 16).ok_or_else(|| {
        refused(Code::InvalidDigest, "The Content-MD5 you specified was invalid.")
    })?;
    if given == computed {
        return Ok(());
    }
    Err(refused(Code::BadDigest, "The Content-MD5 you specified did not match what we received."))
}

/// Receives a body that is XML.
pub(super) async fn document(
    door: &Door,
    asked: &Asked,
    mut body: Incoming,
) -> Result<Vec<u8>, S3Error> {
    let mut text = Vec::new();
    // By way of the disk's hashing, so that all that is checked of content is checked here too.
    let algorithm = match headers::said_checksum(&asked.parts.headers) {
        Some((algorithm, _)) => algorithm,
        None => headers::algorithm(asked)?.unwrap_or(Algorithm::Crc32),
    };
    let mut incoming = door.objects().receive(&[algorithm])?;
    while let Some(piece) = body.piece().await? {
        if text.len() + piece.len() > MOST_XML {
            return Err(refused(
                Code::MalformedXML,
                format!("The XML you provided has more than {MOST_XML} bytes."),
            ));
        }
        text.extend_from_slice(&piece);
        incoming.push(piece).await?;
    }
    let received = incoming.finish().await?;
    let trailers = body.end(received.sha256())?;
    // `CompleteMultipartUpload` says the checksum of the object there, not that of its own body.
    if !asked.query.has("uploadId") {
        check(asked, &received, algorithm, &trailers)?;
    }
    Ok(text)
}
