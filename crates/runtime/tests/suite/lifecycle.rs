//! Coming, going, being found again.

use std::time::Duration;

use runtime::{Event, Exit, Health, HealthCheck, ImageRequest, PullPolicy, RuntimeError};

use crate::cases;
use crate::probe_image::PROBE;
use crate::support::{Case, Node, On, container, leftovers, open, program, sandbox};

/// The cases of this file.
pub(crate) fn all() -> Vec<Case> {
    let mut all = cases![On::Every => images, what_is_done_is_not_done_twice, stop, absent_ones];
    all.extend(cases![On::Warm =>
        several_containers,
        a_dead_shim_takes_everything_with_it,
    ]);
    all.extend(cases![On::Real =>
        start_again_under_the_same_name,
        found_again_after_a_restart,
        many_at_once,
        health_checks,
        health_checks_that_hang,
        grace,
    ]);
    all.extend(cases![On::Embedded =>
        teardown_after_everything_was_killed,
        only_one_engine,
    ]);
    all
}

async fn images(node: Node) -> Node {
    let mut request = ImageRequest {
        reference: PROBE.into(),
        policy: PullPolicy::IfAbsent,
        credentials: None,
        endpoint: None,
        progress: None,
    };
    let image = node.runtime.ensure_image(&request).await.unwrap();
    assert!(image.id.starts_with("sha256:"));
    // Where nobody listens.
    request.reference = "127.0.0.1:9/absent".into();
    if !node.is_fake() {
        assert!(node.runtime.ensure_image(&request).await.is_err());
    }
    node
}

async fn what_is_done_is_not_done_twice(mut node: Node) -> Node {
    let one = node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let two = node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    assert_eq!(one.pid, two.pid);
    let spec = container("box", "sand", &["forever"]);
    let one = node.runtime.start_container(&spec).await.unwrap();
    let two = node.runtime.start_container(&spec).await.unwrap();
    assert_eq!((one.pid, one.at), (two.pid, two.at));
    let list = node.runtime.list().await.unwrap();
    assert_eq!((list.len(), list[0].containers.len(), list[0].alive), (1, 1, true));
    assert_eq!(list[0].spec.labels["label"], "of the suite");
    assert_eq!(list[0].containers[0].pid, Some(one.pid));
    node.runtime.signal(&spec.id, libc::SIGKILL).await.unwrap();
    let exit = node.exited(&spec.id).await;
    assert_eq!(exit.code, Some(137));
    node.runtime.signal(&spec.id, libc::SIGKILL).await.unwrap();
    assert_eq!(node.status(&spec.id).await.unwrap().exit, Some(exit));
    node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    assert_eq!(node.runtime.list().await.unwrap().len(), 0);
    node
}

async fn stop(mut node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let spec = container("box", "sand", &["trap", "15", "say", "up", "forever"]);
    node.runtime.start_container(&spec).await.unwrap();
    if !node.is_fake() {
        node.wait_for_line(&spec, "up").await;
    }
    let exit = node.runtime.stop_container(&spec.id, Duration::from_secs(30)).await.unwrap();
    let expected = if node.is_fake() { 143 } else { 55 };
    assert_eq!(exit.code, Some(expected));
    assert_eq!(node.exited(&spec.id).await, exit);
    let again = node.runtime.stop_container(&spec.id, Duration::from_secs(30)).await.unwrap();
    assert_eq!(again, exit);
    let refusal = node.runtime.exec(&spec.id, &program(&[])).await.unwrap_err();
    assert!(matches!(refusal, RuntimeError::Invalid { .. }), "{refusal:?}");
    node.runtime.remove_container(&spec.id).await.unwrap();
    node.runtime.remove_container(&spec.id).await.unwrap();
    assert!(node.status(&spec.id).await.is_none());
    node
}

async fn absent_ones(node: Node) -> Node {
    let (id, sand) = ("absent".into(), "absent".into());
    let missing = |error: RuntimeError| matches!(error, RuntimeError::NotFound { .. });
    assert!(missing(node.runtime.signal(&id, 15).await.unwrap_err()));
    assert!(missing(node.runtime.stop_container(&id, Duration::ZERO).await.unwrap_err()));
    assert!(missing(node.runtime.exec(&id, &program(&[])).await.unwrap_err()));
    assert!(missing(node.runtime.usage(&sand).await.unwrap_err()));
    assert!(missing(node.runtime.network_namespace(&sand, None).await.unwrap_err()));
    let lonely = container("box", "absent", &["forever"]);
    assert!(missing(node.runtime.start_container(&lonely).await.unwrap_err()));
    node.runtime.remove_container(&id).await.unwrap();
    node.runtime.remove_sandbox(&sand).await.unwrap();
    node
}

