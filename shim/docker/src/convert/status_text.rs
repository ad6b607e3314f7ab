//! `Up 3 seconds`, `Exited (0) 5 minutes ago`: the texts of the container list, and Docker's view of a state.

use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::policy::HealthStatus;
use gantry_model::state::State;

/// Whether it waits for its next start by policy, or is being started by it.
pub(crate) fn restarting(container: &Container) -> bool {
    let being_started = container.restart.by_policy
        && container.run.as_ref().is_some_and(|run| {
            run.exit.is_none() && run.started_at == Timestamp(0) && run.error.is_empty()
        });
    matches!(container.state, State::Created | State::Exited)
        && (container.restart.due.is_some() || being_started)
}

/// Whether Docker says that it runs: it does so of one that is about to be started again too.
pub(crate) fn runs(container: &Container) -> bool {
    container.state.is_live() || restarting(container)
}

/// Docker's word for a state. It has none for a supervisor that does not answer; such a container runs.
pub(crate) fn word(container: &Container) -> &'static str {
    match container.state {
        _ if restarting(container) => "restarting",
        State::Unknown => "running",
        other => other.as_str(),
    }
}

/// What dockerd answers to what cannot be done while it waits for its next start.
pub(crate) fn is_restarting(container: &Container) -> String {
    format!(
        "Container {} is restarting, wait until the container is running",
        container.id
    )
}

/// The status text.
pub(crate) fn status(container: &Container, health: HealthStatus, now: Timestamp) -> String {
    let started = container
        .run
        .as_ref()
        .map_or(Timestamp(0), |run| run.started_at);
    let probed = match health {
        HealthStatus::None => "",
        HealthStatus::Starting => " (health: starting)",
        HealthStatus::Healthy => " (healthy)",
        HealthStatus::Unhealthy => " (unhealthy)",
    };
    if restarting(container) {
        let (code, at) = container
            .last_exit()
            .map_or((0, now), |exit| (exit.code, exit.at));
        return format!("Restarting ({code}) {} ago", age(at, now));
    }
    match container.state {
        State::Created => "Created".to_owned(),
        State::Running => format!("Up {}{probed}", age(started, now)),
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
    use super::*;
    use gantry_model::container::Run;
    use gantry_model::supervisor::Exit;

    const SECOND: i64 = 1_000_000_000;

    fn ended(code: i32) -> Container {
        let mut container = super::super::testing::container();
        container.state = State::Exited;
        container.run = Some(Run {
            number: 1,
            sandbox: gantry_model::SandboxId::parse(&"d".repeat(64)).unwrap(),
            pid: 0,
            started_at: Timestamp(SECOND),
            exit: Some(Exit {
                code,
                at: Timestamp(2 * SECOND),
                ..Exit::default()
            }),
            error: String::new(),
            stopped_by_user: false,
            previous: None,
        });
        container
    }

    #[test]
    fn one_that_waits_for_its_restart_runs_to_docker() {
        let now = Timestamp(5 * SECOND);
        let mut container = ended(3);
        assert_eq!(
            status(&container, HealthStatus::None, now),
            "Exited (3) 3 seconds ago"
        );
        assert!(!runs(&container));
        container.restart.due = Some(Timestamp(9 * SECOND));
        assert_eq!(
            status(&container, HealthStatus::Unhealthy, now),
            "Restarting (3) 3 seconds ago"
        );
        assert_eq!(word(&container), "restarting");
        assert!(runs(&container));
        // Its next run is being made.
        container.restart.due = None;
        container.restart.by_policy = true;
        let run = container.run.as_mut().unwrap();
        (run.exit, run.started_at) = (None, Timestamp(0));
        assert_eq!(word(&container), "restarting");
        container.run.as_mut().unwrap().error = "no".into();
        assert_eq!(word(&container), "exited");
        container.state = State::Removing;
        container.restart.due = Some(now);
        assert_eq!(word(&container), "removing");
    }

    #[test]
    fn health_is_told_while_it_runs() {
        let now = Timestamp(4 * SECOND);
        let mut container = ended(0);
        container.state = State::Running;
        for (health, text) in [
            (HealthStatus::None, "Up 3 seconds"),
            (HealthStatus::Starting, "Up 3 seconds (health: starting)"),
            (HealthStatus::Healthy, "Up 3 seconds (healthy)"),
            (HealthStatus::Unhealthy, "Up 3 seconds (unhealthy)"),
        ] {
            assert_eq!(status(&container, health, now), text);
        }
        container.state = State::Paused;
        assert_eq!(
            status(&container, HealthStatus::Healthy, now),
            "Up 3 seconds (Paused)"
        );
    }

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
