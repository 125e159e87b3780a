//! What containers wait for: `dependsOn`, and what links and `volumesFrom` imply.

use std::collections::BTreeSet;

use aws::ecs;

use super::{Condition, ContainerPlan, Dependency, Refusal};
use crate::order::Order;

/// Another container that one knows by a name.
/// <https://docs.docker.com/engine/network/links/>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The index of the other container.
    pub container: usize,
    /// The name it is known by.
    pub alias: String,
}

fn position(order: &Order, name: &str) -> Option<usize> {
    order.containers.iter().position(|c| c.name.as_deref() == Some(name))
}

/// A container's `links`: `name` or `name:alias`.
pub(super) fn links(order: &Order, name: &str, bridge: bool) -> Result<Vec<Link>, Refusal> {
    let definition = position(order, name).and_then(|at| order.containers.get(at));
    let wanted = definition.and_then(|d| d.links.as_ref()).into_iter().flatten();
    let wrong = |why: String| Refusal::new(format!("container {name}: links"), why);
    wanted
        .map(|link| {
            if !bridge {
                return Err(wrong("only with networkMode bridge".to_owned()));
            }
            let (other, alias) = link.split_once(':').unwrap_or((link, link));
            let container = position(order, other)
                .ok_or_else(|| wrong(format!("the task has no container \"{other}\"")))?;
            Ok(Link { container, alias: alias.to_owned() })
        })
        .collect()
}

/// Everything that a container waits for. As the ECS agent has it, a link and a container whose
/// volumes are mounted must have started; a condition that is written down stands beside that.
pub(super) fn dependencies(
    order: &Order,
    name: &str,
    links: &[Link],
) -> Result<Vec<Dependency>, Refusal> {
    let definition = position(order, name).and_then(|at| order.containers.get(at));
    let wrong = |why: String| Refusal::new(format!("container {name}: dependsOn"), why);
    let wanted = definition.and_then(|d| d.depends_on.as_ref()).into_iter().flatten();
    let mut all = wanted
        .map(|wanted| {
            let other = wanted.container_name.as_deref().unwrap_or_default();
            let container = position(order, other)
                .ok_or_else(|| wrong(format!("the task has no container \"{other}\"")))?;
            let condition = match &wanted.condition {
                Some(ecs::ContainerCondition::Start) => Condition::Start,
                Some(ecs::ContainerCondition::Complete) => Condition::Complete,
                Some(ecs::ContainerCondition::Success) => Condition::Success,
                Some(ecs::ContainerCondition::Healthy) => Condition::Healthy,
                other => {
                    let word = other.as_ref().map_or("", |c| c.as_str());
                    return Err(wrong(format!("\"{word}\" is not a condition")));
                }
            };
            Ok(Dependency { container, condition })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let sources = definition.and_then(|d| d.volumes_from.as_ref()).into_iter().flatten();
    let sources = sources.filter_map(|from| position(order, from.source_container.as_deref()?));
    let implied = links.iter().map(|link| link.container).chain(sources);
    for container in implied {
        if !all.iter().any(|known: &Dependency| known.container == container) {
            all.push(Dependency { container, condition: Condition::Start });
        }
    }
    Ok(all)
}

/// Refuses containers that wait for each other in a circle: none of them could ever start.
pub(super) fn acyclic(containers: &[ContainerPlan]) -> Result<(), Refusal> {
    let mut settled = BTreeSet::new();
    loop {
        let before = settled.len();
        for (index, plan) in containers.iter().enumerate() {
            if plan.depends_on.iter().all(|d| settled.contains(&d.container)) {
                settled.insert(index);
            }
        }
        if settled.len() == containers.len() {
            return Ok(());
        }
        if settled.len() == before {
            let stuck = containers.iter().enumerate().find(|(index, _)| !settled.contains(index));
            let name = stuck.map_or("", |(_, plan)| plan.name.as_str());
            let member = format!("container {name}: dependsOn");
            let why = "containers wait for each other in a circle (links and volumesFrom wait too)";
            return Err(Refusal::new(member, why));
        }
    }
}
