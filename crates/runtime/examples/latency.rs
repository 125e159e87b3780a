//! How long the engine takes: order to the first instruction of `main`, stop, exec. Needs root.
//!
//! `cargo run --release -p runtime --example latency`

#![expect(clippy::unwrap_used, reason = "the probe's image is shared with the tests")]

#[expect(dead_code, reason = "the tests need more of it than this")]
#[path = "../tests/suite/probe_image.rs"]
mod probe_image;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use probe_image::{FolderImages, PROBE};
use runtime::{
    ContainerId, ContainerSpec, Embedded, EmbeddedConfig, ExecSpec, Limits, LogMode, NetworkMode,
    Runtime, SandboxSpec,
};

const ROUNDS: usize = 25;
const CGROUP: &str = "/wharf-latency";

fn main() {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.peek().is_some_and(|first| first == runtime::ZYGOTE_ARGUMENT) {
        arguments.next();
        runtime::zygote_main(arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a tokio runtime can be made").block_on(run());
}

fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |n: i64| u64::try_from(n).expect("time since boot is not negative");
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

fn container(name: &str, stamp: &Path) -> ContainerSpec {
    let folder = stamp.parent().expect("the stamp is in a folder");
    ContainerSpec {
        id: ContainerId::from(name),
        sandbox: name.into(),
        image: PROBE.into(),
        args: ["/probe", "stamp", "/out/stamp", "trap", "15", "forever"].map(String::from).to_vec(),
        env: vec!["A=1".into()],
        cwd: String::new(),
        user: String::new(),
        groups: Vec::new(),
        hostname: String::new(),
        mounts: vec![runtime::Mount::Bind {
            source: folder.into(),
            target: "/out".into(),
            readonly: false,
        }],
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        privileged: false,
        readonly_root: false,
        no_new_privileges: false,
        init: false,
        tty: false,
        open_stdin: false,
        limits: Limits {
            memory_bytes: Some(256 << 20),
            cpu_shares: Some(256),
            ..Limits::default()
        },
        ulimits: Vec::new(),
        sysctls: BTreeMap::new(),
        shm_bytes: None,
        devices: Vec::new(),
        gpus: Vec::new(),
        hosts: Vec::new(),
        dns_servers: Vec::new(),
        dns_search: Vec::new(),
        address: None,
        health: None,
        log: LogMode::Files { max_bytes: 1 << 20, max_files: 2, non_blocking_bytes: None },
        stop_signal: String::new(),
        network: runtime::ContainerNetwork::default(),
        ports: Vec::new(),
        swappiness: None,
        seccomp: runtime::Seccomp::default(),
        apparmor: None,
        labels: BTreeMap::new(),
    }
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let (first, middle) = (times[0], times[times.len() / 2]);
    let (ninth, last) = (times[times.len() * 9 / 10], times[times.len() - 1]);
    println!(
        "{what:<44} n={} min {:6.2}  p50 {:6.2}  p90 {:6.2}  max {:6.2} ms",
        times.len(),
        ms(first),
        ms(middle),
        ms(ninth),
        ms(last)
    );
}

async fn run() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let images = Arc::new(FolderImages::make(dir.path()));
    for (slots, gap) in [(0, 300), (0, 0), (4, 300), (4, 0)] {
        let config = EmbeddedConfig {
            state_dir: dir.path().join("state"),
            run_dir: Path::new("/run/wharf-latency").into(),
            cgroup_parent: CGROUP.into(),
            clock: shell::SystemClock::shared(),
            images: images.clone(),
            helper_exe: None,
            warm_slots: slots,
            oci_runtime: None,
            users: std::env::var_os("USERNS").map(|_| runtime::UserNamespaces::default()),
        };
        let engine = Embedded::open(config.clone()).await.expect("the engine opens");
        tokio::time::sleep(Duration::from_millis(800)).await;
        measure(&engine, dir.path(), &format!("{slots} slots, gap {gap} ms"), gap).await;
        drop(engine);
        tokio::time::sleep(Duration::from_millis(100)).await;
        runtime::teardown(&config.run_dir, CGROUP).expect("nothing is left");
    }
    std::fs::remove_dir_all("/run/wharf-latency").expect("the run folder goes");
}

async fn measure(engine: &Embedded, dir: &Path, name: &str, gap: u64) {
    let (mut create, mut start, mut main_at) = (Vec::new(), Vec::new(), Vec::new());
    let (mut exec, mut stop, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let out = dir.join(format!("out-{round}"));
        std::fs::create_dir_all(&out).expect("a folder can be made");
        let id = format!("bench-{round}");
        tokio::time::sleep(Duration::from_millis(gap)).await;
        let begin = monotonic();
        let sandbox = SandboxSpec {
            id: id.as_str().into(),
            labels: BTreeMap::new(),
            network: NetworkMode::Private,
            limits: Limits { memory_bytes: Some(512 << 20), ..Limits::default() },
            pid: runtime::PidMode::default(),
            ipc: runtime::IpcMode::default(),
            hardened: false,
        };
        engine.create_sandbox(&sandbox).await.expect("the sandbox is made");
        create.push(monotonic() - begin);
        let spec = container(&id, &out.join("stamp"));
        engine.start_container(&spec).await.expect("the container starts");
        start.push(monotonic() - begin);
        let stamp = loop {
            let text = std::fs::read_to_string(out.join("stamp")).unwrap_or_default();
            if let Ok(nanos) = text.parse() {
                break Duration::from_nanos(nanos);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        main_at.push(stamp - begin);
        let program = ExecSpec {
            args: vec!["/probe".into()],
            env: Vec::new(),
            user: String::new(),
            timeout: Duration::from_secs(10),
            max_output: 100,
        };
        let begin = monotonic();
        let done = engine.exec(&spec.id, &program).await.expect("the program runs");
        assert_eq!(done.code, 0, "it does nothing, well");
        exec.push(monotonic() - begin);
        let begin = monotonic();
        engine.stop_container(&spec.id, Duration::from_secs(5)).await.expect("it stops");
        stop.push(monotonic() - begin);
        let begin = monotonic();
        engine.remove_sandbox(&sandbox.id).await.expect("it goes");
        remove.push(monotonic() - begin);
        std::fs::remove_dir_all(&out).expect("the folder goes");
    }
    println!("{name}");
    show("  create_sandbox returns", create);
    show("  start_container returns", start);
    show("  order -> main()", main_at);
    show("  exec of a program that does nothing", exec);
    show("  stop_container", stop);
    show("  remove_sandbox", remove);
}
