//! Events of one's own, and the bus that takes them.
//! <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>

use aws::Error;
use aws::events::*;
use events::{Envelope, Event};
use model::{Realm, State};
use serde_json::Value;
use stdx::{Entropy, Timestamp};

use super::errors::{default_bus, failed, invalid, not_built, page};
use super::rules::pattern;
use crate::door::Door;

/// The most bytes of the entries of a call.
const MOST_BYTES: usize = 1024 * 1024;

pub(super) async fn put(
    door: &Door,
    request: PutEventsRequest,
) -> Result<PutEventsResponse, Error> {
    if request.endpoint_id.is_some_and(|id| !id.is_empty()) {
        return Err(not_built("EndpointId", "global endpoints are"));
    }
    let entries = request.entries.unwrap_or_default();
    if entries.iter().map(size).sum::<usize>() > MOST_BYTES {
        return Err(invalid("Total size of the entries in the request is over the limit."));
    }
    let (state, now) = (door.snapshot(), door.now());
    let read: Vec<Result<Event, PutEventsResultEntry>> =
        entries.into_iter().map(|entry| event(&state, entry, now)).collect();
    let events: Vec<Event> = read.iter().filter_map(|read| read.clone().ok()).collect();
    door.config().bus.publish(&events, Vec::new()).await.map_err(|error| {
        tracing::error!(error = stdx::chain(&error), "events were not published");
        failed()
    })?;
    let refused = read.iter().filter(|read| read.is_err()).count();
    let entries = read.into_iter().map(|read| match read {
        Ok(event) => PutEventsResultEntry { event_id: Some(event.id), ..Default::default() },
        Err(entry) => entry,
    });
    Ok(PutEventsResponse {
        entries: Some(entries.collect()),
        failed_entry_count: Some(i32::try_from(refused).unwrap_or(i32::MAX)),
    })
}

/// What an entry costs, as AWS counts it.
fn size(entry: &PutEventsRequestEntry) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let time = entry.time.map_or(0, |_| 14);
    let resources: usize = entry.resources.iter().flatten().map(String::len).sum();
    time + text(&entry.source) + text(&entry.detail_type) + text(&entry.detail) + resources
}

fn event(
    state: &State,
    entry: PutEventsRequestEntry,
    now: Timestamp,
) -> Result<Event, PutEventsResultEntry> {
    let refuse = |code: &str, message: String| {
        Err(PutEventsResultEntry {
            error_code: Some(code.to_owned()),
            error_message: Some(message),
            event_id: None,
        })
    };
    for (member, text) in
        [("Source", &entry.source), ("DetailType", &entry.detail_type), ("Detail", &entry.detail)]
    {
        if text.as_deref().is_none_or(str::is_empty) {
            let why = format!(
                "Parameter {member} is not valid. Reason: {member} is a required argument."
            );
            return refuse("InvalidArgument", why);
        }
    }
    if let Err(error) = default_bus(state, entry.event_bus_name.as_ref()) {
        return refuse("ResourceNotFoundException", error.message);
    }
    let source = entry.source.unwrap_or_default();
    if source.starts_with("aws.") {
        return refuse(
            "NotAuthorizedForSourceException",
            "Not authorized for the source.".to_owned(),
        );
    }
    let detail = serde_json::from_str::<Value>(entry.detail.as_deref().unwrap_or_default());
    let Some(detail) = detail.ok().filter(Value::is_object) else {
        return refuse("MalformedDetail", "Detail is malformed.".to_owned());
    };
    let Realm { account, region, .. } = state.realm();
    let envelope = Envelope {
        id: shell::OsEntropy.uuid(),
        detail_type: entry.detail_type.as_deref().unwrap_or_default(),
        source: &source,
        account,
        region,
        time: entry.time.unwrap_or(now),
        resources: entry.resources.unwrap_or_default(),
    };
    Ok(envelope.with(detail))
}

pub(super) fn test(
    _: &State,
    request: &TestEventPatternRequest,
) -> Result<TestEventPatternResponse, Error> {
    let pattern = pattern(request.event_pattern.as_deref().unwrap_or_default())?;
    let event: Value = serde_json::from_str(request.event.as_deref().unwrap_or_default())
        .map_err(|error| invalid(format!("Parameter Event is not valid. Reason: {error}.")))?;
    for member in
        ["id", "detail-type", "source", "account", "time", "region", "resources", "detail"]
    {
        if event.get(member).is_none() {
            return Err(invalid(format!(
                "Parameter Event is not valid. Reason: the event has no member {member}."
            )));
        }
    }
    Ok(TestEventPatternResponse { result: Some(pattern.matches(&event)) })
}

pub(super) fn describe_bus(
    state: &State,
    request: &DescribeEventBusRequest,
) -> Result<DescribeEventBusResponse, Error> {
    default_bus(state, request.name.as_ref())?;
    Ok(DescribeEventBusResponse {
        arn: Some(state.realm().event_bus()),
        name: Some("default".to_owned()),
        ..DescribeEventBusResponse::default()
    })
}

pub(super) fn list_buses(
    state: &State,
    request: &ListEventBusesRequest,
) -> Result<ListEventBusesResponse, Error> {
    let prefix = request.name_prefix.as_deref().unwrap_or_default();
    let bus = EventBus {
        arn: Some(state.realm().event_bus()),
        name: Some("default".to_owned()),
        ..EventBus::default()
    };
    let all = "default".starts_with(prefix).then(|| ("default".to_owned(), bus));
    let entries = all.into_iter().collect();
    let (buses, next_token) =
        page("ListEventBuses", request.next_token.as_ref(), request.limit, entries)?;
    Ok(ListEventBusesResponse { event_buses: Some(buses), next_token })
}
