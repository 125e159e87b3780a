//! An image of one static program, made on the spot, and a store that has only that.

use std::path::{Path, PathBuf};
use std::process::Command;

use async_trait::async_trait;
use runtime::{Image, ImageConfig, ImageError, ImageRequest, Images, StoredImage};
use rustix::fs::XattrFlags;
use stdx::Timestamp;

/// The name under which every runtime knows the image.
pub(crate) const PROBE: &str = "wharf-suite-probe:latest";
/// Its id where it is folders.
const ID: &str = "sha256:probe";

/// Images that are folders on this machine.
#[derive(Debug)]
pub(crate) struct FolderImages {
    layers: Vec<PathBuf>,
}

impl FolderImages {
    /// Compiles the probe and lays it out as an image of two layers below `dir`.
    pub(crate) fn make(dir: &Path) -> Self {
        let (lower, upper) = (dir.join("layer0"), dir.join("layer1"));
        for folder in ["bin", "etc", "tmp", "dev", "proc", "sys", "home/web"] {
            std::fs::create_dir_all(lower.join(folder)).unwrap();
        }
        std::fs::create_dir_all(upper.join("etc")).unwrap();
        compile(&lower.join("probe"));
        std::fs::hard_link(lower.join("probe"), lower.join("bin/probe")).unwrap();
        std::fs::copy(lower.join("probe"), lower.join("capable")).unwrap();
        if rustix::process::geteuid().is_root() {
            // `struct vfs_cap_data`, revision 2: CAP_NET_RAW (13) permitted, and effective at once.
            let words: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
            let value: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
            let (path, name) = (lower.join("capable"), "security.capability");
            rustix::fs::setxattr(&path, name, &value, XattrFlags::empty()).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:Web:/home/web:/bin/sh\n";
        std::fs::write(lower.join("etc/passwd"), passwd).unwrap();
        std::fs::write(lower.join("etc/group"), "root:x:0:\nwww:x:44:\nlog:x:50:web\n").unwrap();
        std::fs::write(lower.join("etc/plain"), "not a program\n").unwrap();
        std::fs::write(lower.join("etc/shadowed"), "lower\n").unwrap();
        std::fs::write(upper.join("etc/shadowed"), "upper\n").unwrap();
        std::fs::write(lower.join("script"), "#!/no/such/interpreter\n").unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(lower.join("script"), executable).unwrap();
        std::os::unix::fs::symlink("/../../../../../../etc", lower.join("escape")).unwrap();
        std::os::unix::fs::symlink("/nowhere", lower.join("dangling")).unwrap();
        Self::at(dir)
    }

    /// The image that was laid out below `dir`.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { layers: vec![dir.join("layer1"), dir.join("layer0")] }
    }

    /// Everything in one archive, for an engine that keeps images itself.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let merged = self.layers[0].with_file_name("merged");
        std::fs::create_dir(&merged).unwrap();
        for layer in self.layers.iter().rev() {
            let copied = Command::new("cp").arg("-a").arg(layer.join(".")).arg(&merged).status();
            assert!(copied.unwrap().success());
        }
        let mut archive = tar::Builder::new(Vec::new());
        archive.follow_symlinks(false);
        archive.append_dir_all(".", &merged).unwrap();
        archive.into_inner().unwrap()
    }
}

fn compile(to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/probe.rs");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let status = Command::new(compiler)
        .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-Cpanic=abort"])
        .args(["-Cstrip=symbols", "-o"])
        .args([to, &source])
        .status()
        .expect("rustc is what builds these tests");
    assert!(status.success(), "the probe does not compile");
}

#[async_trait]
impl Images for FolderImages {
    async fn ensure(&self, request: &ImageRequest) -> Result<Image, ImageError> {
        if request.reference != PROBE {
            let reference = request.reference.clone();
            return Err(ImageError::NotFound { reference, host: "folders".into() });
        }
        let config = ImageConfig { entrypoint: vec!["/probe".into()], ..ImageConfig::default() };
        Ok(Image { digest: ID.into(), id: ID.into(), config, pulled: None })
    }

    fn layers(&self, image_id: &str) -> Result<Vec<PathBuf>, ImageError> {
        if image_id == PROBE || image_id == ID {
            return Ok(self.layers.clone());
        }
        Err(ImageError::NotFound { reference: image_id.into(), host: "this node".into() })
    }

    fn list(&self) -> Vec<StoredImage> {
        vec![StoredImage {
            id: ID.into(),
            references: vec![PROBE.into()],
            bytes: 1,
            pulled_at: Timestamp::default(),
            used_at: Timestamp::default(),
            in_use: false,
        }]
    }

    fn remove(&self, _image_id: &str) -> Result<(), ImageError> {
        Ok(())
    }
}
