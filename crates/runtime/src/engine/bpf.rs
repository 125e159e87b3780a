//! Pure: a system-call profile compiled to a program of the kernel's classic BPF.
//!
//! The program looks at the architecture, then finds the call's number by halving (ranges of numbers
//! with the same answer are one leaf), then compares arguments where a rule asks for it. The kernel
//! works out for itself which numbers are always allowed, so what counts is the program's length: it
//! is checked and copied at every start.

use std::collections::{BTreeMap, BTreeSet};

use libc::sock_filter;
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::seccomp_numbers::{NEWEST_KNOWN, number};

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
const AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Answers (`SECCOMP_RET_*` of `linux/seccomp.h`).
const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// Numbers from here on are of x32, which no kernel of a distribution runs.
const X32: u32 = 0x4000_0000;
/// The kernel takes no longer program.
const MAX_LENGTH: usize = 4096;

/// The architectures, by the kernel's word for each (`AUDIT_ARCH_*` of `linux/audit.h`).
fn audit_arch(architecture: Arch) -> Option<u32> {
    match architecture {
        Arch::ScmpArchX86_64 => Some(0xc000_003e),
        Arch::ScmpArchX86 => Some(0x4000_0003),
        Arch::ScmpArchAarch64 => Some(0xc000_00b7),
        _ => None,
    }
}

fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn answer(action: LinuxSeccompAction, errno: u32) -> Result<u32, String> {
    match action {
        LinuxSeccompAction::ScmpActAllow => Ok(ALLOW),
        LinuxSeccompAction::ScmpActErrno => Ok(ERRNO | errno & 0xffff),
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => Ok(KILL_THREAD),
        LinuxSeccompAction::ScmpActKillProcess => Ok(KILL_PROCESS),
        LinuxSeccompAction::ScmpActTrap => Ok(TRAP),
        LinuxSeccompAction::ScmpActLog => Ok(LOG),
        LinuxSeccompAction::ScmpActTrace => Ok(TRACE | errno & 0xffff),
        LinuxSeccompAction::ScmpActNotify => {
            Err("the action SCMP_ACT_NOTIFY needs a listener, which this engine does not have"
                .into())
        }
    }
}

/// What the kernel does when several answers apply: the severest. Lower is severer.
fn severity(answer: u32) -> u32 {
    match answer & 0xffff_0000 {
        KILL_PROCESS => 0,
        KILL_THREAD => 1,
        TRAP => 2,
        ERRNO => 3,
        TRACE => 4,
        LOG => 5,
        _ => 6,
    }
}

/// All that is said of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answers {
    always: Option<u32>,
    /// Each applies if all of its comparisons hold; the first that does counts.
    when: Vec<(Vec<LinuxSeccompArg>, u32)>,
}

/// The program of a profile.
pub(crate) fn compile(profile: &LinuxSeccomp) -> Result<Vec<sock_filter>, String> {
    let errno = profile.default_errno_ret().unwrap_or(libc::EPERM.cast_unsigned());
    let default = answer(profile.default_action(), errno)?;
    let mut program = vec![op(LOAD, 0, 0, 4)];
    let architectures: BTreeSet<u32> =
        profile.architectures().iter().flatten().filter_map(|arch| audit_arch(*arch)).collect();
    if architectures.is_empty() {
        return Err("the profile names none of the architectures x86_64, x86 and aarch64".into());
    }
    for architecture in profile.architectures().iter().flatten() {
        let Some(word) = audit_arch(*architecture) else { continue };
        let body = one_architecture(profile, *architecture, default)?;
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        program.extend([op(EQUAL, 1, 0, word), op(JUMP, 0, 0, length)]);
        program.extend(body);
    }
    program.push(op(RETURN, 0, 0, KILL_PROCESS));
    if program.len() > MAX_LENGTH {
        return Err(format!(
            "the profile needs {} instructions; the kernel takes 4096",
            program.len()
        ));
    }
    Ok(program)
}

fn one_architecture(
    profile: &LinuxSeccomp,
    architecture: Arch,
    default: u32,
) -> Result<Vec<sock_filter>, String> {
    let mut calls: BTreeMap<u32, Answers> = BTreeMap::new();
    for rule in profile.syscalls().iter().flatten() {
        let given = answer(rule.action(), rule_errno(profile, rule))?;
        for name in rule.names() {
            let Some(number) = number(architecture, name) else { continue };
            let answers = calls.entry(number).or_default();
            match rule.args().as_deref().unwrap_or_default() {
                [] => {
                    let severer = answers.always.is_none_or(|old| severity(given) < severity(old));
                    if severer {
                        answers.always = Some(given);
                    }
                }
                comparisons => answers.when.push((comparisons.to_vec(), given)),
            }
        }
    }
    let mut leaves = leaves(calls, default);
    let refuses = !matches!(default, ALLOW | LOG);
    let newer = if refuses { ERRNO | libc::ENOSYS.cast_unsigned() } else { default };
    let plain = |answer| Answers { always: Some(answer), when: Vec::new() };
    leaves.retain(|(from, _)| *from <= NEWEST_KNOWN);
    leaves.extend([(NEWEST_KNOWN + 1, plain(newer)), (X32, plain(default))]);
    leaves.dedup_by(|next, before| next.1 == before.1);
    let mut program = vec![op(LOAD, 0, 0, 0)];
    program.extend(search(&leaves)?);
    Ok(program)
}