async fn several_containers(mut node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let mut networks = Vec::new();
    for name in ["a", "b", "c"] {
        let words = ["link", "/proc/self/ns/net", "cat", "/proc/net/dev", "pid"];
        let spec = container(name, "sand", &words);
        node.runtime.start_container(&spec).await.unwrap();
        node.exited(&spec.id).await;
        let log = node.log(&spec).await;
        assert!(log.contains("pid 1\n") && log.contains(" lo:") && !log.contains("eth0"), "{log}");
        networks.push(log.lines().next().unwrap().to_owned());
    }
    networks.dedup();
    assert_eq!(networks.len(), 1, "they share one network");
    node
}

async fn start_again_under_the_same_name(mut node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let mut spec = container("box", "sand", &["write", "/kept", "x", "ls", "/home"]);
    node.runtime.start_container(&spec).await.unwrap();
    node.exited(&spec.id).await;
    node.log(&spec).await;
    node.runtime.remove_container(&spec.id).await.unwrap();
    spec.args = ["/probe", "cat", "/kept", "exit", "3"].map(String::from).to_vec();
    node.runtime.start_container(&spec).await.unwrap();
    assert_eq!(node.exited(&spec.id).await.code, Some(3));
    node.wait_for_line(&spec, "/kept: No such file or directory (os error 2)").await;
    let log = node.log(&spec).await;
    assert!(log.starts_with("/kept: ok\n"), "its log goes on: {log}");
    node
}

async fn found_again_after_a_restart(node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let spec = container("box", "sand", &["trap", "15", "say", "up", "forever"]);
    let started = node.runtime.start_container(&spec).await.unwrap();
    let short = container("short", "sand", &["sleep", "100", "exit", "5"]);
    node.runtime.start_container(&short).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    let mut node = node.again(Duration::from_millis(300)).await;
    let status = node.status(&spec.id).await.unwrap();
    assert_eq!((status.pid, status.started_at), (Some(started.pid), Some(started.at)));
    let exit = node.status(&short.id).await.unwrap().exit.unwrap();
    assert_eq!(exit.code, Some(5), "it ended while nobody was there");
    let done = node.runtime.exec(&spec.id, &program(&["exit", "6"])).await.unwrap();
    assert_eq!(done.code, 6);
    let exit = node.runtime.stop_container(&spec.id, Duration::from_secs(30)).await.unwrap();
    assert_eq!(exit.code, Some(55));
    assert_eq!(node.exited(&spec.id).await, exit);
    node
}

