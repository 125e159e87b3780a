//! The OCI face over a real socket: every endpoint and every error (distribution-spec 1.1).

use crate::common::{
    OCI_IMAGE, OCI_INDEX, Served, body, descriptor, digest_of, error, header, image,
};
use registry::{Digest, TagMutability};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn nobody_gets_in_without_the_token() {
    let served = Served::new().await;
    let bare = served.client.get(served.url("/v2/")).send().await.unwrap();
    assert_eq!(
        header(&bare, "www-authenticate"),
        "Basic realm=\"https://123456789012.dkr.ecr.eu-west-1.amazonaws.com/\",service=\"ecr.amazonaws.com\""
    );
    assert_eq!(header(&bare, "docker-distribution-api-version"), "registry/2.0");
    assert_eq!(error(bare).await, (401, "UNAUTHORIZED".to_owned()));
    for path in ["/v2/", "/v2/web/manifests/v1", "/v2/web/blobs/uploads/", "/v2/nonsense"] {
        let wrong = served
            .client
            .get(served.url(path))
            .basic_auth("AWS", Some("old"))
            .send()
            .await
            .unwrap();
        assert_eq!(error(wrong).await.0, 401, "{path}");
    }
    assert_eq!(served.get("/v2/").await.status(), 200);
    assert_eq!(served.get("/v2").await.status(), 200);
}

#[tokio::test]
async fn a_repository_must_exist_unless_a_push_may_make_it() {
    let served = Served::new().await;
    let path = "/v2/web/blobs/uploads/";
    let refused = served.request(Method::POST, path).send().await.unwrap();
    let text = refused.text().await.unwrap();
    assert!(
        text.contains(
            "The repository with name 'web' does not exist in the registry with id '123456789012'"
        ),
        "{text}"
    );
    for (method, path) in [
        (Method::POST, path),
        (Method::PUT, "/v2/web/manifests/v1"),
        (Method::GET, "/v2/web/manifests/v1"),
        (Method::GET, "/v2/web/tags/list"),
    ] {
        let answer = served.request(method, path).body("{}").send().await.unwrap();
        assert_eq!(error(answer).await, (404, "NAME_UNKNOWN".to_owned()), "{path}");
    }
    let generous = Served::with(true).await;
    generous.push_image("web", "v1", b"layer").await;
    assert_eq!(generous.get("/v2/web/manifests/v1").await.status(), 200);
}

