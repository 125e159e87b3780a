//! Device access on cgroup v2, where it is a BPF program rather than a file: the rules of a
//! specification as instructions (`linux/bpf.h`, `BPF_PROG_TYPE_CGROUP_DEVICE`).

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

const LOAD_WORD: u8 = 0x61;
const MOVE_IMMEDIATE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND_IMMEDIATE: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_IF_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// One instruction: code, registers (source above destination), offset, immediate.
fn instruction(code: u8, to: u8, from: u8, offset: u16, immediate: u32) -> u64 {
    u64::from(code)
        | u64::from(from << 4 | to) << 8
        | u64::from(offset) << 16
        | u64::from(immediate) << 32
}

/// Registers: type, access, major, minor.
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// The program for these rules: the last rule that matches decides, none refuses.
pub(crate) fn program(rules: &[LinuxDeviceCgroup]) -> Vec<u64> {
    let mut code = vec![
        // struct bpf_cgroup_dev_ctx { u32 access << 16 | type; u32 major; u32 minor }
        instruction(LOAD_WORD, TYPE, 1, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, TYPE, 0, 0),
        instruction(AND_IMMEDIATE, TYPE, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, 1, 4, 0),
        instruction(LOAD_WORD, MINOR, 1, 8, 0),
    ];
    let returns = |allow: bool| {
        [instruction(MOVE_IMMEDIATE, 0, 0, 0, u32::from(allow)), instruction(EXIT, 0, 0, 0, 0)]
    };
    for rule in rules.iter().rev() {
        let before = code.len();
        code.extend(block(rule, returns(rule.allow())));
        if code.len() == before + 2 {
            // It matches everything: the kernel refuses a program with instructions after that.
            return code;
        }
    }
    code.extend(returns(false));
    code
}

fn block(rule: &LinuxDeviceCgroup, then: [u64; 2]) -> Vec<u64> {
    // (register, what it must be) with, for the access, the bits that must not be asked for.
    let mut tests: Vec<Vec<u64>> = Vec::new();
    let equal = |register: u8, value: u32| vec![(register, value)];
    let mut compare = Vec::new();
    match rule.typ().unwrap_or_default() {
        LinuxDeviceType::B => compare.extend(equal(TYPE, 1)),
        LinuxDeviceType::C | LinuxDeviceType::U => compare.extend(equal(TYPE, 2)),
        LinuxDeviceType::A | LinuxDeviceType::P => {}
    }
    let number = |n: Option<i64>| n.and_then(|n| u32::try_from(n).ok());
    compare.extend(number(rule.major()).map(|n| (MAJOR, n)));
    compare.extend(number(rule.minor()).map(|n| (MINOR, n)));
    let access = rule.access().as_deref().unwrap_or("rwm");
    let granted = [('m', 1), ('r', 2), ('w', 4)]
        .into_iter()
        .filter(|(letter, _)| access.contains(*letter))
        .fold(0_u32, |mask, (_, bit)| mask | bit);
    if granted != 7 {
        // What a denial names is refused if any of it is asked for; that needs no test here, because
        // the only denial that is used names everything.
        tests.push(vec![
            instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0),
            instruction(AND_IMMEDIATE, SCRATCH, 0, 0, 7 & !granted),
        ]);
        compare.insert(0, (SCRATCH, 0));
    }
    let mut code: Vec<u64> = tests.concat();
    let total = compare.len();
    for (index, (register, value)) in compare.into_iter().enumerate() {
        // Over the tests that are left and the two instructions that return.
        let skip = u16::try_from(total - index - 1 + 2).unwrap_or(u16::MAX);
        code.push(instruction(JUMP_IF_NOT_EQUAL, register, 0, skip, value));
    }
    code.extend(then);
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;

    /// A reader of the few instructions that are used, as the kernel would run them.
    fn run(code: &[u64], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0_u64; 8];
        let mut at = 0;
        loop {
            let bytes = code[at].to_le_bytes();
            let (to, from) = (usize::from(bytes[1] & 15), usize::from(bytes[1] >> 4));
            let offset = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
            let value = u64::from(u32::from_le_bytes(bytes[4..].try_into().unwrap()));
            at += 1;
            match bytes[0] {
                LOAD_WORD => registers[to] = u64::from(context[offset / 4]),
                MOVE_IMMEDIATE => registers[to] = value,
                MOVE_REGISTER => registers[to] = registers[from],
                AND_IMMEDIATE => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_IF_NOT_EQUAL if registers[to] != value => at += offset,
                JUMP_IF_NOT_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    /// Needs root and a cgroup v2 hierarchy (a hybrid one will do).
    #[test]
    fn the_kernel_takes_the_program() {
        let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(std::path::Path::new);
        let is_v2 = |root: &&std::path::Path| root.join("cgroup.controllers").exists();
        let root = unified.into_iter().find(is_v2);
        let (Some(root), true) = (root, rustix::process::geteuid().is_root()) else {
            println!("skipped: no root, or no cgroup v2");
            return;
        };
        let folder = root.join(format!("wharf-test-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let rule = |allow| LinuxDeviceCgroupBuilder::default().allow(allow);
        let null = rule(true).typ(LinuxDeviceType::C).major(1).minor(3).access("rw");
        let rules = [rule(false).build().unwrap(), null.build().unwrap()];
        let opened = std::fs::File::open(&folder).unwrap();
        let attach = |rules| crate::engine::sys::attach_device_program(&opened, &program(rules));
        let attached = [&rules[..], &rules[1..], &rules[..1], &[]].map(attach);
        std::fs::remove_dir(&folder).unwrap();
        for one in attached {
            one.unwrap();
        }
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        let rule = |allow, typ, major: i64, minor: i64, access: &str| {
            let rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(typ).access(access);
            rule.major(major).minor(minor).build().unwrap()
        };
        let rules = [
            rule(false, LinuxDeviceType::A, -1, -1, "rwm"),
            rule(true, LinuxDeviceType::C, -1, -1, "m"),
            rule(true, LinuxDeviceType::C, 1, 3, "rwm"),
            rule(true, LinuxDeviceType::B, 8, -1, "r"),
        ];
        let code = program(&rules);
        assert!(run(&code, 2, 2 | 4, 1, 3), "/dev/null");
        assert!(!run(&code, 1, 2 | 4, 1, 3), "a block device of the same number");
        assert!(run(&code, 2, 1, 9, 9), "any node may be made");
        assert!(!run(&code, 2, 1 | 2, 9, 9), "but not read");
        assert!(run(&code, 1, 2, 8, 77));
        assert!(!run(&code, 1, 4, 8, 77));
        assert!(!run(&code, 1, 2, 9, 77));
        assert!(run(&program(&[rule(true, LinuxDeviceType::A, -1, -1, "rwm")]), 1, 7, 5, 6));
        assert!(!run(&program(&[]), 1, 7, 5, 6));
    }
}
