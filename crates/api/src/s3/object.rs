//! Operations on one object.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use objects::{Code, Conditions, Object, Reader, Span};

use super::body::{self, Incoming};
use super::error::S3Error;
use super::target::Target;
use super::xml::{NAMESPACE, Writer};
use super::{Asked, empty, headers, refused};
use crate::door::Door;

/// The parts of a query that put other headers into an answer.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];

pub(super) async fn put(
    door: &Door,
    asked: &Asked,
    incoming: Incoming,
) -> Result<Response, S3Error> {
    let meta = headers::meta(&asked.parts.headers)?;
    let conditions = headers::conditions(asked, "if-match", "if-none-match");
    // A bucket that is not there need not be waited for until the body has come.
    door.objects().bucket(asked.bucket()).await?;
    let received = body::content(door, asked, incoming).await?;
    let object =
        door.objects().put_object(asked.bucket(), asked.key(), received, meta, conditions).await?;
    let mut response = empty(200);
    put_etag(response.headers_mut(), &object.etag);
    headers::put_checksum(response.headers_mut(), object.checksum.as_ref());
    Ok(response)
}

pub(super) async fn delete(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    if asked.header("if-match").is_some() {
        return Err(S3Error::not_built("s3:DeleteObject: the header if-match"));
    }
    door.objects().delete_objects(asked.bucket(), vec![asked.key().to_owned()]).await?;
    Ok(empty(204))
}

pub(super) async fn copy(door: &Door, asked: &Asked) -> Result<Response, S3Error> {
    let source = Target::source(asked.header("x-amz-copy-source").unwrap_or_default())?;
    let meta = match asked.header("x-amz-metadata-directive") {
        None | Some("COPY") => None,
        Some("REPLACE") => Some(headers::meta(&asked.parts.headers)?),
        Some(other) => {
            let text = format!("Unknown metadata directive: {other}.");
            return Err(refused(Code::InvalidArgument, text));
        }
    };
    if asked.header("x-amz-checksum-algorithm").is_some() {
        return Err(S3Error::not_built("s3:CopyObject: another checksum than the source has"));
    }
    let conditions =
        headers::conditions(asked, "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match");
    let (from, to) = ((source.0.as_str(), source.1.as_str()), (asked.bucket(), asked.key()));
    let object = door.objects().copy_object(from, to, meta, conditions).await?;
    let body = Writer::document("CopyObjectResult", Some(NAMESPACE), |result| {
        result.leaf("ETag", &format!("\"{}\"", object.etag));
        result.leaf("LastModified", &object.modified.rfc3339());
        if let Some(checksum) = &object.checksum {
            result.leaf("ChecksumType", checksum.kind.as_str());
            result.leaf(headers::checksum_element(checksum.algorithm), &checksum.value);
        }
    });
    Ok(super::xml(body))
}

/// What of an object is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// All of it.
    Whole,
    /// These bytes.
    Range(Span),
    /// Nothing: the client has it already.
    Unchanged,
}

pub(super) async fn get(door: &Door, asked: &Asked, head: bool) -> Result<Response, S3Error> {
    let conditions = headers::conditions(asked, "if-match", "if-none-match");
    for name in ["if-modified-since", "if-unmodified-since", "if-range"] {
        if asked.header(name).is_some() {
            return Err(S3Error::not_built(&format!("s3:GetObject: the header {name}")));
        }
    }
    let range = asked.header("range").map(str::to_owned);
    let choose = |object: &Object| {
        let part = choose(object, &conditions, range.as_deref())?;
        let whole = Span { first: 0, length: object.bytes };
        let span = match part {
            _ if head => None,
            Part::Whole => Some(whole),
            Part::Range(span) => Some(span),
            Part::Unchanged => None,
        };
        Ok((part, span))
    };
    let found = door.objects().open_object(asked.bucket(), asked.key(), choose).await?;
    let (object, part, reader) = found;
    let mut response = Response::new(reader.map_or_else(Body::empty, stream));
    let status = match part {
        Part::Whole => StatusCode::OK,
        Part::Range(_) => StatusCode::PARTIAL_CONTENT,
        Part::Unchanged => StatusCode::NOT_MODIFIED,
    };
    *response.status_mut() = status;
    tell(response.headers_mut(), asked, &object, part);
    Ok(response)
}

fn choose(
    object: &Object,
    conditions: &Conditions,
    range: Option<&str>,
) -> Result<Part, objects::ObjectsError> {
    let etag = Some(object.etag.as_str());
    if !conditions.match_holds(etag) {
        return Err(objects::ObjectsError::refused(
            Code::PreconditionFailed,
            "At least one of the pre-conditions you specified did not hold",
        ));
    }
    if !conditions.differ_holds(etag) {
        return Ok(Part::Unchanged);
    }
    match range.map(|range| span(range, object.bytes)) {
        None | Some(Wanted::Everything) => Ok(Part::Whole),
        Some(Wanted::Span(span)) => Ok(Part::Range(span)),
        Some(Wanted::Nothing) => Err(objects::ObjectsError::refused(
            Code::InvalidRange,
            format!(
                "The requested range is not satisfiable: the object has {} bytes.",
                object.bytes
            ),
        )),
    }
}

