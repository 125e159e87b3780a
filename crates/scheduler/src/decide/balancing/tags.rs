//! AddTags and RemoveTags. What does not exist refuses the whole call.

use std::sync::Arc;

use model::{BalancingChange, BalancingResource, Tags};

use super::{Decided, balancers, draft, groups, listeners, put, rules, within};
use crate::desk::Desk;
use crate::{BalancingLimit, BalancingRejection, Reply};

pub(super) fn tag(desk: &mut Desk<'_>, resources: &[BalancingResource], tags: &Tags) -> Decided {
    edit(desk, resources, |before| {
        let after = before.clone().with(tags);
        within(BalancingLimit::Tags, after.0.len())?;
        Ok(after)
    })
}

pub(super) fn untag(
    desk: &mut Desk<'_>,
    resources: &[BalancingResource],
    keys: &[String],
) -> Decided {
    edit(desk, resources, |before| {
        let mut after = before.clone();
        after.0.retain(|key, _| !keys.contains(key));
        Ok(after)
    })
}

fn edit(
    desk: &mut Desk<'_>,
    resources: &[BalancingResource],
    by: impl Fn(&Tags) -> Result<Tags, BalancingRejection>,
) -> Decided {
    for resource in resources {
        let change = match resource {
            BalancingResource::Balancer(id) => {
                let mut it = draft(balancers::find(desk, id)?);
                it.tags = by(&it.tags)?;
                BalancingChange::PutBalancer(Arc::new(it))
            }
            BalancingResource::Group(id) => {
                let mut it = draft(groups::find(desk, id)?);
                it.tags = by(&it.tags)?;
                BalancingChange::PutGroup(Arc::new(it))
            }
            BalancingResource::Listener(id) => {
                let mut it = draft(listeners::find(desk, id)?);
                it.tags = by(&it.tags)?;
                BalancingChange::PutListener(Arc::new(it))
            }
            BalancingResource::Rule(id) => {
                let mut it = draft(rules::find(desk, id)?);
                it.tags = by(&it.tags)?;
                BalancingChange::PutRule(Arc::new(it))
            }
        };
        put(desk, change);
    }
    Ok(Reply::Done)
}
