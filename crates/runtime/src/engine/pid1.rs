//! The built-in init (`initProcessEnabled`): process 1 of a container that forwards signals to the
//! program and reaps what is orphaned.

use std::os::fd::OwnedFd;

use super::exec::Become;
use super::{Attempt, Fault, process, sys};

/// Signals that are not for the program: they tell this process of its own children or faults.
const OWN: [i32; 7] = [
    libc::SIGCHLD,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Starts the program as a child and serves it; returns only if there is no child. `status` is what
/// tells the supervisor how the start went; the child keeps it until its program runs.
pub(crate) fn run(program: &Become, status: &OwnedFd) -> Fault {
    let all: Vec<i32> = (1..=31).filter(|s| ![libc::SIGKILL, libc::SIGSTOP].contains(s)).collect();
    sys::set_mask(&all);
    // Before the filter, which forbids this call's newest form.
    match sys::clone3(0, None).attempt(|| "start the program below the init".into()) {
        Ok(sys::Fork::Child) => {
            sys::set_mask(&[]);
            let fault = program.go();
            report(status, &fault);
            sys::exit_now(127)
        }
        Ok(sys::Fork::Parent(child)) => {
            sys::close_all_but(&[]);
            process::set_name(c"init");
            if program.drop_privileges().is_err() {
                sys::exit_now(127);
            }
            // Its memory is the supervisor's copy: nothing in the container may look into it.
            if sys::prctl(libc::PR_SET_DUMPABLE, 0, 0).is_err()
                || process::die_with_parent().is_err()
            {
                sys::exit_now(127);
            }
            sys::exit_now(serve(child, &all))
        }
        Err(fault) => fault,
    }
}

/// Tells the supervisor why the start failed.
pub(crate) fn report(status: &OwnedFd, fault: &Fault) {
    let text = format!("E{}", fault.line());
    // If the supervisor is gone, nobody wants to know.
    rustix::io::write(status, text.as_bytes()).unwrap_or_default();
}

/// Passes signals on to `child`, and reaps everything, until it ends: its status. The signals must be
/// blocked.
pub(crate) fn serve(child: i32, signals: &[i32]) -> i32 {
    loop {
        match sys::wait_signal(signals) {
            Ok(libc::SIGCHLD) => {
                while let Some((pid, code)) = sys::reap() {
                    if pid == child {
                        return code;
                    }
                }
            }
            // A child that is gone is told by the next SIGCHLD.
            Ok(signal) if !OWN.contains(&signal) => sys::kill(child, signal).unwrap_or_default(),
            Ok(_) | Err(_) => {}
        }
    }
}
