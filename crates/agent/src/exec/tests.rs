//! Sessions over a real websocket, with a program made by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use channel::{ClientEvent, ClientSide, MessageType, Size, Wish};
use futures_util::{SinkExt, StreamExt};
use runtime::{RuntimeError, Session, SessionHandle};
use shell::{Clock, OsEntropy, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::pump::{Ending, pump};
use super::{Dial, Dialled, Gone, Wire, greet};
use crate::session::Socket;

/// The program's side: what it is told and when it ends.
#[derive(Clone, Debug)]
struct Handle {
    sizes: Arc<Mutex<Vec<(u16, u16)>>>,
    status: watch::Receiver<Option<i32>>,
}

#[async_trait]
impl SessionHandle for Handle {
    async fn resize(&self, rows: u16, columns: u16) -> Result<(), RuntimeError> {
        self.sizes.lock().unwrap().push((rows, columns));
        Ok(())
    }

    async fn signal(&self, _: i32) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn wait(&self) -> Result<i32, RuntimeError> {
        let mut status = self.status.clone();
        Ok(status.wait_for(Option::is_some).await.unwrap().unwrap())
    }
}

struct Program {
    typed: DuplexStream,
    prints: DuplexStream,
    status: watch::Sender<Option<i32>>,
    sizes: Arc<Mutex<Vec<(u16, u16)>>>,
}

fn program() -> (Session, Program) {
    let (input, typed) = tokio::io::duplex(1 << 10);
    let (prints, output) = tokio::io::duplex(1 << 10);
    let (status, watched) = watch::channel(None);
    let handle = Handle { sizes: Arc::default(), status: watched };
    let program = Program { typed, prints, status, sizes: Arc::clone(&handle.sizes) };
    let session =
        Session { input: Box::new(input), output: Box::new(output), handle: Box::new(handle) };
    (session, program)
}

/// A client at the other end of a websocket, as the relay would show it.
struct Client {
    socket: WebSocketStream<TcpStream>,
    side: ClientSide,
    events: Vec<ClientEvent>,
}

/// The two ends of a websocket: the agent's and the relay's.
async fn websocket() -> (Socket, WebSocketStream<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let accepted = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    });
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    (socket, accepted.await.unwrap())
}

async fn ends(wish: Wish) -> (Wire<'static>, Client) {
    let (here, mut socket) = websocket().await;
    let wire = Wire::new(here, None, "s", &SystemClock);
    socket.send(start()).await.unwrap();
    (wire, Client { socket, side: ClientSide::new(wish, "t"), events: Vec::new() })
}

/// What the relay says when a client is there.
fn start() -> Message {
    let kind = MessageType::StartPublication;
    Message::binary(channel::control(kind, Vec::new(), SystemClock.now(), &mut OsEntropy))
}

/// Answers each dial with the next of these.
struct Sockets(Mutex<Vec<Dialled>>);

#[async_trait]
impl Dial for Sockets {
    async fn dial(&self) -> Dialled {
        self.0.lock().unwrap().pop().unwrap_or(Dialled::Never)
    }
}

fn pipes() -> Wish {
    Wish { terminal: false, exit_code: true, size: None, term: None }
}

fn output(events: &[ClientEvent]) -> Vec<u8> {
    let bytes = |event: &ClientEvent| match event {
        ClientEvent::Output(bytes) => bytes.clone(),
        _ => Vec::new(),
    };
    events.iter().flat_map(bytes).collect()
}

