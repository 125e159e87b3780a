//! Log groups, streams and events as CloudWatch Logs shows them. Its instants are milliseconds.

use aws::logs::{
    EntityRejectionErrorType, FilteredLogEvent, LogGroup as WireGroup, LogGroupClass,
    LogStream as WireStream, OutputLogEvent, PutLogEventsResponse, RejectedEntityInfo,
    RejectedLogEventsInfo,
};
use telemetry::{FilteredEvent, LogGroup, LogStream, OutputEvent, PutOutcome};

/// A log group.
pub(crate) fn group(group: LogGroup) -> WireGroup {
    WireGroup {
        creation_time: Some(group.created.as_millis()),
        arn: Some(format!("{}:*", group.arn)),
        log_group_arn: Some(group.arn),
        log_group_name: Some(group.name),
        log_group_class: Some(LogGroupClass::Standard),
        metric_filter_count: Some(0),
        retention_in_days: group.retention_days.map(crate::view::count),
        stored_bytes: Some(i64::try_from(group.stored_bytes).unwrap_or(i64::MAX)),
        deletion_protection_enabled: Some(false),
        ..WireGroup::default()
    }
}

/// A log stream.
pub(crate) fn stream(stream: LogStream) -> WireStream {
    let millis = |instant: stdx::Timestamp| instant.as_millis();
    WireStream {
        creation_time: Some(stream.created.as_millis()),
        arn: Some(stream.arn),
        log_stream_name: Some(stream.name),
        first_event_timestamp: stream.first_event.map(millis),
        last_event_timestamp: stream.last_event.map(millis),
        last_ingestion_time: stream.last_ingestion.map(millis),
        stored_bytes: Some(i64::try_from(stream.stored_bytes).unwrap_or(i64::MAX)),
        upload_sequence_token: Some(stream.upload_sequence_token),
    }
}

/// An event of a stream.
pub(crate) fn event(event: OutputEvent) -> OutputLogEvent {
    OutputLogEvent {
        timestamp: Some(event.timestamp.as_millis()),
        ingestion_time: Some(event.ingested.as_millis()),
        message: Some(event.message),
    }
}

/// An event that was found.
pub(crate) fn found(found: FilteredEvent) -> FilteredLogEvent {
    FilteredLogEvent {
        log_stream_name: Some(found.stream),
        event_id: Some(found.id),
        timestamp: Some(found.event.timestamp.as_millis()),
        ingestion_time: Some(found.event.ingested.as_millis()),
        message: Some(found.event.message),
    }
}

/// What became of a batch, which came with an entity or without.
pub(crate) fn put(outcome: &PutOutcome, entity: bool) -> PutLogEventsResponse {
    let index = |at: Option<usize>| at.map(crate::view::count);
    PutLogEventsResponse {
        next_sequence_token: Some(outcome.next_sequence_token.clone()),
        rejected_entity_info: entity.then_some(RejectedEntityInfo {
            error_type: Some(EntityRejectionErrorType::UnsupportedLogGroupType),
        }),
        rejected_log_events_info: outcome.rejected.map(|rejected| RejectedLogEventsInfo {
            too_new_log_event_start_index: index(rejected.too_new_start),
            too_old_log_event_end_index: index(rejected.too_old_end),
            expired_log_event_end_index: index(rejected.expired_end),
        }),
    }
}
