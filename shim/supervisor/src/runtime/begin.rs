//! Beginning containers and execs by another runtime, and the commands that follow them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use gantry_logs::LogWriter;
use gantry_oci::MountDesc;
use gantry_supervisor_proto::WireError;
use gantry_supervisor_proto::types::{self as t, Runtime};
use gantry_sys::cgroup::Group;
use gantry_sys::namespace::{self, Forked};
use gantry_sys::process::{close_all_but, exit_now, reset_signals, set_child_subreaper};
use nix::sys::stat::{Mode, umask};
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};

use super::bundle::{Joined, path_of};
use super::driver::{self, Common, Container, Exec};
use super::report::{self, Foreign, Report};
use super::work::{What, Work};
use super::{Held, Launching, Left};
use crate::failure;
use crate::launch::inputs::mount;
use crate::stdio::Stdio;
use crate::supervisor::Supervisor;
use crate::task::Waiter;

type Result<T> = std::result::Result<T, WireError>;

/// The longest one of a runtime's commands may take.
const LONGEST: Duration = Duration::from_secs(40);

/// The same for this runtime.
fn longest(runtime: &Runtime) -> Duration {
    match runtime.timeout_ms {
        0 => LONGEST,
        limit => Duration::from_millis(limit),
    }
}

/// What was begun.
pub(crate) struct Begun {
    pub(crate) launching: Launching,
    pub(crate) stdio: Stdio,
}

impl Supervisor {
    /// Begins a container; its process is told when it is there.
    pub(crate) fn begin_foreign(
        &mut self,
        body: &t::Create,
        runtime: &Runtime,
        spec: Spec,
        log: Option<LogWriter>,
    ) -> Result<(Begun, Held)> {
        let mut stdio = Stdio::new(log, body.stdin_once);
        let streams = self.streams(&mut stdio, body.terminal, body.stdin)?;
        let mounts: Vec<MountDesc> = body.rootfs.iter().map(mount).collect();
        let joined = self.joined(&spec, &body.cgroup);
        let bundle = self.folder.join(format!("{}.bundle", body.id));
        std::fs::create_dir(&bundle)
            .map_err(|e| failure::io(format!("make {}", bundle.display()), &e))?;
        let folder = self.folder.clone();
        let keep: Vec<i32> = streams.iter().flatten().map(AsRawFd::as_raw_fd).collect();
        let begun = self.employ(What::Launch, longest(runtime), &keep, |work, report| {
            let common = Common {
                runtime,
                folder: &folder,
                id: &body.id,
                bundle: &bundle,
                work,
            };
            let what = Container {
                spec,
                mounts: &mounts,
                joined: &joined,
                streams,
            };
            driver::container(&common, what, report);
        });
        let (work, socket) = begun.inspect_err(|_| {
            // Nothing is in it yet.
            let _ = std::fs::remove_dir(&bundle);
        })?;
        let foreign = Foreign::new(socket, work, body.terminal);
        let held = Held {
            runtime: runtime.clone(),
            bundle,
            left: Left::Known,
            abandoned: false,
        };
        let launching = Launching::Foreign(foreign);
        Ok((Begun { launching, stdio }, held))
    }

    /// Begins an exec in a container of another runtime.
    pub(crate) fn begin_foreign_exec(
        &mut self,
        container: u32,
        body: &t::ExecCreate,
        process: Process,
        group: Option<&Group>,
    ) -> Result<Begun> {
        let task = &self.tasks[&container];
        let Some(held) = &task.held else {
            return Err(WireError::internal("it is the built-in runtime's"));
        };
        let (runtime, bundle) = (held.runtime.clone(), held.bundle.clone());
        let (id, target) = (task.id.clone(), task.pid());
        let mut stdio = Stdio::new(None, true).patient(body.output_limit);
        let streams = self.streams(&mut stdio, body.terminal, body.stdin)?;
        if let Some(group) = group {
            group.create().map_err(failure::sys)?;
        }
        let folder = self.folder.clone();
        let keep: Vec<i32> = streams.iter().flatten().map(AsRawFd::as_raw_fd).collect();
        let name = format!("exec-{}", body.id);
        let (work, socket) =
            self.employ(What::Launch, longest(&runtime), &keep, |work, report| {
                let common = Common {
                    runtime: &runtime,
                    folder: &folder,
                    id: &id,
                    bundle: &bundle,
                    work,
                };
                let what = Exec {
                    process,
                    target,
                    streams,
                    group: group.map(|group| (name.as_str(), group)),
                };
                driver::exec(&common, what, report);
            })?;
        let foreign = Foreign::new(socket, work, body.terminal);
        let launching = Launching::Foreign(foreign);
        Ok(Begun { launching, stdio })
    }

