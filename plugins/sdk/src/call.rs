//! One call being served: its operation, deadline, cancel and descriptors.

use std::cell::RefCell;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use gantry_abi::{FD_GIVEN, Fd, Request};

use crate::{Error, FdIndex, Host, Level, Result};

/// The call being served. Valid until the driver's function returns.
pub struct Call<'a> {
    host: Host,
    request: &'a Request,
    operation: &'a str,
    lent: &'a [Fd],
    /// Descriptors given to us, until somebody takes them; what is left is closed with the call.
    given: RefCell<Vec<Option<OwnedFd>>>,
    answered: RefCell<Vec<OwnedFd>>,
}

impl<'a> Call<'a> {
    /// # Safety
    /// `request` and everything it points to live for `'a`, and its given descriptors belong to nobody else.
    pub(crate) unsafe fn new(host: Host, request: &'a Request) -> Result<Self> {
        // SAFETY: by the caller's promise.
        let operation = unsafe { slice(request.operation.data, request.operation.len) };
        // SAFETY: as above.
        let fds = unsafe { slice(request.fds, request.fds_len.into()) };
        let given = fds.iter().map(|entry| {
            // SAFETY: a given descriptor is ours alone from here on.
            (entry.ownership == FD_GIVEN && entry.fd >= 0)
                .then(|| unsafe { OwnedFd::from_raw_fd(entry.fd) })
        });
        let given = RefCell::new(given.collect());
        let operation = std::str::from_utf8(operation)
            .map_err(|_| Error::invalid("operation id is not UTF-8"))?;
        Ok(Self {
            host,
            request,
            operation,
            lent: fds,
            given,
            answered: RefCell::default(),
        })
    }

    /// Id of the operation, for logs.
    pub fn operation(&self) -> &str {
        self.operation
    }

    /// The host's services.
    pub fn host(&self) -> Host {
        self.host
    }

    /// `CLOCK_MONOTONIC` in milliseconds; none is no deadline. The host keeps it, too.
    pub fn deadline_ms(&self) -> Option<u64> {
        (self.request.deadline_ms != 0).then_some(self.request.deadline_ms)
    }

    /// Whether the call is cancelled or past its deadline: stop at the next safe point.
    pub fn cancelled(&self) -> bool {
        self.host.cancelled_for(self.request)
    }

    /// An error `Cancelled` when the call is cancelled or past its deadline.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> Result<()> {
        if self.cancelled() {
            Err(Error::new(crate::ErrorCode::Cancelled, "cancelled"))
        } else {
            Ok(())
        }
    }

    /// Readable once the call is cancelled: poll it, do not read it.
    pub fn cancel_fd(&self) -> Option<BorrowedFd<'_>> {
        borrowed(self.request.cancel_fd)
    }

    /// A descriptor of the request, for as long as the call lasts.
    ///
    /// # Errors
    /// `InvalidArgument` when the call carries no such descriptor, or it was taken.
    pub fn fd(&self, index: FdIndex) -> Result<BorrowedFd<'_>> {
        let entry = usize::try_from(index).ok().and_then(|at| self.lent.get(at));
        let taken = |entry: &&Fd| {
            entry.ownership == FD_GIVEN && self.given.borrow()[index as usize].is_none()
        };
        entry
            .filter(|entry| !taken(entry))
            .and_then(|entry| borrowed(entry.fd))
            .ok_or_else(|| Error::invalid(format!("the call carries no descriptor {index}")))
    }

    /// A descriptor of the request to keep: the given one itself, or a duplicate of a lent one.
    ///
    /// # Errors
    /// As [`Call::fd`], and when it cannot be duplicated.
    pub fn take_fd(&self, index: FdIndex) -> Result<OwnedFd> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(fd) = self.given.borrow_mut().get_mut(at).and_then(Option::take) {
            return Ok(fd);
        }
        let lent = self.fd(index)?;
        lent.try_clone_to_owned()
            .map_err(|error| Error::io(format!("duplicate descriptor {index}"), &error))
    }

    /// Gives a descriptor to the host with the answer; the index goes into the answer's JSON.
    pub fn give_fd(&self, fd: OwnedFd) -> FdIndex {
        let mut answered = self.answered.borrow_mut();
        answered.push(fd);
        FdIndex::try_from(answered.len() - 1).expect("nobody gives four billion descriptors")
    }

    /// Writes a log line that names the operation.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log_for(self.request, level, message);
    }

    /// Tells how far a long call has come. Never blocks.
    pub fn progress(&self, what: &str, done: u64, total: u64) {
        let json = serde_json::json!({ "what": what, "done": done, "total": total });
        self.host
            .progress_for(self.request, json.to_string().as_bytes());
    }

    /// As [`Host::netns_socket`].
    ///
    /// # Errors
    /// As there.
    pub fn netns_socket(
        &self,
        netns: BorrowedFd<'_>,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> io::Result<OwnedFd> {
        self.host
            .netns_socket_for(self.request, netns, domain, kind, protocol)
    }

    pub(crate) fn into_answered(self) -> Vec<Fd> {
        let given = |fd: OwnedFd| Fd {
            fd: fd.into_raw_fd(),
            ownership: FD_GIVEN,
        };
        self.answered.take().into_iter().map(given).collect()
    }
}

fn borrowed<'a>(fd: RawFd) -> Option<BorrowedFd<'a>> {
    // SAFETY: a descriptor of the request is open while the call lasts, and `'a` is cut to that by the callers.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// # Safety
/// `data` points to `len` values that live for `'a`, or `len` is 0.
pub(crate) unsafe fn slice<'a, T>(data: *const T, len: u64) -> &'a [T] {
    match usize::try_from(len) {
        // SAFETY: by the caller's promise.
        Ok(len) if len > 0 && !data.is_null() => unsafe { std::slice::from_raw_parts(data, len) },
        _ => &[],
    }
}
