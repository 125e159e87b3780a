//! Pure: Docker's rules for health checks.

use std::time::Duration;

use crate::{Health, HealthCheck};

/// The state of one container's probe. Times are durations since an arbitrary start that only grows.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    check: HealthCheck,
    started: Duration,
    next: Option<Duration>,
    failures: u32,
    begun: bool,
    verdict: Health,
}

impl Probe {
    /// For a container that started now. The first probe comes after one interval.
    pub(crate) fn new(check: HealthCheck, now: Duration) -> Self {
        let next = Some(now + check.interval);
        Self { check, started: now, next, failures: 0, begun: false, verdict: Health::Unknown }
    }

    /// When the next probe is due; none while one runs.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.next
    }

    /// A probe begins: its program and how long it may take.
    pub(crate) fn begin(&mut self) -> (Vec<String>, Duration) {
        self.next = None;
        (self.check.args.clone(), self.check.timeout)
    }

    /// A probe ended; the new verdict if it changed.
    pub(crate) fn ended(&mut self, succeeded: bool, now: Duration) -> Option<Health> {
        self.next = Some(now + self.check.interval);
        let before = self.verdict;
        if succeeded {
            (self.failures, self.begun, self.verdict) = (0, true, Health::Healthy);
        } else if self.begun || now >= self.started + self.check.start_period {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.check.retries.max(1) {
                self.verdict = Health::Unhealthy;
            }
        }
        (self.verdict != before).then_some(self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn probe() -> Probe {
        let check = HealthCheck {
            args: vec!["x".into()],
            interval: s(10),
            timeout: s(1),
            retries: 2,
            start_period: s(25),
        };
        Probe::new(check, s(100))
    }

    #[test]
    fn failures_count_after_the_start_period_or_the_first_success() {
        let mut p = probe();
        assert_eq!(p.due(), Some(s(110)));
        p.begin();
        assert_eq!(p.due(), None);
        assert_eq!(p.ended(false, s(110)), None);
        assert_eq!(p.due(), Some(s(120)));
        assert_eq!(p.ended(false, s(120)), None, "in the start period");
        assert_eq!(p.ended(false, s(130)), None, "the first that counts");
        assert_eq!(p.ended(false, s(140)), Some(Health::Unhealthy));
        assert_eq!(p.ended(false, s(150)), None);
        assert_eq!(p.ended(true, s(160)), Some(Health::Healthy));

        let mut p = probe();
        assert_eq!(p.ended(true, s(101)), Some(Health::Healthy));
        assert_eq!(p.ended(false, s(102)), None);
        assert_eq!(p.ended(false, s(103)), Some(Health::Unhealthy), "it had begun");
    }

    #[test]
    fn no_retries_means_one() {
        let mut p = probe();
        p.check.retries = 0;
        assert_eq!(p.ended(false, s(200)), Some(Health::Unhealthy));
    }
}
