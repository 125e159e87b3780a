//! ECR and CloudWatch Logs behind the same door.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shell::Clock;

use super::bench::{Answer, Bench};

async fn ecr(bench: &Bench, operation: &str, body: Value) -> Answer {
    bench.raw("ecr", operation, body.to_string().as_bytes()).await
}

async fn logs(bench: &Bench, operation: &str, body: Value) -> Answer {
    bench.raw("logs", operation, body.to_string().as_bytes()).await
}

#[tokio::test]
async fn repositories_come_and_go() {
    let bench = Bench::new();
    let body = json!({"repositoryName": "team/web", "imageTagMutability": "IMMUTABLE", "tags": [{"Key": "a", "Value": "1"}]});
    let made = ecr(&bench, "CreateRepository", body.clone()).await.ok();
    let repository = &made["repository"];
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    assert_eq!(repository["repositoryUri"], format!("{host}/team/web"));
    assert_eq!(repository["imageTagMutability"], "IMMUTABLE");
    assert_eq!(repository["encryptionConfiguration"], json!({"encryptionType": "AES256"}));
    assert_eq!(repository["imageScanningConfiguration"], json!({"scanOnPush": false}));
    let again = ecr(&bench, "CreateRepository", body).await;
    assert_eq!(again.error().0, "RepositoryAlreadyExistsException");

    let arn = repository["repositoryArn"].clone();
    let listed = ecr(&bench, "ListTagsForResource", json!({"resourceArn": arn})).await.ok();
    assert_eq!(listed["tags"], json!([{"Key": "a", "Value": "1"}]));
    let named = json!({"repositoryName": "team/web"});
    assert_eq!(ecr(&bench, "ListImages", named.clone()).await.ok()["imageIds"], json!([]));
    assert_eq!(ecr(&bench, "DescribeImages", named.clone()).await.ok()["imageDetails"], json!([]));
    let body = json!({"repositoryName": "team/web", "imageIds": [{"imageTag": "nope"}]});
    let missing = ecr(&bench, "BatchGetImage", body.clone()).await.ok();
    assert_eq!(missing["failures"][0]["failureCode"], "ImageNotFound");
    assert_eq!(ecr(&bench, "DescribeImages", body).await.error().0, "ImageNotFoundException");
    let body = json!({"repositoryName": "team/web", "imageTagMutability": "MUTABLE"});
    let now = ecr(&bench, "PutImageTagMutability", body).await.ok();
    assert_eq!(now["imageTagMutability"], "MUTABLE");
    ecr(&bench, "DeleteRepository", named.clone()).await.ok();
    assert_eq!(
        ecr(&bench, "DeleteRepository", named).await.error().0,
        "RepositoryNotFoundException"
    );
    let all = ecr(&bench, "DescribeRepositories", json!({})).await.ok();
    assert_eq!(all["repositories"], json!([]));
}

#[tokio::test]
async fn the_registrys_password_is_good_for_the_registry() {
    let bench = Bench::new();
    let answer = ecr(&bench, "GetAuthorizationToken", json!({})).await.ok();
    let data = &answer["authorizationData"][0];
    assert_eq!(data["proxyEndpoint"], "http://127.0.0.1:4747");
    let token = data["authorizationToken"].as_str().unwrap();
    let plain = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
    let (user, password) = plain.split_once(':').unwrap();
    assert_eq!(user, "AWS");
    let identity = bench.door.config().ecr_token.verify(password, bench.clock.now()).unwrap();
    assert_eq!(identity.principal.account, "123456789012");
    let twelve_hours = 12.0 * 3600.0;
    let until = data["expiresAt"].as_f64().unwrap();
    assert!((until - bench.clock.now().as_secs_f64() - twelve_hours).abs() < 1.0);
}

#[tokio::test]
async fn a_repository_refuses_what_it_can_not_honour() {
    let bench = Bench::new();
    for (body, word) in [
        (json!({"imageScanningConfiguration": {"scanOnPush": true}}), "imageScanningConfiguration"),
        (json!({"encryptionConfiguration": {"encryptionType": "KMS"}}), "encryptionConfiguration"),
        (json!({"imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"}), "ExclusionFilters"),
        (json!({"registryId": "000000000000"}), "registryId"),
        (json!({"repositoryName": "UPPER"}), "repositoryName"),
    ] {
        let mut request = json!({"repositoryName": "web"});
        for (member, value) in body.as_object().unwrap() {
            request[member] = value.clone();
        }
        let (code, message) = ecr(&bench, "CreateRepository", request).await.error();
        assert_eq!(code, "InvalidParameterException", "{body}");
        assert!(message.contains(word), "{body}: {message}");
    }
}

