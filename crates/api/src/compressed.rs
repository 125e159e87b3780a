//! Bodies that came compressed. SDKs compress the data of PutMetricData when they are more than 10 KiB.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-compression.html>

use std::io::Read;

use aws::Error;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// What a body may become.
const MOST: usize = 16 * 1024 * 1024;

/// The body as it was before it was compressed. Who sent it was verified over what came.
pub(crate) fn plain(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Error> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let mut codings = encoding
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        // `aws-chunked` is a part of the signature and was undone with it.
        .filter(|coding| !matches!(*coding, "" | "identity" | "aws-chunked"));
    match (codings.next(), codings.next()) {
        (None, _) => Ok(body),
        (Some("gzip"), None) => gunzip(&body),
        _ => Err(Error::new(
            "UnsupportedMediaType",
            415,
            "The body's Content-Encoding is not known here; it may be gzip, or none.",
        )),
    }
}

fn gunzip(body: &[u8]) -> Result<Bytes, Error> {
    let mut plain = Vec::new();
    // A little more than there may be, so that more is noticed and no more is kept.
    let most = u64::try_from(MOST).unwrap_or(u64::MAX) + 1;
    let read = MultiGzDecoder::new(body).take(most).read_to_end(&mut plain);
    if read.is_err() {
        return Err(Error::serialization("The body is not what its Content-Encoding says: gzip."));
    }
    if plain.len() > MOST {
        return Err(Error::new(
            "RequestEntityTooLargeException",
            413,
            format!("The body has more than {MOST} bytes when it is not compressed."),
        ));
    }
    Ok(Bytes::from(plain))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn headers(encoding: &str) -> HeaderMap {
        [(CONTENT_ENCODING, encoding.parse().unwrap())].into_iter().collect()
    }

    fn zip(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn a_body_is_what_it_was() {
        let body = zip(b"Action=PutMetricData");
        assert_eq!(plain(&headers("gzip"), body.clone()).unwrap(), "Action=PutMetricData");
        assert_eq!(plain(&headers("aws-chunked"), body.clone()).unwrap(), body);
        assert_eq!(plain(&HeaderMap::new(), body.clone()).unwrap(), body);
        let code = |encoding: &str, body: Bytes| plain(&headers(encoding), body).unwrap_err().code;
        assert_eq!(code("br", body.clone()), "UnsupportedMediaType");
        assert_eq!(code("gzip, gzip", body.clone()), "UnsupportedMediaType");
        assert_eq!(code("gzip", body.slice(..body.len() - 4)), "SerializationException");
        assert_eq!(code("gzip", Bytes::from_static(b"no")), "SerializationException");
    }

    #[test]
    fn a_small_body_does_not_become_a_large_one() {
        let bomb = zip(&vec![0; MOST + 1]);
        assert!(bomb.len() < MOST / 100);
        let refused = plain(&headers("gzip"), bomb).unwrap_err();
        assert_eq!(refused.code, "RequestEntityTooLargeException");
    }
}
