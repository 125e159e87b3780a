//! Pretended agents: each registers an instance, holds a session of the agent communication service,
//! acknowledges what it is sent and reports at once that its tasks run, or have stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use auth::{Scope, sign_websocket};
use aws::agent::acs::{AgentMessage, ConnectQuery};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use shell::{Clock, SystemClock};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::http::{Link, Pool, Server};
use crate::meter::now;

/// A node's capabilities, about as many as an agent tells.
const CAPABILITIES: [&str; 24] = [
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.20",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.22",
    "com.amazonaws.ecs.capability.docker-remote-api.1.23",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.task-iam-role-network-host",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.ecr-endpoint",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.full-sync",
    "ecs.capability.pid-ipc-namespace-sharing",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.task-cpu-mem-limit",
];

/// So many instances register, or connect, at the same time.
const AT_ONCE: usize = 128;

/// What the agents have seen.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Sessions that are open.
    pub(crate) open: AtomicU64,
    /// Sessions that broke.
    pub(crate) broken: AtomicU64,
    /// Tasks that were ordered to run.
    pub(crate) assigned: AtomicU64,
    /// Tasks of which it was reported, and accepted, that they run.
    pub(crate) running: AtomicU64,
    /// The same of tasks that stopped.
    pub(crate) stopped: AtomicU64,
    /// Reports that were refused, and made again.
    pub(crate) refused: AtomicU64,
    /// Microseconds from the start of the agents to the last task that was ordered to run.
    pub(crate) last: AtomicU64,
}

/// The fleet, for who measures.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) counts: Arc<Counts>,
    pub(crate) begun: Instant,
    pub(crate) instances: Arc<Vec<String>>,
}

