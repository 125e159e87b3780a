//! GPUs: what the server gave a container, as devices, mounts and variables.

use runtime::{ContainerSpec, Mount};

use super::{Launch, NodeFacts, Refusal};
use crate::gpu::Edits;
use crate::order::Order;

/// The contract's kind of an association.
pub(crate) const GPU: &str = "gpu";

/// The variable by which NVIDIA's images and runtimes know which GPUs are meant.
const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";

/// The ids of the GPUs that a container of an order has.
pub(crate) fn gpus<'a>(order: &'a Order, name: &'a str) -> impl Iterator<Item = &'a str> {
    let own = move |a: &&aws::agent::acs::Association| {
        a.r#type.as_deref() == Some(GPU) && a.containers.iter().any(|c| c == name)
    };
    order.associations.iter().filter(own).map(|association| association.name.as_str())
}

/// Passes a container its GPUs.
pub(super) fn fill(
    spec: &mut ContainerSpec,
    launch: &mut Launch,
    (order, name): (&Order, &str),
    node: &NodeFacts,
) -> Result<(), Refusal> {
    let mut edits = Edits::default();
    let ids: Vec<&str> = gpus(order, name).collect();
    for id in &ids {
        let Some(gpu) = node.gpus.all.iter().find(|gpu| gpu.id == *id) else {
            return Err(Refusal::new(
                format!("container {name}: resourceRequirements GPU"),
                format!("this node has no GPU {id} any more; start its agent again with it"),
            ));
        };
        edits.add(&gpu.edits);
    }
    if ids.is_empty() {
        return Ok(());
    }
    if node.gpus.by_runtime {
        spec.gpus = ids.iter().map(|id| (*id).to_owned()).collect();
    } else {
        for device in edits.devices {
            if !spec.devices.iter().any(|known| known.1 == device.1) {
                spec.devices.push(device);
            }
        }
        spec.mounts.extend(
            edits.mounts.into_iter().map(|(source, target, readonly)| Mount::Bind {
                source,
                target,
                readonly,
            }),
        );
        set(launch, edits.environment);
    }
    set(launch, [(VISIBLE.to_owned(), ids.join(","))]);
    Ok(())
}

/// Sets variables over those that the task definition gives.
fn set(launch: &mut Launch, variables: impl IntoIterator<Item = (String, String)>) {
    for (name, value) in variables {
        launch.environment.retain(|(known, _)| *known != name);
        launch.environment.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{node, order};
    use super::super::{NodeFacts, task};
    use super::*;
    use crate::gpu::{Gpu, Gpus};

    fn with_gpus(by_runtime: bool) -> NodeFacts {
        let gpu = |id: &str, own: &str| Gpu {
            id: id.to_owned(),
            edits: Edits {
                devices: vec![
                    (own.to_owned(), own.to_owned(), "rwm".to_owned()),
                    ("/dev/nvidiactl".to_owned(), "/dev/nvidiactl".to_owned(), "rw".to_owned()),
                ],
                mounts: vec![("/usr/lib/nvidia".into(), "/usr/lib/nvidia".into(), true)],
                environment: vec![("DRIVER".to_owned(), "550".to_owned())],
            },
        };
        let all = vec![gpu("GPU-a", "/dev/nvidia0"), gpu("GPU-b", "/dev/nvidia1")];
        NodeFacts { gpus: Gpus { all, driver: None, by_runtime }, ..node() }
    }

    fn ordered(gpus: &[&str]) -> Order {
        let containers = json!([
            {"name": "web", "image": "i", "environment": [{"name": VISIBLE, "value": "all"}]},
            {"name": "side", "image": "i"},
        ]);
        let associations: Vec<_> = gpus
            .iter()
            .map(|gpu| json!({"name": gpu, "type": "gpu", "containers": ["web"]}))
            .collect();
        order(containers, json!({"associations": associations}))
    }

    #[test]
    fn a_container_gets_its_own_gpus_and_no_others() {
        let plan = task(&ordered(&["GPU-a", "GPU-b"]), &with_gpus(false)).unwrap();
        let [web, side] = &plan.containers[..] else { panic!("two containers") };
        let devices: Vec<&str> = web.template.devices.iter().map(|d| d.0.as_str()).collect();
        assert_eq!(devices, ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia1"]);
        assert_eq!(web.template.mounts.len(), 1);
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(web.launch.environment, [set("DRIVER", "550"), set(VISIBLE, "GPU-a,GPU-b")]);
        assert!(side.template.devices.is_empty() && side.launch.environment.is_empty());
        assert!(web.template.gpus.is_empty());
    }

    #[test]
    fn a_runtime_that_takes_gpus_gets_their_ids() {
        let plan = task(&ordered(&["GPU-b"]), &with_gpus(true)).unwrap();
        let web = &plan.containers[0];
        assert_eq!(web.template.gpus, ["GPU-b"]);
        assert!(web.template.devices.is_empty() && web.template.mounts.is_empty());
    }

    #[test]
    fn a_gpu_that_went_away_is_told() {
        let why = task(&ordered(&["GPU-z"]), &with_gpus(false)).unwrap_err().to_string();
        assert!(why.contains("no GPU GPU-z any more"), "{why}");
    }
}
