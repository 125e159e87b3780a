//! The data channel of ECS Exec: the agent-message protocol that AWS's session-manager-plugin speaks
//! over a websocket, for both of its ends.
//!
//! A channel carries numbered messages, each acknowledged by its receiver and sent again until it
//! is. `message` has the bytes, `payload` the JSON documents inside them, `link` numbering,
//! acknowledgement and repetition, `agent` and `client` what each end says and when.
//!
//! Invariants: nothing here reads a clock, draws chance or does I/O: frames go in, frames and events
//! come out, and the caller carries them. Whatever arrives, nothing here panics.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html>

mod agent;
mod client;
mod link;
mod message;
mod payload;

pub use agent::{AgentEvent, AgentSide, closing, is_closing};
pub use client::{ClientEvent, ClientSide};
pub use link::{Full, GaveUp, Link, Received, WINDOW, control};
pub use message::{
    DecodeError, FIN, HEADER_LENGTH, Message, MessageId, MessageType, PayloadType, SYN,
};
pub use payload::{
    Acknowledgement, ChannelClosed, HandshakeComplete, HandshakeRequest, HandshakeResponse,
    OpenDataChannel, PayloadError, ProcessedAction, RequestedAction, Size, Wish,
};
