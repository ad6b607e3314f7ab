//! The tiny init that holds a PID namespace shared by a pod.
//!
//! It is a program of a few instructions in a sealed memfd: it sleeps, and the kernel reaps its orphans. Whoever looks
//! at `/proc/1` from inside finds an empty root, no descriptor, no capability and none of our binaries.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use gantry_supervisor_proto::{ErrorKind, WireError};
use gantry_sys::mount::{self, Propagation};
use gantry_sys::namespace::{self, Forked};
use gantry_sys::process::{self, exit_now};
use gantry_sys::{caps, children};
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::namespaces::Namespaces;

/// Address the program is loaded at, and sizes of an ELF header with one program header.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// ELF machine number and the endless sleep in its instructions.
#[cfg(target_arch = "x86_64")]
const PROGRAM: Option<(u16, &[u8])> = Some((
    62,
    // mov eax, SYS_pause; syscall; jmp to the mov
    &[0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7],
));
#[cfg(target_arch = "aarch64")]
const PROGRAM: Option<(u16, &[u8])> = Some((
    183,
    // mov x0..x3, 0; mov x8, SYS_ppoll; svc 0; b to the first mov
    &[
        0, 0, 0x80, 0xd2, 1, 0, 0x80, 0xd2, 2, 0, 0x80, 0xd2, 3, 0, 0x80, 0xd2, 0x28, 0x09, 0x80,
        0xd2, 1, 0, 0, 0xd4, 0xfa, 0xff, 0xff, 0x17,
    ],
));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const PROGRAM: Option<(u16, &[u8])> = None;

/// A running init.
#[derive(Debug)]
pub(crate) struct PodInit {
    pidfd: OwnedFd,
    /// The namespace it holds.
    pub(crate) namespace: OwnedFd,
}

impl PodInit {
    /// Starts it in the sandbox's other namespaces. Waits until it executes, which takes about a millisecond.
    ///
    /// # Errors
    /// The kernel's, or `Unimplemented` on a machine its few instructions are not written for.
    pub(crate) fn start(namespaces: &Namespaces) -> Result<Self, WireError> {
        let failed = |e: gantry_sys::Error| {
            WireError::internal(format!("start the pod's init process: {e}"))
        };
        let image = image().ok_or_else(|| {
            WireError::new(
                ErrorKind::Unimplemented,
                "a PID namespace shared by the pod is not served on this machine's architecture",
            )
        })?;
        let program =
            sealed(&image).map_err(|e| failed(gantry_sys::Error::new("make memfd", e)))?;
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)
            .map_err(|e| failed(gantry_sys::Error::new("make pipe", e)))?;
        match namespace::fork(namespace::PID | namespace::MOUNT, None).map_err(failed)? {
            Forked::Child => {
                let Err(error) = become_init(namespaces, &program, &write);
                // The parent reads what there is; nothing is to be done if it has gone.
                let _ = nix::unistd::write(&write, error.to_string().as_bytes());
                exit_now(1)
            }
            Forked::Parent(pid, pidfd) => {
                drop(write);
                let mut text = String::new();
                let told = std::io::Read::read_to_string(&mut std::fs::File::from(read), &mut text);
                if told.is_err() || !text.is_empty() {
                    let _ = process::wait(&pidfd);
                    return Err(WireError::internal(format!(
                        "start the pod's init process: {text}"
                    )));
                }
                let namespace = namespace::of_process(pid, namespace::PID).map_err(failed)?;
                Ok(Self { pidfd, namespace })
            }
        }
    }

    /// Kills it, and with it whatever is left in its namespace; returns when it is reaped.
    pub(crate) fn end(self) {
        // Gone already is as good.
        let _ = process::pidfd_send_signal(&self.pidfd, nix::libc::SIGKILL);
        let _ = process::wait(&self.pidfd);
    }
}

fn become_init(
    namespaces: &Namespaces,
    program: &OwnedFd,
    report: &OwnedFd,
) -> gantry_sys::Result<std::convert::Infallible> {
    process::set_undumpable()?;
    // Without a session of its own its group and session would read 0 from inside.
    nix::unistd::setsid().map_err(|e| gantry_sys::Error::new("begin session", e))?;
    for (fd, kind) in [
        (&namespaces.network, namespace::NET),
        (&namespaces.ipc, namespace::IPC),
        (&namespaces.uts, namespace::UTS),
    ] {
        if let Some(fd) = fd {
            namespace::enter(fd, kind)?;
        }
    }
    namespace::unshare(namespace::CGROUP)?;
    // Above all not the supervisor's lock.
    process::close_all_but(&[program.as_raw_fd(), report.as_raw_fd()])?;
    process::new_session_keyring();
    empty_root()?;
    process::reset_signals()?;
    children::reap_by_kernel();
    caps::limit_bounding(0)?;
    caps::set(caps::Caps::default())?;
    process::set_no_new_privs()?;
    process::cloexec_from(0)?;
    Err(process::execve_fd(program.as_fd(), &[c"init"], &[]))
}

/// A read-only tmpfs with nothing in it becomes the root; the host's is taken away.
fn empty_root() -> gantry_sys::Result<()> {
    mount::set_namespace_propagation(Propagation::Private)?;
    let attr = mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC;
    let root = mount::tmpfs(&[("mode", "555"), ("size", "4k")], attr)?;
    // Any folder does to attach it: it becomes the root at once.
    let place = std::fs::File::open(Path::new("/proc"))
        .map_err(|e| gantry_sys::Error::from_io("open /proc", &e))?;
    mount::attach(&root, &place)?;
    mount::pivot_root(&root)
}

fn sealed(image: &[u8]) -> nix::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let fd = memfd_create("init", flags)?;
    let mut rest = image;
    while !rest.is_empty() {
        let count = nix::unistd::write(&fd, rest)?;
        rest = &rest[count..];
    }
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(fd)
}

/// The program with its headers (elf(5)): one segment, read and execute.
fn image() -> Option<Vec<u8>> {
    let (machine, code) = PROGRAM?;
    let size = HEADERS + code.len() as u64;
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, machine] {
        out.extend(half.to_le_bytes());
    }
    out.extend(1_u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    for word in [1_u32, 5] {
        out.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, size, size, 0x1000] {
        out.extend(word.to_le_bytes());
    }
    out.extend_from_slice(code);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_a_program_that_sleeps() {
        let Some(image) = image() else { return };
        assert_eq!(
            image.len() as u64,
            HEADERS + PROGRAM.unwrap().1.len() as u64
        );
        let program = sealed(&image).unwrap();
        assert!(nix::unistd::write(&program, b"x").is_err(), "sealed");
        let path = Path::new("/proc/self/fd/0");
        let pid = gantry_sys::spawn::spawn(path, &["init"], &[program.as_fd()]).unwrap();
        let pidfd = process::pidfd_open(pid).unwrap();
        // It is asleep in its system call, and not crashed, once its image is ours.
        let exe = format!("/proc/{pid}/exe");
        let (mut tries, mut asleep) = (0, false);
        while !asleep && tries < 1_000_000 {
            tries += 1;
            let is_ours = std::fs::read_link(&exe)
                .is_ok_and(|l| l.to_string_lossy().starts_with("/memfd:init"));
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            asleep = is_ours && stat.contains(") S ");
        }
        process::pidfd_send_signal(&pidfd, nix::libc::SIGTERM).unwrap();
        let exit = process::wait(&pidfd).unwrap();
        assert!(asleep, "never seen asleep; ended by {exit:?}");
        assert_eq!(exit, process::Exit::Signal(nix::libc::SIGTERM));
    }
}
