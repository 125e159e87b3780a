//! Log groups: create, delete, describe, retention, tags.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{ReadableTable, ReadableTableMetadata};

use crate::tables::{Tables, decode};
use crate::types::GroupRecord;
use crate::{LogGroup, Logs, LogsError, Page, Subject, arn, limits, token};

impl Logs {
    /// `CreateLogGroup`.
    ///
    /// # Errors
    /// The name or a tag is not valid, or there is a group of that name.
    pub async fn create_group(
        &self,
        name: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), LogsError> {
        limits::group_name(name)?;
        limits::tags(&tags)?;
        let (name, created) = (name.to_owned(), self.inner.config.clock.now());
        self.write(1, move |tables| {
            if tables.groups.get(name.as_str())?.is_some() {
                return Err(LogsError::AlreadyExists { what: Subject::Group, name });
            }
            if tables.groups.len()? >= limits::MOST_GROUPS {
                return Err(LogsError::LimitExceeded {
                    what: Subject::Group,
                    most: limits::MOST_GROUPS,
                });
            }
            let record = GroupRecord { id: tables.new_id()?, created, retention_days: None, tags };
            tables.put_group(&name, &record)
        })
        .await
    }

    /// `DeleteLogGroup`: the group and its streams are gone at once, and the room of their events
    /// is given back by the next [`Logs::sweep`].
    ///
    /// # Errors
    /// There is no such group.
    pub async fn delete_group(&self, name: &str) -> Result<(), LogsError> {
        let name = name.to_owned();
        self.write(1, move |tables| {
            let group = tables.group(&name)?.id;
            let streams =
                tables.streams.extract_from_if((group, "")..(group + 1, ""), |_, _| true)?;
            for stream in streams {
                let (id, _) = stream?.1.value();
                tables.orphans.insert(id, ())?;
                tables.heat.remove(id)?;
            }
            tables.group_bytes.remove(group)?;
            tables.groups.remove(name.as_str())?;
            Ok(())
        })
        .await
    }

    /// `DescribeLogGroups`, in the order of names. `pattern` is a part of the name.
    ///
    /// # Errors
    /// Both a prefix and a pattern, a limit outside 1 to 50, or a token that is not ours.
    pub async fn describe_groups(
        &self,
        prefix: Option<&str>,
        pattern: Option<&str>,
        limit: Option<i64>,
        next_token: Option<&str>,
    ) -> Result<Page<LogGroup>, LogsError> {
        if prefix.is_some() && pattern.is_some() {
            return Err(LogsError::invalid(
                "logGroupNamePattern",
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
            ));
        }
        let limit = limits::page(limit, limits::MOST_DESCRIBED)?;
        let after = next_token.map(token::parse_name_token).transpose()?.map(|(_, name)| name);
        let prefix = prefix.unwrap_or_default().to_owned();
        let pattern = pattern.unwrap_or_default().to_owned();
        self.read(move |snapshot, config| {
            let start = match &after {
                Some(name) => Bound::Excluded(name.as_str()),
                None => Bound::Included(prefix.as_str()),
            };
            let mut items: Vec<LogGroup> = Vec::new();
            for entry in snapshot.groups.range::<&str>((start, Bound::Unbounded))? {
                let (name, record) = entry?;
                let name = name.value();
                if !name.starts_with(&prefix) {
                    break;
                }
                if !name.contains(&pattern) {
                    continue;
                }
                if items.len() == limit {
                    let next = items.last().map(|last| token::name_token(None, &last.name));
                    return Ok(Page { items, next_token: next });
                }
                let record = decode(name, record.value())?;
                items.push(LogGroup {
                    name: name.to_owned(),
                    arn: arn::group(&config.region, &config.account, name),
                    created: record.created,
                    retention_days: record.retention_days,
                    stored_bytes: snapshot.group_bytes.get(record.id)?.map_or(0, |b| b.value()),
                });
            }
            Ok(Page { items, next_token: None })
        })
        .await
    }

    /// `PutRetentionPolicy`.
    ///
    /// # Errors
    /// There is no such group, or `days` is not among [`crate::RETENTION_DAYS`].
    pub async fn put_retention(&self, name: &str, days: i64) -> Result<(), LogsError> {
        let days = limits::retention(days)?;
        self.change_group(name, move |record| {
            record.retention_days = Some(days);
            Ok(())
        })
        .await
    }

    /// `DeleteRetentionPolicy`: events are kept for ever.
    ///
    /// # Errors
    /// There is no such group.
    pub async fn delete_retention(&self, name: &str) -> Result<(), LogsError> {
        self.change_group(name, |record| {
            record.retention_days = None;
            Ok(())
        })
        .await
    }

    /// `TagResource`: adds tags, or gives them another value.
    ///
    /// # Errors
    /// There is no such group, or it would have tags that are not valid.
    pub async fn tag_group(
        &self,
        name: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), LogsError> {
        self.change_group(name, move |record| {
            record.tags.extend(tags);
            limits::tags(&record.tags)
        })
        .await
    }

    /// `UntagResource`: takes tags away, if they are there.
    ///
    /// # Errors
    /// There is no such group.
    pub async fn untag_group(&self, name: &str, keys: Vec<String>) -> Result<(), LogsError> {
        self.change_group(name, move |record| {
            record.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await
    }

    /// `ListTagsForResource`.
    ///
    /// # Errors
    /// There is no such group.
    pub async fn group_tags(&self, name: &str) -> Result<BTreeMap<String, String>, LogsError> {
        let name = name.to_owned();
        self.read(move |snapshot, _| Ok(snapshot.group(&name)?.tags)).await
    }

    async fn change_group(
        &self,
        name: &str,
        change: impl FnOnce(&mut GroupRecord) -> Result<(), LogsError> + Send + 'static,
    ) -> Result<(), LogsError> {
        let name = name.to_owned();
        self.write(1, move |tables: &mut Tables<'_>| {
            let mut record = tables.group(&name)?;
            change(&mut record)?;
            tables.put_group(&name, &record)
        })
        .await
    }
}