#[tokio::test]
async fn blobs_come_in_by_every_road() {
    let served = Served::new().await;
    served.create("web").await;
    // All at once.
    let one = served.push_blob("web", b"one").await;
    assert_eq!(served.get(&format!("/v2/web/blobs/{one}")).await.text().await.unwrap(), "one");
    // POST, then PUT with the body.
    let begun = served.request(Method::POST, "/v2/web/blobs/uploads/").send().await.unwrap();
    assert_eq!(begun.status(), 202);
    let location = header(&begun, "location").to_owned();
    let two = Digest::of(b"two");
    let ended = served
        .request(Method::PUT, &format!("{location}?digest={two}"))
        .body("two")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (ended.status().as_u16(), header(&ended, "docker-content-digest")),
        (201, two.as_str())
    );
    // In chunks, with a question in between.
    let begun = served.request(Method::POST, "/v2/web/blobs/uploads/").send().await.unwrap();
    let location = header(&begun, "location").to_owned();
    for (range, chunk, after) in [("0-2", "abc", "0-2"), ("3-5", "def", "0-5")] {
        let request = served.request(Method::PATCH, &location).header("content-range", range);
        let answer = request.body(chunk).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), header(&answer, "range")), (202, after));
    }
    let gap = served
        .request(Method::PATCH, &location)
        .header("content-range", "9-9")
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(header(&gap, "range"), "0-5");
    assert_eq!(error(gap).await, (416, "BLOB_UPLOAD_INVALID".to_owned()));
    let asked = served.get(&location).await;
    assert_eq!((asked.status().as_u16(), header(&asked, "range")), (204, "0-5"));
    let three = Digest::of(b"abcdefg");
    let request = served.request(Method::PUT, &format!("{location}?digest={three}"));
    let ended = request.header("content-range", "6-6").body("g").send().await.unwrap();
    assert_eq!(ended.status(), 201);
    // As a stream of unknown length, larger than what is kept in memory.
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        (0..40u8).map(|n| Ok(vec![n; 100_000])).collect();
    let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.as_ref().unwrap().clone()).collect();
    let begun = served.request(Method::POST, "/v2/web/blobs/uploads/").send().await.unwrap();
    let location = header(&begun, "location").to_owned();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let answer = served.request(Method::PATCH, &location).body(stream).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let four = Digest::of(&whole);
    let ended =
        served.request(Method::PUT, &format!("{location}?digest={four}")).send().await.unwrap();
    assert_eq!(ended.status(), 201);
    assert_eq!(served.get(&format!("/v2/web/blobs/{four}")).await.bytes().await.unwrap(), whole);
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(served.dir().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn uploads_go_wrong_with_the_right_code() {
    let served = Served::new().await;
    served.create("web").await;
    served.create("other").await;
    let begin = || async {
        let begun = served.request(Method::POST, "/v2/web/blobs/uploads/").send().await.unwrap();
        header(&begun, "location").to_owned()
    };
    let location = begin().await;
    let digest = Digest::of(b"right");
    let wrong = served
        .request(Method::PUT, &format!("{location}?digest={digest}"))
        .body("wrong")
        .send()
        .await
        .unwrap();
    assert_eq!(error(wrong).await, (400, "DIGEST_INVALID".to_owned()));
    assert_eq!(served.get(&format!("/v2/web/blobs/{digest}")).await.status(), 404);
    assert_eq!(error(served.get(&location).await).await, (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));

    let location = begin().await;
    let none = served.request(Method::PUT, &location).body("x").send().await.unwrap();
    assert_eq!(error(none).await, (400, "DIGEST_INVALID".to_owned()));
    let elsewhere = served.get(&location.replace("/web/", "/other/")).await;
    assert_eq!(error(elsewhere).await.1, "BLOB_UPLOAD_UNKNOWN");
    let cancelled = served.request(Method::DELETE, &location).send().await.unwrap();
    assert_eq!(cancelled.status(), 204);
    assert_eq!(served.get(&location).await.status(), 404);
    assert_eq!(std::fs::read_dir(served.dir().join("uploads")).unwrap().count(), 0);

    let bad =
        served.request(Method::POST, "/v2/web/blobs/uploads/?digest=md5:1").send().await.unwrap();
    assert_eq!(error(bad).await, (400, "DIGEST_INVALID".to_owned()));
    let method = served.request(Method::PATCH, "/v2/web/manifests/v1").send().await.unwrap();
    assert_eq!(header(&method, "allow"), "GET, HEAD, PUT, DELETE");
    assert_eq!(error(method).await, (405, "UNSUPPORTED".to_owned()));
}

#[tokio::test]
async fn a_broken_connection_leaves_an_upload_that_goes_on() {
    let served = Served::new().await;
    served.create("web").await;
    let begun = served.request(Method::POST, "/v2/web/blobs/uploads/").send().await.unwrap();
    let location = header(&begun, "location").to_owned();
    let whole: Vec<u8> = (0..3_000_000u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    let digest = Digest::of(&whole);
    let mut line = tokio::net::TcpStream::connect(served.address).await.unwrap();
    let token = "QVdTOmEtdG9rZW4=";
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {token}\r\ncontent-length: 3000000\r\n\r\n"
    );
    line.write_all(head.as_bytes()).await.unwrap();
    line.write_all(&whole[..2_500_000]).await.unwrap();
    drop(line);
    // As a client does: ask how much has arrived, go on from there, and ask again if it was more.
    for _ in 0..500 {
        let asked = served.get(&location).await;
        let last: usize = header(&asked, "range").strip_prefix("0-").unwrap().parse().unwrap();
        if last == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        }
        let rest = whole[last + 1..].to_vec();
        let request = served.request(Method::PUT, &format!("{location}?digest={digest}"));
        let request = request.header("content-range", format!("{}-2999999", last + 1));
        match request.body(rest).send().await.unwrap().status().as_u16() {
            416 => {}
            status => {
                assert_eq!(status, 201);
                let blob = served.get(&format!("/v2/web/blobs/{digest}")).await;
                assert_eq!(blob.bytes().await.unwrap(), whole);
                return;
            }
        }
    }
    panic!("nothing of what was sent has arrived");
}

