//! Clients over a transport that answers from memory.

use std::future::{Future, ready};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::now;
use crate::{ClientError, Protocol, ServiceFacts, Transport, TransportError, ecs, sts};

/// Service, operation, body and protocol of a call.
type Sent = (&'static str, &'static str, Vec<u8>, Protocol);

/// Answers the same to every call, and remembers the calls.
struct Canned {
    answer: Option<(u16, &'static str)>,
    calls: Mutex<Vec<Sent>>,
}

impl Canned {
    fn new(status: u16, body: &'static str) -> Self {
        Self { answer: Some((status, body)), calls: Mutex::default() }
    }
}

impl Transport for Canned {
    fn call(
        &self,
        service: &'static ServiceFacts,
        operation: &'static str,
        body: Vec<u8>,
        content: Protocol,
    ) -> impl Future<Output = Result<(u16, Vec<u8>), TransportError>> + Send {
        self.calls.lock().unwrap().push((service.name, operation, body, content));
        ready(match self.answer {
            Some((status, body)) => Ok((status, body.as_bytes().to_vec())),
            None => {
                Err(TransportError::new("connect to 127.0.0.1:1", std::io::Error::other("refused")))
            }
        })
    }
}

fn run(transport: Canned) -> Result<ecs::RunTaskResponse, ClientError> {
    let request = ecs::RunTaskRequest { task_definition: Some("web".into()), ..Default::default() };
    now(ecs::Client::new(transport).run_task(request))
}

#[test]
fn a_json_call_is_sent_and_its_answer_read() {
    let client = ecs::Client::new(Canned::new(
        200,
        r#"{"tasks":[{"launchType":"LUNAR","new":1}],"failures":null}"#,
    ));
    let request = ecs::RunTaskRequest {
        task_definition: Some("web".into()),
        count: Some(2),
        ..Default::default()
    };
    let answer = now(client.run_task(request)).unwrap();
    assert_eq!(
        answer.tasks.unwrap()[0].launch_type,
        Some(ecs::LaunchType::Unrecognized("LUNAR".into()))
    );
    assert_eq!(answer.failures, None);
    let calls = client.transport().calls.lock().unwrap();
    let (service, operation, body, content) = &calls[0];
    assert_eq!((*service, *operation, *content), ("ecs", "RunTask", Protocol::Json11));
    assert_eq!(
        serde_json::from_slice::<Value>(body).unwrap(),
        json!({"taskDefinition": "web", "count": 2})
    );
}

#[test]
fn a_query_call_is_sent_and_its_answer_read() {
    let client = sts::Client::new(Canned::new(
        200,
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult>\
         </GetCallerIdentityResponse>",
    ));
    let answer = now(client.get_caller_identity(sts::GetCallerIdentityRequest {})).unwrap();
    assert_eq!(answer.account.as_deref(), Some("1"));
    let calls = client.transport().calls.lock().unwrap();
    assert_eq!(calls[0].2, b"Action=GetCallerIdentity&Version=2011-06-15");
    let client = sts::Client::new(Canned::new(
        403,
        "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>",
    ));
    let error = now(client.get_caller_identity(sts::GetCallerIdentityRequest {})).unwrap_err();
    assert_eq!(error.service().unwrap().code, "AccessDenied");
}

#[test]
fn what_goes_wrong_is_told_apart() {
    let error = run(Canned::new(
        400,
        r#"{"__type":"ClusterNotFoundException","message":"Cluster not found."}"#,
    ));
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "ClusterNotFoundException: Cluster not found.");
    assert_eq!(
        error.service().and_then(|error| ecs::ErrorKind::from_code(&error.code)),
        Some(ecs::ErrorKind::ClusterNotFoundException)
    );
    assert!(!error.retryable());
    let error = run(Canned { answer: None, calls: Mutex::default() }).unwrap_err();
    assert_eq!(stdx::chain(&error), "call RunTask: connect to 127.0.0.1:1: refused");
    assert!(error.retryable());
    for (status, body, retryable) in [
        (200, "<html>", false),
        (200, r#"{"tasks":5}"#, false),
        (502, "<html>", true),
        (404, "", false),
    ] {
        let error = run(Canned::new(status, body)).unwrap_err();
        assert!(matches!(error, ClientError::Decode { .. }), "{error}");
        assert_eq!(error.retryable(), retryable, "{error}");
    }
    for (status, code, retryable) in [
        (500, "ServerException", true),
        (501, "NotImplemented", false),
        (400, "ThrottlingException", true),
    ] {
        let error = ClientError::Service(crate::Error::new(code, status, ""));
        assert_eq!(error.retryable(), retryable, "{code}");
    }
}
