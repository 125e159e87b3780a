//! The endpoints over real connections: documents member by member, and who is answered what. The
//! loopback network lends a task its address: a request from 127.0.0.9 is one of that container.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws::agent::acs::RoleCredentials;
use aws::{ClientError, ecs};
use net::{Attachment, Counters, InsidePorts, NetError, PortBinding, PortRequest, Protocol};
use runtime::{ContainerId, Fake, Health, SandboxId, Usage};
use serde_json::{Value, json};
use shell::{ManualClock, ShutdownTrigger};
use stdx::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::documents::Version;
use super::stats::{Machine, Pair, Sample, StatsDocument};
use super::*;
use crate::networking::Networking;

const TASK: &str =
    "arn:aws:ecs:eu-west-1:000000000000:task/default/0123456789abcdef0123456789abcdef";
const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
const BRIDGE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A network whose gateway is a loopback address.
#[derive(Debug, Default)]
struct Net(Mutex<Option<InsidePorts>>);

#[async_trait]
impl Networking for Net {
    async fn attach(&self, _: &str, _: OwnedFd, _: &[PortRequest]) -> Result<Attachment, NetError> {
        unreachable!("nothing is attached here")
    }
    async fn reserve_host_ports(
        &self,
        _: &str,
        _: &[PortRequest],
    ) -> Result<Vec<PortBinding>, NetError> {
        unreachable!("nothing is reserved here")
    }
    async fn detach(&self, _: &str) -> Result<(), NetError> {
        Ok(())
    }
    async fn retain(&self, _: &BTreeSet<String>) -> Result<(), NetError> {
        Ok(())
    }
    fn counters(&self, _: &str) -> Option<Counters> {
        None
    }
    fn gateway(&self) -> Option<Ipv4Addr> {
        Some(BRIDGE)
    }
    async fn lead_inside(&self, ports: InsidePorts) -> Result<(), NetError> {
        *self.0.lock().unwrap() = Some(ports);
        Ok(())
    }
}

/// A server that answers by script and remembers who asked what.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<String>>,
    silent: Mutex<bool>,
}

impl Scripted {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

#[async_trait]
impl Server for Scripted {
    async fn tags(&self, arn: &str) -> Result<Vec<ecs::Tag>, ClientError> {
        self.note(format!("tags {arn}"));
        if arn.contains("container-instance") {
            let error = aws::Error::new("AccessDeniedException", 400, "not authorized");
            return Err(ClientError::Service(error));
        }
        Ok(vec![ecs::Tag { key: Some("team".to_owned()), value: Some("blue".to_owned()) }])
    }

    async fn get_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::GetTaskProtectionRequest,
    ) -> Result<ecs::GetTaskProtectionResponse, ClientError> {
        self.note(format!("get {} {:?}", role.access_key_id, request.cluster));
        if *self.silent.lock().unwrap() {
            std::future::pending::<()>().await;
        }
        let task = ecs::ProtectedTask {
            protection_enabled: Some(false),
            task_arn: Some(TASK.to_owned()),
            ..Default::default()
        };
        Ok(ecs::GetTaskProtectionResponse { protected_tasks: Some(vec![task]), failures: None })
    }

    async fn update_protection(
        &self,
        role: &RoleCredentials,
        request: ecs::UpdateTaskProtectionRequest,
    ) -> Result<ecs::UpdateTaskProtectionResponse, ClientError> {
        let (enabled, minutes) = (request.protection_enabled, request.expires_in_minutes);
        self.note(format!("update {} {enabled:?} {minutes:?}", role.access_key_id));
        let task = ecs::ProtectedTask {
            expiration_date: Some(Timestamp::from_millis(1_795_357_857_000)),
            protection_enabled: enabled,
            task_arn: Some(TASK.to_owned()),
        };
        Ok(ecs::UpdateTaskProtectionResponse { protected_tasks: Some(vec![task]), failures: None })
    }
}

struct World {
    directory: Arc<Directory>,
    server: Arc<Scripted>,
    clock: ManualClock,
    ports: InsidePorts,
    endpoints: Endpoints,
    _trigger: ShutdownTrigger,
}

