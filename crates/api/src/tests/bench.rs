//! A door with all its rooms behind it, and a client that signs.

use std::sync::{Arc, Mutex};

use auth::{Credentials, EcrToken, Outgoing, RootKey, Scope, SessionMint, SessionStore, sign};
use aws::agent::acs::ExecuteCommandMessage;
use axum::body::Body;
use axum::extract::State;
use http::Request;
use http_body_util::BodyExt;
use model::{AgentInfo, InstanceKey, Realm};
use objects::{Objects, ObjectsConfig};
use registry::{Registry, RegistryConfig};
use scheduler::Command;
use serde_json::{Value, json};
use shell::{Clock, ManualClock};
use stdx::{SeededEntropy, Timestamp};
use store::{MemoryEngine, Store};
use telemetry::{Logs, LogsConfig, Metrics, MetricsConfig};
use vault::{Vault, VaultConfig};

use crate::door::{Door, DoorConfig, Endpoints};
use crate::exec_relay::Exec;
use crate::serve::serve;

pub(super) const REGION: &str = "eu-west-1";
pub(super) const ACCOUNT: &str = "123456789012";
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A door over an empty state in memory, at a clock that stands.
pub(super) struct Bench {
    pub(super) door: Door,
    pub(super) store: Store,
    pub(super) clock: ManualClock,
    /// Sessions that an agent was asked for.
    pub(super) asked: Asked,
    pub(super) credentials: Credentials,
    pub(super) engine: MemoryEngine,
    _folder: tempfile::TempDir,
}

/// Notes what agents are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(pub(super) Arc<Mutex<Vec<(InstanceKey, ExecuteCommandMessage)>>>);

