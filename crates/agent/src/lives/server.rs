//! The server's side of the contract, enough of it: calls answered in memory, both websockets on
//! loopback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::agent::acs::{AgentMessage, RoleCredentials, ServerMessage};
use aws::agent::tcs;
use aws::{Protocol, ServiceFacts, Transport, TransportError};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::{Door, ObjectError};

/// What the server has heard, and how it behaves.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Calls by operation, in order.
    pub(super) calls: Vec<(String, Value)>,
    /// What the agent sent over ACS.
    pub(super) acs: Vec<AgentMessage>,
    /// What the agent sent over TCS.
    pub(super) tcs: Vec<tcs::Frame>,
    /// The handshakes: path with query, and authorization.
    pub(super) handshakes: Vec<(String, String)>,
    /// Events by group and stream.
    pub(super) streams: BTreeMap<(String, String), Vec<String>>,
    pub(super) groups: Vec<String>,
    /// Parameters and secrets by name, objects by bucket and key.
    pub(super) values: BTreeMap<String, String>,
    /// Who signed each call, by operation; empty for the node.
    pub(super) signed: Vec<(String, String)>,
    /// While set, calls get no answer.
    pub(super) away: bool,
    /// Errors to answer next, by operation: code and HTTP status.
    pub(super) errors: Vec<(String, String, u16)>,
    numbers: i64,
}

#[derive(Clone, Debug)]
enum Order {
    Say(String),
    Close(u16),
}

#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) heard: Arc<Mutex<Heard>>,
    port: u16,
    orders: broadcast::Sender<Order>,
}

