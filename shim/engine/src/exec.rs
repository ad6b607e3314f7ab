//! Execs in memory: they live as long as their container's run is of interest, and are not recorded.

use std::sync::{Arc, Mutex};

use gantry_model::supervisor::Exit;
use gantry_model::{ContainerId, Error, ExecId, Result};
use tokio::sync::watch;

use crate::inner::{Inner, lock};
use crate::{ExecSpec, ExecView};

/// Where an exec is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExecState {
    Created,
    Starting,
    Running { pid: i32 },
    Ended { pid: i32, exit: Exit },
}

pub(crate) struct ExecEntry {
    pub(crate) id: ExecId,
    pub(crate) container: ContainerId,
    pub(crate) spec: ExecSpec,
    pub(crate) state: watch::Sender<ExecState>,
    /// An exit that came before the start was acknowledged.
    pub(crate) early: Mutex<Option<Exit>>,
}

impl ExecEntry {
    pub(crate) fn view(&self) -> ExecView {
        let state = self.state.borrow().clone();
        let (running, pid, exit_code) = match state {
            ExecState::Created | ExecState::Starting => (false, 0, None),
            ExecState::Running { pid } => (true, pid, None),
            ExecState::Ended { pid, exit } => (false, pid, Some(exit.code)),
        };
        ExecView {
            id: self.id.clone(),
            container: self.container.clone(),
            spec: self.spec.clone(),
            running,
            pid,
            exit_code,
        }
    }

    /// Takes the one right to start it.
    ///
    /// # Errors
    /// `Conflict` when somebody had it before.
    pub(crate) fn claim(&self) -> Result<()> {
        let mut mine = false;
        self.state.send_if_modified(|state| {
            mine = *state == ExecState::Created;
            if mine {
                *state = ExecState::Starting;
            }
            mine
        });
        if mine {
            Ok(())
        } else {
            Err(Error::conflict(format!("exec {} has already run", self.id)))
        }
    }

    pub(crate) fn started(&self, pid: i32) {
        let early = lock(&self.early).take();
        self.state.send_replace(match early {
            Some(exit) => ExecState::Ended { pid, exit },
            None => ExecState::Running { pid },
        });
    }

    pub(crate) fn ended(&self, exit: &Exit) {
        self.state.send_modify(|state| match state {
            ExecState::Running { pid } => {
                *state = ExecState::Ended {
                    pid: *pid,
                    exit: exit.clone(),
                }
            }
            ExecState::Created | ExecState::Starting => *lock(&self.early) = Some(exit.clone()),
            ExecState::Ended { .. } => {}
        });
    }
}

impl Inner {
    /// # Errors
    /// `NotFound`.
    pub(crate) fn exec(&self, id: &ExecId) -> Result<Arc<ExecEntry>> {
        let found = lock(&self.execs).get(id).cloned();
        found.ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    pub(crate) fn exec_ended(&self, id: &ExecId, exit: &Exit) {
        if let Ok(entry) = self.exec(id) {
            entry.ended(exit);
        }
    }

    /// Forgets the execs of a container that is gone.
    pub(crate) fn forget_execs(&self, container: &ContainerId) {
        lock(&self.execs).retain(|_, entry| entry.container != *container);
    }

    /// Ends those whose supervisor cannot tell their end any more.
    pub(crate) fn lose_execs(&self, container: &ContainerId) {
        let entries: Vec<Arc<ExecEntry>> = lock(&self.execs).values().cloned().collect();
        let exit = Exit {
            code: 137,
            at: self.now(),
            unknown: true,
            ..Exit::default()
        };
        for entry in entries.iter().filter(|entry| entry.container == *container) {
            entry.ended(&exit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ExecEntry, ExecState};
    use gantry_model::supervisor::Exit;
    use gantry_model::{ContainerId, ExecId};

    fn entry() -> ExecEntry {
        ExecEntry {
            id: ExecId::from_random([1; 32]),
            container: ContainerId::from_random([2; 32]),
            spec: crate::ExecSpec::default(),
            state: tokio::sync::watch::channel(ExecState::Created).0,
            early: std::sync::Mutex::new(None),
        }
    }

    #[test]
    fn is_started_once() {
        let entry = entry();
        assert!(entry.claim().is_ok());
        assert!(entry.claim().is_err());
    }

    #[test]
    fn an_exit_that_overtakes_the_start_is_not_lost() {
        let entry = entry();
        assert!(entry.claim().is_ok());
        entry.ended(&Exit {
            code: 7,
            ..Exit::default()
        });
        assert!(!entry.view().running);
        entry.started(42);
        assert_eq!(entry.view().exit_code, Some(7));
        assert_eq!(entry.view().pid, 42);
    }
}
