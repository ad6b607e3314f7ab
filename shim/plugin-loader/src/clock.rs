//! The clock of deadlines.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in milliseconds: the unit of every deadline.
pub fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has a monotonic clock");
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    seconds * 1000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1_000_000
}
