//! Lists by pages: whatever stands in the books and whatever comes and goes between two pages, what is
//! there all the while is listed once, in order.

use serde_json::{Value, json};
use stdx::{Entropy, SeededEntropy};

use super::bench::Bench;

/// The lists, each with the member that it answers in and filters that leave some out.
const LISTS: &[(&str, &str, &str)] = &[
    ("ListClusters", "clusterArns", "{}"),
    ("ListTaskDefinitions", "taskDefinitionArns", "{}"),
    ("ListTaskDefinitions", "taskDefinitionArns", r#"{"sort": "DESC"}"#),
    ("ListTaskDefinitions", "taskDefinitionArns", r#"{"status": "INACTIVE"}"#),
    ("ListTaskDefinitions", "taskDefinitionArns", r#"{"familyPrefix": "f1", "sort": "DESC"}"#),
    ("ListTaskDefinitionFamilies", "families", r#"{"familyPrefix": "f"}"#),
    ("ListTaskDefinitionFamilies", "families", r#"{"status": "ACTIVE"}"#),
    ("ListServices", "serviceArns", "{}"),
    ("ListServices", "serviceArns", r#"{"launchType": "EC2", "schedulingStrategy": "REPLICA"}"#),
    ("ListTasks", "taskArns", "{}"),
    ("ListTasks", "taskArns", r#"{"family": "f1"}"#),
    ("ListTasks", "taskArns", r#"{"startedBy": "odd"}"#),
    ("ListTasks", "taskArns", r#"{"desiredStatus": "STOPPED", "launchType": "EC2"}"#),
    ("ListContainerInstances", "containerInstanceArns", r#"{"filter": "runningTasksCount == 0"}"#),
    ("ListAttributes", "attributes", r#"{"targetType": "container-instance"}"#),
    ("ListAccountSettings", "settings", r#"{"effectiveSettings": true}"#),
];

/// The most that a page of a list may have.
fn most(operation: &str) -> u32 {
    if operation == "ListAccountSettings" { 10 } else { 100 }
}

fn below(chance: &mut SeededEntropy, n: u32) -> u32 {
    u32::try_from(chance.below(u64::from(n))).unwrap()
}

/// Something comes, or something goes.
async fn stir(bench: &Bench, chance: &mut SeededEntropy) {
    let (n, family) = (below(chance, 30), format!("f{}", below(chance, 4)));
    let (operation, body) = match below(chance, 9) {
        0 => ("CreateCluster", json!({"clusterName": format!("c{n}")})),
        1 => ("DeleteCluster", json!({"cluster": format!("c{n}")})),
        2 => {
            bench.with_definition(&family).await;
            return;
        }
        3 => (
            "DeregisterTaskDefinition",
            json!({"taskDefinition": format!("{family}:{}", n % 5 + 1)}),
        ),
        4 => (
            "CreateService",
            json!({"serviceName": format!("s{n}"), "taskDefinition": family, "desiredCount": 0}),
        ),
        5 => ("DeleteService", json!({"service": format!("s{n}")})),
        6 | 7 => {
            let by = if n % 2 == 0 { "even" } else { "odd" };
            ("RunTask", json!({"taskDefinition": family, "startedBy": by}))
        }
        _ => {
            let list = bench.ecs("ListTasks", json!({})).await.ok();
            let Some(task) = list["taskArns"].as_array().and_then(|all| all.first()) else {
                return;
            };
            ("StopTask", json!({"task": task}))
        }
    };
    // Some are refused, for there is no such thing (any more): that is a change less.
    bench.ecs(operation, body).await;
}

/// A list by pages of the sizes that chance says.
struct Read {
    /// Every entry, as it came.
    found: Vec<Value>,
    /// Those that were there at every moment meanwhile.
    stayed: Vec<Value>,
}

/// Reads a list by pages; with `stirs` something changes after each.
async fn by_pages(
    bench: &Bench,
    list: (&str, &str, &str),
    chance: &mut SeededEntropy,
    stirs: bool,
) -> Read {
    let (operation, member, filters) = list;
    let mut read = Read { found: Vec::new(), stayed: whole(bench, list).await };
    let mut token = Value::Null;
    loop {
        let mut body: Value = serde_json::from_str(filters).unwrap();
        let size = below(chance, 4) + 1;
        body["maxResults"] = json!(size);
        body["nextToken"] = token;
        let page = bench.ecs(operation, body).await.ok();
        let entries = page[member].as_array().unwrap();
        assert!(entries.len() <= usize::try_from(size).unwrap(), "{operation}: {entries:?}");
        read.found.extend(entries.iter().cloned());
        token = page["nextToken"].clone();
        if token.is_null() {
            return read;
        }
        if stirs {
            stir(bench, chance).await;
            let now = whole(bench, list).await;
            read.stayed.retain(|entry| now.contains(entry));
        }
    }
}

async fn whole(bench: &Bench, (operation, member, filters): (&str, &str, &str)) -> Vec<Value> {
    let mut body: Value = serde_json::from_str(filters).unwrap();
    body["maxResults"] = json!(most(operation));
    let page = bench.ecs(operation, body).await.ok();
    assert!(page["nextToken"].is_null(), "{operation}: the book is larger than a page");
    page[member].as_array().unwrap().clone()
}

#[tokio::test]
async fn pages_join_into_the_whole_list() {
    for seed in 0..6 {
        let bench = Bench::new();
        let mut chance = SeededEntropy::new(seed);
        bench.with_node().await;
        bench.with_definition("f1").await;
        for _ in 0..60 {
            stir(&bench, &mut chance).await;
        }
        for list in LISTS {
            let read = by_pages(&bench, *list, &mut chance, false).await;
            assert_eq!(read.found, read.stayed, "seed {seed}, {list:?}");
        }
        for list in LISTS {
            let Read { mut found, stayed } = by_pages(&bench, *list, &mut chance, true).await;
            found.retain(|entry| stayed.contains(entry));
            assert_eq!(found, stayed, "seed {seed}, {list:?}: each once, in order");
        }
    }
}

#[tokio::test]
async fn a_token_belongs_to_its_question() {
    let bench = Bench::new();
    bench.with_node().await;
    for family in ["a", "b", "c"] {
        bench.with_definition(family).await;
    }
    let first = bench.ecs("ListTaskDefinitions", json!({"maxResults": 1})).await.ok();
    let token = &first["nextToken"];
    for (operation, other) in [
        ("ListTaskDefinitions", json!({"nextToken": token, "sort": "DESC"})),
        ("ListTaskDefinitions", json!({"nextToken": token, "status": "INACTIVE"})),
        ("ListTaskDefinitionFamilies", json!({"nextToken": token})),
    ] {
        let (code, message) = bench.ecs(operation, other).await.error();
        assert_eq!(
            (code.as_str(), message.as_str()),
            ("InvalidParameterException", "Invalid token.")
        );
    }
    let rest = bench.ecs("ListTaskDefinitions", json!({"nextToken": token})).await.ok();
    assert_eq!(rest["taskDefinitionArns"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn filters_of_tasks_that_do_not_go_together_are_refused() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    for (body, sentence) in [
        (json!({"startedBy": "me", "family": "f"}), "startedBy"),
        (json!({"startedBy": "me", "serviceName": "s"}), "startedBy"),
        (json!({"startedBy": "me", "containerInstance": node}), "startedBy"),
        (json!({"startedBy": "me", "launchType": "EC2"}), "startedBy"),
        (json!({"serviceName": "s", "family": "f"}), "serviceName"),
        (json!({"serviceName": "s", "containerInstance": node}), "serviceName"),
    ] {
        let (code, message) = bench.ecs("ListTasks", body.clone()).await.error();
        assert_eq!(code, "InvalidParameterException", "{body}");
        assert_eq!(message, format!("cannot specify {sentence} with other arguments"), "{body}");
    }
    for body in [
        json!({"startedBy": "me", "desiredStatus": "RUNNING"}),
        json!({"family": "f", "containerInstance": node, "launchType": "EC2"}),
    ] {
        bench.ecs("ListTasks", body).await.ok();
    }
}
