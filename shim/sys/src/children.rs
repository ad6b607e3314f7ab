//! What becomes of a process's ended children when it never asks for them.

/// Lets the kernel reap ended children of this process at once (SIGCHLD ignored on purpose, wait(2) NOTES). Unlike a
/// handler this survives exec, so a program that does nothing at all can be the init of a PID namespace.
pub fn reap_by_kernel() {
    // SAFETY: SIG_IGN is no function of ours; SIGCHLD may be ignored.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}
