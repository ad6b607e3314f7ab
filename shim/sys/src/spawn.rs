//! Starting a program of ours that outlives us: posix_spawn(3), which on glibc shares memory until exec (as vfork), so
//! it is quick from a large process with many threads and runs nothing of ours between fork and exec.

use crate::error::{Error, Result};
use crate::namespace::dup_above;
use crate::raw::cstr;
use nix::errno::Errno;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Descriptors of the child are numbered from 0 without a gap; copies used on the way stay above these.
const ABOVE: i32 = 100;

/// Starts `path` with `args` (the program's own name first) and an empty environment, in a session of its own, with
/// every signal at its default and none blocked. The child's descriptors are `fds`, numbered from 0; **everything
/// else is closed** in it. Returns the child's pid; it is the caller's to reap.
///
/// # Errors
/// What the fork or the exec answered; ENOSYS below glibc 2.34.
pub fn spawn(path: &Path, args: &[&str], fds: &[BorrowedFd<'_>]) -> Result<i32> {
    spawn_with(path, args, &[], fds)
}

/// The same with an environment of `NAME=value` words.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(
    path: &Path,
    args: &[&str],
    environment: &[String],
    fds: &[BorrowedFd<'_>],
) -> Result<i32> {
    let what = || format!("start {}", path.display());
    let program = cstr(path.as_os_str().as_bytes(), "start program")?;
    let args: Vec<CString> = args
        .iter()
        .map(|a| cstr(a.as_bytes(), "start program"))
        .collect::<Result<_>>()?;
    let mut argv: Vec<*mut libc::c_char> = args.iter().map(|a| a.as_ptr().cast_mut()).collect();
    argv.push(std::ptr::null_mut());
    let words: Vec<CString> = environment
        .iter()
        .map(|word| cstr(word.as_bytes(), "start program"))
        .collect::<Result<_>>()?;
    let mut environment: Vec<*mut libc::c_char> =
        words.iter().map(|w| w.as_ptr().cast_mut()).collect();
    environment.push(std::ptr::null_mut());
    // Copies far above the targets, so that no dup2 overwrites a source still needed.
    let copies: Vec<OwnedFd> = fds
        .iter()
        .map(|fd| dup_above(fd, ABOVE))
        .collect::<Result<_>>()?;
    let actions = Actions::new(&copies).map_err(|e| Error::new(what(), e))?;
    let attributes = Attributes::new().map_err(|e| Error::new(what(), e))?;
    let mut pid = 0;
    // SAFETY: all strings and both arrays (ending in null) outlive the call; actions and attributes are initialised.
    let ret = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.as_ptr(),
            actions.0.as_ptr(),
            attributes.0.as_ptr(),
            argv.as_ptr(),
            environment.as_mut_ptr(),
        )
    };
    checked(ret).map_err(|e| Error::new(what(), e))?;
    crate::descriptors::give_back(pid);
    Ok(pid)
}

/// Takes a descriptor that this process was started with, by its number, and marks it close-on-exec. Only for a
/// program's first steps, **once per number**: a second call would make two owners of one descriptor.
///
/// # Errors
/// EBADF when there is none.
pub fn inherited(number: i32) -> Result<OwnedFd> {
    // SAFETY: plain integers; fails for a number that is no open descriptor.
    let ret = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    crate::raw::check(ret.into(), || format!("take inherited descriptor {number}"))?;
    // SAFETY: it is open, and by contract nobody else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn checked(ret: i32) -> std::result::Result<(), Errno> {
    if ret == 0 {
        Ok(())
    } else {
        Err(Errno::from_raw(ret))
    }
}

struct Actions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new(fds: &[OwnedFd]) -> std::result::Result<Self, Errno> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: initialises what it is given.
        checked(unsafe { libc::posix_spawn_file_actions_init(raw.as_mut_ptr()) })?;
        let mut made = Self(raw);
        let mut count = 0;
        for fd in fds {
            // SAFETY: initialised above. dup2 clears close-on-exec of the target.
            checked(unsafe {
                libc::posix_spawn_file_actions_adddup2(made.0.as_mut_ptr(), fd.as_raw_fd(), count)
            })?;
            count += 1;
        }
        // SAFETY: initialised above.
        checked(unsafe {
            libc::posix_spawn_file_actions_addclosefrom_np(made.0.as_mut_ptr(), count)
        })?;
        Ok(made)
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: a value of this type is initialised.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

struct Attributes(MaybeUninit<libc::posix_spawnattr_t>);

impl Attributes {
    fn new() -> std::result::Result<Self, Errno> {
        let mut raw = MaybeUninit::uninit();
        // SAFETY: initialises what it is given.
        checked(unsafe { libc::posix_spawnattr_init(raw.as_mut_ptr()) })?;
        let mut made = Self(raw);
        #[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast)]
        // small; their types differ in libc
        let flags = (libc::POSIX_SPAWN_SETSIGDEF as i32
            | libc::POSIX_SPAWN_SETSIGMASK as i32
            | libc::POSIX_SPAWN_SETSID as i32) as libc::c_short;
        let mut set = MaybeUninit::uninit();
        // SAFETY: attributes are initialised above, `set` by sigfillset and sigemptyset before each use.
        unsafe {
            checked(libc::posix_spawnattr_setflags(made.0.as_mut_ptr(), flags))?;
            libc::sigfillset(set.as_mut_ptr());
            checked(libc::posix_spawnattr_setsigdefault(
                made.0.as_mut_ptr(),
                set.as_ptr(),
            ))?;
            libc::sigemptyset(set.as_mut_ptr());
            checked(libc::posix_spawnattr_setsigmask(
                made.0.as_mut_ptr(),
                set.as_ptr(),
            ))?;
        }
        Ok(made)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: a value of this type is initialised.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Exit, pidfd_open, wait};
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn the_child_has_these_descriptors_and_no_others() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let (r, w) = nix::unistd::pipe().unwrap();
        let script = "ls /proc/self/fd | tr '\\n' ' '; ps -o sid= -p $$ | tr -d ' '; env";
        let fds = [null.as_fd(), w.as_fd(), null.as_fd(), w.as_fd()];
        let pid = spawn(Path::new("/bin/sh"), &["sh", "-c", script], &fds).unwrap();
        drop(w);
        let mut text = String::new();
        std::fs::File::from(r).read_to_string(&mut text).unwrap();
        assert_eq!(
            wait(pidfd_open(pid).unwrap()).unwrap(),
            Exit::Code(0),
            "{text}"
        );
        let mut lines = text.lines();
        // 4 is the folder that ls itself reads.
        assert_eq!(lines.next().unwrap(), format!("0 1 2 3 4 {pid}"), "{text}");
        assert!(
            lines.all(|l| l.starts_with("PWD=") || l.starts_with("_=") || l.starts_with("OLDPWD=")),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_here() {
        let error = spawn(Path::new("/no/such/program"), &["x"], &[]).unwrap_err();
        assert_eq!(error.errno(), Errno::ENOENT);
    }
}
