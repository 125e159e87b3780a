//! Roles: IAM's answers, assuming them, and what their sessions may do.

use auth::{Credentials, Outgoing, RoleSession, Scope, sign};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use scheduler::{Command, TaskReport};
use serde_json::{Value, json};
use shell::Clock;

use super::bench::{Answer, Bench, REGION};

const ROLE: &str = "arn:aws:iam::123456789012:role/app";
const TASKS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const ACCOUNT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEqualsIfExists":{"sts:ExternalId":"us"}}}]}"#;

/// A call in the Query protocol, signed as clients of global services do.
async fn query(
    bench: &Bench,
    credentials: &Credentials,
    service: &str,
    action: &str,
    parameters: &[(&str, &str)],
) -> Answer {
    let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
    let mut form = format!("Action={action}&Version={version}");
    for (name, value) in parameters {
        form.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    }
    let mut request = Outgoing::to("POST", "http://127.0.0.1:4747/").unwrap();
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    request.headers.push(("content-type".to_owned(), kind.to_owned()));
    let scope = Scope::new("us-east-1", service);
    sign(&mut request, form.as_bytes(), credentials, &scope, bench.clock.now());
    bench.send(&request, form.as_bytes()).await
}

async fn iam(bench: &Bench, action: &str, parameters: &[(&str, &str)]) -> Answer {
    query(bench, &bench.credentials, "iam", action, parameters).await
}

async fn good(bench: &Bench, action: &str, parameters: &[(&str, &str)]) -> String {
    let answer = iam(bench, action, parameters).await;
    assert_eq!(answer.status, 200, "{action} {parameters:?}: {answer:?}");
    answer.text
}

/// Code and message of an error in XML.
fn fault(answer: &Answer) -> (u16, String, String) {
    let text = |name| between(&answer.text, name).replace("&apos;", "'").replace("&quot;", "\"");
    (answer.status, text("Code"), text("Message"))
}

fn between(text: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let inside = text.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    inside.map(|(inside, _)| inside.to_owned()).unwrap_or_default()
}

async fn ecs_as(bench: &Bench, credentials: &Credentials, operation: &str, body: Value) -> Answer {
    let body = body.to_string();
    let mut request = Bench::request(&format!("AmazonEC2ContainerServiceV20141113.{operation}"));
    let scope = Scope::new(REGION, "ecs");
    sign(&mut request, body.as_bytes(), credentials, &scope, bench.clock.now());
    bench.send(&request, body.as_bytes()).await
}

async fn role(bench: &Bench, trust: &str, policy: &str) {
    let named = ("RoleName", "app");
    good(bench, "CreateRole", &[named, ("AssumeRolePolicyDocument", trust)]).await;
    let given = [named, ("PolicyName", "own"), ("PolicyDocument", policy)];
    good(bench, "PutRolePolicy", &given).await;
}

fn allow(action: &str, resource: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": action, "Resource": resource}]})
    .to_string()
}

async fn assume(bench: &Bench, more: &[(&str, &str)]) -> Answer {
    let named = [("RoleArn", ROLE), ("RoleSessionName", "me")];
    let parameters: Vec<_> = named.into_iter().chain(more.iter().copied()).collect();
    query(bench, &bench.credentials, "sts", "AssumeRole", &parameters).await
}

fn credentials(answer: &Answer) -> Credentials {
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = between(&answer.text, "SessionToken");
    let secret = between(&answer.text, "SecretAccessKey");
    Credentials {
        session_token: Some(token.into()),
        ..Credentials::new(between(&answer.text, "AccessKeyId"), secret)
    }
}

