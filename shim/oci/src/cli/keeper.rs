//! `create` and `start` in two calls: between them a small process keeps the blocked container, and after the start
//! it reaps it.

use super::launch::{Bundle, advance, write_pid};
use super::state::Store;
use crate::error::{FailureKind, LaunchError, Result};
use crate::pending::{Pending, Progress};
use gantry_sys::namespace::{self, Forked};
use gantry_sys::{fdpass, process};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Makes the container and leaves it blocked with a keeper.
pub(super) fn create(store: &Store, dir: &Path, pid_file: Option<&Path>) -> Result<i32> {
    let bundle = Bundle::open(dir, &store.id)?;
    store.claim()?;
    let (ours, theirs) = crate::create::report_pair()?;
    match namespace::fork(0, None)? {
        Forked::Child => {
            drop(ours);
            let _ = nix::unistd::setsid();
            keep(store, &bundle, pid_file, theirs);
            process::exit_now(0)
        }
        Forked::Parent(..) => drop(theirs),
    }
    let outcome = answer(&ours);
    if outcome.is_err() {
        let _ = super::state::remove_group(&bundle.group);
        store.forget();
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
fn keep(store: &Store, bundle: &Bundle, pid_file: Option<&Path>, creator: OwnedFd) {
    let made = make(store, bundle, pid_file);
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

fn make(store: &Store, bundle: &Bundle, pid_file: Option<&Path>) -> Result<(Pending, OwnedFd)> {
    let mut pending = bundle.create(&store.id)?;
    if !matches!(advance(&mut pending)?, Progress::Ready(_)) {
        return Err(LaunchError::new(
            FailureKind::System,
            "container child spoke out of turn",
        ));
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
    store.save(&bundle.state(&store.id, pending.pid)?)?;
    write_pid(pid_file, pending.pid)?;
    Ok((pending, listener))
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
pub(super) fn start(store: &Store) -> Result<i32> {
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
    answer(&socket_fd).map(|()| 0)
}
