//! One opened plugin and the way of a call to it.

mod told;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gantry_abi::schema::{self, encode};
use gantry_abi::{ErrorCode, Outcome};
use gantry_model::call::Call;
use gantry_model::plugin::PluginKind;
use gantry_model::{Error, Result, Timestamp, operation};
use gantry_plugin_loader::crash::Mark;
use gantry_plugin_loader::{Descriptor, Invocation, Reply, monotonic_ms};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::AsFd;
use tokio::sync::{mpsc, oneshot};

use gantry_plugin_runner::Replaced;

use crate::backend::Backend;
use crate::convert::error_of;
use crate::flights::{Flights, Ticket};
use crate::locks::{Held, Locks};
use crate::pool::Pool;
use crate::quarantine::{Quarantine, mark};
use crate::told::{Change, Pass, Told};
use gantry_model::plugin::LateResult;

/// One opened plugin.
pub(crate) struct Plugin {
    pub(crate) kind: PluginKind,
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) backend: Backend,
    pub(crate) pool: Pool,
    pub(crate) locks: Locks,
    pub(crate) flights: Flights,
    /// The longest a call may take, whatever its caller allows.
    pub(crate) deadline: Duration,
    pub(crate) mark: Arc<Mark>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) late: mpsc::UnboundedSender<LateResult>,
    /// In which call it panicked, once it did.
    pub(crate) poisoned: OnceLock<String>,
    /// What it was told of networks.
    pub(crate) told: Told,
}

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const ABANDONED: u8 = 2;

/// One call to be made.
struct Order {
    table: &'static str,
    function: &'static str,
    /// Those it changes.
    objects: Vec<String>,
    json: Vec<u8>,
    fds: Vec<Descriptor>,
    /// What it changes of what the driver was told.
    change: Option<Change>,
    /// Held until it has returned.
    pass: Option<Pass>,
    /// The process it is for, if that matters.
    only: Option<u64>,
}

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
    change: Option<Change>,
    only: Option<u64>,
    cancel: EventFd,
    state: AtomicU8,
    /// It was not made: the process it was for is there no more.
    replaced: AtomicBool,
    /// Kept until the call has returned, or is called off before it began.
    lease: Mutex<Option<Lease>>,
}

/// What a call holds. The place in the list goes first: who gets the lock must not find this call in its way.
struct Lease {
    ticket: Ticket,
    _pass: Option<Pass>,
    _held: Held,
}

/// What became of an order.
enum Sent {
    Reply(Reply),
    /// Nothing: the process it was for is there no more.
    Replaced,
}

