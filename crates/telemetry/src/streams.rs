//! Log streams: create, delete, describe.

use std::cmp::Reverse;
use std::ops::Bound;

use redb::ReadableTable;

use crate::tables::{self, Snapshot};
use crate::{
    LogStream, Logs, LogsConfig, LogsError, Page, StreamOrder, StreamQuery, Subject, arn, limits,
    token,
};

/// A stream's name and id, the millisecond of its creation and that of its latest event.
type Found = (String, u64, i64, i64);

impl Logs {
    /// `CreateLogStream`.
    ///
    /// # Errors
    /// The name is not valid, there is no such group, or a stream of that name in it.
    pub async fn create_stream(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        limits::stream_name(stream)?;
        let (group, name) = (group.to_owned(), stream.to_owned());
        let created = self.inner.config.clock.now().as_millis();
        self.write(1, move |tables| {
            let group = tables.group(&group)?.id;
            if tables.streams.get((group, name.as_str()))?.is_some() {
                return Err(LogsError::AlreadyExists { what: Subject::Stream, name });
            }
            let id = tables.new_id()?;
            tables.streams.insert((group, name.as_str()), (id, created))?;
            Ok(())
        })
        .await
    }

    /// `DeleteLogStream`: it is gone at once, and the room of its events is given back by the next
    /// [`Logs::sweep`].
    ///
    /// # Errors
    /// There is no such group, or no such stream in it.
    pub async fn delete_stream(&self, group: &str, stream: &str) -> Result<(), LogsError> {
        let (group, name) = (group.to_owned(), stream.to_owned());
        self.write(1, move |tables| {
            let group = tables.group(&group)?.id;
            let (id, _) = tables::stream(&tables.streams, group, &name)?;
            let bytes = tables::heat(&tables.heat, id)?.bytes;
            tables.streams.remove((group, name.as_str()))?;
            tables.heat.remove(id)?;
            tables.orphans.insert(id, ())?;
            tables.add_bytes(group, 0, bytes)
        })
        .await
    }

    /// `DescribeLogStreams`.
    ///
    /// # Errors
    /// There is no such group, a prefix together with an order by time, a limit outside 1 to 50,
    /// or a token that is not ours.
    pub async fn describe_streams(
        &self,
        group: &str,
        query: StreamQuery,
    ) -> Result<Page<LogStream>, LogsError> {
        if query.order == StreamOrder::LastEventTime && query.prefix.is_some() {
            return Err(LogsError::invalid(
                "orderBy",
                "Cannot order by LastEventTime with a logStreamNamePrefix.",
            ));
        }
        let limit = limits::page(query.limit, limits::MOST_DESCRIBED)?;
        let after = query.next_token.as_deref().map(token::parse_name_token).transpose()?;
        let group = group.to_owned();
        self.read(move |snapshot, config| {
            let id = snapshot.group(&group)?.id;
            // One more than the page tells whether there is a next one.
            let mut found = match query.order {
                StreamOrder::LogStreamName => by_name(snapshot, id, &query, after, limit + 1)?,
                StreamOrder::LastEventTime => {
                    by_time(snapshot, id, query.descending, after, limit + 1)?
                }
            };
            let more = found.len() > limit;
            found.truncate(limit);
            let next_token = found.last().filter(|_| more).map(|(name, _, _, last)| {
                let by_time = query.order == StreamOrder::LastEventTime;
                token::name_token(by_time.then_some(*last), name)
            });
            let items = found
                .into_iter()
                .map(|found| described(snapshot, config, &group, found))
                .collect::<Result<_, _>>()?;
            Ok(Page { items, next_token })
        })
        .await
    }
}

