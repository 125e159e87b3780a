//! CloudWatch Logs' limits, and the checks that need nothing but the request.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use stdx::Timestamp;

use crate::{InputEvent, LogsError, Rejected};

/// The days for which a group may keep its events.
pub const RETENTION_DAYS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

/// What an event costs beside its message.
pub(crate) const EVENT_OVERHEAD: usize = 26;
/// The most a batch may cost, and the largest page of events.
pub(crate) const MOST_BYTES: usize = 1_048_576;
/// The most events of a batch, and of a page.
pub(crate) const MOST_EVENTS: usize = 10_000;
/// The most groups or streams of a page.
pub(crate) const MOST_DESCRIBED: usize = 50;
/// The most groups of an account.
pub(crate) const MOST_GROUPS: u64 = 1_000_000;
/// The most tags of a group.
const MOST_TAGS: usize = 50;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TOO_OLD: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const TOO_NEW: Duration = Duration::from_secs(2 * 60 * 60);

/// Before which instant events are past their retention.
pub(crate) fn retention_start(now: Timestamp, days: u32) -> Timestamp {
    now - DAY * days
}

fn violates(member: &'static str, value: &str, constraint: &str) -> LogsError {
    LogsError::invalid(
        member,
        format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy \
             constraint: Member must {constraint}"
        ),
    )
}

fn length(member: &'static str, value: &str) -> Result<(), LogsError> {
    match value.chars().count() {
        0 => Err(violates(member, value, "have length greater than or equal to 1")),
        1..=512 => Ok(()),
        _ => Err(violates(member, value, "have length less than or equal to 512")),
    }
}

/// A name for a new group.
pub(crate) fn group_name(name: &str) -> Result<(), LogsError> {
    const MEMBER: &str = "logGroupName";
    length(MEMBER, name)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/#".contains(c);
    if !name.chars().all(allowed) {
        return Err(violates(
            MEMBER,
            name,
            "satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+",
        ));
    }
    if name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws/")) {
        return Err(LogsError::invalid(
            MEMBER,
            "Log groups starting with AWS/ are reserved for AWS.",
        ));
    }
    Ok(())
}

/// A name for a new stream.
pub(crate) fn stream_name(name: &str) -> Result<(), LogsError> {
    const MEMBER: &str = "logStreamName";
    length(MEMBER, name)?;
    if name.contains([':', '*']) {
        return Err(violates(MEMBER, name, "satisfy regular expression pattern: [^:*]*"));
    }
    Ok(())
}

/// A number of days for which events may be kept.
pub(crate) fn retention(days: i64) -> Result<u32, LogsError> {
    RETENTION_DAYS.into_iter().find(|allowed| i64::from(*allowed) == days).ok_or_else(|| {
        violates(
            "retentionInDays",
            &days.to_string(),
            &format!("satisfy enum value set: {RETENTION_DAYS:?}"),
        )
    })
}

/// A page's limit, within 1 and `most`, which is also the default.
pub(crate) fn page(limit: Option<i64>, most: usize) -> Result<usize, LogsError> {
    let Some(limit) = limit else { return Ok(most) };
    match usize::try_from(limit) {
        Ok(0) | Err(_) => {
            Err(violates("limit", &limit.to_string(), "have value greater than or equal to 1"))
        }
        Ok(limit) if limit > most => Err(violates(
            "limit",
            &limit.to_string(),
            &format!("have value less than or equal to {most}"),
        )),
        Ok(limit) => Ok(limit),
    }
}

/// The tags that a group would have.
pub(crate) fn tags(tags: &BTreeMap<String, String>) -> Result<(), LogsError> {
    const MEMBER: &str = "tags";
    if tags.len() > MOST_TAGS {
        return Err(LogsError::invalid(
            MEMBER,
            format!("A log group may have at most {MOST_TAGS} tags, not {}.", tags.len()),
        ));
    }
    for (key, value) in tags {
        let wrong = match (key.chars().count(), value.chars().count()) {
            (1..=128, 0..=256) if !key.starts_with("aws:") => continue,
            (1..=128, 0..=256) => "keys beginning with 'aws:' are reserved",
            (1..=128, _) => "a value has at most 256 characters",
            _ => "a key has 1 to 128 characters",
        };
        return Err(LogsError::invalid(MEMBER, format!("The tag '{key}' is not valid: {wrong}.")));
    }
    Ok(())
}

/// What an event costs.
pub(crate) fn cost(message: &str) -> usize {
    message.len() + EVENT_OVERHEAD
}

/// A batch, whatever group it is for.
pub(crate) fn batch(events: &[InputEvent]) -> Result<usize, LogsError> {
    const MEMBER: &str = "logEvents";
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Err(violates(MEMBER, "[]", "have length greater than or equal to 1"));
    };
    if events.len() > MOST_EVENTS {
        return Err(violates(
            MEMBER,
            "[…]",
            &format!("have length less than or equal to {MOST_EVENTS}"),
        ));
    }
    let mut bytes = 0;
    for event in events {
        if event.message.is_empty() {
            return Err(violates(MEMBER, "", "have length greater than or equal to 1"));
        }
        if event.timestamp < Timestamp::EPOCH {
            let millis = event.timestamp.as_millis().to_string();
            return Err(violates(MEMBER, &millis, "have value greater than or equal to 0"));
        }
        let cost = cost(&event.message);
        if cost > MOST_BYTES {
            return Err(LogsError::invalid(
                MEMBER,
                format!("Log event too large: {cost} bytes exceeds limit of {MOST_BYTES}"),
            ));
        }
        bytes += cost;
    }
    if bytes > MOST_BYTES {
        return Err(LogsError::invalid(
            MEMBER,
            format!("Upload too large: {bytes} bytes exceeds limit of {MOST_BYTES}"),
        ));
    }
    if events.windows(2).any(|pair| matches!(pair, [a, b] if a.timestamp > b.timestamp)) {
        return Err(LogsError::invalid(
            MEMBER,
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    if last.timestamp.since(first.timestamp) > DAY {
        return Err(LogsError::invalid(
            MEMBER,
            "The batch of log events in a single PutLogEvents request cannot span more than 24 \
             hours.",
        ));
    }
    Ok(bytes)
}

/// Which events of a batch in order are taken, and which are not.
pub(crate) fn window(
    events: &[InputEvent],
    now: Timestamp,
    retention_days: Option<u32>,
) -> (Range<usize>, Option<Rejected>) {
    let before = |bound: Timestamp| {
        Some(events.partition_point(|event| event.timestamp < bound)).filter(|end| *end > 0)
    };
    let too_old_end = before(now - TOO_OLD);
    let expired_end = retention_days.and_then(|days| before(retention_start(now, days)));
    let new = events.partition_point(|event| event.timestamp <= now + TOO_NEW);
    let too_new_start = (new < events.len()).then_some(new);
    let start = too_old_end.max(expired_end).unwrap_or(0);
    let rejected = Rejected { too_new_start, too_old_end, expired_end };
    (start..new.max(start), (rejected != Rejected::default()).then_some(rejected))
}
