//! Events on their way: which rule takes an event, what a target is told of it, and the outbox in
//! which deliveries wait until they are done.
//!
//! Patterns and templates are those of Amazon EventBridge
//! (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html>). Nothing here
//! knows what an event is about, who made the rules, or how a target is called.

pub mod pattern;
pub mod template;

mod bus;
mod courier;
mod outbox;
mod path;
mod rules;
mod tree;

pub use bus::{Bus, BusConfig, Keeps, Kept, MOST_WAITING, PublishError, Rules};
pub use courier::{Answers, Calls, Count, Counts, Outcome};
pub use outbox::{Cursor, Delivery, OutboxError};
pub use path::{Path, PathError};
pub use rules::{Envelope, Event, Rule, Target};
