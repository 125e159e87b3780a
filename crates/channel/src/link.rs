//! One end's numbering, acknowledgement and repetition.
//!
//! Each data message is acknowledged by itself. The sender repeats what is not acknowledged after a
//! time that follows the measured round trip (RFC 6298's estimate with the plugin's constants); the
//! receiver puts messages in order and drops what it had already. A link outlives its websocket:
//! what was lost with one is sent again on the next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use stdx::{Entropy, Timestamp};

use crate::message::{Message, MessageId, MessageType, PayloadType, SYN};
use crate::payload::{self, Acknowledgement};
use crate::{DecodeError, FIN};

/// So many messages may be unacknowledged; the plugin keeps up to 10,000 that come too early.
pub const WINDOW: usize = 1000;
/// So many messages that come too early are kept; the rest will be sent again.
const MOST_EARLY: usize = 10_000;
/// The first guess of a round trip, and the first time to repetition.
const FIRST_ROUND_TRIP: f64 = 100.0;
const FIRST_TIMEOUT: Duration = Duration::from_millis(200);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// The least that is added to a round trip, in milliseconds.
const GRANULARITY: f64 = 10.0;
/// A message that is not acknowledged after so many repetitions never will be: about five minutes.
const MOST_REPETITIONS: u32 = 300;
/// So many of the oldest messages are repeated at a time.
const REPEATED_AT_ONCE: usize = 16;

/// The other end does not acknowledge any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other end of the session has not answered for minutes")]
pub struct GaveUp;

/// Too much is unacknowledged: nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much waits to be acknowledged")]
pub struct Full;

/// What a frame brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The next message of the stream, exactly once.
    Data(Message),
    /// Anything outside the stream but acknowledgements.
    Control(Message),
}

/// One end of a channel.
#[derive(Debug)]
pub struct Link {
    sends: MessageType,
    next: i64,
    unacknowledged: BTreeMap<i64, Sent>,
    round_trip: RoundTrip,
    expected: i64,
    early: BTreeMap<i64, Message>,
    outgoing: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
struct Sent {
    frame: Vec<u8>,
    at: Timestamp,
    repetitions: u32,
}

/// The estimate of a round trip, in milliseconds.
#[derive(Debug)]
struct RoundTrip {
    mean: f64,
    variation: f64,
    timeout: Duration,
}

impl RoundTrip {
    fn measured(&mut self, took: Duration) {
        let took = took.as_secs_f64() * 1000.0;
        self.variation = 0.75 * self.variation + 0.25 * (self.mean - took).abs();
        self.mean = 0.875 * self.mean + 0.125 * took;
        let timeout = self.mean + GRANULARITY.max(4.0 * self.variation);
        self.timeout = Duration::from_secs_f64(timeout / 1000.0).min(LONGEST_TIMEOUT);
    }
}

impl Link {
    /// The end that sends data of this type.
    pub fn new(sends: MessageType) -> Self {
        let round_trip =
            RoundTrip { mean: FIRST_ROUND_TRIP, variation: 0.0, timeout: FIRST_TIMEOUT };
        Self {
            sends,
            next: 0,
            unacknowledged: BTreeMap::new(),
            round_trip,
            expected: 0,
            early: BTreeMap::new(),
            outgoing: VecDeque::new(),
        }
    }

    /// Whether another message may be sent.
    pub fn has_room(&self) -> bool {
        self.unacknowledged.len() < WINDOW
    }

