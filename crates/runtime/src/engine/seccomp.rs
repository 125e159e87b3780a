//! System-call filters: a specification's profile compiled to BPF, the default profile, and loading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall,
    LinuxSyscallBuilder,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::{Attempt, Fault, caps, seccomp_table, sys};

/// The flags of `clone` that make namespaces.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// `AF_VSOCK`: it reaches the hypervisor, past every network namespace.
const AF_VSOCK: u64 = 40;
/// Personalities that only change how a program sees itself: Linux, 32 bits, and both with randomised
/// addresses as they are, and "tell me".
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// The highest number that the table was made with. A later call is answered with "not implemented",
/// so that programs fall back; "not permitted" would make them fail.
const NEWEST_KNOWN: u32 = 462;

/// The default profile for a container with these capabilities, as OCI writes it.
pub(crate) fn default_profile(capabilities: &Capabilities) -> LinuxSeccomp {
    let mut names: BTreeSet<&str> = seccomp_table::ALWAYS.iter().copied().collect();
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
        .architectures(vec![architecture().1])
        .syscalls(calls)
        .build()
        .expect("all fields that are needed are given")
}

fn architecture() -> (TargetArch, Arch) {
    if cfg!(target_arch = "aarch64") {
        (TargetArch::aarch64, Arch::ScmpArchAarch64)
    } else {
        (TargetArch::x86_64, Arch::ScmpArchX86_64)
    }
}

/// A profile, ready to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    allow: BpfProgram,
    errors: BpfProgram,
}

static DEFAULT: OnceLock<(LinuxSeccomp, Filters)> = OnceLock::new();

/// Compiles the profile that nearly every container has, once, before the processes that need it are
/// copied from this one.
pub(crate) fn prepare() {
    let profile = default_profile(&caps::DEFAULT.into());
    if let Ok(filters) = compile(&profile) {
        DEFAULT.get_or_init(|| (profile, filters));
    }
}

/// The filters of a profile.
pub(crate) fn filters(profile: &LinuxSeccomp) -> Result<Filters, Fault> {
    match DEFAULT.get() {
        Some((known, filters)) if known == profile => Ok(filters.clone()),
        _ => compile(profile),
    }
}

impl Filters {
    /// Loads them for this process and all that it becomes or starts.
    pub(crate) fn load(&self) -> Result<(), Fault> {
        let what = || "load the system-call filter".to_owned();
        sys::load_filter(&self.allow).attempt(what)?;
        // Of several filters that refuse, the answer of the one loaded last counts.
        sys::load_filter(&self.errors).attempt(what)
    }
}

fn compile(profile: &LinuxSeccomp) -> Result<Filters, Fault> {
    let refused = |why: String| Fault::refused("compile the system-call filter", why);
    if profile.default_action() != LinuxSeccompAction::ScmpActErrno {
        return Err(refused("only profiles that refuse by default are supported".into()));
    }
    let refusal = profile.default_errno_ret().unwrap_or(libc::EPERM.cast_unsigned());
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut free = BTreeSet::new();
    let mut errors = Vec::new();
    for call in profile.syscalls().iter().flatten() {
        let numbers = call.names().iter().filter_map(|name| seccomp_table::number(name));
        match call.action() {
            LinuxSeccompAction::ScmpActAllow => {
                for number in numbers {
                    match rule(call).map_err(&refused)? {
                        Some(rule) => rules.entry(number).or_default().push(rule),
                        None => {
                            free.insert(number);
                        }
                    }
                }
            }
            LinuxSeccompAction::ScmpActErrno => {
                errors.extend(numbers.map(|number| (number, call.errno_ret().unwrap_or(refusal))));
            }
            other => return Err(refused(format!("the action {other:?} is not supported"))),
        }
    }
    rules.extend(free.into_iter().map(|number| (number, Vec::new())));
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(refusal),
        SeccompAction::Allow,
        architecture().0,
    );
    let allow =
        filter.and_then(BpfProgram::try_from).map_err(|error| refused(error.to_string()))?;
    Ok(Filters { allow, errors: error_filter(&errors) })
}

fn rule(call: &LinuxSyscall) -> Result<Option<SeccompRule>, String> {
    let conditions = call.args().iter().flatten().map(condition).collect::<Result<Vec<_>, _>>()?;
    if conditions.is_empty() {
        return Ok(None);
    }
    SeccompRule::new(conditions).map(Some).map_err(|error| error.to_string())
}

fn condition(argument: &LinuxSeccompArg) -> Result<SeccompCondition, String> {
    let (op, value) = match argument.op() {
        LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, argument.value()),
        LinuxSeccompOperator::ScmpCmpLt => (SeccompCmpOp::Lt, argument.value()),
        LinuxSeccompOperator::ScmpCmpLe => (SeccompCmpOp::Le, argument.value()),
        LinuxSeccompOperator::ScmpCmpEq => (SeccompCmpOp::Eq, argument.value()),
        LinuxSeccompOperator::ScmpCmpGe => (SeccompCmpOp::Ge, argument.value()),
        LinuxSeccompOperator::ScmpCmpGt => (SeccompCmpOp::Gt, argument.value()),
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (SeccompCmpOp::MaskedEq(argument.value()), argument.value_two().unwrap_or(0))
        }
    };
    let index = u8::try_from(argument.index()).map_err(|error| error.to_string())?;
    SeccompCondition::new(index, SeccompCmpArgLen::Qword, op, value)
        .map_err(|error| error.to_string())
}

/// A small filter by hand: other error numbers than the default, and "not implemented" for calls that
/// are newer than the table. The first filter has looked at the architecture.
fn error_filter(errors: &[(i64, u32)]) -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_GREATER: u16 = 0x25;
    const RETURN: u16 = 0x06;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let op = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let give = |errno: u32| op(RETURN, 0, 0, ERRNO | errno & 0xffff);
    let mut program = vec![op(LOAD_NUMBER, 0, 0, 0)];
    for (number, errno) in errors {
        let number = u32::try_from(*number).unwrap_or(u32::MAX);
        program.extend([op(JUMP_IF_EQUAL, 0, 1, number), give(*errno)]);
    }
    program.extend([op(JUMP_IF_GREATER, 0, 1, NEWEST_KNOWN), give(libc::ENOSYS.cast_unsigned())]);
    program.push(op(RETURN, 0, 0, ALLOW));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_compiles_and_is_kept() {
        let profile = default_profile(&caps::DEFAULT.into());
        assert!(compile(&profile).unwrap().allow.len() > 500);
        prepare();
        assert_eq!(DEFAULT.get().unwrap().0, profile);
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

    #[test]
    fn what_cannot_be_expressed_is_refused() {
        let mut profile = default_profile(&Capabilities::new());
        profile.set_default_action(LinuxSeccompAction::ScmpActAllow);
        assert!(compile(&profile).unwrap_err().line().contains("refuse by default"));
    }
}
