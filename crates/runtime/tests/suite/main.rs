//! One suite of behaviour, run over every [`runtime::Runtime`]: the embedded engine (needs root and
//! cgroups), Docker Engine where it runs and, where it makes sense, the fake.
//!
//! It has its own `main`, because the engine's zygote is this very program started again, and must be
//! so before any thread is; and because each case is a process of its own.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on fails")]

mod cases;
mod confinement;
mod differential;
mod docker;
mod drawn;
mod hostile;
mod lanes;
mod lifecycle;
mod oci;
mod probe_image;
mod programs;
mod sessions;
mod sharing;
mod support;
mod user_namespaces;

fn main() {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == runtime::ZYGOTE_ARGUMENT) {
        arguments.next();
        runtime::zygote_main(arguments);
    }
    let words = arguments.filter_map(|argument| argument.into_string().ok());
    let filters: Vec<String> = words.filter(|word| !word.starts_with('-')).collect();
    std::process::exit(match std::env::var(lanes::ONE) {
        Ok(name) => lanes::one(&name),
        Err(_) => lanes::run(&filters),
    });
}
