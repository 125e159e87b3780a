//! ExecuteCommand: who may have a session, and what is told of it.

use model::{AgentInfo, InstanceKey};
use scheduler::Command;
use serde_json::{Value, json};

use super::bench::Bench;

/// Makes the node's agent another one, connected or not.
async fn agent(bench: &Bench, node: &str, hash: &str, connected: bool) {
    let key = InstanceKey {
        cluster: "default".into(),
        instance: node.rsplit('/').next().unwrap().into(),
    };
    let agent = AgentInfo { connected, hash: Some(hash.to_owned()), ..AgentInfo::default() };
    bench.store.submit(Command::AgentSession { key, agent }).await.unwrap();
}

async fn run(bench: &Bench, exec: bool) -> String {
    let body = json!({"taskDefinition": "web", "enableExecuteCommand": exec});
    let answer = bench.ecs("RunTask", body).await.ok();
    assert_eq!(answer["tasks"][0]["enableExecuteCommand"], exec);
    answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
}

async fn report(bench: &Bench, task: &str, status: &str, agents: bool) {
    let mut body = json!({
        "cluster": "default", "task": task, "status": status,
        "containers": [{"containerName": "web", "status": status, "runtimeId": "r1"}],
    });
    if agents {
        body["managedAgents"] = json!([{
            "containerName": "web", "managedAgentName": "ExecuteCommandAgent", "status": status,
        }]);
    }
    bench.ecs("SubmitTaskStateChange", body).await.ok();
}

async fn agents_of(bench: &Bench, task: &str) -> Value {
    let told = bench.ecs("DescribeTasks", json!({"tasks": [task]})).await.ok();
    told["tasks"][0]["containers"][0]["managedAgents"].clone()
}

fn ask(task: &str) -> Value {
    json!({"task": task, "command": "/bin/sh", "interactive": true})
}

#[tokio::test]
async fn a_session_is_answered_and_its_agent_asked() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    agent(&bench, &node, "wharf", true).await;
    bench.with_definition("web").await;
    let task = run(&bench, true).await;
    assert_eq!(agents_of(&bench, &task).await[0]["lastStatus"], "PENDING");
    report(&bench, &task, "RUNNING", true).await;
    let agents = agents_of(&bench, &task).await;
    assert_eq!(agents[0]["name"], "ExecuteCommandAgent");
    assert_eq!(agents[0]["lastStatus"], "RUNNING");
    assert!(agents[0]["lastStartedAt"].is_number(), "{agents}");

    let told = bench.ecs("ExecuteCommand", ask(&task)).await.ok();
    assert_eq!(told["taskArn"], task.as_str());
    assert_eq!(told["containerName"], "web");
    assert_eq!(told["interactive"], true);
    let session = told["session"]["sessionId"].as_str().unwrap();
    assert!(session.starts_with("ecs-execute-command-"), "{session}");
    let url = told["session"]["streamUrl"].as_str().unwrap();
    assert_eq!(
        url,
        format!("ws://127.0.0.1:4747/v1/data-channel/{session}?role=publish_subscribe")
    );
    assert!(told["session"]["tokenValue"].as_str().unwrap().len() >= 32);
    {
        let asked = bench.asked.0.lock().unwrap();
        let (instance, message) = &asked[0];
        assert!(node.ends_with(instance.instance.as_str()));
        assert_eq!(message.session_id, session);
        assert_eq!((message.task_arn.as_str(), message.command.as_str()), (&*task, "/bin/sh"));
    }
    // Two at once, as ECS has it; a third is refused.
    bench.ecs("ExecuteCommand", ask(&task)).await.ok();
    let (code, words) = bench.ecs("ExecuteCommand", ask(&task)).await.error();
    assert_eq!(code, "ClientException");
    assert!(words.contains("web") && words.contains("2 ExecuteCommand sessions"), "{words}");
    report(&bench, &task, "STOPPED", false).await;
    assert_eq!(agents_of(&bench, &task).await[0]["lastStatus"], "STOPPED");
}