/// What a `Range` header wants (RFC 9110, section 14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    Span(Span),
    Nothing,
}

/// Several ranges, other units and what cannot be read are as if nothing was said.
fn span(range: &str, bytes: u64) -> Wanted {
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Wanted::Everything;
    };
    match (from.trim().parse::<u64>(), to.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if last < first => Wanted::Everything,
        (Ok(first), last) if last.is_ok() || to.is_empty() => {
            if first >= bytes {
                return Wanted::Nothing;
            }
            let last = last.unwrap_or(u64::MAX).min(bytes - 1);
            Wanted::Span(Span { first, length: last - first + 1 })
        }
        (Err(_), Ok(length)) if from.is_empty() => match length.min(bytes) {
            0 => Wanted::Nothing,
            length => Wanted::Span(Span { first: bytes - length, length }),
        },
        _ => Wanted::Everything,
    }
}

fn tell(headers: &mut HeaderMap, asked: &Asked, object: &Object, part: Part) {
    let mut put = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            headers.insert(name, value);
        }
    };
    put("last-modified", &http_date(object));
    put("accept-ranges", "bytes");
    for (name, value) in &object.meta.headers {
        put(name, value);
    }
    for (name, value) in &object.meta.user {
        put(&format!("x-amz-meta-{name}"), value);
    }
    for (query, name) in OVERRIDES {
        if let Some(value) = asked.query.get(query) {
            put(name, value);
        }
    }
    match part {
        Part::Whole => put("content-length", &object.bytes.to_string()),
        Part::Range(span) => {
            let last = span.first + span.length - 1;
            put("content-range", &format!("bytes {}-{last}/{}", span.first, object.bytes));
            put("content-length", &span.length.to_string());
        }
        Part::Unchanged => {}
    }
    put_etag(headers, &object.etag);
    let checked =
        asked.header("x-amz-checksum-mode").is_some_and(|m| m.eq_ignore_ascii_case("enabled"));
    if checked && part == Part::Whole {
        super::headers::put_checksum(headers, object.checksum.as_ref());
    }
}

/// The instant in the form of HTTP (RFC 9110, section 5.6.7).
fn http_date(object: &Object) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let iso = object.modified.iso_basic();
    let field = |from: usize, to: usize| iso.get(from..to).unwrap_or_default();
    let day = usize::try_from(object.modified.as_secs().div_euclid(86_400).rem_euclid(7));
    let month = field(4, 6).parse::<usize>().unwrap_or(1);
    format!(
        "{}, {} {} {} {}:{}:{} GMT",
        DAYS[day.unwrap_or(0) % 7],
        field(6, 8),
        MONTHS[month.saturating_sub(1) % 12],
        field(0, 4),
        field(9, 11),
        field(11, 13),
        field(13, 15)
    )
}

pub(super) fn put_etag(headers: &mut HeaderMap, etag: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        headers.insert(header::ETAG, value);
    }
}

fn stream(reader: Reader) -> Body {
    Body::from_stream(futures_util::stream::try_unfold(reader, |mut reader| async move {
        match reader.next().await {
            Ok(Some(piece)) => Ok(Some((piece, reader))),
            Ok(None) => Ok::<Option<(Bytes, Reader)>, objects::ObjectsError>(None),
            Err(error) => {
                tracing::error!(
                    error = stdx::chain(&error),
                    "an object could not be read to its end"
                );
                Err(error)
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_rfc_9110s() {
        let of = |first, length| Wanted::Span(Span { first, length });
        for (range, wanted) in [
            ("bytes=0-", of(0, 10)),
            ("bytes=3-5", of(3, 3)),
            ("bytes=3-99", of(3, 7)),
            ("bytes=-4", of(6, 4)),
            ("bytes=-99", of(0, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-3", Wanted::Everything),
            ("bytes=0-1,3-4", Wanted::Everything),
            ("lines=0-1", Wanted::Everything),
            ("bytes=-", Wanted::Everything),
        ] {
            assert_eq!(span(range, 10), wanted, "{range}");
        }
        assert_eq!(span("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(span("bytes=-1", 0), Wanted::Nothing);
    }

    #[test]
    fn instants_are_told_as_http_has_them() {
        let modified = stdx::Timestamp::parse("2026-11-22T20:12:05Z").unwrap();
        let object = Object {
            key: String::new(),
            bytes: 0,
            etag: String::new(),
            modified,
            meta: objects::Meta::default(),
            checksum: None,
            parts: None,
        };
        assert_eq!(http_date(&object), "Sun, 22 Nov 2026 20:12:05 GMT");
    }
}
