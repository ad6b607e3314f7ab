//! An opened driver and one call of it: what goes in, what comes out, who frees what.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use gantry_abi::{
    Answer, CallFn, ErrorCode, FD_GIVEN, FD_LENT, Fd, HeldBytes, Instance as Raw, LentBytes,
    Outcome, Request,
};

use crate::library::Library;
use crate::services::{self, HostServices};

/// Longest answer that is read.
const MAX_JSON: u64 = 64 * 1024 * 1024;
/// Longest message that is read.
const MAX_MESSAGE: u64 = 16 * 1024;
/// Most descriptors of an answer.
const MAX_FDS: u32 = 64;

/// A descriptor that goes with a call.
#[derive(Clone, Debug)]
pub enum Descriptor {
    /// Stays ours.
    Lent(Arc<OwnedFd>),
    /// Becomes the plugin's, whatever the outcome. Duplicated if somebody else still holds it.
    Given(Arc<OwnedFd>),
}

/// What a call is asked to do.
#[derive(Debug, Default)]
pub struct Invocation<'a> {
    /// Id of the operation.
    pub operation: &'a str,
    /// `CLOCK_MONOTONIC` in milliseconds; 0 is none.
    pub deadline_ms: u64,
    /// Readable once the call is cancelled.
    pub cancel: Option<BorrowedFd<'a>>,
    /// One JSON object.
    pub json: &'a [u8],
    /// Named in the JSON by index.
    pub fds: Vec<Descriptor>,
}

/// What a call answered.
#[derive(Debug)]
pub struct Reply {
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was not done; [`ErrorCode::Internal`] and of no meaning when it was.
    pub code: ErrorCode,
    /// For people.
    pub message: String,
    /// One JSON object.
    pub json: Vec<u8>,
    /// Named in the JSON by index; all ours.
    pub fds: Vec<OwnedFd>,
}

impl Reply {
    /// An answer of the host's own.
    pub fn refused(outcome: Outcome, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            outcome,
            code,
            message: message.into(),
            json: Vec::new(),
            fds: Vec::new(),
        }
    }
}

/// An opened driver. Calls may run on many threads at once.
#[derive(Debug)]
pub struct Instance {
    library: Library,
    raw: *mut Raw,
}

// SAFETY: the interface demands that a driver's functions can be called on any thread, several at a time.
unsafe impl Send for Instance {}
// SAFETY: as above.
unsafe impl Sync for Instance {}

impl Library {
    /// Opens the driver with an `InitRequest` as JSON. Blocks as long as the plugin does.
    ///
    /// # Errors
    /// The plugin's own answer; nothing is open then.
    pub fn open(
        &self,
        services: Arc<dyn HostServices>,
        call: Invocation<'_>,
    ) -> Result<Instance, Reply> {
        let host = services::table(services);
        let mut raw: *mut Raw = std::ptr::null_mut();
        let init = self.entry.init;
        let reply = self.run(call, |request, answer| {
            // SAFETY: `host` is static, the others live through the call, as the interface says.
            unsafe { init(host, request, answer, &raw mut raw) }
        });
        match reply.outcome {
            Outcome::Done if !raw.is_null() => Ok(Instance {
                library: self.clone(),
                raw,
            }),
            Outcome::Done => Err(Reply::refused(
                Outcome::NotDone,
                ErrorCode::Internal,
                "the plugin opened, but answered no driver",
            )),
            _ => Err(reply),
        }
    }

    /// One call of a C function: lends the request, takes the answer, has it released.
    fn run(
        &self,
        call: Invocation<'_>,
        function: impl FnOnce(*const Request, *mut Answer) -> u32,
    ) -> Reply {
        let fds = match lend(&call.fds) {
            Ok(fds) => fds,
            Err(error) => {
                let message = format!("duplicate a descriptor for the plugin: {error}");
                return Reply::refused(Outcome::NotDone, ErrorCode::ResourceExhausted, message);
            }
        };
        let request = Request {
            size: size_of::<Request>() as u64,
            operation: lent(call.operation.as_bytes()),
            deadline_ms: call.deadline_ms,
            json: lent(call.json),
            fds: fds.as_ptr(),
            fds_len: u32::try_from(fds.len()).expect("a call has few descriptors"),
            cancel_fd: call.cancel.map_or(-1, |fd| fd.as_raw_fd()),
        };
        let nothing = HeldBytes {
            data: std::ptr::null(),
            len: 0,
        };
        let mut answer = Answer {
            size: size_of::<Answer>() as u64,
            json: nothing,
            message: nothing,
            fds: std::ptr::null(),
            fds_len: 0,
            error_kind: 0,
            held: std::ptr::null_mut(),
        };
        let code = function(&raw const request, &raw mut answer);
        // SAFETY: the plugin filled the answer, which is not released yet.
        let reply = unsafe { read(code, &answer) };
        // SAFETY: once for every answer, and nothing of it is used after this.
        unsafe { (self.entry.release)(&raw mut answer) };
        reply
    }
}

