//! Automation of the workspace: what `cargo xtask` can do, and nothing that a user of Wharf needs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

mod codegen;
mod docs;
mod image;
mod tidy;

const USAGE: &str = "usage: cargo xtask COMMAND

  codegen   write crates/aws/src/gen from models/*.json
  docs      write what docs/ has from code
  tidy      check the rules of the house that a compiler does not hold
  image     build a program of one file and write it as an OCI image layout:
            --source FILE   the program [default: examples/hello/main.rs]
            --name NAME     the image's name and its program's [default: hello]
            --out DIR       where to [default: target/hello-image]
";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match (command, rest) {
        ("codegen", []) => codegen::write(&root()?),
        ("docs", []) => docs::write(&root()?),
        ("tidy", []) => tidy::run(&root()?),
        ("image", options) => image::run(options),
        ("help" | "--help" | "-h", _) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("{arguments:?} is not understood\n{USAGE}"),
    }
}

/// The folder of the workspace.
fn root() -> anyhow::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies in the workspace's folder")?.to_path_buf())
}