#[tokio::test]
async fn blobs_go_out_whole_and_in_parts_and_go_away() {
    let served = Served::new().await;
    served.create("web").await;
    served.create("other").await;
    let digest = served.push_blob("web", b"0123456789").await;
    let path = format!("/v2/web/blobs/{digest}");
    let head = served.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!((header(&head, "content-length"), header(&head, "accept-ranges")), ("10", "bytes"));
    assert_eq!(header(&head, "docker-content-digest"), digest.as_str());
    let part = served.request(Method::GET, &path).header("range", "bytes=4-").send().await.unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "content-range")), (206, "bytes 4-9/10"));
    assert_eq!(part.text().await.unwrap(), "456789");
    let beyond =
        served.request(Method::GET, &path).header("range", "bytes=10-").send().await.unwrap();
    assert_eq!(header(&beyond, "content-range"), "bytes */10");
    assert_eq!(error(beyond).await.0, 416);

    // A blob belongs to the repositories it was pushed or mounted to.
    let elsewhere = path.replace("/web/", "/other/");
    assert_eq!(error(served.get(&elsewhere).await).await, (404, "BLOB_UNKNOWN".to_owned()));
    let mount = |from: &str| format!("/v2/other/blobs/uploads/?mount={digest}&from={from}");
    let missed = served.request(Method::POST, &mount("nowhere")).send().await.unwrap();
    assert_eq!(missed.status(), 202);
    let mounted = served.request(Method::POST, &mount("web")).send().await.unwrap();
    assert_eq!(
        (mounted.status().as_u16(), header(&mounted, "location")),
        (201, elsewhere.as_str())
    );
    let gone = served.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(gone.status(), 202);
    assert_eq!(served.get(&path).await.status(), 404);
    let again = served.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(error(again).await, (404, "BLOB_UNKNOWN".to_owned()));
    assert_eq!(served.get(&elsewhere).await.text().await.unwrap(), "0123456789");

    // An empty blob is a blob.
    let empty = served.push_blob("web", b"").await;
    assert_eq!(served.get(&format!("/v2/web/blobs/{empty}")).await.bytes().await.unwrap(), "");
}

#[tokio::test]
async fn manifests_come_and_go_by_tag_and_digest() {
    let served = Served::new().await;
    served.create("web").await;
    let manifest = served.push_image("web", "v1", b"layer").await;
    let digest = digest_of(&manifest);
    for reference in ["v1", digest.as_str()] {
        let path = format!("/v2/web/manifests/{reference}");
        let head = served.request(Method::HEAD, &path).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), manifest.to_string().len().to_string());
        let got = served.get(&path).await;
        assert_eq!(header(&got, "content-type"), OCI_IMAGE);
        assert_eq!(header(&got, "docker-content-digest"), digest.as_str());
        assert_eq!(got.text().await.unwrap(), manifest.to_string());
    }
    let by_digest = served.put_manifest("web", digest.as_str(), OCI_IMAGE, &manifest).await;
    assert_eq!(header(&by_digest, "location"), format!("/v2/web/manifests/{digest}"));
    let other = served.put_manifest("web", Digest::of(b"x").as_str(), OCI_IMAGE, &manifest).await;
    assert_eq!(error(other).await, (400, "DIGEST_INVALID".to_owned()));

    let needed = served.request(Method::DELETE, &format!("/v2/web/blobs/{}", Digest::of(b"layer")));
    assert_eq!(error(needed.send().await.unwrap()).await, (400, "UNSUPPORTED".to_owned()));
    for (reference, then) in [("v1", 404), (digest.as_str(), 404)] {
        let path = format!("/v2/web/manifests/{reference}");
        assert_eq!(served.request(Method::DELETE, &path).send().await.unwrap().status(), 202);
        assert_eq!(served.get(&path).await.status(), then);
        let again = served.request(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(error(again).await, (404, "MANIFEST_UNKNOWN".to_owned()));
    }
}

