//! The client's end, as `wharf exec` speaks it.

use serde_json::Value;
use stdx::{Entropy, Timestamp};

use crate::link::{Full, GaveUp, Link, Received};
use crate::message::{DecodeError, Message, MessageType, PayloadType};
use crate::payload::{
    self, ChannelClosed, HandshakeComplete, HandshakeRequest, HandshakeResponse, ProcessedAction,
    Size, Wish,
};

/// The largest payload.
const CHUNK: usize = 1024;

/// What the agent did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The session has begun: input may be sent.
    Started {
        /// Words for the user, often none.
        message: String,
    },
    /// Output of the program.
    Output(Vec<u8>),
    /// Error output of the program.
    ErrorOutput(Vec<u8>),
    /// The program's exit status.
    Exited(i32),
    /// The session is over; the words are empty after an ordinary end.
    Closed {
        /// Why.
        words: String,
    },
}

/// The client's end of one session.
#[derive(Debug)]
pub struct ClientSide {
    link: Link,
    wish: Wish,
    version: String,
    started: bool,
}

impl ClientSide {
    /// An end that waits for the agent's greeting.
    pub fn new(wish: Wish, version: impl Into<String>) -> Self {
        let link = Link::new(MessageType::InputStreamData);
        Self { link, wish, version: version.into(), started: false }
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// The frame is no message; the session goes on.
    pub fn receive(
        &mut self,
        frame: &[u8],
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) -> Result<Vec<ClientEvent>, DecodeError> {
        let mut events = Vec::new();
        for received in self.link.receive(frame, now, chance)? {
            match received {
                Received::Control(message) => {
                    if message.message_type == MessageType::ChannelClosed {
                        let closed: ChannelClosed =
                            payload::read("a closing", &message.payload).unwrap_or_default();
                        events.push(ClientEvent::Closed { words: closed.output });
                    }
                }
                Received::Data(message) => self.data(message, now, chance, &mut events),
            }
        }
        Ok(events)
    }

    fn data(
        &mut self,
        message: Message,
        now: Timestamp,
        chance: &mut dyn Entropy,
        events: &mut Vec<ClientEvent>,
    ) {
        match message.payload_type {
            PayloadType::HandshakeRequest => self.answer(&message.payload, now, chance),
            PayloadType::HandshakeComplete => {
                self.started = true;
                let read = payload::read::<HandshakeComplete>("an end", &message.payload);
                let message = read.map(|read| read.customer_message).unwrap_or_default();
                events.push(ClientEvent::Started { message });
            }
            PayloadType::Output => events.push(ClientEvent::Output(message.payload)),
            PayloadType::StdErr => events.push(ClientEvent::ErrorOutput(message.payload)),
            PayloadType::ExitCode => {
                let text = String::from_utf8_lossy(&message.payload);
                if let Ok(code) = text.trim().parse() {
                    events.push(ClientEvent::Exited(code));
                }
            }
            _ => {}
        }
    }

    /// Takes the session's type, whatever program it is for, and nothing else.
    fn answer(&mut self, request: &[u8], now: Timestamp, chance: &mut dyn Entropy) {
        let read = payload::read::<HandshakeRequest>("a handshake's request", request);
        let Ok(request) = read else { return };
        let mut errors = Vec::new();
        let done = request.requested_client_actions.iter().map(|action| {
            let known = action.action_type == "SessionType";
            let error = if known {
                String::new()
            } else {
                format!("Unsupported action {}", action.action_type)
            };
            if !known {
                errors.push(error.clone());
            }
            ProcessedAction {
                action_type: action.action_type.clone(),
                action_status: if known { 1 } else { 3 },
                action_result: if known { self.wish.as_value() } else { Value::Null },
                error,
            }
        });
        let actions = done.collect();
        let response = HandshakeResponse {
            client_version: self.version.clone(),
            processed_client_actions: Some(actions),
            errors: Some(errors),
        };
        self.document(PayloadType::HandshakeResponse, payload::write(&response), now, chance);
    }

    /// Whether input may be read on.
    pub fn has_room(&self) -> bool {
        self.started && self.link.has_room()
    }

    /// Sends input. Returns how many bytes were taken: fewer than given when the agent is slow.
    pub fn input(&mut self, bytes: &[u8], now: Timestamp, chance: &mut dyn Entropy) -> usize {
        let mut taken = 0;
        for chunk in bytes.chunks(CHUNK) {
            let sent = self.link.send(PayloadType::Output, chunk.to_vec(), false, now, chance);
            if sent.is_err() {
                break;
            }
            taken += chunk.len();
        }
        taken
    }

    /// No more input will come.
    ///
    /// # Errors
    /// [`Full`]: try again when something has been received.
    pub fn end_input(&mut self, now: Timestamp, chance: &mut dyn Entropy) -> Result<(), Full> {
        self.link.send(PayloadType::Output, Vec::new(), true, now, chance)
    }

    /// Tells the terminal's size.
    pub fn resize(&mut self, size: Size, now: Timestamp, chance: &mut dyn Entropy) {
        self.document(PayloadType::Size, payload::write(&size), now, chance);
    }

    /// Asks for the session's end.
    pub fn terminate(&mut self, now: Timestamp, chance: &mut dyn Entropy) {
        self.document(PayloadType::Flag, 2_u32.to_be_bytes().to_vec(), now, chance);
    }

    /// The websocket broke; [`ClientSide::resume`] goes on with the next.
    pub fn cut(&mut self) {
        self.link.cut();
    }

    /// A websocket stands again: sends everything that has not arrived for certain.
    pub fn resume(&mut self, now: Timestamp) {
        self.link.replay(now);
    }

    /// Whether all that was sent has arrived.
    pub fn is_settled(&self) -> bool {
        self.link.is_settled()
    }

    /// When [`ClientSide::tick`] has something to do.
    pub fn due(&self) -> Option<Timestamp> {
        self.link.due()
    }

    /// Repeats what has waited too long.
    ///
    /// # Errors
    /// The agent has not answered for minutes.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), GaveUp> {
        self.link.tick(now)
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
        let sent = self.link.send(payload_type, payload, false, now, chance);
        debug_assert!(sent.is_ok(), "only streams wait for room");
    }
}
