//! All that a supervisor holds, and how it is written down and told.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gantry_supervisor_proto::files::{self, State};
use gantry_supervisor_proto::state_file::StateFile;
use gantry_supervisor_proto::types::Prepare;
use gantry_supervisor_proto::{Event, Reply, VERSION, WireError};
use gantry_sys::cgroup::{Group, Hierarchies};
use serde::Serialize;

use crate::birth::Birth;
use crate::compress::Compressing;
use crate::connection::Connection;
use crate::namespaces::Namespaces;
use crate::pod_init::PodInit;
use crate::reserve::Reserve;
use crate::runtime::work::Work;
use crate::say;
use crate::task::{Task, Waiter};
use crate::unmount::Unmount;

/// Ends of execs that are told again to a gantryd that was away.
const REMEMBERED_EXECS: usize = 128;
/// Between two tries to write a state that could not be written.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// The one value of this program.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) folder: PathBuf,
    pub(crate) birth: Birth,
    pub(crate) state: State,
    /// Where it is written; `None` when its space could not be had at birth.
    state_file: Option<StateFile>,
    /// When a state that could not be written is tried again.
    pub(crate) write_again: Option<Instant>,
    pub(crate) reserve: Reserve,
    /// The listener is not looked at before: it was ready and could not be accepted from.
    pub(crate) accept_again: Option<Instant>,
    pub(crate) prepared: Option<Prepare>,
    pub(crate) namespaces: Namespaces,
    /// Holds the PID namespace the pod shares, if it does.
    pub(crate) pod_init: Option<PodInit>,
    pub(crate) hierarchies: Option<Hierarchies>,
    pub(crate) sandbox: Option<Group>,
    pub(crate) own: Option<Group>,
    /// Move to our own cgroup when there is time: it is on nobody's way.
    pub(crate) must_move: bool,
    /// Configurations have come and gone: their memory is given back when there is time.
    pub(crate) must_trim: bool,
    pub(crate) ports: Vec<OwnedFd>,
    pub(crate) tasks: BTreeMap<u32, Task>,
    pub(crate) unmounts: Vec<Unmount>,
    /// Children that call other runtimes; none was ever needed while the next key is 1.
    pub(crate) works: BTreeMap<u32, Work>,
    pub(crate) next_work: u32,
    /// Cgroups such children have left, perhaps with somebody in them.
    pub(crate) leftovers: Vec<Group>,
    /// A log file that is being compressed.
    pub(crate) compressing: Option<Compressing>,
    pub(crate) told_execs: VecDeque<Event>,
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) next_task: u32,
    pub(crate) next_connection: u64,
    /// Who waits for our end; `Some` means that no task may be made any more.
    pub(crate) ending: Option<Vec<Waiter>>,
    pub(crate) buffer: Vec<u8>,
}

impl Supervisor {
    /// Lives.
    ///
    /// # Errors
    /// In words, when not even the loop can run.
    pub(crate) fn serve(birth: Birth) -> Result<(), String> {
        let mut supervisor = Self::new(birth)?;
        let born = supervisor.write_state();
        born.map_err(|e| format!("write the first state: {e}"))?;
        supervisor.run()
    }

    fn new(birth: Birth) -> Result<Self, String> {
        let boot_id = files::boot_id().map_err(|e| format!("read boot id: {e}"))?;
        let state = State {
            version: VERSION,
            boot_id,
            id: birth.id.clone(),
            pid: nix::unistd::getpid().as_raw(),
            ..State::default()
        };
        Ok(Self {
            folder: birth.folder.clone(),
            birth,
            state,
            state_file: None,
            write_again: None,
            reserve: Reserve::new(),
            accept_again: None,
            prepared: None,
            namespaces: Namespaces::default(),
            pod_init: None,
            hierarchies: None,
            sandbox: None,
            own: None,
            must_move: false,
            must_trim: false,
            ports: Vec::new(),
            tasks: BTreeMap::new(),
            unmounts: Vec::new(),
            works: BTreeMap::new(),
            next_work: 1,
            leftovers: Vec::new(),
            compressing: None,
            told_execs: VecDeque::new(),
            connections: BTreeMap::new(),
            next_task: 1,
            next_connection: 1,
            ending: None,
            buffer: Vec::new(),
        })
    }

