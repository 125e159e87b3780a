//! Unpacking: what a layer becomes, what is refused, and that nothing gets out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use proptest::prelude::*;
use tar::EntryType;

use super::testing::{Layer, is_root};
use super::unpack::{Limits, UnpackError, Unpacked, unpack};

const LIMITS: Limits = Limits { entries: 1000, bytes: 1 << 20 };

fn into(folder: &Path, layer: Layer) -> Result<Unpacked, UnpackError> {
    unpack(layer.tar().as_slice(), folder, LIMITS)
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 64];
    let read = rustix::fs::lgetxattr(path, name, &mut value).ok()?;
    value.truncate(read);
    Some(value)
}

#[test]
fn a_layer_becomes_files_with_all_they_have() {
    if !is_root("unpacking layers") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let layer = Layer::new()
        .folder("./")
        .folder("etc/")
        .pax(&[
            ("SCHILY.xattr.user.note", b"a\nb"),
            ("SCHILY.xattr.security.capability", &CAPABILITY),
        ])
        .header(
            |header| {
                header.set_mode(0o4711);
                header.set_uid(7);
                header.set_gid(8);
                header.set_mtime(1234);
            },
            "etc/tool",
            b"hello",
        )
        .pax(&[
            ("SCHILY.xattr.security.selinux", b"x"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
            ("SCHILY.xattr.user.overlay.redirect", b"/"),
            ("mtime", b"99.5"),
        ])
        .file("a/b/c/implicit", "x")
        .symlink("link", "../../../etc/tool")
        .hardlink("etc/again", "/etc/tool")
        .raw(EntryType::Fifo, "pipe", "", b"")
        .header(|header| header.as_mut_bytes()[156] = 0, "old-style-folder/", b"");
    let unpacked = into(root, layer).unwrap();
    assert_eq!(unpacked, Unpacked { entries: 8, bytes: 6 });
    let tool = fs::metadata(root.join("etc/tool")).unwrap();
    assert_eq!((tool.mode() & 0o7777, tool.uid(), tool.gid(), tool.mtime()), (0o4711, 7, 8, 1234));
    assert_eq!(tool.ino(), fs::metadata(root.join("etc/again")).unwrap().ino());
    assert_eq!(fs::read(root.join("etc/tool")).unwrap(), b"hello");
    assert_eq!(attribute(&root.join("etc/tool"), "user.note").unwrap(), b"a\nb");
    assert_eq!(attribute(&root.join("etc/tool"), "security.capability").unwrap(), CAPABILITY);
    let implicit = root.join("a/b/c/implicit");
    for name in ["security.selinux", "trusted.overlay.opaque", "user.overlay.redirect"] {
        assert_eq!(attribute(&implicit, name), None, "{name}");
    }
    let times = fs::metadata(&implicit).unwrap();
    assert_eq!((times.mtime(), times.mtime_nsec()), (99, 500_000_000));
    assert_eq!(fs::metadata(root.join("a/b")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("../../../etc/tool"));
    assert!(fs::metadata(root.join("pipe")).unwrap().file_type().is_fifo());
    assert!(root.join("old-style-folder").is_dir());
    // Set last: what was written into the folders did not change it.
    for path in [root.to_owned(), root.join("etc")] {
        assert_eq!(fs::metadata(&path).unwrap().mtime(), 1_000_000_000, "{}", path.display());
    }
}

/// `cap_net_raw+ep`, as the kernel stores it (version 2), with a line feed for the tar reader.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0x0a, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn whiteouts_are_overlayfs_own() {
    if !is_root("making whiteouts") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let layer = Layer::new()
        .file("usr/.wh.gone", "")
        .folder("opaque")
        .file("opaque/new", "x")
        .file("opaque/.wh..wh..opq", "")
        // Gone below, made anew here: nothing of the lower one may shine through.
        .file(".wh.again", "")
        .file("again/new", "x")
        .folder("first")
        .file(".wh.first", "")
        .file("kept", "x")
        .file(".wh.kept", "")
        .file(".wh..wh.plnk/1.2", "x")
        .file(".wh..wh.aufs", "x");
    into(root, layer).unwrap();
    let whiteout = |path: &str| {
        let metadata = fs::symlink_metadata(root.join(path)).unwrap();
        metadata.file_type().is_char_device() && metadata.rdev() == 0
    };
    assert!(whiteout("usr/gone"));
    assert_eq!(fs::read(root.join("kept")).unwrap(), b"x");
    for (path, opaque) in [("opaque", true), ("again", true), ("first", true), ("usr", false)] {
        let value = attribute(&root.join(path), "trusted.overlay.opaque");
        assert_eq!(value.as_deref(), opaque.then_some(b"y".as_slice()), "{path}");
    }
    let mut names: Vec<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["again", "first", "kept", "opaque", "usr"].map(OsStr::new));
}

