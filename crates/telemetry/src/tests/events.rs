//! Storing and reading events of one stream.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{after, event, with_streams};
use crate::types::GroupRecord;
use crate::{EventPage, GetQuery, InputEvent, LogsError, Rejected};

fn messages(page: &EventPage) -> String {
    page.events.iter().map(|event| event.message.as_str()).collect::<Vec<_>>().join(" ")
}

fn from(token: &str, limit: i64) -> GetQuery {
    GetQuery { next_token: Some(token.to_owned()), limit: Some(limit), ..GetQuery::default() }
}

#[tokio::test]
async fn pages_lead_forward_and_backward_and_end_with_the_same_token() {
    let logs = with_streams(&["s"]).await.logs;
    let events = (0..10).map(|n| event(n / 3, &n.to_string())).collect();
    logs.put_events("g", "s", events).await.unwrap();
    let get = |query| {
        let logs = logs.clone();
        async move { logs.get_events("g", "s", query).await.unwrap() }
    };
    let latest = get(GetQuery { limit: Some(4), ..GetQuery::default() }).await;
    assert_eq!(messages(&latest), "6 7 8 9", "without a token the latest page, in order");
    let before = get(from(&latest.backward_token, 4)).await;
    assert_eq!(messages(&before), "2 3 4 5");
    let first = get(from(&before.backward_token, 4)).await;
    assert_eq!(messages(&first), "0 1");
    let none = get(from(&first.backward_token, 4)).await;
    assert_eq!((messages(&none).as_str(), &none.backward_token), ("", &first.backward_token));
    assert_eq!(messages(&get(from(&none.forward_token, 3)).await), "0 1 2");

    let head = get(GetQuery { limit: Some(7), from_head: true, ..GetQuery::default() }).await;
    assert_eq!(messages(&head), "0 1 2 3 4 5 6");
    let rest = get(from(&head.forward_token, 7)).await;
    assert_eq!(messages(&rest), "7 8 9");
    let end = get(from(&rest.forward_token, 7)).await;
    assert_eq!((messages(&end).as_str(), &end.forward_token), ("", &rest.forward_token));
    assert_eq!(messages(&get(from(&end.backward_token, 2)).await), "8 9");
    logs.put_events("g", "s", vec![event(3, "late"), event(9, "10")]).await.unwrap();
    assert_eq!(messages(&get(from(&end.forward_token, 7)).await), "late 10");

    let range = GetQuery { start: Some(after(1)), end: Some(after(2)), ..GetQuery::default() };
    assert_eq!(messages(&get(range).await), "3 4 5", "the start counts, the end does not");
    for token in ["", "x", "f/1/s", "f/-0000000000000000001000000000000000000000000000000000000/s"]
    {
        assert!(logs.get_events("g", "s", from(token, 1)).await.is_err(), "{token}");
    }
    for limit in [0, -1, 10_001] {
        let query = GetQuery { limit: Some(limit), ..GetQuery::default() };
        assert!(logs.get_events("g", "s", query).await.is_err(), "{limit}");
    }
}

#[tokio::test]
async fn a_follower_of_an_empty_stream_hears_what_comes() {
    let logs = with_streams(&["s"]).await.logs;
    let mut changes = logs.subscribe();
    for from_head in [true, false] {
        let query = GetQuery { from_head, ..GetQuery::default() };
        let empty = logs.get_events("g", "s", query).await.unwrap();
        assert!(empty.events.is_empty());
        let same = logs.get_events("g", "s", from(&empty.forward_token, 9)).await.unwrap();
        assert_eq!(same.forward_token, empty.forward_token);
    }
    let token = logs.get_events("g", "s", GetQuery::default()).await.unwrap().forward_token;
    changes.borrow_and_update();
    logs.put_events("g", "s", vec![event(0, "hello")]).await.unwrap();
    changes.changed().await.unwrap();
    let page = logs.get_events("g", "s", from(&token, 9)).await.unwrap();
    assert_eq!(messages(&page), "hello");
}

#[tokio::test]
async fn events_outside_the_window_are_rejected_by_index() {
    let store = with_streams(&["s"]).await;
    let day = 24 * 3600;
    let put = |events: Vec<InputEvent>| {
        let logs = store.logs.clone();
        async move { logs.put_events("g", "s", events).await.unwrap().rejected }
    };
    let old = vec![event(-14 * day - 2, "a"), event(-14 * day - 1, "b"), event(-14 * day, "c")];
    let rejected = Rejected { too_old_end: Some(2), ..Rejected::default() };
    assert_eq!(put(old).await, Some(rejected));
    let new = vec![event(7200, "d"), event(7201, "e"), event(7202, "f")];
    let rejected = Rejected { too_new_start: Some(1), ..Rejected::default() };
    assert_eq!(put(new).await, Some(rejected));
    assert_eq!(put(vec![event(0, "g")]).await, None);
    store.logs.put_retention("g", 1).await.unwrap();
    let expired = vec![event(-day - 1, "h"), event(-day, "i")];
    let rejected = Rejected { expired_end: Some(1), ..Rejected::default() };
    assert_eq!(put(expired).await, Some(rejected));
    let all = vec![event(-20 * day, "j")];
    let rejected = Rejected { expired_end: Some(1), too_old_end: Some(1), ..Rejected::default() };
    assert_eq!(put(all).await, Some(rejected));
    let page = store.logs.get_events("g", "s", GetQuery::default()).await.unwrap();
    assert_eq!(messages(&page), "c i g d");
    // What time it is, the clock says.
    store.clock.advance(Duration::from_secs(10));
    assert_eq!(put(vec![event(7201, "k")]).await, None);
}

