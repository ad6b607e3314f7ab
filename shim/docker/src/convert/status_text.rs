//! `Up 3 seconds`, `Exited (0) 5 minutes ago`: the texts of the container list.

use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::state::State;

/// Docker's word for a state. It has none for a supervisor that does not answer; such a container runs.
pub(crate) fn word(state: State) -> &'static str {
    match state {
        State::Unknown => "running",
        other => other.as_str(),
    }
}

/// The status text.
pub(crate) fn status(container: &Container, now: Timestamp) -> String {
    let started = container
        .run
        .as_ref()
        .map_or(Timestamp(0), |run| run.started_at);
    match container.state {
        State::Created => "Created".to_owned(),
        State::Running => format!("Up {}", age(started, now)),
        State::Paused => format!("Up {} (Paused)", age(started, now)),
        State::Unknown => format!("Up {} (supervisor does not answer)", age(started, now)),
        State::Removing => "Removal In Progress".to_owned(),
        State::Exited => match container.exit() {
            Some(exit) => format!("Exited ({}) {} ago", exit.code, age(exit.at, now)),
            None => "Exited (255)".to_owned(),
        },
    }
}

fn age(from: Timestamp, now: Timestamp) -> String {
    human(now.0.saturating_sub(from.0).max(0) / 1_000_000_000)
}

/// A span of seconds the way people say it.
fn human(seconds: i64) -> String {
    let minutes = seconds / 60;
    // Half an hour is rounded up, which shows from here on only.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{} days", hours / 24),
        () if hours < 24 * 60 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", hours / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn spans_as_people_say_them() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (5400, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 86_400, "2 weeks"),
            (60 * 86_400, "2 months"),
            (730 * 86_400, "2 years"),
        ] {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }
}