#[test]
fn later_entries_replace_earlier_ones() {
    if !is_root("unpacking layers") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let layer = Layer::new()
        .file("a", "one")
        .file("a", "two")
        .folder("d")
        .file("d/x/y", "old")
        .symlink("d", "/e")
        .file("d/z", "through the link")
        .folder("e")
        .symlink("s", "a")
        .file("s", "not through the link")
        .file("f", "x")
        .folder("f");
    // The link leads to a folder that does not exist yet: refused, not guessed.
    assert!(matches!(into(root, layer), Err(UnpackError::Refused { path, .. }) if path == "d/z"));
    let layer = Layer::new()
        .folder("e")
        .file("a", "one")
        .file("a", "two")
        .folder("d")
        .file("d/x/y", "old")
        .symlink("d", "/e")
        .file("d/z", "through the link")
        .symlink("s", "a")
        .file("s", "not through the link")
        .file("f", "x")
        .folder("f");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    into(root, layer).unwrap();
    assert_eq!(fs::read(root.join("a")).unwrap(), b"two");
    assert_eq!(fs::read(root.join("e/z")).unwrap(), b"through the link");
    assert_eq!(fs::read(root.join("s")).unwrap(), b"not through the link");
    assert!(root.join("f").is_dir());
    assert!(fs::symlink_metadata(root.join("d")).unwrap().is_symlink());
}

