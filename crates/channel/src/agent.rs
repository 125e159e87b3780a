//! The agent's end: greets, begins the session, carries the program's output, and says how it ended.

use std::time::Duration;

use serde_json::json;
use stdx::{Entropy, Timestamp};

use crate::link::{Full, GaveUp, Link, Received};
use crate::message::{DecodeError, FIN, Message, MessageType, PayloadType};
use crate::payload::{
    self, ChannelClosed, HandshakeComplete, HandshakeRequest, HandshakeResponse, RequestedAction,
    Size, Wish,
};

/// The largest payload: what the plugin itself sends.
const CHUNK: usize = 1024;
/// The plugin compares it with the versions that learned its features: new enough for all.
const AGENT_VERSION: &str = "3.3.2299.0";
/// The number that asks for the session's end in a [`PayloadType::Flag`].
const TERMINATE: [u8; 4] = [0, 0, 0, 2];

/// What the client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// The handshake is done: start the program.
    Start(Wish),
    /// It did not succeed: close with these words.
    Refused(String),
    /// For the program's standard input.
    Input(Vec<u8>),
    /// No more will come.
    EndOfInput,
    /// The terminal has another size.
    Resize(Size),
    /// The client ends the session.
    Terminate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No client is there.
    Waiting,
    /// The client has been asked.
    Greeted(Timestamp),
    /// The program runs.
    Open,
    /// The client has been told the end.
    Closed,
}

/// The agent's end of one session.
#[derive(Debug)]
pub struct AgentSide {
    link: Link,
    stage: Stage,
    session: String,
    paused: bool,
    wish: Wish,
    /// A size that came before the program started.
    early: Vec<AgentEvent>,
}

impl AgentSide {
    /// An end that waits for its client.
    pub fn new(session: impl Into<String>) -> Self {
        Self {
            link: Link::new(MessageType::OutputStreamData),
            stage: Stage::Waiting,
            session: session.into(),
            paused: false,
            wish: Wish::of_the_plugin(),
            early: Vec::new(),
        }
    }

    /// Takes a frame from the client or the relay.
    ///
    /// # Errors
    /// The frame is no message; the session goes on.
    pub fn receive(
        &mut self,
        frame: &[u8],
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) -> Result<Vec<AgentEvent>, DecodeError> {
        let mut events = Vec::new();
        for received in self.link.receive(frame, now, chance)? {
            match received {
                Received::Control(message) => match message.message_type {
                    MessageType::StartPublication => {
                        self.paused = false;
                        // A client that comes back may have missed anything not acknowledged.
                        self.link.replay(now);
                        self.greet(now, chance);
                    }
                    MessageType::PausePublication => self.paused = true,
                    MessageType::ChannelClosed => events.push(AgentEvent::Terminate),
                    _ => {}
                },
                Received::Data(message) => self.data(message, now, chance, &mut events),
            }
        }
        Ok(events)
    }

    fn greet(&mut self, now: Timestamp, chance: &mut dyn Entropy) {
        if self.stage != Stage::Waiting {
            return;
        }
        let request = HandshakeRequest {
            agent_version: AGENT_VERSION.to_owned(),
            requested_client_actions: vec![RequestedAction {
                action_type: "SessionType".to_owned(),
                action_parameters: json!({"SessionType": "InteractiveCommands", "Properties": {}}),
            }],
        };
        self.stage = Stage::Greeted(now);
        self.document(PayloadType::HandshakeRequest, payload::write(&request), now, chance);
    }

    fn data(
        &mut self,
        message: Message,
        now: Timestamp,
        chance: &mut dyn Entropy,
        events: &mut Vec<AgentEvent>,
    ) {
        match message.payload_type {
            PayloadType::HandshakeResponse => {
                if let Stage::Greeted(at) = self.stage {
                    self.begin(&message.payload, now.since(at), now, chance, events);
                }
                return;
            }
            PayloadType::Output if !message.payload.is_empty() => {
                self.event(AgentEvent::Input(message.payload), events);
            }
            PayloadType::Size => {
                // A size that cannot be read changes nothing.
                if let Ok(size) = payload::read("a size", &message.payload) {
                    self.event(AgentEvent::Resize(size), events);
                }
            }
            PayloadType::Flag if message.payload == TERMINATE => {
                self.event(AgentEvent::Terminate, events);
            }
            _ => {}
        }
        if message.flags & FIN != 0 {
            self.event(AgentEvent::EndOfInput, events);
        }
    }

    /// What comes before the handshake's end waits for it.
    fn event(&mut self, event: AgentEvent, events: &mut Vec<AgentEvent>) {
        match self.stage {
            Stage::Open => events.push(event),
            Stage::Waiting | Stage::Greeted(_) => self.early.push(event),
            Stage::Closed => {}
        }
    }

