//! One opened plugin and the way of a call to it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use gantry_abi::schema::{self, encode};
use gantry_abi::{ErrorCode, Outcome};
use gantry_model::call::Call;
use gantry_model::plugin::PluginKind;
use gantry_model::{Error, Result, operation};
use gantry_plugin_loader::crash::Mark;
use gantry_plugin_loader::{Descriptor, Invocation, Reply, monotonic_ms};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::AsFd;
use tokio::sync::{mpsc, oneshot};

use crate::backend::Backend;
use crate::convert::error_of;
use crate::locks::{Held, Locks};
use crate::pool::Pool;
use crate::quarantine::mark;
use gantry_model::plugin::LateResult;

/// One opened plugin.
pub(crate) struct Plugin {
    pub(crate) kind: PluginKind,
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) backend: Backend,
    pub(crate) pool: Pool,
    pub(crate) locks: Locks,
    pub(crate) mark: Arc<Mark>,
    pub(crate) late: mpsc::UnboundedSender<LateResult>,
    pub(crate) poisoned: AtomicBool,
}

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const ABANDONED: u8 = 2;

/// One call on its way: shared by the caller, who may go, and the thread.
struct Flight {
    plugin: Arc<Plugin>,
    call: Call,
    table: &'static str,
    function: &'static str,
    objects: Vec<String>,
    deadline_ms: u64,
    json: Vec<u8>,
    fds: Vec<Descriptor>,
    cancel: EventFd,
    state: AtomicU8,
}

impl Plugin {
    /// `kind/name`.
    pub(crate) fn label(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.name)
    }

    /// Calls a function. `objects` are those it changes; a call that only reads has none.
    ///
    /// # Errors
    /// The plugin's own; `Unavailable` when it is poisoned or its threads are used up; `DeadlineExceeded` when it was
    /// never entered; `Unknown` when it did not return in time, or its outcome is unknown.
    ///
    /// # Cancel safety
    /// Dropping the future cancels nothing: the call goes on and its answer is a late one.
    pub(crate) async fn call<R: schema::Request>(
        self: &Arc<Self>,
        call: &Call,
        objects: &[&str],
        request: &R,
        fds: Vec<Descriptor>,
    ) -> Result<R::Answer> {
        let doing = || self.doing(R::FUNCTION, objects);
        self.refuse_poisoned()?;
        call.cancel.check()?;
        let began = tokio::time::Instant::now();
        let held = self
            .lock(call, objects)
            .await
            .map_err(|error| error.context(doing()))?;
        let json =
            encode(request).map_err(|error| Error::internal(format!("{}: {error}", doing())))?;
        let left = call.timeout.saturating_sub(began.elapsed());
        let flight = Arc::new(Flight {
            plugin: Arc::clone(self),
            call: call.clone(),
            table: R::TABLE,
            function: R::FUNCTION,
            objects: objects.iter().map(ToString::to_string).collect(),
            deadline_ms: monotonic_ms() + u64::try_from(left.as_millis()).unwrap_or(u64::MAX / 2),
            json,
            fds,
            cancel: cancel_descriptor()
                .map_err(|error| Error::exhausted(format!("{}: {error}", doing())))?,
            state: AtomicU8::new(QUEUED),
        });
        let reply = self.fly(&flight, held, left).await?;
        match reply.outcome {
            Outcome::Done => read_answer(&reply.json).map_err(|error| {
                Error::unknown(format!(
                    "{}: done, but the answer cannot be read: {error}",
                    doing()
                ))
            }),
            _ => Err(error_of(&reply).context(doing())),
        }
    }

    fn doing(&self, function: &str, objects: &[&str]) -> String {
        match objects.first() {
            Some(object) => format!("{function} {object} by plugin {}", self.label()),
            None => format!("{function} by plugin {}", self.label()),
        }
    }

    fn refuse_poisoned(&self) -> Result<()> {
        if self.poisoned.load(Ordering::Acquire) {
            let label = self.label();
            return Err(Error::unavailable(format!(
                "plugin {label} panicked and is refused until the daemon restarts"
            )));
        }
        Ok(())
    }

    async fn lock(&self, call: &Call, objects: &[&str]) -> Result<Held> {
        tokio::select! {
            biased;
            held = self.locks.lock(objects) => Ok(held),
            () = call.cancel.cancelled() => Err(Error::cancelled("cancelled while an earlier call on it runs")),
            () = tokio::time::sleep(call.timeout) => {
                Err(Error::deadline("an earlier call on it has not returned; nothing was done"))
            }
        }
    }

    /// Hands the call to a thread and waits as long as its caller may.
    async fn fly(&self, flight: &Arc<Flight>, held: Held, left: Duration) -> Result<Reply> {
        let doing = || self.doing(flight.function, &[]);
        let (answer, mut answered) = oneshot::channel();
        let job = Arc::clone(flight);
        self.pool
            .submit(move || job.run(held, answer))
            .map_err(|_| {
                Error::unavailable(format!(
                    "{}: every thread of the plugin is in a call",
                    doing()
                ))
            })?;
        let deadline = tokio::time::sleep(left);
        tokio::pin!(deadline);
        let mut said = false;
        loop {
            tokio::select! {
                biased;
                reply = &mut answered => {
                    return reply.map_err(|_| Error::unknown(format!("{}: the call was lost", doing())));
                }
                () = flight.call.cancel.cancelled(), if !said => {
                    said = true;
                    if flight.abandon() {
                        return Err(Error::cancelled(format!("{}: cancelled before it began", doing())));
                    }
                    flight.say_cancel();
                }
                () = &mut deadline => {
                    if flight.abandon() {
                        let text = format!("{}: no thread was free before the deadline; nothing was done", doing());
                        return Err(Error::deadline(text));
                    }
                    flight.say_cancel();
                    let text = format!("{}: still running at its deadline; the outcome is unknown", doing());
                    return Err(Error::unknown(text));
                }
            }
        }
    }
}

