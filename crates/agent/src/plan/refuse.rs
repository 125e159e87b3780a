//! What ECS has and this node does not: refused by name.

use aws::ecs;

use super::Refusal;

fn given<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|items| !items.is_empty())
}

/// Refuses what a container asks and this node does not do.
pub(super) fn check_container(
    name: &str,
    definition: &ecs::ContainerDefinition,
) -> Result<(), Refusal> {
    let asked = [("credentialSpecs", given(definition.credential_specs.as_ref()))];
    if let Some((member, _)) = asked.into_iter().find(|(_, asked)| *asked) {
        return Err(Refusal::unbuilt(format!("container {name}: {member}")));
    }
    Ok(())
}
