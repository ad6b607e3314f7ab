//! Making and starting containers and execs by the OCI runtime, whose child does everything slow.

pub(crate) mod inputs;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use gantry_logs::LogWriter;
use gantry_oci::{ExecLaunch, Join, Launch, LaunchError, MountDesc, Pending, Placement, Rootfs};
use gantry_supervisor_proto::files;
use gantry_supervisor_proto::types::{self as t, PidMode};
use gantry_supervisor_proto::{ErrorKind, WireError};
use gantry_sys::cgroup::Group;
use gantry_sys::process;
use nix::libc::SIGKILL;
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};

use inputs::{
    load_seccomp, mount, open_log, parse_spec, save_seccomp, seccomp_file, streams, wire,
};

use crate::failure;
use crate::runtime::{Held, Launching};
use crate::stdio::Stdio;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Role, Task, Waiter};

type Result<T> = std::result::Result<T, WireError>;

/// An exec that was made and is not let go for so long never will be: whoever made it has forgotten it.
const UNSTARTED: Duration = Duration::from_secs(60);

/// A task whose child has been cloned.
struct Begun {
    pending: Launching,
    /// `None` while another runtime makes it.
    process: Option<(i32, OwnedFd)>,
    stdio: Stdio,
    held: Option<Held>,
}

impl Supervisor {
    /// Begins a container; answered when its child is ready.
    pub(crate) fn create(&mut self, to: Waiter, body: t::Create) -> Result<()> {
        self.may_make(&body.id, true)?;
        let mut spec = parse_spec(&body)?;
        self.fit_namespaces(&mut spec)?;
        let hierarchies = self.hierarchies.as_ref().expect("prepared before");
        let extra = gantry_oci::limits(&spec).map_err(wire)?;
        let group = Group::at(hierarchies, &body.cgroup, &extra.extra_controllers())
            .map_err(|e| WireError::invalid(e.to_string()))?;
        let log = open_log(&body.log)?;
        if body.runtime.is_none() {
            save_seccomp(&self.folder, &body.id, &spec)?;
        }
        let slot = files::make_exit_slot(&self.folder, &body.id)
            .map_err(|e| failure::io(format!("make exit slot of container {}", body.id), &e))?;
        gantry_fault::pass("supervisor.create.after-slot");
        let begun = match &body.runtime {
            Some(runtime) => self.begin_foreign(&body, runtime, spec, log).map(made_by),
            None => self.begin_container(&body, &spec, &group, log),
        };
        let begun = begun.inspect_err(|_| {
            files::remove_exit_slot(&self.folder, &body.id);
            // Neither need be there yet.
            let _ = std::fs::remove_file(seccomp_file(&self.folder, &body.id));
            let _ = group.remove();
        })?;
        let role = Role::Container {
            run: body.run,
            slot,
            paused: false,
        };
        self.add_begun(to, body.id, role, body.stdin, Some(group), begun);
        Ok(())
    }

    fn begin_container(
        &self,
        body: &t::Create,
        spec: &Spec,
        group: &Group,
        log: Option<LogWriter>,
    ) -> Result<Begun> {
        let mut stdio = Stdio::new(log, body.stdin_once);
        let theirs = self.streams(&mut stdio, body.terminal, body.stdin)?;
        let mounts: Vec<MountDesc> = body.rootfs.iter().map(mount).collect();
        let launch = Launch {
            id: &body.id,
            spec,
            bundle: &self.folder,
            rootfs: Rootfs::Mounts(&mounts),
            stdio: streams(theirs.as_ref(), spec.process().as_ref()),
            join: Join {
                user: None,
                net: self.namespaces.network.as_ref().map(AsFd::as_fd),
                ipc: self.namespaces.ipc.as_ref().map(AsFd::as_fd),
                uts: self.namespaces.uts.as_ref().map(AsFd::as_fd),
                pid: self.pod_pid(spec),
            },
            cgroup: Placement {
                hierarchies: self.hierarchies.as_ref().expect("prepared before"),
                group: Some(group),
                external: false,
            },
        };
        begun(gantry_oci::create(&launch), stdio)
    }

