//! Sending a container's output in Fluentd's forward protocol, to a log router of its task or to
//! wherever the log driver `fluentd` is told.
//! <https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1>
//!
//! The runtime keeps output in files, so that nothing waits in memory but the batch that is being sent;
//! a receiver that is away is waited for, and what it has taken is recorded.

mod encode;
mod send;

pub(crate) use self::send::Forwarder;
