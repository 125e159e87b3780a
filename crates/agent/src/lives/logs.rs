//! `awslogs`, from a container's output to the stream.

use runtime::ContainerId;
use serde_json::json;

use super::*;

fn logging(options: Value) -> Value {
    let mut container = web();
    container["logConfiguration"] = json!({"logDriver": "awslogs", "options": options});
    json!([container])
}

impl World {
    fn events(&self, group: &str, stream: &str) -> Vec<String> {
        let heard = self.server.heard.lock().unwrap();
        heard.streams.get(&(group.to_owned(), stream.to_owned())).cloned().unwrap_or_default()
    }

    async fn arrived(&self, stream: &str, lines: &[&str]) {
        self.until("the lines arrive", || self.events("g", stream).len() >= lines.len()).await;
        assert_eq!(self.events("g", stream), lines);
    }
}

#[tokio::test]
async fn output_arrives_before_the_sandbox_goes() {
    let world = World::joined().await;
    world.run(
        "t1",
        logging(json!({"awslogs-group": "g", "awslogs-create-group": "true",
        "awslogs-stream-prefix": "p", "awslogs-region": "eu-west-1"})),
    );
    world.server.report(&arn("t1"), "RUNNING").await;
    world.containers.write("t1-0", Some("one"));
    world.containers.write("t1-0", Some("two"));
    world.arrived("p/web/t1", &["one", "two"]).await;
    world.server.heard.lock().unwrap().away = true;
    world.containers.write("t1-0", Some("last words"));
    world.containers.fake.exit(&ContainerId::new("t1-0"), 0, false);
    world
        .until("the network is taken back", || world.network.attached.lock().unwrap().is_empty())
        .await;
    world.containers.write("t1-0", None);
    assert!(!world.containers.fake.calls().contains(&"remove_sandbox t1".to_owned()));
    world.server.heard.lock().unwrap().away = false;
    world.gone("t1").await;
    assert_eq!(world.events("g", "p/web/t1"), ["one", "two", "last words"]);
}

#[tokio::test]
async fn a_group_that_is_missing_fails_the_task() {
    let world = World::joined().await;
    world.run("t1", logging(json!({"awslogs-group": "g"})));
    let report = world.server.report(&arn("t1"), "STOPPED").await;
    let reason = report["containers"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("ResourceInitializationError: failed to validate logger args"),
        "{reason}"
    );
    assert!(reason.contains("The specified log group does not exist."), "{reason}");
    let started = world.containers.fake.calls().iter().any(|c| c.starts_with("start_container"));
    assert!(!started);
}

#[tokio::test]
async fn a_new_agent_goes_on_where_the_last_one_stopped() {
    let mut world = World::joined().await;
    world.server.heard.lock().unwrap().groups.push("g".to_owned());
    world.run("t1", logging(json!({"awslogs-group": "g"})));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.containers.write("t1-0", Some("before"));
    world.arrived("t1-0", &["before"]).await;
    let record = world.dir.path().join("records/logs/t1-0.json");
    world.until("the place is recorded", || record.exists()).await;
    world.stop_agent().await.unwrap();
    world.containers.write("t1-0", Some("meanwhile"));
    world.containers.fake.exit(&ContainerId::new("t1-0"), 0, false);
    world.containers.write("t1-0", None);
    world.start_agent().await;
    world.gone("t1").await;
    assert_eq!(world.events("g", "t1-0"), ["before", "meanwhile"]);
}

#[tokio::test]
async fn what_a_node_that_was_taken_down_has_not_sent_is_sent_by_its_next_agent() {
    let mut world = World::joined().await;
    world.server.heard.lock().unwrap().groups.push("g".to_owned());
    world.run("t1", logging(json!({"awslogs-group": "g"})));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.containers.write("t1-0", Some("sent"));
    world.arrived("t1-0", &["sent"]).await;
    let record = world.dir.path().join("records/logs/t1-0.json");
    world.until("the place is recorded", || record.exists()).await;
    world.server.heard.lock().unwrap().away = true;
    world.containers.write("t1-0", Some("not sent"));
    world.stop_agent().await.unwrap();
    let runtime = Arc::clone(&world.containers) as Arc<dyn Runtime>;
    let network = Arc::clone(&world.network) as Arc<dyn Networking>;
    crate::teardown(world.dir.path(), runtime, network, Duration::ZERO).await.unwrap();
    assert!(!world.dir.path().join("output/t1-0").exists());

    world.server.heard.lock().unwrap().away = false;
    world.start_agent().await;
    world.arrived("t1-0", &["sent", "not sent"]).await;
    let unsent = world.dir.path().join("unsent");
    world.until("nothing is left", || std::fs::read_dir(&unsent).unwrap().next().is_none()).await;
}
