//! Descriptors kept for the moments that must not fail: when all others are in use, an exit is still looked into,
//! what is left is still killed, and gantryd can still connect.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Enough for a cgroup's list within a list, and a connection.
const KEPT: usize = 6;
/// Between two tries to take them again.
const AGAIN: Duration = Duration::from_millis(200);

/// The reserve.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    kept: Vec<OwnedFd>,
    /// When it is filled next; `None` while it is full.
    again: Option<Instant>,
}

impl Reserve {
    /// Takes what can be had.
    pub(crate) fn new() -> Self {
        let mut reserve = Self::default();
        reserve.fill(Instant::now());
        reserve
    }

    /// Frees the descriptors when no other is left; they are taken back by [`Reserve::fill`].
    pub(crate) fn make_room(&mut self) {
        let spare = self.kept.first().map(OwnedFd::try_clone);
        if spare.is_none_or(|copy| copy.is_err()) {
            self.kept.clear();
            self.again = Some(Instant::now() + AGAIN);
        }
    }

    /// Takes them back when it is time.
    pub(crate) fn fill(&mut self, now: Instant) {
        if self.kept.len() == KEPT || self.again.is_some_and(|at| at > now) {
            return;
        }
        while self.kept.len() < KEPT {
            let next = match self.kept.first() {
                Some(first) => first.try_clone(),
                None => File::open("/dev/null").map(OwnedFd::from),
            };
            let Ok(next) = next else {
                // Half a reserve is none: what is still free is somebody's to use until there is enough for all.
                self.kept.clear();
                self.again = Some(now + AGAIN);
                return;
            };
            self.kept.push(next);
        }
        self.again = None;
    }

    /// When [`Reserve::fill`] has work.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again
    }
}
