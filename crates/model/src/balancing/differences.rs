//! What moved between two books, found by comparing shared structure: who derives something from a
//! book looks only at that.

use imbl::ordmap::{DiffItem, OrdMap};

use crate::{Book, GroupId, ListenerId, RuleId};

/// What moved between two books. A key is here whether its record came, changed or went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookDifference {
    /// Whether any load balancer moved.
    pub balancers: bool,
    /// Listeners.
    pub listeners: Vec<ListenerId>,
    /// Rules.
    pub rules: Vec<RuleId>,
    /// Groups: the record, or a target of it. Each once.
    pub groups: Vec<GroupId>,
    /// Whether the health of any target moved.
    pub verdicts: bool,
}

impl BookDifference {
    /// Whether nothing moved.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Book {
    /// What moved since `earlier`. Costs what moved, not what there is.
    pub fn since(&self, earlier: &Self) -> BookDifference {
        let mut groups = keys(&earlier.groups, &self.groups);
        groups.extend(keys(&earlier.targets, &self.targets).into_iter().map(|key| key.group));
        groups.sort_unstable();
        groups.dedup();
        BookDifference {
            balancers: !keys(&earlier.balancers, &self.balancers).is_empty(),
            listeners: keys(&earlier.listeners, &self.listeners),
            rules: keys(&earlier.rules, &self.rules),
            groups,
            verdicts: !keys(&earlier.verdicts, &self.verdicts).is_empty(),
        }
    }
}

fn keys<K: Ord + Clone, V: Clone + PartialEq>(
    before: &OrdMap<K, V>,
    after: &OrdMap<K, V>,
) -> Vec<K> {
    if before.ptr_eq(after) {
        return Vec::new();
    }
    before
        .diff(after)
        .map(|item| match item {
            DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key.clone(),
            DiffItem::Update { new: (key, _), .. } => key.clone(),
        })
        .collect()
}
