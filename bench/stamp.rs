//! The program that the benchmarks start: as its first act it reads the machine's monotonic clock and
//! appends it to a file; then it sleeps until SIGTERM, to which it answers by ending with 0.
//!
//! Built by `rustc` alone, statically, so that an image need hold nothing else:
//! `rustc -O -C target-feature=+crt-static stamp.rs`. Containers share the machine's monotonic clock,
//! so the bench can subtract its own reading.
//!
//! With the word `nothing` it ends at once.
//!
//! The file is `$STAMP_DIR/stamps`; a line is `main <nanoseconds> <mark>`, where the mark is `$MARK`.
//! Lines are appended in one write each, so fifty programs may share a file.

use std::ffi::{c_int, c_long};
use std::io::Write;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    fn clock_gettime(clock: c_int, now: *mut Timespec) -> c_int;
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn pause() -> c_int;
    fn _exit(code: c_int) -> !;
}

const CLOCK_MONOTONIC: c_int = 1;
const SIGTERM: c_int = 15;

extern "C" fn end(_signal: c_int) {
    // SAFETY: `_exit` may be called in a signal handler.
    unsafe { _exit(0) }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("nothing") {
        return;
    }
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: `now` is the C struct of this platform and outlives the call.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut now) };
    // SAFETY: the handler calls nothing that is unsafe in a handler.
    unsafe { signal(SIGTERM, end) };
    let nanoseconds = now.seconds * 1_000_000_000 + now.nanoseconds;
    let mark = std::env::var("MARK").unwrap_or_default();
    if let Ok(folder) = std::env::var("STAMP_DIR") {
        let path = std::path::Path::new(&folder).join("stamps");
        let file = std::fs::OpenOptions::new().append(true).create(true).open(&path);
        let line = format!("main {nanoseconds} {mark}\n");
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("stamp: append to {}: {error}", path.display());
            std::process::exit(1);
        }
    }
    loop {
        // SAFETY: `pause` waits for a signal and touches nothing.
        unsafe { pause() };
    }
}
