//! `cargo xtask image`: builds a program of one file as a static executable and writes an image that
//! holds nothing else, as an OCI layout: no base image, no internet.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// What to build and where to.
struct Options {
    source: PathBuf,
    out: PathBuf,
    name: String,
}

/// Runs the subcommand.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = parse(args)?;
    let work = options.out.with_extension("work");
    fs::create_dir_all(&work).with_context(|| format!("make {}", work.display()))?;
    let program = compile(&options.source, &work)?;
    write_layout(&options, &program)?;
    fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))?;
    println!("{}: image \"{}\" as an OCI layout", options.out.display(), options.name);
    Ok(())
}

fn parse(args: &[String]) -> Result<Options> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("find the workspace")?;
    let mut options = Options {
        source: root.join("examples/hello/main.rs"),
        out: root.join("target/hello-image"),
        name: "hello".to_owned(),
    };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().with_context(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--source" => options.source = value.into(),
            "--out" => options.out = value.into(),
            "--name" => options.name.clone_from(value),
            _ => bail!("image knows --source FILE, --out DIR and --name NAME, not {flag}"),
        }
    }
    // The compiler runs in a folder of its own.
    options.source = std::path::absolute(&options.source).context("find the source")?;
    options.out = std::path::absolute(&options.out).context("find where to write")?;
    Ok(options)
}

fn compile(source: &Path, work: &Path) -> Result<PathBuf> {
    let program = work.join("program");
    let status = Command::new("rustc")
        .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "panic=abort"])
        .args(["-C", "strip=symbols", "-o"])
        .arg(&program)
        .arg(source)
        .current_dir(work)
        .status()
        .context("start rustc")?;
    ensure!(status.success(), "rustc could not build {}", source.display());
    Ok(program)
}

fn write_layout(options: &Options, program: &Path) -> Result<()> {
    let out = &options.out;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("remove {}", out.display()))?;
    }
    let blobs = out.join("blobs/sha256");
    fs::create_dir_all(&blobs).with_context(|| format!("make {}", blobs.display()))?;
    let tar = layer(program, &options.name)?;
    let diff_id = digest(&tar);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&tar)?;
    let layer = blob(&blobs, &gzip.finish()?)?;
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Entrypoint": [format!("/{}", options.name)],
            "ExposedPorts": { "8080/tcp": {} },
            "Env": ["PATH=/"],
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let config = blob(&blobs, config.to_string().as_bytes())?;
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config.0, "size": config.1,
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": layer.0, "size": layer.1,
        }],
    });
    let manifest = blob(&blobs, manifest.to_string().as_bytes())?;
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": manifest.0, "size": manifest.1,
            "annotations": { "org.opencontainers.image.ref.name": options.name },
        }],
    });
    fs::write(out.join("index.json"), index.to_string()).context("write index.json")?;
    fs::write(out.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .context("write oci-layout")
}

/// The program as `/NAME`, and the folders that every container has.
fn layer(program: &Path, name: &str) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    append(&mut tar, name, tar::EntryType::Regular, 0o755, &bytes)?;
    for folder in ["etc/", "tmp/"] {
        append(&mut tar, folder, tar::EntryType::Directory, 0o755, &[])?;
    }
    tar.into_inner().context("end the layer")
}

fn append(
    tar: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    bytes: &[u8],
) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(bytes.len().try_into()?);
    tar.append_data(&mut header, path, bytes).with_context(|| format!("add {path} to the layer"))
}

fn blob(blobs: &Path, bytes: &[u8]) -> Result<(String, usize)> {
    let digest = digest(bytes);
    let path = blobs.join(digest.trim_start_matches("sha256:"));
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    Ok((digest, bytes.len()))
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
