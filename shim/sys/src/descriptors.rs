//! The limit of open descriptors: a daemon wants all it may have, what it starts wants what it was given itself.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Error, Result};

/// Soft and hard limit as this process was started with, if it has raised its own.
static BEFORE: OnceLock<(u64, u64)> = OnceLock::new();

/// Raises the soft limit of this process to the hard one and answers it. Supervisors that [`crate::spawn::spawn`]
/// starts are given the old one back: a program in a container that closes every descriptor up to its limit, or uses
/// select(2), would suffer from a high one.
///
/// # Errors
/// What the kernel says; the limit stays as it was.
pub fn raise() -> Result<u64> {
    let what = Resource::RLIMIT_NOFILE;
    let (soft, hard) =
        getrlimit(what).map_err(|e| Error::new("read the limit of descriptors", e))?;
    if soft < hard {
        setrlimit(what, hard, hard).map_err(|e| Error::new("raise the limit of descriptors", e))?;
        let _ = BEFORE.set((soft, hard));
    }
    Ok(hard)
}

/// Gives a child the limits this process was started with. One that has ended meanwhile needs none.
pub(crate) fn give_back(pid: i32) {
    if let Some(&(rlim_cur, rlim_max)) = BEFORE.get() {
        let limit = libc::rlimit { rlim_cur, rlim_max };
        // SAFETY: reads one structure that outlives the call; asks for no old value.
        unsafe {
            libc::prlimit(
                pid,
                libc::RLIMIT_NOFILE,
                &raw const limit,
                std::ptr::null_mut(),
            )
        };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    #[test]
    fn a_child_has_the_limit_we_were_started_with() {
        let own = || nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
        let (soft, hard) = own().unwrap();
        assert_eq!(super::raise().unwrap(), hard);
        assert_eq!(own().unwrap(), (hard, hard));
        // It reads a line first, so that it looks only after it was given its limit.
        let (go, ours) = nix::unistd::pipe().unwrap();
        let (r, w) = nix::unistd::pipe().unwrap();
        let script = ["sh", "-c", "read x; ulimit -Sn"];
        let fds = [go.as_fd(), w.as_fd()];
        let pid = crate::spawn::spawn(std::path::Path::new("/bin/sh"), &script, &fds).unwrap();
        drop(w);
        nix::unistd::write(&ours, b"go\n").unwrap();
        let text = std::io::read_to_string(std::fs::File::from(r)).unwrap();
        crate::process::wait(crate::process::pidfd_open(pid).unwrap()).unwrap();
        assert_eq!(text.trim(), soft.to_string());
    }
}
