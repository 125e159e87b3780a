//! When a target counts as healthy: the state machine of health checks.

use std::time::Duration;

use stdx::Timestamp;

use crate::{Failure, Health, HealthCheck, InitialReason, Matcher};

/// What one check found.
pub(crate) type Outcome = Result<(), Failure>;

/// A target's way through its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    health: Health,
    /// Successes in a row while unhealthy, or failures in a row while not.
    contrary: u32,
}

impl Course {
    /// A target that was just registered; one whose group is not checked is healthy at once.
    pub(crate) fn new(check: &HealthCheck) -> Self {
        let health = if check.enabled {
            Health::Initial(InitialReason::RegistrationInProgress)
        } else {
            Health::Healthy
        };
        Self { health, contrary: 0 }
    }

    pub(crate) const fn health(&self) -> &Health {
        &self.health
    }

    /// Its first check begins. Says whether that changed its health.
    pub(crate) fn begin(&mut self) -> bool {
        self.turn(|health| match health {
            Health::Initial(InitialReason::RegistrationInProgress) => {
                Some(Health::Initial(InitialReason::InitialHealthChecking))
            }
            _ => None,
        })
    }

    /// A check ended. Says whether that changed its health: a target becomes healthy by its first success,
    /// an unhealthy one by as many in a row as the group wants, and unhealthy by as many failures in a row.
    /// An unhealthy one tells the reason of its last failure.
    pub(crate) fn note(&mut self, check: &HealthCheck, outcome: Outcome) -> bool {
        let (next, contrary) = match (&self.health, outcome) {
            (Health::Healthy, Ok(())) => (None, 0),
            (Health::Initial(_) | Health::Unused, Ok(())) => (Some(Health::Healthy), 0),
            (Health::Unhealthy(_), Ok(())) if self.contrary + 1 >= check.healthy_threshold => {
                (Some(Health::Healthy), 0)
            }
            (Health::Unhealthy(_), Ok(())) => (None, self.contrary + 1),
            (Health::Unhealthy(_), Err(failure)) => (Some(Health::Unhealthy(failure)), 0),
            (Health::Initial(_) | Health::Healthy | Health::Unused, Err(failure)) => {
                if self.contrary + 1 >= check.unhealthy_threshold {
                    (Some(Health::Unhealthy(failure)), 0)
                } else {
                    (None, self.contrary + 1)
                }
            }
        };
        self.contrary = contrary;
        self.turn(|_| next)
    }

    /// Nobody uses its group any more. Says whether that is news.
    pub(crate) fn become_unused(&mut self) -> bool {
        self.contrary = 0;
        self.turn(|_| Some(Health::Unused))
    }

    fn turn(&mut self, next: impl FnOnce(&Health) -> Option<Health>) -> bool {
        match next(&self.health) {
            Some(next) if next != self.health => {
                self.health = next;
                true
            }
            Some(_) | None => false,
        }
    }
}

/// What a status means to a matcher. Without gRPC, a matcher of gRPC codes knows no HTTP status.
pub(crate) fn verdict(matcher: &Matcher, code: u16) -> Outcome {
    let ranges = match matcher {
        Matcher::Http(ranges) | Matcher::Grpc(ranges) => ranges,
    };
    if ranges.iter().any(|range| range.contains(code)) {
        Ok(())
    } else {
        Err(Failure::ResponseCodeMismatch(code))
    }
}

/// When the next check of a target is due: `interval` after the last began, and never before `now`. A new
/// target's first check is soon, and targets of one group are spread so that they are not asked at once.
pub(crate) fn next_due(
    now: Timestamp,
    last: Option<Timestamp>,
    interval: Duration,
    spread: u64,
) -> Timestamp {
    match last {
        Some(last) => (last + interval).max(now),
        None => now + Duration::from_millis(spread % 50),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::CodeRange;

    fn check() -> HealthCheck {
        HealthCheck { healthy_threshold: 3, unhealthy_threshold: 2, ..HealthCheck::default() }
    }

    fn course(outcomes: &str) -> Course {
        let mut course = Course::new(&check());
        assert!(course.begin());
        assert!(!course.begin());
        for outcome in outcomes.chars() {
            course.note(&check(), if outcome == '+' { Ok(()) } else { Err(Failure::Timeout) });
        }
        course
    }

    #[test]
    fn thresholds_decide() {
        for (outcomes, state) in [
            ("", "initial"),
            ("-", "initial"),
            ("-+", "healthy"),
            ("+", "healthy"),
            ("--", "unhealthy"),
            ("+-", "healthy"),
            ("+-+-", "healthy"),
            ("+--", "unhealthy"),
            ("--++", "unhealthy"),
            ("--+++", "healthy"),
            ("--++-++", "unhealthy"),
            ("--++-+++", "healthy"),
        ] {
            assert_eq!(course(outcomes).health().state(), state, "{outcomes}");
        }
    }

    #[test]
    fn the_last_reason_is_told_and_no_checks_mean_healthy() {
        let mut course = course("--");
        assert_eq!(course.health().reason(), Some("Target.Timeout"));
        assert!(course.note(&check(), Err(Failure::ResponseCodeMismatch(502))));
        assert_eq!(
            course.health().description().unwrap(),
            "Health checks failed with these codes: [502]"
        );
        assert!(!course.note(&check(), Err(Failure::ResponseCodeMismatch(502))));
        let off = HealthCheck { enabled: false, ..check() };
        assert_eq!(Course::new(&off).health(), &Health::Healthy);
    }

    #[test]
    fn matchers_know_ranges() {
        let matcher = Matcher::Http(vec![
            CodeRange { first: 200, last: 299 },
            CodeRange { first: 401, last: 401 },
        ]);
        assert_eq!(verdict(&matcher, 204), Ok(()));
        assert_eq!(verdict(&matcher, 401), Ok(()));
        assert_eq!(verdict(&matcher, 302), Err(Failure::ResponseCodeMismatch(302)));
        let grpc = Matcher::Grpc(vec![CodeRange { first: 12, last: 12 }]);
        assert_eq!(verdict(&grpc, 12), Ok(()));
    }

    #[test]
    fn checks_are_spread_and_never_due_in_the_past() {
        let now = Timestamp::from_millis(100_000);
        let interval = Duration::from_secs(10);
        assert_eq!(next_due(now, None, interval, 120), now + Duration::from_millis(20));
        assert_eq!(next_due(now, Some(now), interval, 0), now + interval);
        assert_eq!(next_due(now, Some(Timestamp::EPOCH), interval, 0), now);
    }

    proptest! {
        #[test]
        fn healthy_takes_a_success_and_unhealthy_a_run_of_failures(outcomes in "[+-]{0,30}") {
            let health = course(&outcomes).health().clone();
            match health {
                Health::Healthy => prop_assert!(outcomes.contains('+') && !outcomes.ends_with("--")),
                Health::Unhealthy(_) => prop_assert!(outcomes.contains("--") && !outcomes.ends_with("+++")),
                Health::Initial(_) => prop_assert!(!outcomes.contains('+') && outcomes.len() < 2),
                Health::Unused => prop_assert!(false),
            }
        }
    }
}