#[tokio::test]
async fn a_manifest_must_be_one_and_have_all_its_parts() {
    let served = Served::new().await;
    served.create("web").await;
    served.push_blob("web", b"{}").await;
    served.push_blob("web", b"layer").await;
    let mut wrong_size = image(b"layer");
    wrong_size["layers"][0]["size"] = json!(6);
    let index = |child: Value| json!({"schemaVersion": 2, "manifests": [child]});
    for (kind, manifest, code) in [
        (OCI_IMAGE, json!([]), "MANIFEST_INVALID"),
        (OCI_IMAGE, json!({"schemaVersion": 1}), "MANIFEST_INVALID"),
        ("text/plain", image(b"layer"), "MANIFEST_INVALID"),
        (OCI_INDEX, image(b"layer"), "MANIFEST_INVALID"),
        (OCI_IMAGE, wrong_size, "MANIFEST_INVALID"),
        (OCI_IMAGE, image(b"not pushed"), "MANIFEST_BLOB_UNKNOWN"),
        (OCI_INDEX, index(descriptor(OCI_IMAGE, b"not pushed")), "MANIFEST_BLOB_UNKNOWN"),
    ] {
        let answer = served.put_manifest("web", "v1", kind, &manifest).await;
        assert_eq!(error(answer).await, (400, code.to_owned()), "{manifest}");
    }
    let bad_tag = served.put_manifest("web", ".bad", OCI_IMAGE, &image(b"layer")).await;
    assert_eq!(error(bad_tag).await, (400, "TAG_INVALID".to_owned()));
    let huge = served.request(Method::PUT, "/v2/web/manifests/v1").body(vec![b' '; (4 << 20) + 1]);
    assert_eq!(error(huge.send().await.unwrap()).await, (413, "SIZE_INVALID".to_owned()));
    assert_eq!(error(served.get("/v2/web/manifests/v1").await).await.1, "MANIFEST_UNKNOWN");

    let image = served.push_image("web", "one", b"layer").await;
    let child = descriptor(OCI_IMAGE, image.to_string().as_bytes());
    let index = index(child);
    assert_eq!(served.put_manifest("web", "all", OCI_INDEX, &index).await.status(), 201);
    let path = format!("/v2/web/manifests/{}", digest_of(&image));
    let listed = served.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(error(listed).await, (409, "DENIED".to_owned()));
}