    /// Writes the state; called after every move and before anybody is told of it.
    ///
    /// # Errors
    /// The file system's, and only for want of space that a larger state than any before needs. Exits are safe in
    /// their slots all the same; the rest is told to whoever asks, and written as soon as it can be.
    pub(crate) fn write_state(&mut self) -> std::io::Result<()> {
        self.state.tasks = self.tasks.values().filter_map(Task::record).collect();
        gantry_fault::point("supervisor.state.before-write").map_err(std::io::Error::other)?;
        let done = match &mut self.state_file {
            Some(file) => file.write(&self.state),
            None => StateFile::create(&self.folder, &self.state)
                .map(|file| self.state_file = Some(file)),
        };
        gantry_fault::pass("supervisor.state.after-write");
        let first = self.write_again.is_none();
        self.write_again = done.is_err().then(|| Instant::now() + WRITE_AGAIN);
        if let (Err(e), true) = (&done, first) {
            say(format!("write state of sandbox {}: {e}", self.state.id));
        }
        done
    }

    /// The same where a state that is late is no reason to stop: it is tried again.
    pub(crate) fn note_state(&mut self) {
        let _ = self.write_state();
    }

    /// Answers a request.
    pub(crate) fn answer<T: Serialize>(&mut self, to: Waiter, result: Result<T, WireError>) {
        self.answer_with(to, result, Vec::new());
    }

    /// Answers a request with descriptors.
    pub(crate) fn answer_with<T: Serialize>(
        &mut self,
        to: Waiter,
        result: Result<T, WireError>,
        fds: Vec<OwnedFd>,
    ) {
        let mut reply = Reply::to_request(to.request, result);
        reply.fds = u32::try_from(fds.len()).unwrap_or(u32::MAX);
        self.send(to.connection, &reply, fds);
    }

    /// Tells everybody who has said hello.
    pub(crate) fn tell(&mut self, event: Event) {
        if matches!(event, Event::ExecExited { .. }) {
            if self.told_execs.len() == REMEMBERED_EXECS {
                self.told_execs.pop_front();
            }
            self.told_execs.push_back(event.clone());
        }
        let greeted = self.connections.iter().filter(|(_, c)| c.greeted);
        let keys: Vec<u64> = greeted.map(|(key, _)| *key).collect();
        let reply = Reply::telling(event);
        for key in keys {
            self.send(key, &reply, Vec::new());
        }
    }

    pub(crate) fn send(&mut self, connection: u64, reply: &Reply, fds: Vec<OwnedFd>) {
        if let Some(there) = self.connections.get_mut(&connection)
            && !there.send(reply, fds)
        {
            self.connections.remove(&connection);
        }
    }

    /// The container of this id.
    pub(crate) fn container(&self, id: &str) -> Result<u32, WireError> {
        self.find(id, true)
            .ok_or_else(|| WireError::not_found(format!("no container {id} in this sandbox")))
    }

    /// The exec of this id.
    pub(crate) fn exec(&self, id: &str) -> Result<u32, WireError> {
        self.find(id, false)
            .ok_or_else(|| WireError::not_found(format!("no exec {id} in this sandbox")))
    }

    pub(crate) fn find(&self, id: &str, container: bool) -> Option<u32> {
        self.tasks
            .iter()
            .find(|(_, t)| t.id == id && t.is_container() == container)
            .map(|(key, _)| *key)
    }

    pub(crate) fn add_task(&mut self, task: Task) -> u32 {
        let key = self.next_task;
        self.next_task += 1;
        self.tasks.insert(key, task);
        key
    }
}

#[cfg(test)]
mod tests;