impl Order {
    fn of<R: schema::Request>(
        request: &R,
        objects: &[&str],
        fds: Vec<Descriptor>,
    ) -> serde_json::Result<Self> {
        Ok(Self {
            table: R::TABLE,
            function: R::FUNCTION,
            objects: objects.iter().map(ToString::to_string).collect(),
            json: encode(request)?,
            fds,
            change: None,
            pass: None,
            only: None,
        })
    }
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
        let order = self.order(request, objects, fds)?;
        let timeout = call.timeout.min(self.deadline);
        let sent = self.send(call, order, timeout).await?;
        self.read::<R>(sent, objects)
    }

    fn order<R: schema::Request>(
        &self,
        request: &R,
        objects: &[&str],
        fds: Vec<Descriptor>,
    ) -> Result<Order> {
        Order::of(request, objects, fds).map_err(|error| {
            let doing = self.doing(R::FUNCTION, objects);
            Error::internal(format!("{doing}: {error}"))
        })
    }

    fn read<R: schema::Request>(&self, sent: Sent, objects: &[&str]) -> Result<R::Answer> {
        let doing = || self.doing(R::FUNCTION, objects);
        match sent {
            Sent::Reply(reply) if reply.outcome == Outcome::Done => read_answer(&reply.json)
                .map_err(|error| {
                    Error::unknown(format!(
                        "{}: done, but the answer cannot be read: {error}",
                        doing()
                    ))
                }),
            Sent::Reply(reply) => Err(error_of(&reply).context(doing())),
            Sent::Replaced => Err(Error::unavailable(format!(
                "{}: the plugin's process was replaced; nothing was done",
                doing()
            ))),
        }
    }

    /// Waits for the objects, hands the call to a thread and waits for its answer.
    async fn send(self: &Arc<Self>, call: &Call, order: Order, timeout: Duration) -> Result<Sent> {
        let objects: Vec<&str> = order.objects.iter().map(String::as_str).collect();
        let doing = || self.doing(order.function, &objects);
        self.refuse_poisoned()?;
        call.cancel.check()?;
        let began = tokio::time::Instant::now();
        let overdue = || self.flights.overdue(&objects);
        let held = self
            .wait(call, timeout, overdue, self.locks.lock(&objects))
            .await
            .map_err(|error| error.context(doing()))?;
        let left = timeout.saturating_sub(began.elapsed());
        let ticket = self
            .flights
            .add(order.function, &objects, &call.operation, left);
        let flight = Arc::new(Flight {
            plugin: Arc::clone(self),
            call: call.clone(),
            deadline_ms: monotonic_ms() + u64::try_from(left.as_millis()).unwrap_or(u64::MAX / 2),
            cancel: cancel_descriptor()
                .map_err(|error| Error::exhausted(format!("{}: {error}", doing())))?,
            state: AtomicU8::new(QUEUED),
            replaced: AtomicBool::new(false),
            lease: Mutex::new(Some(Lease {
                ticket,
                _pass: order.pass,
                _held: held,
            })),
            table: order.table,
            function: order.function,
            objects: order.objects.clone(),
            json: order.json,
            fds: order.fds,
            change: order.change,
            only: order.only,
        });
        let reply = self.fly(&flight, left).await?;
        match flight.replaced.load(Ordering::Acquire) {
            true => Ok(Sent::Replaced),
            false => Ok(Sent::Reply(reply)),
        }
    }

    /// When it crashed last, as far as that counts.
    pub(crate) fn quarantined_since(&self) -> Timestamp {
        let verdict = self.quarantine.verdict(&self.label(), &self.sha256);
        verdict.map_or(Timestamp::default(), |verdict| verdict.since)
    }

    fn doing(&self, function: &str, objects: &[&str]) -> String {
        match objects.first() {
            Some(object) => format!("{function} {object} by plugin {}", self.label()),
            None => format!("{function} by plugin {}", self.label()),
        }
    }

    fn refuse_poisoned(&self) -> Result<()> {
        match self.poisoned.get() {
            None => Ok(()),
            Some(call) => Err(Error::unavailable(format!(
                "plugin {} panicked in {call} and is refused until the daemon restarts",
                self.label()
            ))),
        }
    }

    /// Waits for calls that are on their way; one past its deadline is not waited for, but named.
    async fn wait<T>(
        &self,
        call: &Call,
        timeout: Duration,
        overdue: impl Fn() -> Option<String>,
        what: impl Future<Output = T>,
    ) -> Result<T> {
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(what, deadline);
        loop {
            let late = self.flights.next_late();
            if let Some(words) = overdue() {
                return Err(Error::unavailable(words));
            }
            tokio::select! {
                biased;
                held = &mut what => return Ok(held),
                () = call.cancel.cancelled() => {
                    return Err(Error::cancelled("cancelled while an earlier call on it runs"));
                }
                () = &mut deadline => {
                    return Err(Error::deadline("an earlier call on it has not returned; nothing was done"));
                }
                () = late => {}
            }
        }
    }

    /// Hands the call to a thread and waits as long as its caller may.
    async fn fly(self: &Arc<Self>, flight: &Arc<Flight>, left: Duration) -> Result<Reply> {
        let doing = || flight.doing();
        if let Some(words) = self.flights.exhausted(self.pool.threads()) {
            return Err(Error::unavailable(format!("{}: {words}", doing())));
        }
        let (answer, mut answered) = oneshot::channel();
        let job = Arc::clone(flight);
        self.pool.submit(move || job.run(answer)).map_err(|_| {
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
                    // Closed first: an answer is either taken here or is a late one, never neither.
                    answered.close();
                    if let Ok(reply) = answered.try_recv() {
                        return Ok(reply);
                    }
                    flight.say_cancel();
                    return Err(Error::unknown(flight.left_alone(left)));
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
            .is_ok_and(|_| {
                // Its job still waits for a thread and will find nothing to do; the object is free at once.
                drop(self.take_lease());
                true
            })
    }

    fn take_lease(&self) -> Option<Lease> {
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        lease.take()
    }

    fn doing(&self) -> String {
        let objects: Vec<&str> = self.objects.iter().map(String::as_str).collect();
        self.plugin.doing(self.function, &objects)
    }

    /// The caller goes; what it is told.
    fn left_alone(&self, waited: Duration) -> String {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = &*lease {
            lease.ticket.is_late();
        }
        let locked = match self.objects.first() {
            Some(object) => format!("; {object} is locked until it returns"),
            None => String::new(),
        };
        let waited = waited.as_secs_f32();
        format!(
            "{}: still running at its deadline, after {waited:.0} s; the outcome is unknown{locked}",
            self.doing()
        )
    }

    /// Whose affairs may go on once it has returned.
    fn concerned(&self) -> Vec<String> {
        let mut all = self.objects.clone();
        if matches!(self.change, Some(Change::Reconcile(_))) {
            all.extend(self.plugin.told.ids());
        }
        all
    }

    fn say_cancel(&self) {
        if let Err(error) = self.cancel.write(1) {
            tracing::warn!(plugin = self.plugin.label(), %error, "cannot tell the plugin to stop");
        }
    }

    /// On a thread of the plugin.
    fn run(&self, answer: oneshot::Sender<Reply>) {
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
        // Outside of the mark: a kill here is not the plugin's.
        gantry_fault::pass("plugin-host.call.before-enter");
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
        if let Some(change) = &self.change {
            plugin.told.begins(change);
        }
        let reply = plugin
            .backend
            .call(self.table, self.function, call, self.only);
        let reply = reply.unwrap_or_else(|Replaced| {
            self.replaced.store(true, Ordering::Release);
            let why = "the plugin's process was replaced";
            Reply::refused(Outcome::NotDone, ErrorCode::Unavailable, why)
        });
        drop(entered);
        if let Some(change) = &self.change {
            plugin.told.ends(change, &reply);
        }
        gantry_fault::pass("plugin-host.call.after-return");
        if reply.outcome != Outcome::Done
            && reply.code == ErrorCode::Poisoned
            && plugin.backend.is_shared()
        {
            // The first panic is the cause of the others.
            let _ = plugin
                .poisoned
                .set(format!("{} of {object}: {}", self.function, reply.message));
        }
        // Before the caller hears of it, so that its next call on the object does not meet its own lock.
        let lease = self.take_lease();
        let took = lease.as_ref().map(|lease| lease.ticket.age());
        drop(lease);
        if let Err(reply) = answer.send(reply) {
            self.too_late(&reply, took.unwrap_or_default());
        }
    }

    fn too_late(&self, reply: &Reply, took: Duration) {
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
            objects: self.concerned(),
            operation: self.call.operation.clone(),
            outcome,
            message: reply.message.clone(),
        };
        let object = self.objects.first().map_or("-", String::as_str);
        let (seconds, said) = (took.as_secs_f32(), &reply.message);
        let words = match reply.outcome {
            Outcome::Done => format!("{function} of {object} was done after {seconds:.1} s"),
            Outcome::NotDone => {
                format!("{function} of {object} failed after {seconds:.1} s: {said}")
            }
            Outcome::Unknown => {
                format!("{function} of {object} ended unknown after {seconds:.1} s: {said}")
            }
        };
        self.plugin.flights.answered_late(words);
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
