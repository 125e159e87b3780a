//! One container's output on its way to a receiver.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use runtime::log::LogEntry;
use rustix::fs::{FileType, Mode, OFlags};
use shell::OsEntropy;
use stdx::Backoff;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::encode::{Pieces, Subject, message};
use crate::awslogs::Tail;
use crate::plan::{Fluent, FluentAddress};
use crate::record::{Recorder, log_file};

/// How often a log is looked at while it grows.
const LOOK: Duration = Duration::from_millis(50);
/// A log is at its end when its container is over and nothing has come for so long.
const SILENT: Duration = Duration::from_secs(2);
/// So many bytes of lines are sent in one message at most.
const MESSAGE: usize = 1 << 20;
/// A receiver that takes nothing for so long is connected to anew.
const STUCK: Duration = Duration::from_secs(10);
/// Once its container is over, output waits so long for a receiver that is away: the router of a
/// task ends with it.
const GIVE_UP: Duration = Duration::from_secs(5);

/// Sends one container's output.
pub(crate) struct Forwarder {
    pub(crate) to: Fluent,
    pub(crate) recorder: Recorder,
    /// The container's runtime id, which names the record of the place reached.
    pub(crate) container: String,
    /// Becomes true when the container is over for good.
    pub(crate) over: watch::Receiver<bool>,
}

impl Forwarder {
    /// Sends until the container is over and all of its log is sent, or nobody takes it any more.
    pub(crate) async fn run(mut self, mut tail: Box<dyn Tail>) {
        let subject = Subject {
            tag: self.to.tag.clone(),
            id: self.container.clone(),
            name: self.to.name.clone(),
            fields: self.to.fields.clone(),
        };
        let (mut pieces, mut line) = (Pieces::default(), None);
        let mut idle = Duration::ZERO;
        loop {
            let over = *self.over.borrow();
            let entries = match self.read(tail.as_mut()) {
                Ok(entries) => entries,
                Err(error) => {
                    let container = &self.container;
                    tracing::error!(container, %error, "A container's log cannot be read further.");
                    return;
                }
            };
            if entries.is_empty() {
                if over && (tail.is_finished() || idle >= SILENT) {
                    return;
                }
                self.pause(LOOK).await;
                idle += LOOK;
                continue;
            }
            idle = Duration::ZERO;
            let Ok(bytes) = message(&subject, &mut pieces, &entries) else { continue };
            if !self.send(&mut line, &bytes).await {
                let (container, lines) = (&self.container, entries.len());
                tracing::warn!(
                    container,
                    lines,
                    to = %self.to.address,
                    "Output is lost: the container is over, and nobody takes it."
                );
                return;
            }
            self.recorder.write(&log_file(&self.container), &tail.position());
        }
    }

    /// Reads what is there, as much as may be sent at once.
    fn read(&self, tail: &mut dyn Tail) -> io::Result<Vec<LogEntry>> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while entries.len() < self.to.at_once && bytes < MESSAGE {
            let Some(entry) = tail.next_entry()? else { break };
            bytes += entry.bytes.len();
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Waits for so long, or until the container is over.
    async fn pause(&mut self, pause: Duration) {
        if *self.over.borrow_and_update() {
            tokio::time::sleep(pause).await;
            return;
        }
        let over = async {
            if self.over.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        drop(timeout(pause, over).await);
    }

    /// Sends a message until it is taken. False if the container is over and nobody has taken it.
    async fn send(&mut self, line: &mut Option<Line>, bytes: &[u8]) -> bool {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut told = false;
        let mut alone: Option<Instant> = None;
        loop {
            let error = match self.attempt(line, bytes).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            *line = None;
            if *self.over.borrow() {
                let since = *alone.get_or_insert_with(Instant::now);
                if since.elapsed() >= GIVE_UP {
                    return false;
                }
            }
            // A router that has just started has no socket yet.
            if !told && error.kind() != io::ErrorKind::NotFound {
                told = true;
                let (container, to) = (&self.container, &self.to.address);
                tracing::warn!(container, %to, %error, "Output cannot be sent; it waits.");
            }
            self.pause(backoff.delay(&mut OsEntropy)).await;
        }
    }

    async fn attempt(&self, line: &mut Option<Line>, bytes: &[u8]) -> io::Result<()> {
        // What a receiver that has gone would not take is not even begun.
        if line.as_ref().is_some_and(Line::is_closed) {
            *line = None;
        }
        let line = match line {
            Some(line) => line,
            None => line.insert(stuck(Line::open(&self.to.address)).await?),
        };
        stuck(line.write(bytes)).await
    }
}

async fn stuck<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(STUCK, doing).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the receiver takes nothing")),
    }
}

