//! `dockerSecurityOptions`: which confinements a container may ask for by Docker's words.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>

use aws::Error;
use aws::ecs::ContainerDefinition;

use super::container::wrong;

/// What one option asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confinement<'a> {
    /// Programs gain no rights by what they execute.
    NoNewPrivileges,
    /// A system call filter: none for `unconfined`, else a profile in Docker's JSON.
    Seccomp(&'a str),
    /// An AppArmor profile that the node has loaded, or `unconfined`.
    AppArmor(&'a str),
}

/// Checks the options of a container.
pub(super) fn check(name: &str, c: &ContainerDefinition) -> Result<(), Error> {
    for option in c.docker_security_options.iter().flatten() {
        let why = match read(option) {
            Ok(Confinement::Seccomp(profile)) if !is_profile(profile) => {
                "seccomp is unconfined or a profile as JSON, since a path names a file that the nodes \
                 need not have."
            }
            Ok(Confinement::AppArmor("")) => "it names no profile.",
            Ok(_) => continue,
            Err(why) => why,
        };
        return Err(wrong(name, "dockerSecurityOptions", format!("\"{option}\": {why}")));
    }
    Ok(())
}

/// Reads one option, with `:` or, as newer Docker has it, `=` behind its name.
pub(super) fn read(option: &str) -> Result<Confinement<'_>, &'static str> {
    let at = option.find([':', '=']);
    let (name, value) = match at {
        Some(at) => (&option[..at], &option[at + 1..]),
        None => (option, ""),
    };
    match (name, value) {
        ("no-new-privileges", "" | "true") => Ok(Confinement::NoNewPrivileges),
        ("seccomp", value) => Ok(Confinement::Seccomp(value)),
        ("apparmor", value) => Ok(Confinement::AppArmor(value)),
        ("label", _) => Err("labels of SELinux are not built yet in Wharf; leave it out."),
        ("credentialspec", _) => Err("credential specifications are not built in Wharf."),
        _ => Err("there are no-new-privileges, seccomp and apparmor."),
    }
}

fn is_profile(text: &str) -> bool {
    text == "unconfined" || serde_json::from_str::<serde_json::Map<_, _>>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        for (option, asks) in [
            ("no-new-privileges", Ok(Confinement::NoNewPrivileges)),
            ("no-new-privileges:true", Ok(Confinement::NoNewPrivileges)),
            ("no-new-privileges=true", Ok(Confinement::NoNewPrivileges)),
            ("seccomp:unconfined", Ok(Confinement::Seccomp("unconfined"))),
            ("seccomp={\"a\":1}", Ok(Confinement::Seccomp("{\"a\":1}"))),
            ("apparmor:docker-default", Ok(Confinement::AppArmor("docker-default"))),
        ] {
            assert_eq!(read(option), asks);
        }
        assert!(read("label:disable").is_err() && read("no-new-privileges:false").is_err());
    }
}