#[tokio::test]
async fn a_role_is_made_shown_and_deleted_as_iam_does() {
    let bench = Bench::new();
    let named = ("RoleName", "app");
    let made = good(&bench, "CreateRole", &[named, ("AssumeRolePolicyDocument", TASKS)]).await;
    assert_eq!(between(&made, "Arn"), ROLE);
    assert!(between(&made, "RoleId").starts_with("AROA"));
    let document = between(&made, "AssumeRolePolicyDocument");
    assert_eq!(percent_decode_str(&document).decode_utf8().unwrap(), TASKS);
    assert!(!document.contains('"'), "{document}");

    let policy = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy";
    good(&bench, "AttachRolePolicy", &[named, ("PolicyArn", policy)]).await;
    let attached = good(&bench, "ListAttachedRolePolicies", &[named]).await;
    assert_eq!(between(&attached, "PolicyArn"), policy);
    let inline = allow("ecs:*", "*");
    let given = [named, ("PolicyName", "own"), ("PolicyDocument", inline.as_str())];
    good(&bench, "PutRolePolicy", &given).await;

    let conflict = fault(&iam(&bench, "DeleteRole", &[named]).await);
    let words = "Cannot delete entity, must detach all policies first.";
    assert_eq!(conflict, (409, "DeleteConflict".to_owned(), words.to_owned()));
    good(&bench, "DetachRolePolicy", &[named, ("PolicyArn", policy)]).await;
    assert_eq!(fault(&iam(&bench, "DeleteRole", &[named]).await).0, 409);
    good(&bench, "DeleteRolePolicy", &[named, ("PolicyName", "own")]).await;
    good(&bench, "DeleteRole", &[named]).await;
    let gone = fault(&iam(&bench, "GetRole", &[named]).await);
    let words = "The role with name app cannot be found.";
    assert_eq!(gone, (404, "NoSuchEntity".to_owned(), words.to_owned()));
}

#[tokio::test]
async fn refusals_have_iams_codes() {
    let bench = Bench::new();
    role(&bench, TASKS, &allow("ecs:*", "*")).await;
    let named = ("RoleName", "app");
    let again = [("RoleName", "APP"), ("AssumeRolePolicyDocument", TASKS)];
    let boundary = ("PermissionsBoundary", "arn:aws:iam::aws:policy/AdministratorAccess");
    for (action, parameters, status, code) in [
        ("CreateRole", &again[..], 409, "EntityAlreadyExists"),
        (
            "CreateRole",
            &[("RoleName", "b"), ("AssumeRolePolicyDocument", "{}")],
            400,
            "MalformedPolicyDocument",
        ),
        (
            "CreateRole",
            &[("RoleName", "b"), ("AssumeRolePolicyDocument", TASKS), boundary],
            400,
            "InvalidInput",
        ),
        (
            "CreateRole",
            &[("RoleName", "a b"), ("AssumeRolePolicyDocument", TASKS)],
            400,
            "ValidationError",
        ),
        ("GetRolePolicy", &[named, ("PolicyName", "x")], 404, "NoSuchEntity"),
        (
            "AttachRolePolicy",
            &[named, ("PolicyArn", "arn:aws:iam::aws:policy/Nothing")],
            404,
            "NoSuchEntity",
        ),
        (
            "DetachRolePolicy",
            &[named, ("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess")],
            404,
            "NoSuchEntity",
        ),
        (
            "DeletePolicy",
            &[("PolicyArn", "arn:aws:iam::aws:policy/ReadOnlyAccess")],
            403,
            "AccessDenied",
        ),
        ("ListRoles", &[("Marker", "x")], 400, "ValidationError"),
        ("CreateUser", &[("UserName", "u")], 501, "NotImplemented"),
    ] {
        let (found_status, found, message) = fault(&iam(&bench, action, parameters).await);
        assert_eq!((found_status, found.as_str()), (status, code), "{action}: {message}");
    }
}

