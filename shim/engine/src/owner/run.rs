//! The owner's loop: letters in, effects out.

use std::sync::Arc;

use gantry_model::call::Cancel;
use gantry_model::supervisor::SupervisorEvent;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::decide::{Answer, decide};
use super::{Active, Key, Message, Object, Owner, Reply, Wish};
use crate::effect;
use crate::inner::lock;

impl Owner {
    pub(super) async fn run(mut self, mut mailbox: mpsc::UnboundedReceiver<Message>) {
        loop {
            tokio::select! {
                // Letters first: an end that was asked for is told before it is seen.
                biased;
                letter = mailbox.recv() => {
                    let Some(letter) = letter else { return };
                    self.receive(letter);
                    if self.is_over() {
                        break;
                    }
                }
                event = next_event(self.live.as_mut()) => self.told(event),
            }
        }
        lock(&self.inner.owners).remove(&self.key);
        // Whoever wrote meanwhile is told that the object is gone: the replies drop with the mailbox.
    }

    fn receive(&mut self, letter: Message) {
        match letter {
            Message::Wish {
                object,
                wish,
                reply,
            } => self.wish(object, wish, reply),
            Message::Restart {
                id,
                timeout,
                stopped,
                started,
            } => self.restart(id, timeout, stopped, started),
            Message::RemoveAgain { id, how } => self.remove_again(id, how),
            Message::Due { id } => self.due(&id),
            Message::Attach { id, streams, reply } => self.attach(&id, streams, reply),
            Message::Handle { reply } => {
                let _ = reply.send(self.live.as_ref().map(|live| Arc::clone(&live.handle)));
            }
            Message::Up(live) => self.live = Some(live),
            Message::Down => self.live = None,
            Message::Finished { object, result } => self.finished(&object, &result),
            Message::Freeing { id } => {
                let slot = self.slots.entry(Object::Container(id)).or_default();
                slot.finishing = true;
            }
            Message::Settled { id } => self.settled(&id),
        }
    }

    /// The object this owner is for has gone and nothing is in progress.
    fn is_over(&self) -> bool {
        let gone = match &self.key {
            Key::Container(id) => self.inner.container(id).is_err(),
            Key::Pod(id) => self.inner.sandbox(id).is_err(),
        };
        gone && self
            .slots
            .values()
            .all(|slot| slot.active.is_none() && !slot.finishing && slot.waiting.is_empty())
    }

