//! Restart policies: whether a run that has ended is followed by another, and when. Pure.

use std::time::Duration;

use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::policy::{RestartPolicy, RestartState};

/// The first back-off, which doubles at each restart.
const FIRST: u64 = 100;
/// No back-off is longer.
const LONGEST: u64 = 60_000;
/// A run that lasted this long was a good one: the back-off begins anew.
const GOOD: Duration = Duration::from_secs(10);

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A run ended with this code after this time.
    Exited {
        /// Its exit code.
        code: i32,
        /// How long it ran.
        ran: Duration,
    },
    /// A start by policy failed.
    NotStarted,
}

/// Where restarts stand after that. `due` is set when another start follows.
pub(crate) fn after(container: &Container, cause: Cause, now: Timestamp) -> RestartState {
    let spec = container.spec.restart;
    let state = RestartState {
        due: None,
        ..container.restart
    };
    let failed = match cause {
        Cause::Exited { code, .. } => code != 0,
        Cause::NotStarted => true,
    };
    let again = !state.stopped_by_user
        && match spec.policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => {
                failed && (spec.max_retries == 0 || state.count < spec.max_retries)
            }
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        };
    if !again {
        return state;
    }
    let was_good = matches!(cause, Cause::Exited { ran, .. } if ran >= GOOD);
    let backoff = match state.backoff {
        0 => FIRST,
        _ if was_good => FIRST,
        last => last.saturating_mul(2).min(LONGEST),
    };
    let nanos = i64::try_from(backoff)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    RestartState {
        count: state.count.saturating_add(1),
        due: Some(Timestamp(now.0.saturating_add(nanos))),
        backoff,
        ..state
    }
}

/// Whether a container that does not run is started because the machine was: it was started before, even if that start
/// was cut off or failed, and no user has stopped it, which `always` does not ask.
pub(crate) fn at_boot(container: &Container) -> bool {
    let wanted = match container.spec.restart.policy {
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !container.restart.stopped_by_user,
        RestartPolicy::No | RestartPolicy::OnFailure => false,
    };
    wanted && container.run.is_some()
}

#[cfg(test)]
mod tests;