#[tokio::test]
async fn managed_policies_have_five_versions_at_most() {
    let bench = Bench::new();
    let document = allow("ecs:*", "*");
    let made =
        good(&bench, "CreatePolicy", &[("PolicyName", "p"), ("PolicyDocument", &document)]).await;
    let arn = between(&made, "Arn");
    let of = ("PolicyArn", arn.as_str());
    for number in 2..=5 {
        let given = [of, ("PolicyDocument", &document), ("SetAsDefault", "true")];
        let made = good(&bench, "CreatePolicyVersion", &given).await;
        assert_eq!(between(&made, "VersionId"), format!("v{number}"));
    }
    let (status, code, _) =
        fault(&iam(&bench, "CreatePolicyVersion", &[of, ("PolicyDocument", &document)]).await);
    assert_eq!((status, code.as_str()), (409, "LimitExceeded"));
    for (version, status) in [("v5", 409), ("v9", 404), ("v2", 200), ("v3", 200), ("v4", 200)] {
        let answer = iam(&bench, "DeletePolicyVersion", &[of, ("VersionId", version)]).await;
        assert_eq!(answer.status, status, "{version} {answer:?}");
    }
    assert_eq!(fault(&iam(&bench, "DeletePolicy", &[of]).await).0, 409, "v1 is still there");
    good(&bench, "DeletePolicyVersion", &[of, ("VersionId", "v1")]).await;
    good(&bench, "CreateRole", &[("RoleName", "app"), ("AssumeRolePolicyDocument", TASKS)]).await;
    good(&bench, "AttachRolePolicy", &[("RoleName", "app"), of]).await;
    assert_eq!(fault(&iam(&bench, "DeletePolicy", &[of]).await).0, 409, "a role has it");
    let who = good(&bench, "ListEntitiesForPolicy", &[of]).await;
    assert_eq!(between(&who, "RoleName"), "app");
    good(&bench, "DetachRolePolicy", &[("RoleName", "app"), of]).await;
    good(&bench, "DeletePolicy", &[of]).await;
    assert_eq!(iam(&bench, "GetPolicy", &[of]).await.status, 404);
}

#[tokio::test]
async fn a_session_may_do_what_its_role_may() {
    let bench = Bench::new();
    bench.with_node().await;
    let cluster = format!("arn:aws:ecs:{REGION}:123456789012:cluster/default");
    role(&bench, ACCOUNT, &allow("ecs:DescribeClusters", &cluster)).await;
    let session = credentials(&assume(&bench, &[]).await);
    assert!(session.access_key_id.starts_with("ASIA"));

    let who = query(&bench, &session, "sts", "GetCallerIdentity", &[]).await;
    let arn = "arn:aws:sts::123456789012:assumed-role/app/me";
    assert_eq!(between(&who.text, "Arn"), arn);
    ecs_as(&bench, &session, "DescribeClusters", json!({})).await.ok();
    let (code, message) =
        ecs_as(&bench, &session, "DescribeClusters", json!({"clusters": ["other"]})).await.error();
    assert_eq!(code, "AccessDeniedException");
    assert_eq!(
        message,
        format!(
            "User: {arn} is not authorized to perform: ecs:DescribeClusters on resource: \
             arn:aws:ecs:{REGION}:123456789012:cluster/other because no identity-based policy allows \
             the ecs:DescribeClusters action"
        )
    );
    let (status, code, _) = fault(&query(&bench, &session, "iam", "ListRoles", &[]).await);
    assert_eq!((status, code.as_str()), (403, "AccessDenied"));

    let deny =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    let given = [("RoleName", "app"), ("PolicyName", "no"), ("PolicyDocument", deny)];
    good(&bench, "PutRolePolicy", &given).await;
    let (_, message) = ecs_as(&bench, &session, "DescribeClusters", json!({})).await.error();
    assert!(message.ends_with("with an explicit deny in an identity-based policy"), "{message}");
    good(&bench, "DeleteRolePolicy", &[("RoleName", "app"), ("PolicyName", "no")]).await;
    good(&bench, "DeleteRolePolicy", &[("RoleName", "app"), ("PolicyName", "own")]).await;
    good(&bench, "DeleteRole", &[("RoleName", "app")]).await;
    let (code, _) = ecs_as(&bench, &session, "DescribeClusters", json!({})).await.error();
    assert_eq!(code, "UnrecognizedClientException", "the role is gone");
}

#[tokio::test]
async fn assuming_takes_trust_and_keeps_to_limits() {
    let bench = Bench::new();
    role(&bench, ACCOUNT, &allow("ecs:*", "*")).await;
    let narrow = allow("ecs:ListClusters", "*");
    let session = credentials(&assume(&bench, &[("Policy", &narrow)]).await);
    ecs_as(&bench, &session, "ListClusters", json!({})).await.ok();
    let (_, message) = ecs_as(&bench, &session, "ListServices", json!({})).await.error();
    assert!(message.contains("no session policy allows the ecs:ListServices action"), "{message}");
    for (more, status, code) in [
        (&[("ExternalId", "us")][..], 200, ""),
        (&[("ExternalId", "them")], 403, "AccessDenied"),
        (&[("DurationSeconds", "3601")], 400, "ValidationError"),
        (&[("DurationSeconds", "60")], 400, "ValidationError"),
        (&[("Policy", "{}")], 400, "MalformedPolicyDocument"),
        (&[("PolicyArns.member.1.arn", "arn:aws:iam::aws:policy/Nothing")], 400, "ValidationError"),
        (&[("SourceIdentity", "me")], 400, "ValidationError"),
    ] {
        let (found, found_code, message) = fault(&assume(&bench, more).await);
        assert_eq!((found, found_code.as_str()), (status, code), "{more:?}: {message}");
    }
    let given = [("RoleName", "app"), ("PolicyDocument", TASKS)];
    good(&bench, "UpdateAssumeRolePolicy", &given).await;
    let (status, _, message) = fault(&assume(&bench, &[]).await);
    assert_eq!(status, 403);
    let words = "User: arn:aws:iam::123456789012:root is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/app";
    assert_eq!(message, words);
}

