//! The child that calls another runtime: a container's from its root file system to its start, an exec's, or one
//! command. It is a copy of a process with one thread, keeps nothing of it but what it is lent, and waits as long as
//! the runtime takes: whoever made it has a deadline and kills its cgroup.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use gantry_oci::{FailureKind, LaunchError, MountDesc, foreign};
use gantry_supervisor_proto::types::Runtime;
use gantry_sys::cgroup::{Group, Version};
use gantry_sys::mount::{self, Propagation};
use gantry_sys::{fdpass, namespace, process};
use oci_spec::runtime::{Process, Spec};

use super::bundle::{self, Joined};
use super::command::{Call, state_folder};
use super::report::Report;
use crate::stdio::Theirs;

type Result<T> = std::result::Result<T, LaunchError>;

/// What every call has.
pub(super) struct Common<'a> {
    pub(super) runtime: &'a Runtime,
    /// The supervisor's folder.
    pub(super) folder: &'a Path,
    /// The container.
    pub(super) id: &'a str,
    /// The container's bundle.
    pub(super) bundle: &'a Path,
    /// Sets its files apart from those of others.
    pub(super) work: u32,
}

/// A container to be made.
pub(super) struct Container<'a> {
    pub(super) spec: Spec,
    pub(super) mounts: &'a [MountDesc],
    pub(super) joined: &'a Joined,
    pub(super) streams: Option<Theirs>,
}

/// An exec to be made.
pub(super) struct Exec<'a> {
    pub(super) process: Process,
    /// First process of its container.
    pub(super) target: i32,
    pub(super) streams: Option<Theirs>,
    /// Name of its cgroup below its container's, and the group.
    pub(super) group: Option<(&'a str, &'a Group)>,
}

fn failed(doing: impl std::fmt::Display, error: &std::io::Error) -> LaunchError {
    LaunchError {
        kind: FailureKind::System,
        message: format!("{doing}: {error}"),
        errno: error.raw_os_error().unwrap_or(0),
    }
}

