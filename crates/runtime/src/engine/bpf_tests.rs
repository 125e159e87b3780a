//! The compiled programs, run by an interpreter of the few instructions that they are made of.

use oci_spec::runtime::{LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSyscallBuilder};
use proptest::prelude::*;

use super::*;
use crate::engine::{caps, seccomp};

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;

/// What the kernel would answer.
fn run(program: &[sock_filter], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    let mut data = vec![0_u8; 16];
    data[..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&arch.to_le_bytes());
    data.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
    let (mut at, mut held) = (0, 0_u32);
    loop {
        let step = &program[at];
        let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
        at += 1 + match step.code {
            LOAD => {
                let from = step.k as usize;
                held = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                0
            }
            AND => {
                held &= step.k;
                0
            }
            JUMP => step.k as usize,
            EQUAL => jump(held == step.k),
            GREATER => jump(held > step.k),
            AT_LEAST => jump(held >= step.k),
            RETURN => return step.k,
            other => panic!("instruction {other:x}"),
        };
    }
}

fn argument(index: usize, op: LinuxSeccompOperator, value: u64, two: u64) -> LinuxSeccompArg {
    let argument = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
    argument.value_two(two).build().unwrap()
}

fn profile(
    default: LinuxSeccompAction,
    rules: Vec<(&str, LinuxSeccompAction, Vec<LinuxSeccompArg>)>,
) -> LinuxSeccomp {
    let rules = rules.into_iter().map(|(name, action, args)| {
        let rule = LinuxSyscallBuilder::default().names(vec![name.to_owned()]).action(action);
        rule.args(args).build().unwrap()
    });
    LinuxSeccompBuilder::default()
        .default_action(default)
        .architectures(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86])
        .syscalls(rules.collect::<Vec<_>>())
        .build()
        .unwrap()
}

const EPERM: u32 = ERRNO | 1;
const ENOSYS: u32 = ERRNO | 38;

