//! The parts of `docs/` that are written from code.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

/// A document, its mark, and the example of crate `api` that prints what stands between the marks.
const PARTS: &[(&str, &str, &str)] =
    &[("docs/task-definition.md", "members", "task_definition_table")];

/// Writes every part anew.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    for (document, mark, example) in PARTS {
        let path = root.join(document);
        let before = std::fs::read_to_string(&path).with_context(|| format!("read {document}"))?;
        let after = between(&before, mark, &print(root, example)?)
            .with_context(|| format!("{document} has no marks for \"{mark}\""))?;
        if after != before {
            std::fs::write(&path, after).with_context(|| format!("write {document}"))?;
            println!("{document} is written anew");
        }
    }
    Ok(())
}

/// What an example prints. It is run, not linked: nothing of the workspace is needed to build xtask,
/// so that it can mend what does not compile.
fn print(root: &Path, example: &str) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--package", "api", "--example", example])
        .current_dir(root)
        .output()
        .with_context(|| format!("run the example {example}"))?;
    if !output.status.success() {
        bail!("the example {example} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("read what {example} prints"))
}

fn between(text: &str, mark: &str, part: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- /{mark} -->"));
    let (head, rest) = text.split_once(&open)?;
    let (_, tail) = rest.split_once(&close)?;
    Some(format!("{head}{open}{part}{close}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let text = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n";
        let new = between(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n");
        assert_eq!(between(&new, "x", "new\n").as_deref(), Some(new.as_str()));
        assert_eq!(between(text, "y", ""), None);
    }
}
