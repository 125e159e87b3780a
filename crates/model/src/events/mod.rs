//! The default event bus: rules and their targets, connections and API destinations.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rules.html>
//!
//! What a pattern says and how a target is to be called are documents of the wire: they are kept as
//! they came and read in the rooms that may.

mod arn;
mod book;
mod destination;
mod rule;

pub use book::{BusBook, BusChange};
pub use destination::{ApiDestination, Connection};
pub use rule::{EventRule, EventTarget, EventTargetKey, RuleSchedule};

stdx::ids! {
    /// The name of a rule, unique on its bus.
    EventRuleName;
    /// The id of a target, unique in its rule.
    EventTargetId;
    /// The name of a connection, unique in the realm.
    ConnectionName;
    /// The name of an API destination, unique in the realm.
    ApiDestinationName;
}