#[test]
fn the_default_profile_answers_on_both_architectures() {
    let mut standard = seccomp::default_profile(&caps::DEFAULT.into());
    standard.set_architectures(Some(vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86]));
    let program = compile(&standard).unwrap();
    assert!(program.len() < 1200, "{} instructions", program.len());
    let none = [0; 6];
    let by_name =
        |arch, word, name: &str, args| run(&program, word, number(arch, name).unwrap(), args);
    let wide = |name: &str, args| by_name(Arch::ScmpArchX86_64, X86_64, name, args);
    let narrow = |name: &str, args| by_name(Arch::ScmpArchX86, X86, name, args);
    for call in ["read", "execve", "chroot", "futex", "statx", "ptrace"] {
        assert_eq!(wide(call, none), ALLOW, "{call}");
        assert_eq!(narrow(call, none), ALLOW, "{call}");
    }
    for call in ["mount", "keyctl", "bpf", "userfaultfd", "io_uring_setup", "kexec_load", "unshare"]
    {
        assert_eq!(wide(call, none), EPERM, "{call}");
        assert_eq!(narrow(call, none), EPERM, "{call}");
    }
    for call in ["mmap2", "socketcall", "stat64", "clock_gettime64", "waitpid"] {
        assert_eq!(narrow(call, none), ALLOW, "{call}");
    }
    assert_eq!(wide("clone", [0x11, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(wide("clone", [0x1000_0011, 0, 0, 0, 0, 0]), EPERM, "a user namespace");
    assert_eq!(wide("clone3", none), ENOSYS);
    assert_eq!(wide("socket", [2, 1, 0, 0, 0, 0]), ALLOW);
    assert_eq!(wide("socket", [40, 1, 0, 0, 0, 0]), EPERM, "past every network namespace");
    assert_eq!(wide("personality", [8, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(wide("personality", [0x40_0000, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(run(&program, X86_64, 9999, none), ENOSYS);
    assert_eq!(run(&program, X86_64, X32 | 1, none), EPERM);
    assert_eq!(run(&program, 0xdead, 0, none), KILL_PROCESS);
}

#[test]
fn every_action_and_the_severest() {
    use LinuxSeccompAction as A;
    let rules = vec![
        ("getpid", A::ScmpActKill, vec![]),
        ("getppid", A::ScmpActKillProcess, vec![]),
        ("getuid", A::ScmpActTrap, vec![]),
        ("getgid", A::ScmpActLog, vec![]),
        ("gettid", A::ScmpActTrace, vec![]),
        ("kill", A::ScmpActAllow, vec![]),
        ("kill", A::ScmpActErrno, vec![]),
    ];
    let program = compile(&profile(A::ScmpActAllow, rules)).unwrap();
    let wide = |name| run(&program, X86_64, number(Arch::ScmpArchX86_64, name).unwrap(), [0; 6]);
    let found = ["getpid", "getppid", "getuid", "getgid", "gettid", "kill", "read"].map(wide);
    assert_eq!(found, [KILL_THREAD, KILL_PROCESS, TRAP, LOG, TRACE | 1, EPERM, ALLOW]);
    assert_eq!(run(&program, X86_64, 9999, [0; 6]), ALLOW, "nothing is refused by default");
    let asked = vec![("read", A::ScmpActNotify, vec![])];
    assert!(compile(&profile(A::ScmpActAllow, asked)).unwrap_err().contains("SCMP_ACT_NOTIFY"));
    let odd =
        vec![("read", A::ScmpActErrno, vec![argument(6, LinuxSeccompOperator::ScmpCmpEq, 0, 0)])];
    assert!(compile(&profile(A::ScmpActAllow, odd)).unwrap_err().contains("argument 6"));
}

fn holds(op: LinuxSeccompOperator, have: u64, value: u64, two: u64) -> bool {
    match op {
        LinuxSeccompOperator::ScmpCmpNe => have != value,
        LinuxSeccompOperator::ScmpCmpLt => have < value,
        LinuxSeccompOperator::ScmpCmpLe => have <= value,
        LinuxSeccompOperator::ScmpCmpEq => have == value,
        LinuxSeccompOperator::ScmpCmpGe => have >= value,
        LinuxSeccompOperator::ScmpCmpGt => have > value,
        LinuxSeccompOperator::ScmpCmpMaskedEq => have & value == two,
    }
}

fn operator() -> impl Strategy<Value = LinuxSeccompOperator> {
    use LinuxSeccompOperator as O;
    prop_oneof![
        Just(O::ScmpCmpNe),
        Just(O::ScmpCmpLt),
        Just(O::ScmpCmpLe),
        Just(O::ScmpCmpEq),
        Just(O::ScmpCmpGe),
        Just(O::ScmpCmpGt),
        Just(O::ScmpCmpMaskedEq),
    ]
}

/// Numbers near each other in either half, so that every jump is taken.
fn word() -> impl Strategy<Value = u64> {
    (0..3_u64, 0..3_u64).prop_map(|(high, low)| high << 32 | low)
}

proptest! {
    #[test]
    fn comparisons_are_of_64_bits(
        comparisons in prop::collection::vec((0..6_usize, operator(), word(), word()), 1..5),
        args in prop::array::uniform6(word()),
    ) {
        let expected = comparisons.iter().all(|(at, op, value, two)| holds(*op, args[*at], *value, *two));
        let list = comparisons.iter().map(|(at, op, value, two)| argument(*at, *op, *value, *two));
        let rules = vec![("read", LinuxSeccompAction::ScmpActAllow, list.collect())];
        let program = compile(&profile(LinuxSeccompAction::ScmpActErrno, rules)).unwrap();
        let wanted = if expected { ALLOW } else { EPERM };
        prop_assert_eq!(run(&program, X86_64, 0, args), wanted);
        prop_assert_eq!(run(&program, X86, 3, args), wanted);
        prop_assert_eq!(run(&program, X86_64, 1, args), EPERM);
    }
}