    /// Tells the runtime to forget a container that has ended, or that was never made.
    pub(crate) fn begin_delete(&mut self, key: u32) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        let id = task.id.clone();
        let Some(held) = task.held.as_mut().filter(|h| h.left == Left::Known) else {
            return;
        };
        held.left = Left::Deleting;
        let (runtime, bundle) = (held.runtime.clone(), held.bundle.clone());
        let args = ["delete", "--force", &id];
        gantry_fault::pass("supervisor.runtime.before-delete");
        if let Err(e) = self.begin_command(What::Delete(key), &runtime, &bundle, &id, &args) {
            crate::say(format!("delete container {id}: {e}"));
            self.deleted(key);
        }
    }

    /// Sends a signal the runtime's way: what it runs need not be a process of ours that would take it.
    pub(crate) fn begin_kill(&mut self, to: Waiter, key: u32, signal: i32) -> Result<()> {
        let task = &self.tasks[&key];
        let Some(held) = &task.held else {
            return Err(WireError::internal("it is the built-in runtime's"));
        };
        let (runtime, bundle) = (held.runtime.clone(), held.bundle.clone());
        let (id, number) = (task.id.clone(), signal.to_string());
        let what = What::Kill { to, key, signal };
        self.begin_command(what, &runtime, &bundle, &id, &["kill", &id, &number])
    }

    fn begin_command(
        &mut self,
        what: What,
        runtime: &Runtime,
        bundle: &std::path::Path,
        id: &str,
        args: &[&str],
    ) -> Result<()> {
        let folder = self.folder.clone();
        let (work, socket) = self.employ(what, longest(runtime), &[], |work, report| {
            let common = Common {
                runtime,
                folder: &folder,
                id,
                bundle,
                work,
            };
            driver::command(&common, args, report);
        })?;
        if let Some(work) = self.works.get_mut(&work) {
            work.report = Some(socket);
        }
        Ok(())
    }

    /// Forks a child for some work. It keeps no descriptor but `keep` and its report: above all not our lock.
    fn employ(
        &mut self,
        what: What,
        limit: Duration,
        keep: &[i32],
        child: impl FnOnce(u32, &Report<'_>),
    ) -> Result<(u32, OwnedFd)> {
        set_child_subreaper().map_err(failure::sys)?;
        if self.must_move {
            // It is born where we are.
            self.move_to_own_group();
        }
        let key = self.next_work;
        self.next_work += 1;
        let group = match (&self.own, &self.hierarchies) {
            (Some(own), Some(hierarchies)) => {
                let path = format!("{}/work-{key}", own.path());
                Some(Group::at(hierarchies, &path, &[]).map_err(failure::sys)?)
            }
            _ => None,
        };
        let (ours, theirs) = report::pair().map_err(failure::sys)?;
        gantry_fault::point("supervisor.runtime.before-fork").map_err(failure::injected)?;
        match namespace::fork(0, None).map_err(failure::sys)? {
            Forked::Child => {
                let mut keep = keep.to_vec();
                keep.push(theirs.as_raw_fd());
                let ready = || {
                    close_all_but(&keep)?;
                    reset_signals()?;
                    if let Some(group) = &group {
                        group.create()?;
                        group.attach_self()?;
                    }
                    gantry_sys::Result::Ok(())
                };
                let report = Report(&theirs);
                match ready() {
                    Ok(()) => {
                        // A fresh child leads no group yet, so this works.
                        let _ = nix::unistd::setsid();
                        umask(Mode::from_bits_truncate(0o022));
                        child(key, &report);
                    }
                    Err(error) => report.fail(&error.into()),
                }
                exit_now(0)
            }
            Forked::Parent(pid, pidfd) => {
                let work = Work {
                    pid,
                    pidfd,
                    group,
                    report: None,
                    what,
                    deadline: Some(Instant::now() + limit),
                    limit,
                    late: false,
                };
                self.works.insert(key, work);
                Ok((key, ours))
            }
        }
    }

    /// What a container joins of the sandbox's.
    fn joined(&self, spec: &Spec, cgroup: &str) -> Joined {
        let own = |kind: LinuxNamespaceType| {
            let list = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
            list.is_some_and(|l| l.iter().any(|n| n.typ() == kind))
        };
        let held = [
            (LinuxNamespaceType::Network, &self.namespaces.network),
            (LinuxNamespaceType::Ipc, &self.namespaces.ipc),
            (LinuxNamespaceType::Uts, &self.namespaces.uts),
        ];
        let mut namespaces: Vec<_> = held
            .into_iter()
            .filter_map(|(kind, fd)| Some((kind, path_of(self.state.pid, fd.as_ref()?))))
            .collect();
        // A container that lists none of its own shares the pod's, where there is one.
        if let (Some(init), false) = (&self.pod_init, own(LinuxNamespaceType::Pid)) {
            let path = path_of(self.state.pid, &init.namespace);
            namespaces.push((LinuxNamespaceType::Pid, path));
        }
        Joined {
            namespaces,
            cgroup: cgroup.to_owned(),
        }
    }
}
