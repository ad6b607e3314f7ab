//! Owner tasks: one per pod, one per stand-alone container. An owner never awaits an effect; effects run beside it and
//! report back, so that a second request always reaches it.
//!
//! What happens when a request meets one in progress on the same object:
//!
//! | in progress | Start | Stop | Remove | Remove (force) | StopPod, RemovePod |
//! |---|---|---|---|---|---|
//! | Start | joins | waits its turn | refused: it runs | cancels it, waits its turn | waits its turn |
//! | Stop | waits its turn | joins, the shorter time wins | refused: it runs | waits its turn, time now 0 | waits its turn |
//! | Remove | refused | refused: it is going | joins | joins | waits its turn |
//! | Pause | waits its turn | waits its turn | refused: it runs | waits its turn | waits its turn |
//! | Again (by policy) | joins | waits its turn | refused: it runs | cancels it, waits its turn | waits its turn |
//! | cleaning up after an exit | waits its turn | waits its turn | waits its turn | waits its turn | waits its turn |

mod attach;
mod decide;
mod events;
pub(crate) mod policy;
mod run;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry_model::call::Cancel;
use gantry_model::supervisor::{AttachStreams, Attached, Exit, Supervisor, SupervisorEvent};
use gantry_model::{ContainerId, Result, SandboxId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::RemoveContainer;
use crate::inner::{Inner, lock};

/// Which owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Container(ContainerId),
    Pod(SandboxId),
}

/// What an owner works on: itself as a pod, or one container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    Pod,
    Container(ContainerId),
}

/// What can be asked of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Start,
    /// A start that a restart policy asks for.
    Again,
    Stop {
        timeout: Option<Duration>,
    },
    Remove(RemoveContainer),
    Pause(bool),
    StopPod,
    RemovePod,
}

pub(crate) type Reply = oneshot::Sender<Result<()>>;

pub(crate) enum Message {
    /// A change somebody wants.
    Wish {
        object: Object,
        wish: Wish,
        reply: Reply,
    },
    /// A stop and the start that follows it, with nothing in between.
    Restart {
        id: ContainerId,
        timeout: Option<Duration>,
        stopped: Reply,
        started: Reply,
    },
    /// A removal that failed may be tried again.
    RemoveAgain {
        id: ContainerId,
        how: RemoveContainer,
    },
    /// The restart policy's back-off may be over.
    Due { id: ContainerId },
    /// Somebody wants to attach to this or the next run.
    Attach {
        id: ContainerId,
        streams: AttachStreams,
        reply: oneshot::Sender<Result<Attached>>,
    },
    /// Somebody needs the supervisor.
    Handle {
        reply: oneshot::Sender<Option<Arc<dyn Supervisor>>>,
    },
    /// The sandbox has its supervisor: made by a start, or found again.
    Up(Live),
    /// The supervisor is gone and cleaned up after.
    Down,
    /// An effect has ended.
    Finished { object: Object, result: Result<()> },
    /// The clean-up after a run has begun, outside of this owner: start-up found it dead.
    Freeing { id: ContainerId },
    /// The clean-up after an exit has ended.
    Settled { id: ContainerId },
}

/// A live supervisor and what it tells.
pub(crate) struct Live {
    pub(crate) id: SandboxId,
    pub(crate) handle: Arc<dyn Supervisor>,
    pub(crate) events: mpsc::UnboundedReceiver<SupervisorEvent>,
}

/// Somebody who attached before the run was there.
pub(crate) struct PendingAttach {
    pub(crate) streams: AttachStreams,
    pub(crate) reply: oneshot::Sender<Result<Attached>>,
}

/// Those who wait for a container's next run; the start effect serves them before it lets the run go.
pub(crate) type Pending = Arc<Mutex<Vec<PendingAttach>>>;

/// The effect in progress on an object.
struct Active {
    wish: Wish,
    replies: Vec<Reply>,
    /// Said when the time is up or somebody wants the object gone.
    cancel: Cancel,
    /// It was said because of a removal.
    for_removal: bool,
    /// Stop: when to lose patience.
    patience: watch::Sender<Instant>,
}

#[derive(Default)]
struct Slot {
    active: Option<Active>,
    /// A clean-up after an exit is running.
    finishing: bool,
    waiting: VecDeque<(Wish, Reply)>,
    pending: Pending,
    /// Removals that have failed one after the other.
    failed_removals: u32,
    /// Exits that came while a start was still being written down.
    deferred: Option<(u32, Exit)>,
}

struct Owner {
    key: Key,
    inner: Arc<Inner>,
    me: mpsc::UnboundedSender<Message>,
    live: Option<Live>,
    slots: HashMap<Object, Slot>,
}

impl Wish {
    /// A run is begun, by whomever.
    pub(crate) fn starts(self) -> bool {
        matches!(self, Self::Start | Self::Again)
    }

    /// The pod and all that runs in it is to end.
    pub(crate) fn ends_pod(self) -> bool {
        matches!(self, Self::StopPod | Self::RemovePod)
    }
}

impl Inner {
    /// The owner's mailbox; the owner is started at its first letter.
    pub(crate) fn owner(self: &Arc<Self>, key: &Key) -> mpsc::UnboundedSender<Message> {
        let mut owners = lock(&self.owners);
        if let Some(sender) = owners.get(key) {
            return sender.clone();
        }
        let (me, mailbox) = mpsc::unbounded_channel();
        owners.insert(key.clone(), me.clone());
        let owner = Owner {
            key: key.clone(),
            inner: Arc::clone(self),
            me: me.clone(),
            live: None,
            slots: HashMap::new(),
        };
        tokio::spawn(owner.run(mailbox));
        me
    }

    /// The owner of a container.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn owner_of(
        self: &Arc<Self>,
        id: &ContainerId,
    ) -> Result<mpsc::UnboundedSender<Message>> {
        let key = match &self.container(id)?.pod {
            Some(pod) => Key::Pod(pod.clone()),
            None => Key::Container(id.clone()),
        };
        Ok(self.owner(&key))
    }

    /// Asks a container's owner and waits for the answer. A caller that goes away cancels nothing.
    pub(crate) async fn ask(self: &Arc<Self>, id: &ContainerId, wish: Wish) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Wish {
            object: Object::Container(id.clone()),
            wish,
            reply,
        };
        // A mailbox that closed meanwhile drops the reply, which the next line reports.
        let _ = self.owner_of(id)?.send(message);
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Asks a pod's owner.
    pub(crate) async fn ask_pod(self: &Arc<Self>, id: &SandboxId, wish: Wish) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let _ = self.owner(&Key::Pod(id.clone())).send(Message::Wish {
            object: Object::Pod,
            wish,
            reply,
        });
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// The supervisor a container runs under, if it does.
    pub(crate) async fn supervisor_of(
        self: &Arc<Self>,
        id: &ContainerId,
    ) -> Result<Arc<dyn Supervisor>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.owner_of(id)?.send(Message::Handle { reply });
        let not_running =
            || gantry_model::Error::conflict(format!("container {id} is not running"));
        answer
            .await
            .map_err(|_| not_running())?
            .ok_or_else(not_running)
    }
}

fn gone() -> gantry_model::Error {
    gantry_model::Error::cancelled("the object was removed meanwhile")
}
