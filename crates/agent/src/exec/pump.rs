//! Carries bytes between a session's client and its program, until either is over.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use channel::{AgentEvent, Size};
use futures_util::FutureExt;
use runtime::{Session, SessionHandle};
use shell::OsEntropy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{Gone, Wire};

/// So much is read from the program at once.
const CHUNK: usize = 32 << 10;
/// So many pieces of input (1 KiB each) wait for the program; then the client is not heard any more.
const MOST_INPUT: usize = 16 << 10;
/// A program that has ended may leave others behind that hold its output: after so long without a
/// word from them nobody waits.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How a session ended.
pub(super) enum Ending {
    /// The program did, with this status.
    Exited(i32),
    /// The client asked for it.
    Terminated,
    /// The client is gone.
    Gone,
}

/// For the program's input.
enum Input {
    Bytes(Vec<u8>),
    End,
}

/// A running program, its client's input, and what has become of it.
struct Program {
    output: Option<Box<dyn AsyncRead + Send + Unpin>>,
    handle: Arc<dyn SessionHandle>,
    input: mpsc::Sender<Input>,
    waiting: VecDeque<Input>,
    code: Option<i32>,
    /// What it printed and the client has not room for.
    printed: Vec<u8>,
    last_words: Option<Instant>,
}

/// What happened.
enum Happened {
    Heard(Result<Vec<AgentEvent>, Gone>),
    Printed(usize),
    Exited(i32),
    Typed,
    Due,
    Quiet,
}

/// Runs until the end. The program is hung up when this returns, if it still runs.
pub(super) async fn pump(wire: &mut Wire<'_>, session: Session, early: Vec<AgentEvent>) -> Ending {
    let mut helpers = JoinSet::new();
    let (input, typed) = mpsc::channel(16);
    helpers.spawn(feed(session.input, typed));
    let handle: Arc<dyn SessionHandle> = Arc::from(session.handle);
    let (ended, mut end) = oneshot::channel();
    let waiter = Arc::clone(&handle);
    helpers.spawn(async move {
        // The session may be over before.
        drop(ended.send(waiter.wait().await));
    });
    let mut program = Program {
        output: Some(session.output),
        handle,
        input,
        waiting: VecDeque::new(),
        code: None,
        printed: Vec::new(),
        last_words: None,
    };
    if program.follow(early).await {
        return Ending::Terminated;
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        if wire.flush().await.is_err() {
            return Ending::Gone;
        }
        if let Some(code) = program.over() {
            return Ending::Exited(code);
        }
        match program.next(wire, &mut end, &mut buffer).await {
            Happened::Heard(Err(Gone)) => return Ending::Gone,
            Happened::Heard(Ok(events)) => {
                if program.follow(events).await {
                    return Ending::Terminated;
                }
                program.print(wire);
            }
            Happened::Printed(0) => program.output = None,
            Happened::Printed(read) => {
                program.printed.extend_from_slice(buffer.get(..read).unwrap_or_default());
                program.last_words = program.code.map(|_| Instant::now() + LAST_WORDS);
                program.print(wire);
            }
            Happened::Exited(code) => {
                program.code = Some(code);
                program.last_words = Some(Instant::now() + LAST_WORDS);
            }
            Happened::Typed => {}
            Happened::Due => {
                if wire.side.tick(wire.clock.now()).is_err() {
                    return Ending::Gone;
                }
            }
            Happened::Quiet => {
                program.hush(&mut buffer);
                program.print(wire);
            }
        }
    }
}

impl Program {
    /// The exit status, once everything before it has been sent.
    fn over(&self) -> Option<i32> {
        self.code.filter(|_| self.output.is_none() && self.printed.is_empty())
    }

    async fn next(
        &mut self,
        wire: &mut Wire<'_>,
        end: &mut oneshot::Receiver<Result<i32, runtime::RuntimeError>>,
        buffer: &mut [u8],
    ) -> Happened {
        let (due, now) = (wire.side.due(), wire.clock.now());
        let room = wire.side.has_room() && self.printed.is_empty();
        // Who is quiet only because nobody listens has not had the last word: its time begins when
        // somebody does again.
        if !room && self.last_words.is_some() {
            self.last_words = Some(Instant::now() + LAST_WORDS);
        }
        let quiet = self.last_words.filter(|_| room && self.output.is_some());
        let output = async {
            match self.output.as_mut().filter(|_| room) {
                // A terminal whose program has gone answers with an error: that is its end.
                Some(output) => output.read(buffer).await.unwrap_or(0),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = wire.receive(), if self.waiting.len() < MOST_INPUT => {
                Happened::Heard(received)
            }
            permit = self.input.reserve(), if !self.waiting.is_empty() => {
                match (permit, self.waiting.pop_front()) {
                    (Ok(permit), Some(input)) => permit.send(input),
                    // The program does not read any more.
                    _ => self.waiting.clear(),
                }
                Happened::Typed
            }
            read = output => Happened::Printed(read),
            ended = &mut *end, if self.code.is_none() => Happened::Exited(match ended {
                Ok(Ok(code)) => code,
                Ok(Err(_)) | Err(_) => 1,
            }),
            () = Wire::due(due, now) => Happened::Due,
            () = until(quiet) => Happened::Quiet,
        }
    }

    /// Nothing was printed for as long as anybody waits: unless there is something after all, because
    /// this task itself had to wait for its turn, the output is over.
    fn hush(&mut self, buffer: &mut [u8]) {
        let last = self.output.as_mut().and_then(|output| output.read(buffer).now_or_never());
        match last {
            Some(Ok(read)) if read > 0 => {
                self.printed.extend_from_slice(buffer.get(..read).unwrap_or_default());
                self.last_words = Some(Instant::now() + LAST_WORDS);
            }
            _ => self.output = None,
        }
    }

    /// Sends as much as the client has room for.
    fn print(&mut self, wire: &mut Wire<'_>) {
        let taken = wire.side.output(&self.printed, false, wire.clock.now(), &mut OsEntropy);
        self.printed.drain(..taken);
    }

    /// Does what the client did; true if it ended the session.
    async fn follow(&mut self, events: Vec<AgentEvent>) -> bool {
        for event in events {
            match event {
                AgentEvent::Input(bytes) => self.waiting.push_back(Input::Bytes(bytes)),
                AgentEvent::EndOfInput => self.waiting.push_back(Input::End),
                AgentEvent::Resize(Size { cols, rows }) => {
                    if let Err(error) = self.handle.resize(cells(rows), cells(cols)).await {
                        let error = stdx::chain(&error);
                        tracing::debug!(error, "A terminal could not be resized.");
                    }
                }
                AgentEvent::Terminate => return true,
                AgentEvent::Start(_) | AgentEvent::Refused(_) => {}
            }
        }
        false
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A terminal has at least one cell and at most so many as the kernel can count.
pub(super) fn cells(count: u32) -> u16 {
    u16::try_from(count.max(1)).unwrap_or(u16::MAX)
}

/// Writes input for as long as the program takes it.
async fn feed(mut to: Box<dyn AsyncWrite + Send + Unpin>, mut from: mpsc::Receiver<Input>) {
    while let Some(input) = from.recv().await {
        let written = match input {
            Input::Bytes(bytes) => {
                async {
                    to.write_all(&bytes).await?;
                    to.flush().await
                }
                .await
            }
            Input::End => {
                // A program that is gone does not mind the end of its input.
                drop(to.shutdown().await);
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}
