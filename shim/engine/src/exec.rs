//! Execs in memory: they live as long as their container's run is of interest, and are not recorded.
//!
//! The table is bounded: the last 1,000 of those that have ended are kept, for five minutes; of those that nobody has
//! started yet at least the last 1,000, for an hour. Those that run are always kept.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_model::image::Origin;
use gantry_model::supervisor::Exit;
use gantry_model::{ContainerId, Error, ExecId, Result};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::inner::{Inner, lock};
use crate::{ExecSpec, ExecView};

/// How long an exec that has ended can be looked up.
const KEPT_ENDED: Duration = Duration::from_secs(300);

/// How long one that was made waits for its start.
const KEPT_MADE: Duration = Duration::from_secs(3600);

/// How many of each are kept; of those that were not started up to twice as many for a while.
const KEPT: usize = 1000;

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
    /// Its life is told in events.
    pub(crate) told: bool,
    pub(crate) state: watch::Sender<ExecState>,
    /// An exit that came before the start was acknowledged.
    pub(crate) early: Mutex<Option<Exit>>,
}

impl ExecEntry {
    pub(crate) fn new(id: ExecId, container: ContainerId, spec: ExecSpec, told: bool) -> Self {
        Self {
            id,
            container,
            spec,
            told,
            state: watch::channel(ExecState::Created).0,
            early: Mutex::default(),
        }
    }

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

    /// It runs; answers its exit when that has overtaken this.
    pub(crate) fn started(&self, pid: i32) -> Option<Exit> {
        let mut over = None;
        self.state.send_modify(|state| {
            // Taken under the state's own lock: an exit comes before this or finds it running.
            over = lock(&self.early).take();
            *state = match over.clone() {
                Some(exit) => ExecState::Ended { pid, exit },
                None => ExecState::Running { pid },
            };
        });
        over
    }

    /// It has ended; answers whether that is news to those who watch it.
    pub(crate) fn ended(&self, exit: &Exit) -> bool {
        self.state.send_if_modified(|state| match state {
            ExecState::Running { pid } => {
                *state = ExecState::Ended {
                    pid: *pid,
                    exit: exit.clone(),
                };
                true
            }
            ExecState::Created | ExecState::Starting => {
                *lock(&self.early) = Some(exit.clone());
                false
            }
            ExecState::Ended { .. } => false,
        })
    }

    fn is_made(&self) -> bool {
        *self.state.borrow() == ExecState::Created
    }

    /// Docker's words for it: program and arguments.
    pub(crate) fn words(&self) -> String {
        let (program, arguments) = match self.spec.command.split_first() {
            Some((program, arguments)) => (program.as_str(), arguments.join(" ")),
            None => ("", String::new()),
        };
        format!("{program} {arguments}")
    }
}

/// All execs that can be looked up.
#[derive(Default)]
pub(crate) struct ExecTable {
    entries: HashMap<ExecId, Arc<ExecEntry>>,
    /// In the order in which they were made; those that were started meanwhile are left out when they come up.
    made: VecDeque<(Instant, ExecId)>,
    /// In the order in which they ended.
    ended: VecDeque<(Instant, ExecId)>,
}

impl ExecTable {
    pub(crate) fn insert(&mut self, entry: Arc<ExecEntry>) {
        self.made.push_back((Instant::now(), entry.id.clone()));
        self.entries.insert(entry.id.clone(), entry);
        self.forget_old(Instant::now());
    }

    pub(crate) fn get(&mut self, id: &ExecId) -> Option<Arc<ExecEntry>> {
        self.forget_old(Instant::now());
        self.entries.get(id).cloned()
    }

    pub(crate) fn all(&mut self) -> impl Iterator<Item = &Arc<ExecEntry>> {
        self.forget_old(Instant::now());
        self.entries.values()
    }

    pub(crate) fn remove(&mut self, id: &ExecId) {
        self.entries.remove(id);
        // It ended just now, if it did: near the end of the queue.
        if let Some(at) = self.ended.iter().rposition(|(_, ended)| ended == id) {
            self.ended.remove(at);
        }
        self.forget_old(Instant::now());
    }

    fn has_ended(&mut self, id: &ExecId) {
        self.ended.push_back((Instant::now(), id.clone()));
        self.forget_old(Instant::now());
    }

    fn forget_container(&mut self, container: &ContainerId) {
        self.entries
            .retain(|_, entry| entry.container != *container);
        self.forget_old(Instant::now());
    }