/// A connection to a receiver.
#[derive(Debug)]
enum Line {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Line {
    async fn open(address: &FluentAddress) -> io::Result<Self> {
        match address {
            FluentAddress::Unix(path) => Ok(Self::Unix(local(path).await?)),
            FluentAddress::Tcp(host, port) => {
                Ok(Self::Tcp(TcpStream::connect((host.as_str(), *port)).await?))
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix(line) => line.write_all(bytes).await,
            Self::Tcp(line) => line.write_all(bytes).await,
        }
    }

    /// Whether the other end has closed. It never says anything.
    fn is_closed(&self) -> bool {
        let mut some = [0; 64];
        let read = match self {
            Self::Unix(line) => line.try_read(&mut some),
            Self::Tcp(line) => line.try_read(&mut some),
        };
        match read {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// Connects to a socket in a folder that a container writes: the socket itself, never what a link
/// there leads to. Its path may be longer than a socket's address.
async fn local(path: &Path) -> io::Result<UnixStream> {
    let socket =
        rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode);
    if kind != FileType::Socket {
        return Err(io::Error::other(format!("{} is not a socket", path.display())));
    }
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    use super::*;
    use runtime::log::{LogPosition, Stream};

    /// Lines that are all there, of a container that is over.
    #[derive(Debug)]
    struct Lines(Vec<&'static str>);

    impl Tail for Lines {
        fn next_entry(&mut self) -> io::Result<Option<LogEntry>> {
            let bytes = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
            Ok(bytes.map(|text| LogEntry {
                at_nanos: 1,
                stream: Stream::Output,
                bytes: text.as_bytes().to_vec(),
                partial: false,
            }))
        }

        fn position(&self) -> LogPosition {
            LogPosition { file: 1, offset: 7 }
        }

        fn is_finished(&self) -> bool {
            true
        }
    }

    fn forwarder(folder: &Path, address: FluentAddress) -> Forwarder {
        let (_, over) = watch::channel(true);
        Forwarder {
            to: Fluent {
                address,
                tag: "t".to_owned(),
                name: "/web".to_owned(),
                fields: Vec::new(),
                at_once: 2,
            },
            recorder: Recorder::start(folder).unwrap(),
            container: "t-0".to_owned(),
            over,
        }
    }

    #[tokio::test]
    async fn output_waits_for_its_receiver_and_is_sent_in_order() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the address of a socket can be.
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("fluent.sock");
        let sending = forwarder(dir.path(), FluentAddress::Unix(path.clone()));
        let lines = Box::new(Lines(vec!["one", "two", "three"]));
        let sending = tokio::spawn(sending.run(lines));
        tokio::time::sleep(Duration::from_millis(120)).await;
        let short = dir.path().join("s");
        let listener = UnixListener::bind(&short).unwrap();
        std::fs::rename(&short, &path).unwrap();
        let (mut line, _) = listener.accept().await.unwrap();
        let mut said = Vec::new();
        line.read_to_end(&mut said).await.unwrap();
        sending.await.unwrap();
        let text = String::from_utf8_lossy(&said);
        let places: Vec<usize> =
            ["one", "two", "three"].iter().map(|word| text.find(word).unwrap()).collect();
        assert!(places.is_sorted(), "{text:?}");
    }

    #[tokio::test]
    async fn a_link_in_the_routers_folder_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        let _listener = UnixListener::bind(&real).unwrap();
        let link = dir.path().join("fluent.sock");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let error = local(&link).await.unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        assert!(local(&real).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_given_up_once_the_container_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let address = FluentAddress::Unix(dir.path().join("none"));
        forwarder(dir.path(), address).run(Box::new(Lines(vec!["lost"]))).await;
    }
}