impl crate::Reach for Asked {
    fn execute(&self, instance: &InstanceKey, message: ExecuteCommandMessage) -> bool {
        self.0.lock().unwrap().push((instance.clone(), message));
        true
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The JSON of a good answer.
    #[track_caller]
    pub(super) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Code and sentence of an error.
    #[track_caller]
    pub(super) fn error(&self) -> (String, String) {
        assert!(self.status >= 400, "{}", self.text);
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        (text("__type"), text("message"))
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(Timestamp::parse("2026-11-22T12:00:00Z").unwrap());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let realm = Realm::new(REGION, ACCOUNT);
        let entropy = Box::new(SeededEntropy::new(7));
        let engine = MemoryEngine::default();
        let store =
            Store::open(Box::new(engine.clone()), realm.clone(), shared.clone(), entropy).unwrap();
        let root = RootKey::new(KEY, SECRET).unwrap();
        let registry = Registry::open(RegistryConfig {
            dir: folder.path().join("registry"),
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            create_on_push: false,
            clock: shared.clone(),
        });
        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let objects = ObjectsConfig::new(folder.path(), shared.clone());
        let vault = VaultConfig::new(folder.path(), ACCOUNT, REGION, shared.clone());
        let logs = LogsConfig::new(folder.path().join("logs"), ACCOUNT, REGION, shared.clone());
        let metrics =
            MetricsConfig::new(folder.path().join("logs"), ACCOUNT, REGION, shared.clone());
        let sessions = Arc::new(SessionMint::new(root.secret()));
        let asked = Asked::default();
        let door = Door::new(DoorConfig {
            realm,
            store: store.clone(),
            registry: registry.unwrap(),
            logs: Arc::new(Logs::open(logs).unwrap()),
            telemetry: Metrics::open(metrics).unwrap(),
            vault: Vault::open(vault).unwrap(),
            objects: Objects::open(objects).unwrap(),
            keys: Arc::new(SessionStore::new(root.store(ACCOUNT), sessions.clone())),
            sessions,
            ecr_token: Arc::new(EcrToken::new(root.secret())),
            clock: shared,
            exec: Exec::new(Arc::new(asked.clone()), shell::shutdown().1),
            endpoints: Endpoints::under("http://127.0.0.1:4747/"),
            balancing: crate::Balancing::default(),
            bus: events::Bus::open(&folder.path().join("events"), events::BusConfig::silent())
                .unwrap()
                .0,
            version: "0.0.0",
        });
        let credentials = root.credentials();
        Self { door, store, clock, asked, credentials, engine, _folder: folder }
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, outgoing: &Outgoing, body: &[u8]) -> Answer {
        let target = if outgoing.query.is_empty() {
            outgoing.path.clone()
        } else {
            format!("{}?{}", outgoing.path, outgoing.query)
        };
        let mut request = Request::builder().method(outgoing.method.as_str()).uri(target);
        for (name, value) in &outgoing.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let response = serve(State(self.door.clone()), request).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// A request for an operation, not signed yet.
    pub(super) fn request(target: &str) -> Outgoing {
        let mut outgoing = Outgoing::to("POST", "http://127.0.0.1:4747/").unwrap();
        for (name, value) in
            [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)]
        {
            outgoing.headers.push((name.to_owned(), value.to_owned()));
        }
        outgoing
    }

    /// Signs for a service and sends.
    pub(super) async fn signed(&self, mut request: Outgoing, service: &str, body: &[u8]) -> Answer {
        let scope = Scope::new(REGION, service);
        sign(&mut request, body, &self.credentials, &scope, self.clock.now());
        self.send(&request, body).await
    }

    /// Calls an operation with any body.
    pub(super) async fn raw(&self, service: &str, operation: &str, body: &[u8]) -> Answer {
        let prefix = match service {
            "ecs" => "AmazonEC2ContainerServiceV20141113",
            "ecr" => "AmazonEC2ContainerRegistry_V20150921",
            "logs" => "Logs_20140328",
            "secretsmanager" => "secretsmanager",
            "ssm" => "AmazonSSM",
            "monitoring" => "GraniteServiceVersion20100801",
            other => panic!("{other} has no target prefix"),
        };
        self.signed(Self::request(&format!("{prefix}.{operation}")), service, body).await
    }

    /// Calls an operation of ECS.
    pub(super) async fn ecs(&self, operation: &str, body: Value) -> Answer {
        self.raw("ecs", operation, body.to_string().as_bytes()).await
    }

    /// Makes the default cluster with one connected node; returns the node's ARN.
    pub(super) async fn with_node(&self) -> String {
        self.ecs("CreateCluster", json!({})).await.ok();
        self.node().await
    }

    /// One more connected node in the default cluster.
    pub(super) async fn node(&self) -> String {
        let names = crate::REQUIRED_ATTRIBUTES.iter().map(|name| json!({"name": name}));
        let mut attributes: Vec<Value> = names.collect();
        attributes.push(json!({"name": "ecs.cpu-architecture", "value": "x86_64"}));
        let answer = self
            .ecs(
                "RegisterContainerInstance",
                json!({
                    "cluster": "default",
                    "instanceIdentityDocument": "",
                    "totalResources": [
                        {"name": "CPU", "type": "INTEGER", "integerValue": 2048},
                        {"name": "MEMORY", "type": "INTEGER", "integerValue": 4096},
                        {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
                        {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []},
                    ],
                    "attributes": attributes,
                }),
            )
            .await
            .ok();
        let arn = answer["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
        let id = arn.rsplit('/').next().unwrap();
        let key = InstanceKey { cluster: "default".into(), instance: id.into() };
        let agent =
            AgentInfo { connected: true, version: Some("1.0".to_owned()), ..AgentInfo::default() };
        self.store.submit(Command::AgentSession { key, agent }).await.unwrap();
        arn
    }

    /// Registers a definition with one small container; returns its ARN.
    pub(super) async fn with_definition(&self, family: &str) -> String {
        let answer = self
            .ecs("RegisterTaskDefinition", json!({
                "family": family,
                "containerDefinitions": [{"name": "web", "image": "busybox", "memory": 64, "cpu": 10}],
            }))
            .await
            .ok();
        answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    /// Lets the loops do what they would, until they have no more to do.
    pub(super) async fn settle(&self) {
        for _ in 0..20 {
            let plan = scheduler::plan(&self.store.snapshot(), self.clock.now(), 1);
            if plan.commands.is_empty() {
                return;
            }
            for command in plan.commands {
                let result = self.store.submit(command).await;
                assert!(
                    matches!(
                        result,
                        Ok(_) | Err(store::SubmitError::Rejected(scheduler::Rejection::Stale))
                    ),
                    "{result:?}"
                );
            }
        }
    }

    /// Reports a status for every task that should run and is not over, as its agent would.
    pub(super) async fn report_all(&self, status: &str) {
        let arns = self.ecs("ListTasks", json!({})).await.ok();
        for arn in arns["taskArns"].as_array().unwrap() {
            self.ecs(
                "SubmitTaskStateChange",
                json!({
                    "cluster": "default", "task": arn, "status": status,
                    "containers": [{"containerName": "web", "status": status}],
                }),
            )
            .await
            .ok();
        }
    }
}
