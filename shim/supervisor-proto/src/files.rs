//! The files of one supervisor, `<run>/shims/<sandbox id>/`: lock, state, exit slots, socket. Both sides read them; the
//! supervisor alone writes state and exits.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, FcntlArg, fallocate, fcntl};
use serde::{Deserialize, Serialize};

use crate::types::{Exit, TaskState};

/// Lock held by the supervisor while it lives.
pub const LOCK: &str = "lock";
/// State, replaced by rename.
pub const STATE: &str = "state.json";
/// Where it listens.
pub const SOCKET: &str = "shim.sock";
/// What it has to say to people.
pub const LOG: &str = "log";
/// Bytes of an exit slot, taken from the file system before the container starts.
pub const EXIT_SLOT: usize = 512;

/// A supervisor's state as it last wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Protocol version of its writer.
    pub version: u32,
    /// The kernel's boot id; another one voids the file.
    pub boot_id: String,
    /// The sandbox.
    pub id: String,
    /// The supervisor's pid.
    pub pid: i32,
    /// It was told "committed".
    pub committed: bool,
    /// The sandbox's cgroup.
    pub cgroup: String,
    /// The supervisor's own cgroup.
    pub own_cgroup: String,
    /// The symlink to the network namespace.
    pub netns_link: String,
    /// Its containers.
    pub tasks: Vec<Task>,
}

/// One container in a [`State`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// The container.
    pub id: String,
    /// Run number.
    pub run: u32,
    /// Where it is.
    pub state: TaskState,
    /// Pid on the host, 0 when gone.
    pub pid: i32,
    /// When it was let go, nanoseconds since 1970.
    pub started_at: i64,
    /// Its end.
    pub exit: Option<Exit>,
}

/// The boot id of this boot.
///
/// # Errors
/// When /proc cannot be read.
pub fn boot_id() -> io::Result<String> {
    gantry_sys::boot::id().map_err(|e| e.errno().into())
}

/// Replaces the state in one step. Not synced: a reboot voids it anyway.
///
/// # Errors
/// The file system's.
pub fn write_state(folder: &Path, state: &State) -> io::Result<()> {
    let new = folder.join("state.json.new");
    let text = serde_json::to_vec(state)?;
    std::fs::write(&new, text)?;
    std::fs::rename(&new, folder.join(STATE))
}

/// Reads the state and lays the exit slots over it: an exit is in its slot before the state is replaced.
///
/// # Errors
/// `NotFound` when it was never written, `InvalidData` when it is damaged.
pub fn read_state(folder: &Path) -> io::Result<State> {
    let mut state: State = serde_json::from_slice(&read_limited(&folder.join(STATE))?)?;
    for task in &mut state.tasks {
        if task.exit.is_none() {
            task.exit = read_exit(folder, &task.id, task.run);
        }
        if task.exit.is_some() {
            task.state = TaskState::Exited;
            task.pid = 0;
        }
    }
    Ok(state)
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(4 << 20).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn exit_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.exit"))
}

#[derive(Serialize, Deserialize)]
struct Slot {
    run: u32,
    exit: Exit,
}

/// Makes a run's exit slot with its space taken, so that a full file system cannot lose the exit.
///
/// # Errors
/// The file system's, "no space" among them.
pub fn make_exit_slot(folder: &Path, id: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(exit_path(folder, id))?;
    match fallocate(&file, FallocateFlags::empty(), 0, EXIT_SLOT as i64) {
        Err(nix::errno::Errno::EOPNOTSUPP) => {
            crate::state_file::take_by_writing(&file, 0, EXIT_SLOT)?;
        }
        other => other?,
    }
    Ok(file)
}

/// Writes an exit into its slot.
///
/// # Errors
/// The file system's; not for want of space.
pub fn write_exit(slot: &File, run: u32, exit: &Exit) -> io::Result<()> {
    let mut text = serde_json::to_vec(&Slot {
        run,
        exit: exit.clone(),
    })?;
    text.push(b'\n');
    slot.write_all_at(&text, 0)
}

