//! Agent sessions over real sockets: what an agent is told, and what its words and its absence do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use aws::agent::acs::{self, AgentMessage, ConnectQuery, ServerMessage};
use aws::agent::tcs;
use aws::ecs;
use control::{Mint, MintError, RolePurpose};
use futures_util::{SinkExt, StreamExt};
use model::{
    Attribute, ContainerSpec, DefinitionKey, Document, HealthStatus, InstanceKey, LaunchType,
    NetworkMode, Realm, Resources, Revision, Tags, TaskKey, TaskSpec, TaskStatus,
};
use scheduler::{Command, RegisterInstance, Reply, Resize, RunTask, TaskReport};
use shell::{ShutdownTrigger, SystemClock, shutdown};
use stdx::{SeededEntropy, Timestamp};
use store::{MemoryEngine, Store};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PATIENCE: Duration = Duration::from_secs(20);

/// Gives each role credentials of its name, but the role `gone`.
#[derive(Debug)]
struct Coins;

impl Mint for Coins {
    fn mint(
        &self,
        role: &str,
        task: &TaskKey,
        purpose: RolePurpose,
        _now: Timestamp,
    ) -> Result<acs::RoleCredentials, MintError> {
        if role == "gone" {
            return Err(MintError::CannotAssume(role.to_owned()));
        }
        Ok(acs::RoleCredentials {
            credentials_id: format!("{purpose:?}-{}", task.task),
            role_arn: role.to_owned(),
            ..Default::default()
        })
    }
}

struct World {
    store: Store,
    engine: MemoryEngine,
    address: String,
    instance: InstanceKey,
    _trigger: ShutdownTrigger,
}

async fn submit(store: &Store, command: Command) -> Reply {
    store.submit(command).await.expect("the command is right").reply
}

fn definition() -> Command {
    let container = ecs::ContainerDefinition {
        name: Some("app".into()),
        image: Some("hello:1".into()),
        memory: Some(64),
        essential: Some(true),
        ..Default::default()
    };
    let document = ecs::TaskDefinition {
        container_definitions: Some(vec![container]),
        network_mode: Some(ecs::NetworkMode::Bridge),
        ..Default::default()
    };
    Command::RegisterDefinition {
        family: "app".into(),
        document: Document(serde_json::to_vec(&document).unwrap().into()),
        spec: TaskSpec {
            network_mode: NetworkMode::Bridge,
            compatibilities: vec![],
            cpu: None,
            memory: None,
            containers: vec![ContainerSpec {
                name: "app".into(),
                image: "hello:1".into(),
                essential: true,
                cpu: 0,
                memory: Some(64),
                memory_reservation: None,
                ports: vec![],
                has_health_check: true,
                gpus: 0,
            }],
            constraints: vec![],
            required_attributes: vec![],
        },
        tags: Tags::default(),
        by: "arn:aws:iam::123456789012:root".into(),
    }
}

fn run() -> Command {
    Command::RunTask(RunTask {
        cluster: "default".into(),
        definition: DefinitionKey { family: "app".into(), revision: Revision(1) },
        count: 1,
        launch_type: LaunchType::Ec2,
        providers: Vec::new(),
        group: None,
        started_by: None,
        overrides: None,
        resize: Resize::default(),
        constraints: vec![],
        strategy: vec![],
        tags: Tags::default(),
        propagate_from_definition: false,
        enable_ecs_managed_tags: false,
        enable_execute_command: false,
        network: None,
        client_token: None,
    })
}

/// Measures nothing.
#[derive(Debug)]
struct Deaf;

impl control::MetricSink for Deaf {
    fn record(&self, _: Vec<control::Measured>) {}
}

