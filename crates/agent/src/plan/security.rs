//! `dockerSecurityOptions`: what may confine a container further, or less.

use aws::ecs;
use runtime::{ContainerSpec, Seccomp};

use super::Refusal;

/// Copies the options into the specification.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
pub(super) fn fill(
    spec: &mut ContainerSpec,
    definition: &ecs::ContainerDefinition,
) -> Result<(), Refusal> {
    let name = definition.name.as_deref().unwrap_or_default();
    for option in definition.docker_security_options.iter().flatten() {
        let wrong = |why: &str| {
            Refusal::new(format!("container {name}: dockerSecurityOptions \"{option}\""), why)
        };
        // Docker takes both; ECS's documents write the colon.
        let (key, value) = option.split_once([':', '=']).unwrap_or((option, ""));
        match (key, value) {
            ("no-new-privileges", "" | "true") => spec.no_new_privileges = true,
            ("no-new-privileges", "false") => spec.no_new_privileges = false,
            ("apparmor", profile) if !profile.is_empty() => {
                spec.apparmor = Some(profile.to_owned());
            }
            ("seccomp", "unconfined") => spec.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => spec.seccomp = Seccomp::Default,
            ("seccomp", profile) if profile.trim_start().starts_with('{') => {
                spec.seccomp = Seccomp::Profile(profile.to_owned());
            }
            ("seccomp", _) => {
                return Err(wrong("give `unconfined`, or the text of a profile in Docker's JSON"));
            }
            ("label", _) => return Err(wrong("this node does not label for SELinux; remove it")),
            _ => {
                return Err(wrong(
                    "not known here; there are no-new-privileges, apparmor and seccomp",
                ));
            }
        }
    }
    Ok(())
}
