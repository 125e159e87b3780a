//! UpdateTaskProtection and GetTaskProtection.

use serde_json::{Value, json};

use super::bench::Bench;

async fn task_of(bench: &Bench, filter: Value) -> String {
    let listed = bench.ecs("ListTasks", filter).await.ok();
    listed["taskArns"][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_services_task_is_protected_shown_and_let_go() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    bench
        .ecs(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1}),
        )
        .await
        .ok();
    bench.settle().await;
    let task = task_of(&bench, json!({"serviceName": "web"})).await;
    let get = || bench.ecs("GetTaskProtection", json!({"cluster": "default", "tasks": [task]}));
    let none = json!([{"protectionEnabled": false, "taskArn": task}]);
    assert_eq!(get().await.ok(), json!({"protectedTasks": none, "failures": []}));

    let update = |more: Value| {
        let mut request = json!({"cluster": "default", "tasks": [task], "protectionEnabled": true});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.ecs("UpdateTaskProtection", request)
    };
    let until = |answer: &Value| answer["protectedTasks"][0]["expirationDate"].as_f64().unwrap();
    let two_hours = until(&update(json!({})).await.ok());
    let one_minute = until(&update(json!({"expiresInMinutes": 1})).await.ok());
    let minutes = (two_hours - one_minute) / 60.0;
    assert!((118.0..=119.0).contains(&minutes), "120 minutes unless it is said: {minutes}");
    let shown = get().await.ok();
    assert_eq!(shown["protectedTasks"][0]["protectionEnabled"], true);
    assert_eq!(shown["failures"], json!([]));
    for minutes in [0, -1, 2881] {
        let error = update(json!({"expiresInMinutes": minutes})).await.error();
        assert_eq!(error.0, "InvalidParameterException", "{minutes}");
    }
    let ended = update(json!({"protectionEnabled": false})).await.ok();
    assert_eq!(ended, json!({"protectedTasks": none, "failures": []}));
}

#[tokio::test]
async fn what_cannot_be_protected_is_told_as_a_failure() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    bench.ecs("RunTask", json!({"taskDefinition": "web"})).await.ok();
    let task = task_of(&bench, json!({})).await;
    let nobody = "arn:aws:ecs:eu-west-1:123456789012:task/default/0f";
    let wanted = json!([
        {"arn": task, "reason": "TASK_NOT_VALID", "detail": "The task belongs to no service."},
        {"arn": nobody, "reason": "MISSING"}
    ]);
    let tasks = json!({"cluster": "default", "tasks": [task, "0f"]});
    let mut update = tasks.clone();
    update["protectionEnabled"] = json!(true);
    for (operation, request) in [("GetTaskProtection", tasks), ("UpdateTaskProtection", update)] {
        let answer = bench.ecs(operation, request).await.ok();
        assert_eq!(answer, json!({"protectedTasks": [], "failures": wanted}), "{operation}");
    }
    let many: Vec<String> = (0..11).map(|n| format!("{n:032x}")).collect();
    let request = json!({"cluster": "default", "tasks": many, "protectionEnabled": true});
    let error = bench.ecs("UpdateTaskProtection", request).await.error();
    assert_eq!(error.0, "InvalidParameterException");
}
