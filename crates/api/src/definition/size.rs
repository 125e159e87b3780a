//! The sizes of a task, which are text on the wire: `256`, `0.25 vCPU`, `512`, `0.5 GB`.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html#task_size>

/// CPU units of one core.
const UNITS: f64 = 1024.0;

/// MiB of one GB, as ECS means it.
const MIB: f64 = 1024.0;

/// The sizes of a task that ECS takes, in CPU units: an eighth of a core to 192 cores.
const CPU: std::ops::RangeInclusive<u32> = 128..=196_608;

/// The smallest task, in MiB: Docker's own least.
const LEAST_MEMORY: u32 = 6;

/// CPU units from `1024`, `1 vCPU` or `1vcpu`; none if it is neither or out of range.
pub(crate) fn cpu_units(text: &str) -> Option<u32> {
    amount(text, "vcpu", UNITS).filter(|units| CPU.contains(units))
}

/// MiB from `512`, `0.5 GB` or `1gb`; none if it is neither or out of range.
pub(crate) fn memory_mib(text: &str) -> Option<u32> {
    amount(text, "gb", MIB).filter(|mib| *mib >= LEAST_MEMORY)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before the cast"
)]
fn amount(text: &str, unit: &str, factor: f64) -> Option<u32> {
    let text = text.trim();
    let split = text.len().checked_sub(unit.len()).filter(|at| text.is_char_boundary(*at));
    if let Some((number, ending)) = split.map(|at| text.split_at(at))
        && ending.eq_ignore_ascii_case(unit)
    {
        let digits = number.trim();
        if !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        let whole = digits.parse::<f64>().ok()? * factor;
        return (whole.is_finite()
            && whole.fract() == 0.0
            && (0.0..=f64::from(u32::MAX)).contains(&whole))
        .then_some(whole as u32);
    }
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for (text, units) in [
            ("256", Some(256)),
            ("0.25 vCPU", Some(256)),
            ("1vcpu", Some(1024)),
            (" 2 VCPU ", Some(2048)),
            (".5 vCPU", Some(512)),
            ("64", None),
            ("-1", None),
            ("1.5", None),
            ("vCPU", None),
            ("inf vCPU", None),
            ("1e3 vCPU", None),
            ("0.00001 vCPU", None),
            ("", None),
            ("999999999999", None),
            ("ééééé", None),
        ] {
            assert_eq!(cpu_units(text), units, "{text}");
        }
        for (text, mib) in [
            ("512", Some(512)),
            ("0.5 GB", Some(512)),
            ("1gb", Some(1024)),
            ("0", None),
            ("GB", None),
            ("1 MB", None),
            ("NaN GB", None),
        ] {
            assert_eq!(memory_mib(text), mib, "{text}");
        }
    }
}