    fn forget_old(&mut self, now: Instant) {
        let entries = &mut self.entries;
        while let Some((since, id)) = self.ended.front()
            && (self.ended.len() > KEPT || now.duration_since(*since) > KEPT_ENDED)
        {
            entries.remove(id);
            self.ended.pop_front();
        }
        let waits = |id: &ExecId, entries: &HashMap<ExecId, Arc<ExecEntry>>| {
            entries.get(id).is_some_and(|entry| entry.is_made())
        };
        let mut least = 2 * KEPT;
        if self.made.len() > least {
            self.made.retain(|(_, id)| waits(id, entries));
            // Down to half, so that the search above is not made for each new one.
            least = KEPT;
        }
        while let Some((since, id)) = self.made.front() {
            if waits(id, entries) {
                if self.made.len() <= least && now.duration_since(*since) <= KEPT_MADE {
                    break;
                }
                entries.remove(id);
            }
            self.made.pop_front();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len() + self.made.len() + self.ended.len()
    }
}

impl Inner {
    /// # Errors
    /// `NotFound`.
    pub(crate) fn exec(&self, id: &ExecId) -> Result<Arc<ExecEntry>> {
        let found = lock(&self.execs).get(id);
        found.ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    /// What its supervisor tells.
    pub(crate) fn exec_ended(self: &Arc<Self>, id: &ExecId, exit: &Exit) {
        if let Ok(entry) = self.exec(id)
            && entry.ended(exit)
        {
            self.exec_over(&entry, exit);
        }
    }

    /// What follows once, when an exec has ended.
    pub(crate) fn exec_over(self: &Arc<Self>, entry: &ExecEntry, exit: &Exit) {
        lock(&self.execs).has_ended(&entry.id);
        self.tell_exec(entry, "exec_die", &[("exitCode", exit.code.to_string())]);
    }

    /// An event of an exec. The kubelet's own, which no client of Docker's is shown, are not told: its probes would
    /// fill the log.
    pub(crate) fn tell_exec(
        self: &Arc<Self>,
        entry: &ExecEntry,
        action: &str,
        more: &[(&str, String)],
    ) {
        if !entry.told {
            return;
        }
        let mut attributes = vec![("execID", entry.id.to_string())];
        attributes.extend_from_slice(more);
        self.tell_container(&entry.container, action, &attributes);
    }

    /// Whether execs of this container are told in events.
    pub(crate) fn tells_execs(&self, container: &ContainerId) -> bool {
        self.container(container)
            .is_ok_and(|container| container.origin == Origin::Docker)
    }

    /// Forgets the execs of a container that is gone, and what else is only in memory.
    pub(crate) fn forget_execs(&self, container: &ContainerId) {
        lock(&self.execs).forget_container(container);
        self.health.forget(container);
        self.sampler.forget(container);
    }

    /// Ends those whose supervisor cannot tell their end any more.
    pub(crate) fn lose_execs(self: &Arc<Self>, container: &ContainerId) {
        let entries: Vec<Arc<ExecEntry>> = lock(&self.execs)
            .all()
            .filter(|entry| entry.container == *container)
            .cloned()
            .collect();
        let exit = Exit {
            code: 137,
            at: self.now(),
            unknown: true,
            ..Exit::default()
        };
        for entry in entries {
            if entry.ended(&exit) {
                self.exec_over(&entry, &exit);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ExecEntry, ExecTable, KEPT, KEPT_ENDED};
    use gantry_model::supervisor::Exit;
    use gantry_model::{ContainerId, ExecId};
    use std::sync::Arc;

    fn numbered(number: u32) -> ExecEntry {
        let mut id = [1; 32];
        id[..4].copy_from_slice(&number.to_le_bytes());
        ExecEntry::new(
            ExecId::from_random(id),
            ContainerId::from_random([2; 32]),
            crate::ExecSpec::default(),
            false,
        )
    }

    fn entry() -> ExecEntry {
        numbered(1)
    }

    fn exit(code: i32) -> Exit {
        Exit {
            code,
            ..Exit::default()
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
        assert!(!entry.ended(&exit(7)), "told by its start");
        assert!(!entry.view().running);
        assert_eq!(entry.started(42), Some(exit(7)));
        assert_eq!(entry.view().exit_code, Some(7));
        assert_eq!(entry.view().pid, 42);
    }

    #[test]
    fn ends_once() {
        let entry = entry();
        assert_eq!(entry.started(42), None);
        assert!(entry.ended(&exit(7)));
        assert!(!entry.ended(&exit(137)));
        assert_eq!(entry.view().exit_code, Some(7));
    }

    #[test]
    fn docker_puts_a_space_behind_a_lone_program() {
        let mut entry = entry();
        entry.spec.command = vec!["true".to_owned()];
        assert_eq!(entry.words(), "true ");
        entry.spec.command = ["sh", "-c", "a b"].map(str::to_owned).to_vec();
        assert_eq!(entry.words(), "sh -c a b");
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_runs() {
        let mut table = ExecTable::default();
        let running: Vec<Arc<ExecEntry>> = (0..1500).map(|n| Arc::new(numbered(n))).collect();
        for entry in &running {
            table.insert(Arc::clone(entry));
            entry.started(1);
        }
        for number in 10_000..20_000 {
            let entry = Arc::new(numbered(number));
            table.insert(Arc::clone(&entry));
            if number % 2 == 0 {
                entry.started(1);
                entry.ended(&exit(0));
                table.has_ended(&entry.id);
            }
        }
        assert!(table.len() <= 1500 + 6 * KEPT, "{}", table.len());
        assert!(running.iter().all(|entry| table.get(&entry.id).is_some()));
        let last = numbered(19_998).id;
        assert!(table.get(&last).is_some());
        table.forget_old(tokio::time::Instant::now() + 2 * KEPT_ENDED);
        assert!(table.get(&last).is_none(), "five minutes are over");
        assert!(table.get(&numbered(19_999).id).is_some(), "not started yet");
        assert!(running.iter().all(|entry| table.get(&entry.id).is_some()));
    }
}