    fn begin(
        &mut self,
        response: &[u8],
        took: Duration,
        now: Timestamp,
        chance: &mut dyn Entropy,
        events: &mut Vec<AgentEvent>,
    ) {
        let refused = |why: String| AgentEvent::Refused(why);
        let response = match payload::read::<HandshakeResponse>("a handshake's response", response)
        {
            Ok(response) => response,
            Err(error) => return events.push(refused(stdx::chain(&error))),
        };
        let actions = response.processed_client_actions.unwrap_or_default();
        let session = actions.iter().find(|action| action.action_type == "SessionType");
        match session {
            Some(action) if action.action_status == 1 => {
                let wish = Wish::deserialize_from(&action.action_result);
                self.wish = wish.unwrap_or_else(Wish::of_the_plugin);
            }
            other => {
                let said = other.map(|action| action.error.clone()).unwrap_or_default();
                let why = format!("the client did not take the session's type. {said}");
                return events.push(refused(why.trim_end().to_owned()));
            }
        }
        let complete = HandshakeComplete {
            handshake_time_to_complete: i64::try_from(took.as_nanos()).unwrap_or(i64::MAX),
            customer_message: String::new(),
        };
        self.document(PayloadType::HandshakeComplete, payload::write(&complete), now, chance);
        self.stage = Stage::Open;
        events.push(AgentEvent::Start(self.wish.clone()));
        events.append(&mut self.early);
    }

    /// Whether the program's output may be read on.
    pub fn has_room(&self) -> bool {
        self.stage == Stage::Open && !self.paused && self.link.has_room()
    }

    /// Sends output of the program; error output is kept apart where the client wishes so. Returns
    /// how many bytes were taken: fewer than given when the client is slow.
    pub fn output(
        &mut self,
        bytes: &[u8],
        error: bool,
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) -> usize {
        let apart = error && !self.wish.terminal;
        let payload_type = if apart { PayloadType::StdErr } else { PayloadType::Output };
        let mut taken = 0;
        for chunk in bytes.chunks(CHUNK) {
            if self.link.send(payload_type, chunk.to_vec(), false, now, chance).is_err() {
                break;
            }
            taken += chunk.len();
        }
        taken
    }

    /// Tells the program's exit status to a client that wants it.
    pub fn exited(&mut self, code: i32, now: Timestamp, chance: &mut dyn Entropy) {
        if self.wish.exit_code {
            self.document(PayloadType::ExitCode, code.to_string().into_bytes(), now, chance);
        }
    }

    /// Ends the session, once [`AgentSide::is_settled`]; the words are for the user.
    pub fn close(&mut self, words: &str, now: Timestamp, chance: &mut dyn Entropy) {
        if self.stage != Stage::Closed {
            self.stage = Stage::Closed;
            let frame = closing(&self.session, words, now, chance);
            self.link.push(frame);
        }
    }

    /// The websocket broke: nothing is sent until the relay says again that a client is there.
    pub fn cut(&mut self) {
        self.paused = true;
        self.link.cut();
    }

    /// Whether the client is away.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether all that was sent has arrived.
    pub fn is_settled(&self) -> bool {
        self.link.is_settled()
    }

    /// When [`AgentSide::tick`] has something to do.
    pub fn due(&self) -> Option<Timestamp> {
        if self.paused { None } else { self.link.due() }
    }

    /// Repeats what has waited too long.
    ///
    /// # Errors
    /// The client has not answered for minutes.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), GaveUp> {
        if self.paused { Ok(()) } else { self.link.tick(now) }
    }

    /// The next frame for the websocket, as binary.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.link.next_frame()
    }

    fn document(
        &mut self,
        payload_type: PayloadType,
        payload: Vec<u8>,
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) {
        // Documents pass a full window.
        let sent: Result<(), Full> = self.link.send(payload_type, payload, false, now, chance);
        debug_assert!(sent.is_ok(), "only streams wait for room");
    }
}

/// The frame that tells a client that its session is over, for relay and agent alike.
pub fn closing(session: &str, words: &str, now: Timestamp, chance: &mut dyn Entropy) -> Vec<u8> {
    let closed = ChannelClosed {
        message_id: chance.uuid(),
        created_date: now.rfc3339(),
        destination_id: String::new(),
        session_id: session.to_owned(),
        message_type: MessageType::ChannelClosed.as_str().to_owned(),
        schema_version: 1,
        output: words.to_owned(),
    };
    crate::link::control(MessageType::ChannelClosed, payload::write(&closed), now, chance)
}

/// Whether a frame tells that a session is over, without reading more of it than its header.
pub fn is_closing(frame: &[u8]) -> bool {
    let name = MessageType::ChannelClosed;
    frame.get(4..).is_some_and(|rest| rest.starts_with(name.as_str().as_bytes()))
}