fn rule_errno(profile: &LinuxSeccomp, rule: &LinuxSyscall) -> u32 {
    let default = profile.default_errno_ret().unwrap_or(libc::EPERM.cast_unsigned());
    rule.errno_ret().unwrap_or(default)
}

/// Ranges of numbers with the same answer: where each begins.
fn leaves(calls: BTreeMap<u32, Answers>, default: u32) -> Vec<(u32, Answers)> {
    let unnamed = Answers { always: Some(default), when: Vec::new() };
    let mut leaves = vec![(0, unnamed.clone())];
    for (number, mut answers) in calls {
        // A rule without comparisons is the wider one.
        match answers.always {
            Some(_) => answers.when.clear(),
            None => answers.always = Some(default),
        }
        if leaves.last().is_some_and(|(from, _)| *from == number) {
            leaves.pop();
        }
        leaves.extend([(number, answers), (number + 1, unnamed.clone())]);
    }
    leaves.dedup_by(|next, before| next.1 == before.1);
    leaves
}

/// Halves the ranges until one is left. The number is in the accumulator.
fn search(leaves: &[(u32, Answers)]) -> Result<Vec<sock_filter>, String> {
    if let [(_, answers)] = leaves {
        return leaf(answers);
    }
    let (below, above) = leaves.split_at(leaves.len() / 2);
    let (low, high) = (search(below)?, search(above)?);
    let length = u32::try_from(low.len()).unwrap_or(u32::MAX);
    let pivot = above.first().map_or(0, |(from, _)| *from);
    // A conditional jump reaches 255 instructions, which the lower half may exceed.
    let mut program = vec![op(AT_LEAST, 0, 1, pivot), op(JUMP, 0, 0, length)];
    program.extend(low);
    program.extend(high);
    Ok(program)
}

fn leaf(answers: &Answers) -> Result<Vec<sock_filter>, String> {
    let mut program = Vec::new();
    for (comparisons, answer) in &answers.when {
        let mut block = vec![op(RETURN, 0, 0, *answer)];
        for comparison in comparisons.iter().rev() {
            let after = u8::try_from(block.len());
            let after = after.map_err(|_| "a rule has too many comparisons".to_owned())?;
            let mut before = compare(comparison, after)?;
            before.extend(block);
            block = before;
        }
        program.extend(block);
    }
    program.push(op(RETURN, 0, 0, answers.always.unwrap_or(ALLOW)));
    Ok(program)
}

/// Compares one argument; goes on if it holds, else jumps over the `after` instructions that follow.
fn compare(argument: &LinuxSeccompArg, after: u8) -> Result<Vec<sock_filter>, String> {
    let index = u32::try_from(argument.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| format!("a call has no argument {}", argument.index()))?;
    let halves = |value: u64| {
        let half = |shift: u32| u32::try_from((value >> shift) & 0xffff_ffff).unwrap_or(0);
        (half(32), half(0))
    };
    // Little endian: the lower half comes first.
    let (load_low, load_high) = (op(LOAD, 0, 0, 16 + 8 * index), op(LOAD, 0, 0, 20 + 8 * index));
    let (high, low) = halves(argument.value());
    let to = |more: u8| after.checked_add(more).ok_or_else(|| "a rule is too long".to_owned());
    Ok(match argument.op() {
        LinuxSeccompOperator::ScmpCmpEq => {
            vec![load_high, op(EQUAL, 0, to(2)?, high), load_low, op(EQUAL, 0, to(0)?, low)]
        }
        LinuxSeccompOperator::ScmpCmpNe => {
            vec![load_high, op(EQUAL, 0, 2, high), load_low, op(EQUAL, to(0)?, 0, low)]
        }
        // Higher above is enough, lower above too little; else the lower halves decide.
        LinuxSeccompOperator::ScmpCmpGt | LinuxSeccompOperator::ScmpCmpGe => {
            let code =
                if argument.op() == LinuxSeccompOperator::ScmpCmpGt { GREATER } else { AT_LEAST };
            let (over, equal) = (op(GREATER, 3, 0, high), op(EQUAL, 0, to(2)?, high));
            vec![load_high, over, equal, load_low, op(code, 0, to(0)?, low)]
        }
        LinuxSeccompOperator::ScmpCmpLt | LinuxSeccompOperator::ScmpCmpLe => {
            let code =
                if argument.op() == LinuxSeccompOperator::ScmpCmpLt { AT_LEAST } else { GREATER };
            let (over, equal) = (op(GREATER, to(3)?, 0, high), op(EQUAL, 0, 2, high));
            vec![load_high, over, equal, load_low, op(code, to(0)?, 0, low)]
        }
        // The mask is the value, and what is left must be the second value.
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            let (want_high, want_low) = halves(argument.value_two().unwrap_or(0));
            vec![
                load_high,
                op(AND, 0, 0, high),
                op(EQUAL, 0, to(3)?, want_high),
                load_low,
                op(AND, 0, 0, low),
                op(EQUAL, 0, to(0)?, want_low),
            ]
        }
    })
}

#[cfg(test)]
#[path = "bpf_tests.rs"]
mod tests;
