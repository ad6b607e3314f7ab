//! `create` and `start` in two calls: between them a small process keeps the blocked container, and after the start
//! it reaps it.

use super::args::Args;
use super::launch::{Bundle, advance, poststart, read_spec, until_ready, write_pid};
use super::log::Log;
use super::state::Store;
use super::terminal;
use crate::error::{FailureKind, LaunchError, Result};
use crate::pending::Pending;
use gantry_sys::namespace::{self, Forked};
use gantry_sys::{fdpass, process};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// Makes the container and leaves it blocked with a keeper.
pub(super) fn create(store: &Store, args: &Args, log: &Log) -> Result<i32> {
    let dir = args.path("bundle").unwrap_or_else(|| ".".into());
    let bundle = Bundle::open(&dir, &store.id)?;
    if bundle.terminal() != args.has("console-socket") {
        return Err(LaunchError::spec(
            "a process with a terminal wants --console-socket, and no other does",
        ));
    }
    store.claim()?;
    let (ours, theirs) = crate::create::report_pair()?;
    match namespace::fork(0, None)? {
        Forked::Child => {
            drop(ours);
            let _ = nix::unistd::setsid();
            keep(store, &bundle, args, log, theirs);
            process::exit_now(0)
        }
        Forked::Parent(..) => drop(theirs),
    }
    let outcome = answer(&ours);
    if outcome.is_err() {
        bundle.undo(store, log);
    }
    outcome.map(|()| 0)
}

/// Waits for one answer: a byte `k`, or an error as JSON.
fn answer(socket: &OwnedFd) -> Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut buffer = vec![0; crate::pending::PACKET];
    let _ = poll(
        &mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)],
        PollTimeout::NONE,
    );
    let got = fdpass::recv(socket, &mut buffer)?;
    match &buffer[..got.len] {
        b"k" => Ok(()),
        text => Err(serde_json::from_slice(text).unwrap_or_else(|_| {
            LaunchError::new(FailureKind::Gone, "the container's keeper is gone")
        })),
    }
}

fn say(socket: &OwnedFd, outcome: &Result<()>) {
    let text = match outcome {
        Ok(()) => b"k".to_vec(),
        Err(e) => serde_json::to_vec(e).unwrap_or_default(),
    };
    let _ = fdpass::send(socket, &text, &[]);
}

/// The keeper's whole life.
fn keep(store: &Store, bundle: &Bundle, args: &Args, log: &Log, creator: OwnedFd) {
    let made = make(store, bundle, args, log);
    say(&creator, &made.as_ref().map(|_| ()).map_err(Clone::clone));
    drop(creator);
    let Ok((mut pending, listener)) = made else {
        return;
    };
    // A container killed before its start never connects: then the pidfd ends this wait.
    if let Some(caller) = next_caller(&listener, &pending) {
        let _ = std::fs::remove_file(store.socket());
        let started = pending
            .go()
            .and_then(|()| advance(&mut pending).map(|_| ()));
        say(&caller, &started);
    }
    let _ = std::fs::remove_file(store.socket());
    let _ = process::wait(&pending.pidfd);
}

fn make(store: &Store, bundle: &Bundle, args: &Args, log: &Log) -> Result<(Pending, OwnedFd)> {
    let mut pending = bundle.create(&store.id)?;
    let made = offer(store, bundle, args, log, &mut pending);
    // Nobody would ever let it go.
    if made.is_err() {
        let _ = process::pidfd_send_signal(&pending.pidfd, libc::SIGKILL);
        let _ = process::wait(&pending.pidfd);
    }
    made.map(|listener| (pending, listener))
}

/// Waits until the container is ready and opens the door for its start.
fn offer(
    store: &Store,
    bundle: &Bundle,
    args: &Args,
    log: &Log,
    pending: &mut Pending,
) -> Result<OwnedFd> {
    let ready = until_ready(pending, log)?;
    if let (Some(path), Some(console)) = (args.path("console-socket"), &ready.console) {
        terminal::hand_over(&path, console)?;
    }
    let system = |what: &'static str| move |e| LaunchError::from(gantry_sys::Error::new(what, e));
    let listener = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    );
    let listener = listener.map_err(system("make start socket"))?;
    let address = UnixAddr::new(&store.socket()).map_err(system("name start socket"))?;
    bind(listener.as_raw_fd(), &address).map_err(system("bind start socket"))?;
    listen(&listener, Backlog::new(1).unwrap_or(Backlog::MAXCONN))
        .map_err(system("listen on start socket"))?;
    bundle.record(store, pending.pid)?;
    write_pid(args, pending.pid)?;
    Ok(listener)
}

fn next_caller(listener: &OwnedFd, pending: &Pending) -> Option<OwnedFd> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut fds = [
        PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        PollFd::new(pending.pidfd.as_fd(), PollFlags::POLLIN),
    ];
    poll(&mut fds, PollTimeout::NONE).ok()?;
    if !fds[0].any().unwrap_or(false) {
        return None;
    }
    fdpass::accept(listener).ok()
}

/// Lets a created container go.
pub(super) fn start(store: &Store, log: &Log) -> Result<i32> {
    store.load()?;
    let socket_fd = socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .map_err(|e| gantry_sys::Error::new("make socket", e))?;
    let address = UnixAddr::new(&store.socket())
        .map_err(|e| gantry_sys::Error::new("name start socket", e))?;
    connect(socket_fd.as_raw_fd(), &address).map_err(|e| LaunchError {
        kind: FailureKind::System,
        message: format!(
            "container {:?} is not in state created: {}",
            store.id,
            e.desc()
        ),
        errno: e as i32,
    })?;
    answer(&socket_fd)?;
    let (spec, _) = read_spec(&store.config())?;
    poststart(store, spec.hooks().as_ref(), log);
    Ok(0)
}
