//! How often a task may ask: a bucket of tokens for each source and endpoint, as the ECS agent has
//! it (`ECS_TASK_METADATA_RPS_LIMIT`, 40 a second with bursts of 60).
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html>

use std::collections::BTreeMap;
use std::net::IpAddr;

use stdx::Timestamp;

/// Requests a second in the long run.
const RATE: f64 = 40.0;
/// Requests at once.
const BURST: f64 = 60.0;
/// So many buckets are kept before those that are full again are looked for.
const MANY: usize = 1024;

/// Whose requests are counted together: a source, and the endpoint that it asks if there is one.
pub(super) type Key = (IpAddr, Option<String>);

/// The buckets.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    buckets: BTreeMap<Key, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// As it is at `now`. A clock that is set back gives nothing and takes nothing.
    fn filled(self, now: Timestamp) -> Self {
        let more = now.since(self.at).as_secs_f64() * RATE;
        Self { tokens: (self.tokens + more).min(BURST), at: now }
    }
}

impl Limiter {
    /// Takes a token; false if there is none.
    pub(super) fn allow(&mut self, key: Key, now: Timestamp) -> bool {
        if self.buckets.len() >= MANY {
            // A full bucket is what a new one would be.
            self.buckets.retain(|_, bucket| bucket.filled(now).tokens < BURST);
        }
        let bucket = self.buckets.entry(key).or_insert(Bucket { tokens: BURST, at: now });
        *bucket = bucket.filled(now);
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(last: u8, id: Option<&str>) -> Key {
        (IpAddr::from([10, 0, 0, last]), id.map(str::to_owned))
    }

    #[test]
    fn sixty_at_once_then_forty_a_second_for_each_source_and_endpoint() {
        let mut limiter = Limiter::default();
        let start = Timestamp::from_millis(1_000_000);
        let allowed = |limiter: &mut Limiter, key: &Key, now| {
            (0..200).filter(|_| limiter.allow(key.clone(), now)).count()
        };
        let (one, other, same) = (key(2, Some("a")), key(3, Some("a")), key(2, Some("b")));
        assert_eq!(allowed(&mut limiter, &one, start), 60);
        assert_eq!(allowed(&mut limiter, &other, start), 60, "another source has its own");
        assert_eq!(allowed(&mut limiter, &same, start), 60, "another endpoint has its own");
        assert_eq!(allowed(&mut limiter, &one, start + Duration::from_secs(1)), 40);
        assert_eq!(allowed(&mut limiter, &one, start + Duration::from_secs(60)), 60, "no more");
        assert_eq!(allowed(&mut limiter, &one, start), 0, "a clock set back gives nothing");
    }

    #[test]
    fn sources_that_have_gone_quiet_are_forgotten() {
        let mut limiter = Limiter::default();
        let start = Timestamp::from_millis(1_000_000);
        for n in 0..MANY {
            assert!(limiter.allow(key(1, Some(&n.to_string())), start));
        }
        assert!(limiter.allow(key(2, None), start + Duration::from_secs(1)));
        assert_eq!(limiter.buckets.len(), 1);
    }
}