impl Client {
    /// Lives until an event for which `until` says so; false if the websocket ended.
    async fn live(&mut self, until: impl Fn(&[ClientEvent]) -> bool) -> bool {
        loop {
            while let Some(frame) = self.side.next_frame() {
                self.socket.send(Message::binary(frame)).await.unwrap();
            }
            if until(&self.events) {
                return true;
            }
            match self.socket.next().await {
                Some(Ok(Message::Binary(frame))) => {
                    let now = SystemClock.now();
                    self.events.extend(self.side.receive(&frame, now, &mut OsEntropy).unwrap());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    async fn begun(&mut self) {
        let started = |events: &[ClientEvent]| {
            events.iter().any(|e| matches!(e, ClientEvent::Started { .. }))
        };
        assert!(self.live(started).await);
    }

    fn printed(&self) -> Vec<u8> {
        output(&self.events)
    }
}

async fn begin(wire: &mut Wire<'_>) -> (Wish, Vec<channel::AgentEvent>) {
    let Ok(Ok(begun)) = greet(wire).await else { panic!("the handshake succeeds") };
    begun
}

#[tokio::test]
async fn bytes_sizes_and_the_exit_status_get_through() {
    let (mut wire, mut client) = ends(pipes()).await;
    let (session, mut program) = program();
    let agent = async {
        let (wish, early) = begin(&mut wire).await;
        assert_eq!(wish, pipes());
        let Ending::Exited(code) = pump(&mut wire, session, early).await else {
            panic!("the program ended");
        };
        wire.side.exited(code, SystemClock.now(), &mut OsEntropy);
        assert!(wire.close("bye").await.is_ok());
        code
    };
    let user = async {
        client.begun().await;
        let now = SystemClock.now();
        client.side.resize(Size { cols: 100, rows: 70_000 }, now, &mut OsEntropy);
        assert_eq!(client.side.input(b"hello", now, &mut OsEntropy), 5);
        client.side.end_input(now, &mut OsEntropy).unwrap();
        let closed = |e: &[ClientEvent]| matches!(e.last(), Some(ClientEvent::Closed { .. }));
        assert!(client.live(closed).await);
    };
    // More than the window holds, so that the program has to wait for its reader.
    let many = vec![b'x'; 3 << 20];
    let life = async {
        let mut typed = String::new();
        program.typed.read_to_string(&mut typed).await.unwrap();
        assert_eq!(typed, "hello");
        program.prints.write_all(&many).await.unwrap();
        program.status.send(Some(7)).unwrap();
        drop(program.prints);
    };
    let (code, (), ()) = tokio::join!(agent, user, life);
    assert_eq!(code, 7);
    assert!(client.printed() == many);
    assert_eq!(*program.sizes.lock().unwrap(), [(u16::MAX, 100)]);
    let [.., exited, closed] = &client.events[..] else { panic!("{:?}", client.events.len()) };
    assert_eq!(*exited, ClientEvent::Exited(7));
    assert_eq!(*closed, ClientEvent::Closed { words: "bye".into() });
}

#[tokio::test]
async fn a_client_that_goes_takes_its_program_along() {
    for asks in [true, false] {
        let (mut wire, mut client) = ends(pipes()).await;
        let (session, mut program) = program();
        let agent = async {
            let (_, early) = begin(&mut wire).await;
            match pump(&mut wire, session, early).await {
                Ending::Terminated => "terminated",
                Ending::Gone => "gone",
                Ending::Exited(_) => "exited",
            }
        };
        let user = async {
            client.begun().await;
            if asks {
                client.side.terminate(SystemClock.now(), &mut OsEntropy);
                while let Some(frame) = client.side.next_frame() {
                    client.socket.send(Message::binary(frame)).await.unwrap();
                }
            } else {
                client.socket.close(None).await.unwrap();
            }
        };
        let (ending, ()) = tokio::join!(agent, user);
        assert_eq!(ending, if asks { "terminated" } else { "gone" });
        // The session's end has dropped the program's input.
        let mut rest = Vec::new();
        let read =
            tokio::time::timeout(Duration::from_secs(10), program.typed.read_to_end(&mut rest));
        assert_eq!(read.await.unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_not_waited_for() {
    let (mut wire, mut client) = ends(pipes()).await;
    let (session, mut program) = program();
    let agent = async {
        let (_, early) = begin(&mut wire).await;
        matches!(pump(&mut wire, session, early).await, Ending::Exited(0))
    };
    let life = async {
        program.prints.write_all(b"last words").await.unwrap();
        // Its output stays open, as if a process in the background held it.
        program.status.send(Some(0)).unwrap();
    };
    let user = async {
        let heard =
            |events: &[ClientEvent]| events.contains(&ClientEvent::Output(b"last words".to_vec()));
        assert!(client.live(heard).await);
        while let Some(frame) = client.side.next_frame() {
            client.socket.send(Message::binary(frame)).await.unwrap();
        }
    };
    let (over, (), ()) = tokio::join!(agent, life, user);
    assert!(over, "it ended although its output is open");
    assert_eq!(client.printed(), b"last words");
}

#[tokio::test]
async fn a_client_that_listens_late_gets_all_that_was_printed() {
    let (mut wire, mut client) = ends(pipes()).await;
    let (session, mut program) = program();
    let agent = async {
        let (_, early) = begin(&mut wire).await;
        let over = matches!(pump(&mut wire, session, early).await, Ending::Exited(0));
        over && wire.close("").await.is_ok()
    };
    let all: Vec<u8> = (0..1_u32 << 16).flat_map(u32::to_le_bytes).collect();
    let life = async {
        program.status.send(Some(0)).unwrap();
        program.prints.write_all(&all).await.unwrap();
    };
    let user = async {
        // Each time longer than an open output is waited for once its program has ended.
        for pause in 1..6 {
            let part = pause * all.len() / 8;
            let heard = |events: &[ClientEvent]| output(events).len() >= part;
            assert!(client.live(heard).await, "it ended after {}", client.printed().len());
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        client.live(|events| output(events).len() == all.len()).await;
        while let Some(frame) = client.side.next_frame() {
            client.socket.send(Message::binary(frame)).await.unwrap();
        }
        client.live(|_| false).await;
    };
    let (over, (), ()) = tokio::join!(agent, life, user);
    assert!(over, "it ended in order");
    assert_eq!(client.printed().len(), all.len());
    assert!(client.printed() == all, "in order");
}

#[tokio::test]
async fn a_client_that_never_greets_back_is_noticed_when_it_goes() {
    let (mut wire, mut client) = ends(pipes()).await;
    let user = async {
        // It hears the greeting and leaves.
        assert!(client.socket.next().await.is_some());
        client.socket.close(None).await.unwrap();
    };
    let (greeted, ()) = tokio::join!(greet(&mut wire), user);
    assert!(matches!(greeted, Err(Gone)));
}

#[tokio::test]
async fn a_session_goes_on_over_another_websocket() {
    let ((first, mut there), (second, relay)) = (websocket().await, websocket().await);
    // The server is away at first.
    let dialled = vec![Dialled::Up(Box::new(second)), Dialled::Later];
    let dial = Arc::new(Sockets(Mutex::new(dialled)));
    let mut wire = Wire::new(first, Some(dial), "s", &SystemClock);
    there.send(start()).await.unwrap();
    let side = ClientSide::new(pipes(), "t");
    let mut client = Client { socket: there, side, events: Vec::new() };
    let (session, mut program) = program();
    let agent = async {
        let (_, early) = begin(&mut wire).await;
        let Ending::Exited(code) = pump(&mut wire, session, early).await else {
            panic!("the program ended");
        };
        assert!(wire.close("").await.is_ok());
        code
    };
    let many: Vec<u8> = (0..400_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    let user = async {
        client.begun().await;
        let some = |e: &[ClientEvent]| e.iter().any(|e| matches!(e, ClientEvent::Output(_)));
        assert!(client.live(some).await);
        // The websocket breaks with frames under way, both ways.
        client.side.input(b"typed", SystemClock.now(), &mut OsEntropy);
        client.side.end_input(SystemClock.now(), &mut OsEntropy).unwrap();
        client.side.cut();
        client.socket = relay;
        client.socket.send(start()).await.unwrap();
        client.side.resume(SystemClock.now());
        let closed = |e: &[ClientEvent]| matches!(e.last(), Some(ClientEvent::Closed { .. }));
        assert!(client.live(closed).await);
        // As the relay closes it once it has heard the end.
        client.socket.close(None).await.unwrap();
    };
    let life = async {
        program.prints.write_all(&many).await.unwrap();
        let mut typed = String::new();
        program.typed.read_to_string(&mut typed).await.unwrap();
        program.status.send(Some(0)).unwrap();
        drop(program.prints);
        typed
    };
    let (code, (), typed) = tokio::join!(agent, user, life);
    assert_eq!((code, typed.as_str()), (0, "typed"));
    assert!(client.printed() == many, "{} bytes", client.printed().len());
}

#[tokio::test]
async fn a_session_that_the_server_does_not_want_any_more_ends() {
    let (first, there) = websocket().await;
    let mut wire = Wire::new(first, Some(Arc::new(Sockets(Mutex::default()))), "s", &SystemClock);
    drop(there);
    assert!(wire.receive().await.is_err());
}
