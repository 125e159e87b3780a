//! Prints the table of `docs/task-definition.md`; `cargo xtask docs` puts it there.

fn main() {
    print!("{}", api::definition_members::table());
}