impl Fleet {
    /// Waits until a count is reached, or it is too late.
    pub(crate) async fn until(&self, count: fn(&Counts) -> &AtomicU64, least: u64) -> Result<()> {
        let mut before = (count(&self.counts).load(Ordering::Relaxed), now());
        loop {
            let n = count(&self.counts).load(Ordering::Relaxed);
            if n >= least {
                return Ok(());
            }
            if n != before.0 {
                before = (n, now());
            }
            // As long as something moves it is worth waiting.
            if before.1.elapsed() > Duration::from_secs(60) {
                anyhow::bail!(
                    "nothing has moved for a minute at {n} of {least}: {:?}",
                    self.counts
                );
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// How agents are made.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) cluster: String,
    pub(crate) agents: u32,
    /// CPU units, and MiB, of each instance.
    pub(crate) size: u32,
    /// Connections over which reports are made.
    pub(crate) reporters: usize,
    /// Whether instances that are there already are taken over.
    pub(crate) adopt: bool,
    /// Whether tasks stay as they were ordered: nobody reports.
    pub(crate) silent: bool,
}

/// The instances of a cluster that are there.
async fn adopt(pool: &Pool, plan: &Plan) -> Result<Vec<String>> {
    let (mut arns, mut token) = (Vec::new(), Value::Null);
    loop {
        let mut request = json!({"cluster": plan.cluster});
        if token.is_string() {
            request["nextToken"] = token;
        }
        let mut page = pool.ask("ListContainerInstances", &request).await?;
        let found = page["containerInstanceArns"].as_array().cloned().unwrap_or_default();
        arns.extend(found.iter().filter_map(|arn| arn.as_str().map(str::to_owned)));
        token = page["nextToken"].take();
        if !token.is_string() || arns.len() >= plan.agents as usize {
            arns.truncate(plan.agents as usize);
            return Ok(arns);
        }
    }
}

async fn register(pool: &Pool, plan: &Plan, number: u32) -> Result<String> {
    let zone = format!("zone-{}", char::from(b'a' + u8::try_from(number % 3).unwrap_or(0)));
    let mut attributes: Vec<Value> =
        CAPABILITIES.iter().map(|name| json!({"name": name})).collect();
    attributes.push(json!({"name": "ecs.availability-zone", "value": zone}));
    let whole =
        |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let ports =
        json!({"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22", "2375", "51678"]});
    let document = json!({"instanceId": format!("i-{number:017x}")}).to_string();
    let request = json!({
        "cluster": plan.cluster,
        "instanceIdentityDocument": document,
        "totalResources": [whole("CPU", plan.size), whole("MEMORY", plan.size), ports],
        "versionInfo": {"agentVersion": "0.1.0", "agentHash": "fleet", "dockerVersion": "wharf"},
        "attributes": attributes,
    });
    let answer = pool.ask("RegisterContainerInstance", &request).await?;
    let arn = answer["containerInstance"]["containerInstanceArn"].as_str();
    Ok(arn.context("an instance has an ARN")?.to_owned())
}

async fn register_all(pool: &Pool, plan: &Plan) -> Result<Vec<String>> {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut joining = JoinSet::new();
    for number in 0..plan.agents {
        let (pool, plan, gate) = (pool.clone(), plan.clone(), Arc::clone(&gate));
        joining.spawn(async move {
            let _permit = gate.acquire_owned().await;
            register(&pool, &plan, number).await
        });
    }
    let mut all = Vec::new();
    while let Some(joined) = joining.join_next().await {
        all.push(joined??);
    }
    Ok(all)
}

/// Makes the fleet: every agent is registered and connected when it is there. What runs it lives in the
/// runtime of the caller.
pub(crate) async fn start(server: &Arc<Server>, plan: Plan) -> Result<Fleet> {
    let pool = Pool::new(Arc::clone(server));
    let begun = now();
    let instances: Vec<String> =
        if plan.adopt { adopt(&pool, &plan).await? } else { register_all(&pool, &plan).await? };
    let registered = begun.elapsed();
    let counts = Arc::new(Counts::default());
    let (reports, reported) = mpsc::unbounded_channel();
    let reported = Arc::new(Mutex::new(reported));
    for _ in 0..plan.reporters {
        let (server, counts) = (Arc::clone(server), Arc::clone(&counts));
        tokio::spawn(report(server, Arc::clone(&reported), counts));
    }
    let fleet = Fleet { counts, begun, instances: Arc::new(instances) };
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let endpoint = discover(&pool, &plan.cluster).await?;
    for arn in fleet.instances.iter() {
        let agent = Agent {
            server: Arc::clone(server),
            fleet: fleet.clone(),
            gate: Arc::clone(&gate),
            reports: reports.clone(),
            silent: plan.silent,
            endpoint: endpoint.clone(),
            cluster: plan.cluster.clone(),
            arn: arn.clone(),
        };
        tokio::spawn(agent.run());
    }
    fleet.until(|counts| &counts.open, fleet.instances.len() as u64).await?;
    println!(
        "  {} agents: registered after {:.2} s, connected after {:.2} s",
        fleet.instances.len(),
        registered.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    Ok(fleet)
}

async fn discover(pool: &Pool, cluster: &str) -> Result<String> {
    let answer = pool.ask("DiscoverPollEndpoint", &json!({"cluster": cluster})).await?;
    Ok(answer["endpoint"].as_str().context("an endpoint is told")?.to_owned())
}

/// What an agent has to tell of a task.
#[derive(Debug)]
struct Report {
    task: String,
    containers: Vec<String>,
    runs: bool,
}

impl Report {
    fn body(&self, digest: &str) -> Value {
        let status = if self.runs { "RUNNING" } else { "STOPPED" };
        let one = |name: &String| {
            let mut container = json!({
                "containerName": name, "runtimeId": &digest[7..], "status": status,
                "imageDigest": digest, "networkBindings": [],
            });
            if !self.runs {
                container["exitCode"] = json!(0);
            }
            container
        };
        let containers: Vec<Value> = self.containers.iter().map(one).collect();
        json!({"task": self.task, "status": status, "containers": containers})
    }
}

/// Reports over one connection; what is refused or lost is reported again, as agents do.
async fn report(
    server: Arc<Server>,
    reported: Arc<Mutex<mpsc::UnboundedReceiver<Report>>>,
    counts: Arc<Counts>,
) {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let mut link: Option<Link> = None;
    loop {
        let Some(report) = reported.lock().await.recv().await else { return };
        let body = report.body(&digest).to_string();
        let mut pause = Duration::from_millis(50);
        loop {
            if link.is_none() {
                link = Link::open(&server.address).await.ok();
            }
            let request = server.request("SubmitTaskStateChange", body.as_bytes());
            let answer = match &mut link {
                Some(link) => link.call(&request).await.ok(),
                None => None,
            };
            match answer {
                Some(answer) if answer.status == 200 => break,
                Some(_) => {}
                None => link = None,
            }
            counts.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        let count = if report.runs { &counts.running } else { &counts.stopped };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// What of a message an agent looks at.
#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    message: Said,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    message_id: String,
    tasks: Vec<Ordered>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ordered {
    arn: String,
    desired_status: String,
    containers: Vec<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

struct Agent {
    server: Arc<Server>,
    fleet: Fleet,
    gate: Arc<Semaphore>,
    reports: mpsc::UnboundedSender<Report>,
    silent: bool,
    endpoint: String,
    cluster: String,
    arn: String,
}

type Socket = WebSocketStream<TcpStream>;

impl Agent {
    /// Keeps a session open.
    async fn run(self) {
        let mut pause = Duration::from_millis(250);
        loop {
            let opened = {
                let _permit = self.gate.acquire().await;
                self.open().await
            };
            if let Ok(socket) = opened {
                self.talk(socket).await;
                pause = Duration::from_millis(250);
            }
            self.fleet.counts.broken.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn open(&self) -> Result<Socket> {
        let query = ConnectQuery {
            agent_hash: "fleet".to_owned(),
            agent_version: "0.1.0".to_owned(),
            cluster: self.cluster.clone(),
            container_instance_arn: self.arn.clone(),
            docker_version: "wharf".to_owned(),
            protocol_version: Some(2),
            send_credentials: false,
            seq_num: 1,
        };
        let url = format!("{}/ws?{}", self.endpoint.trim_end_matches('/'), query.render());
        let connection = &self.server.connection;
        let scope = Scope::new(connection.region.clone(), "ecs");
        let signed = sign_websocket(&url, &connection.credentials, &scope, SystemClock.now())?;
        let mut request = url.replacen("http", "ws", 1).into_client_request()?;
        for (name, value) in signed {
            request
                .headers_mut()
                .insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        let stream = TcpStream::connect(&self.server.address).await?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(8 * 1024);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
        Ok(socket)
    }

    /// The session counts from the first word of the server, which then knows that the agent is there.
    async fn talk(&self, socket: Socket) {
        let mut greeted = false;
        self.hear(socket, &mut greeted).await;
        if greeted {
            self.fleet.counts.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn hear(&self, socket: Socket, greeted: &mut bool) {
        let (mut out, mut from) = socket.split();
        while let Some(Ok(message)) = from.next().await {
            let Message::Text(text) = message else { continue };
            let Ok(Frame { kind, message }) = serde_json::from_str::<Frame>(&text) else {
                continue;
            };
            if !std::mem::replace(greeted, true) {
                self.fleet.counts.open.fetch_add(1, Ordering::Relaxed);
            }
            let said = match kind.as_str() {
                "PayloadMessage" => self.obey(&mut out, message).await,
                "HeartbeatMessage" => {
                    let ack = AgentMessage::HeartbeatAck { message_id: message.message_id };
                    out.send(Message::text(ack.encode())).await
                }
                _ => Ok(()),
            };
            if said.is_err() {
                return;
            }
        }
    }

    async fn obey(
        &self,
        out: &mut SplitSink<Socket, Message>,
        payload: Said,
    ) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let ack = AgentMessage::Ack {
            cluster: self.cluster.clone(),
            container_instance: self.arn.clone(),
            message_id: payload.message_id,
        };
        let counts = &self.fleet.counts;
        for task in payload.tasks {
            let runs = task.desired_status == "RUNNING";
            if runs {
                counts.assigned.fetch_add(1, Ordering::Relaxed);
                let at = self.fleet.begun.elapsed().as_micros();
                counts.last.fetch_max(u64::try_from(at).unwrap_or(0), Ordering::Relaxed);
            }
            if self.silent {
                continue;
            }
            let containers = task.containers.into_iter().map(|named| named.name).collect();
            // Nobody reports any more when all is over.
            drop(self.reports.send(Report { task: task.arn, containers, runs }));
        }
        out.send(Message::text(ack.encode())).await
    }
}
