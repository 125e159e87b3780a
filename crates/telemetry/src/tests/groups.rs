//! Groups and streams: their life, their descriptions, their refusals.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{NOW, after, event, open_at, store, with_streams};
use crate::{LogsError, RETENTION_DAYS, StreamOrder, StreamQuery};

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_group_lives_and_is_still_there_after_a_restart() {
    let store = store();
    let logs = &store.logs;
    logs.create_group("/ecs/web", tags(&[("team", "a")])).await.unwrap();
    let error = logs.create_group("/ecs/web", BTreeMap::new()).await.unwrap_err();
    assert_eq!(error.code(), "ResourceAlreadyExistsException");
    assert_eq!(error.to_string(), "The specified log group already exists");

    logs.put_retention("/ecs/web", 7).await.unwrap();
    logs.tag_group("/ecs/web", tags(&[("team", "b"), ("x", "y")])).await.unwrap();
    logs.untag_group("/ecs/web", vec!["x".to_owned(), "none".to_owned()]).await.unwrap();
    logs.create_stream("/ecs/web", "s").await.unwrap();
    logs.put_events("/ecs/web", "s", vec![event(0, "hello")]).await.unwrap();
    let super::Store { logs, clock, dir } = store;
    drop(logs);

    let logs = open_at(dir.path(), &clock);
    let page = logs.describe_groups(None, None, None, None).await.unwrap();
    assert_eq!(page.next_token, None);
    let [group] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!(group.name, "/ecs/web");
    assert_eq!(group.arn, "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web");
    assert_eq!((group.created, group.retention_days, group.stored_bytes), (NOW, Some(7), 31));
    assert_eq!(logs.group_tags("/ecs/web").await.unwrap(), tags(&[("team", "b")]));

    logs.delete_retention("/ecs/web").await.unwrap();
    logs.delete_group("/ecs/web").await.unwrap();
    let error = logs.delete_group("/ecs/web").await.unwrap_err();
    assert_eq!(error.code(), "ResourceNotFoundException");
    assert_eq!(error.to_string(), "The specified log group does not exist.");
    logs.create_group("/ecs/web", BTreeMap::new()).await.unwrap();
    let streams = logs.describe_streams("/ecs/web", StreamQuery::default()).await.unwrap();
    assert!(streams.items.is_empty(), "a new group of an old name is empty");
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing() {
    let logs = with_streams(&[]).await.logs;
    let group = "The specified log group does not exist.";
    let stream = "The specified log stream does not exist.";
    let said = |error: LogsError| error.to_string();
    assert_eq!(said(logs.put_retention("none", 7).await.unwrap_err()), group);
    assert_eq!(said(logs.create_stream("none", "s").await.unwrap_err()), group);
    assert_eq!(said(logs.delete_stream("g", "s").await.unwrap_err()), stream);
    assert_eq!(said(logs.group_tags("none").await.unwrap_err()), group);
    assert_eq!(said(logs.put_events("g", "s", vec![event(0, "x")]).await.unwrap_err()), stream);
    assert_eq!(said(logs.put_events("n", "s", vec![event(0, "x")]).await.unwrap_err()), group);
    assert_eq!(said(logs.get_events("g", "s", Default::default()).await.unwrap_err()), stream);
    assert_eq!(said(logs.filter_events("n", Default::default()).await.unwrap_err()), group);
    logs.create_stream("g", "s").await.unwrap();
    let error = logs.create_stream("g", "s").await.unwrap_err();
    assert_eq!(said(error), "The specified log stream already exists");
}

#[tokio::test]
async fn names_retention_and_tags_are_checked() {
    let logs = with_streams(&[]).await.logs;
    for name in ["", "a b", "a:b", "é", "aws/x", &"a".repeat(513)] {
        let error = logs.create_group(name, BTreeMap::new()).await.unwrap_err();
        assert_eq!(error.code(), "InvalidParameterException", "{name}");
    }
    for name in ["", "a:b", "a*", &"a".repeat(513)] {
        assert!(logs.create_stream("g", name).await.is_err(), "{name}");
    }
    logs.create_stream("g", "ecs/web/é with spaces").await.unwrap();
    for days in [-1, 0, 2, 10, 3654] {
        assert!(logs.put_retention("g", days).await.is_err(), "{days}");
    }
    for days in RETENTION_DAYS {
        logs.put_retention("g", days.into()).await.unwrap();
    }
    for wrong in [tags(&[("aws:x", "y")]), tags(&[("", "y")]), tags(&[("k", &"v".repeat(257))])] {
        assert!(logs.tag_group("g", wrong).await.is_err());
    }
    let many = (0..51).map(|n| (n.to_string(), String::new())).collect();
    assert!(logs.tag_group("g", many).await.is_err());
    assert!(logs.group_tags("g").await.unwrap().is_empty(), "a refused call changes nothing");
}

#[tokio::test]
async fn groups_are_paged_in_the_order_of_names() {
    let logs = store().logs;
    for n in (0..12).rev() {
        logs.create_group(&format!("/a/{n:02}"), BTreeMap::new()).await.unwrap();
        logs.create_group(&format!("/b/{n:02}"), BTreeMap::new()).await.unwrap();
    }
    let mut names = Vec::new();
    let mut token = None;
    loop {
        let page = logs.describe_groups(Some("/b"), None, Some(5), token.as_deref()).await.unwrap();
        names.extend(page.items.into_iter().map(|group| group.name));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(names, (0..12).map(|n| format!("/b/{n:02}")).collect::<Vec<_>>());
    let page = logs.describe_groups(None, Some("/03"), None, None).await.unwrap();
    assert_eq!(page.items.len(), 2);
    let page = logs.describe_groups(Some("/a"), None, Some(12), None).await.unwrap();
    assert_eq!((page.items.len(), page.next_token), (12, None), "a full last page is the last");
    assert!(logs.describe_groups(Some("a"), Some("b"), None, None).await.is_err());
    assert!(logs.describe_groups(None, None, Some(51), None).await.is_err());
    assert!(logs.describe_groups(None, None, Some(0), None).await.is_err());
    assert!(logs.describe_groups(None, None, None, Some("nonsense")).await.is_err());
}

#[tokio::test]
async fn streams_are_paged_in_either_order_and_direction() {
    let names = ["a", "b1", "b2", "b3", "c", "d"];
    let store = with_streams(&names).await;
    let logs = &store.logs;
    logs.create_group("h", BTreeMap::new()).await.unwrap();
    logs.create_stream("h", "b9").await.unwrap();
    // The later in the alphabet, the earlier the event; `d` has none.
    for (index, name) in names.iter().enumerate().take(5) {
        let seconds = -i64::try_from(index).unwrap() * 10;
        logs.put_events("g", name, vec![event(seconds - 1, "x"), event(seconds, "y")])
            .await
            .unwrap();
    }
    let all = |query: StreamQuery| async move {
        let (mut found, mut query) = (Vec::new(), query);
        loop {
            let page = logs.describe_streams("g", query.clone()).await.unwrap();
            found.extend(page.items.into_iter().map(|stream| stream.name));
            query.next_token = page.next_token;
            if query.next_token.is_none() {
                return found.join(" ");
            }
        }
    };
    for limit in [1, 2, 3, 50] {
        let base = StreamQuery { limit: Some(limit), ..StreamQuery::default() };
        let down = StreamQuery { descending: true, ..base.clone() };
        let time = StreamQuery { order: StreamOrder::LastEventTime, ..base.clone() };
        let latest = StreamQuery { descending: true, ..time.clone() };
        let prefix = StreamQuery { prefix: Some("b".to_owned()), ..base.clone() };
        let prefix_down = StreamQuery { descending: true, ..prefix.clone() };
        assert_eq!(all(base).await, "a b1 b2 b3 c d");
        assert_eq!(all(down).await, "d c b3 b2 b1 a");
        assert_eq!(all(time).await, "d c b3 b2 b1 a");
        assert_eq!(all(latest).await, "a b1 b2 b3 c d");
        assert_eq!(all(prefix).await, "b1 b2 b3");
        assert_eq!(all(prefix_down).await, "b3 b2 b1");
    }
    let prefix = Some("b1".to_owned());
    let query = StreamQuery { prefix: prefix.clone(), ..StreamQuery::default() };
    let stream = logs.describe_streams("g", query).await.unwrap().items.remove(0);
    assert_eq!(stream.arn, "arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:b1");
    assert_eq!((stream.created, stream.last_ingestion), (NOW, Some(NOW)));
    assert_eq!((stream.first_event, stream.last_event), (Some(after(-11)), Some(after(-10))));
    assert_eq!((stream.stored_bytes, stream.upload_sequence_token.len()), (54, 56));
    let wrong = StreamQuery { prefix, order: StreamOrder::LastEventTime, ..StreamQuery::default() };
    assert!(logs.describe_streams("g", wrong).await.is_err());
}

#[tokio::test]
async fn a_sweep_takes_what_is_expired_and_what_was_deleted() {
    let store = with_streams(&["old", "gone"]).await;
    let logs = &store.logs;
    logs.create_group("deleted", BTreeMap::new()).await.unwrap();
    logs.create_stream("deleted", "s").await.unwrap();
    logs.create_group("kept", BTreeMap::new()).await.unwrap();
    logs.create_stream("kept", "s").await.unwrap();
    let many: Vec<_> = (0..6000).map(|n| event(n - 6000, "0123")).collect();
    for (group, stream) in [("g", "old"), ("g", "gone"), ("deleted", "s"), ("kept", "s")] {
        logs.put_events(group, stream, many.clone()).await.unwrap();
    }
    logs.put_retention("g", 1).await.unwrap();
    logs.delete_stream("g", "gone").await.unwrap();
    logs.delete_group("deleted").await.unwrap();
    // One day and 3000 seconds after the last event: the first half and the second are expired
    // but what is younger than a day before.
    let now = NOW + Duration::from_secs(24 * 3600 - 3000);
    let report = logs.sweep(now).await.unwrap();
    assert_eq!((report.expired, report.orphaned), (3000, 12_000));
    let page = logs.describe_groups(None, None, None, None).await.unwrap();
    let bytes: Vec<_> = page.items.iter().map(|g| (g.name.as_str(), g.stored_bytes)).collect();
    assert_eq!(bytes, [("g", 90_000), ("kept", 180_000)]);
    let streams = logs.describe_streams("g", StreamQuery::default()).await.unwrap().items;
    assert_eq!((streams[0].first_event, streams[0].stored_bytes), (Some(after(-3000)), 90_000));
    let again = logs.sweep(now).await.unwrap();
    assert_eq!((again.expired, again.orphaned), (0, 0));
    let report = logs.sweep(now + Duration::from_secs(24 * 3600)).await.unwrap();
    assert_eq!(report.expired, 3000);
    let streams = logs.describe_streams("g", StreamQuery::default()).await.unwrap().items;
    assert_eq!((streams[0].first_event, streams[0].stored_bytes), (None, 0));
}

#[test]
fn identifiers_are_names_or_arns_of_here() {
    let logs = store().logs;
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:/ecs/web";
    assert_eq!(logs.group_name("/ecs/web").unwrap(), "/ecs/web");
    assert_eq!(logs.group_name(arn).unwrap(), "/ecs/web");
    assert_eq!(logs.group_name(&format!("{arn}:*")).unwrap(), "/ecs/web");
    assert!(logs.group_name("arn:aws:logs:eu-west-1:123456789012:log-group:x").is_err());
}
