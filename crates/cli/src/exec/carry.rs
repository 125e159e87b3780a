//! Carries bytes between here and the program, until the session is over.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use channel::{ClientEvent, ClientSide};
use futures_util::{SinkExt, StreamExt};
use shell::{Clock, OsEntropy, SystemClock};
use stdx::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::line::{Line, Socket};
use super::terminal;

/// So much is read from standard input at once.
const CHUNK: usize = 16 << 10;
/// A session that is given up is told so for at most so long.
const FAREWELL: Duration = Duration::from_secs(1);

/// How it ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// The program's exit status, if it is known.
    pub(super) code: Option<i32>,
    /// Why, in words; none after an ordinary end.
    pub(super) words: String,
}

/// The signals that end a session.
struct Signals {
    terminate: Signal,
    hang_up: Signal,
    interrupt: Signal,
}

impl Signals {
    fn watch() -> Result<Self> {
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            hang_up: watch(SignalKind::hangup())?,
            interrupt: watch(SignalKind::interrupt())?,
        })
    }

    /// The exit status that a shell would tell after the signal that ends this program.
    async fn end(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.hang_up.recv() => 129,
            // A terminal in raw mode sends the key instead.
            _ = self.interrupt.recv() => 130,
        }
    }
}

fn watch(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("watch for signals")
}

struct Client {
    line: Line,
    socket: Socket,
    side: ClientSide,
    /// Typed, and not taken yet.
    typed: Vec<u8>,
    /// Whether no more will be typed, and whether that has been told.
    input: Input,
    ended: Ended,
    /// The websocket has ended.
    broken: bool,
}

/// What is known of standard input's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    Over,
    Told,
}

/// Runs a session to its end.
pub(super) async fn carry(
    line: Line,
    socket: Socket,
    side: ClientSide,
    terminal: bool,
) -> Result<Ended> {
    let mut signals = Signals::watch()?;
    let mut resized = watch(SignalKind::window_change())?;
    let (send, mut input) = mpsc::channel(4);
    // A thread of its own, which nobody waits for: reading a terminal cannot be called off.
    std::thread::spawn(move || read(&send));
    let ended = Ended::default();
    let mut client =
        Client { line, socket, side, typed: Vec::new(), input: Input::Open, ended, broken: false };
    loop {
        if client.flush().await.is_err() {
            tokio::select! {
                resumed = client.resume() => resumed?,
                code = signals.end() => return Ok(Ended { code: Some(code), words: String::new() }),
            }
            continue;
        }
        let (due, now) = (client.side.due(), SystemClock.now());
        let room = client.side.has_room();
        let typing = room && client.typed.is_empty() && client.input == Input::Open;
        tokio::select! {
            received = client.socket.next() => {
                let over = match received {
                    Some(Ok(Message::Binary(frame))) => client.take(&frame)?,
                    Some(Ok(Message::Close(frame)))
                        if frame.as_ref().is_none_or(|f| f.code == CloseCode::Normal) =>
                    {
                        bail!("the server closed the session without a word; its log says why")
                    }
                    // What cannot be sent any more is noticed and mended at the loop's beginning.
                    Some(Ok(Message::Close(_)) | Err(_)) | None => {
                        client.broken = true;
                        false
                    }
                    Some(Ok(_)) => false,
                };
                if over {
                    return Ok(client.ended);
                }
            }
            chunk = input.recv(), if typing => match chunk {
                Some(bytes) => client.typed = bytes,
                None => client.input = Input::Over,
            },
            _ = resized.recv(), if terminal => {
                if let Some(size) = terminal::size() {
                    client.side.resize(size, SystemClock.now(), &mut OsEntropy);
                }
            }
            code = signals.end() => {
                client.side.terminate(SystemClock.now(), &mut OsEntropy);
                // The server sees the end of the connection, too.
                drop(timeout(FAREWELL, client.flush()).await);
                return Ok(Ended { code: Some(code), words: String::new() });
            }
            () = until(due, now) => client.side.tick(SystemClock.now())?,
        }
    }
}

impl Client {
    /// Goes on with another websocket.
    async fn resume(&mut self) -> Result<()> {
        self.side.cut();
        self.socket = self.line.resume().await?;
        self.broken = false;
        self.side.resume(SystemClock.now());
        Ok(())
    }

    /// Sends what is ready.
    async fn flush(&mut self) -> Result<()> {
        if self.broken {
            bail!("the connection to the server broke");
        }
        if self.side.has_room() {
            let taken = self.side.input(&self.typed, SystemClock.now(), &mut OsEntropy);
            self.typed.drain(..taken);
            if self.input == Input::Over
                && self.typed.is_empty()
                && self.side.end_input(SystemClock.now(), &mut OsEntropy).is_ok()
            {
                self.input = Input::Told;
            }
        }
        while let Some(frame) = self.side.next_frame() {
            let sent = self.socket.feed(Message::binary(frame)).await;
            sent.context("the connection to the server broke")?;
        }
        self.socket.flush().await.context("the connection to the server broke")
    }

    /// Takes a frame; true if the session is over.
    fn take(&mut self, frame: &[u8]) -> Result<bool> {
        // What cannot be read is sent again, or was none of ours.
        let events = self.side.receive(frame, SystemClock.now(), &mut OsEntropy);
        for event in events.unwrap_or_default() {
            match event {
                ClientEvent::Started { message } if message.is_empty() => {}
                ClientEvent::Started { message } => eprint!("{message}\r\n"),
                ClientEvent::Output(bytes) => print(&mut std::io::stdout().lock(), &bytes)?,
                ClientEvent::ErrorOutput(bytes) => print(&mut std::io::stderr().lock(), &bytes)?,
                ClientEvent::Exited(code) => self.ended.code = Some(code),
                ClientEvent::Closed { words } => {
                    self.ended.words = words;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn print(to: &mut impl Write, bytes: &[u8]) -> Result<()> {
    to.write_all(bytes).and_then(|()| to.flush()).context("print what the program says")
}

/// Reads standard input until its end, or until nobody wants it.
fn read(to: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        match std::io::stdin().lock().read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                let bytes = buffer.get(..read).unwrap_or_default().to_vec();
                if to.blocking_send(bytes).is_err() {
                    return;
                }
            }
        }
    }
}

async fn until(at: Option<Timestamp>, now: Timestamp) {
    match at {
        Some(at) => sleep(at.since(now)).await,
        None => std::future::pending().await,
    }
}
