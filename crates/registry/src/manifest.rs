//! Reading manifests: what they are and what they refer to (OCI image-spec 1.1; Docker image
//! manifest version 2, schema 2). Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;

/// The most bytes that a manifest may have (OCI distribution-spec: at least 4 MiB).
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// OCI's image manifest.
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI's index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker's image manifest.
const DOCKER_IMAGE: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's index.
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Points to content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    #[serde(default, deserialize_with = "or_default")]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where else it may be had: then it need not be here.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// A manifest, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// One of the four above.
    pub media_type: String,
    /// The blobs it needs: configuration and layers.
    pub blobs: Vec<Descriptor>,
    /// The manifests it lists.
    pub manifests: Vec<Descriptor>,
    /// The media type of the configuration; none for an index.
    pub config_type: Option<String>,
    /// The manifest it is about.
    pub subject: Option<Digest>,
    /// What kind of artifact it is, for the referrers API.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: u32,
    #[serde(default, deserialize_with = "or_default")]
    media_type: String,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

/// Reads a manifest that came with this `Content-Type`; refuses with a reason.
pub(crate) fn parse(content_type: &str, bytes: &[u8]) -> Result<Manifest, String> {
    let wire: Wire = serde_json::from_slice(bytes)
        .map_err(|error| format!("the manifest cannot be read: {error}"))?;
    if wire.schema_version != 2 {
        return Err(format!("schema version {} is not supported; only 2 is", wire.schema_version));
    }
    let claimed = content_type.split(';').next().unwrap_or_default().trim();
    if !wire.media_type.is_empty() && !claimed.is_empty() && wire.media_type != claimed {
        return Err(format!(
            "the manifest says that it is a {} and the request says {claimed}",
            wire.media_type
        ));
    }
    let media_type = if claimed.is_empty() { wire.media_type } else { claimed.to_owned() };
    let (blobs, manifests, config_type) = match media_type.as_str() {
        OCI_IMAGE | DOCKER_IMAGE => {
            let (Some(config), Some(layers), None) = (wire.config, wire.layers, wire.manifests)
            else {
                return Err("an image manifest has config and layers, and no manifests".to_owned());
            };
            let config_type = config.media_type.clone();
            ([vec![config], layers].concat(), Vec::new(), Some(config_type))
        }
        OCI_INDEX | DOCKER_INDEX => {
            let (None, None, Some(manifests)) = (wire.config, wire.layers, wire.manifests) else {
                return Err("an index has manifests, and neither config nor layers".to_owned());
            };
            (Vec::new(), manifests, None)
        }
        other => {
            return Err(format!(
                "the media type \"{other}\" is not supported; use {OCI_IMAGE}, {OCI_INDEX}, {DOCKER_IMAGE} or {DOCKER_INDEX}"
            ));
        }
    };
    // The referrers API falls back to the configuration's type (distribution-spec, "Listing Referrers").
    let artifact_type =
        wire.artifact_type.filter(|kind| !kind.is_empty()).or_else(|| config_type.clone());
    Ok(Manifest {
        media_type,
        blobs,
        manifests,
        config_type,
        subject: wire.subject.map(|subject| subject.digest),
        artifact_type,
        annotations: wire.annotations,
    })
}

/// `null` is the default value: Go writes it for what is empty.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(byte: &str) -> String {
        format!(r#"{{"mediaType":"t/{byte}","digest":"sha256:{}","size":1}}"#, byte.repeat(64))
    }

    #[test]
    fn images_and_indexes_are_understood() {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_IMAGE}","config":{},"layers":[{}],"subject":{},"annotations":{{"a":"b"}}}}"#,
            descriptor("a"),
            descriptor("b"),
            descriptor("c")
        );
        let image = parse(OCI_IMAGE, text.as_bytes()).unwrap();
        assert_eq!(image.blobs.len(), 2);
        assert_eq!(image.artifact_type.as_deref(), Some("t/a"));
        assert_eq!(image.subject, Digest::parse(&format!("sha256:{}", "c".repeat(64))));
        assert_eq!(parse("", text.as_bytes()).unwrap(), image);

        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{}],"annotations":null}}"#,
            descriptor("a")
        );
        let index = parse(&format!("{DOCKER_INDEX}; charset=utf-8"), text.as_bytes()).unwrap();
        assert_eq!((index.manifests.len(), index.config_type), (1, None));
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        let (a, b) = (descriptor("a"), descriptor("b"));
        for (content_type, text, word) in [
            (OCI_IMAGE, "[".to_owned(), "cannot be read"),
            (OCI_IMAGE, r#"{"schemaVersion":1}"#.to_owned(), "schema version 1"),
            (OCI_IMAGE, r#"{"schemaVersion":2,"layers":[]}"#.to_owned(), "config and layers"),
            (
                OCI_INDEX,
                format!(r#"{{"schemaVersion":2,"config":{a},"manifests":[{b}]}}"#),
                "neither",
            ),
            (
                OCI_IMAGE,
                format!(r#"{{"schemaVersion":2,"config":{a},"layers":[],"manifests":[]}}"#),
                "no manifests",
            ),
            (
                OCI_IMAGE,
                format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}"}}"#),
                "the request says",
            ),
            ("text/plain", r#"{"schemaVersion":2}"#.to_owned(), "not supported"),
        ] {
            let why = parse(content_type, text.as_bytes()).expect_err(&text);
            assert!(why.contains(word), "{why}");
        }
    }
}
