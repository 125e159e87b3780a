//! What a node of an instance type offers when it is only a part of this machine.

/// CPU units and MiB of an instance type such as `t3.small`, told by its size alone and never more than
/// the machine has. None for `local` and names without a known size: all that the machine has.
pub(super) fn of(instance_type: &str, machine: (u32, u32)) -> Option<(u32, u32)> {
    let size = instance_type.rsplit('.').next()?;
    let (cores, memory) = match size {
        "nano" => (1, 512),
        "micro" => (1, 1_024),
        "small" => (1, 2_048),
        "medium" => (2, 4_096),
        "large" => (2, 8_192),
        "xlarge" => (4, 16_384),
        "2xlarge" => (8, 32_768),
        "4xlarge" => (16, 65_536),
        _ => return None,
    };
    Some((machine.0.min(cores * 1_024), machine.1.min(memory)))
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_size_is_told_by_its_name_and_bounded_by_the_machine() {
        let machine = (2_048, 6_000);
        for (name, size) in [
            ("t3.nano", Some((1_024, 512))),
            ("t3.medium", Some((2_048, 4_096))),
            ("m5.2xlarge", Some((2_048, 6_000))),
            ("local", None),
            ("t3.metal", None),
        ] {
            assert_eq!(of(name, machine), size, "{name}");
        }
    }
}