impl Instance {
    /// The library this driver came from.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// Calls a function of a table or extension by name. Blocks for as long as the plugin does: keeping deadlines and
    /// having not two changes of one object at once is the caller's work.
    pub fn call(&self, table: &str, function: &str, call: Invocation<'_>) -> Reply {
        let Some(found) = self.library.function(table, function) else {
            let name = &self.library.identity.name;
            let message = format!("{function} of {table}: plugin {name} does not have it");
            return Reply::refused(Outcome::NotDone, ErrorCode::Unimplemented, message);
        };
        self.invoke(found, call)
    }

    /// Tells the driver that an upgrade follows; done when it does not want to know.
    pub fn quiesce(&self, call: Invocation<'_>) -> Reply {
        match self.library.entry.quiesce {
            Some(quiesce) => self.invoke(quiesce, call),
            None => Reply::refused(Outcome::Done, ErrorCode::Internal, ""),
        }
    }

    fn invoke(&self, function: CallFn, call: Invocation<'_>) -> Reply {
        // SAFETY: `raw` is open until `close`, which consumes us; the pointers live through the call.
        self.library.run(call, |request, answer| unsafe {
            function(self.raw, request, answer)
        })
    }

    /// Closes the driver; what it had set up for containers stays. Without this it stays open as long as the process.
    pub fn close(self) {
        // SAFETY: no call is under way, since calls borrow us, and none can follow.
        unsafe { (self.library.entry.close)(self.raw) }
    }
}

fn lent(bytes: &[u8]) -> LentBytes {
    LentBytes {
        data: bytes.as_ptr(),
        len: bytes.len() as u64,
    }
}

fn lend(descriptors: &[Descriptor]) -> std::io::Result<Vec<Fd>> {
    // All duplicates first, as owned ones: a failure half-way must close them.
    let mut given = Vec::new();
    for descriptor in descriptors {
        given.push(match descriptor {
            Descriptor::Lent(_) => None,
            Descriptor::Given(fd) => Some(fd.try_clone()?),
        });
    }
    let pair = |(descriptor, given): (&Descriptor, Option<OwnedFd>)| match (descriptor, given) {
        (_, Some(fd)) => Fd {
            fd: fd.into_raw_fd(),
            ownership: FD_GIVEN,
        },
        (Descriptor::Lent(fd) | Descriptor::Given(fd), None) => Fd {
            fd: fd.as_raw_fd(),
            ownership: FD_LENT,
        },
    };
    Ok(descriptors.iter().zip(given).map(pair).collect())
}

/// # Safety
/// `answer` was filled by a plugin that follows the interface and is not released.
unsafe fn read(code: u32, answer: &Answer) -> Reply {
    let mut outcome = Outcome::from_code(code);
    let mut kind = ErrorCode::from_code(answer.error_kind);
    // SAFETY: by the caller's promise.
    let mut message = unsafe { bytes(&answer.message, MAX_MESSAGE) }.map_or_else(
        || "the plugin's message is too long".to_owned(),
        |text| String::from_utf8_lossy(text).into(),
    );
    // SAFETY: by the caller's promise.
    let (json, fds) = unsafe { (bytes(&answer.json, MAX_JSON), descriptors(answer)) };
    if json.is_none() || fds.is_none() {
        // Something happened inside; what, cannot be read.
        (outcome, kind) = (Outcome::Unknown, ErrorCode::Internal);
        message = "the plugin's answer is too long or carries bad descriptors".to_owned();
    }
    Reply {
        outcome,
        code: kind,
        message,
        json: json.unwrap_or_default().to_vec(),
        fds: fds.unwrap_or_default(),
    }
}

/// # Safety
/// As [`read`].
unsafe fn bytes(held: &HeldBytes, most: u64) -> Option<&[u8]> {
    if held.len == 0 {
        return Some(&[]);
    }
    if held.data.is_null() || held.len > most {
        return None;
    }
    // SAFETY: by the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(held.data, usize::try_from(held.len).ok()?) })
}

/// # Safety
/// As [`read`].
unsafe fn descriptors(answer: &Answer) -> Option<Vec<OwnedFd>> {
    if answer.fds_len == 0 {
        return Some(Vec::new());
    }
    if answer.fds.is_null() || answer.fds_len > MAX_FDS {
        return None;
    }
    // SAFETY: by the caller's promise.
    let entries = unsafe { std::slice::from_raw_parts(answer.fds, answer.fds_len as usize) };
    // All of them, also behind a bad one: those that were given must be closed.
    let owned: Vec<Option<OwnedFd>> = entries
        .iter()
        .map(|entry| {
            if entry.fd < 0 {
                return None;
            }
            if entry.ownership == FD_GIVEN {
                // SAFETY: the plugin gave it away.
                return Some(unsafe { OwnedFd::from_raw_fd(entry.fd) });
            }
            // SAFETY: lent until the release, which comes after this.
            let lent = unsafe { BorrowedFd::borrow_raw(entry.fd) };
            lent.as_fd().try_clone_to_owned().ok()
        })
        .collect();
    owned.into_iter().collect()
}
