//! Programs that somebody watches and types to, beside a container's own.

use std::time::Duration;

use runtime::{ContainerSpec, Event, RuntimeError, Session, SessionSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cases;
use crate::cases::line;
use crate::support::{Case, Node, On, container, program, sandbox};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    cases![On::Real =>
        terminals,
        pipes,
        session_signals,
        sessions_are_hung_up,
        sessions_die_with_their_container,
        sessions_that_cannot_start,
    ]
}

fn session(words: &[&str], terminal: bool) -> SessionSpec {
    SessionSpec {
        args: program(words).args,
        env: vec!["B=3".into()],
        user: String::new(),
        terminal: terminal.then_some((24, 80)),
    }
}

async fn running(node: &Node) -> ContainerSpec {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let mut spec = container("box", "sand", &["say", "up", "forever"]);
    spec.env = vec!["A=1".into(), "B=2".into()];
    spec.user = "web".into();
    node.runtime.start_container(&spec).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    spec
}

async fn open(node: &Node, spec: &ContainerSpec, session: &SessionSpec) -> Session {
    let opened = node.runtime.open_session(&spec.id, session).await;
    opened.unwrap_or_else(|error| panic!("{}", stdx::chain(&error)))
}

async fn rest(session: &mut Session) -> String {
    let mut text = String::new();
    session.output.read_to_string(&mut text).await.unwrap();
    text
}

/// Reads until the text has come.
async fn until(session: &mut Session, text: &str) -> String {
    let mut seen = String::new();
    let mut chunk = [0; 4096];
    while !seen.contains(text) {
        let read = session.output.read(&mut chunk).await.unwrap();
        assert!(read > 0, "it ended with {seen:?}");
        seen.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    seen
}

async fn terminals(node: Node) -> Node {
    let spec = running(&node).await;
    let words = ["tty", "link", "/proc/self/fd/0", "env", "cat", "/proc/self/status", "size"];
    // Docker sizes a terminal only once its program runs.
    let first = words.len() - 1;
    let words = [&words[..first], &["sleep", "300", "size", "read", "size", "exit", "7"]].concat();
    let mut one = open(&node, &spec, &session(&words, true)).await;
    let text = until(&mut one, "size 24 80").await.replace("\r\n", "\n");
    assert!(text.starts_with("tty 2\nOk(\"/dev/pts/0\")\n"), "{text}");
    for variable in ["A=1", "B=3", "TERM=xterm", "HOME=/root"] {
        assert!(text.lines().any(|line| line == variable), "{variable} in {text}");
    }
    assert_eq!((line(&text, "Uid:")[0], line(&text, "Seccomp:")[0]), ("0", "2"));
    assert_eq!(line(&text, "CapBnd:"), ["00000000a80425fb"]);
    one.handle.resize(50, 132).await.unwrap();
    one.input.write_all(b"typed\n").await.unwrap();
    let text = rest(&mut one).await;
    assert_eq!(text, "\r\ntyped\r\nread \"typed\"\r\nsize 50 132\r\n".trim_start_matches("\r\n"));
    assert_eq!(one.handle.wait().await.unwrap(), 7);
    assert_eq!(one.handle.wait().await.unwrap(), 7);
    one.handle.resize(1, 1).await.unwrap();
    one.handle.signal(15).await.unwrap();

    // Ctrl-C comes as a signal; the end of the input is the end of what is read.
    let mut two = open(&node, &spec, &session(&["trap", "2", "say", "up", "forever"], true)).await;
    until(&mut two, "up").await;
    two.input.write_all(&[3]).await.unwrap();
    assert_eq!(two.handle.wait().await.unwrap(), 42);
    let mut three = open(&node, &spec, &session(&["say", "up", "stdin"], true)).await;
    until(&mut three, "up").await;
    three.input.shutdown().await.unwrap();
    assert!(rest(&mut three).await.ends_with("stdin \"\"\r\n"));
    assert_eq!(three.handle.wait().await.unwrap(), 0);
    node
}

async fn pipes(node: Node) -> Node {
    let spec = running(&node).await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(open(&node, &spec, &session(&["tty", "stdin", "warn", "x"], false)).await);
    }
    for (number, mut one) in sessions.into_iter().enumerate() {
        one.input.write_all(format!("for {number}").as_bytes()).await.unwrap();
        one.input.shutdown().await.unwrap();
        drop(std::mem::replace(&mut one.input, Box::new(tokio::io::sink())));
        let mut lines: Vec<String> = rest(&mut one).await.lines().map(str::to_owned).collect();
        // On Docker the two streams are apart on the way.
        if node.is_docker() {
            lines.sort_by_key(|line| (line == "x", line.starts_with("stdin")));
        }
        assert_eq!(lines, ["tty 0", &format!("stdin \"for {number}\""), "x"]);
        assert_eq!(one.handle.wait().await.unwrap(), 0);
    }
    let mut as_web = session(&["cat", "/proc/self/status"], false);
    as_web.user = "web".into();
    let mut one = open(&node, &spec, &as_web).await;
    assert_eq!(line(&rest(&mut one).await, "Uid:")[0], "33");
    // A lot of output, and nobody in a hurry.
    let long = "z".repeat(100_000);
    let mut one = open(&node, &spec, &session(&["say", &long, "say", &long], true)).await;
    assert_eq!(rest(&mut one).await.len(), 2 * (100_000 + 2));
    node
}