impl World {
    async fn new() -> Self {
        let directory = Arc::new(Directory::new([7; 32]));
        let (server, net) = (Arc::new(Scripted::default()), Arc::new(Net::default()));
        let clock = ManualClock::new(Timestamp::from_millis(1_795_357_857_123));
        let (trigger, shutdown) = shell::shutdown();
        let around = Surroundings {
            runtime: Arc::new(Fake::new(Arc::new(clock.clone()))),
            networking: Arc::clone(&net) as Arc<dyn Networking>,
            server: Arc::clone(&server) as Arc<dyn Server>,
            clock: Arc::new(clock.clone()),
        };
        let endpoints = Endpoints::start(around, Arc::clone(&directory), shutdown).await.unwrap();
        let ports = net.0.lock().unwrap().unwrap();
        Self { directory, server, clock, ports, endpoints, _trigger: trigger }
    }

    fn id(&self) -> String {
        self.directory.endpoint_id(&ContainerId::new("t-0"))
    }

    /// The answer to a request from a container of that address.
    async fn ask(&self, from: Ipv4Addr, method: &str, path: &str, body: &str) -> (u16, Value) {
        let port = self.ports.bridge.unwrap();
        request((from, BRIDGE, port), method, path, body).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(OWN, "GET", path, "").await
    }
}

async fn request(
    (from, to, port): (Ipv4Addr, Ipv4Addr, u16),
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect((to, port).into()).await.unwrap();
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let value = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
    (status, value)
}

pub(super) fn container() -> ContainerMeta {
    let started = Timestamp::from_millis(1_795_357_800_500);
    ContainerMeta {
        id: ContainerId::new("t-0"),
        name: "web".to_owned(),
        image: "registry.example/web:1".to_owned(),
        image_id: "sha256:aa".to_owned(),
        ports: vec![PortBinding {
            bind_ip: Ipv4Addr::UNSPECIFIED.into(),
            container_port: 80,
            host_port: 32768,
            protocol: Protocol::Tcp,
        }],
        labels: BTreeMap::from([("com.amazonaws.ecs.container-name".to_owned(), "web".to_owned())]),
        desired: Phase::Running,
        known: Phase::Running,
        exit_code: None,
        cpu: 0,
        memory: 128,
        created_at: Some(started),
        started_at: Some(started),
        finished_at: None,
        address: Some(OWN),
        attachment: Some("t".to_owned()),
        health: Some((Health::Healthy, Some(started))),
        volumes: vec![VolumeMeta {
            source: "/data".to_owned(),
            destination: "/mnt".to_owned(),
            ..Default::default()
        }],
        log_driver: Some("awslogs".to_owned()),
        log_options: BTreeMap::from([("awslogs-group".to_owned(), "/g".to_owned())]),
        arn: Some("arn:aws:ecs:eu-west-1:000000000000:container/default/t/c".to_owned()),
        restarts: Some(2),
        gpus: vec!["GPU-1".to_owned()],
    }
}

pub(super) fn task() -> TaskMeta {
    let waiting = ContainerMeta {
        id: ContainerId::new("t-1"),
        name: "later".to_owned(),
        known: Phase::None,
        address: None,
        gpus: Vec::new(),
        ..container()
    };
    TaskMeta {
        id: "t".to_owned(),
        arn: TASK.to_owned(),
        cluster: "default".to_owned(),
        family: "shop".to_owned(),
        revision: "3".to_owned(),
        service_name: Some("shop".to_owned()),
        launch_type: LaunchType::Ec2,
        availability_zone: Some("eu-west-1a".to_owned()),
        desired: Phase::Running,
        known: Phase::Running,
        cpu: Some(0.25),
        memory: Some(512),
        pull_started_at: Some(Timestamp::from_millis(1_795_357_790_000)),
        pull_stopped_at: Some(Timestamp::from_millis(1_795_357_799_000)),
        execution_stopped_at: None,
        network: TaskNetwork::Bridge,
        interface: None,
        sandbox: SandboxId::new("t"),
        credentials_id: Some("cred".to_owned()),
        containers: vec![container(), waiting],
    }
}

fn credentials() -> RoleCredentials {
    RoleCredentials {
        credentials_id: "cred".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/shop".to_owned(),
        access_key_id: "ASIA1".to_owned(),
        secret_access_key: "secret".to_owned(),
        session_token: "token".to_owned(),
        expiration: "2026-11-22T20:00:00Z".to_owned(),
        credential_scope: None,
    }
}

