//! States of sandboxes, containers and runs, and the one pure function that moves them.
//!
//! ```text
//!              Started              Paused
//!   Created ────────────► Running ────────► Paused
//!      │  ▲                │  ▲  ◄──────────  │
//!      │  │ (start failed: │  │    Resumed    │
//!      │  │  stays)        │  └────────┐      │ Exited
//!      │  │         Exited ▼           │Found ▼
//!      │  └─────────── Exited ◄──── Unknown ◄┄┄ Lost (from Running, Paused)
//!      │   Started: Exited ─► Running  │ Exited
//!      └──────────────┬────────────────┘
//!          Removing   ▼   (from every state that is not running)
//!                  Removing ─► the record is deleted
//! ```
//!
//! `Unknown` means: a supervisor is alive but does not answer. It is never shown as exited.

use serde::{Deserialize, Serialize};

/// Where a sandbox, container or run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
    /// Being removed.
    Removing,
    /// Its supervisor does not answer.
    Unknown,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Move {
    /// A process was let go.
    Started,
    /// Starting it failed after it was made.
    StartFailed,
    /// It was frozen.
    Paused,
    /// It was thawed.
    Resumed,
    /// It ended, or is known to have ended.
    Exited,
    /// Its supervisor does not answer.
    Lost,
    /// Its supervisor answers again and it runs.
    Found,
    /// Its removal was begun.
    Removing,
}

/// All states, for tests and tables.
pub const STATES: [State; 6] = [
    State::Created,
    State::Running,
    State::Paused,
    State::Exited,
    State::Removing,
    State::Unknown,
];

/// All moves, for tests and tables.
pub const MOVES: [Move; 8] = [
    Move::Started,
    Move::StartFailed,
    Move::Paused,
    Move::Resumed,
    Move::Exited,
    Move::Lost,
    Move::Found,
    Move::Removing,
];

/// The move is not possible from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what:?} is not possible while {state:?}")]
pub struct Refused {
    /// Where it is.
    pub state: State,
    /// What was tried.
    pub what: Move,
}

impl State {
    /// The state after the move.
    ///
    /// # Errors
    /// [`Refused`] when the move is not possible from here.
    pub fn after(self, what: Move) -> Result<Self, Refused> {
        use Move as M;
        use State as S;
        match (self, what) {
            (S::Created | S::Exited, M::Started) => Ok(S::Running),
            (S::Created, M::StartFailed) => Ok(S::Created),
            (S::Exited, M::StartFailed) => Ok(S::Exited),
            (S::Running, M::Paused) => Ok(S::Paused),
            (S::Paused, M::Resumed) => Ok(S::Running),
            (S::Created | S::Running | S::Paused | S::Unknown, M::Exited) => Ok(S::Exited),
            (S::Running | S::Paused | S::Unknown, M::Lost) => Ok(S::Unknown),
            (S::Unknown | S::Running, M::Found) => Ok(S::Running),
            (S::Created | S::Exited | S::Removing, M::Removing) => Ok(S::Removing),
            (state, what) => Err(Refused { state, what }),
        }
    }

    /// A process may exist.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Unknown)
    }

    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Exited => "exited",
            Self::Removing => "removing",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOVES, Move, STATES, State};

    /// One row a state, one column a move, in the order of the lists; `.` is refused.
    const TABLE: [&str; 6] = [
        //S    StartFailed P R E L F Removing
        "R C . . E . . X", // Created
        ". . P . E U R .", // Running
        ". . . R E U . .", // Paused
        "R E . . . . . X", // Exited
        ". . . . . . . X", // Removing
        ". . . . E U R .", // Unknown
    ];

    #[test]
    fn every_state_and_move_has_its_answer() {
        for (state, row) in STATES.into_iter().zip(TABLE) {
            let cells: Vec<&str> = row.split(' ').collect();
            assert_eq!(cells.len(), MOVES.len());
            for (what, cell) in MOVES.into_iter().zip(cells) {
                let expected = match cell {
                    "C" => Some(State::Created),
                    "R" => Some(State::Running),
                    "P" => Some(State::Paused),
                    "E" => Some(State::Exited),
                    "X" => Some(State::Removing),
                    "U" => Some(State::Unknown),
                    _ => None,
                };
                assert_eq!(state.after(what).ok(), expected, "{state:?} {what:?}");
            }
        }
    }

    #[test]
    fn nothing_leaves_removing() {
        for what in MOVES {
            if what != Move::Removing {
                assert!(State::Removing.after(what).is_err(), "{what:?}");
            }
        }
    }
}
