//! Which request leads where. Those that take time answer later, from where they are done.

use gantry_supervisor_proto::message::RequestFrame;
use gantry_supervisor_proto::types::{self as t, Nothing};
use gantry_supervisor_proto::{Event, Reply, Request, VERSION};

use crate::ports;
use crate::supervisor::Supervisor;
use crate::task::{Role, Task, Waiter};

impl Supervisor {
    /// Does what a frame asks, and answers now or later.
    pub(crate) fn handle(&mut self, connection: u64, frame: RequestFrame) {
        let to = Waiter {
            connection,
            request: frame.id,
        };
        let request = match Request::of(frame) {
            Ok(request) => request,
            Err(error) => return self.answer::<Nothing>(to, Err(error)),
        };
        let done = match request {
            Request::Hello(body) => return self.hello(to, &body),
            Request::NetworkNamespace(_) => return self.network_namespace(to),
            Request::Attach(body) => return self.attach(to, &body),
            Request::Stats(body) => {
                let stats = self.stats(&body.id);
                return self.answer(to, stats);
            }
            Request::Processes(body) => {
                let pids = self.processes(&body.id);
                return self.answer(to, pids);
            }
            // These answer by themselves when they are done.
            Request::Create(body) => match self.create(to, body) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Request::ExecCreate(body) => match self.exec_create(to, body) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Request::Start(body) => match self.start(to, &body.id, true) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Request::ExecStart(body) => match self.start(to, &body.id, false) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Request::Delete(body) => match self.delete(to, &body.id) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Request::Shutdown(_) => return self.begin_ending(Some(to)),
            Request::Prepare(body) => self.prepare(body),
            Request::Commit(_) => self.commit(),
            Request::HoldPorts(body) => {
                ports::hold(&body.ports).map(|held| self.ports.extend(held))
            }
            Request::Update(body) => self.update(&body),
            Request::Kill(body) => match self.kill(to, &body) {
                Ok(None) => return,
                other => other.map(drop),
            },
            Request::SetPaused(body) => self.set_paused(&body.id, body.paused),
            Request::Resize(body) => self.resize(&body),
            Request::CloseStdin(body) => self
                .target(&body.target)
                .map(|task| task.stdio.close_input()),
            Request::ReopenLog(body) => self.reopen_log(&body.id),
        };
        self.answer(to, done.map(|()| Nothing {}));
    }

    fn hello(&mut self, to: Waiter, body: &t::Hello) {
        let welcome = t::Welcome {
            version: VERSION,
            pid: self.state.pid,
            release: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.answer(to, Ok(welcome));
        if let Some(there) = self.connections.get_mut(&to.connection) {
            there.greeted = true;
        }
        if !body.replay {
            return;
        }
        let containers = self.tasks.values().filter(|t| t.is_ended() && !t.silent);
        let mut events: Vec<Event> = containers.filter_map(exited).collect();
        events.extend(self.told_execs.iter().cloned());
        for event in events {
            self.send(to.connection, &Reply::telling(event), Vec::new());
        }
    }
}

/// The event of a container's end.
pub(crate) fn exited(task: &Task) -> Option<Event> {
    let (id, exit) = (task.id.clone(), task.exit.clone()?);
    Some(match task.role {
        Role::Container { run, .. } => Event::Exited { id, run, exit },
        Role::Exec { .. } => Event::ExecExited { id, exit },
    })
}
