//! Making and starting containers and execs by the OCI runtime, whose child does everything slow.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use gantry_logs::{Format, LogWriter, Rotation};
use gantry_oci::{
    ExecLaunch, FailureKind, Join, Launch, LaunchError, MountDesc, Pending, Placement, Progress,
    Ready, Rootfs,
};
use gantry_supervisor_proto::files;
use gantry_supervisor_proto::types::{self as t, Exit, Log, Pid, PidMode, Time};
use gantry_supervisor_proto::{ErrorKind, WireError};
use gantry_sys::cgroup::Group;
use oci_spec::runtime::{LinuxNamespaceType, LinuxSeccomp, Process, Spec};

use crate::stdio::Stdio;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Role, Task, Waiter};

type Result<T> = std::result::Result<T, WireError>;

/// A task whose child has been cloned.
struct Begun {
    pending: Pending,
    pidfd: OwnedFd,
    stdio: Stdio,
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
        save_seccomp(&self.folder, &body.id, &spec)?;
        let slot = files::make_exit_slot(&self.folder, &body.id).map_err(|e| {
            WireError::internal(format!("make exit slot of container {}: {e}", body.id))
        })?;
        let begun = self.begin_container(&body, &spec, &group, log);
        let begun = begun.inspect_err(|_| {
            files::remove_exit_slot(&self.folder, &body.id);
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
            rootfs: Rootfs::Mounts(&mounts),
            stdio: streams(theirs.as_ref(), spec.process().as_ref()),
            join: Join {
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
        let seccomp = load_seccomp(&self.folder, &target.id)?;
        let mut stdio = Stdio::new(None, true);
        let theirs = self.streams(&mut stdio, body.terminal, body.stdin)?;
        let launch = ExecLaunch {
            process: &process,
            target: pidfd.as_fd(),
            seccomp: seccomp.as_ref(),
            stdio: streams(theirs.as_ref(), Some(&process)),
            group: group.as_ref(),
        };
        let begun = begun(gantry_oci::exec(&launch), stdio)?;
        let role = Role::Exec {
            container,
            timeout_ms: body.timeout_ms,
            maker: to.connection,
            deadline: None,
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

    fn streams(
        &self,
        stdio: &mut Stdio,
        terminal: bool,
        stdin: bool,
    ) -> Result<Option<crate::stdio::Theirs>> {
        if terminal {
            return Ok(None);
        }
        let pipes = stdio.pipes(stdin);
        pipes
            .map(Some)
            .map_err(|e| WireError::internal(format!("make pipes: {e}")))
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
        let pid = begun.pending.pid;
        self.add_task(Task {
            id,
            role,
            phase: Phase::Making(to),
            process: Some((pid, begun.pidfd)),
            pending: Some(begun.pending),
            stdin,
            stdio: begun.stdio,
            group,
            rootfs: None,
            started_at: 0,
            exit: None,
            timed_out: false,
            silent: false,
            kill_again: None,
            deleting: Vec::new(),
            unmounting: false,
        });
    }

    /// Lets a made task go; answered when it has executed.
    pub(crate) fn start(&mut self, to: Waiter, id: &str, container: bool) -> Result<()> {
        let key = if container {
            self.container(id)?
        } else {
            self.exec(id)?
        };
        let task = self.tasks.get_mut(&key).expect("the key was just found");
        match (&task.phase, &mut task.pending) {
            (Phase::Made, Some(pending)) => {
                pending.go().map_err(wire)?;
                task.phase = Phase::Starting(to);
                Ok(())
            }
            (Phase::Making(_), _) => Err(WireError::conflict(format!(
                "{} is being made",
                task.name()
            ))),
            (Phase::Running | Phase::Starting(_), _) => Err(WireError::new(
                ErrorKind::NotModified,
                format!("{} runs already", task.name()),
            )),
            _ => Err(WireError::conflict(format!("{} has ended", task.name()))),
        }
    }

    /// A child has said something.
    pub(crate) fn report_ready(&mut self, key: u32) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        let Some(pending) = &mut task.pending else {
            return;
        };
        match (pending.poll(), &task.phase) {
            (Ok(Progress::Waiting), _) => {}
            (Ok(Progress::Place), _) => {
                // Only asked for where somebody else places processes, which is not served here.
                let _ = pending.placed();
            }
            (Ok(Progress::Ready(ready)), Phase::Making(to)) => {
                let to = *to;
                self.made(key, to, ready);
            }
            (Ok(Progress::Running), Phase::Starting(to)) => {
                let to = *to;
                self.started(key, to);
            }
            (_, Phase::Made) => {
                // It died while blocked; its end is told when it is reaped.
                task.pending = None;
            }
            (Ok(_), _) => self.failed(
                key,
                &LaunchError {
                    kind: FailureKind::System,
                    message: "its first process died before it was ready".to_owned(),
                    errno: 0,
                },
            ),
            (Err(error), _) => self.failed(key, &error),
        }
    }

    fn made(&mut self, key: u32, to: Waiter, ready: Ready) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        task.rootfs = ready.rootfs;
        if let Some(console) = ready.console
            && let Err(e) = task.stdio.take_terminal(console, task.stdin)
        {
            let message = format!("take terminal: {e}");
            let kind = FailureKind::System;
            return self.failed(
                key,
                &LaunchError {
                    kind,
                    message,
                    errno: 0,
                },
            );
        }
        task.phase = Phase::Made;
        let pid = task.pid();
        self.write_state();
        self.answer(to, Ok(Pid { pid }));
    }

    fn started(&mut self, key: u32, to: Waiter) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        task.pending = None;
        task.phase = Phase::Running;
        task.started_at = gantry_logs::clock::now();
        let (pid, at) = (task.pid(), task.started_at);
        if let Role::Exec {
            timeout_ms,
            deadline,
            ..
        } = &mut task.role
        {
            let limit = Duration::from_millis(*timeout_ms);
            *deadline = (*timeout_ms > 0).then(|| Instant::now() + limit);
            return self.answer(to, Ok(Pid { pid }));
        }
        self.write_state();
        self.answer(to, Ok(Time { at }));
    }

    /// A child could not do it: answered now, forgotten (or, for a container that was made, kept as ended) when reaped.
    fn failed(&mut self, key: u32, error: &LaunchError) {
        let task = self.tasks.get_mut(&key).expect("the caller has it");
        task.pending = None;
        task.silent = true;
        let answer = wire(error.clone());
        let to = match task.phase {
            Phase::Making(to) => Some(to),
            Phase::Starting(to) => {
                task.exit = Some(Exit {
                    code: error.kind.docker_exit_code(),
                    at: gantry_logs::clock::now(),
                    ..Exit::default()
                });
                Some(to)
            }
            _ => None,
        };
        // Whatever it still does, it ends now.
        if let Some((_, pidfd)) = &task.process {
            let _ = gantry_sys::process::pidfd_send_signal(pidfd, nix::libc::SIGKILL);
        }
        if let Some(to) = to {
            self.answer::<t::Nothing>(to, Err(answer));
        }
    }
}

fn parse_spec(body: &t::Create) -> Result<Spec> {
    let mut spec: Spec = serde_json::from_str(&body.config).map_err(|e| {
        WireError::invalid(format!("read configuration of container {}: {e}", body.id))
    })?;
    if body.rootfs_readonly {
        let mut root = spec.root().clone().unwrap_or_default();
        root.set_readonly(Some(true));
        spec.set_root(Some(root));
    }
    Ok(spec)
}

/// The filter is needed again for each exec: kept in a file, since parsed it is larger than the rest of us.
fn save_seccomp(folder: &Path, id: &str, spec: &Spec) -> Result<()> {
    let path = folder.join(format!("{id}.seccomp"));
    let failed = |e: std::io::Error| WireError::internal(format!("write {}: {e}", path.display()));
    match spec.linux().as_ref().and_then(|l| l.seccomp().as_ref()) {
        Some(seccomp) => {
            let text = serde_json::to_vec(seccomp).map_err(|e| failed(e.into()))?;
            std::fs::write(&path, text).map_err(failed)
        }
        None => Ok(()),
    }
}

fn load_seccomp(folder: &Path, id: &str) -> Result<Option<LinuxSeccomp>> {
    let path = folder.join(format!("{id}.seccomp"));
    let failed = |e: std::io::Error| WireError::internal(format!("read {}: {e}", path.display()));
    match std::fs::read(&path) {
        // Without the filter it was started with, no exec may run.
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| failed(e.into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

fn open_log(log: &Log) -> Result<Option<LogWriter>> {
    let (path, format, rotation) = match log {
        Log::None => return Ok(None),
        Log::Cri { path } => (path, Format::Cri, Rotation::default()),
        Log::JsonFile {
            path,
            max_size,
            max_files,
        } => {
            let (max_size, max_files) = (*max_size, *max_files);
            (
                path,
                Format::JsonFile,
                Rotation {
                    max_size,
                    max_files,
                },
            )
        }
    };
    LogWriter::open(Path::new(path), format, rotation)
        .map(Some)
        .map_err(|e| WireError::internal(format!("open log {path}: {e}")))
}

fn streams<'a>(
    theirs: Option<&'a crate::stdio::Theirs>,
    process: Option<&Process>,
) -> gantry_oci::Stdio<'a> {
    match theirs {
        Some(fds) => gantry_oci::Stdio::Streams(fds.each_ref().map(AsFd::as_fd)),
        None => {
            let size = process.and_then(Process::console_size);
            let part = |n: u64| u16::try_from(n).unwrap_or(0);
            gantry_oci::Stdio::Terminal {
                rows: size.as_ref().map_or(0, |s| part(s.height())),
                cols: size.as_ref().map_or(0, |s| part(s.width())),
            }
        }
    }
}

fn begun(pending: std::result::Result<Pending, LaunchError>, stdio: Stdio) -> Result<Begun> {
    let pending = pending.map_err(wire)?;
    let pidfd = pending.pidfd.try_clone();
    let pidfd = pidfd.map_err(|e| WireError::internal(format!("copy pidfd: {e}")))?;
    Ok(Begun {
        pending,
        pidfd,
        stdio,
    })
}

fn mount(from: &t::Mount) -> MountDesc {
    MountDesc {
        kind: from.kind.clone(),
        source: from.source.clone(),
        options: from.options.clone(),
        lower: from.lower.clone(),
        upper: from.upper.clone(),
        work: from.work.clone(),
    }
}

fn wire(error: LaunchError) -> WireError {
    let kind = match error.kind {
        FailureKind::CommandNotFound => ErrorKind::CommandNotFound,
        FailureKind::NotExecutable | FailureKind::Cwd => ErrorKind::CommandNotExecutable,
        FailureKind::User | FailureKind::InvalidSpec | FailureKind::MountSource => {
            ErrorKind::InvalidArgument
        }
        FailureKind::Unsupported => ErrorKind::Unimplemented,
        FailureKind::Gone => ErrorKind::Conflict,
        _ => ErrorKind::Internal,
    };
    WireError::new(kind, error.message)
}
