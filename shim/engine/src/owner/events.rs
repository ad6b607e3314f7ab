//! What supervisors tell, and what follows from it.

use std::sync::Arc;

use gantry_model::supervisor::{Exit, SupervisorEvent};
use gantry_model::{ContainerId, SandboxId};

use super::{Key, Message, Object, Owner, Wish};
use crate::effect;

impl Owner {
    pub(super) fn told(&mut self, event: SupervisorEvent) {
        match event {
            SupervisorEvent::Exited { id, run, exit } => self.exited(&id, run, exit),
            SupervisorEvent::ExecExited { id, exit } => self.inner.exec_ended(&id, &exit),
            SupervisorEvent::Gone => self.supervisor_gone(),
        }
    }

    /// A run has ended. While its start or pause is still being written down the exit waits for that.
    pub(super) fn exited(&mut self, id: &ContainerId, run: u32, exit: Exit) {
        let object = Object::Container(id.clone());
        let slot = self.slots.entry(object).or_default();
        if slot
            .active
            .as_ref()
            .is_some_and(|active| active.wish.starts() || matches!(active.wish, Wish::Pause(_)))
        {
            slot.deferred = Some((run, exit));
            return;
        }
        let expected = self.inner.container(id).is_ok_and(|container| {
            container
                .run
                .as_ref()
                .is_some_and(|current| current.number == run && current.exit.is_none())
        });
        if !expected || slot.finishing {
            return;
        }
        slot.finishing = true;
        self.inner.lose_execs(id);
        self.inner.ledger.settle(id, false);
        let context = effect::finish::Finish {
            inner: Arc::clone(&self.inner),
            owner: self.me.clone(),
            handle: self.live.as_ref().map(|live| Arc::clone(&live.handle)),
            pod: matches!(self.key, Key::Pod(_)),
        };
        let (id, me) = (id.clone(), self.me.clone());
        tokio::spawn(async move {
            let ended = id.clone();
            let freed = crate::run_to_end(async move {
                context.run(&ended, exit).await;
                Ok(())
            });
            if let Err(error) = freed.await {
                tracing::error!(container = %id, %error, "freeing what a run held");
            }
            let _ = me.send(Message::Settled { id });
        });
    }

    /// The supervisor died: every run under it ended in a way nobody knows.
    fn supervisor_gone(&mut self) {
        let Some(live) = self.live.take() else { return };
        let runs = self.runs_in(&live.id);
        let inner = Arc::clone(&self.inner);
        let pod = matches!(self.key, Key::Pod(_));
        let at = self.inner.now();
        for (id, run) in runs {
            self.exited(
                &id,
                run,
                Exit {
                    code: 255,
                    at,
                    unknown: true,
                    ..Exit::default()
                },
            );
        }
        if pod {
            tokio::spawn(async move { effect::pod::lost(&inner, &live.id).await });
        }
    }

    fn runs_in(&self, sandbox: &SandboxId) -> Vec<(ContainerId, u32)> {
        let tables = self.inner.ledger.read();
        tables
            .containers
            .values()
            .filter_map(|sender| {
                let container = Arc::clone(&sender.borrow().container);
                let run = container.run.as_ref()?;
                (run.sandbox == *sandbox && run.exit.is_none())
                    .then(|| (container.id.clone(), run.number))
            })
            .collect()
    }
}