#[tokio::test]
async fn batches_that_break_a_limit_are_refused_whole() {
    let logs = with_streams(&["s"]).await.logs;
    let full = |size: usize, count: usize| vec![event(0, &"x".repeat(size)); count];
    let cases: Vec<(Vec<InputEvent>, &str)> = vec![
        (vec![], "length greater than or equal to 1"),
        (vec![event(0, "")], "length greater than or equal to 1"),
        (vec![event(1, "b"), event(0, "a")], "chronological order"),
        (vec![event(-86_401, "a"), event(0, "b")], "cannot span more than 24 hours"),
        (vec![event(0, "x"); 10_001], "length less than or equal to 10000"),
        (full(1_048_576 - 25, 1), "Log event too large: 1048577 bytes exceeds limit of 1048576"),
        (
            full(524_262, 2).into_iter().chain([event(0, "y")]).collect(),
            "Upload too large: 1048603",
        ),
    ];
    for (events, says) in cases {
        let error = logs.put_events("g", "s", events).await.unwrap_err();
        assert_eq!(error.code(), "InvalidParameterException");
        assert!(error.to_string().contains(says), "{error}");
    }
    for allowed in [full(1_048_576 - 26, 1), full(524_262, 2), vec![event(0, "x"); 10_000]] {
        logs.put_events("g", "s", allowed).await.unwrap();
    }
    let span = vec![event(-86_400, "a"), event(0, "b")];
    logs.put_events("g", "s", span).await.unwrap();
    let head = GetQuery { from_head: true, ..GetQuery::default() };
    let page = logs.get_events("g", "s", head).await.unwrap();
    assert_eq!(page.events.len(), 1, "a page ends before it is larger than 1 MiB");
    let page = logs.get_events("g", "s", from(&page.forward_token, 10_000)).await.unwrap();
    assert_eq!(page.events.len(), 1, "one event of that size fills it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_lose_nothing_and_keep_their_order() {
    let store = with_streams(&["a", "b", "c", "d"]).await;
    let writers = (0..64).map(|writer| {
        let logs = store.logs.clone();
        let stream = ["a", "b", "c", "d"][writer % 4];
        tokio::spawn(async move {
            for n in 0..20 {
                logs.put_events("g", stream, vec![event(n, &format!("{writer}:{n}"))])
                    .await
                    .unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    for (index, stream) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let page = store.logs.get_events("g", stream, GetQuery::default()).await.unwrap();
        assert_eq!(page.events.len(), 16 * 20);
        assert!(page.events.is_sorted_by_key(|event| event.timestamp));
        for writer in (0..64).filter(|writer| writer % 4 == index) {
            let prefix = format!("{writer}:");
            let seen: Vec<_> =
                page.events.iter().filter_map(|e| e.message.strip_prefix(&prefix)).collect();
            assert_eq!(seen, (0..20).map(|n: i32| n.to_string()).collect::<Vec<_>>());
        }
    }
    let groups = store.logs.describe_groups(None, None, None, None).await.unwrap();
    let bytes: usize =
        (0..64).flat_map(|w| (0..20).map(move |n| format!("{w}:{n}").len() + 26)).sum();
    assert_eq!(groups.items[0].stored_bytes, bytes as u64);
}

#[tokio::test]
async fn a_failed_transaction_leaves_nothing_and_the_next_one_works() {
    let store = with_streams(&["s"]).await;
    let logs = &store.logs;
    let half_done = logs
        .write(1, |tables| {
            let record = GroupRecord {
                id: 99,
                created: after(0),
                retention_days: None,
                tags: BTreeMap::new(),
            };
            tables.put_group("half", &record)?;
            Err::<(), _>(LogsError::Damaged("a record".to_owned()))
        })
        .await;
    assert_eq!(half_done.unwrap_err().code(), "ServiceUnavailableException");
    logs.put_events("g", "s", vec![event(0, "hello")]).await.unwrap();
    let groups = logs.describe_groups(None, None, None, None).await.unwrap();
    assert_eq!(groups.items.len(), 1, "what was half done is taken back");

    // The one that stops the writer is told so, and so is everybody after it.
    let panicked = logs.write(1, |_| -> Result<(), LogsError> { panic!("a defect") }).await;
    assert!(matches!(panicked, Err(LogsError::Closed)));
    let after = logs.put_events("g", "s", vec![event(0, "more")]).await;
    assert!(matches!(after, Err(LogsError::Closed)));
    assert_eq!(messages(&logs.get_events("g", "s", GetQuery::default()).await.unwrap()), "hello");
}
