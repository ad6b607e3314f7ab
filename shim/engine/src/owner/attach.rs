//! Attaching: to the run that is there, or to the next one.

use std::sync::Arc;

use gantry_model::supervisor::{AttachStreams, Attached, Target};
use gantry_model::{ContainerId, Error, Result};
use tokio::sync::oneshot;

use super::{Object, Owner, PendingAttach, Wish};
use crate::inner::lock;

impl Owner {
    pub(super) fn attach(
        &mut self,
        id: &ContainerId,
        streams: AttachStreams,
        reply: oneshot::Sender<Result<Attached>>,
    ) {
        let slot = self.slots.entry(Object::Container(id.clone())).or_default();
        let starting = slot
            .active
            .as_ref()
            .is_some_and(|active| active.wish.starts());
        let removing = slot
            .active
            .as_ref()
            .is_some_and(|active| matches!(active.wish, Wish::Remove(_)));
        if removing {
            let _ = reply.send(Err(Error::conflict(format!(
                "container {id} is being removed"
            ))));
            return;
        }
        let live = self
            .inner
            .container(id)
            .is_ok_and(|container| container.state.is_live());
        if starting || !live || slot.finishing {
            let mut pending = lock(&slot.pending);
            // Those who went away meanwhile wait for nothing.
            pending.retain(|waiter| !waiter.reply.is_closed());
            pending.push(PendingAttach { streams, reply });
            return;
        }
        self.attach_live(id, streams, reply);
    }

    fn attach_live(
        &self,
        id: &ContainerId,
        streams: AttachStreams,
        reply: oneshot::Sender<Result<Attached>>,
    ) {
        let Some(handle) = self.live.as_ref().map(|live| Arc::clone(&live.handle)) else {
            let _ = reply.send(Err(Error::unavailable(format!(
                "container {id}: its supervisor does not answer"
            ))));
            return;
        };
        let call = self.inner.call(crate::inner::DRIVER_TIMEOUT);
        let target = Target::Container(id.clone());
        tokio::spawn(async move {
            let _ = reply.send(handle.attach(&call, &target, streams).await);
        });
    }

    /// After a start: those who came too late for its own list get the run as it is now; after a failed one, all are
    /// told so.
    pub(super) fn serve_late(&mut self, id: &ContainerId, result: &Result<()>) {
        let Some(slot) = self.slots.get(&Object::Container(id.clone())) else {
            return;
        };
        let waiting: Vec<PendingAttach> = std::mem::take(&mut *lock(&slot.pending));
        for PendingAttach { streams, reply } in waiting {
            match result {
                Ok(()) => self.attach_live(id, streams, reply),
                Err(error) => {
                    let message = format!("container {id} could not be started: {}", error.message);
                    let _ = reply.send(Err(Error::cancelled(message)));
                }
            }
        }
    }
}
