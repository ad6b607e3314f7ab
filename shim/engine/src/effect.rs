//! Effects: the work of operations, run beside the owner that began them. Each writes its intent before its first side
//! effect and its outcome after the last; what is cut off in between, recovery completes or undoes.

pub(crate) mod config;
pub(crate) mod create;
pub(crate) mod files;
pub(crate) mod finish;
pub(crate) mod network;
pub(crate) mod pause;
pub(crate) mod pod;
pub(crate) mod remove;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod update;
pub(crate) mod volume;

use std::sync::Arc;
use std::time::Duration;

use gantry_model::Result;
use gantry_model::call::{Call, Cancel};
use gantry_model::operation::OperationKind;
use gantry_model::supervisor::Supervisor;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::inner::Inner;
use crate::owner::{Key, Message, Object, Pending, Wish};
use crate::work::Doing;

/// How long an operation on a container or a pod may take as a whole; then its cancel is said. A stop waits for its
/// container as long as it was asked to and is not bounded by this.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// What an effect works with.
pub(crate) struct Context {
    pub(crate) inner: Arc<Inner>,
    pub(crate) key: Key,
    pub(crate) owner: mpsc::UnboundedSender<Message>,
    /// The supervisor, when there is one at the beginning.
    pub(crate) handle: Option<Arc<dyn Supervisor>>,
    /// Stop: until when to wait before SIGKILL; may come nearer meanwhile.
    pub(crate) patience: watch::Receiver<Instant>,
    /// Start: who wants to attach before it is let go.
    pub(crate) pending: Pending,
    /// Said when the time is up or somebody wants the object gone.
    pub(crate) cancel: Cancel,
}

impl Context {
    /// The record of this effect's operation and the context of its calls.
    pub(crate) fn operation(&self, kind: OperationKind, object: &str) -> (Doing, Call) {
        self.inner
            .operation_with(kind, object, TIMEOUT, self.cancel.clone())
    }
}

/// Runs the effect of a wish.
pub(crate) async fn run(context: &Context, object: &Object, wish: Wish) -> Result<()> {
    match (object, wish) {
        (Object::Container(id), Wish::Start) => start::run(context, id, start::By::User).await,
        (Object::Container(id), Wish::Again) => start::run(context, id, start::By::Policy).await,
        (Object::Container(id), Wish::Stop { .. }) => stop::run(context, id).await,
        (Object::Container(id), Wish::Remove(how)) => remove::run(context, id, how).await,
        (Object::Container(id), Wish::Pause(paused)) => pause::run(context, id, paused).await,
        (Object::Pod, Wish::Start) => pod::start(context).await,
        (Object::Pod, Wish::StopPod) => pod::stop(context).await,
        (Object::Pod, Wish::RemovePod) => pod::remove(context).await,
        (object, wish) => Err(gantry_model::Error::internal(format!(
            "{wish:?} means nothing for {object:?}"
        ))),
    }
}
