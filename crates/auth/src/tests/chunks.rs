//! Streamed bodies: AWS's two worked examples, and bodies that were tampered with.

use super::{Keys, at};
use crate::{AuthError, Body, ChunkedDecoder, Expected, Payload, SignedRequest, verify};

const SEED: &str = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
    SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,\
    Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

const SEED_WITH_TRAILER: &str = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
    SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,\
    Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

/// The decoder that the documented `PUT` of 66,560 letters `a` gives.
fn documented(trailer: bool) -> ChunkedDecoder {
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("host", b"s3.amazonaws.com"),
        ("x-amz-date", b"20130524T000000Z"),
        ("x-amz-storage-class", b"REDUCED_REDUNDANCY"),
        ("content-encoding", b"aws-chunked"),
        ("x-amz-decoded-content-length", b"66560"),
    ];
    if trailer {
        headers.push(("authorization", SEED_WITH_TRAILER.as_bytes()));
        headers.push(("x-amz-content-sha256", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"));
        headers.push(("x-amz-trailer", b"x-amz-checksum-crc32c"));
    } else {
        headers.push(("authorization", SEED.as_bytes()));
        headers.push(("x-amz-content-sha256", b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
        headers.push(("content-length", b"66824"));
    }
    let request = SignedRequest {
        method: "PUT",
        path: "/examplebucket/chunkObject.txt",
        query: "",
        headers: &headers,
        body: Body::Unread,
    };
    let expected = Expected::new("us-east-1", at("20130524T000000Z"));
    match verify(&request, &Keys, &expected).map(|verified| verified.payload) {
        Ok(Payload::Chunked(decoder)) => *decoder,
        other => panic!("{other:?}"),
    }
}

fn framed(signatures: [&str; 3]) -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [65536, 1024, 0].into_iter().zip(signatures) {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        if size > 0 {
            body.extend_from_slice(b"\r\n");
        }
    }
    body
}

fn plain() -> Vec<u8> {
    let mut body = framed([
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]);
    body.extend_from_slice(b"\r\n");
    body
}

fn with_trailer() -> Vec<u8> {
    let mut body = framed([
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ]);
    body.extend_from_slice(
        b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:\
          d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
    );
    body
}

fn decode(mut decoder: ChunkedDecoder, body: &[u8], piece: usize) -> Result<Vec<u8>, AuthError> {
    let mut out = Vec::new();
    for piece in body.chunks(piece) {
        out.extend(decoder.push(piece)?);
    }
    decoder.finish()?;
    Ok(out)
}

#[test]
fn the_documented_bodies_decode_however_they_are_cut() {
    for piece in [1, 7, 4096, 65_622, 1 << 20] {
        assert_eq!(decode(documented(false), &plain(), piece).unwrap(), vec![b'a'; 66_560]);
        assert_eq!(decode(documented(true), &with_trailer(), piece).unwrap(), vec![b'a'; 66_560]);
    }
    let mut decoder = documented(true);
    decoder.push(&with_trailer()).unwrap();
    let trailer = ("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned());
    assert_eq!(decoder.trailers(), [trailer]);
}

#[test]
fn no_byte_of_a_streamed_body_can_change() {
    for (trailer, body) in [(false, plain()), (true, with_trailer())] {
        for index in (0..body.len()).step_by(997).chain([0, 1, 20, 65_623, body.len() - 150]) {
            let mut changed = body.clone();
            changed[index] ^= 1;
            let result = decode(documented(trailer), &changed, 8192);
            assert!(result.is_err(), "byte {index} of {}", body.len());
        }
        for cut in [0, 10, 70_000.min(body.len() - 100), 65_700, body.len() - 3] {
            assert!(decode(documented(trailer), &body[..cut], 8192).is_err(), "cut at {cut}");
        }
        let mut longer = body.clone();
        longer.extend_from_slice(b"more");
        assert!(decode(documented(trailer), &longer, 8192).is_err());
    }
}

#[test]
fn chunks_cannot_be_left_out_or_repeated() {
    let body = plain();
    let first = 65_536 + 5 + 17 + 64 + 4;
    let second = first + 1024 + 3 + 17 + 64 + 4;
    let mut without = body[..first].to_vec();
    without.extend_from_slice(&body[second..]);
    assert!(decode(documented(false), &without, 8192).is_err());
    let mut twice = body[..second].to_vec();
    twice.extend_from_slice(&body[first..]);
    assert!(decode(documented(false), &twice, 8192).is_err());
}

#[test]
fn framing_that_is_not_is_refused() {
    let decoder = || ChunkedDecoder::new(None, true, "", "", Some(3));
    assert_eq!(decode(decoder(), b"3\r\nabc\r\n0\r\na:b\r\n\r\n", 1).unwrap(), b"abc");
    for wrong in [
        &b"3\r\nabcd\r\n0\r\n\r\n"[..],
        b"2\r\nab\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"ffffffffffffffffff\r\n",
        b"1000001\r\n",
        b"\r\n",
        b"\xff\xff\r\n",
        b"3\r\nabc\r\n0\r\nno colon\r\n\r\n",
        &[b'0'; 5000],
    ] {
        assert!(decode(decoder(), wrong, 64).is_err(), "{:?}", String::from_utf8_lossy(wrong));
    }
}
