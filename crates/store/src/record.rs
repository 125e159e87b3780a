//! How a change is written: its address as an ordered key, itself as MessagePack with named fields,
//! so that a later version may add some.

use std::collections::BTreeMap;

use model::{Address, Change, Table};

use crate::{EngineError, Write};

/// The letters before a key's first slash tell its kind; they are in loading order.
fn letters(table: Table) -> &'static str {
    match table {
        Table::Clusters => "a",
        Table::Definitions => "b",
        Table::Instances => "c",
        Table::Services => "d",
        Table::Events => "e",
        Table::Tasks => "f",
        Table::Progress => "g",
        Table::Tokens => "h",
        Table::Roles => "i",
        Table::Policies => "j",
        Table::Balancers => "k",
        Table::TargetGroups => "l",
        Table::Listeners => "m",
        Table::Rules => "n",
        Table::Targets => "o",
        Table::Verdicts => "p",
        Table::ScalableTargets => "q",
        Table::ScalingPolicies => "r",
        Table::ScheduledActions => "s",
        Table::ScalingActivities => "t",
        Table::LaunchConfigurations => "u",
        Table::AutoScalingGroups => "v",
        Table::Nodes => "w",
        Table::CapacityProviders => "x",
        Table::GroupActivities => "y",
        Table::LaunchTemplates => "za",
        Table::TemplateVersions => "zb",
        Table::GroupPolicies => "zc",
        Table::GroupActions => "zd",
        Table::EventRules => "ze",
        Table::EventTargets => "zf",
        Table::Connections => "zg",
        Table::ApiDestinations => "zh",
        Table::ServiceRevisions => "zi",
        Table::ServiceDeployments => "zj",
        Table::AccountSettings => "zk",
    }
}

fn key(address: &Address) -> String {
    format!("{}/{}", letters(address.table), address.key)
}

/// The keys of a kind: from the first one to before the second.
pub(crate) fn range(table: Table) -> (String, String) {
    // The character after the slash that ends the letters.
    (format!("{}/", letters(table)), format!("{}0", letters(table)))
}

/// The records that a round's changes come down to: the last change of each address.
pub fn writes(changes: &[Change]) -> Result<Vec<Write>, EngineError> {
    let mut last: BTreeMap<String, Option<&Change>> = BTreeMap::new();
    for change in changes {
        for address in change.addresses() {
            last.insert(key(&address), (!change.is_delete()).then_some(change));
        }
    }
    // One buffer for all: a record is copied once, into an allocation of its own size.
    let mut buffer = Vec::with_capacity(2048);
    let mut encode = |key: &str, change: &Change| {
        buffer.clear();
        rmp_serde::encode::write_named(&mut buffer, change)
            .map_err(|e| EngineError::io(format!("encode the record {key}"), e))?;
        Ok(buffer.as_slice().to_vec())
    };
    last.into_iter()
        .map(|(key, change)| {
            let value = change.map(|change| encode(&key, change)).transpose()?;
            Ok(Write { key, value })
        })
        .collect()
}

/// Reads a record back.
pub(crate) fn decode(key: &str, value: &[u8]) -> Result<Change, EngineError> {
    rmp_serde::from_slice(value)
        .map_err(|source| EngineError::Record { key: key.to_owned(), source })
}