impl Common<'_> {
    fn call(&self, args: &[&str], streams: Option<Theirs>) -> Result<()> {
        let call = Call {
            runtime: self.runtime,
            folder: self.folder,
            log: self.file("log"),
        };
        call.run(args, streams)
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.bundle.join(format!("{}.{kind}", self.work))
    }

    /// A folder that is there as well is one of a run before.
    fn make_folder(path: &Path) -> Result<()> {
        let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
        made.map_err(|e| failed(format!("make folder {}", path.display()), &e))
    }

    fn write(path: &Path, value: &impl serde::Serialize) -> Result<()> {
        let write = || {
            let text = serde_json::to_vec(value)?;
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            options.open(path)?.write_all(&text)
        };
        write().map_err(|e| failed(format!("write {}", path.display()), &e))
    }

    fn pid(path: &Path) -> Result<(i32, OwnedFd)> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| failed(format!("read {}", path.display()), &e))?;
        let pid: i32 = text.trim().parse().map_err(|_| LaunchError {
            kind: FailureKind::System,
            message: format!("the runtime wrote {text:?} as a pid"),
            errno: 0,
        })?;
        // It may have ended, and is still there: it is the supervisor's child by now and nobody reaps it meanwhile.
        Ok((pid, process::pidfd_open(pid)?))
    }

    /// From nothing to a container that waits to be told to start, and on.
    fn container(&self, mut what: Container<'_>, report: &Report<'_>) -> Result<()> {
        let at = self.bundle.join("rootfs");
        Self::make_folder(&at)?;
        Self::make_folder(&state_folder(self.folder))?;
        let root = mount_privately(what.mounts, &at)?;
        bundle::fit(&mut what.spec, self.runtime, what.joined, &root, &at)?;
        let terminal = what
            .spec
            .process()
            .as_ref()
            .is_some_and(|p| p.terminal() == Some(true));
        Self::write(&self.bundle.join("config.json"), &what.spec)?;
        gantry_fault::point("supervisor.runtime.before-create")?;
        let console = terminal.then(|| Console::listen(self.bundle)).transpose()?;
        let (pid_file, bundle) = (self.file("pid"), text(self.bundle)?);
        let mut args = vec!["create", "--bundle", bundle, "--pid-file", text(&pid_file)?];
        if let Some(console) = &console {
            args.extend(["--console-socket", &console.path]);
        }
        args.push(self.id);
        self.call(&args, what.streams)?;
        gantry_fault::pass("supervisor.runtime.after-create");
        let (pid, pidfd) = Self::pid(&pid_file)?;
        let console = console.map(Console::take).transpose()?;
        report.say(
            b'R',
            Some(root.as_fd()),
            console.as_ref().map(AsFd::as_fd),
            Some((pid, pidfd.as_fd())),
        )?;
        drop((root, console, pidfd));
        if !report.wait()? {
            return Ok(());
        }
        gantry_fault::point("supervisor.runtime.before-start")?;
        self.call(&["start", self.id], None)?;
        gantry_fault::pass("supervisor.runtime.after-start");
        report.say(b'S', None, None, None)
    }

    fn exec(&self, mut what: Exec<'_>, report: &Report<'_>) -> Result<()> {
        let root = format!("/proc/{}/root", what.target);
        let root: OwnedFd = File::open(&root)
            .map_err(|e| failed("open the container's root", &e))?
            .into();
        bundle::fit_process(&mut what.process, &root)?;
        drop(root);
        let (file, pid_file) = (self.file("json"), self.file("pid"));
        Self::write(&file, &what.process)?;
        report.say(b'R', None, None, None)?;
        if !report.wait()? {
            return Ok(());
        }
        let console = match what.process.terminal() {
            Some(true) => Some(Console::listen(self.bundle)?),
            _ => None,
        };
        let sub = what
            .group
            .and_then(|(name, group)| sub_cgroup(&self.runtime.exec_cgroup, name, group));
        let mut args = vec!["exec", "--detach", "--process", text(&file)?];
        args.extend(["--pid-file", text(&pid_file)?]);
        if let Some(console) = &console {
            args.extend(["--console-socket", &console.path]);
        }
        if let Some(sub) = &sub {
            args.extend(["--cgroup", sub]);
        }
        args.push(self.id);
        gantry_fault::point("supervisor.runtime.before-exec")?;
        let done = self.call(&args, what.streams);
        gantry_fault::pass("supervisor.runtime.after-exec");
        let read = done.and_then(|()| Self::pid(&pid_file));
        for file in [&file, &pid_file] {
            // The bundle goes with the container.
            let _ = std::fs::remove_file(file);
        }
        let (pid, pidfd) = read?;
        if let (None, Some((_, group))) = (&sub, what.group) {
            gather(pid, group);
        }
        let console = console.map(Console::take).transpose()?;
        report.say(
            b'S',
            None,
            console.as_ref().map(AsFd::as_fd),
            Some((pid, pidfd.as_fd())),
        )
    }
}

/// Makes a container; comes back when it has started, or with the reason why not.
pub(super) fn container(common: &Common<'_>, what: Container<'_>, report: &Report<'_>) {
    if let Err(error) = common.container(what, report) {
        report.fail(&error);
    }
}

/// Makes an exec.
pub(super) fn exec(common: &Common<'_>, what: Exec<'_>, report: &Report<'_>) {
    if let Err(error) = common.exec(what, report) {
        report.fail(&error);
    }
}

/// One command and no more.
pub(super) fn command(common: &Common<'_>, args: &[&str], report: &Report<'_>) {
    let done = common.call(args, None);
    if let Err(error) = done.and_then(|()| report.say(b'S', None, None, None)) {
        report.fail(&error);
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| LaunchError {
        kind: FailureKind::InvalidSpec,
        message: format!("path {} is not UTF-8", path.display()),
        errno: 0,
    })
}