    /// Whether everything sent has been acknowledged.
    pub fn is_settled(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// Sends data; `last` sets [`FIN`].
    ///
    /// # Errors
    /// [`Full`], if too much is unacknowledged: try again when something has been received.
    pub fn send(
        &mut self,
        payload_type: PayloadType,
        payload: Vec<u8>,
        last: bool,
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) -> Result<(), Full> {
        // Documents are few and may pass the window's end; the plugin's buffer is ten times as large.
        if !self.has_room() && matches!(payload_type, PayloadType::Output | PayloadType::StdErr) {
            return Err(Full);
        }
        let syn = if self.next == 0 { SYN } else { 0 };
        let message = Message {
            message_type: self.sends.clone(),
            created: now,
            sequence: self.next,
            flags: syn | if last { FIN } else { 0 },
            id: MessageId::random(chance),
            payload_type,
            payload,
        };
        let frame = message.encode();
        self.outgoing.push_back(frame.clone());
        self.unacknowledged.insert(self.next, Sent { frame, at: now, repetitions: 0 });
        self.next += 1;
        Ok(())
    }

    /// Sends a message outside the stream; nobody acknowledges it.
    pub fn send_control(
        &mut self,
        message_type: MessageType,
        payload: Vec<u8>,
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) {
        self.outgoing.push_back(control(message_type, payload, now, chance));
    }

    /// Sends a frame that is complete already.
    pub(crate) fn push(&mut self, frame: Vec<u8>) {
        self.outgoing.push_back(frame);
    }

    /// Takes a frame: what comes of it, in order.
    ///
    /// # Errors
    /// The frame is no message. The channel is none the worse for it.
    pub fn receive(
        &mut self,
        frame: &[u8],
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) -> Result<Vec<Received>, DecodeError> {
        let message = Message::decode(frame)?;
        Ok(match message.message_type {
            MessageType::InputStreamData | MessageType::OutputStreamData => {
                if message.message_type == self.sends {
                    // An echo of our own stream is nobody's data.
                    return Ok(Vec::new());
                }
                self.data(message, now, chance)
            }
            MessageType::Acknowledge => {
                self.acknowledged(&message.payload, now);
                Vec::new()
            }
            _ => vec![Received::Control(message)],
        })
    }

    fn data(
        &mut self,
        message: Message,
        now: Timestamp,
        chance: &mut dyn Entropy,
    ) -> Vec<Received> {
        if message.sequence > self.expected && self.early.len() >= MOST_EARLY {
            return Vec::new();
        }
        let acknowledgement = Acknowledgement {
            message_type: message.message_type.as_str().to_owned(),
            message_id: message.id.to_string(),
            sequence: message.sequence,
            is_sequential: true,
        };
        let payload = payload::write(&acknowledgement);
        self.send_control(MessageType::Acknowledge, payload, now, chance);
        if message.sequence >= self.expected {
            self.early.entry(message.sequence).or_insert(message);
        }
        let mut ready = Vec::new();
        while let Some(message) = self.early.remove(&self.expected) {
            self.expected += 1;
            ready.push(Received::Data(message));
        }
        ready
    }

    fn acknowledged(&mut self, payload: &[u8], now: Timestamp) {
        let read = payload::read::<Acknowledgement>("an acknowledgement", payload);
        let Ok(acknowledgement) = read else { return };
        if acknowledgement.message_type != self.sends.as_str() {
            return;
        }
        let sent = self.unacknowledged.remove(&acknowledgement.sequence);
        // Of a repeated message nobody knows which sending was acknowledged.
        if let Some(sent) = sent.filter(|sent| sent.repetitions == 0) {
            self.round_trip.measured(now.since(sent.at));
        }
    }

    /// When [`Link::tick`] has something to do.
    pub fn due(&self) -> Option<Timestamp> {
        let oldest = self.unacknowledged.values().take(REPEATED_AT_ONCE).map(|sent| sent.at).min();
        Some(oldest? + self.round_trip.timeout)
    }

    /// Repeats what has waited too long.
    ///
    /// # Errors
    /// The other end has not acknowledged a message for minutes.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), GaveUp> {
        let timeout = self.round_trip.timeout;
        for sent in self.unacknowledged.values_mut().take(REPEATED_AT_ONCE) {
            if now < sent.at + timeout {
                continue;
            }
            if sent.repetitions >= MOST_REPETITIONS {
                return Err(GaveUp);
            }
            sent.repetitions += 1;
            sent.at = now;
            self.outgoing.push_back(sent.frame.clone());
        }
        Ok(())
    }

    /// The websocket broke: what waited for it is dropped, since [`Link::replay`] sends all that was
    /// not acknowledged again. Lost acknowledgements are no loss, the other end repeats as well.
    pub fn cut(&mut self) {
        self.outgoing.clear();
    }

    /// A websocket stands again: sends everything that was not acknowledged, in order.
    pub fn replay(&mut self, now: Timestamp) {
        for sent in self.unacknowledged.values_mut() {
            (sent.at, sent.repetitions) = (now, 0);
            self.outgoing.push_back(sent.frame.clone());
        }
    }

    /// The next frame to put on the websocket, as binary.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }
}

/// A message outside the stream, for who relays rather than speaks.
pub fn control(
    message_type: MessageType,
    payload: Vec<u8>,
    now: Timestamp,
    chance: &mut dyn Entropy,
) -> Vec<u8> {
    let message = Message {
        message_type,
        created: now,
        sequence: 0,
        flags: SYN | FIN,
        id: MessageId::random(chance),
        payload_type: PayloadType::Other(0),
        payload,
    };
    message.encode()
}
