//! The time by which the store decides: the machine's clock, but never going back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::State;
use shell::Clock;
use stdx::Timestamp;

/// The time by which decisions are made: the machine's clock, but never going back.
///
/// Every wait here is an instant in the state and a length. Were a clock that was hours fast set right,
/// each of them would last those hours longer: tasks would not settle, back-offs and drains not end. So
/// when the clock goes back, this time goes on from where it was, at half speed, until the clock has
/// caught up with it. Hence no wait takes more than twice its length, and the two agree again after
/// twice the time by which the clock was set back. A clock that is set forward is followed at once, or,
/// while this time is ahead of it, by half.
/// After a start the newest instant of the state is where it goes on.
///
/// Two other ways were left: to end waits that began in the future would give up hooks and nodes that
/// have their time, and let a task count as settled, then not, then again; to write such instants anew
/// would change what has been told of tasks.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    read: Timestamp,
    /// By so many half milliseconds it is ahead of the clock.
    ahead: u64,
}

impl Steady {
    /// Goes on from the newest instant that is known, with the clock as it was read now.
    pub fn after(latest: Timestamp, read: Timestamp) -> Self {
        Self { read, ahead: 2 * millis(latest.since(read)) }
    }

    /// What time it is, by the clock as it is read now.
    pub fn tell(&mut self, read: Timestamp) -> Timestamp {
        let (on, back) = (millis(read.since(self.read)), millis(self.read.since(read)));
        self.ahead = (self.ahead + 2 * back).saturating_sub(on);
        self.read = read;
        read + Duration::from_millis(self.ahead.div_ceil(2))
    }
}

fn millis(duration: Duration) -> u64 {
    // Half of what a u64 holds, in case it is counted twice.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 8)
}

/// The newest instant at which a wait began, as far as the state tells.
pub fn latest(state: &State) -> Timestamp {
    let tasks = state.all_tasks().flat_map(|task| {
        let progress = &task.progress;
        let told = [progress.connected_at, progress.started_at, progress.stopped_at];
        told.into_iter().flatten().chain([task.facts.created_at])
    });
    let services = state.all_services().flat_map(|service| {
        let deployments = service.deployments.iter().map(|deployment| deployment.updated_at);
        deployments.chain([service.created_at])
    });
    let deployments =
        state.deployments().open().flat_map(|record| [record.updated_at, record.stage_since]);
    let instances = state.all_instances().flat_map(|instance| {
        [Some(instance.registered_at), instance.agent.connected_changed_at].into_iter().flatten()
    });
    let nodes = state.capacity().all_nodes().map(|node| node.changed_at);
    let targets = state.balancing().all_targets().flat_map(|target| {
        [Some(target.registered_at), target.draining_since].into_iter().flatten()
    });
    let tokens = state.tokens_by_age().map(|(at, _)| *at);
    let newest = [
        tasks.max(),
        services.max(),
        deployments.max(),
        instances.max(),
        nodes.max(),
        targets.max(),
        tokens.max(),
    ];
    newest.into_iter().flatten().max().unwrap_or(Timestamp::EPOCH)
}

/// A clock made of another: see [`Steady`].
#[derive(Debug)]
pub(crate) struct SteadyClock {
    clock: Arc<dyn Clock>,
    steady: Mutex<Steady>,
}

impl SteadyClock {
    /// Goes on from the newest instant of a state.
    pub(crate) fn after(state: &State, clock: Arc<dyn Clock>) -> Self {
        let steady = Steady::after(latest(state), clock.now());
        Self { clock, steady: Mutex::new(steady) }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut steady = self.steady.lock().unwrap_or_else(PoisonError::into_inner);
        steady.tell(self.clock.now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use model::Realm;
    use stdx::{Entropy, SeededEntropy};

    use super::*;

    /// A clock that is set by hand.
    #[derive(Debug)]
    struct Hands(AtomicI64);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn time_goes_on_where_the_clock_goes_back() {
        let hands = Arc::new(Hands(AtomicI64::new(100_000)));
        let state = State::new(Realm::new("us-east-1", "000000000000"));
        let clock = SteadyClock::after(&state, hands.clone());
        assert_eq!(clock.now().as_millis(), 100_000);
        hands.0.store(40_000, Ordering::SeqCst);
        assert_eq!(clock.now().as_millis(), 100_000);
        hands.0.store(50_000, Ordering::SeqCst);
        assert_eq!(clock.now().as_millis(), 105_000);
    }

    #[test]
    fn a_clock_set_back_by_hours_makes_no_wait_longer_than_twice_its_length() {
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let noon = Timestamp::from_millis(43_200_000);
        let mut steady = Steady::after(Timestamp::EPOCH, noon);
        assert_eq!(steady.tell(noon + second), noon + second);
        // Three hours back: it goes on at half speed.
        let back = Timestamp::from_millis((noon + second).as_millis() - 3 * 3_600_000);
        assert_eq!(steady.tell(back), noon + second);
        assert_eq!(steady.tell(back + 60 * second), noon + 31 * second);
        // Six hours later both agree, and stay so.
        assert_eq!(steady.tell(back + 6 * hour), back + 6 * hour);
        assert_eq!(steady.tell(back + 7 * hour), back + 7 * hour);
        // Set forward, it follows at once.
        assert_eq!(steady.tell(back + 99 * hour), back + 99 * hour);
    }

    #[test]
    fn after_a_start_it_goes_on_from_what_is_known() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(9_000));
        let mut steady = Steady::after(late, early);
        assert_eq!(steady.tell(early), late);
        let four = Duration::from_secs(4);
        assert_eq!(steady.tell(early + four), late + four / 2);
    }

    #[test]
    fn it_never_goes_back_and_never_stands() {
        let mut chance = SeededEntropy::new(1);
        let mut read = Timestamp::from_millis(1_000_000_000_000);
        let mut steady = Steady::after(Timestamp::EPOCH, read);
        let mut before = steady.tell(read);
        for _ in 0..2_000 {
            let passed = Duration::from_millis(chance.below(100_000));
            read = read + passed;
            let now = steady.tell(read);
            assert!(now.since(before) + Duration::from_millis(1) >= passed / 2);
            assert!(now >= read);
            let back = i64::try_from(chance.below(100_000_000)).expect("it is small");
            read = Timestamp::from_millis(read.as_millis() - back);
            before = steady.tell(read);
            assert_eq!(before, now);
        }
    }
}
