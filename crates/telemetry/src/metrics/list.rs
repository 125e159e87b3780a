//! Which metrics there are: `ListMetrics`, and what is shown of all of them at once.

use std::collections::BTreeMap;

use super::id::{MetricId, Unit};
use super::memory::Span;
use super::point::StatisticSet;
use super::writer::lock;
use super::{Metrics, MetricsError};

/// Metrics without data for so many seconds are not listed.
const LISTED: i64 = 14 * 24 * 3600;
/// `RecentlyActive=PT3H`.
const RECENT: i64 = 3 * 3600;
/// The size of a page.
const PAGE: usize = 500;

/// Which metrics are looked for.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// In this namespace.
    pub namespace: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With these dimensions, of that value or of any.
    pub dimensions: Vec<(String, Option<String>)>,
    /// Only those that had data in the last three hours.
    pub recent: bool,
    /// Those that follow this one.
    pub after: Option<MetricId>,
}

/// What a metric was in a minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Which metric.
    pub id: MetricId,
    /// In what it was measured.
    pub unit: Unit,
    /// Its statistics.
    pub set: StatisticSet,
}

impl Metrics {
    /// `ListMetrics`: at most 500 metrics in the order of their names, and whether there are more.
    pub fn list(&self, query: &ListQuery) -> (Vec<MetricId>, bool) {
        let since = self.now().as_secs() - if query.recent { RECENT } else { LISTED };
        let memory = lock(&self.inner.memory);
        let begin = match &query.after {
            Some(after) => std::ops::Bound::Excluded(after),
            None => std::ops::Bound::Unbounded,
        };
        let mut found: Vec<MetricId> = memory
            .metrics
            .range::<MetricId, _>((begin, std::ops::Bound::Unbounded))
            .filter(|(id, all)| all.iter().any(|series| series.last >= since) && matches(id, query))
            .take(PAGE + 1)
            .map(|(id, _)| MetricId::clone(id))
            .collect();
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        (found, more)
    }

    /// How many series there are, one for each metric and unit.
    pub fn count(&self) -> usize {
        lock(&self.inner.memory).count()
    }

    /// The statistics of the last whole minute of the metrics in these namespaces that had data in
    /// it, at most so many, and how many there were beyond that.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn last_minute(
        &self,
        namespaces: &[&str],
        most: usize,
    ) -> Result<(Vec<Shown>, usize), MetricsError> {
        let now = self.now().as_secs();
        let to = now.div_euclid(60) * 60;
        let span = Span { from: to - 60, to, period: 60 };
        let ids: Vec<MetricId> = {
            let memory = lock(&self.inner.memory);
            let live = memory.metrics.iter().filter(|(id, all)| {
                namespaces.contains(&id.namespace.as_str())
                    && all.iter().any(|series| series.last >= to - 120)
            });
            live.map(|(id, _)| MetricId::clone(id)).collect()
        };
        let beyond = ids.len().saturating_sub(most);
        let mut shown = Vec::new();
        for id in ids.into_iter().take(most) {
            let units: Vec<Unit> = {
                let memory = lock(&self.inner.memory);
                memory.metrics.get(&id).into_iter().flatten().map(|series| series.unit).collect()
            };
            for unit in units {
                let points: BTreeMap<i64, _> = self.points(&id, Some(unit), span)?;
                shown.extend(points.into_values().map(|point| Shown {
                    id: id.clone(),
                    unit,
                    set: point.set,
                }));
            }
        }
        Ok((shown, beyond))
    }
}

fn matches(id: &MetricId, query: &ListQuery) -> bool {
    query.namespace.as_ref().is_none_or(|namespace| *namespace == id.namespace)
        && query.name.as_ref().is_none_or(|name| *name == id.name)
        && query.dimensions.iter().all(|(name, value)| {
            let same = |has: &&(String, String)| {
                has.0 == *name && value.as_ref().is_none_or(|value| *value == has.1)
            };
            id.dimensions.iter().any(|has| same(&has))
        })
}
