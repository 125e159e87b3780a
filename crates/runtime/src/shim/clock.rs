//! The shim's own clock. A shim lives alone, for the length of a container, in a process that was
//! copied from another; nobody is there to hand it one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use stdx::Timestamp;

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time that only grows, for deadlines.
pub(crate) fn monotonic() -> Duration {
    read(ClockId::Monotonic)
}

/// Nanoseconds since the Unix epoch, for log lines.
pub(crate) fn nanos() -> u64 {
    u64::try_from(read(ClockId::Realtime).as_nanos()).unwrap_or(u64::MAX)
}

/// The present instant.
pub(crate) fn now() -> Timestamp {
    Timestamp::EPOCH + read(ClockId::Realtime)
}
