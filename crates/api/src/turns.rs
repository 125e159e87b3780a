//! How many calls may be under way at once. What comes beside them is told to come again, in AWS's words,
//! which every SDK does by itself, ever more seldom: so a flood neither makes everybody wait without end
//! nor fills the memory.
//!
//! Those under way are mostly changes that wait for the store's writer. What is only read is answered at
//! once, and goes on beside them.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws::{Error, Protocol};

/// So many calls are under way at most: about as much as the writer does in a second.
const MOST: usize = 1_000;

/// So many with those beside them that go first.
const MOST_OF_ALL: usize = 4_000;

/// How operations begin that go first, as ECS names them: agents report what has happened and others
/// wait for, and who reads waits for nothing.
const FIRST: [&str; 4] = ["Submit", "Describe", "List", "Get"];

/// The calls that are under way.
#[derive(Debug, Default)]
pub(crate) struct Turns(AtomicUsize);

/// A call that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Begins a call of an operation; none if too many are under way.
    pub(crate) fn take(&self, operation: &str) -> Option<Turn<'_>> {
        let first = FIRST.iter().any(|verb| operation.starts_with(verb));
        let most = if first { MOST_OF_ALL } else { MOST };
        let next = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        // Made only when it was taken: dropping one gives its place back.
        taken.is_ok().then(|| Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a call is told that comes while too many are under way. Each protocol has its own word for it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html>
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>
pub(crate) fn refusal(protocol: Protocol) -> Error {
    let (code, status, words) = match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => {
            ("ThrottlingException", 400, "Rate exceeded")
        }
        Protocol::Query => ("Throttling", 400, "Rate exceeded"),
        Protocol::Ec2 => ("RequestLimitExceeded", 503, "Request limit exceeded."),
    };
    Error::new(code, status, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_take_turns_and_reports_and_reading_go_on() {
        let turns = Turns::default();
        let mut taken: Vec<_> = (0..MOST).map(|_| turns.take("RunTask").unwrap()).collect();
        assert!(turns.take("RunTask").is_none() && turns.take("DescribeTasks").is_some());
        let reports = MOST_OF_ALL - MOST;
        taken.extend((0..reports).map(|_| turns.take("SubmitTaskStateChange").unwrap()));
        assert!(turns.take("SubmitTaskStateChange").is_none());
        taken.truncate(MOST);
        assert!(turns.take("RunTask").is_none() && turns.take("SubmitTaskStateChange").is_some());
        taken.pop();
        assert!(turns.take("RunTask").is_some());
    }

    #[test]
    fn clients_of_each_protocol_know_that_they_may_come_again() {
        for (protocol, code) in [
            (Protocol::Json11, "ThrottlingException"),
            (Protocol::Query, "Throttling"),
            (Protocol::Ec2, "RequestLimitExceeded"),
        ] {
            assert_eq!(refusal(protocol).code, code);
        }
    }
}
