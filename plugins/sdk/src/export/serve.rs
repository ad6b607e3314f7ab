//! One call from C: parse, refuse what is not understood, run the driver, hold the answer.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_abi::schema::{InitAnswer, InitRequest, Request as Payload, missing_from};
use gantry_abi::{Answer, Fd, HeldBytes, Host as HostTable, Instance, Outcome, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::slice;
use crate::{Call, Driver, Error, ErrorCode, Host, Result};

/// A driver and what surrounds it; the host holds a pointer to it.
struct Opened<D> {
    driver: D,
    host: Host,
    /// A panic left the driver's state in doubt: nothing is asked of it any more.
    refused: AtomicBool,
}

/// Everything an answer points to, freed by [`release`].
struct Held {
    json: Vec<u8>,
    message: Vec<u8>,
    fds: Vec<Fd>,
}

/// Serves one function of a table.
///
/// # Safety
/// The three pointers are as the header says: `instance` came from [`init`] of the same driver and is not closed,
/// `request` lives until the return, `answer` may be written.
pub(super) unsafe fn serve<D: Driver, R: Payload>(
    instance: *mut Instance,
    request: *const Request,
    answer: *mut Answer,
    function: impl FnOnce(&D, &Call<'_>, R) -> Result<R::Answer>,
) -> u32 {
    // SAFETY: by the caller's promise.
    let (opened, request) = unsafe { (&*instance.cast::<Opened<D>>(), &*request) };
    // SAFETY: by the caller's promise.
    unsafe { answered(answer, run(opened, request, function)) }
}

fn run<D: Driver, R: DeserializeOwned, A: Serialize>(
    opened: &Opened<D>,
    request: &Request,
    function: impl FnOnce(&D, &Call<'_>, R) -> Result<A>,
) -> Result<(Vec<u8>, Vec<Fd>)> {
    let guarded = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the request lives until the call returns; made first, so that given descriptors are always closed.
        let call = unsafe { Call::new(opened.host, request) }?;
        if opened.refused.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorCode::Poisoned,
                "the plugin panicked before and is refused since",
            ));
        }
        let answer = function(&opened.driver, &call, parse(request)?)?;
        let json = serde_json::to_vec(&answer)
            .map_err(|error| Error::internal(format!("write the answer: {error}")).unknown())?;
        Ok((json, call.into_answered()))
    }));
    guarded.unwrap_or_else(|payload| {
        opened.refused.store(true, Ordering::Release);
        Err(panicked(payload).unknown())
    })
}

fn parse<R: DeserializeOwned>(request: &Request) -> Result<R> {
    // SAFETY: the request's bytes live until the call returns, and `R` owns what it keeps.
    let json = unsafe { slice(request.json.data, request.json.len) };
    let malformed = |error: serde_json::Error| Error::invalid(format!("read the request: {error}"));
    // serde reads a struct from a list as well, and `[]` would be a request with every field left out.
    if json.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Error::invalid("read the request: not a JSON object"));
    }
    if let Some(name) = missing_from::<R>(json).map_err(malformed)? {
        return Err(Error::unimplemented(format!(
            "the request must be understood in {name:?}, which this plugin is not"
        )));
    }
    // A value that is skipped is not looked at by serde: whether it is UTF-8 is asked of the whole.
    let text = std::str::from_utf8(json)
        .map_err(|error| Error::invalid(format!("read the request: {error}")))?;
    serde_json::from_str(text).map_err(malformed)
}

thread_local! {
    /// Where this thread panicked last.
    static WHERE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Each plugin has a Rust runtime of its own, so this hook is for this library only: instead of writing to the host's
/// standard error it keeps the place for the answer.
fn keep_quiet() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        WHERE.with(|last| *last.borrow_mut() = place);
    }));
}

fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    // A payload may panic again when it is dropped, and that would cross the border.
    std::mem::forget(payload);
    let place = WHERE.take();
    Error::new(
        ErrorCode::Poisoned,
        format!("the plugin panicked at {place}: {text}"),
    )
}