#[tokio::test]
async fn tasks_take_roles_that_trust_them_from_those_who_may_pass_them() {
    let bench = Bench::new();
    bench.with_node().await;
    let definition = json!({
        "family": "web", "taskRoleArn": ROLE,
        "containerDefinitions": [{"name": "web", "image": "busybox", "memory": 64}],
    });
    bench.ecs("RegisterTaskDefinition", definition.clone()).await.ok();
    let run = || bench.ecs("RunTask", json!({"taskDefinition": "web"}));
    let (code, message) = run().await.error();
    assert_eq!(code, "ClientException");
    assert!(
        message.starts_with(&format!("ECS was unable to assume the role '{ROLE}'")),
        "{message}"
    );
    role(&bench, ACCOUNT, &allow("ecs:*", "*")).await;
    assert_eq!(run().await.error().0, "ClientException", "its trust policy is for others");

    let session = credentials(&assume(&bench, &[]).await);
    let both = TASKS
        .replace("\"Principal\":{", "\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\",");
    good(&bench, "UpdateAssumeRolePolicy", &[("RoleName", "app"), ("PolicyDocument", &both)]).await;
    run().await.ok();
    for (operation, body) in
        [("RunTask", json!({"taskDefinition": "web"})), ("RegisterTaskDefinition", definition)]
    {
        let (code, message) = ecs_as(&bench, &session, operation, body.clone()).await.error();
        assert_eq!(code, "AccessDeniedException");
        assert!(message.contains(&format!("iam:PassRole on resource: {ROLE}")), "{message}");
    }
    let pass = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "iam:PassRole", "Resource": ROLE,
        "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}}]})
    .to_string();
    let given = [("RoleName", "app"), ("PolicyName", "pass"), ("PolicyDocument", pass.as_str())];
    good(&bench, "PutRolePolicy", &given).await;
    ecs_as(&bench, &session, "RunTask", json!({"taskDefinition": "web"})).await.ok();
}

#[tokio::test]
async fn a_tasks_credentials_end_with_it() {
    let bench = Bench::new();
    bench.with_node().await;
    bench.with_definition("web").await;
    role(&bench, TASKS, &allow("ecs:ListTasks", "*")).await;
    let answer = bench.ecs("RunTask", json!({"taskDefinition": "web"})).await.ok();
    let arn = answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    let id = arn.rsplit('/').next().unwrap();
    let now = bench.clock.now();
    let state = bench.store.snapshot();
    let session = bench.door.config().sessions.mint(&RoleSession {
        role_arn: ROLE.to_owned(),
        role_id: state.role(&"app".into()).unwrap().id.clone(),
        name: id.to_owned(),
        issued: now.as_millis(),
        expires: now.as_millis() + 1_000_000,
        task: Some(format!("default/{id}")),
        policies: Vec::new(),
        policy_arns: Vec::new(),
    });
    ecs_as(&bench, &session, "ListTasks", json!({})).await.ok();
    let report = TaskReport {
        key: model::TaskKey { cluster: "default".into(), task: id.into() },
        status: Some(model::TaskStatus::Stopped),
        reason: None,
        containers: Vec::new(),
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    };
    bench.store.submit(Command::ReportTask(report)).await.unwrap();
    let (code, message) = ecs_as(&bench, &session, "ListTasks", json!({})).await.error();
    assert_eq!(code, "ExpiredTokenException");
    assert_eq!(message, "The security token included in the request is expired");
}