/// An exit from its slot; none when it is empty, torn or another run's.
pub fn read_exit(folder: &Path, id: &str, run: u32) -> Option<Exit> {
    let bytes = read_limited(&exit_path(folder, id)).ok()?;
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let slot: Slot = serde_json::from_slice(&bytes[..end]).ok()?;
    (slot.run == run).then_some(slot.exit)
}

/// Removes a slot.
pub fn remove_exit_slot(folder: &Path, id: &str) {
    // Gone already is as good; the folder goes with the supervisor anyway.
    let _ = std::fs::remove_file(exit_path(folder, id));
}

fn whole_file(kind: libc_types::Kind) -> nix::libc::flock {
    nix::libc::flock {
        l_type: kind,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

mod libc_types {
    //! The type of `flock::l_type`, which libc spells differently per architecture.
    pub(super) type Kind = nix::libc::c_short;
}

/// Takes the lock of an open file description (F_OFD_SETLK): it is held until the last copy of the descriptor is
/// closed, in whichever process. Hence every child of a supervisor closes it first.
///
/// # Errors
/// EAGAIN when somebody holds it.
pub fn lock(file: impl AsFd) -> nix::Result<()> {
    #[allow(clippy::unnecessary_cast)] // the constants' type differs from the field's on some libcs
    let write = nix::libc::F_WRLCK as libc_types::Kind;
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&whole_file(write))).map(drop)
}

/// Whether somebody else holds the lock, without taking it even for a moment (F_OFD_GETLK).
///
/// # Errors
/// The kernel's errno.
pub fn is_locked(file: impl AsFd) -> nix::Result<bool> {
    #[allow(clippy::unnecessary_cast)] // as above
    let (write, free) = (
        nix::libc::F_WRLCK as libc_types::Kind,
        nix::libc::F_UNLCK as libc_types::Kind,
    );
    let mut probe = whole_file(write);
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut probe))?;
    Ok(probe.l_type != free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("gantry-proto-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn an_exit_in_its_slot_counts_before_the_state_knows() {
        let dir = folder("slot");
        let state = State {
            id: "s".into(),
            tasks: vec![Task {
                id: "c".into(),
                run: 2,
                state: TaskState::Running,
                pid: 77,
                ..Task::default()
            }],
            ..State::default()
        };
        write_state(&dir, &state).unwrap();
        let slot = make_exit_slot(&dir, "c").unwrap();
        assert_eq!(read_state(&dir).unwrap(), state);
        let exit = Exit {
            code: 137,
            at: 5,
            oom: true,
            timed_out: false,
        };
        write_exit(&slot, 1, &exit).unwrap();
        assert_eq!(
            read_state(&dir).unwrap().tasks[0].exit,
            None,
            "another run's"
        );
        write_exit(&slot, 2, &exit).unwrap();
        let task = read_state(&dir).unwrap().tasks.remove(0);
        assert_eq!(
            (task.exit, task.pid, task.state),
            (Some(exit), 0, TaskState::Exited)
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_longest_exit_fits_its_slot() {
        let exit = Exit {
            code: i32::MIN,
            at: i64::MIN,
            oom: false,
            timed_out: false,
        };
        let text = serde_json::to_vec(&Slot {
            run: u32::MAX,
            exit,
        })
        .unwrap();
        assert!(text.len() < EXIT_SLOT);
    }

    #[test]
    fn a_probe_sees_the_lock_and_takes_none() {
        let dir = folder("lock");
        let open = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(dir.join(LOCK))
                .unwrap()
        };
        let (holder, prober) = (open(), open());
        assert!(!is_locked(&prober).unwrap());
        lock(&holder).unwrap();
        assert!(is_locked(&prober).unwrap());
        let copy = holder.try_clone().unwrap();
        drop(holder);
        assert!(is_locked(&prober).unwrap(), "a copy keeps it");
        drop(copy);
        assert!(!is_locked(&prober).unwrap());
        lock(open()).unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }
}