#[tokio::test]
async fn events_are_put_got_and_found() {
    let bench = Bench::new();
    let now = bench.clock.now().as_millis();
    logs(&bench, "CreateLogGroup", json!({"logGroupName": "/ecs/web"})).await.ok();
    let again = logs(&bench, "CreateLogGroup", json!({"logGroupName": "/ecs/web"})).await;
    assert_eq!(again.error().0, "ResourceAlreadyExistsException");
    let named = json!({"logGroupName": "/ecs/web", "logStreamName": "ecs/web/1"});
    logs(&bench, "CreateLogStream", named.clone()).await.ok();
    let mut batch = named.clone();
    batch["logEvents"] = json!([
        {"timestamp": now - 2, "message": "started"}, {"timestamp": now - 1, "message": "ERROR here"},
    ]);
    let put = logs(&bench, "PutLogEvents", batch).await.ok();
    assert!(put["nextSequenceToken"].is_string());

    let mut query = named.clone();
    query["startFromHead"] = json!(true);
    let got = logs(&bench, "GetLogEvents", query.clone()).await.ok();
    assert_eq!(got["events"][0]["message"], "started");
    assert_eq!(got["events"][1]["timestamp"], now - 1);
    query["nextToken"] = got["nextForwardToken"].clone();
    let end = logs(&bench, "GetLogEvents", query).await.ok();
    assert_eq!(end["events"], json!([]));
    assert_eq!(end["nextForwardToken"], got["nextForwardToken"], "the end repeats its token");

    let body = json!({"logGroupName": "/ecs/web", "filterPattern": "ERROR"});
    let found = logs(&bench, "FilterLogEvents", body).await.ok();
    assert_eq!(found["events"].as_array().unwrap().len(), 1);
    assert_eq!(found["events"][0]["logStreamName"], "ecs/web/1");

    let body = json!({"logGroupName": "/ecs/web", "retentionInDays": 7});
    logs(&bench, "PutRetentionPolicy", body).await.ok();
    let body = json!({"logGroupName": "/ecs/web", "retentionInDays": 8});
    assert_eq!(
        logs(&bench, "PutRetentionPolicy", body).await.error().0,
        "InvalidParameterException"
    );
    let groups =
        logs(&bench, "DescribeLogGroups", json!({"logGroupNamePrefix": "/ecs"})).await.ok();
    assert_eq!(groups["logGroups"][0]["retentionInDays"], 7);
    let arn = groups["logGroups"][0]["logGroupArn"].clone();
    let body = json!({"resourceArn": arn, "tags": {"team": "a"}});
    logs(&bench, "TagResource", body).await.ok();
    let listed = logs(&bench, "ListTagsForResource", json!({"resourceArn": arn})).await.ok();
    assert_eq!(listed["tags"], json!({"team": "a"}));
    let streams = logs(&bench, "DescribeLogStreams", json!({"logGroupIdentifier": arn})).await.ok();
    assert_eq!(streams["logStreams"][0]["lastEventTimestamp"], now - 1);
    let nowhere = json!({"logGroupName": "/nope", "logStreamName": "x"});
    let (code, message) = logs(&bench, "GetLogEvents", nowhere).await.error();
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(message, "The specified log group does not exist.");
}

#[tokio::test]
async fn a_log_group_refuses_what_it_can_not_honour() {
    let bench = Bench::new();
    for (body, word) in [
        (json!({"kmsKeyId": "arn:aws:kms:x"}), "kmsKeyId"),
        (json!({"logGroupClass": "INFREQUENT_ACCESS"}), "logGroupClass"),
        (json!({"deletionProtectionEnabled": true}), "deletionProtectionEnabled"),
    ] {
        let mut request = json!({"logGroupName": "g"});
        for (member, value) in body.as_object().unwrap() {
            request[member] = value.clone();
        }
        let (code, message) = logs(&bench, "CreateLogGroup", request).await.error();
        assert_eq!(code, "InvalidParameterException", "{body}");
        assert!(message.contains(word), "{body}: {message}");
    }
}
