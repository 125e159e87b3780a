//! The zygote: a process with one thread that makes shims by copying itself.
//!
//! The engine has many threads and must not fork; so it starts this process once, from a sealed copy
//! of its own program (a container that gets hold of `/proc/self/exe` cannot change it:
//! CVE-2019-5736), and asks it for shims. It holds what every shim needs ready: the compiled
//! system-call filter and the layout of the cgroups. It ends when the engine does; shims stay.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::engine::cgroup::Cgroups;
use crate::engine::{Fault, process, seccomp, sys};
use crate::shim::{self, Birth};

/// The first argument that makes a program the zygote.
pub const ZYGOTE_ARGUMENT: &str = "__zygote";

/// Lives the zygote's life. A program's `main` calls this first of all, before it starts any thread,
/// if its first argument is [`ZYGOTE_ARGUMENT`]. Standard input is the engine's socket. `arguments`
/// are those after it; there are none today.
pub fn zygote_main(arguments: impl Iterator<Item = OsString>) -> ! {
    let extra = arguments.count();
    if extra > 0 {
        eprintln!("the zygote takes no arguments; it was given {extra}");
        sys::exit_now(2);
    }
    match serve() {
        Ok(()) => sys::exit_now(0),
        Err(fault) => {
            eprintln!("the zygote ends: {}", fault.line());
            sys::exit_now(1)
        }
    }
}

fn serve() -> Result<(), Fault> {
    process::set_name(c"zygote");
    // Its own session: what a terminal sends to the engine is not meant for shims. It fails only for
    // a process that leads one already.
    rustix::process::setsid().map(drop).unwrap_or_default();
    // The kernel reaps shims that end while this lives.
    sys::ignore_signal(libc::SIGCHLD);
    let cgroups = Cgroups::detect()?;
    seccomp::prepare();
    let mut message = vec![0; 64 << 10];
    loop {
        let received = process::receive_with_fds(std::io::stdin(), &mut message);
        let (read, mut fds) = received
            .map_err(|source| Fault { attempt: "receive from the engine".into(), source })?;
        if read == 0 {
            return Ok(());
        }
        let (Ok(birth), Some(control)) =
            (serde_json::from_slice::<Birth>(&message[..read]), fds.pop())
        else {
            eprintln!("the zygote does not understand its engine");
            continue;
        };
        bear(birth, &cgroups, control);
    }
}

fn bear(birth: Birth, cgroups: &Cgroups, control: OwnedFd) {
    match sys::clone3(0, None) {
        Ok(sys::Fork::Child) => shim::run(birth, cgroups.clone(), UnixStream::from(control)),
        Ok(sys::Fork::Parent(_)) => {}
        // The engine sees its end of the connection close.
        Err(error) => eprintln!("no shim for {}: {error}", birth.group),
    }
}