async fn world() -> World {
    let chance = || Box::new(SeededEntropy::new(3));
    let realm = Realm::new("us-east-1", "123456789012");
    let engine = MemoryEngine::default();
    let store =
        Store::open(Box::new(engine.clone()), realm, SystemClock::shared(), chance()).unwrap();
    submit(&store, Command::CreateCluster { name: "default".into(), tags: Tags::default() }).await;
    submit(&store, definition()).await;
    let register = RegisterInstance {
        cluster: "default".into(),
        known_as: None,
        ec2_instance_id: None,
        address: None,
        resources: Resources { cpu: 1024, memory: 1024, ..Resources::default() },
        attributes: vec![Attribute { name: "ecs.os-type".into(), value: Some("linux".into()) }],
        tags: Tags::default(),
    };
    let Reply::Instance(instance) = submit(&store, Command::RegisterInstance(register)).await
    else {
        panic!("an instance registers");
    };
    let (trigger, stop) = shutdown();
    let (mint, sink) = (Arc::new(Coins), Arc::new(Deaf));
    let clock = SystemClock::shared();
    let started = control::start(store.clone(), clock, chance(), mint, sink, stop).await;
    let (routes, _agents) = started.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    World { store, engine, address, instance: instance.key, _trigger: trigger }
}

impl World {
    fn arn(&self) -> String {
        self.store.snapshot().realm().instance(&self.instance)
    }

    async fn acs(&self) -> Result<Socket, tungstenite::Error> {
        self.acs_as(&self.arn()).await
    }

    async fn acs_as(&self, arn: &str) -> Result<Socket, tungstenite::Error> {
        let query = ConnectQuery {
            agent_hash: "abc".into(),
            agent_version: "1.2.3".into(),
            cluster: "default".into(),
            container_instance_arn: arn.to_owned(),
            docker_version: "20.10".into(),
            ..Default::default()
        };
        let url = format!("ws://{}/acs/ws?{}", self.address, query.render());
        tokio_tungstenite::connect_async(url).await.map(|(socket, _)| socket)
    }

    fn connected(&self) -> bool {
        self.store.snapshot().instance(&self.instance).unwrap().agent.connected
    }

