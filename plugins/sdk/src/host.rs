//! What the host does for a plugin: logs, secrets, sockets inside namespaces.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use gantry_abi::{Host as Table, LentBytes, Request};

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Somebody must look.
    Error = 1,
    /// Odd, and gone on.
    Warn = 2,
    /// Seldom things worth knowing.
    Info = 3,
    /// For people who work on the plugin.
    Debug = 4,
}

/// The host's services; may be kept and used on any thread.
#[derive(Clone, Copy)]
pub struct Host {
    table: &'static Table,
}

// SAFETY: the interface demands that every service may be called on any thread, and the table lives for ever.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

/// A field of the host's table, if the table reaches that far.
macro_rules! service {
    ($table:expr, $field:ident) => {{
        let end = std::mem::offset_of!(Table, $field) + size_of::<usize>();
        if $table.size >= end as u64 {
            $table.$field
        } else {
            None
        }
    }};
}

impl Host {
    /// # Safety
    /// `table` points to a table that lives as long as the process.
    pub(crate) unsafe fn new(table: *const Table) -> Option<Self> {
        // SAFETY: by the caller's promise.
        unsafe { table.as_ref() }.map(|table| Self { table })
    }

    /// Writes a log line outside of any call; within one, [`crate::Call::log`] names the operation too.
    pub fn log(&self, level: Level, message: &str) {
        self.log_for(std::ptr::null(), level, message);
    }

    pub(crate) fn log_for(&self, request: *const Request, level: Level, message: &str) {
        if let Some(log) = service!(self.table, log) {
            // SAFETY: a service of the host, called as the header says; the bytes live until it returns.
            unsafe {
                log(
                    self.table.ctx,
                    request,
                    level as u32,
                    lent(message.as_bytes()),
                )
            }
        }
    }

    pub(crate) fn progress_for(&self, request: *const Request, json: &[u8]) {
        if let Some(progress) = service!(self.table, progress) {
            // SAFETY: as in `log_for`.
            unsafe { progress(self.table.ctx, request, lent(json)) }
        }
    }

    pub(crate) fn cancelled_for(&self, request: *const Request) -> bool {
        // SAFETY: as in `log_for`.
        service!(self.table, check_cancel)
            .is_some_and(|check| unsafe { check(self.table.ctx, request) } != 0)
    }

    /// The secret called `name`, or none when this plugin has none of that name.
    ///
    /// # Errors
    /// When the host cannot read it.
    pub fn secret(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(secret) = service!(self.table, secret) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut buffer = vec![0; 4096];
        loop {
            // SAFETY: the buffer is as long as said; the rest as in `log_for`.
            let found = unsafe {
                secret(
                    self.table.ctx,
                    std::ptr::null(),
                    lent(name.as_bytes()),
                    buffer.as_mut_ptr(),
                    buffer.len() as u64,
                )
            };
            if found < 0 {
                let error = errno(found);
                return if error.kind() == io::ErrorKind::NotFound {
                    Ok(None)
                } else {
                    Err(error)
                };
            }
            let len = usize::try_from(found).map_err(io::Error::other)?;
            if len <= buffer.len() {
                buffer.truncate(len);
                return Ok(Some(buffer));
            }
            buffer.resize(len, 0);
        }
    }

    /// `socket(domain, kind, protocol)` inside a network namespace, made by a thread of the host.
    ///
    /// # Errors
    /// The error of `setns` or `socket`; `InvalidInput` for another domain than netlink and IP.
    pub fn netns_socket(
        &self,
        netns: BorrowedFd<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> io::Result<OwnedFd> {
        self.netns_socket_for(std::ptr::null(), netns, domain, kind, protocol)
    }

    pub(crate) fn netns_socket_for(
        &self,
        request: *const Request,
        netns: BorrowedFd<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> io::Result<OwnedFd> {
        let Some(open) = service!(self.table, netns_socket) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        // SAFETY: as in `log_for`; the namespace's descriptor is open during the call.
        let fd = unsafe {
            open(
                self.table.ctx,
                request,
                netns.as_raw_fd(),
                domain,
                kind,
                protocol,
            )
        };
        if fd < 0 {
            return Err(errno(fd.into()));
        }
        // SAFETY: the host gives a fresh descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn lent(bytes: &[u8]) -> LentBytes {
    LentBytes {
        data: bytes.as_ptr(),
        len: bytes.len() as u64,
    }
}

fn errno(negative: i64) -> io::Error {
    io::Error::from_raw_os_error(i32::try_from(-negative).unwrap_or(0))
}