/// Mounts a root in a mount namespace of this child's own, so that no container mount is ever in the host's table; the
/// runtime and its container are born in there. All else stays as connected with the host as it was, for volumes.
fn mount_privately(mounts: &[MountDesc], at: &Path) -> Result<OwnedFd> {
    namespace::unshare(namespace::MOUNT)?;
    let place = std::fs::canonicalize(at).map_err(|e| failed("find the bundle", &e))?;
    let table = mount::table()?;
    let over = table
        .iter()
        .filter(|m| place.starts_with(&m.target))
        .max_by_key(|m| m.target.len())
        .map_or("/", |m| m.target.as_str());
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(nix::libc::O_PATH);
        let opened = options.open(path);
        opened.map_err(|e| failed(format!("open {}", path.display()), &e))
    };
    mount::set_propagation(open(Path::new(over))?, Propagation::Private, false)?;
    gantry_fault::point("supervisor.runtime.before-mount")?;
    let root = foreign::root(mounts)?;
    mount::set_propagation(&root, Propagation::Private, true)?;
    mount::attach(&root, open(&place)?)?;
    gantry_fault::pass("supervisor.runtime.after-mount");
    Ok(root)
}

/// Where a runtime sends the master of a terminal it has made.
struct Console {
    listener: UnixListener,
    /// Held: the path leads through it, as a socket's may be 107 bytes long at most.
    _folder: File,
    path: String,
    file: PathBuf,
}

impl Console {
    fn listen(bundle: &Path) -> Result<Self> {
        let name = format!("{}.tty", std::process::id());
        let file = bundle.join(&name);
        let make = || {
            let folder = File::open(bundle)?;
            let path = format!(
                "/proc/{}/fd/{}/{name}",
                std::process::id(),
                folder.as_raw_fd()
            );
            let listener = UnixListener::bind(&path)?;
            Ok(Self {
                listener,
                _folder: folder,
                path,
                file: file.clone(),
            })
        };
        make().map_err(|e| failed("listen for the terminal", &e))
    }

    fn take(self) -> Result<OwnedFd> {
        let socket = fdpass::accept(&self.listener)?;
        // The bundle goes with the container.
        let _ = std::fs::remove_file(&self.file);
        let mut name = [0; 4096];
        let mut got = fdpass::recv(&socket, &mut name)?;
        got.fds.pop().ok_or_else(|| LaunchError {
            kind: FailureKind::System,
            message: "the runtime sent no terminal".to_owned(),
            errno: 0,
        })
    }
}

/// How this runtime is told to place an exec; `None` when it cannot be.
fn sub_cgroup(how: &str, name: &str, group: &Group) -> Option<String> {
    match (how, group.version()) {
        ("controller", Version::V1) => {
            let at = group.controllers().find(|c| *c == "pids");
            let controller = at.or_else(|| group.controllers().next())?;
            Some(format!("{controller}:{name}"))
        }
        ("controller" | "plain", Version::V2) => Some(name.to_owned()),
        _ => None,
    }
}

/// Moves an exec's processes, which the runtime has left among the container's, into its own group; best effort, a
/// process that forks all the time is killed with its container only.
fn gather(pid: i32, group: &Group) {
    let Some(file) = group.dir("pids").map(|dir| dir.join("cgroup.procs")) else {
        return;
    };
    let mut seen = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        // One that has ended needs no group.
        let open = OpenOptions::new().write(true).open(&file);
        let _ = open.and_then(|mut f| f.write_all(pid.to_string().as_bytes()));
        seen.push(pid);
        let children = format!("/proc/{pid}/task/{pid}/children");
        let list = std::fs::read_to_string(children).unwrap_or_default();
        let new = list.split_whitespace().filter_map(|p| p.parse().ok());
        next.extend(new.filter(|p| !seen.contains(p)));
    }
}
