//! Persistent maps made at once of what is sorted already.

use imbl::{OrdMap, OrdSet};

/// A map of entries that are sorted by their keys, which differ.
///
/// What is only ever appended leaves each leaf half full behind it. So every other entry goes in
/// first, and the rest into the room that is left: leaves are full, and nothing is split twice.
pub(crate) fn map<K: Ord + Clone, V: Clone>(sorted: Vec<(K, V)>) -> OrdMap<K, V> {
    let mut made = OrdMap::new();
    let mut rest = Vec::with_capacity(sorted.len() / 2);
    let mut entries = sorted.into_iter();
    while let Some((key, value)) = entries.next() {
        made.insert(key, value);
        rest.extend(entries.next());
    }
    for (key, value) in rest {
        made.insert(key, value);
    }
    made
}

/// A set of values that are sorted, and differ.
pub(crate) fn set<A: Ord + Clone>(sorted: Vec<A>) -> OrdSet<A> {
    let mut made = OrdSet::new();
    let mut rest = Vec::with_capacity(sorted.len() / 2);
    let mut values = sorted.into_iter();
    while let Some(value) = values.next() {
        made.insert(value);
        rest.extend(values.next());
    }
    for value in rest {
        made.insert(value);
    }
    made
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_made_at_once_is_a_map_like_any_other(
            entries in proptest::collection::btree_map(any::<u16>(), any::<u8>(), 0..2000),
            later in proptest::collection::vec((any::<u16>(), any::<bool>()), 0..200),
        ) {
            let mut made = map(entries.clone().into_iter().collect());
            let values = set(entries.keys().copied().collect());
            prop_assert!(values.iter().eq(entries.keys()));
            let mut entries: BTreeMap<u16, u8> = entries;
            let mut values: (OrdSet<u16>, BTreeSet<u16>) = (values.clone(), values.into_iter().collect());
            for (key, comes) in later {
                if comes {
                    prop_assert_eq!(made.insert(key, 7), entries.insert(key, 7));
                    values.0.insert(key);
                    values.1.insert(key);
                } else {
                    prop_assert_eq!(made.remove(&key), entries.remove(&key));
                    values.0.remove(&key);
                    values.1.remove(&key);
                }
            }
            prop_assert!(made.iter().eq(entries.iter()));
            prop_assert!(values.0.iter().eq(values.1.iter()));
        }
    }
}
