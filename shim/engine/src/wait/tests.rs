//! Each condition over the life of a container, restarts by policy included.

use gantry_model::Timestamp;
use gantry_model::container::{Container, Run};
use gantry_model::state::State;
use gantry_model::supervisor::Exit;

use std::sync::Arc;

use super::Waiting;
use crate::WaitCondition::{self, NextExit, NotRunning, Removed};
use crate::ledger::Seen;

/// A moment: run number, what it is doing.
#[derive(Clone, Copy, Debug)]
enum At {
    Created,
    /// Run, recorded and not let go yet.
    Starting(u32),
    /// The same, by policy.
    Again(u32),
    Running(u32),
    Exited(u32),
    /// Exited, and due to start again.
    Restarting(u32),
    /// A start that failed before anything had run.
    Failed(u32),
    Gone,
}

fn seen(at: At) -> Seen {
    let mut container: Container = crate::testing::container();
    let mut run = |number: u32, started: i64, exit: Option<i32>| {
        container.run = Some(Run {
            number,
            started_at: Timestamp(started),
            exit: exit.map(|code| Exit {
                code,
                ..Exit::default()
            }),
            ..crate::testing::run()
        });
    };
    let state = match at {
        At::Created | At::Gone => State::Created,
        At::Starting(number) => {
            run(number, 0, None);
            if number == 1 {
                State::Created
            } else {
                State::Exited
            }
        }
        At::Again(number) => {
            run(number, 0, None);
            container.restart.by_policy = true;
            State::Exited
        }
        At::Running(number) => {
            run(number, 5, None);
            State::Running
        }
        At::Exited(number) => {
            run(number, 5, Some(0));
            State::Exited
        }
        At::Restarting(number) => {
            run(number, 5, Some(0));
            container.restart.due = Some(Timestamp(9));
            State::Exited
        }
        At::Failed(number) => {
            run(number, 0, Some(127));
            State::Created
        }
    };
    container.state = state;
    Seen {
        container: Arc::new(container),
        settled: true,
        removed: matches!(at, At::Gone),
    }
}

/// How many steps somebody waits who comes at the first moment; `None`: all of them are not enough.
fn steps(condition: WaitCondition, life: &[At]) -> Option<usize> {
    let waiting = Waiting::new(&seen(life[0]), condition);
    life.iter().position(|at| waiting.is_over(&seen(*at)))
}

#[test]
fn table() {
    use At::{Again, Created, Exited, Failed, Gone, Restarting, Running, Starting};
    let rows: &[(WaitCondition, &[At], Option<usize>)] = &[
        (NotRunning, &[Created], Some(0)),
        (NotRunning, &[Exited(1)], Some(0)),
        (NotRunning, &[Running(1), Exited(1)], Some(1)),
        (NotRunning, &[Running(1), Restarting(1)], Some(1)),
        (
            NotRunning,
            &[Restarting(1), Starting(2), Running(2), Restarting(2)],
            Some(3),
        ),
        (
            NotRunning,
            &[Restarting(1), Running(2), Running(3)],
            Some(2),
        ),
        (NotRunning, &[Again(2), Running(2), Restarting(2)], Some(2)),
        (NotRunning, &[Again(2), Exited(2)], Some(1)),
        (NotRunning, &[Restarting(1), Exited(1)], Some(1)),
        (NotRunning, &[Restarting(1), Gone], Some(1)),
        (
            NextExit,
            &[Created, Starting(1), Running(1), Exited(1)],
            Some(3),
        ),
        (NextExit, &[Created, Starting(1), Failed(1)], None),
        (
            NextExit,
            &[Exited(1), Starting(2), Running(2), Exited(2)],
            Some(3),
        ),
        (NextExit, &[Starting(1), Running(1), Restarting(1)], Some(2)),
        (
            NextExit,
            &[Restarting(1), Starting(2), Running(2), Exited(2)],
            Some(3),
        ),
        (NextExit, &[Restarting(1), Exited(1)], Some(1)),
        (NextExit, &[Created, Gone], Some(1)),
        (Removed, &[Running(1), Exited(1), Gone], Some(2)),
        (Removed, &[Exited(1), Running(2), Exited(2)], None),
    ];
    for (condition, life, expected) in rows {
        assert_eq!(steps(*condition, life), *expected, "{condition:?} {life:?}");
    }
}