#[test]
fn what_is_hostile_is_refused_with_a_reason() {
    if !is_root("unpacking layers") {
        return;
    }
    let deep = "d/".repeat(49) + "f";
    let big = vec![0; 600_000];
    let mut many = Layer::new();
    for n in 0..=1000 {
        many = many.folder(&format!("d{n}"));
    }
    let huge_owner = |header: &mut tar::Header| header.set_uid(u64::from(u32::MAX));
    for (layer, word) in [
        (Layer::new().file("../evil", ""), "out of the image's root"),
        (Layer::new().file("a/../../evil", ""), "out of the image's root"),
        (Layer::new().hardlink("x", "../../etc/shadow"), "target is bad"),
        (Layer::new().hardlink("x", "/etc/shadow"), "no file of this layer"),
        (Layer::new().symlink("l", "/etc").hardlink("x", "l/shadow"), "no file of this layer"),
        (Layer::new().folder("d").hardlink("x", "d"), "no file of this layer"),
        (Layer::new().folder("d").file("d/f", "").hardlink("d", "d/f"), "no file of this layer"),
        (Layer::new().symlink("l", "/nowhere").file("l/x", ""), "link to nowhere"),
        (Layer::new().symlink("l", "l").file("l/x", ""), "in circles"),
        (Layer::new().file("f", "").file("f/x", ""), "not a folder"),
        (Layer::new().symlink("l", ""), "link to nothing"),
        (Layer::new().file(".wh.", ""), "whiteout of no name"),
        (Layer::new().file("a/.wh...", ""), "whiteout of no name"),
        (Layer::new().file(".wh.a/b", ""), "folder that is a whiteout"),
        (Layer::new().file(".wh..wh..opq", ""), "cannot hide all"),
        (Layer::new().file("./", "x"), "only be a folder"),
        (
            Layer::new().raw(EntryType::Regular, "big", "", &big).raw(
                EntryType::Regular,
                "big",
                "",
                &big,
            ),
            "more than 1048576 bytes",
        ),
        (many, "more than 1000 entries"),
        (Layer::new().header(huge_owner, "f", b""), "owner"),
        (Layer::new().raw(EntryType::new(b'Z'), "f", "", b""), "unknown type"),
        (Layer::new().raw(EntryType::GNUSparse, "f", "", b""), "sparse"),
        (
            Layer::new().folder(&deep).pax(&[("path", "d/".repeat(300).as_bytes())]).file("f", ""),
            "256 folders deep",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = into(folder.path(), layer).expect_err(word);
        let told = stdx::chain(&error);
        assert!(told.contains(word), "{told} should speak of: {word}");
    }
}

#[test]
fn links_lead_inside_whatever_they_say() {
    if !is_root("unpacking layers") {
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(outer.path().join("canary"), "alive").unwrap();
    let absolute = outer.path().to_str().unwrap();
    let layer = Layer::new()
        .folder(absolute.trim_start_matches('/'))
        .symlink("abs", absolute)
        .file("abs/canary", "dead")
        .symlink("up", "../../../../../../../..")
        .file("up/canary", "dead")
        .symlink("magic", "/proc/self/root")
        .hardlink("stolen", "up/canary");
    into(&root, layer).unwrap();
    assert_eq!(fs::read(outer.path().join("canary")).unwrap(), b"alive");
    assert_eq!(fs::read(root.join("canary")).unwrap(), b"dead");
    assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 2);
}

/// Everything outside of the root: names, contents, modes, times.
fn outside(folder: &Path) -> Vec<(Vec<u8>, u32, i64, Vec<u8>)> {
    let mut all = Vec::new();
    for name in ["", "outside", "outside/file", "outside/folder"] {
        let path = folder.join(name);
        let metadata = fs::symlink_metadata(&path).unwrap();
        let time = if name.is_empty() { 0 } else { metadata.mtime_nsec() };
        all.push((
            path.as_os_str().as_bytes().to_vec(),
            metadata.mode(),
            time,
            fs::read(&path).unwrap_or_default(),
        ));
        if metadata.is_dir() {
            let mut names: Vec<_> =
                fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            all.extend(names.iter().map(|name| (name.as_bytes().to_vec(), 0, 0, Vec::new())));
        }
    }
    all
}

/// Parts of paths that mean mischief when they meet.
fn path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "..",
        ".",
        "",
        "/",
        "outside",
        "file",
        "folder",
        "proc",
        "self",
        "root",
        ".wh.a",
        ".wh..wh..opq",
        ".wh.",
        ".wh...",
        "a\u{e9}",
    ]);
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.join("/"))
}

#[derive(Clone, Debug)]
struct Op {
    kind: u8,
    path: String,
    link: String,
    data: usize,
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop::sample::select(b"0125346xgLKZ\0".to_vec());
    (kind, path(), path(), 0usize..3000).prop_map(|(kind, path, link, data)| Op {
        kind,
        path,
        link,
        data,
    })
}

/// Makes the checksum of every aligned block that looks like a header right again, so that what was
/// changed in it is looked at.
fn mend(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_gets_out_and_nothing_panics(
        ops in prop::collection::vec(op(), 1..20),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        cuts in prop::bool::weighted(0.1),
    ) {
        if !is_root("unpacking layers") {
            return Ok(());
        }
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        for folder in [&root, &outer.path().join("outside/folder")] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(outer.path().join("outside/file"), "alive").unwrap();
        let before = outside(outer.path());
        let mut layer = Layer::new();
        for op in &ops {
            // Every other link is a way out by its absolute name.
            let link = if op.data % 2 == 0 { op.link.clone() } else { format!("{}/{}", outer.path().display(), op.link) };
            let has_data = matches!(op.kind, b'0' | b'\0' | b'x' | b'g' | b'L' | b'K');
            let data = vec![b'a'; if has_data { op.data } else { 0 }];
            layer = layer.raw(EntryType::new(op.kind), &op.path, &link, &data);
        }
        let mut bytes = layer.tar();
        for (index, byte) in &changes {
            *index.get_mut(&mut bytes) = *byte;
        }
        mend(&mut bytes);
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        // Errors are fine; what they must not do is panic, hang, or touch the neighbours.
        let outcome = unpack(bytes.as_slice(), &root, LIMITS);
        prop_assert_eq!(outside(outer.path()), before, "{:?}", outcome);
    }
}
