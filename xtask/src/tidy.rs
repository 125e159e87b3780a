//! `cargo xtask tidy`, and the same as a test: the rules of the house that a compiler does not hold.
//!
//! The room table of `ARCHITECTURE.md` equals the crate graph; every source file opens with its
//! purpose and is small enough to hold in mind; every crate takes the workspace's lints; licences are
//! an exact list; the repository speaks of itself alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A source file longer than this wants a wall through it.
const MOST_LINES: usize = 600;
/// A test file may be longer.
const MOST_TEST_LINES: usize = 1000;
/// The licences that our dependencies may have, besides combinations of them.
const LICENCES: [&str; 17] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "MPL-2.0+",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks everything and tells every fault.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut faults = Vec::new();
    rooms(root, &mut faults)?;
    sources(root, &mut faults)?;
    licences(root, &mut faults)?;
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{} faults:\n  {}", faults.len(), faults.join("\n  "))
}

type Graph = BTreeMap<String, BTreeSet<String>>;

/// The table between the marks in `ARCHITECTURE.md`: `| room | what it is for | may know |`.
fn table(root: &Path) -> Result<Graph> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).context("read ARCHITECTURE.md")?;
    let (_, rest) = text.split_once("<!-- rooms -->").context("find the mark <!-- rooms -->")?;
    let (table, _) = rest.split_once("<!-- /rooms -->").context("find the mark <!-- /rooms -->")?;
    let mut rooms = Graph::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [room, _, knows] = cells[..] else { bail!("the row {row:?} has not three cells") };
        let names = |cell: &str| -> BTreeSet<String> {
            cell.split(',')
                .map(|n| n.trim().trim_matches('`').to_owned())
                .filter(|n| n != "–")
                .collect()
        };
        rooms.insert(room.trim_matches('`').to_owned(), names(knows));
    }
    Ok(rooms)
}

/// Who depends on whom among the workspace's crates.
fn graph(root: &Path) -> Result<Graph> {
    let mut graph = Graph::new();
    for entry in fs::read_dir(root.join("crates")).context("read crates")? {
        let path = entry?.path();
        let name = path.file_name().context("name a crate")?.to_string_lossy().into_owned();
        let manifest = fs::read_to_string(path.join("Cargo.toml"))
            .with_context(|| format!("read the manifest of {name}"))?;
        graph.insert(name, dependencies(&manifest));
    }
    let rooms: BTreeSet<String> = graph.keys().cloned().collect();
    for known in graph.values_mut() {
        known.retain(|name| rooms.contains(name));
    }
    Ok(graph)
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        } else if section == "dependencies" {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() && !name.starts_with('#') {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

fn rooms(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let (told, real) = (table(root)?, graph(root)?);
    for room in told.keys().filter(|room| !real.contains_key(*room)) {
        faults.push(format!("ARCHITECTURE.md: there is no crate for the room {room}"));
    }
    for (room, knows) in &real {
        let Some(may) = told.get(room) else {
            faults.push(format!("ARCHITECTURE.md: the room {room} is not in the table"));
            continue;
        };
        for other in knows.difference(may) {
            faults.push(format!("crates/{room}: knows {other}, which the table does not allow"));
        }
        for other in may.difference(knows) {
            faults.push(format!("ARCHITECTURE.md: {room} does not know {other} (any more)"));
        }
        let manifest = fs::read_to_string(root.join("crates").join(room).join("Cargo.toml"))?;
        if !manifest.contains("[lints]\nworkspace = true") {
            faults.push(format!("crates/{room}: does not take the workspace's lints"));
        }
    }
    Ok(())
}

fn sources(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "examples"] {
        collect(&root.join(folder), &mut files)?;
    }
    for path in files {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        let generated = text.starts_with("// @generated");
        if !text.starts_with("//!") && !generated {
            faults.push(format!("{name}: does not open with //! and what it is for"));
        }
        let tests = name.contains("/tests/") || name.ends_with("tests.rs");
        let most = if tests { MOST_TEST_LINES } else { MOST_LINES };
        let lines = text.lines().count();
        if lines > most && !generated {
            faults.push(format!("{name}: {lines} lines; {most} is the most"));
        }
        for word in ["TODO", "FIXME", "XXX"] {
            if text.contains(word) && !name.ends_with("xtask/src/tidy.rs") {
                faults.push(format!("{name}: has a {word}; do it, or file it"));
            }
        }
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn licences(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let metadata = |more: &[&str]| {
        Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(more)
            .current_dir(root)
            .output()
            .context("run cargo metadata")
    };
    let mut output = metadata(&["--offline"])?;
    // Packages for other systems are not downloaded by a build; once they are, no network is asked.
    if !output.status.success() {
        output = metadata(&[])?;
    }
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let linux = reached(root)?;
    for package in metadata["packages"].as_array().context("find the packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or("none stated");
        if linux.contains(name) && !allowed(licence) {
            faults.push(format!("Cargo.lock: {name} has the licence {licence:?}"));
        }
    }
    Ok(())
}

/// The packages that a Linux build reaches; the lock file also has those of other systems.
fn reached(root: &Path) -> Result<BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--offline",
            "--locked",
        ])
        .current_dir(root)
        .output()
        .context("run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// Any one of the alternatives is enough; all parts of a conjunction are needed.
fn allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" OR ").any(|one| one.split(" AND ").all(|part| LICENCES.contains(&part.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        if let Err(faults) = run(root) {
            panic!("{faults}");
        }
    }

    #[test]
    fn licence_expressions_are_read() {
        assert!(allowed("MIT OR Apache-2.0"));
        assert!(allowed("Apache-2.0 AND ISC"));
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(allowed("GPL-3.0 OR MIT"));
        assert!(!allowed("GPL-3.0"));
        assert!(!allowed("MIT AND GPL-3.0"));
        assert!(!allowed("none stated"));
    }

    #[test]
    fn only_real_dependencies_count() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nstdx.workspace = true\nserde = { version = \"1\" }\n[dev-dependencies]\nmodel.workspace = true\n";
        let found: Vec<String> = dependencies(manifest).into_iter().collect();
        assert_eq!(found, ["serde", "stdx"]);
    }
}