#[tokio::test]
async fn what_takes_no_session_is_refused() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    bench.with_definition("web").await;
    let refused = async |body: Value, code: &str, part: &str| {
        let (told, words) = bench.ecs("ExecuteCommand", body).await.error();
        assert_eq!(told, code, "{words}");
        assert!(words.contains(part), "{words}");
    };
    let invalid = "InvalidParameterException";
    let plain = run(&bench, false).await;
    let task = run(&bench, true).await;
    report(&bench, &plain, "RUNNING", false).await;
    refused(ask(&plain), invalid, "execute command was not enabled").await;
    assert_eq!(agents_of(&bench, &plain).await, Value::Null);

    // Under the stock agent.
    agent(&bench, &node, "a8b3e7d3", true).await;
    refused(ask(&task), "TargetNotConnectedException", "stock Amazon ECS agent").await;
    // Not running yet.
    agent(&bench, &node, "wharf", true).await;
    refused(ask(&task), invalid, "isn\u{2019}t running. Wait and try again").await;
    report(&bench, &task, "RUNNING", true).await;
    // Its agent is away.
    agent(&bench, &node, "wharf", false).await;
    refused(ask(&task), "TargetNotConnectedException", "not connected").await;
    agent(&bench, &node, "wharf", true).await;

    let with = |member: &str, value: Value| {
        let mut body = ask(&task);
        body[member] = value;
        body
    };
    refused(with("interactive", json!(false)), invalid, "only mode supported").await;
    refused(with("command", json!(" ")), invalid, "command").await;
    refused(with("container", json!("db")), invalid, "\"db\" was not found").await;
    refused(with("cluster", json!("nope")), "ClusterNotFoundException", "Cluster not found").await;
    let unknown = "0123456789abcdef0123456789abcdef";
    refused(with("task", json!(unknown)), invalid, "task was not found").await;
    report(&bench, &task, "STOPPED", true).await;
    refused(ask(&task), invalid, "stopped").await;
    assert!(bench.asked.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn several_containers_need_a_name() {
    let bench = Bench::new();
    let node = bench.with_node().await;
    agent(&bench, &node, "wharf", true).await;
    let one = |name: &str| json!({"name": name, "image": "busybox", "memory": 64});
    let body = json!({"family": "web", "containerDefinitions": [one("web"), one("side")]});
    bench.ecs("RegisterTaskDefinition", body).await.ok();
    let task = run(&bench, true).await;
    report(&bench, &task, "RUNNING", true).await;
    let (code, words) = bench.ecs("ExecuteCommand", ask(&task)).await.error();
    assert_eq!(code, "InvalidParameterException");
    assert!(words.contains("multiple containers"), "{words}");
    let mut named = ask(&task);
    named["container"] = json!("web");
    bench.ecs("ExecuteCommand", named.clone()).await.ok();
    named["container"] = json!("side");
    let (_, words) = bench.ecs("ExecuteCommand", named).await.error();
    assert!(words.contains("not enabled"), "nobody told of that container: {words}");
}

#[tokio::test]
async fn sessions_are_logged_where_the_cluster_says() {
    let bench = Bench::new();
    let to = |group: &str| {
        json!({"executeCommandConfiguration": {
            "logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": group},
        }})
    };
    let made = bench.ecs("CreateCluster", json!({"configuration": to("/exec")})).await.ok();
    let shown = &made["cluster"]["configuration"]["executeCommandConfiguration"];
    assert_eq!(shown["logging"], "OVERRIDE");
    assert_eq!(shown["logConfiguration"]["cloudWatchLogGroupName"], "/exec");
    let node = bench.node().await;
    agent(&bench, &node, "wharf", true).await;
    bench.with_definition("web").await;
    let task = run(&bench, true).await;
    report(&bench, &task, "RUNNING", true).await;
    let (code, words) = bench.ecs("ExecuteCommand", ask(&task)).await.error();
    assert_eq!(code, "ClientException");
    assert!(words.contains("/exec") && words.contains("does not exist"), "{words}");

    let body = json!({"cluster": "default", "configuration": to("/other")});
    let updated = bench.ecs("UpdateCluster", body).await.ok();
    let shown = &updated["cluster"]["configuration"]["executeCommandConfiguration"];
    assert_eq!(shown["logConfiguration"]["cloudWatchLogGroupName"], "/other");
    let group = json!({"logGroupName": "/other"}).to_string();
    bench.raw("logs", "CreateLogGroup", group.as_bytes()).await;
    bench.ecs("ExecuteCommand", ask(&task)).await.ok();
}

#[tokio::test]
async fn a_service_passes_it_on_to_its_tasks() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    let body = json!({
        "serviceName": "s", "taskDefinition": "web", "desiredCount": 1,
        "enableExecuteCommand": true,
    });
    let made = bench.ecs("CreateService", body).await.ok();
    assert_eq!(made["service"]["enableExecuteCommand"], true);
    bench.settle().await;
    let tasks = bench.ecs("ListTasks", json!({})).await.ok()["taskArns"].clone();
    let told = bench.ecs("DescribeTasks", json!({"tasks": tasks})).await.ok();
    assert_eq!(told["tasks"][0]["enableExecuteCommand"], true);
    let body = json!({"service": "s", "enableExecuteCommand": false});
    let updated = bench.ecs("UpdateService", body).await.ok();
    assert_eq!(updated["service"]["enableExecuteCommand"], false);
}
