//! Calls of a driver that has to be told what there is before it is asked for anything: networks.

use std::sync::Arc;
use std::time::Duration;

use gantry_abi::schema;
use gantry_abi::schema::network::{ReconcileAnswer, ReconcileRequest};
use gantry_abi::{ErrorCode, Outcome};
use gantry_model::call::Call;
use gantry_model::{Error, ErrorKind, Result};
use gantry_plugin_loader::{Descriptor, Reply};
use tokio::time::Instant;

use super::{Plugin, Sent};
use crate::convert::error_of;
use crate::told::{Change, Need};

/// What `reconcile` locks: a name no object has.
const RECONCILE: &str = "/reconcile";
/// How often a call is begun anew because its process ended before it.
const TRIES: usize = 3;

impl Plugin {
    /// As [`Plugin::call`], once the process that will take it has been told everything.
    ///
    /// # Errors
    /// As there; `Unavailable` as well when the driver could not be told: nothing was done then.
    pub(crate) async fn change<R: schema::Request>(
        self: &Arc<Self>,
        call: &Call,
        objects: &[&str],
        request: &R,
        fds: Vec<Descriptor>,
        change: Change,
    ) -> Result<R::Answer> {
        let until = Instant::now() + call.timeout.min(self.deadline);
        let left = || until.saturating_duration_since(Instant::now());
        let doing = |error: Error| error.context(self.doing(R::FUNCTION, objects));
        if self.told.never_was(&change) {
            let nothing = Reply::refused(Outcome::Done, ErrorCode::Internal, "");
            return self.read::<R>(Sent::Reply(nothing), objects);
        }
        if let Some(why) = self.backend.refused() {
            let why = format!("the plugin is in quarantine: {why}");
            return Err(doing(Error::unavailable(why)));
        }
        let mut sent = Sent::Replaced;
        for _ in 0..TRIES {
            let only = match self.agree(call, left()).await {
                Ok(only) => only,
                Err(NotTold::Failed(error)) if change.takes_away() => {
                    tracing::warn!(plugin = self.label(), %error, "going on without");
                    None
                }
                Err(error) => return Err(doing(error.into())),
            };
            let mut order = self.order(request, objects, fds.clone())?;
            let overdue = || self.flights.overdue(&[RECONCILE]);
            let pass = self.wait(call, left(), overdue, self.told.shared()).await;
            order.pass = Some(pass.map_err(doing)?);
            (order.only, order.change) = (only, Some(change.clone()));
            sent = self.send(call, order, left()).await?;
            if matches!(sent, Sent::Reply(_)) {
                break;
            }
        }
        self.read::<R>(sent, objects)
    }

    /// Tells the driver what the engine believes in.
    ///
    /// # Errors
    /// As [`Plugin::call`]. It is told again by the next call then.
    pub(crate) async fn believe(
        self: &Arc<Self>,
        call: &Call,
        request: ReconcileRequest,
    ) -> Result<ReconcileAnswer> {
        self.told.believe(request);
        let sent = self.tell(call, call.timeout.min(self.deadline)).await?;
        self.read::<ReconcileRequest>(sent.unwrap_or(Sent::Replaced), &[RECONCILE])
    }

    /// Has the driver told, if it is not; the process that was.
    async fn agree(
        self: &Arc<Self>,
        call: &Call,
        left: Duration,
    ) -> std::result::Result<Option<u64>, NotTold> {
        let until = Instant::now() + left;
        for _ in 0..TRIES {
            match self.told.need(self.backend.generation()) {
                Need::Nothing(only) => return Ok(only),
                Need::Engine => {
                    let why = "it serves again, and is being told of the networks that there are";
                    return Err(NotTold::Refused(Error::unavailable(why)));
                }
                Need::Telling(_) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            let reply = match self.tell(call, left).await {
                Ok(Some(Sent::Reply(reply))) => reply,
                // Somebody else has told it meanwhile, or it was replaced once more.
                Ok(_) => continue,
                Err(error) => return Err(NotTold::Refused(error)),
            };
            match reply.outcome {
                Outcome::Done => self.say(&reply),
                Outcome::NotDone => return Err(NotTold::Failed(error_of(&reply))),
                Outcome::Unknown => return Err(NotTold::Refused(error_of(&reply))),
            }
        }
        let why = "its process was replaced again and again";
        Err(NotTold::Refused(Error::unavailable(why)))
    }

    /// What a driver did when it was told again.
    fn say(&self, reply: &Reply) {
        let plugin = self.label();
        tracing::info!(plugin, "it was told again what there is");
        let answer = super::read_answer::<ReconcileAnswer>(&reply.json).unwrap_or_default();
        for line in answer.repaired.iter().chain(&answer.removed) {
            tracing::info!(plugin, "{line}");
        }
        for endpoint in &answer.lost {
            tracing::warn!(plugin, endpoint, "an endpoint is lost");
        }
    }

    /// Alone with the driver, unless it knows already.
    async fn tell(self: &Arc<Self>, call: &Call, left: Duration) -> Result<Option<Sent>> {
        let until = Instant::now() + left;
        let overdue = || self.flights.any_overdue();
        let pass = self.wait(call, left, overdue, self.told.alone()).await;
        let pass = pass.map_err(|error| error.context(self.doing("reconcile", &[])))?;
        let Need::Telling(generation) = self.told.need(self.backend.generation()) else {
            return Ok(None);
        };
        let mut order = self.order(&self.told.request(), &[RECONCILE], Vec::new())?;
        order.pass = Some(pass);
        order.only = Some(generation);
        order.change = Some(Change::Reconcile(generation));
        let left = until.saturating_duration_since(Instant::now());
        self.send(call, order, left).await.map(Some)
    }
}

/// Why a driver does not know what there is.
enum NotTold {
    /// It said that it could not.
    Failed(Error),
    /// It was not asked, or its answer is not known.
    Refused(Error),
}

impl From<NotTold> for Error {
    /// Nothing of the call itself was done.
    fn from(why: NotTold) -> Self {
        let (NotTold::Failed(error) | NotTold::Refused(error)) = why;
        let kind = match error.kind {
            kind @ (ErrorKind::Cancelled | ErrorKind::DeadlineExceeded) => kind,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, error.message).context("the driver has to know first what there is")
    }
}