    async fn place(&self) -> TaskKey {
        match submit(&self.store, run()).await {
            Reply::Tasks { placed, failures } if failures.is_empty() => placed[0].clone(),
            other => panic!("the task is placed, not {other:?}"),
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let mut changed = self.store.subscribe();
        let waited = async {
            while !holds(self) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

async fn text(socket: &mut Socket) -> String {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message comes");
        if let Message::Text(text) = message.expect("it is open").expect("it is whole") {
            return text.to_string();
        }
    }
}

/// The next message that is not a heartbeat.
async fn told(socket: &mut Socket) -> ServerMessage {
    loop {
        match ServerMessage::decode(&text(socket).await).unwrap() {
            ServerMessage::Heartbeat { .. } => {}
            other => return other,
        }
    }
}

async fn payload(socket: &mut Socket) -> acs::PayloadMessage {
    match told(socket).await {
        ServerMessage::Payload(payload) => payload,
        other => panic!("a payload, not {other:?}"),
    }
}

async fn manifest(socket: &mut Socket) -> acs::TaskManifestMessage {
    match told(socket).await {
        ServerMessage::TaskManifest(manifest) => manifest,
        other => panic!("a manifest, not {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_sent_once_and_then_its_stop() {
    let world = world().await;
    let mut socket = world.acs().await.unwrap();
    assert!(manifest(&mut socket).await.tasks.is_empty());
    world.until("connected", World::connected).await;
    let agent = world.store.snapshot().instance(&world.instance).unwrap().agent.clone();
    assert_eq!(agent.version.as_deref(), Some("1.2.3"));

    let key = world.place().await;
    let sent = payload(&mut socket).await;
    assert_eq!(sent.cluster_arn, "default");
    let [task] = &sent.tasks[..] else { panic!("one task") };
    assert_eq!(task.arn, world.store.snapshot().realm().task(&key));
    assert_eq!(task.desired_status, acs::DesiredStatus::Running);
    assert_eq!(task.containers[0].image.as_deref(), Some("hello:1"));
    assert_eq!(task.containers[0].memory, Some(64));
    let typed = &task.wharf.as_ref().unwrap().container_definitions;
    assert_eq!(typed[0].name.as_deref(), Some("app"));

    submit(&world.store, Command::StopTask { key: key.clone(), reason: None }).await;
    let stop = payload(&mut socket).await;
    assert!(stop.seq_num > sent.seq_num, "one counter, and it grows");
    assert_eq!(stop.tasks[0].desired_status, acs::DesiredStatus::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_cannot_be_recorded_ends_and_its_end_is_recorded_in_the_end() {
    let world = world().await;
    world.engine.fail_next_commits(1);
    let mut socket = world.acs().await.unwrap();
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("it ends") {
            Some(Ok(Message::Text(text))) => panic!("it is told {text}"),
            None | Some(Ok(Message::Close(_)) | Err(_)) => break,
            Some(Ok(_)) => {}
        }
    }
    assert!(!world.connected());

    let mut socket = world.acs().await.unwrap();
    manifest(&mut socket).await;
    world.until("connected", World::connected).await;
    world.engine.fail_next_commits(2);
    drop(socket);
    // Nobody else would make it known.
    world.until("away", |w| !w.connected()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_comes_back_is_told_what_it_missed() {
    let world = world().await;
    let mut socket = world.acs().await.unwrap();
    manifest(&mut socket).await;
    world.until("connected", World::connected).await;
    let (running, pending) = (world.place().await, world.place().await);
    socket.close(None).await.unwrap();
    world.until("away", |w| !w.connected()).await;
    let report = TaskReport {
        key: running.clone(),
        status: Some(TaskStatus::Running),
        reason: None,
        containers: vec![],
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    };
    submit(&world.store, Command::ReportTask(report)).await;

    let mut socket = world.acs().await.unwrap();
    assert_eq!(manifest(&mut socket).await.tasks.len(), 2, "it should know of both");
    let again = payload(&mut socket).await;
    let arn = |key| world.store.snapshot().realm().task(key);
    let sent: Vec<&String> = again.tasks.iter().map(|t| &t.arn).collect();
    assert_eq!(sent, [&arn(&pending)], "what runs there is not sent again");

    let candidate = |arn: String| acs::TaskIdentifier { task_arn: arn, ..Default::default() };
    let stranger = "arn:aws:ecs:us-east-1:123456789012:task/default/ffff".to_owned();
    let question = AgentMessage::TaskStopVerification {
        message_id: "m".into(),
        stop_candidates: vec![candidate(stranger.clone()), candidate(arn(&running))],
    };
    socket.send(Message::Text(question.encode().into())).await.unwrap();
    let ServerMessage::TaskStopVerificationAck(ack) = told(&mut socket).await else {
        panic!("a verdict")
    };
    let stopped: Vec<&String> = ack.stop_tasks.iter().map(|t| &t.task_arn).collect();
    assert_eq!(stopped, [&stranger]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_session_takes_over_quietly() {
    let world = world().await;
    let mut first = world.acs().await.unwrap();
    manifest(&mut first).await;
    let mut second = world.acs().await.unwrap();
    manifest(&mut second).await;
    // The older one is closed, and the agent still counts as connected.
    let ended = async { while let Some(Ok(_)) = first.next().await {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the older session ends");
    world.place().await;
    payload(&mut second).await;
    assert!(world.connected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_with_the_contracts_words() {
    let world = world().await;
    let unknown = "arn:aws:ecs:us-east-1:123456789012:container-instance/default/00ff";
    for (arn, reason) in [
        (unknown, acs::Rejection::InactiveInstance),
        ("arn:aws:ecs:us-east-1:123456789012:cluster/default", acs::Rejection::InvalidInstance),
        ("nonsense", acs::Rejection::InvalidInstance),
    ] {
        let Err(tungstenite::Error::Http(answer)) = world.acs_as(arn).await else {
            panic!("{arn} is refused")
        };
        assert_eq!(answer.status(), 400);
        let body = String::from_utf8(answer.body().clone().unwrap()).unwrap();
        assert_eq!(acs::Rejection::parse(&body).unwrap().0, reason, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_reports_become_facts_and_everything_is_acknowledged() {
    let world = world().await;
    let mut acs = world.acs().await.unwrap();
    manifest(&mut acs).await;
    world.until("connected", World::connected).await;
    let key = world.place().await;
    let query = tcs::ConnectQuery {
        cluster: "default".into(),
        container_instance_arn: world.arn(),
        ..Default::default()
    };
    let url = format!("ws://{}/tcs/ws?{}", world.address, query.render());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let request = tcs::PublishHealthRequest {
        tasks: vec![tcs::TaskHealth {
            task_arn: world.store.snapshot().realm().task(&key),
            containers: vec![tcs::ContainerHealth {
                container_name: "app".into(),
                health_status: Some(ecs::HealthStatus::Healthy),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut frame = tcs::Frame::plain(tcs::AgentMessage::PublishHealth(request));
    frame.headers.push(("X-Amz-Date".into(), "20261122T143057Z".into()));
    socket.send(Message::Text("not a frame".into())).await.unwrap();
    socket.send(Message::Text(frame.encode().into())).await.unwrap();
    loop {
        match tcs::ServerMessage::decode(&text(&mut socket).await).unwrap() {
            tcs::ServerMessage::Heartbeat { .. } => {}
            tcs::ServerMessage::AckPublishHealth { .. } => break,
            other => panic!("an acknowledgement, not {other:?}"),
        }
    }
    let state = world.store.snapshot();
    let health = state.task(&key).unwrap().progress.containers[0].health;
    assert_eq!(health, HealthStatus::Healthy);
}

/// A definition that names roles, and a task of it.
fn with_roles(task_role: &str) -> [Command; 2] {
    let Command::RegisterDefinition { document, spec, tags, by, .. } = definition() else {
        panic!("a definition")
    };
    let mut wire: ecs::TaskDefinition = serde_json::from_slice(&document.0).unwrap();
    wire.task_role_arn = Some(task_role.to_owned());
    wire.execution_role_arn = Some("execution".to_owned());
    let document = Document(serde_json::to_vec(&wire).unwrap().into());
    let family = model::Family::from("roles");
    let Command::RunTask(run) = run() else { panic!("a run") };
    let key = DefinitionKey { family: family.clone(), revision: Revision(1) };
    [
        Command::RegisterDefinition { family, document, spec, tags, by },
        Command::RunTask(RunTask { definition: key, ..run }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_come_as_credentials_and_come_again_with_a_new_session() {
    let world = world().await;
    let mut socket = world.acs().await.unwrap();
    manifest(&mut socket).await;
    world.until("connected", World::connected).await;
    for command in with_roles("application") {
        submit(&world.store, command).await;
    }
    let sent = payload(&mut socket).await;
    let [task] = &sent.tasks[..] else { panic!("one task") };
    let role = |given: &Option<acs::RoleCredentials>| given.as_ref().map(|c| c.role_arn.clone());
    assert_eq!(role(&task.role_credentials).as_deref(), Some("application"));
    assert_eq!(role(&task.execution_role_credentials).as_deref(), Some("execution"));

    let (_, key) = task.arn.rsplit_once('/').unwrap();
    let report = TaskReport {
        key: TaskKey { cluster: "default".into(), task: key.into() },
        status: Some(TaskStatus::Running),
        reason: None,
        containers: vec![],
        pull_started_at: None,
        pull_stopped_at: None,
        execution_stopped_at: None,
    };
    submit(&world.store, Command::ReportTask(report)).await;
    let mut socket = world.acs().await.unwrap();
    manifest(&mut socket).await;
    let mut types = Vec::new();
    for _ in 0..2 {
        let ServerMessage::IamRoleCredentials(message) = told(&mut socket).await else {
            panic!("credentials")
        };
        assert_eq!(message.task_arn, task.arn);
        assert!(!message.message_id.is_empty());
        types.push((message.role_type, message.role_credentials.role_arn));
    }
    let expected = [
        (acs::RoleType::TaskApplication, "application".to_owned()),
        (acs::RoleType::TaskExecution, "execution".to_owned()),
    ];
    assert_eq!(types, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_role_can_not_be_assumed_is_stopped_with_the_reason() {
    let world = world().await;
    let mut socket = world.acs().await.unwrap();
    manifest(&mut socket).await;
    world.until("connected", World::connected).await;
    for command in with_roles("gone") {
        submit(&world.store, command).await;
    }
    let stopped = |w: &World| {
        w.store.snapshot().all_tasks().any(|task| task.progress.status == TaskStatus::Stopped)
    };
    world.until("stopped", stopped).await;
    let state = world.store.snapshot();
    let progress = &state.all_tasks().next().unwrap().progress;
    assert_eq!(progress.stop_code, Some(model::StopCode::TaskFailedToStart));
    let reason = progress.stopped_reason.as_deref().unwrap();
    assert!(reason.starts_with("ECS was unable to assume the role 'gone'"), "{reason}");
}
