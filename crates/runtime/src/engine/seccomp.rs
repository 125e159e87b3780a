//! System-call filters: the default profile, profiles compiled once, and loading.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use libc::sock_filter;
use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscallBuilder,
};

use super::{Attempt, Fault, bpf, caps, seccomp_table, sys};

/// The flags of `clone` that make namespaces.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// `AF_VSOCK`: it reaches the hypervisor, past every network namespace.
const AF_VSOCK: u64 = 40;
/// Personalities that only change how a program sees itself: Linux, 32 bits, and both with randomised
/// addresses as they are, and "tell me".
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The default profile for a container with these capabilities, as OCI writes it.
pub(crate) fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    let always = seccomp_table::ALWAYS.iter().chain(seccomp_table::ALWAYS_32);
    let mut names: BTreeSet<&str> = always.copied().collect();
    for (capability, more) in seccomp_table::WITH_CAPABILITY {
        if capabilities.contains(capability) {
            names.extend(more.iter());
        }
    }
    let allow = |names: Vec<String>, args: Vec<LinuxSeccompArg>| {
        let rule =
            LinuxSyscallBuilder::default().names(names).action(LinuxSeccompAction::ScmpActAllow);
        let rule = if args.is_empty() { rule } else { rule.args(args) };
        rule.build().expect("names and an action are all it needs")
    };
    let argument = |index: usize, value: u64, two: u64, op| {
        let argument = LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
        argument.value_two(two).build().expect("all fields are given")
    };
    let mut calls = vec![allow(names.into_iter().map(String::from).collect(), Vec::new())];
    for personality in PERSONALITIES {
        let same = argument(0, personality, 0, LinuxSeccompOperator::ScmpCmpEq);
        calls.push(allow(vec!["personality".into()], vec![same]));
    }
    let other = argument(0, AF_VSOCK, 0, LinuxSeccompOperator::ScmpCmpNe);
    calls.push(allow(vec!["socket".into()], vec![other]));
    if !capabilities.contains(&Capability::SysAdmin) {
        let none = argument(0, CLONE_NAMESPACES, 0, LinuxSeccompOperator::ScmpCmpMaskedEq);
        calls.push(allow(vec!["clone".into()], vec![none]));
        // Its flags are in memory, where no filter can look; programs fall back to clone.
        let refuse = LinuxSyscallBuilder::default()
            .names(vec!["clone3".to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .errno_ret(libc::ENOSYS.cast_unsigned());
        calls.push(refuse.build().expect("names and an action are all it needs"));
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(libc::EPERM.cast_unsigned())
        .architectures(architectures())
        .syscalls(calls)
        .build()
        .expect("all fields that are needed are given")
}

/// The architectures whose programs this machine runs, its own first.
pub(crate) fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "aarch64") {
        vec![Arch::ScmpArchAarch64]
    } else {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86]
    }
}

/// A profile, ready to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Vec<sock_filter>);

static DEFAULT: OnceLock<(LinuxSeccomp, Filter)> = OnceLock::new();

/// Compiles the profile that nearly every container has, once, before the processes that need it are
/// copied from this one.
pub(crate) fn prepare() {
    let profile = default_profile(&caps::DEFAULT.into());
    if let Ok(filter) = compile(&profile) {
        DEFAULT.get_or_init(|| (profile, filter));
    }
}

/// The filter of a profile.
pub(crate) fn filter(profile: &LinuxSeccomp) -> Result<Filter, Fault> {
    match DEFAULT.get() {
        Some((known, filter)) if known == profile => Ok(filter.clone()),
        _ => compile(profile),
    }
}

fn compile(profile: &LinuxSeccomp) -> Result<Filter, Fault> {
    let refused = |why| Fault::refused("compile the system-call filter", why);
    bpf::compile(profile).map(Filter).map_err(refused)
}

impl Filter {
    /// Loads it for this process and all that it becomes or starts.
    pub(crate) fn load(&self) -> Result<(), Fault> {
        sys::load_filter(&self.0).attempt(|| "load the system-call filter".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_is_kept() {
        prepare();
        assert_eq!(DEFAULT.get().unwrap().0, default_profile(&caps::DEFAULT.into()));
    }

    #[test]
    fn a_capability_widens_it() {
        let calls = |capabilities: Capabilities| {
            let profile = default_profile(&capabilities);
            profile.syscalls().as_ref().unwrap()[0].names().clone()
        };
        assert!(!calls(caps::DEFAULT.into()).contains(&"mount".to_owned()));
        assert!(calls([Capability::SysAdmin].into()).contains(&"mount".to_owned()));
        assert!(calls(caps::DEFAULT.into()).contains(&"chroot".to_owned()));
        for forbidden in ["keyctl", "add_key", "kexec_load", "userfaultfd", "io_uring_setup"] {
            assert!(!calls(caps::ALL.into()).contains(&forbidden.to_owned()), "{forbidden}");
        }
    }
}