/// The streams in the order of names, from the place where the page before ended.
fn by_name(
    snapshot: &Snapshot,
    group: u64,
    query: &StreamQuery,
    after: Option<(Option<i64>, String)>,
    most: usize,
) -> Result<Vec<Found>, LogsError> {
    let prefix = query.prefix.as_deref().unwrap_or_default();
    let after = after.map(|(_, name)| name);
    let first = Bound::Included((group, prefix));
    // The first name after all that begin with the prefix: no character is greater than this one.
    let end = format!("{prefix}{}", char::MAX);
    let last = if prefix.is_empty() {
        Bound::Excluded((group + 1, ""))
    } else {
        Bound::Included((group, end.as_str()))
    };
    let (first, last) = match (&after, query.descending) {
        (Some(name), false) => (Bound::Excluded((group, name.as_str())), last),
        (Some(name), true) => (first, Bound::Excluded((group, name.as_str()))),
        (None, _) => (first, last),
    };
    if is_empty(&first, &last) {
        return Ok(Vec::new());
    }
    let range = snapshot.streams.range((first, last))?;
    let mut found = Vec::new();
    let mut take = |entry: Result<StreamEntry, redb::StorageError>| -> Result<bool, LogsError> {
        let (key, value) = entry?;
        let (_, name) = key.value();
        if name.starts_with(prefix) {
            let (id, created) = value.value();
            found.push((name.to_owned(), id, created, 0));
        }
        Ok(found.len() < most)
    };
    if query.descending {
        for entry in range.rev() {
            if !take(entry)? {
                break;
            }
        }
    } else {
        for entry in range {
            if !take(entry)? {
                break;
            }
        }
    }
    Ok(found)
}

type StreamEntry =
    (redb::AccessGuard<'static, (u64, &'static str)>, redb::AccessGuard<'static, (u64, i64)>);

/// Whether a range is upside down, which a token of another query can make it.
fn is_empty(first: &Bound<(u64, &str)>, last: &Bound<(u64, &str)>) -> bool {
    match (first, last) {
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
            a >= b
        }
        _ => false,
    }
}

/// The streams in the order of their latest events and then of names. They are not stored in this
/// order, so all of the group's are looked at; only a page of them is kept.
fn by_time(
    snapshot: &Snapshot,
    group: u64,
    descending: bool,
    after: Option<(Option<i64>, String)>,
    most: usize,
) -> Result<Vec<Found>, LogsError> {
    let after = after.map(|(millis, name)| (millis.unwrap_or(i64::MIN), name));
    let mut found: Vec<Found> = Vec::new();
    let sort = |found: &mut Vec<Found>| {
        if descending {
            found.sort_by(|a, b| Reverse((a.3, &a.0)).cmp(&Reverse((b.3, &b.0))));
        } else {
            found.sort_by(|a, b| (a.3, &a.0).cmp(&(b.3, &b.0)));
        }
        found.truncate(most);
    };
    for entry in snapshot.streams.range((group, "")..(group + 1, ""))? {
        let (key, value) = entry?;
        let (_, name) = key.value();
        let (id, created) = value.value();
        let last = tables::heat(&snapshot.heat, id)?.last_event;
        let last = last.map_or(i64::MIN, stdx::Timestamp::as_millis);
        let due = after.as_ref().is_none_or(|(millis, after)| {
            let (here, there) = ((last, name), (*millis, after.as_str()));
            if descending { here < there } else { here > there }
        });
        if due {
            found.push((name.to_owned(), id, created, last));
        }
        if found.len() >= most + 1024 {
            sort(&mut found);
        }
    }
    sort(&mut found);
    Ok(found)
}

fn described(
    snapshot: &Snapshot,
    config: &LogsConfig,
    group: &str,
    (name, id, created, _): Found,
) -> Result<LogStream, LogsError> {
    let heat = tables::heat(&snapshot.heat, id)?;
    Ok(LogStream {
        arn: arn::stream(&config.region, &config.account, group, &name),
        name,
        created: stdx::Timestamp::from_millis(created),
        first_event: heat.first_event,
        last_event: heat.last_event,
        last_ingestion: heat.last_ingestion,
        stored_bytes: heat.bytes,
        upload_sequence_token: sequence_token(id, heat.sequence),
    })
}

/// 56 digits, as AWS's were when they still counted.
pub(crate) fn sequence_token(stream: u64, sequence: u64) -> String {
    format!("{:056}", u128::from(stream) << 64 | u128::from(sequence))
}
