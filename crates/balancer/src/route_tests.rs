//! Conditions by table, and the index beside the plain search by property.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::{Action, QueryPattern, RuleId};

fn rule(priority: u32, conditions: Vec<Condition>) -> Arc<Rule> {
    let action = Action::Fixed { status: 200, content_type: None, body: String::new() };
    Arc::new(Rule { id: RuleId::from(format!("r{priority}")), priority, conditions, action })
}

fn glob(text: &str) -> Vec<Pattern> {
    vec![Pattern::Wildcard(text.to_owned())]
}

fn query(key: Option<&str>, value: &str) -> Condition {
    Condition::Query(vec![QueryPattern { key: key.map(str::to_owned), value: value.to_owned() }])
}

#[test]
fn each_condition_looks_at_its_part_of_the_request() {
    let mut headers = HeaderMap::new();
    headers.append("user-agent", "curl/8".parse().unwrap());
    headers.append("x-two", "one".parse().unwrap());
    headers.append("x-two", "Two".parse().unwrap());
    let facts = Facts {
        host: "shop.example.com",
        path: "/a/b",
        query: Some("version=V1&flag&x=*"),
        method: "GET",
        headers: &headers,
        source: Ipv4Addr::new(10, 1, 2, 3).into(),
    };
    let header = |name: &str, text| Condition::Header { name: name.to_owned(), values: glob(text) };
    for (condition, holds) in [
        (Condition::Host(glob("*.EXAMPLE.com")), true),
        (Condition::Host(glob("example.com")), false),
        (Condition::Path(glob("/a/*")), true),
        (Condition::Path(glob("/A/*")), false),
        (Condition::Path(vec![Pattern::Regex("^/a/[a-c]$".to_owned())]), true),
        (header("User-Agent", "CURL*"), true),
        (header("x-two", "two"), true),
        (header("x-three", "*"), false),
        (header("not a name", "*"), false),
        (Condition::Method(vec!["POST".to_owned(), "GET".to_owned()]), true),
        (Condition::Method(vec!["get".to_owned()]), false),
        (query(Some("VERSION"), "v?"), true),
        (query(None, "v1"), true),
        (query(Some("flag"), ""), true),
        (query(Some("x"), r"\*"), true),
        (query(Some("version"), "2"), false),
        (Condition::SourceIp(vec!["10.0.0.0/8".parse().unwrap()]), true),
        (Condition::SourceIp(vec!["10.1.2.4/32".parse().unwrap(), "::/0".parse().unwrap()]), false),
    ] {
        assert_eq!(Check::new(&condition).holds(&facts), holds, "{condition:?}");
    }
}

#[test]
fn ranges_are_read_and_compared() {
    for wrong in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129", ""] {
        assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
    }
    let all: Cidr = "0.0.0.0/0".parse().unwrap();
    assert!(all.contains(Ipv4Addr::new(255, 1, 1, 1).into()));
    assert!(all.contains(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()));
    let six: Cidr = "2001:db8::/32".parse().unwrap();
    assert!(six.contains("2001:db8:1::1".parse().unwrap()));
    assert!(!six.contains("2001:db9::1".parse().unwrap()));
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let host = prop::sample::select(vec!["a.x", "b.x", "*.x", "A.x", "?.x"]);
    let path = prop::sample::select(vec!["/", "/s", "/s/*", "/s*", "/t/u", "*", "/*/u"]);
    (prop::option::of(host), prop::option::of(path)).prop_map(|(host, path)| {
        let host = host.map(|text| Condition::Host(glob(text)));
        let path = path.map(|text| Condition::Path(glob(text)));
        host.into_iter().chain(path).collect()
    })
}

fn rules() -> impl Strategy<Value = Vec<Arc<Rule>>> {
    prop::collection::btree_map(1_u32..40, conditions(), 0..12).prop_map(|rules| {
        rules.into_iter().map(|(priority, conditions)| rule(priority, conditions)).collect()
    })
}

proptest! {
    #[test]
    fn the_index_finds_what_the_list_has_and_an_update_equals_a_new_start(
        before in rules(),
        after in rules(),
        host in prop::sample::select(vec!["a.x", "b.x", "c.x", "y"]),
        path in prop::sample::select(vec!["/", "/s", "/s/1", "/sx", "/t/u", "/t", "*"]),
    ) {
        // Some rules stay by pointer, as they do when one of many changes.
        let mut after = after;
        for (index, kept) in before.iter().enumerate() {
            if index % 2 == 0 {
                after.retain(|rule| rule.priority != kept.priority);
                after.push(Arc::clone(kept));
            }
        }
        let (first, _) = Router::default().updated(&before, |rule| rule.priority);
        let (router, changed) = first.updated(&after, |rule| rule.priority);
        let headers = HeaderMap::new();
        let facts =
            Facts { host, path, query: None, method: "GET", headers: &headers, source: Ipv4Addr::LOCALHOST.into() };
        let mut sorted = after.clone();
        sorted.sort_by_key(|rule| rule.priority);
        let expected = sorted.iter().find(|rule| rule.conditions.iter().all(|c| Check::new(c).holds(&facts)));
        let found = router.find(&facts).0;
        prop_assert_eq!(found.map(|ready| ready.action), expected.map(|rule| rule.priority));
        prop_assert_eq!(router.updated(&after, |rule| rule.priority).1, 0);
        prop_assert!(changed <= before.len() + after.len());
    }
}
