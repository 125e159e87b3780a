//! `FilterLogEvents` across streams, held to a naive search.

use proptest::prelude::*;

use super::{after, event, with_streams};
use crate::{FilterQuery, FilteredPage, Logs};

async fn all(logs: &Logs, query: FilterQuery) -> Vec<(String, String)> {
    let (mut found, mut query) = (Vec::new(), query);
    let mut ids = Vec::new();
    loop {
        let page: FilteredPage = logs.filter_events("g", query.clone()).await.unwrap();
        for event in page.events {
            ids.push(event.id);
            found.push((event.stream, event.event.message));
        }
        query.next_token = page.next_token;
        if query.next_token.is_none() {
            assert!(ids.is_sorted_by(|a, b| a < b), "ids grow");
            return found;
        }
    }
}

fn said(found: Vec<(String, String)>) -> String {
    let words: Vec<_> =
        found.into_iter().map(|(stream, text)| format!("{stream}:{text}")).collect();
    words.join(" ")
}

#[tokio::test]
async fn streams_are_merged_by_time_and_narrowed() {
    let logs = with_streams(&["web/1", "web/2", "db", "idle"]).await.logs;
    logs.put_events("g", "web/1", vec![event(0, "ok"), event(2, "err"), event(4, "ok")])
        .await
        .unwrap();
    logs.put_events("g", "web/2", vec![event(1, "ok"), event(2, "err")]).await.unwrap();
    logs.put_events("g", "db", vec![event(3, "err")]).await.unwrap();
    let base = FilterQuery::default;
    let everything = "web/1:ok web/2:ok web/1:err web/2:err db:err web/1:ok";
    for limit in [1, 2, 3, 10_000] {
        assert_eq!(
            said(all(&logs, FilterQuery { limit: Some(limit), ..base() }).await),
            everything
        );
        let errors = FilterQuery { limit: Some(limit), pattern: Some("err".into()), ..base() };
        assert_eq!(said(all(&logs, errors).await), "web/1:err web/2:err db:err");
    }
    let web = FilterQuery { stream_prefix: Some("web/".into()), ..base() };
    assert_eq!(said(all(&logs, web).await), "web/1:ok web/2:ok web/1:err web/2:err web/1:ok");
    let named = FilterQuery { streams: vec!["db".into(), "web/2".into(), "db".into()], ..base() };
    assert_eq!(said(all(&logs, named).await), "web/2:ok web/2:err db:err");
    let ranged = FilterQuery { start: Some(after(2)), end: Some(after(3)), ..base() };
    assert_eq!(said(all(&logs, ranged).await), "web/1:err web/2:err db:err");
    for wrong in [
        FilterQuery { streams: vec!["db".into()], stream_prefix: Some("d".into()), ..base() },
        FilterQuery { streams: vec!["none".into()], ..base() },
        FilterQuery { start: Some(after(3)), end: Some(after(2)), ..base() },
        FilterQuery { limit: Some(0), ..base() },
        FilterQuery { limit: Some(10_001), ..base() },
        FilterQuery { next_token: Some("1".into()), ..base() },
        FilterQuery { pattern: Some("{ nonsense }".into()), ..base() },
    ] {
        assert!(logs.filter_events("g", wrong.clone()).await.is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_long_search_for_nothing_goes_on_by_token() {
    let logs = with_streams(&["s"]).await.logs;
    for round in 0..11 {
        let batch = (0..10_000).map(|_| event(round, "dull")).collect();
        logs.put_events("g", "s", batch).await.unwrap();
    }
    logs.put_events("g", "s", vec![event(60, "needle")]).await.unwrap();
    let query = FilterQuery { pattern: Some("needle".into()), ..FilterQuery::default() };
    let first = logs.filter_events("g", query.clone()).await.unwrap();
    assert!(first.events.is_empty() && first.next_token.is_some());
    let second = FilterQuery { next_token: first.next_token, ..query };
    assert_eq!(said(all(&logs, second).await), "s:needle");
}

#[tokio::test]
async fn a_page_of_large_events_ends_before_a_mebibyte() {
    let logs = with_streams(&["s", "t"]).await.logs;
    for n in 0..4 {
        let stream = if n % 2 == 0 { "s" } else { "t" };
        let large = format!("{n}{}", "x".repeat(600_000));
        logs.put_events("g", stream, vec![event(n, &large)]).await.unwrap();
    }
    let page = logs.filter_events("g", FilterQuery::default()).await.unwrap();
    assert_eq!(page.events.len(), 1);
    let found = all(&logs, FilterQuery::default()).await;
    let firsts: String = found.iter().filter_map(|(_, text)| text.chars().next()).collect();
    assert_eq!(firsts, "0123");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_page_size_finds_what_a_naive_search_finds(
        events in prop::collection::vec((0usize..3, 0i64..6, "[ab]{1,2}"), 0..40),
        limit in 1i64..6,
        start in 0i64..6,
        length in 0i64..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let names = ["s0", "s1", "s2"];
            let logs = with_streams(&names).await.logs;
            let mut naive = Vec::new();
            for (order, (stream, seconds, text)) in events.iter().enumerate() {
                logs.put_events("g", names[*stream], vec![event(*seconds, text)]).await.unwrap();
                if (start..=start + length).contains(seconds) && text.contains('a') {
                    naive.push((*seconds, *stream, order, text.clone()));
                }
            }
            naive.sort();
            let query = FilterQuery {
                pattern: Some("a".to_owned()),
                start: Some(after(start)),
                end: Some(after(start + length)),
                limit: Some(limit),
                ..FilterQuery::default()
            };
            let found = all(&logs, query).await;
            let naive: Vec<_> =
                naive.into_iter().map(|(_, s, _, text)| (names[s].to_owned(), text)).collect();
            assert_eq!(found, naive);
        });
    }
}