fn v3_container() -> Value {
    json!({
        "DockerId": "t-0", "Name": "web", "DockerName": "", "Image": "registry.example/web:1",
        "ImageID": "sha256:aa",
        "Ports": [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 32768}],
        "Labels": {"com.amazonaws.ecs.container-name": "web"},
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
        "Limits": {"CPU": 2, "Memory": 128},
        "CreatedAt": "2026-11-22T14:30:00.500Z", "StartedAt": "2026-11-22T14:30:00.500Z",
        "Type": "NORMAL",
        "Health": {"status": "HEALTHY", "statusSince": "2026-11-22T14:30:00.500Z"},
        "Volumes": [{"Source": "/data", "Destination": "/mnt"}],
        "Networks": [{"NetworkMode": "bridge", "IPv4Addresses": ["127.0.0.9"]}]
    })
}

fn v4_container() -> Value {
    let mut document = v3_container();
    document["Ports"][0]["HostIp"] = json!("0.0.0.0");
    document["LogDriver"] = json!("awslogs");
    document["LogOptions"] = json!({"awslogs-group": "/g"});
    document["ContainerARN"] = json!("arn:aws:ecs:eu-west-1:000000000000:container/default/t/c");
    document["RestartCount"] = json!(2);
    document
}

fn v3_task(container: Value) -> Value {
    json!({
        "Cluster": "default", "TaskARN": TASK, "Family": "shop", "Revision": "3",
        "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0.25, "Memory": 512},
        "PullStartedAt": "2026-11-22T14:29:50.000Z",
        "PullStoppedAt": "2026-11-22T14:29:59.000Z",
        "AvailabilityZone": "eu-west-1a",
        "Containers": [container]
    })
}