fn shim_pid(node: &Node) -> i32 {
    let file = node.config.as_ref().unwrap().run_dir.join("s/sand/shim.pid");
    std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

fn kill(pid: i32) {
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

async fn a_dead_shim_takes_everything_with_it(mut node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    // As another user, which makes the kernel forget to kill with the parent unless asked again.
    let mut spec = container("box", "sand", &["orphan", "say", "up", "forever"]);
    spec.user = "web".into();
    let started = node.runtime.start_container(&spec).await.unwrap();
    node.wait_for_line(&spec, "up").await;
    kill(shim_pid(&node));
    match node.events.recv().await.unwrap() {
        Event::SandboxLost { sandbox } => assert_eq!(sandbox, "sand".into()),
        other => panic!("{other:?}"),
    }
    assert!(!std::path::Path::new(&format!("/proc/{}/exe", started.pid)).exists());
    let list = node.runtime.list().await.unwrap();
    assert!(!list[0].alive);
    let exit = list[0].containers[0].exit.clone().unwrap();
    assert_eq!((exit.code, exit.oom_killed), (None, false));
    let stopped = node.runtime.stop_container(&spec.id, Duration::from_secs(1)).await.unwrap();
    assert_eq!(stopped, exit);
    let refusal = node.runtime.create_sandbox(&sandbox("sand")).await.unwrap_err();
    assert!(matches!(refusal, RuntimeError::Invalid { .. }), "{refusal:?}");
    node.runtime.remove_sandbox(&"sand".into()).await.unwrap();
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    node
}

async fn many_at_once(mut node: Node) -> Node {
    let tasks = (0..12).map(|n| {
        let runtime = node.runtime.clone();
        tokio::spawn(async move {
            let id = format!("s{n}");
            runtime.create_sandbox(&sandbox(&id)).await.unwrap();
            let code = n.to_string();
            let spec = container(&format!("c{n}"), &id, &["exit", &code]);
            runtime.start_container(&spec).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut codes = Vec::new();
    while codes.len() < 12 {
        if let Event::Exited { exit: Exit { code, .. }, .. } = node.events.recv().await.unwrap() {
            codes.extend(code);
        }
    }
    codes.sort_unstable();
    assert_eq!(codes, (0..12).collect::<Vec<_>>());
    node
}

fn check(words: &[&str], interval: u64) -> HealthCheck {
    HealthCheck {
        args: program(words).args,
        interval: Duration::from_millis(interval),
        timeout: Duration::from_millis(500),
        retries: 2,
        start_period: Duration::ZERO,
    }
}

async fn next_health(node: &mut Node) -> Health {
    loop {
        if let Event::Health { health, container, .. } = node.events.recv().await.unwrap() {
            assert_eq!(container, "box".into());
            return health;
        }
    }
}

async fn health_checks(mut node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let mut spec = container("box", "sand", &["write", "/ok", "x", "forever"]);
    spec.health = Some(check(&["cat", "/ok"], 50));
    node.runtime.start_container(&spec).await.unwrap();
    assert_eq!(next_health(&mut node).await, Health::Healthy);
    let health = node.status(&spec.id).await.unwrap().health.unwrap();
    assert_eq!(health.0, Health::Healthy);
    node.runtime.stop_container(&spec.id, Duration::ZERO).await.unwrap();
    node
}

async fn health_checks_that_hang(mut node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    let mut spec = container("box", "sand", &["forever"]);
    let mut hanging = check(&["forever"], 20);
    hanging.timeout = Duration::from_millis(50);
    spec.health = Some(hanging);
    node.runtime.start_container(&spec).await.unwrap();
    assert_eq!(node.status(&spec.id).await.unwrap().health.unwrap().0, Health::Unknown);
    assert_eq!(next_health(&mut node).await, Health::Unhealthy);
    node.runtime.stop_container(&spec.id, Duration::ZERO).await.unwrap();
    node
}

async fn grace(node: Node) -> Node {
    node.runtime.create_sandbox(&sandbox("sand")).await.unwrap();
    // Process 1 without a handler does not hear SIGTERM.
    let spec = container("box", "sand", &["forever"]);
    node.runtime.start_container(&spec).await.unwrap();
    let exit = node.runtime.stop_container(&spec.id, Duration::from_millis(200)).await.unwrap();
    assert_eq!(exit.code, Some(137));
    let mut other = container("other", "sand", &["trap", "3", "say", "up", "forever"]);
    other.stop_signal = "SIGQUIT".into();
    node.runtime.start_container(&other).await.unwrap();
    node.wait_for_line(&other, "up").await;
    let exit = node.runtime.stop_container(&other.id, Duration::from_secs(30)).await.unwrap();
    assert_eq!(exit.code, Some(43));
    node
}

async fn teardown_after_everything_was_killed(node: Node) -> Node {
    let config = node.config.clone().unwrap();
    for name in ["sand", "two"] {
        node.runtime.create_sandbox(&sandbox(name)).await.unwrap();
        let spec = container(name, name, &["forever"]);
        node.runtime.start_container(&spec).await.unwrap();
    }
    let error = runtime::teardown(&config.run_dir, &config.cgroup_parent).unwrap_err();
    assert!(stdx::chain(&error).contains("stop that first"), "{}", stdx::chain(&error));
    kill(shim_pid(&node));
    drop(node);
    tokio::time::sleep(Duration::from_millis(100)).await;
    runtime::teardown(&config.run_dir, &config.cgroup_parent).unwrap();
    assert_eq!(leftovers(&config), "");
    runtime::teardown(&config.run_dir, &config.cgroup_parent).unwrap();
    open(&config).await
}

async fn only_one_engine(node: Node) -> Node {
    let config = node.config.clone().unwrap();
    let error = runtime::Embedded::open(config).await.unwrap_err();
    assert!(stdx::chain(&error).contains("is another engine running on it?"), "{error}");
    node
}