async fn session_signals(node: Node) -> Node {
    let spec = running(&node).await;
    for terminal in [false, true] {
        let words = ["trap", "12", "say", "up", "forever"];
        let mut one = open(&node, &spec, &session(&words, terminal)).await;
        until(&mut one, "up").await;
        one.handle.signal(12).await.unwrap();
        assert_eq!(one.handle.wait().await.unwrap(), 52);
    }
    let mut one = open(&node, &spec, &session(&["say", "up", "forever"], true)).await;
    until(&mut one, "up").await;
    one.handle.signal(libc::SIGKILL).await.unwrap();
    assert_eq!(one.handle.wait().await.unwrap(), 137);
    node
}

/// Waits until so many processes are left in the container.
async fn processes(node: &Node, spec: &ContainerSpec, wanted: u64) {
    while node.runtime.usage(&spec.sandbox).await.unwrap()[&spec.id].pids != wanted {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn sessions_are_hung_up(node: Node) -> Node {
    let spec = running(&node).await;
    for terminal in [false, true] {
        // One that heeds the signal, and one that does not.
        let mut one = open(&node, &spec, &session(&["say", "up", "forever"], terminal)).await;
        let deaf = ["ignore", "1", "say", "up", "forever"];
        let mut two = open(&node, &spec, &session(&deaf, terminal)).await;
        until(&mut one, "up").await;
        until(&mut two, "up").await;
        processes(&node, &spec, 3).await;
        drop(one);
        processes(&node, &spec, 2).await;
        drop(two);
        processes(&node, &spec, 1).await;
    }
    node
}

async fn sessions_die_with_their_container(mut node: Node) -> Node {
    let spec = running(&node).await;
    let mut one = open(&node, &spec, &session(&["say", "up", "forever"], true)).await;
    until(&mut one, "up").await;
    node.runtime.stop_container(&spec.id, Duration::ZERO).await.unwrap();
    assert_eq!(one.handle.wait().await.unwrap(), 137);
    assert_eq!(rest(&mut one).await, "");
    node.exited(&spec.id).await;

    node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    let spec = running(&node).await;
    let mut one = open(&node, &spec, &session(&["say", "up", "forever"], false)).await;
    until(&mut one, "up").await;
    node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    assert_eq!(one.handle.wait().await.unwrap(), 137);
    assert_eq!(rest(&mut one).await, "");
    while node.events.try_recv().is_ok_and(|event| matches!(event, Event::Exited { .. })) {}
    node
}

async fn sessions_that_cannot_start(node: Node) -> Node {
    let spec = running(&node).await;
    for terminal in [false, true] {
        let mut absent = session(&[], terminal);
        absent.args = vec!["/nope".into()];
        let refusal = node.runtime.open_session(&spec.id, &absent).await.unwrap_err();
        match refusal {
            RuntimeError::Start { why, .. } => {
                assert_eq!(why, "exec: \"/nope\": no such file or directory");
            }
            other => panic!("{other:?}"),
        }
        absent.args = Vec::new();
        let refusal = node.runtime.open_session(&spec.id, &absent).await.unwrap_err();
        assert!(matches!(refusal, RuntimeError::Invalid { .. }), "{refusal:?}");
        let gone = "gone".into();
        let refusal = node.runtime.open_session(&gone, &session(&[], terminal)).await;
        assert!(matches!(refusal.unwrap_err(), RuntimeError::NotFound { .. }));
    }
    processes(&node, &spec, 1).await;
    node
}
