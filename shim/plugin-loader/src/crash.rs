//! The mark on disk that names the calls in flight, and the handler that says which of them crashed.
//!
//! One file of fixed slots, one per thread in a call, written with one `pwrite` and no sync: it need survive the
//! process, not the machine. A fault (SEGV, BUS, ILL, FPE, ABRT, TRAP, SYS) on a thread inside a call flags that thread's
//! slot and is then passed on, and so does a plugin that calls `exit`; so `kill -9` of the daemon with calls in flight is not held against any plugin.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

const SLOT: u64 = 256;
const SIGNALS: [Signal; 7] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// First byte of a slot that is in use.
const IN_FLIGHT: u8 = b'.';
/// First byte of a slot whose thread crashed.
const CRASHED: u8 = b'!';

/// The mark's descriptor, for the handler; -1 before [`Mark::install`].
static FILE: AtomicI32 = AtomicI32::new(-1);
static PREVIOUS: Mutex<Vec<(Signal, SigAction)>> = Mutex::new(Vec::new());
static INSTALLED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Slot of the call this thread is in; -1 is none. Constant and without a destructor: a handler may read it.
    static CURRENT: Cell<i64> = const { Cell::new(-1) };
}

/// A call that was in flight when the last process on this file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What [`Mark::enter`] was told.
    pub what: String,
    /// The process died of a fault inside this call; otherwise it was killed from outside.
    pub crashed: bool,
}

/// The mark of this process.
#[derive(Debug)]
pub struct Mark {
    file: File,
    /// Slots that are taken.
    taken: Mutex<Vec<bool>>,
}

impl Mark {
    /// Opens the mark file, answers what the last process left in it, and empties it.
    ///
    /// # Errors
    /// When the file cannot be opened, read or emptied.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Left>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let len =
            usize::try_from(file.metadata()?.len().min(SLOT * 65536)).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        let left = bytes
            .chunks(usize::try_from(SLOT).map_err(io::Error::other)?)
            .filter_map(slot)
            .collect();
        file.set_len(0)?;
        Ok((
            Self {
                file,
                taken: Mutex::default(),
            },
            left,
        ))
    }

    /// Makes faults inside of calls flag their slot. Once per process; the file stays open for good.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated or a handler cannot be set.
    pub fn install(&self) -> io::Result<()> {
        // A second host in one process (tests) takes over the file; the handlers are the same.
        let old = FILE.swap(self.file.try_clone()?.into_raw_fd(), Ordering::SeqCst);
        if old >= 0 {
            // SAFETY: it was our duplicate, made by an earlier call, and the handler no longer sees it.
            drop(unsafe { OwnedFd::from_raw_fd(old) });
        }
        if INSTALLED.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let action = SigAction::new(
            SigHandler::SigAction(faulted),
            SaFlags::SA_ONSTACK | SaFlags::SA_SIGINFO,
            SigSet::empty(),
        );
        // SAFETY: the handler only makes calls that are fit for a signal handler, let alone here.
        if unsafe { libc::atexit(exits) } != 0 {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut previous = PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner);
        for signal in SIGNALS {
            // SAFETY: the handler only makes calls that signal-safety(7) allows.
            let old = unsafe { sigaction(signal, &action) }.map_err(io::Error::from)?;
            previous.push((signal, old));
        }
        Ok(())
    }

    /// Marks that this thread enters a call; until the answer is dropped, on the same thread.
    ///
    /// A mark that cannot be written (a full disk) is not worth failing the call for.
    pub fn enter(&self, what: &str) -> Entered<'_> {
        let index = {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            let free = taken.iter().position(|taken| !taken);
            let index = free.unwrap_or_else(|| {
                taken.push(false);
                taken.len() - 1
            });
            taken[index] = true;
            index
        };
        let offset = index as u64 * SLOT;
        let mut bytes = [0; SLOT as usize];
        let text = what.as_bytes();
        let len = text.len().min(bytes.len() - 1);
        bytes[0] = IN_FLIGHT;
        bytes[1..=len].copy_from_slice(&text[..len]);
        let _ = self.file.write_all_at(&bytes, offset);
        CURRENT.set(i64::try_from(offset).unwrap_or(-1));
        Entered { mark: self, index }
    }
}

fn slot(bytes: &[u8]) -> Option<Left> {
    let (state, text) = bytes.split_first()?;
    let crashed = match *state {
        IN_FLIGHT => false,
        CRASHED => true,
        _ => return None,
    };
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    Some(Left {
        what: String::from_utf8_lossy(&text[..end]).into_owned(),
        crashed,
    })
}

/// This thread is in a call.
#[derive(Debug)]
pub struct Entered<'a> {
    mark: &'a Mark,
    index: usize,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(-1);
        let _ = self.mark.file.write_all_at(&[0], self.index as u64 * SLOT);
        self.mark
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)[self.index] = false;
    }
}

/// Somebody called `exit`: inside of a call that was the plugin, which must not.
extern "C" fn exits() {
    flag();
}

/// Flags this thread's slot, if it is in a call. Async-signal-safe.
fn flag() {
    // In `exit` the thread's locals may be gone already.
    let offset = CURRENT.try_with(Cell::get).unwrap_or(-1);
    let file = FILE.load(Ordering::SeqCst);
    if offset >= 0 && file >= 0 {
        // SAFETY: pwrite(2) is async-signal-safe; the byte is static.
        unsafe { libc::pwrite(file, [CRASHED].as_ptr().cast(), 1, offset) };
    }
}

extern "C" fn faulted(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    flag();
    let Ok(signal) = Signal::try_from(signal) else {
        return;
    };
    // Back to what was there before (the Rust runtime's message for a stack overflow, or the default), and again: a
    // faulting instruction by returning, a signal that was sent by raising it anew. `try_lock`: a handler must not wait.
    let previous = PREVIOUS
        .try_lock()
        .ok()
        .and_then(|all| all.iter().find(|(s, _)| *s == signal).map(|(_, a)| *a));
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: sets what was set before us, or the default.
    let _ = unsafe { sigaction(signal, &previous.unwrap_or(default)) };
    // SAFETY: SA_SIGINFO hands over a valid pointer.
    if unsafe { (*info).si_code } <= 0 {
        let _ = raise(signal);
    }
}
