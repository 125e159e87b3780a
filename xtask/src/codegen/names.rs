//! From AWS's spellings to Rust's.

/// The words of a name: `containerInstanceArn` is `container`, `Instance`, `Arn`; an acronym is one
/// word (`bindIP`, `EBSVolumeType`).
fn words(name: &str) -> Vec<String> {
    let name = UNITS.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
    let letters: Vec<char> = name.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        let starts = letter.is_uppercase()
            && before.is_some_and(|before| {
                !before.is_uppercase() || after.is_some_and(|after| after.is_lowercase())
            });
        if (starts || !letter.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.push(letter);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Spellings whose capitals are not word boundaries.
const UNITS: &[(&str, &str)] = &[
    ("GiB", "Gib"),
    ("MiB", "Mib"),
    ("VCpu", "Vcpu"),
    ("vCpu", "vcpu"),
    ("IPv4", "Ipv4"),
    ("IPv6", "Ipv6"),
    ("URLs", "Urls"),
    ("ARNs", "Arns"),
    ("IDs", "Ids"),
];

/// `runTask` and `RunTask` are `run_task`.
pub(super) fn snake(name: &str) -> String {
    words(name).iter().map(|word| word.to_lowercase()).collect::<Vec<_>>().join("_")
}

/// `RunTaskRequest` is `RUN_TASK_REQUEST`.
pub(super) fn constant(name: &str) -> String {
    snake(name).to_uppercase()
}

/// A field's name: snake case, raw where Rust has the word for itself.
pub(super) fn field(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "type" | "as" | "use" | "ref" | "match" | "move" | "loop" | "where" | "const"
        | "static" | "final" => {
            format!("r#{name}")
        }
        _ => name,
    }
}

/// A type's name: AWS's own, its first letter a capital.
pub(super) fn type_name(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// An enum value as a variant: `MANAGED_INSTANCES` is `ManagedInstances`, `json-file` `JsonFile`.
pub(super) fn variant(value: &str) -> String {
    let name: String = value
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .map(|word| {
            let shouted = !word.chars().any(|letter| letter.is_lowercase());
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            let rest: String =
                if shouted { letters.as_str().to_lowercase() } else { letters.as_str().to_owned() };
            first.into_iter().chain(rest.chars()).collect::<String>()
        })
        .collect();
    if name.starts_with(|letter: char| letter.is_ascii_digit()) { format!("V{name}") } else { name }
}

/// How serde's `rename_all` would spell a field, to know where an explicit name is due.
pub(super) fn serde_case(field: &str, pascal: bool) -> String {
    let mut name = String::new();
    let mut upper = pascal;
    for letter in field.trim_start_matches("r#").chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            name.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            name.push(letter);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_snake_case() {
        for (aws, rust) in [
            ("containerInstanceArn", "container_instance_arn"),
            ("bindIP", "bind_ip"),
            ("type", "r#type"),
            ("vCpuCount", "vcpu_count"),
            ("memoryGiBPerVCpu", "memory_gib_per_vcpu"),
            ("EBSKMSKeyId", "ebskms_key_id"),
            ("X-Ray", "x_ray"),
            ("SAMLAssertion", "saml_assertion"),
        ] {
            assert_eq!(field(aws), rust);
        }
    }

    #[test]
    fn variants_are_camel_case() {
        for (aws, rust) in [
            ("EC2", "Ec2"),
            ("MANAGED_INSTANCES", "ManagedInstances"),
            ("json-file", "JsonFile"),
            ("containerInsights", "ContainerInsights"),
            ("X86_64", "X8664"),
            ("V1.1", "V11"),
            ("1_HOUR", "V1Hour"),
        ] {
            assert_eq!(variant(aws), rust);
        }
    }

    #[test]
    fn serde_spelling_is_known() {
        assert_eq!(serde_case("r#type", false), "type");
        assert_eq!(serde_case("bind_ip", false), "bindIp");
        assert_eq!(serde_case("role_arn", true), "RoleArn");
    }
}
