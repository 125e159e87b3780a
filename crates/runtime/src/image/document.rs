//! The JSON documents of an image: index, manifest and configuration, OCI's and Docker's
//! (OCI image-spec 1.1; Docker image manifest version 2, schema 2).
//!
//! Pure: bytes in, typed facts or a reason out. What a manifest claims is checked here as far as it
//! can be without its content.

use serde::{Deserialize, Deserializer};

use super::digest::Digest;
use super::platform::Platform;
use crate::seam::ImageConfig;

/// What may be asked of a registry under a tag or digest.
pub(crate) const MANIFEST_TYPES: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// The media types of layers that are tar archives; how they are compressed is seen in their bytes.
const LAYER_TYPES: &[&str] = &[
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// The most layers that an image may have; overlayfs stacks at most 500.
pub(crate) const MAX_LAYERS: usize = 500;

/// The most bytes that a configuration may have.
pub(crate) const MAX_CONFIG_BYTES: u64 = 8 << 20;

/// Points to content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The machine it is for, in an index.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// A manifest of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manifest {
    /// Of several platforms.
    Index(Vec<Descriptor>),
    /// Of one image.
    Image {
        /// The configuration.
        config: Descriptor,
        /// The layers, lowest first.
        layers: Vec<Descriptor>,
    },
}

/// An image's configuration, as far as it concerns this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// The operating system it is for.
    pub os: String,
    /// The processor it is for.
    pub architecture: String,
    /// The digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// How it wants to be run.
    pub config: ImageConfig,
}

/// Reads an index or manifest.
pub(crate) fn parse_manifest(bytes: &[u8]) -> Result<Manifest, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        schema_version: u32,
        #[serde(default, deserialize_with = "or_default")]
        media_type: String,
        config: Option<Descriptor>,
        layers: Option<Vec<Descriptor>>,
        manifests: Option<Vec<Descriptor>>,
    }
    let wire: Wire = serde_json::from_slice(bytes)
        .map_err(|error| format!("its manifest cannot be read: {error}"))?;
    if wire.schema_version != 2 {
        return Err(format!(
            "its manifest has schema version {}; only version 2 is supported: push the image again with a current tool",
            wire.schema_version
        ));
    }
    if !wire.media_type.is_empty() && !MANIFEST_TYPES.contains(&wire.media_type.as_str()) {
        return Err(format!("its manifest is a {}, not an image", wire.media_type));
    }
    match (wire.manifests, wire.config, wire.layers) {
        // Both at once could be read either way by two readers (CVE-2021-41190).
        (Some(list), None, None) => Ok(Manifest::Index(list)),
        (None, Some(config), Some(layers)) => check_layers(config, layers),
        (Some(_), _, _) => Err("its manifest is both an index and an image".to_owned()),
        (None, _, _) => Err("its manifest has no configuration or no layers".to_owned()),
    }
}

fn check_layers(config: Descriptor, layers: Vec<Descriptor>) -> Result<Manifest, String> {
    if layers.len() > MAX_LAYERS {
        return Err(format!("it has {} layers; at most {MAX_LAYERS} can be stacked", layers.len()));
    }
    if config.size > MAX_CONFIG_BYTES {
        return Err(format!(
            "its configuration has {} bytes; at most {MAX_CONFIG_BYTES} are read",
            config.size
        ));
    }
    if let Some(other) =
        layers.iter().find(|layer| !LAYER_TYPES.contains(&layer.media_type.as_str()))
    {
        return Err(format!(
            "layer {} has the media type \"{}\", which is not a file-system layer",
            other.digest, other.media_type
        ));
    }
    Ok(Manifest::Image { config, layers })
}