#[tokio::test]
async fn an_immutable_tag_stays_where_it_is() {
    let served = Served::new().await;
    served.create("web").await;
    let first = served.push_image("web", "v1", b"one").await;
    served.push_image("web", "dev-1", b"one").await;
    let rule = TagMutability { immutable: true, except: vec!["dev-*".to_owned()] };
    served.registry.put_tag_mutability("web", rule).await.unwrap();
    served.push_blob("web", b"two").await;
    let refused = served.put_manifest("web", "v1", OCI_IMAGE, &image(b"two")).await;
    let text = refused.text().await.unwrap();
    assert!(
        text.contains("TAG_INVALID") && text.contains("'v1' already exists in the 'web'"),
        "{text}"
    );
    assert_eq!(served.put_manifest("web", "v1", OCI_IMAGE, &first).await.status(), 201);
    assert_eq!(served.put_manifest("web", "dev-1", OCI_IMAGE, &image(b"two")).await.status(), 201);
    assert_eq!(served.put_manifest("web", "v2", OCI_IMAGE, &image(b"two")).await.status(), 201);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let served = Served::new().await;
    for name in ["app", "app/web", "zoo"] {
        served.create(name).await;
    }
    for tag in ["c", "a", "b"] {
        served.push_image("app/web", tag, b"layer").await;
    }
    let list = |path: String| {
        let served = &served;
        async move {
            let answer = served.get(&path).await;
            let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
            (body(answer).await, link)
        }
    };
    let (all, link) = list("/v2/app/web/tags/list".to_owned()).await;
    assert_eq!((all, link), (json!({"name": "app/web", "tags": ["a", "b", "c"]}), None));
    let (two, link) = list("/v2/app/web/tags/list?n=2".to_owned()).await;
    assert_eq!(two["tags"], json!(["a", "b"]));
    let link = link.unwrap();
    assert_eq!(link, "</v2/app/web/tags/list?n=2&last=b>; rel=\"next\"");
    let (rest, link) = list(link[1..link.find('>').unwrap()].to_owned()).await;
    assert_eq!((rest["tags"].clone(), link), (json!(["c"]), None));
    assert_eq!(list("/v2/app/web/tags/list?n=0".to_owned()).await.0["tags"], json!([]));
    assert_eq!(list("/v2/zoo/tags/list".to_owned()).await.0["tags"], json!([]));
    let bad = served.get("/v2/zoo/tags/list?n=many").await;
    assert_eq!(error(bad).await, (400, "PAGINATION_NUMBER_INVALID".to_owned()));
    let (catalog, link) = list("/v2/_catalog?n=2".to_owned()).await;
    assert_eq!(catalog, json!({"repositories": ["app", "app/web"]}));
    assert_eq!(link.unwrap(), "</v2/_catalog?n=2&last=app%2Fweb>; rel=\"next\"");
}

#[tokio::test]
async fn referrers_are_found_by_their_subject() {
    let served = Served::new().await;
    served.create("web").await;
    let subject = served.push_image("web", "v1", b"layer").await;
    let about = |kind: &str| {
        let mut manifest = image(b"layer");
        manifest["subject"] = descriptor(OCI_IMAGE, subject.to_string().as_bytes());
        manifest["artifactType"] = json!(kind);
        manifest["annotations"] = json!({"by": "me"});
        manifest
    };
    let (signature, report) = (about("x/signature"), about("x/report"));
    for manifest in [&signature, &report] {
        let digest = digest_of(manifest);
        let answer = served.put_manifest("web", digest.as_str(), OCI_IMAGE, manifest).await;
        assert_eq!(header(&answer, "oci-subject"), digest_of(&subject).as_str());
    }
    let path = format!("/v2/web/referrers/{}", digest_of(&subject));
    let all = served.get(&path).await;
    assert_eq!(header(&all, "content-type"), OCI_INDEX);
    assert_eq!(body(all).await["manifests"].as_array().unwrap().len(), 2);
    let some = served.get(&format!("{path}?artifactType=x%2Fsignature")).await;
    assert_eq!(header(&some, "oci-filters-applied"), "artifactType");
    let found = body(some).await;
    assert_eq!(
        found["manifests"],
        json!([{"mediaType": OCI_IMAGE, "digest": digest_of(&signature).as_str(),
            "size": signature.to_string().len(), "artifactType": "x/signature", "annotations": {"by": "me"}}])
    );
    let none = served.get(&format!("/v2/web/referrers/{}", Digest::of(b"x"))).await;
    assert_eq!(body(none).await["manifests"], json!([]));
}