    /// Begins an exec; answered when its child is ready.
    pub(crate) fn exec_create(&mut self, to: Waiter, body: t::ExecCreate) -> Result<()> {
        self.may_make(&body.id, false)?;
        let container = self.container(&body.container)?;
        let target = &self.tasks[&container];
        let (Phase::Running, Some((_, pidfd))) = (&target.phase, &target.process) else {
            return Err(WireError::conflict(format!(
                "{} is not running",
                target.name()
            )));
        };
        if matches!(target.role, Role::Container { paused: true, .. }) {
            return Err(WireError::conflict(format!("{} is paused", target.name())));
        }
        let process: Process = serde_json::from_str(&body.process)
            .map_err(|e| WireError::invalid(format!("read process of exec {}: {e}", body.id)))?;
        let group = target
            .group
            .as_ref()
            .map(|g| g.child(&format!("exec-{}", body.id)));
        let group = group
            .transpose()
            .map_err(|e| WireError::invalid(e.to_string()))?;
        let begun = if target.held.is_some() {
            let made = self.begin_foreign_exec(container, &body, process, group.as_ref());
            made.map(|begun| Begun {
                pending: begun.launching,
                process: None,
                stdio: begun.stdio,
                held: None,
            })?
        } else {
            let seccomp = load_seccomp(&self.folder, &target.id)?;
            let mut stdio = Stdio::new(None, true).patient(body.output_limit);
            let theirs = self.streams(&mut stdio, body.terminal, body.stdin)?;
            let launch = ExecLaunch {
                process: &process,
                target: pidfd.as_fd(),
                seccomp: seccomp.as_ref(),
                stdio: streams(theirs.as_ref(), Some(&process)),
                group: group.as_ref(),
            };
            begun(gantry_oci::exec(&launch), stdio)?
        };
        let role = Role::Exec {
            container,
            timeout_ms: body.timeout_ms,
            maker: to.connection,
            tied: body.tied,
            deadline: Some(Instant::now() + UNSTARTED),
        };
        self.add_begun(to, body.id, role, body.stdin, group, begun);
        Ok(())
    }

    fn may_make(&self, id: &str, container: bool) -> Result<()> {
        if self.prepared.is_none() {
            return Err(WireError::new(
                ErrorKind::FailedPrecondition,
                "the sandbox is not prepared",
            ));
        }
        if self.ending.is_some() {
            return Err(WireError::new(
                ErrorKind::Unavailable,
                "the sandbox is ending",
            ));
        }
        // Ids become names of files and cgroups.
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(WireError::invalid(format!("{id:?} is not an id")));
        }
        match self.find(id, container) {
            Some(key) => Err(WireError::new(
                ErrorKind::AlreadyExists,
                format!("{} is in this sandbox already", self.tasks[&key].name()),
            )),
            None => Ok(()),
        }
    }

    pub(crate) fn streams(
        &self,
        stdio: &mut Stdio,
        terminal: bool,
        stdin: bool,
    ) -> Result<Option<crate::stdio::Theirs>> {
        if terminal {
            return Ok(None);
        }
        let pipes = stdio.pipes(stdin);
        pipes.map(Some).map_err(|e| failure::io("make pipes", &e))
    }

    /// The sandbox's namespaces win over what the configuration lists.
    fn fit_namespaces(&self, spec: &mut Spec) -> Result<()> {
        let prepared = self.prepared.as_ref().expect("asked by may_make");
        let Some(mut linux) = spec.linux().clone() else {
            return Err(WireError::invalid("configuration has no linux part"));
        };
        let host = |kind: LinuxNamespaceType| match kind {
            LinuxNamespaceType::Network => prepared.network == t::Namespace::Host,
            LinuxNamespaceType::Ipc => prepared.ipc == t::Namespace::Host,
            LinuxNamespaceType::Uts => prepared.uts == t::Namespace::Host,
            LinuxNamespaceType::Pid => prepared.pid == PidMode::Host,
            _ => false,
        };
        let mut list = linux.namespaces().clone().unwrap_or_default();
        list.retain(|n| !host(n.typ()));
        linux.set_namespaces(Some(list));
        spec.set_linux(Some(linux));
        Ok(())
    }

    /// A container that lists no PID namespace of its own shares the pod's, where there is one.
    fn pod_pid(&self, spec: &Spec) -> Option<BorrowedFd<'_>> {
        let list = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
        let own = list.is_some_and(|l| l.iter().any(|n| n.typ() == LinuxNamespaceType::Pid));
        let shared = self.pod_init.as_ref().map(|init| init.namespace.as_fd());
        shared.filter(|_| !own)
    }

    fn add_begun(
        &mut self,
        to: Waiter,
        id: String,
        role: Role,
        stdin: bool,
        group: Option<Group>,
        begun: Begun,
    ) {
        self.add_task(Task {
            id,
            role,
            phase: Phase::Making(to),
            process: begun.process,
            pending: Some(begun.pending),
            held: begun.held,
            stdin,
            stdio: begun.stdio,
            group,
            rootfs: None,
            started_at: 0,
            exit: None,
            timed_out: false,
            condemned: false,
            silent: false,
            kill_again: None,
            deleting: Vec::new(),
            unmounting: false,
        });
    }
}

fn begun(pending: std::result::Result<Pending, LaunchError>, stdio: Stdio) -> Result<Begun> {
    let pending = pending.map_err(wire)?;
    let pidfd = pending.pidfd.try_clone();
    let pidfd = pidfd.map_err(|e| {
        // Nobody would reap it.
        let _ = process::pidfd_send_signal(&pending.pidfd, SIGKILL);
        let _ = process::wait(&pending.pidfd);
        failure::io("copy pidfd", &e)
    })?;
    Ok(Begun {
        process: Some((pending.pid, pidfd)),
        pending: Launching::BuiltIn(pending),
        stdio,
        held: None,
    })
}

fn made_by((begun, held): (crate::runtime::begin::Begun, Held)) -> Begun {
    Begun {
        pending: begun.launching,
        process: None,
        stdio: begun.stdio,
        held: Some(held),
    }
}