/// Reads a configuration.
pub(crate) fn parse_config(bytes: &[u8]) -> Result<Configuration, String> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default, deserialize_with = "or_default")]
        os: String,
        #[serde(default, deserialize_with = "or_default")]
        architecture: String,
        #[serde(default, deserialize_with = "or_default")]
        config: WireRun,
        rootfs: WireRoot,
    }
    #[derive(Deserialize)]
    struct WireRoot {
        #[serde(default, deserialize_with = "or_default")]
        diff_ids: Vec<Digest>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "PascalCase")]
    struct WireRun {
        #[serde(deserialize_with = "or_default")]
        entrypoint: Vec<String>,
        #[serde(deserialize_with = "or_default")]
        cmd: Vec<String>,
        #[serde(deserialize_with = "or_default")]
        env: Vec<String>,
        #[serde(deserialize_with = "or_default")]
        user: String,
        #[serde(deserialize_with = "or_default")]
        working_dir: String,
        #[serde(deserialize_with = "or_default")]
        stop_signal: String,
    }
    let wire: Wire = serde_json::from_slice(bytes)
        .map_err(|error| format!("its configuration cannot be read: {error}"))?;
    let run = wire.config;
    Ok(Configuration {
        os: wire.os,
        architecture: wire.architecture,
        diff_ids: wire.rootfs.diff_ids,
        config: ImageConfig {
            entrypoint: run.entrypoint,
            cmd: run.cmd,
            env: run.env,
            user: run.user,
            working_dir: run.working_dir,
            stop_signal: run.stop_signal,
        },
    })
}

/// `null` is the default value: Go writes it for what is empty.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{}","size":7}}"#, "0".repeat(64))
    }

    #[test]
    fn both_kinds_are_read() {
        let layer = descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip");
        let config = descriptor("application/vnd.docker.container.image.v1+json");
        let image =
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{layer}]}}"#);
        let Ok(Manifest::Image { layers, .. }) = parse_manifest(image.as_bytes()) else {
            panic!("{image}")
        };
        assert_eq!((layers.len(), layers[0].size), (2, 7));

        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
               {{"digest":"sha256:{0}","size":1,"platform":{{"os":"linux","architecture":"arm","variant":null}}}},
               {{"digest":"sha256:{0}","size":1}}]}}"#,
            "0".repeat(64)
        );
        let Ok(Manifest::Index(list)) = parse_manifest(index.as_bytes()) else { panic!("{index}") };
        assert_eq!(
            list[0].platform.as_ref().map(ToString::to_string),
            Some("linux/arm".to_owned())
        );
        assert_eq!(list[1].platform, None);
    }

    #[test]
    fn what_is_no_image_says_why() {
        let config = descriptor("x");
        let layer = descriptor("application/vnd.oci.image.layer.v1.tar");
        let many = vec![layer.as_str(); MAX_LAYERS + 1].join(",");
        for (text, word) in [
            ("{".to_owned(), "cannot be read"),
            (r#"{"schemaVersion":1}"#.to_owned(), "schema version 1"),
            (r#"{"schemaVersion":2}"#.to_owned(), "no configuration"),
            (r#"{"schemaVersion":2,"mediaType":"application/json"}"#.to_owned(), "not an image"),
            (
                format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#),
                "both",
            ),
            (
                format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{config}]}}"#),
                "media type \"x\"",
            ),
            (format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{many}]}}"#), "501 layers"),
            (
                r#"{"schemaVersion":2,"config":{"digest":"sha256:..","size":1},"layers":[]}"#
                    .to_owned(),
                "digest",
            ),
            (
                format!(
                    r#"{{"schemaVersion":2,"config":{{"digest":"sha256:{}","size":-1}},"layers":[]}}"#,
                    "0".repeat(64)
                ),
                "cannot be read",
            ),
        ] {
            let why = parse_manifest(text.as_bytes()).expect_err(&text);
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_configuration_may_leave_out_nearly_everything() {
        let bare =
            parse_config(br#"{"rootfs":{"type":"layers","diff_ids":null},"config":null}"#).unwrap();
        assert_eq!(bare.config, ImageConfig::default());
        let full = parse_config(
            br#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]},"config":{"Entrypoint":["/a"],
                "Cmd":null,"Env":["A=b"],"User":"1:2","WorkingDir":"/w","StopSignal":"SIGINT","Labels":{"x":"y"}}}"#,
        )
        .unwrap();
        assert_eq!(full.config.entrypoint, ["/a"]);
        assert_eq!(full.config.stop_signal, "SIGINT");
        assert!(parse_config(b"{}").is_err());
    }
}
