//! What each request does. Those that take time answer later, from where they are done.

use std::os::fd::OwnedFd;

use gantry_supervisor_proto::message::RequestFrame;
use gantry_supervisor_proto::types::{self as t, Nothing, PidMode, Target};
use gantry_supervisor_proto::{ErrorKind, Event, Reply, Request, VERSION, WireError};
use gantry_sys::cgroup::{Group, Hierarchies};
use gantry_sys::process::pidfd_send_signal;

use crate::client::Wants;
use crate::namespaces;
use crate::pod_init::PodInit;
use crate::ports;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Role, Task, Waiter};

type Result<T> = std::result::Result<T, WireError>;

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
            Request::Kill(body) => self.kill(&body),
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

    fn prepare(&mut self, body: t::Prepare) -> Result<()> {
        if self.prepared.is_some() {
            return Err(WireError::new(
                ErrorKind::AlreadyExists,
                "the sandbox is prepared already",
            ));
        }
        let hierarchies = Hierarchies::detect().map_err(internal)?;
        let group = |path: &str| {
            (!path.is_empty())
                .then(|| Group::at(&hierarchies, path, &[]))
                .transpose()
                .map_err(|e| WireError::invalid(e.to_string()))
        };
        self.sandbox = group(&body.cgroup)?;
        self.own = group(&body.own_cgroup)?;
        self.must_move = self.own.is_some();
        self.hierarchies = Some(hierarchies);
        self.namespaces = namespaces::make(&body)?;
        if body.pid == PidMode::Pod {
            // It is born where we are.
            self.move_to_own_group();
            self.pod_init = Some(PodInit::start(&self.namespaces)?);
        }
        self.link_network(&body.netns_link)?;
        self.state.cgroup.clone_from(&body.cgroup);
        self.state.own_cgroup.clone_from(&body.own_cgroup);
        self.state.netns_link.clone_from(&body.netns_link);
        self.prepared = Some(body);
        self.write_state();
        Ok(())
    }

    /// No bind mount: a thousand of those make every clone slow. A link to our descriptor serves CNI and people alike.
    fn link_network(&self, link: &str) -> Result<()> {
        use std::os::fd::AsRawFd;
        let (Some(fd), false) = (&self.namespaces.network, link.is_empty()) else {
            return Ok(());
        };
        let target = format!("/proc/{}/fd/{}", self.state.pid, fd.as_raw_fd());
        std::os::unix::fs::symlink(target, link)
            .map_err(|e| WireError::internal(format!("link network namespace to {link}: {e}")))
    }

    fn commit(&mut self) -> Result<()> {
        if self.prepared.is_none() {
            return Err(WireError::new(
                ErrorKind::FailedPrecondition,
                "the sandbox is not prepared",
            ));
        }
        self.state.committed = true;
        self.write_state();
        Ok(())
    }

    fn network_namespace(&mut self, to: Waiter) {
        match self.namespaces.network.as_ref().map(OwnedFd::try_clone) {
            None => self.answer(to, Ok(Nothing {})),
            Some(Ok(fd)) => self.answer_with(to, Ok(Nothing {}), vec![fd]),
            Some(Err(e)) => {
                let error = WireError::internal(format!("copy network namespace descriptor: {e}"));
                self.answer::<Nothing>(to, Err(error));
            }
        }
    }

    fn target(&mut self, target: &Target) -> Result<&mut Task> {
        let key = match target {
            Target::Container(id) => self.container(id)?,
            Target::Exec(id) => self.exec(id)?,
        };
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        if task.is_ended() {
            return Err(WireError::conflict(format!("{} has ended", task.name())));
        }
        Ok(task)
    }

    fn attach(&mut self, to: Waiter, body: &t::Attach) {
        let wants = Wants {
            stdin: body.stdin,
            stdout: body.stdout,
            stderr: body.stderr,
        };
        let attached = self.target(&body.target).and_then(|task| {
            let attached = task.stdio.attach(wants);
            attached.map_err(|e| WireError::internal(format!("attach to {}: {e}", task.name())))
        });
        match attached {
            Ok(fd) => self.answer_with(to, Ok(Nothing {}), vec![fd]),
            Err(error) => self.answer::<Nothing>(to, Err(error)),
        }
    }

    fn kill(&mut self, body: &t::Kill) -> Result<()> {
        let key = self.container(&body.id)?;
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        let Some((_, pidfd)) = &task.process else {
            return Err(WireError::conflict(format!(
                "{} is not running",
                task.name()
            )));
        };
        if body.all {
            let pids = task.group.as_ref().map_or(Ok(Vec::new()), Group::processes);
            for pid in pids.map_err(internal)? {
                // One that has gone meanwhile needs no signal.
                let _ = gantry_sys::process::pidfd_open(pid)
                    .and_then(|pidfd| pidfd_send_signal(&pidfd, body.signal));
            }
        } else {
            pidfd_send_signal(pidfd, body.signal)
                .map_err(|e| WireError::invalid(format!("kill {}: {e}", task.name())))?;
        }
        if body.signal == nix::libc::SIGKILL {
            // A frozen process dies only when it is thawed.
            self.thaw(key);
        }
        Ok(())
    }

    pub(crate) fn thaw(&mut self, key: u32) {
        if let Some(task) = self.tasks.get_mut(&key)
            && let Role::Container { paused, .. } = &mut task.role
            && *paused
            && let Some(group) = &task.group
            && group.thaw().is_ok()
        {
            *paused = false;
        }
    }

    fn set_paused(&mut self, id: &str, freeze: bool) -> Result<()> {
        let key = self.container(id)?;
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        let name = task.name();
        let Role::Container { paused, .. } = &mut task.role else {
            return Err(WireError::internal(format!("{name} is no container")));
        };
        if !matches!(task.phase, Phase::Running) {
            return Err(WireError::conflict(format!("{name} is not running")));
        }
        if *paused == freeze {
            let state = if freeze {
                "paused already"
            } else {
                "not paused"
            };
            return Err(WireError::new(
                ErrorKind::NotModified,
                format!("{name} is {state}"),
            ));
        }
        let group = task.group.as_ref().ok_or_else(|| {
            WireError::new(
                ErrorKind::FailedPrecondition,
                format!("{name} has no cgroup"),
            )
        })?;
        if freeze { group.freeze() } else { group.thaw() }.map_err(internal)?;
        *paused = freeze;
        self.write_state();
        Ok(())
    }

    fn resize(&mut self, body: &t::Resize) -> Result<()> {
        let task = self.target(&body.target)?;
        let terminal = task.stdio.terminal().ok_or_else(|| {
            WireError::new(
                ErrorKind::FailedPrecondition,
                format!("{} has no terminal", task.name()),
            )
        })?;
        gantry_sys::pty::resize(terminal, body.rows, body.columns).map_err(internal)
    }

    fn reopen_log(&mut self, id: &str) -> Result<()> {
        let key = self.container(id)?;
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        task.stdio
            .reopen_log()
            .map_err(|e| WireError::internal(format!("reopen log of {}: {e}", task.name())))
    }

    fn stats(&self, id: &str) -> Result<t::Stats> {
        let task = &self.tasks[&self.container(id)?];
        let Some(group) = task.group.as_ref().filter(|_| !task.is_ended()) else {
            return Err(WireError::conflict(format!(
                "{} is not running",
                task.name()
            )));
        };
        let stats = group.stats().map_err(internal)?;
        let or_none = |limit: u64| if limit == u64::MAX { 0 } else { limit };
        Ok(t::Stats {
            at: gantry_logs::clock::now(),
            cpu_total: stats.cpu_usage_ns,
            cpu_user: stats.cpu_user_ns,
            cpu_system: stats.cpu_system_ns,
            memory_usage: stats.memory_usage,
            memory_inactive_file: stats.memory_inactive_file,
            memory_limit: or_none(stats.memory_limit),
            pids: stats.pids,
            pids_limit: or_none(stats.pids_limit),
        })
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

#[allow(clippy::needless_pass_by_value)] // stands in map_err
pub(crate) fn internal(error: gantry_sys::Error) -> WireError {
    WireError::internal(error.to_string())
}