    fn wish(&mut self, object: Object, wish: Wish, reply: Reply) {
        if wish.starts() && object != Object::Pod && self.is_pod_going() {
            let _ = reply.send(Err(gantry_model::Error::failed_precondition(
                "the pod sandbox is being stopped",
            )));
            return;
        }
        if wish.ends_pod() && self.stop_starts() {
            // It has its turn when those have ended: what they make must not be left behind.
            let slot = self.slots.entry(object).or_default();
            slot.waiting.push_back((wish, reply));
            return;
        }
        let slot = self.slots.entry(object.clone()).or_default();
        let active = slot.active.as_ref().map(|active| active.wish);
        match decide(active, slot.finishing, wish) {
            Answer::Begin => self.begin(object, wish, vec![reply]),
            Answer::Join => {
                if let Some(active) = &mut slot.active {
                    active.replies.push(reply);
                    hurry(active, wish);
                }
            }
            Answer::Wait => {
                if let Some(active) = &mut slot.active
                    && matches!(wish, Wish::Remove(how) if how.force)
                {
                    if active.wish.starts() {
                        active.for_removal = true;
                        active.cancel.cancel();
                    }
                    hurry(
                        active,
                        Wish::Stop {
                            timeout: Some(std::time::Duration::ZERO),
                        },
                    );
                }
                slot.waiting.push_back((wish, reply));
            }
            Answer::Refuse(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    fn begin(&mut self, object: Object, wish: Wish, replies: Vec<Reply>) {
        let slot = self.slots.entry(object.clone()).or_default();
        let (patience, patience_seen) = watch::channel(far());
        let pending = Arc::clone(&slot.pending);
        let cancel = Cancel::default();
        let active = Active {
            wish,
            replies,
            patience,
            cancel: cancel.clone(),
            for_removal: false,
        };
        if let Wish::Stop { timeout } = wish {
            let timeout =
                timeout.unwrap_or_else(|| effect::stop::default_timeout(&self.inner, &object));
            active
                .patience
                .send_replace(Instant::now().checked_add(timeout).unwrap_or_else(far));
        }
        slot.active = Some(active);
        let context = effect::Context {
            inner: Arc::clone(&self.inner),
            key: self.key.clone(),
            owner: self.me.clone(),
            handle: self.live.as_ref().map(|live| Arc::clone(&live.handle)),
            patience: patience_seen,
            pending,
            cancel,
        };
        let me = self.me.clone();
        let effect = {
            let object = object.clone();
            crate::run_to_end(async move { in_time(&context, &object, wish).await })
        };
        // Whatever becomes of it is told, a panic too: an object must not stay locked.
        tokio::spawn(async move {
            let result = effect.await;
            let _ = me.send(Message::Finished { object, result });
        });
    }

    fn finished(&mut self, object: &Object, result: &gantry_model::Result<()>) {
        let Some(slot) = self.slots.get_mut(object) else {
            return;
        };
        let Some(active) = slot.active.take() else {
            return;
        };
        let answer = match result {
            Err(error)
                if active.for_removal && error.kind == gantry_model::ErrorKind::Cancelled =>
            {
                Err(gantry_model::Error::conflict(
                    "container is marked for removal and cannot be started",
                ))
            }
            other => other.clone(),
        };
        for reply in active.replies {
            let _ = reply.send(answer.clone());
        }
        let deferred = slot.deferred.take();
        if let (Object::Container(id), Wish::Remove(how)) = (object, active.wish)
            && result.is_err()
        {
            self.remove_later(id, how);
        }
        if let (Some((run, exit)), Object::Container(id)) = (deferred, object) {
            self.exited(&id.clone(), run, exit);
        }
        if let Object::Container(id) = object
            && active.wish.starts()
            && result.is_ok()
            && self.live.is_none()
        {
            self.lost_meanwhile(id);
        }
        if let Object::Container(id) = object
            && active.wish.starts()
        {
            self.serve_late(&id.clone(), result);
            if result
                .as_ref()
                .is_err_and(|error| error.kind != gantry_model::ErrorKind::NotModified)
            {
                self.remove_if_asked(id);
                self.schedule(id);
            }
        }
        self.next(object);
        if *object != Object::Pod {
            self.next(&Object::Pod);
        }
    }

    /// The pod is being stopped or removed, or waits to be.
    fn is_pod_going(&self) -> bool {
        self.slots.get(&Object::Pod).is_some_and(|slot| {
            let active = slot.active.as_ref().map(|active| active.wish);
            let waiting = slot.waiting.iter().map(|(wish, _)| *wish);
            active.into_iter().chain(waiting).any(Wish::ends_pod)
        })
    }

    /// Cancels the starts of containers that are in progress; whether there are any.
    fn stop_starts(&self) -> bool {
        let starts = self
            .slots
            .iter()
            .filter(|(object, _)| **object != Object::Pod);
        let mut any = false;
        for active in starts.filter_map(|(_, slot)| slot.active.as_ref()) {
            if active.wish.starts() {
                active.cancel.cancel();
                any = true;
            }
        }
        any
    }

    /// A run was started, and its supervisor has gone before that was written down: nobody else will tell its end.
    fn lost_meanwhile(&mut self, id: &gantry_model::ContainerId) {
        let run = self.inner.container(id).ok().and_then(|container| {
            let run = container.run.as_ref()?;
            run.exit.is_none().then_some(run.number)
        });
        let Some(run) = run else { return };
        let exit = gantry_model::supervisor::Exit {
            code: 255,
            at: self.inner.now(),
            unknown: true,
            ..Default::default()
        };
        self.exited(id, run, exit);
    }

    /// What is half removed cannot be used any more: its removal goes on by itself, whoever asked for it.
    fn remove_later(&mut self, id: &gantry_model::ContainerId, how: crate::RemoveContainer) {
        let state = self.inner.container(id).map(|container| container.state);
        if state != Ok(gantry_model::state::State::Removing) {
            return;
        }
        let slot = self.slots.entry(Object::Container(id.clone())).or_default();
        let pause = std::time::Duration::from_secs(1 << slot.failed_removals.min(6));
        slot.failed_removals += 1;
        let (id, me) = (id.clone(), self.me.clone());
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = me.send(Message::RemoveAgain { id, how });
        });
    }

    fn remove_again(&mut self, id: gantry_model::ContainerId, how: crate::RemoveContainer) {
        let state = self.inner.container(&id).map(|container| container.state);
        let object = Object::Container(id);
        let busy = |slot: &super::Slot| slot.active.is_some() || slot.finishing;
        if state == Ok(gantry_model::state::State::Removing)
            && !self.slots.get(&object).is_some_and(busy)
        {
            let (reply, _) = tokio::sync::oneshot::channel();
            self.wish(object, Wish::Remove(how), reply);
        }
    }

    /// A stop, and a start that waits for it in the queue: what would follow the end of a run alone (a removal, a
    /// restart by policy) finds it there.
    fn restart(
        &mut self,
        id: gantry_model::ContainerId,
        timeout: Option<std::time::Duration>,
        stopped: Reply,
        started: Reply,
    ) {
        let object = Object::Container(id);
        self.wish(object.clone(), Wish::Stop { timeout }, stopped);
        self.wish(object, Wish::Start, started);
    }

    /// The back-off of a restart policy is over, unless a user was faster.
    fn due(&mut self, id: &gantry_model::ContainerId) {
        let due = self.inner.container(id).ok().and_then(|c| c.restart.due);
        let object = Object::Container(id.clone());
        let slot = self.slots.entry(object.clone()).or_default();
        if due.is_none() || slot.active.is_some() || slot.finishing || !slot.waiting.is_empty() {
            return;
        }
        let (reply, _) = tokio::sync::oneshot::channel();
        self.wish(object, Wish::Again, reply);
    }

    /// Sets the clock for a start that a restart policy asks for.
    fn schedule(&self, id: &gantry_model::ContainerId) {
        let due = self.inner.container(id).ok().and_then(|c| c.restart.due);
        let Some(due) = due else { return };
        let nanos = u64::try_from(due.0.saturating_sub(self.inner.now().0)).unwrap_or(0);
        let (id, me) = (id.clone(), self.me.clone());
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_nanos(nanos)).await;
            let _ = me.send(Message::Due { id });
        });
    }

    fn settled(&mut self, id: &gantry_model::ContainerId) {
        let object = Object::Container(id.clone());
        if let Some(slot) = self.slots.get_mut(&object) {
            slot.finishing = false;
        }
        self.inner.ledger.settle(id, true);
        let starts_anew = self
            .slots
            .get(&object)
            .is_some_and(|slot| slot.waiting.iter().any(|(wish, _)| wish.starts()));
        if !starts_anew {
            self.remove_if_asked(id);
            self.schedule(id);
        }
        self.next(&object);
    }

    /// `--rm`: after its run, or after a start that failed.
    fn remove_if_asked(&mut self, id: &gantry_model::ContainerId) {
        if self
            .inner
            .container(id)
            .is_ok_and(|container| container.spec.auto_remove)
        {
            let how = crate::RemoveContainer {
                force: false,
                volumes: true,
            };
            let (reply, _) = tokio::sync::oneshot::channel();
            let object = Object::Container(id.clone());
            match self.slots.get_mut(&object) {
                // The stop that ended it is about to answer: it is no reason to refuse.
                Some(slot) if slot.active.is_some() => {
                    slot.waiting.push_back((Wish::Remove(how), reply));
                }
                _ => self.wish(object, Wish::Remove(how), reply),
            }
        }
    }

    /// Begins what waited for its turn.
    fn next(&mut self, object: &Object) {
        if *object == Object::Pod && self.is_pod_going() && self.stop_starts() {
            return;
        }
        while let Some(slot) = self.slots.get_mut(object) {
            if slot.active.is_some() || slot.finishing {
                return;
            }
            let Some((wish, reply)) = slot.waiting.pop_front() else {
                return;
            };
            self.wish(object.clone(), wish, reply);
        }
    }
}

