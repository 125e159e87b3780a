//! A balancer before scripted targets, and clients that say exactly the bytes that they are told to.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use balancer::*;
use stdx::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// More than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A balancer with one listener, `l`.
pub(crate) struct Rig {
    pub(crate) balancer: Balancer,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) address: SocketAddr,
    pub(crate) table: Table,
}

impl Rig {
    pub(crate) async fn new(listener: Listener, groups: Vec<Group>) -> Self {
        Self::with(listener, groups, Config { workers: 2, ..Config::default() }).await
    }

    pub(crate) async fn with(listener: Listener, groups: Vec<Group>, config: Config) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let chance = Box::new(stdx::SeededEntropy::new(1));
        let balancer =
            Balancer::start(config, shell::SystemClock::shared(), chance, sender).unwrap();
        let groups = groups.into_iter().map(|group| (group.id.clone(), Arc::new(group))).collect();
        let table = Table { listeners: vec![Arc::new(listener)], groups };
        let outcome = balancer.apply(Arc::new(table.clone())).await;
        let address = outcome[0].1.clone().unwrap();
        Self { balancer, events, address, table }
    }

    pub(crate) async fn apply(&mut self, change: impl FnOnce(&mut Table)) {
        change(&mut self.table);
        for (_, outcome) in self.balancer.apply(Arc::new(self.table.clone())).await {
            outcome.unwrap();
        }
    }

    pub(crate) async fn group(&mut self, id: &str, change: impl FnOnce(&mut Group)) {
        self.apply(|table| change(Arc::make_mut(table.groups.get_mut(id).unwrap()))).await;
    }

    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Asks once on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.answer().await
    }

    /// Waits until an event is as wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the balancer runs");
                if wanted(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.expect("the event comes")
    }
}

/// A client's connection.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// An answer with its body, by its `Content-Length` or its chunks.
    pub(crate) async fn answer(&mut self) -> String {
        let mut text = String::new();
        tokio::time::timeout(PATIENCE, async {
            while !complete(&text) {
                let mut byte = [0; 1];
                if self.0.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                text.push(char::from(byte[0]));
            }
        })
        .await
        .unwrap_or_else(|_| panic!("an answer, but there is: {text:?}"));
        text
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        drop(read.expect("the connection ends"));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn complete(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    body.len() >= length
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
}

pub(crate) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub(crate) fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// A target that reads a head, counts it, and says what the script gives for it; `None` ends the
/// connection, and a script may end what it says with `\0` to have it ended after that.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) heads: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Backend {
    /// `script` is given the head and the number of the request on its connection.
    pub(crate) async fn new(
        script: impl Fn(&str, usize) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            heads: Arc::default(),
            connections: Arc::default(),
        };
        let (script, counted) = (Arc::new(script), backend.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(converse(stream, Arc::clone(&script), counted.clone()));
            }
        });
        backend
    }

    /// One that echoes the head of each request.
    pub(crate) async fn echo() -> Self {
        Self::new(|head, _| {
            Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len()))
        })
        .await
    }

    /// One that says its name.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::new(move |_, _| {
            Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
        })
        .await
    }

    pub(crate) fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }
}

async fn converse(
    mut stream: TcpStream,
    script: Arc<impl Fn(&str, usize) -> Option<String>>,
    counted: Backend,
) -> Option<()> {
    for number in 0.. {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        counted.heads.fetch_add(1, Ordering::SeqCst);
        let length =
            field(&head, "content-length").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        if field(&head, "transfer-encoding").is_some() {
            let mut chunks = Vec::new();
            while !chunks.ends_with(b"0\r\n\r\n") {
                chunks.push(stream.read_u8().await.ok()?);
            }
        }
        let answer = script(&head, number)?;
        let last = answer.ends_with('\0');
        stream.write_all(answer.trim_end_matches('\0').as_bytes()).await.ok()?;
        if last {
            return None;
        }
    }
    None
}

pub(crate) fn settings() -> BalancerSettings {
    BalancerSettings { id: "lb".into(), name: "app/lb/1".to_owned(), ..BalancerSettings::default() }
}

pub(crate) fn listener(protocol: ListenerProtocol, default_action: Action) -> Listener {
    Listener {
        id: "l".into(),
        balancer: Arc::new(settings()),
        bind: vec!["127.0.0.1".parse().unwrap()],
        port: 0,
        protocol,
        rules: vec![],
        default_action,
        tcp_idle_timeout: Duration::from_secs(350),
    }
}

pub(crate) fn to(group: &str) -> Action {
    Action::Forward {
        groups: vec![WeightedGroup { group: group.into(), weight: 1 }],
        stickiness: None,
    }
}

pub(crate) fn unchecked() -> HealthCheck {
    HealthCheck { enabled: false, ..HealthCheck::default() }
}

pub(crate) fn target(address: SocketAddr) -> (TargetKey, Arc<Target>) {
    let key = TargetKey::from(address.to_string());
    let target = Target {
        key: key.clone(),
        address,
        registered_at: Timestamp::EPOCH,
        phase: Phase::Registered,
    };
    (key, Arc::new(target))
}

/// A group without health checks.
pub(crate) fn group(id: &str, targets: &[SocketAddr]) -> Group {
    Group {
        id: id.into(),
        health_check: unchecked(),
        targets: targets.iter().map(|address| target(*address)).collect::<BTreeMap<_, _>>(),
        ..Group::default()
    }
}

/// An HTTP listener before one group, `g`.
pub(crate) async fn http(targets: &[SocketAddr]) -> Rig {
    Rig::new(listener(ListenerProtocol::Http, to("g")), vec![group("g", targets)]).await
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
