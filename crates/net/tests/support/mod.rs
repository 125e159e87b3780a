//! Machines made of threads: each test's "host" is a fresh network and mount namespace, and so are
//! its containers and outside hosts, so nothing touches the real machine's network and everything
//! vanishes with the threads. Needs root; without it the tests say so and pass.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; unit tests allow it anyway")]
#![expect(unsafe_code, reason = "entering namespaces is not memory-safe in general")]
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::thread::{UnshareFlags, unshare_unsafe};

/// How long a packet may be under way before it counts as dropped.
const PATIENCE: Duration = Duration::from_millis(400);

/// Runs a test on a fresh host.
pub(crate) fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: making network namespaces needs root");
        return;
    }
    thread::scope(|scope| {
        let host = scope.spawn(|| {
            isolate();
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(test());
        });
        if let Err(panic) = host.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Gives the calling thread its own network, with a `/sys` that shows it.
fn isolate() {
    // SAFETY: the thread was made for this and shares no file-system state with others afterwards.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
    sh("mount --make-rprivate / && mount -t sysfs sysfs /sys && ip link set lo up");
}

/// Runs a shell command in the calling thread's namespaces and answers its output.
pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a program is installed.
pub(crate) fn have(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own. The namespace dies with it.
pub(crate) struct Guest {
    netns: OwnedFd,
    tid: i32,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Guest {
    pub(crate) fn new() -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        let thread = thread::spawn(move || {
            isolate();
            let netns = rustix::fs::open(
                "/proc/thread-self/ns/net",
                rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
            .unwrap();
            ready.send((netns, rustix::thread::gettid().as_raw_nonzero().get())).unwrap();
            while let Ok(job) = inbox.recv() {
                job();
            }
        });
        let (netns, tid) = made.recv().unwrap();
        Self { netns, tid, jobs: Some(jobs), thread: Some(thread) }
    }

    pub(crate) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    /// Runs `job` inside.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, wait) = mpsc::channel();
        let jobs = self.jobs.as_ref().unwrap();
        jobs.send(Box::new(move || drop(answer.send(job())))).unwrap();
        wait.recv().expect("the job inside the guest did not panic")
    }

    pub(crate) fn sh(&self, command: &str) -> String {
        let command = command.to_owned();
        self.run(move || sh(&command))
    }

    /// A TCP server inside that tells each client the address it sees, and counts down to its end
    /// when the guest goes: its thread is left behind with the process.
    pub(crate) fn serve_tcp(&self, port: u16) {
        self.run(move || serve_tcp("0.0.0.0", port));
    }

    /// The same by UDP.
    pub(crate) fn serve_udp(&self, port: u16) {
        self.run(move || {
            let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    drop(socket.send_to(from.ip().to_string().as_bytes(), from));
                }
            });
        });
    }

    /// Connects from inside; the address that the server saw, or `None`.
    pub(crate) fn ask(&self, to: impl ToString, port: u16) -> Option<IpAddr> {
        let to = to.to_string();
        self.run(move || ask(&to, port))
    }

    /// The same by UDP.
    pub(crate) fn ask_udp(&self, to: impl ToString, port: u16) -> Option<IpAddr> {
        let to = to.to_string();
        self.run(move || ask_udp(&to, port))
    }

    /// A host on the other end of a new interface of the calling thread's host: the host is
    /// 198.51.100.1, this one 198.51.100.2, and neither knows the way to the containers.
    pub(crate) fn outside() -> Self {
        let guest = Self::new();
        let tid = guest.tid;
        sh(&format!(
            "ip link add up0 type veth peer name eth0 netns {tid} &&
             ip addr add 198.51.100.1/24 dev up0 && ip link set up0 up &&
             ip route add default via 198.51.100.2"
        ));
        guest.sh("ip addr add 198.51.100.2/24 dev eth0 && ip link set eth0 up");
        guest
    }
}

impl Guest {
    /// A container that somebody else put on a bridge of the calling thread's host.
    pub(crate) fn on_bridge(bridge: &str, address: &str, gateway: &str) -> Self {
        let guest = Self::new();
        let tid = guest.tid;
        sh(&format!(
            "ip link add vb0 type veth peer name eth0 netns {tid} &&
             ip link set vb0 master {bridge} up"
        ));
        guest.sh(&format!(
            "ip addr add {address} dev eth0 && ip link set eth0 up &&
             ip route add default via {gateway}"
        ));
        guest
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Serves in the calling thread's namespace.
pub(crate) fn serve_tcp(at: &str, port: u16) {
    let listener = TcpListener::bind((at, port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        // Long enough for any test, and no thread or namespace stays for ever.
        for _ in 0..20_000 {
            match listener.accept() {
                Ok((mut stream, from)) => {
                    drop(stream.write_all(from.ip().to_string().as_bytes()));
                }
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    });
}

pub(crate) fn ask(to: &str, port: u16) -> Option<IpAddr> {
    let to = SocketAddr::new(to.parse().unwrap(), port);
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    said.parse().ok()
}

pub(crate) fn ask_udp(to: &str, port: u16) -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    ask_udp_by(&socket, to, port)
}

/// One question and answer by a socket that may have asked before.
pub(crate) fn ask_udp_by(socket: &UdpSocket, to: &str, port: u16) -> Option<IpAddr> {
    let to = SocketAddr::new(to.parse().unwrap(), port);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(to).unwrap();
    let mut buffer = [0; 64];
    // The first read may report the refusal of an earlier question.
    for _ in 0..2 {
        drop(socket.send(b"who"));
        if let Ok(length) = socket.recv(&mut buffer) {
            return std::str::from_utf8(&buffer[..length]).ok()?.parse().ok();
        }
    }
    None
}