/// The way to it, and whose credentials sign: empty for the node's.
#[derive(Debug)]
pub(super) struct Calls(Server, String);

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (orders, _) = broadcast::channel(100);
        let server = Self { heard: Arc::default(), port, orders };
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().session(stream));
            }
        });
        server
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn transport(&self) -> Calls {
        Calls(self.clone(), String::new())
    }

    /// Waits until both sessions are open.
    pub(super) async fn connected(&self) {
        for _ in 0..1000 {
            if self.orders.receiver_count() >= 1 && !self.heard.lock().unwrap().tcs.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the agent has not connected");
    }

    /// Sends a message with a fresh id and number.
    pub(super) fn send(&self, message: impl FnOnce(String, i64) -> ServerMessage) -> String {
        let number = {
            let mut heard = self.heard.lock().unwrap();
            heard.numbers += 1;
            heard.numbers
        };
        let id = format!("m{number}");
        self.orders.send(Order::Say(message(id.clone(), number).encode())).unwrap();
        id
    }

    /// Sends a frame as it is.
    pub(super) fn say(&self, text: &str) {
        self.orders.send(Order::Say(text.to_owned())).unwrap();
    }

    /// Closes the ACS session.
    pub(super) fn close(&self, code: u16) {
        self.orders.send(Order::Close(code)).unwrap();
    }

    /// The last registration.
    pub(super) fn registration(&self) -> Value {
        let heard = self.heard.lock().unwrap();
        let name = "RegisterContainerInstance";
        heard.calls.iter().rfind(|(operation, _)| operation == name).unwrap().1.clone()
    }

    /// The reports about a task: status, and the call.
    pub(super) fn reports(&self, task: &str) -> Vec<(String, Value)> {
        let heard = self.heard.lock().unwrap();
        heard
            .calls
            .iter()
            .filter(|(operation, body)| {
                operation == "SubmitTaskStateChange" && body["task"] == task
            })
            .map(|(_, body)| (body["status"].as_str().unwrap().to_owned(), body.clone()))
            .collect()
    }

    /// Waits for a report of this status about a task.
    pub(super) async fn report(&self, task: &str, status: &str) -> Value {
        for _ in 0..2000 {
            let found = self.reports(task).into_iter().find(|(told, _)| told == status);
            if let Some((_, body)) = found {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no report {status} of {task}: {:#?}", self.reports(task));
    }

    async fn session(self, stream: TcpStream) {
        let mut path = String::new();
        let heard = Arc::clone(&self.heard);
        #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
        let note = |request: &Request, response: Response| {
            path = request.uri().to_string();
            let signed =
                request.headers().get("authorization").map(|v| v.to_str().unwrap().to_owned());
            heard.lock().unwrap().handshakes.push((path.clone(), signed.unwrap_or_default()));
            Ok(response)
        };
        let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, note).await else {
            return;
        };
        let is_acs = path.starts_with("/acs/ws?");
        let mut orders = is_acs.then(|| self.orders.subscribe());
        loop {
            let order = async {
                match &mut orders {
                    Some(orders) => orders.recv().await.ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = order => match order {
                    Some(Order::Say(text)) => socket.send(Message::text(text)).await.unwrap(),
                    Some(Order::Close(code)) => {
                        let frame = CloseFrame { code: code.into(), reason: "".into() };
                        socket.close(Some(frame)).await.unwrap();
                        return;
                    }
                    None => return,
                },
                received = socket.next() => {
                    let Some(Ok(Message::Text(text))) = received else { return };
                    let mut heard = self.heard.lock().unwrap();
                    if is_acs {
                        heard.acs.push(AgentMessage::decode(&text).unwrap());
                    } else {
                        heard.tcs.push(tcs::Frame::decode(&text).unwrap());
                    }
                }
            }
        }
    }

    fn answer(&self, operation: &str, body: Value) -> Result<(u16, Value), TransportError> {
        let mut heard = self.heard.lock().unwrap();
        if heard.away {
            return Err(TransportError::message("connect to 127.0.0.1"));
        }
        if let Some(at) = heard.errors.iter().position(|(named, ..)| named == operation) {
            let (_, code, status) = heard.errors.remove(at);
            return Ok((status, json!({"__type": code, "message": "as scripted"})));
        }
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let not_found = json!({"__type": "ResourceNotFoundException",
            "message": "The specified log group does not exist."});
        let key = (text("logGroupName"), text("logStreamName"));
        let answer = match operation {
            "RegisterContainerInstance" => json!({"containerInstance": {
                "containerInstanceArn": super::INSTANCE, "attributes": body["attributes"]}}),
            "DiscoverPollEndpoint" => json!({
                "endpoint": format!("{}/acs", self.endpoint()),
                "telemetryEndpoint": format!("{}/tcs", self.endpoint())}),
            "SubmitTaskStateChange" => json!({"acknowledgment": "ACCEPT"}),
            "GetAuthorizationToken" => {
                json!({"authorizationData": [{"authorizationToken": "QVdTOnNlY3JldA=="}]})
            }
            "GetParameters" => {
                let names: Vec<String> = serde_json::from_value(body["Names"].clone()).unwrap();
                let (known, unknown): (Vec<String>, Vec<String>) =
                    names.into_iter().partition(|name| heard.values.contains_key(name));
                let known =
                    known.iter().map(|name| json!({"Name": name, "Value": heard.values[name]}));
                json!({"Parameters": known.collect::<Vec<_>>(), "InvalidParameters": unknown})
            }
            "GetSecretValue" => match heard.values.get(&text("SecretId")) {
                Some(value) => json!({"SecretString": value}),
                None => {
                    return Ok((
                        400,
                        json!({"__type": "ResourceNotFoundException",
                    "message": "Secrets Manager can't find the specified secret."}),
                    ));
                }
            },
            "CreateLogGroup" => {
                heard.groups.push(key.0);
                json!({})
            }
            "CreateLogStream" if !heard.groups.contains(&key.0) => return Ok((400, not_found)),
            "CreateLogStream" => {
                heard.streams.entry(key).or_default();
                json!({})
            }
            "PutLogEvents" => {
                let Some(stream) = heard.streams.get_mut(&key) else { return Ok((400, not_found)) };
                for event in body["logEvents"].as_array().unwrap() {
                    stream.push(event["message"].as_str().unwrap().to_owned());
                }
                json!({})
            }
            other => panic!("{other}"),
        };
        heard.calls.push((operation.to_owned(), body));
        Ok((200, answer))
    }
}

impl Transport for Calls {
    async fn call(
        &self,
        _: &'static ServiceFacts,
        operation: &'static str,
        body: Vec<u8>,
        _: Protocol,
    ) -> Result<(u16, Vec<u8>), TransportError> {
        self.0.heard.lock().unwrap().signed.push((operation.to_owned(), self.1.clone()));
        let (status, answer) = self.0.answer(operation, serde_json::from_slice(&body).unwrap())?;
        Ok((status, answer.to_string().into_bytes()))
    }
}

impl Door for Calls {
    fn with(&self, credentials: &RoleCredentials) -> Self {
        Self(self.0.clone(), credentials.access_key_id.clone())
    }

    async fn object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, ObjectError> {
        let found = self.0.heard.lock().unwrap().values.get(&format!("{bucket}/{key}")).cloned();
        found.map(String::into_bytes).ok_or_else(|| {
            let body = b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>";
            ObjectError::from_answer(404, body)
        })
    }
}
