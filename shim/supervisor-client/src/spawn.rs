//! Starting a supervisor: its folder, its lock, its pipe, its socket, then the process, then its namespaces.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gantry_model::call::Call;
use gantry_model::supervisor::{SandboxLaunch, SupervisorEvent};
use gantry_model::{Error, Result};
use gantry_supervisor_proto::Request;
use gantry_supervisor_proto::files::{self, LOCK, LOG, SOCKET};
use gantry_supervisor_proto::types::Nothing;
use tokio::sync::mpsc;

use crate::link::Link;
use crate::service::{Config, blocking};
use crate::shim::Shim;
use crate::{convert, discard};

/// A process that was started.
struct Born {
    pid: i32,
    pidfd: OwnedFd,
    birth: OwnedFd,
}

type Handle = (Arc<Shim>, mpsc::UnboundedReceiver<SupervisorEvent>);

/// Starts one and waits for its namespaces.
pub(crate) async fn spawn(
    config: &Arc<Config>,
    call: &Call,
    launch: &SandboxLaunch,
) -> Result<Handle> {
    let (ours, id) = (config.clone(), launch.id.clone());
    let made = blocking(move || {
        let folder = ours.folder(&id);
        gantry_fault::point("supervisor-client.spawn.before-folder")?;
        make_folder(&ours, &folder)?;
        gantry_fault::pass("supervisor-client.spawn.after-folder");
        let born = bear(&ours, &folder, id.as_str());
        born.inspect_err(|_| {
            // Nothing has run in it yet.
            let _ = discard::remove_folder(&folder);
        })
    });
    let Born { pid, pidfd, birth } = made.await?;
    let (asks, asked) = mpsc::unbounded_channel();
    let (events_tx, events) = mpsc::unbounded_channel();
    let link = Link::new(config.folder(&launch.id), pidfd, asked, events_tx)?;
    tokio::spawn(link.run());
    let shim = Arc::new(Shim {
        id: launch.id.clone(),
        pid,
        asks,
        birth: Mutex::new(Some(birth)),
    });
    let own = config.own_cgroup(&launch.id);
    let netns = config.netns_link(&launch.id).to_string_lossy().into_owned();
    let request = Request::Prepare(convert::prepare(launch, own, netns));
    match shim.ask::<Nothing>(call, request).await {
        Ok(Nothing {}) => Ok((shim, events)),
        Err(error) => {
            undo(config, call, launch, &shim).await;
            Err(error)
        }
    }
}

/// Ends what was started: the pipe's close tells it to, and what it could not clean is cleaned here.
async fn undo(config: &Arc<Config>, call: &Call, launch: &SandboxLaunch, shim: &Shim) {
    drop(
        shim.birth
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take(),
    );
    let ended = tokio::time::timeout(call.timeout, shim.asks.closed()).await;
    if ended.is_err() {
        tracing::warn!(sandbox = %launch.id, "supervisor does not end after a failed start");
        return;
    }
    if let Err(error) = discard::discard(config, call, &launch.id, &launch.cgroup).await {
        tracing::warn!(sandbox = %launch.id, %error, "clean up after a failed start");
    }
}

pub(crate) fn failed(what: &str, path: &Path) -> impl Fn(io::Error) -> Error {
    let what = format!("{what} {}", path.display());
    move |e| match e.kind() {
        io::ErrorKind::AlreadyExists => Error::already_exists(format!("{what}: {e}")),
        _ if is_limit(e.raw_os_error()) => Error::exhausted(format!("{what}: {e}")),
        _ => Error::internal(format!("{what}: {e}")),
    }
}

/// Errnos of a limit that was met.
fn is_limit(errno: Option<i32>) -> bool {
    use gantry_sys::Errno as E;
    let errno = errno.map(E::from_raw);
    matches!(
        errno,
        Some(E::EMFILE | E::ENFILE | E::EAGAIN | E::ENOMEM | E::ENOSPC | E::EDQUOT)
    )
}

#[allow(clippy::needless_pass_by_value)] // stands in map_err
fn exhausted(error: gantry_sys::Error) -> Error {
    if is_limit(Some(error.errno() as i32)) {
        Error::exhausted(format!(
            "{error}; limit met: processes, open files or memory of gantryd or the host"
        ))
    } else {
        Error::internal(error.to_string())
    }
}

fn make_folder(config: &Config, folder: &Path) -> Result<()> {
    let mut private = DirBuilder::new();
    private.mode(0o700);
    let shims = config.shims();
    private
        .recursive(true)
        .create(&shims)
        .map_err(failed("make folder", &shims))?;
    let netns = config.run.join("netns");
    let mut public = DirBuilder::new();
    public
        .recursive(true)
        .mode(0o755)
        .create(&netns)
        .map_err(failed("make folder", &netns))?;
    private
        .recursive(false)
        .create(folder)
        .map_err(failed("make folder", folder))
}

/// Forks. Descriptors of the child: null, null, its log, lock, birth pipe, listening socket. Our own copies of the lock
/// and of its end of the pipe are closed here: a lock kept by us would make a dead supervisor look alive.
fn bear(config: &Config, folder: &Path, id: &str) -> Result<Born> {
    let file = |name: &str| {
        let path = folder.join(name);
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        opened.map_err(failed("open", &path))
    };
    let lock = file(LOCK)?;
    files::lock(&lock).map_err(|e| failed("lock", folder)(e.into()))?;
    let log = file(LOG)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let null = null.map_err(failed("open", Path::new("/dev/null")))?;
    let (theirs, birth) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|e| exhausted(gantry_sys::Error::new("make birth pipe", e)))?;
    let listener = listen(folder).map_err(failed("listen in", folder))?;
    let dir = folder
        .to_str()
        .ok_or_else(|| Error::invalid("run folder's path is not UTF-8"))?;
    let args = [
        "gantry-shim",
        "run",
        "--id",
        id,
        "--dir",
        dir,
        "--lock-fd",
        "3",
        "--birth-fd",
        "4",
        "--listen-fd",
        "5",
    ];
    let fds = [
        null.as_fd(),
        null.as_fd(),
        log.as_fd(),
        lock.as_fd(),
        theirs.as_fd(),
        listener.as_fd(),
    ];
    // Nothing in a release: a supervisor's environment is empty.
    let environment: Vec<String> = gantry_fault::variables()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    gantry_fault::point("supervisor-client.spawn.before-process")?;
    let pid = gantry_sys::spawn::spawn_with(&config.program, &args, &environment, &fds)
        .map_err(exhausted)?;
    // The pid cannot have been reused: it is our child, and nobody but us reaps it.
    let pidfd = gantry_sys::process::pidfd_open(pid).map_err(|e| {
        // It cannot be watched, so it must not be; it has done nothing yet.
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        let _ = nix::sys::wait::waitpid(pid, None);
        exhausted(e)
    })?;
    gantry_fault::pass("supervisor-client.spawn.after-process");
    Ok(Born { pid, pidfd, birth })
}

/// Binds by the folder's descriptor: a socket's path may be 107 bytes long at most, a run folder's may be longer.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let dir = File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
    let listener = UnixListener::bind(&path)?;
    // The folder is 0700 already; this is for whoever opens that up.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