/// The name in place of Docker's, checked for its form and taken out.
fn named(mut document: Value) -> Value {
    let name = document["DockerName"].as_str().unwrap().to_owned();
    let tail = name.strip_prefix("ecs-shop-3-web-").unwrap();
    assert!(tail.len() == 20 && tail.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
    document["DockerName"] = json!("");
    document
}

#[tokio::test]
async fn versions_3_and_4_tell_exactly_their_members() {
    let world = World::new().await;
    world.directory.put_task(task());
    let id = world.id();
    let (status, v3) = world.get(&format!("/v3/{id}")).await;
    assert_eq!((status, named(v3)), (200, v3_container()));
    let (status, v4) = world.get(&format!("/v4/{id}")).await;
    assert_eq!((status, named(v4)), (200, v4_container()));

    let (status, mut v3) = world.get(&format!("/v3/{id}/task")).await;
    v3["Containers"][0] = named(v3["Containers"][0].clone());
    assert_eq!((status, v3), (200, v3_task(v3_container())));
    let (status, mut v4) = world.get(&format!("/v4/{id}/task")).await;
    v4["Containers"][0] = named(v4["Containers"][0].clone());
    let mut wanted = v3_task(v4_container());
    wanted["LaunchType"] = json!("EC2");
    wanted["ServiceName"] = json!("shop");
    wanted["FaultInjectionEnabled"] = json!(false);
    assert_eq!((status, v4), (200, wanted));

    let (status, v2) = world.get("/v2/metadata").await;
    assert_eq!((status, &v2["TaskARN"]), (200, &json!(TASK)));
    let (status, text) = world.ask(STRANGER, "GET", "/v2/metadata", "").await;
    assert_eq!(status, 400);
    assert!(text.as_str().unwrap().contains("unable to associate"), "{text}");
}

#[tokio::test]
async fn what_is_over_or_never_was_asked_for_is_told_as_such() {
    let world = World::new().await;
    let mut over = task();
    (over.cpu, over.memory, over.service_name) = (None, None, None);
    over.containers[0].known = Phase::Stopped;
    over.containers[0].exit_code = Some(137);
    over.containers[0].finished_at = Some(Timestamp::from_millis(1_795_357_857_000));
    over.containers[0].health = Some((Health::Unknown, None));
    over.containers[1].known = Phase::Pulled;
    world.directory.put_task(over);
    let (_, task) = world.get(&format!("/v4/{}/task", world.id())).await;
    assert_eq!(task.get("Limits"), None);
    assert_eq!(task.get("ServiceName"), None);
    let (first, second) = (&task["Containers"][0], &task["Containers"][1]);
    assert_eq!(first["ExitCode"], 137);
    assert_eq!(first["KnownStatus"], "STOPPED");
    assert_eq!(first["FinishedAt"], "2026-11-22T14:30:57.000Z");
    assert_eq!(first["Health"], json!({}));
    assert_eq!((&second["DockerId"], &second["KnownStatus"]), (&json!(""), &json!("PULLED")));
    assert_eq!(second.get("Networks"), None);
}

#[tokio::test]
async fn ids_and_credentials_are_answered_to_their_own_task_alone() {
    let world = World::new().await;
    world.directory.put_credentials("t", credentials());
    assert_eq!(world.get("/v2/credentials/cred").await.0, 400, "the task is not known yet");
    world.directory.put_task(task());
    let id = world.id();
    let wanted = json!({"RoleArn": "arn:aws:iam::000000000000:role/shop",
        "AccessKeyId": "ASIA1", "SecretAccessKey": "secret", "Token": "token",
        "Expiration": "2026-11-22T20:00:00Z"});
    assert_eq!(world.get("/v2/credentials/cred").await, (200, wanted.clone()));
    assert_eq!(world.get("/v1/credentials?id=cred").await, (200, wanted));
    let refused = json!({"code": "InvalidIdInRequest",
        "message": "CredentialsV2Request: Credentials not found", "HTTPErrorCode": 400});
    let stranger = world.ask(STRANGER, "GET", "/v2/credentials/cred", "").await;
    assert_eq!(stranger, (400, refused.clone()));
    assert_eq!(world.get("/v2/credentials/other").await, (400, refused), "the same words");
    let (status, none) = world.get("/v2/credentials/").await;
    assert_eq!((status, &none["code"]), (400, &json!("NoIdInRequest")));

    let machine = (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, world.ports.machine);
    for path in [format!("/v4/{id}"), format!("/v4/{id}/task"), format!("/v4/{id}/stats")] {
        assert_eq!(world.ask(STRANGER, "GET", &path, "").await.0, 404, "{path}");
        assert_eq!(request(machine, "GET", &path, "").await.0, 404, "{path}");
    }
    let (_, text) = world.ask(STRANGER, "GET", &format!("/v4/{id}"), "").await;
    assert_eq!(
        text,
        json!(format!(
            "V4 container metadata handler: unable to get container ID from request: \
             unable to get docker ID from v3 endpoint ID: {id}"
        ))
    );

    // A task of the machine's own network is answered there alone.
    world.directory.put_task(TaskMeta { network: TaskNetwork::Host, ..task() });
    assert_eq!(request(machine, "GET", &format!("/v4/{id}"), "").await.0, 200);
    assert_eq!(request(machine, "GET", "/v2/credentials/cred", "").await.0, 200);
    assert_eq!(world.get(&format!("/v4/{id}")).await.0, 404);
    world.directory.remove_task("t");
    assert_eq!(request(machine, "GET", "/v2/credentials/cred", "").await.0, 400);
}

#[tokio::test]
async fn the_newest_credentials_are_told_and_only_those_of_the_tasks_role() {
    let world = World::new().await;
    world.directory.put_task(task());
    world.directory.put_credentials("t", credentials());
    let newer = RoleCredentials { access_key_id: "ASIA2".to_owned(), ..credentials() };
    world.directory.put_credentials("t", newer);
    let execution = RoleCredentials { credentials_id: "exec".to_owned(), ..credentials() };
    world.directory.put_credentials("t", execution);
    assert_eq!(world.get("/v2/credentials/cred").await.1["AccessKeyId"], "ASIA2");
    assert_eq!(world.get("/v2/credentials/exec").await.0, 400, "not for containers");
    world.directory.remove_credentials("cred");
    assert_eq!(world.get("/v2/credentials/cred").await.0, 400);
}

#[tokio::test]
async fn tags_are_asked_once_in_a_while_and_their_absence_is_explained() {
    let world = World::new().await;
    world.directory.put_task(task());
    let instance = "arn:aws:ecs:eu-west-1:000000000000:container-instance/default/i";
    world.endpoints.instance(instance);
    let path = format!("/v4/{}/taskWithTags", world.id());
    for _ in 0..2 {
        let (status, task) = world.get(&path).await;
        assert_eq!((status, &task["TaskTags"]), (200, &json!({"team": "blue"})));
        assert_eq!(
            task["Errors"],
            json!([{"ErrorField": "ContainerInstanceTags",
                "ErrorCode": "AccessDeniedException", "ErrorMessage": "not authorized",
                "StatusCode": 400, "ResourceARN": instance}])
        );
    }
    let (_, v3) = world.get(&format!("/v3/{}/taskWithTags", world.id())).await;
    assert_eq!(v3.get("Errors"), None);
    let asked = |what: &str| {
        world.server.asked.lock().unwrap().iter().filter(|asked| asked.contains(what)).count()
    };
    assert_eq!(asked(TASK), 1, "remembered");
    assert_eq!(asked(instance), 3, "a failure is not");
    world.clock.advance(Duration::from_secs(11));
    world.get(&path).await;
    assert_eq!(asked(TASK), 2);
}

#[tokio::test]
async fn protection_is_asked_for_as_the_tasks_role() {
    let world = World::new().await;
    world.directory.put_task(task());
    let path = format!("/api/{}/task-protection/v1/state", world.id());
    let put = |body: &'static str| world.ask(OWN, "PUT", &path, body);
    let (status, answer) = put(r#"{"ProtectionEnabled":true}"#).await;
    assert_eq!((status, &answer["error"]["Code"]), (403, &json!("AccessDeniedException")));
    world.directory.put_credentials("t", credentials());
    let (status, answer) = put(r#"{"ProtectionEnabled":true,"ExpiresInMinutes":5}"#).await;
    assert_eq!(
        (status, answer),
        (
            200,
            json!({"protection": {"ExpirationDate": "2026-11-22T14:30:57.000Z",
            "ProtectionEnabled": true, "TaskArn": TASK}})
        )
    );
    let (status, answer) = world.get(&path).await;
    assert_eq!(
        (status, answer),
        (
            200,
            json!({"protection": {"ExpirationDate": null,
            "ProtectionEnabled": false, "TaskArn": TASK}})
        )
    );
    assert_eq!(put("{}").await.0, 400);
    assert_eq!(put("no").await.0, 400);
    assert_eq!(world.ask(STRANGER, "PUT", &path, r#"{"ProtectionEnabled":true}"#).await.0, 404);
    assert_eq!(world.ask(OWN, "DELETE", &path, "").await.0, 405);
    let asked = world.server.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        ["update ASIA1 Some(true) Some(5)", "get ASIA1 Some(\"default\")"],
        "nothing else got through"
    );
    *world.server.silent.lock().unwrap() = true;
    let (status, answer) = world.get(&path).await;
    assert_eq!((status, &answer["error"]["Code"]), (504, &json!("RequestCanceled")));
}

#[tokio::test]
async fn what_is_not_here_is_refused_in_the_agents_words() {
    let world = World::new().await;
    world.directory.put_task(task());
    let id = world.id();
    let fault = format!("/api/{id}/fault/v1/network-latency/start");
    let (status, answer) = world.ask(OWN, "POST", &fault, "{}").await;
    let error = format!("enableFaultInjection is not enabled for task: {TASK}");
    assert_eq!((status, answer), (400, json!({"Error": error})));
    assert_eq!(world.ask(OWN, "GET", &fault, "").await.0, 405);
    let gpus = world.get(&format!("/v4/{id}/associations/gpu")).await;
    assert_eq!(gpus, (200, json!({"Associations": ["GPU-1"]})));
    assert_eq!(world.get(&format!("/v4/{id}/associations/gpu/GPU-1")).await, (200, json!("")));
    assert_eq!(world.get(&format!("/v4/{id}/associations/gpu/GPU-2")).await.0, 404);
    assert_eq!(world.get(&format!("/v4/{id}/associations/elastic-inference")).await.0, 404);
    assert_eq!(world.get("/v4/nobody/associations/gpu").await.0, 400);
    assert_eq!(world.get(&format!("/v4/{id}/secrets")).await, (404, json!("404 page not found\n")));
    let (status, text) = world.get(&format!("/v4/{id}/stats")).await;
    assert_eq!((status, text), (500, json!("Unable to get container stats for: t-0")));
}

#[tokio::test]
async fn a_source_that_asks_too_often_waits_and_others_do_not() {
    let world = World::new().await;
    world.directory.put_task(task());
    let path = format!("/v4/{}", world.id());
    for _ in 0..60 {
        assert_eq!(world.get(&path).await.0, 200);
    }
    let (status, text) = world.get(&path).await;
    assert_eq!((status, text), (429, json!("You have reached maximum request limit.")));
    assert_eq!(world.ask(STRANGER, "GET", &path, "").await.0, 404, "another source");
    for n in 0..59 {
        assert_eq!(world.ask(STRANGER, "GET", &format!("/v4/guess-{n}"), "").await.0, 404);
    }
    assert_eq!(world.ask(STRANGER, "GET", "/v4/guess-60", "").await.0, 429, "guesses add up");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.get(&path).await.0, 200);
}

#[test]
fn statistics_have_dockers_shape() {
    let counters = |bytes| Counters { rx_bytes: bytes, tx_bytes: 2 * bytes, ..Default::default() };
    let sample = |seconds: i64, cpu_nanos, bytes| Sample {
        usage: Usage { cpu_nanos, memory_bytes: 5_000_000, pids: 3, io_bytes: (10, 20) },
        network: Some(counters(bytes)),
        system_nanos: cpu_nanos * 10,
        at: Timestamp::from_millis(1_795_357_857_000 + seconds * 1000),
    };
    let pair = Pair { before: Some(sample(0, 100, 1000)), last: sample(2, 300, 5000) };
    let machine = Machine { processors: 4, memory_bytes: 1 << 40 };
    let document = |pair: &Pair, version| {
        let document = StatsDocument::new(&task(), &container(), "n", pair, (version, machine));
        serde_json::to_value(document).unwrap()
    };
    let wanted = json!({
        "read": "2026-11-22T14:30:59.000Z", "preread": "2026-11-22T14:30:57.000Z",
        "pids_stats": {"current": 3},
        "blkio_stats": {"io_service_bytes_recursive": [
            {"op": "Read", "value": 10}, {"op": "Write", "value": 20},
            {"op": "Total", "value": 30}]},
        "num_procs": 0, "storage_stats": {},
        "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 3000,
            "online_cpus": 4},
        "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000,
            "online_cpus": 4},
        "memory_stats": {"usage": 5_000_000, "limit": 128 << 20},
        "name": "/n", "id": "t-0",
        "networks": {"eth0": {"rx_bytes": 5000, "rx_packets": 0, "rx_errors": 0,
            "rx_dropped": 0, "tx_bytes": 10000, "tx_packets": 0, "tx_errors": 0,
            "tx_dropped": 0}},
        "network_rate_stats": {"rx_bytes_per_sec": 2000.0, "tx_bytes_per_sec": 4000.0}
    });
    assert_eq!(document(&pair, Version::V4), wanted);
    assert_eq!(document(&pair, Version::V3).get("network_rate_stats"), None);
    let alone = document(&Pair { before: None, ..pair }, Version::V4);
    assert_eq!(alone["preread"], "0001-01-01T00:00:00Z");
    assert_eq!(alone["precpu_stats"], json!({"cpu_usage": {"total_usage": 0}}));
    assert_eq!(alone.get("network_rate_stats"), None);
}

#[test]
fn ids_follow_from_the_key_and_are_told_in_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let first = Directory::open(folder.path()).unwrap();
    let id = first.endpoint_id(&ContainerId::new("t-0"));
    assert_eq!(id.len(), 36);
    assert_ne!(id, first.endpoint_id(&ContainerId::new("t-1")));
    let again = Directory::open(folder.path()).unwrap();
    assert_eq!(again.endpoint_id(&ContainerId::new("t-0")), id, "the next agent's");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Directory::open(elsewhere.path()).unwrap();
    assert_ne!(other.endpoint_id(&ContainerId::new("t-0")), id, "nobody else's");
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let mut wanted = vec![
        pair("ECS_CONTAINER_METADATA_URI", format!("http://169.254.170.2/v3/{id}")),
        pair("ECS_CONTAINER_METADATA_URI_V4", format!("http://169.254.170.2/v4/{id}")),
        pair("ECS_AGENT_URI", format!("http://169.254.170.2/api/{id}")),
    ];
    assert_eq!(again.environment(&ContainerId::new("t-0"), None), wanted);
    let uri = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    wanted.push(pair(uri, "/v2/credentials/cred".to_owned()));
    assert_eq!(again.environment(&ContainerId::new("t-0"), Some("cred")), wanted);
}
