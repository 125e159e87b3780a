//! How many nodes a group should have for what is asked of its capacity provider.
//!
//! AWS follows the metric `CapacityProviderReservation = M / N x 100` by an alarm, in steps of minutes;
//! here the same M is worked out and taken at once.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/asg-capacity-providers.html>

use model::ManagedScaling;

/// What a waiting task, or a node, amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// GPUs.
    pub gpus: u32,
    /// Whether the task has to be alone of its kind on a node: a fixed host port, or
    /// `distinctInstance`.
    pub alone: bool,
}

/// What one node of the group offers when it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// CPU units.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// GPUs.
    pub gpus: u32,
}

/// The group as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizing<'a> {
    /// How it is managed.
    pub scaling: ManagedScaling,
    /// Its bounds.
    pub bounds: (u32, u32),
    /// So many nodes it has, those on their way too.
    pub nodes: u32,
    /// Of these, so many have tasks, or are too young to be called idle.
    pub used: u32,
    /// Of these, so many are on their way: what waits may be for them.
    pub coming: u32,
    /// What a node offers, if one is known.
    pub offer: Option<Offer>,
    /// The tasks that wait for a node.
    pub waiting: &'a [Demand],
}

/// How many nodes the group should have. Out by at least the minimum step and at most the maximum one;
/// in only as far as nodes are idle.
pub fn wanted(sizing: &Sizing<'_>) -> u32 {
    let (min, max) = sizing.bounds;
    let packed = match sizing.offer {
        Some(offer) => nodes_for(offer, sizing.waiting),
        // Nobody knows yet what a node is: one tells, for the price of one.
        None => u32::from(!sizing.waiting.is_empty()),
    };
    let busy = sizing.used.saturating_sub(sizing.coming);
    let needed = busy.saturating_add(packed).max(sizing.used.min(sizing.nodes));
    let target = sizing.scaling.target_capacity.clamp(1, 100);
    let aim =
        u32::try_from((u64::from(needed) * 100).div_ceil(u64::from(target))).unwrap_or(u32::MAX);
    let stepped = if aim > sizing.nodes {
        let step = (aim - sizing.nodes)
            .max(sizing.scaling.minimum_step)
            .min(sizing.scaling.maximum_step.max(1));
        sizing.nodes.saturating_add(step)
    } else {
        aim
    };
    stepped.clamp(min, max.max(min))
}

/// How many empty nodes take these tasks: first fit, the largest first. A task that fits on no empty
/// node asks for none, since none would help it.
fn nodes_for(offer: Offer, tasks: &[Demand]) -> u32 {
    let mut tasks: Vec<Demand> = tasks
        .iter()
        .copied()
        .filter(|t| t.cpu <= offer.cpu && t.memory <= offer.memory && t.gpus <= offer.gpus)
        .collect();
    tasks.sort_by_key(|t| std::cmp::Reverse((t.gpus, t.memory, t.cpu)));
    // What is left of each node, and whether a task that is to be alone of its kind is there.
    let mut nodes: Vec<(Offer, bool)> = Vec::new();
    for task in tasks {
        let fits = |(left, alone): &&mut (Offer, bool)| {
            !(task.alone && *alone)
                && task.cpu <= left.cpu
                && task.memory <= left.memory
                && task.gpus <= left.gpus
        };
        let at = match nodes.iter_mut().find(fits) {
            Some(node) => node,
            None => {
                nodes.push((offer, false));
                let Some(node) = nodes.last_mut() else { continue };
                node
            }
        };
        at.0.cpu -= task.cpu;
        at.0.memory -= task.memory;
        at.0.gpus -= task.gpus;
        at.1 |= task.alone;
    }
    u32::try_from(nodes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFER: Offer = Offer { cpu: 1024, memory: 1000, gpus: 0 };

    fn task(cpu: u32, memory: u32) -> Demand {
        Demand { cpu, memory, gpus: 0, alone: false }
    }

    fn sizing(nodes: u32, used: u32, waiting: &[Demand]) -> Sizing<'_> {
        Sizing {
            scaling: ManagedScaling::default(),
            bounds: (0, 10),
            nodes,
            used,
            coming: 0,
            offer: Some(OFFER),
            waiting,
        }
    }

    #[test]
    fn a_group_follows_what_is_asked_of_it() {
        let four = [task(256, 300); 4];
        let alone = [Demand { alone: true, ..task(1, 1) }; 3];
        let huge = [task(4096, 10)];
        for (what, sizing, nodes) in [
            ("nothing is asked and nothing is there", sizing(0, 0, &[]), 0),
            ("three fit on one by memory", sizing(0, 0, &four), 2),
            ("used nodes stay", sizing(3, 3, &[]), 3),
            ("idle ones go", sizing(3, 1, &[]), 1),
            ("what waits comes on top", sizing(2, 2, &four), 4),
            ("each alone", sizing(0, 0, &alone), 3),
            ("what fits nowhere asks for nothing", sizing(1, 1, &huge), 1),
            ("bounds hold", Sizing { bounds: (0, 3), ..sizing(2, 2, &four) }, 3),
            ("bounds hold below", Sizing { bounds: (2, 3), ..sizing(3, 0, &[]) }, 2),
            ("one tells what a node is", Sizing { offer: None, ..sizing(0, 0, &four) }, 1),
            ("those that come are counted once", Sizing { coming: 2, ..sizing(2, 2, &four) }, 2),
        ] {
            assert_eq!(wanted(&sizing), nodes, "{what}");
        }
    }

    #[test]
    fn steps_and_the_target_bend_the_way() {
        let half = ManagedScaling { target_capacity: 50, ..ManagedScaling::default() };
        assert_eq!(wanted(&Sizing { scaling: half, ..sizing(2, 2, &[]) }), 4);
        let few = ManagedScaling { maximum_step: 1, ..ManagedScaling::default() };
        let four = [task(1024, 10); 4];
        assert_eq!(wanted(&Sizing { scaling: few, ..sizing(1, 1, &four) }), 2);
        let many = ManagedScaling { minimum_step: 3, ..ManagedScaling::default() };
        assert_eq!(wanted(&Sizing { scaling: many, ..sizing(1, 1, &four[..1]) }), 4);
    }

    proptest! {
        #[test]
        fn what_is_wanted_takes_all_that_fits_and_comes_to_rest(
            sizes in prop::collection::vec((0u32..1200, 1u32..1200), 0..30),
            used in 0u32..5,
        ) {
            let waiting: Vec<Demand> = sizes.iter().map(|(c, m)| task(*c, *m)).collect();
            let start = Sizing { bounds: (0, 1000), ..sizing(used, used, &waiting) };
            let first = wanted(&start);
            let fits = waiting.iter().filter(|t| t.cpu <= OFFER.cpu && t.memory <= OFFER.memory);
            let memory: u64 = fits.map(|t| u64::from(t.memory)).sum();
            prop_assert!(u64::from(first - used) * u64::from(OFFER.memory) >= memory);
            // While those nodes come, no others are asked for.
            let coming = first - used;
            let later = Sizing { nodes: first, used: first, coming, ..start };
            prop_assert_eq!(wanted(&later), first);
        }
    }
}