/// Runs the effect to its end; when its time is up its cancel is said, and what it then answers counts.
async fn in_time(
    context: &effect::Context,
    object: &Object,
    wish: Wish,
) -> gantry_model::Result<()> {
    let mut work = std::pin::pin!(effect::run(context, object, wish));
    if matches!(wish, Wish::Stop { .. }) {
        return work.await;
    }
    tokio::select! {
        result = &mut work => return result,
        () = tokio::time::sleep(effect::TIMEOUT) => context.cancel.cancel(),
    }
    work.await
}

/// The shorter time wins.
fn hurry(active: &Active, wish: Wish) {
    if let Wish::Stop {
        timeout: Some(timeout),
    } = wish
    {
        let until = Instant::now() + timeout.min(std::time::Duration::from_secs(86_400 * 365));
        active.patience.send_if_modified(|patience| {
            let sooner = until < *patience;
            *patience = until.min(*patience);
            sooner
        });
    }
}

/// A moment nobody lives to see.
fn far() -> Instant {
    Instant::now() + std::time::Duration::from_secs(86_400 * 365 * 30)
}

async fn next_event(live: Option<&mut super::Live>) -> SupervisorEvent {
    match live {
        Some(live) => live.events.recv().await.unwrap_or(SupervisorEvent::Gone),
        None => std::future::pending().await,
    }
}
