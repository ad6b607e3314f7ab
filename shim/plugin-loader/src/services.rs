//! The host's services as a C table, over a safe trait.

use std::ffi::c_void;
use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use gantry_abi::{ABI_MAJOR, ABI_MINOR, Host, LentBytes, Request};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::monotonic_ms;

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Somebody must look.
    Error,
    /// Odd, and gone on.
    Warn,
    /// Seldom things worth knowing.
    Info,
    /// For people who work on the plugin.
    Debug,
}

/// What a host does for one plugin. Called on any thread, several at a time, also outside of calls.
pub trait HostServices: Send + Sync {
    /// Writes a log line; `operation` is the call's, if it was written within one. Must not block.
    fn log(&self, operation: Option<&str>, level: Level, message: &str);

    /// Progress of a long call, as the plugin's JSON. Must not block.
    fn progress(&self, _operation: Option<&str>, _json: &[u8]) {}

    /// A secret of this plugin by name.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn secret(&self, _name: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// A socket made inside a network namespace by a thread of the host.
    ///
    /// # Errors
    /// With an OS error code.
    fn netns_socket(
        &self,
        netns: BorrowedFd<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> io::Result<OwnedFd>;
}

/// Makes the table for one plugin. It lives as long as the process, as the header promises.
pub(crate) fn table(services: Arc<dyn HostServices>) -> &'static Host {
    let services: &'static Arc<dyn HostServices> = Box::leak(Box::new(services));
    Box::leak(Box::new(Host {
        size: size_of::<Host>() as u64,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        ctx: std::ptr::from_ref(services).cast_mut().cast(),
        log: Some(log),
        progress: Some(progress),
        secret: Some(secret),
        check_cancel: Some(check_cancel),
        netns_socket: Some(netns_socket),
    }))
}

/// Runs a service; a panic of ours must not unwind into the plugin's frames.
///
/// # Safety
/// `ctx` is that of [`table`].
unsafe fn serve<T>(ctx: *mut c_void, otherwise: T, body: impl FnOnce(&dyn HostServices) -> T) -> T {
    // SAFETY: `table` leaked an `Arc` there.
    let services = unsafe { &*ctx.cast::<Arc<dyn HostServices>>() };
    catch_unwind(AssertUnwindSafe(|| body(services.as_ref()))).unwrap_or(otherwise)
}

unsafe extern "C" fn log(
    ctx: *mut c_void,
    request: *const Request,
    level: u32,
    message: LentBytes,
) {
    let level = match level {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        _ => Level::Debug,
    };
    // SAFETY: the plugin keeps the header's promises for all three.
    unsafe {
        serve(ctx, (), |services| {
            services.log(operation(request).as_deref(), level, &text(message))
        });
    }
}

unsafe extern "C" fn progress(ctx: *mut c_void, request: *const Request, json: LentBytes) {
    // SAFETY: the plugin keeps the header's promises for all three.
    unsafe {
        serve(ctx, (), |services| {
            services.progress(operation(request).as_deref(), bytes(&json))
        })
    }
}

unsafe extern "C" fn secret(
    ctx: *mut c_void,
    _request: *const Request,
    name: LentBytes,
    buffer: *mut u8,
    buffer_len: u64,
) -> i64 {
    // SAFETY: the plugin keeps the header's promises for `ctx` and `name`.
    let found = unsafe {
        serve(ctx, Err(io::ErrorKind::Other.into()), |services| {
            services.secret(&text(name))
        })
    };
    match found {
        Ok(value) => {
            if value.len() as u64 <= buffer_len && !buffer.is_null() {
                // SAFETY: the buffer is the plugin's and as long as it said.
                unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), buffer, value.len()) };
            }
            i64::try_from(value.len()).unwrap_or(i64::MAX)
        }
        Err(error) => -i64::from(errno(&error)),
    }
}

unsafe extern "C" fn check_cancel(_ctx: *mut c_void, request: *const Request) -> i32 {
    // SAFETY: null, or the request being served.
    let Some(request) = (unsafe { request.as_ref() }) else {
        return 0;
    };
    let late = request.deadline_ms != 0 && monotonic_ms() >= request.deadline_ms;
    i32::from(late || readable(request.cancel_fd))
}

unsafe extern "C" fn netns_socket(
    ctx: *mut c_void,
    _request: *const Request,
    netns: RawFd,
    domain: i32,
    kind: i32,
    protocol: i32,
) -> i32 {
    if netns < 0 {
        return -libc::EBADF;
    }
    // SAFETY: the plugin lends the descriptor for this call.
    let netns = unsafe { BorrowedFd::borrow_raw(netns) };
    // SAFETY: `ctx` is ours.
    let socket = unsafe {
        serve(ctx, Err(io::ErrorKind::Other.into()), |services| {
            services.netns_socket(netns, domain, kind, protocol)
        })
    };
    socket.map_or_else(|error| -errno(&error), IntoRawFd::into_raw_fd)
}

fn readable(fd: RawFd) -> bool {
    if fd < 0 {
        return false;
    }
    // SAFETY: the host made the request and keeps its cancel descriptor open while the call lasts.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

fn errno(error: &io::Error) -> i32 {
    let by_kind = match error.kind() {
        io::ErrorKind::NotFound => Errno::ENOENT,
        io::ErrorKind::InvalidInput => Errno::EINVAL,
        io::ErrorKind::PermissionDenied => Errno::EPERM,
        io::ErrorKind::Unsupported => Errno::ENOSYS,
        _ => Errno::EIO,
    };
    error.raw_os_error().unwrap_or(by_kind as i32)
}

/// # Safety
/// `request` is null or the request being served.
unsafe fn operation(request: *const Request) -> Option<String> {
    // SAFETY: by the caller's promise.
    let request = unsafe { request.as_ref() }?;
    // SAFETY: the request's bytes live until its call returns.
    Some(unsafe { text(request.operation) })
}

/// # Safety
/// The bytes are the plugin's for as long as the service runs.
unsafe fn bytes(lent: &LentBytes) -> &[u8] {
    match usize::try_from(lent.len) {
        // SAFETY: by the caller's promise.
        Ok(len) if len > 0 && !lent.data.is_null() => unsafe {
            std::slice::from_raw_parts(lent.data, len)
        },
        _ => &[],
    }
}

/// # Safety
/// As [`bytes`].
unsafe fn text(lent: LentBytes) -> String {
    // SAFETY: by the caller's promise.
    String::from_utf8_lossy(unsafe { bytes(&lent) }).into_owned()
}
