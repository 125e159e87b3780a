//! Sessions of the fake: each is a little shell that repeats what is typed.

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};

use super::Fake;
use crate::{ContainerId, RuntimeError, Session, SessionHandle, SessionSpec};

/// So much may be typed or printed before the other side takes it.
const BUFFER: usize = 64 << 10;
/// What a terminal makes of Ctrl-C and Ctrl-D.
const INTERRUPT: u8 = 3;
const END_OF_INPUT: u8 = 4;

/// Control of one session.
#[derive(Debug)]
struct Handle {
    fake: Fake,
    container: ContainerId,
    terminal: bool,
    signals: mpsc::UnboundedSender<i32>,
    status: watch::Receiver<Option<i32>>,
}

#[async_trait]
impl SessionHandle for Handle {
    async fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        if self.terminal {
            self.fake.note(format!("resize {} {rows}x{columns}", self.container));
        }
        Ok(())
    }

    async fn signal(&self, signal: i32) -> Result<(), RuntimeError> {
        self.fake.note(format!("signal_session {} {signal}", self.container));
        // One that has ended does not mind.
        self.signals.send(signal).unwrap_or_default();
        Ok(())
    }

    async fn wait(&self) -> Result<i32, RuntimeError> {
        let mut status = self.status.clone();
        let ended = status.wait_for(Option::is_some).await.ok().and_then(|code| *code);
        Ok(ended.unwrap_or(128 + libc::SIGKILL))
    }
}

/// Begins a session, which prints `greeting` first.
pub(super) fn open(
    fake: &Fake,
    container: &ContainerId,
    spec: &SessionSpec,
    greeting: Vec<u8>,
) -> Session {
    let (input, typed) = tokio::io::duplex(BUFFER);
    let (printed, output) = tokio::io::duplex(BUFFER);
    let (signals, heard) = mpsc::unbounded_channel();
    let (ended, status) = watch::channel(None);
    let terminal = spec.terminal.is_some();
    let handle =
        Handle { fake: fake.clone(), container: container.clone(), terminal, signals, status };
    let shell = Shell { typed, printed, heard, terminal, line: Vec::new() };
    let (fake, container) = (fake.clone(), container.clone());
    tokio::spawn(async move {
        let code = tokio::select! {
            code = shell.live(greeting) => code,
            // Whatever becomes of the container, its sessions die with it.
            _ = fake.wait(&container) => 128 + libc::SIGKILL,
        };
        // Nobody waiting is nobody told.
        ended.send(Some(code)).unwrap_or_default();
    });
    Session { input: Box::new(input), output: Box::new(output), handle: Box::new(handle) }
}

struct Shell {
    typed: DuplexStream,
    printed: DuplexStream,
    heard: mpsc::UnboundedReceiver<i32>,
    terminal: bool,
    line: Vec<u8>,
}

impl Shell {
    /// Repeats what is typed until its end, a signal, `exit N`, or its user is gone; the status.
    async fn live(mut self, greeting: Vec<u8>) -> i32 {
        self.print(&greeting).await;
        let mut chunk = vec![0; 4096];
        loop {
            tokio::select! {
                read = self.typed.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return 0,
                    Ok(read) => {
                        self.print(&chunk[..read]).await;
                        if let Some(code) = self.take(&chunk[..read]) {
                            return code;
                        }
                    }
                },
                signal = self.heard.recv() => match signal {
                    Some(signal) if signal == libc::SIGWINCH => {}
                    Some(signal) => return 128 + signal,
                    None => return 128 + libc::SIGHUP,
                },
            }
        }
    }

    async fn print(&mut self, bytes: &[u8]) {
        // Output that nobody reads any more is lost.
        self.printed.write_all(bytes).await.unwrap_or_default();
    }

    /// What was typed, as commands: the status if it ends the shell.
    fn take(&mut self, bytes: &[u8]) -> Option<i32> {
        for byte in bytes {
            match *byte {
                INTERRUPT if self.terminal => return Some(128 + libc::SIGINT),
                END_OF_INPUT if self.terminal => return Some(0),
                b'\n' | b'\r' => {
                    let line =
                        String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                    if let Some(code) = line.trim().strip_prefix("exit") {
                        return Some(code.trim().parse().unwrap_or(0));
                    }
                }
                other => self.line.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogMode, Runtime};

    async fn running() -> (Fake, ContainerId) {
        let fake = Fake::new(shell::SystemClock::shared());
        let sandbox = crate::testing::sandbox("sand");
        fake.create_sandbox(&sandbox).await.unwrap();
        let mut spec = crate::testing::container("box", "sand");
        spec.log = LogMode::None;
        fake.start_container(&spec).await.unwrap();
        (fake, spec.id)
    }

    fn session(terminal: bool) -> SessionSpec {
        SessionSpec {
            args: vec!["/bin/sh".into()],
            env: Vec::new(),
            user: String::new(),
            terminal: terminal.then_some((24, 80)),
        }
    }

    #[tokio::test]
    async fn it_repeats_and_ends_as_told() {
        let (fake, id) = running().await;
        let mut one = fake.open_session(&id, &session(true)).await.unwrap();
        one.handle.resize(50, 100).await.unwrap();
        one.input.write_all(b"hello\nexit 7\n").await.unwrap();
        let mut text = String::new();
        one.output.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello\nexit 7\n");
        assert_eq!(one.handle.wait().await.unwrap(), 7);
        assert_eq!(one.handle.wait().await.unwrap(), 7);
        assert!(fake.calls().contains(&"resize box 50x100".to_owned()));

        let mut two = fake.open_session(&id, &session(false)).await.unwrap();
        two.input.shutdown().await.unwrap();
        assert_eq!(two.handle.wait().await.unwrap(), 0);
        let three = fake.open_session(&id, &session(false)).await.unwrap();
        three.handle.signal(libc::SIGTERM).await.unwrap();
        assert_eq!(three.handle.wait().await.unwrap(), 143);
        let four = fake.open_session(&id, &session(false)).await.unwrap();
        fake.exit(&id, 0, false);
        assert_eq!(four.handle.wait().await.unwrap(), 137);
        assert!(fake.open_session(&id, &session(false)).await.is_err());
    }
}