/// # Safety
/// `answer` may be written.
unsafe fn answered(answer: *mut Answer, result: Result<(Vec<u8>, Vec<Fd>)>) -> u32 {
    let (outcome, code, held) = match result {
        Ok((json, fds)) => (
            Outcome::Done,
            0,
            Held {
                json,
                message: Vec::new(),
                fds,
            },
        ),
        Err(error) => {
            let outcome = if error.outcome_unknown {
                Outcome::Unknown
            } else {
                Outcome::NotDone
            };
            let held = Held {
                json: Vec::new(),
                message: error.message.into_bytes(),
                fds: Vec::new(),
            };
            (outcome, error.code as u32, held)
        }
    };
    let held = Box::into_raw(Box::new(held));
    // SAFETY: `answer` by the caller's promise; `held` was made above and is freed by `release` only.
    unsafe {
        (*answer).json = HeldBytes {
            data: (*held).json.as_ptr(),
            len: (*held).json.len() as u64,
        };
        (*answer).message = HeldBytes {
            data: (*held).message.as_ptr(),
            len: (*held).message.len() as u64,
        };
        (*answer).fds = (*held).fds.as_ptr();
        (*answer).fds_len = u32::try_from((*held).fds.len()).unwrap_or(0);
        (*answer).error_kind = code;
        (*answer).held = held.cast();
    }
    outcome as u32
}

/// Opens the driver.
///
/// # Safety
/// As the header says.
pub unsafe extern "C" fn init<D: Driver>(
    host: *const HostTable,
    request: *const Request,
    answer: *mut Answer,
    instance: *mut *mut Instance,
) -> u32 {
    keep_quiet();
    let opened = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the host's table lives as long as the process.
        let host = unsafe { Host::new(host) }.ok_or_else(|| Error::invalid("open: no host"))?;
        // SAFETY: the request lives until the call returns.
        let init: InitRequest = parse(unsafe { &*request })?;
        let driver = D::open(host, init)?;
        Ok(Box::new(Opened {
            driver,
            host,
            refused: AtomicBool::new(false),
        }))
    }))
    .unwrap_or_else(|payload| Err(panicked(payload)));
    let result = opened.and_then(|opened| {
        let json = serde_json::to_vec(&InitAnswer {})
            .map_err(|error| Error::internal(error.to_string()))?;
        // SAFETY: the host lets us write there.
        unsafe { *instance = Box::into_raw(opened).cast() };
        Ok((json, Vec::new()))
    });
    // SAFETY: the host lets us write the answer.
    unsafe { answered(answer, result) }
}

/// Tells the driver that an upgrade follows.
///
/// # Safety
/// As the header says.
pub unsafe extern "C" fn quiesce<D: Driver>(
    instance: *mut Instance,
    request: *const Request,
    answer: *mut Answer,
) -> u32 {
    // SAFETY: as in `serve`.
    let (opened, request) = unsafe { (&*instance.cast::<Opened<D>>(), &*request) };
    let result = run(opened, request, |driver: &D, _, _: InitAnswer| {
        driver.quiesce()
    });
    // SAFETY: the host lets us write the answer.
    unsafe { answered(answer, result) }
}

/// Frees what an answer holds.
///
/// # Safety
/// `answer` was written by this library and is released once.
pub unsafe extern "C" fn release(answer: *mut Answer) {
    // SAFETY: by the caller's promise.
    let held = unsafe { std::mem::replace(&mut (*answer).held, std::ptr::null_mut()) };
    if !held.is_null() {
        // SAFETY: `held` was made by `answered`.
        drop(unsafe { Box::from_raw(held.cast::<Held>()) });
    }
}

/// Closes the driver.
///
/// # Safety
/// `instance` came from [`init`] of the same driver, no call is under way and none follows.
pub unsafe extern "C" fn close<D: Driver>(instance: *mut Instance) {
    // SAFETY: by the caller's promise.
    let opened = unsafe { Box::from_raw(instance.cast::<Opened<D>>()) };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(opened))) {
        std::mem::forget(payload);
    }
}
