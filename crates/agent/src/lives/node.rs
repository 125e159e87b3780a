//! Agents that come and go, servers that are away, and what must not be lost by it.

use runtime::{ContainerId, Limits as ContainerLimits, NetworkMode};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_new_agent_finds_again_what_runs_and_tells_what_has_ended() {
    let mut world = World::joined().await;
    world.run("lives", json!([web()]));
    world.run("dies", json!([web()]));
    world.run("stops", json!([web()]));
    for id in ["lives", "dies", "stops"] {
        world.server.report(&arn(id), "RUNNING").await;
    }
    world.stop_agent().await.unwrap();
    let calls = world.containers.fake.calls().len();
    world.containers.fake.exit(&ContainerId::new("dies-0"), 9, false);
    let stray = SandboxSpec {
        id: SandboxId::new("stray"),
        labels: BTreeMap::new(),
        network: NetworkMode::Private,
        limits: ContainerLimits::default(),
        pid: runtime::PidMode::default(),
        ipc: runtime::IpcMode::default(),
        hardened: false,
    };
    world.containers.fake.create_sandbox(&stray).await.unwrap();

    world.start_agent().await;
    let report = world.server.report(&arn("dies"), "STOPPED").await;
    assert_eq!(report["containers"][0]["exitCode"], 9);
    world.gone("dies").await;
    world.gone("stray").await;
    world.server.connected().await;
    world
        .until("the session is open", || world.server.heard.lock().unwrap().handshakes.len() >= 4)
        .await;
    assert_eq!(world.server.registration()["containerInstanceArn"], INSTANCE);
    let restarts = world.containers.fake.calls().split_off(calls);
    assert!(!restarts.iter().any(|c| c.starts_with("start_container")), "{restarts:?}");
    // Orders for what runs already change nothing; what is found again can be stopped.
    world.run("lives", json!([web()]));
    world.stop("stops");
    let report = world.server.report(&arn("stops"), "STOPPED").await;
    assert_eq!(report["containers"][0]["exitCode"], 143);
    assert_eq!(world.server.reports(&arn("lives")).len(), 1);
}

#[tokio::test]
async fn what_was_not_told_is_told_by_the_next_agent() {
    let mut world = World::joined().await;
    world.run("t1", json!([web()]));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.server.heard.lock().unwrap().away = true;
    world.containers.fake.exit(&ContainerId::new("t1-0"), 3, false);
    world
        .until("the network is taken back", || world.network.attached.lock().unwrap().is_empty())
        .await;
    world.stop_agent().await.unwrap();
    // Even if the machine was started anew and nothing is left of the containers.
    world.containers.fake.remove_sandbox(&SandboxId::new("t1")).await.unwrap();
    world.start_agent().await;
    world.server.heard.lock().unwrap().away = false;
    let report = world.server.report(&arn("t1"), "STOPPED").await;
    assert_eq!(report["containers"][0]["exitCode"], 3);
    assert_eq!(report["reason"], "");
}

#[tokio::test]
async fn containers_lost_with_the_machine_are_told_without_a_code() {
    let mut world = World::joined().await;
    world.run("t1", json!([web()]));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.stop_agent().await.unwrap();
    world.containers.fake.remove_sandbox(&SandboxId::new("t1")).await.unwrap();
    world.start_agent().await;
    let report = world.server.report(&arn("t1"), "STOPPED").await;
    assert!(report["containers"][0]["exitCode"].is_null());
    assert!(report["containers"][0]["reason"].as_str().unwrap().contains("lost"), "{report}");
}

#[tokio::test]
async fn reports_wait_for_the_server_in_order() {
    let world = World::joined().await;
    world.server.heard.lock().unwrap().away = true;
    world.run("t1", json!([web()]));
    world
        .until("it runs", || {
            world.containers.fake.calls().contains(&"start_container t1-0".to_owned())
        })
        .await;
    world.containers.fake.exit(&ContainerId::new("t1-0"), 7, false);
    let errors = [("ClientException", 400), ("ServerException", 500)];
    {
        let mut heard = world.server.heard.lock().unwrap();
        for (code, status) in errors {
            heard.errors.push(("SubmitTaskStateChange".to_owned(), code.to_owned(), status));
        }
        heard.away = false;
    }
    world.server.report(&arn("t1"), "STOPPED").await;
    let told: Vec<String> = world.server.reports(&arn("t1")).into_iter().map(|r| r.0).collect();
    assert_eq!(told, ["RUNNING", "STOPPED"]);
}

#[tokio::test]
async fn a_report_that_is_never_taken_is_dropped_and_the_next_follows() {
    let world = World::joined().await;
    let operation = "SubmitTaskStateChange".to_owned();
    let code = "InvalidParameterException".to_owned();
    world.server.heard.lock().unwrap().errors.push((operation, code, 400));
    world.run("t1", json!([web()]));
    world
        .until("the report is refused", || world.server.heard.lock().unwrap().errors.is_empty())
        .await;
    world.stop("t1");
    world.server.report(&arn("t1"), "STOPPED").await;
    assert_eq!(world.server.reports(&arn("t1")).len(), 1);
}

#[tokio::test]
async fn a_task_is_forgotten_after_its_time() {
    let mut world = World::new().await;
    world.remember = Duration::ZERO;
    world.start_agent().await;
    world.server.connected().await;
    world.run("t1", json!([web()]));
    world.server.report(&arn("t1"), "RUNNING").await;
    let records = world.dir.path().join("records/tasks");
    let count = || std::fs::read_dir(&records).unwrap().count();
    world.until("it is recorded", || count() >= 2).await;
    world.stop("t1");
    world.until("it is forgotten", || count() == 0).await;
}

#[tokio::test]
async fn a_lost_watcher_ends_the_task() {
    let world = World::joined().await;
    world.run("t1", json!([web()]));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.containers.fake.lose_sandbox(&SandboxId::new("t1"));
    let report = world.server.report(&arn("t1"), "STOPPED").await;
    assert!(report["reason"].as_str().unwrap().starts_with("TaskStateError: "), "{report}");
    world.gone("t1").await;
}

#[tokio::test]
async fn a_node_is_taken_down_without_its_agent() {
    let mut world = World::joined().await;
    world.run("t1", json!([web()]));
    world.run("t2", json!([web()]));
    world.server.report(&arn("t1"), "RUNNING").await;
    world.server.report(&arn("t2"), "RUNNING").await;
    world.stop_agent().await.unwrap();
    let runtime = Arc::clone(&world.containers) as Arc<dyn Runtime>;
    let network = Arc::clone(&world.network) as Arc<dyn Networking>;
    let grace = Duration::from_secs(2);
    let count = crate::teardown(world.dir.path(), runtime, network, grace).await.unwrap();
    assert_eq!(count, 2);
    assert!(world.containers.fake.list().await.unwrap().is_empty());
    assert!(world.network.attached.lock().unwrap().is_empty());
    assert!(world.containers.fake.calls().contains(&"stop_container t2-0 2".to_owned()));

    world.start_agent().await;
    let report = world.server.report(&arn("t1"), "STOPPED").await;
    assert_eq!(report["containers"][0]["exitCode"], 143);
    assert!(report["reason"].as_str().unwrap().contains("taken down"), "{report}");
    assert!(report["executionStoppedAt"].is_number());
    world.server.connected().await;
    world.run("t1", json!([web()]));
    world
        .until("the end is told again", || {
            world.server.reports(&arn("t1")).iter().filter(|(told, _)| told == "STOPPED").count()
                == 2
        })
        .await;
    assert!(world.containers.fake.list().await.unwrap().is_empty(), "it does not run again");
}
