//! What nodes are told at their start: user data, and the cluster that stands in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest user data, before base 64.
const LONGEST: usize = 21_847;

/// The text of user data in base 64.
///
/// # Errors
///
/// Why it is none, as the rest of a sentence.
pub(crate) fn read(encoded: &str) -> Result<String, String> {
    let compact: String = encoded.split_whitespace().collect();
    let text = STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or("it is not text in base 64.")?;
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes."));
    }
    Ok(text)
}

/// The same in base 64 again.
pub(crate) fn write(text: &str) -> String {
    STANDARD.encode(text)
}

/// The cluster that user data has nodes join: `ECS_CLUSTER=NAME`, wherever in a script it stands, as
/// those of the ECS-optimised images have it.
pub(crate) fn cluster(user_data: &str) -> Option<String> {
    let at = user_data.rfind("ECS_CLUSTER=")? + "ECS_CLUSTER=".len();
    let rest = user_data[at..].trim_start_matches(['"', '\'']);
    let name: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:/".contains(*c)).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_found_where_scripts_have_it() {
        for (script, name) in [
            ("", None),
            ("#!/bin/bash\necho ECS_CLUSTER=web >> /etc/ecs/ecs.config\n", Some("web")),
            ("cat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=\"a_b-1\"\nEOF", Some("a_b-1")),
            ("ECS_CLUSTER=old\nECS_CLUSTER=new", Some("new")),
            ("ECS_CLUSTER=", None),
        ] {
            assert_eq!(cluster(script).as_deref(), name, "{script}");
        }
    }

    #[test]
    fn what_is_no_text_in_base_64_is_refused() {
        assert_eq!(read(&write("a\nb")).as_deref(), Ok("a\nb"));
        assert!(read("%").is_err());
        assert!(read(&STANDARD.encode([0xff, 0xfe])).is_err());
        assert!(read(&write(&"x".repeat(LONGEST + 1))).is_err());
    }
}