impl Flight {
    /// Calls it off, if no thread has begun.
    fn abandon(&self) -> bool {
        self.state
            .compare_exchange(QUEUED, ABANDONED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    fn say_cancel(&self) {
        if let Err(error) = self.cancel.write(1) {
            tracing::warn!(plugin = self.plugin.label(), %error, "cannot tell the plugin to stop");
        }
    }

    /// On a thread of the plugin.
    fn run(&self, held: Held, answer: oneshot::Sender<Reply>) {
        let begins = self
            .state
            .compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if !begins {
            return;
        }
        let plugin = &self.plugin;
        let operation = self.call.operation.as_str();
        let object = self.objects.first().map_or("-", String::as_str);
        let what = format!("{} {operation} {object}", self.function);
        let entered = plugin
            .mark
            .enter(&mark(&plugin.label(), &plugin.sha256, &what));
        let call = Invocation {
            operation,
            deadline_ms: self.deadline_ms,
            cancel: Some(self.cancel.as_fd()),
            json: &self.json,
            fds: self.fds.clone(),
        };
        let reply = plugin.backend.call(self.table, self.function, call);
        drop(entered);
        if reply.outcome != Outcome::Done && reply.code == ErrorCode::Poisoned {
            plugin.poisoned.store(true, Ordering::Release);
        }
        // Before the caller hears of it, so that its next call on the object does not meet its own lock.
        drop(held);
        if let Err(reply) = answer.send(reply) {
            self.too_late(&reply);
        }
    }

    fn too_late(&self, reply: &Reply) {
        let outcome = match reply.outcome {
            Outcome::Done => operation::Outcome::Done,
            Outcome::NotDone => operation::Outcome::NotDone,
            Outcome::Unknown => operation::Outcome::Unknown,
        };
        let (plugin, function) = (self.plugin.label(), self.function);
        tracing::warn!(plugin, function, objects = ?self.objects, ?outcome, "a call returned after its caller had gone");
        let late = LateResult {
            kind: self.plugin.kind,
            plugin: self.plugin.name.clone(),
            function,
            objects: self.objects.clone(),
            operation: self.call.operation.clone(),
            outcome,
            message: reply.message.clone(),
        };
        // Nobody took the receiver: then the log is all there is.
        let _ = self.plugin.late.send(late);
    }
}

fn cancel_descriptor() -> io::Result<EventFd> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    EventFd::from_value_and_flags(0, flags).map_err(io::Error::from)
}

fn read_answer<A: serde::de::DeserializeOwned>(json: &[u8]) -> serde_json::Result<A> {
    serde_json::from_slice(if json.is_empty() { b"{}" } else { json })
}
