//! What follows each end under each policy.

use gantry_model::policy::RestartSpec;

use super::*;

fn container(policy: RestartPolicy, max_retries: u32, restart: RestartState) -> Container {
    let mut container = crate::testing::container();
    container.spec.restart = RestartSpec {
        policy,
        max_retries,
    };
    container.restart = restart;
    container
}

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn exit(code: i32, seconds: u64) -> Cause {
    Cause::Exited {
        code,
        ran: Duration::from_secs(seconds),
    }
}

#[test]
fn each_policy_follows_its_exit() {
    use RestartPolicy as P;
    let rows = [
        (P::No, 0, exit(1, 1), false, false),
        (P::OnFailure, 0, exit(0, 1), false, false),
        (P::OnFailure, 0, exit(1, 1), false, true),
        (P::OnFailure, 0, Cause::NotStarted, false, true),
        (P::OnFailure, 0, exit(1, 1), true, false),
        (P::Always, 0, exit(0, 1), false, true),
        (P::Always, 0, exit(137, 1), true, false),
        (P::UnlessStopped, 0, exit(0, 1), false, true),
        (P::UnlessStopped, 0, exit(0, 1), true, false),
    ];
    for (policy, max, cause, stopped, again) in rows {
        let state = RestartState {
            stopped_by_user: stopped,
            ..RestartState::default()
        };
        let next = after(&container(policy, max, state), cause, NOW);
        assert_eq!(
            next.due.is_some(),
            again,
            "{policy:?} {cause:?} stopped: {stopped}"
        );
        assert_eq!(next.count, u32::from(again));
        assert_eq!(next.stopped_by_user, stopped);
    }
}

#[test]
fn on_failure_gives_up_after_its_retries() {
    let mut state = RestartState::default();
    for count in 1..=3 {
        state = after(
            &container(RestartPolicy::OnFailure, 3, state),
            exit(1, 1),
            NOW,
        );
        assert_eq!((state.count, state.due.is_some()), (count, true));
    }
    state = after(
        &container(RestartPolicy::OnFailure, 3, state),
        exit(1, 1),
        NOW,
    );
    assert_eq!((state.count, state.due), (3, None));
}

#[test]
fn the_back_off_doubles_up_to_a_minute_and_begins_anew_after_a_good_run() {
    let mut state = RestartState::default();
    let mut seen = Vec::new();
    for _ in 0..12 {
        state = after(&container(RestartPolicy::Always, 0, state), exit(1, 1), NOW);
        seen.push(state.backoff);
        let wait = state.due.map(|due| due.0 - NOW.0);
        assert_eq!(wait, i64::try_from(state.backoff * 1_000_000).ok());
    }
    assert_eq!(seen[..5], [100, 200, 400, 800, 1600]);
    assert_eq!(seen[10..], [60_000, 60_000]);
    let state = after(
        &container(RestartPolicy::Always, 0, state),
        exit(1, 10),
        NOW,
    );
    assert_eq!(state.backoff, 100);
}

#[test]
fn a_boot_starts_what_ran_before_and_what_a_user_stopped_only_with_always() {
    use RestartPolicy as P;
    for (policy, stopped, starts) in [
        (P::No, false, false),
        (P::OnFailure, false, false),
        (P::Always, false, true),
        (P::Always, true, true),
        (P::UnlessStopped, false, true),
        (P::UnlessStopped, true, false),
    ] {
        let state = RestartState {
            stopped_by_user: stopped,
            ..RestartState::default()
        };
        let mut container = container(policy, 0, state);
        assert!(!at_boot(&container), "{policy:?} was never started");
        container.run = Some(crate::testing::run());
        assert_eq!(at_boot(&container), starts, "{policy:?} stopped: {stopped}");
    }
}
