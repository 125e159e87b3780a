//! What has happened to alarms: put, changed, acted upon. Kept for thirty days.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmHistory.html>

use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};
use serde::{Deserialize, Serialize};
use stdx::Timestamp;

use crate::metrics::{Metrics, MetricsError, disk};

/// For so many seconds.
const KEPT: i64 = 30 * 24 * 3600;
/// At most so many.
const MOST: u64 = 100_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryKind {
    /// `ConfigurationUpdate`: it was put or deleted.
    Configuration,
    /// `StateUpdate`: it became another state.
    State,
    /// `Action`: something was done, or could not be.
    Action,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// To which alarm.
    pub alarm: String,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: HistoryKind,
    /// In a sentence.
    pub summary: String,
    /// For programs: JSON.
    pub data: String,
}

/// Which of it is asked for.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Of this alarm.
    pub alarm: Option<String>,
    /// Of this kind.
    pub kind: Option<HistoryKind>,
    /// From here on.
    pub from: Option<Timestamp>,
    /// Up to here.
    pub to: Option<Timestamp>,
    /// The oldest first, rather than the newest.
    pub ascending: bool,
    /// At most so many.
    pub most: usize,
    /// What follows this place.
    pub after: Option<(i64, u64)>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// In the order asked for.
    pub items: Vec<HistoryItem>,
    /// Where more begins.
    pub next: Option<(i64, u64)>,
}

/// Writes an item in a transaction.
pub(super) fn add(transaction: &WriteTransaction, item: &HistoryItem) -> Result<(), MetricsError> {
    let mut table = transaction.open_table(disk::HISTORY)?;
    let number = table.last()?.map_or(1, |(key, _)| key.value().1 + 1);
    let bytes = disk::encode("an alarm's history", item)?;
    table.insert((item.at.as_millis(), number), bytes.as_slice())?;
    Ok(())
}

/// Removes what is too old, and the oldest of what is too much.
pub(crate) fn sweep(transaction: &WriteTransaction, now: i64) -> Result<(), MetricsError> {
    let mut table = transaction.open_table(disk::HISTORY)?;
    table.retain_in(..((now - KEPT) * 1000, 0), |_, _| false)?;
    while table.len()? > MOST {
        table.pop_first()?;
    }
    Ok(())
}

impl Metrics {
    /// `DescribeAlarmHistory`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, MetricsError> {
        let table = self.inner.database.begin_read()?.open_table(disk::HISTORY)?;
        let mut first = query.from.map_or((i64::MIN, 0), |at| (at.as_millis(), 0));
        let mut last = query.to.map_or((i64::MAX, u64::MAX), |at| (at.as_millis(), u64::MAX));
        match query.after {
            Some((at, number)) if query.ascending => first = first.max((at, number + 1)),
            Some((at, number)) => last = last.min((at, number.saturating_sub(1))),
            None => {}
        }
        let mut page = HistoryPage::default();
        if first > last {
            return Ok(page);
        }
        let range = table.range(first..=last)?;
        let mut entries: Box<dyn Iterator<Item = _>> =
            if query.ascending { Box::new(range) } else { Box::new(range.rev()) };
        let mut place = None;
        for entry in &mut entries {
            let (key, bytes) = entry?;
            let item: HistoryItem = disk::decode("an alarm's history", bytes.value())?;
            let wanted = query.alarm.as_ref().is_none_or(|alarm| *alarm == item.alarm)
                && query.kind.is_none_or(|kind| kind == item.kind);
            if !wanted {
                continue;
            }
            if page.items.len() == query.most {
                page.next = place;
                break;
            }
            page.items.push(item);
            place = Some(key.value());
        }
        Ok(page)
    }
}
