//! The way to one supervisor: a task that keeps a connection, asks, and hears events.
//!
//! It connects when it is made and again whenever the connection breaks, as long as the supervisor's process lives. A
//! request waits for a connection; its caller's time limit says for how long. One that was sent when the connection
//! broke has an unknown outcome, and is not sent again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gantry_model::supervisor::SupervisorEvent;
use gantry_model::{Error, Result};
use gantry_supervisor_proto::files::SOCKET;
use gantry_supervisor_proto::frame::{Decoder, encode};
use gantry_supervisor_proto::types::{Hello, Welcome};
use gantry_supervisor_proto::{Event, Reply, Request, VERSION};
use gantry_sys::process::try_wait;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

use crate::convert;

/// Between two tries to connect to a process that lives and does not listen.
const AGAIN: Duration = Duration::from_millis(200);

/// An answer with its descriptors.
pub(crate) type Answer = Result<(Reply, Vec<OwnedFd>)>;

/// A request on its way.
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) operation: String,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Set when its first byte may have gone.
    pub(crate) sent: Arc<AtomicBool>,
}

/// The task's state.
pub(crate) struct Link {
    folder: PathBuf,
    pidfd: AsyncFd<OwnedFd>,
    asks: mpsc::UnboundedReceiver<Ask>,
    events: mpsc::UnboundedSender<SupervisorEvent>,
    /// Ends told already: a supervisor tells those it remembers again on each connection.
    told: Told,
    next: u64,
}

/// The latest ends of each kind. More than a supervisor remembers, so that nothing is told twice, and no more, so that
/// a container with a probe each second costs nothing over the years.
#[derive(Default)]
struct Told {
    containers: Latest,
    execs: Latest,
}

/// A set that forgets its oldest members.
#[derive(Default)]
struct Latest {
    known: HashSet<(String, u32)>,
    order: VecDeque<(String, u32)>,
}

impl Latest {
    const MOST: usize = 1024;

    /// `false` when it was there.
    fn insert(&mut self, key: (String, u32)) -> bool {
        if !self.known.insert(key.clone()) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

enum Ended {
    /// The connection broke.
    Broken,
    /// Nobody will ask any more.
    Unused,
    /// The process has ended.
    Gone,
}

impl Link {
    /// # Errors
    /// When the pidfd cannot be watched.
    pub(crate) fn new(
        folder: PathBuf,
        pidfd: OwnedFd,
        asks: mpsc::UnboundedReceiver<Ask>,
        events: mpsc::UnboundedSender<SupervisorEvent>,
    ) -> Result<Self> {
        // What replaces it is `unsafe`, for types whose descriptor may change; an OwnedFd's never does.
        #[allow(deprecated)]
        let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE)
            .map_err(|e| Error::internal(format!("watch supervisor's process: {e}")))?;
        Ok(Self {
            folder,
            pidfd,
            asks,
            events,
            told: Told::default(),
            next: 1,
        })
    }

    /// Runs until the supervisor has ended, or every handle is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let socket = tokio::select! {
                socket = connect(&self.folder) => socket,
                _ = self.pidfd.readable() => return self.gone(),
            };
            let ended = match socket {
                Ok(socket) => self.speak(&socket).await,
                Err(_) => Ended::Broken,
            };
            match ended {
                Ended::Unused => {
                    // Nobody asks; but a child of ours stays a zombie until it is reaped.
                    let _ = self.pidfd.readable().await;
                    return self.gone();
                }
                Ended::Gone => return self.gone(),
                Ended::Broken => {}
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                _ = self.pidfd.readable() => return self.gone(),
            }
        }
    }

    fn gone(&mut self) {
        // Ours to reap when we started it; somebody else's child gives ECHILD, which is as good.
        let _ = try_wait(self.pidfd.get_ref());
        self.asks.close();
        while let Ok(ask) = self.asks.try_recv() {
            let _ = ask
                .answer
                .send(Err(Error::unavailable("the supervisor has ended")));
        }
        let _ = self.events.send(SupervisorEvent::Gone);
    }

    /// Speaks over one connection until it breaks.
    async fn speak(&mut self, socket: &UnixStream) -> Ended {
        let mut waiting: HashMap<u64, oneshot::Sender<Answer>> = HashMap::new();
        let mut decoder = Decoder::default();
        let mut out = Vec::new();
        let hello = Request::Hello(Hello {
            version: VERSION,
            replay: true,
        });
        let hello_id = self.queue(&mut out, &hello, "");
        let ended = loop {
            tokio::select! {
                ask = self.asks.recv() => {
                    let Some(ask) = ask else { break Ended::Unused };
                    if ask.answer.is_closed() {
                        // Its caller has given up before it was sent: then it never is.
                        continue;
                    }
                    ask.sent.store(true, Ordering::SeqCst);
                    let id = self.queue(&mut out, &ask.request, &ask.operation);
                    waiting.insert(id, ask.answer);
                }
                ready = socket.writable(), if !out.is_empty() => {
                    if ready.is_err() || !write(socket, &mut out) { break Ended::Broken; }
                }
                read = read(socket, &mut decoder) => {
                    let open = read.unwrap_or(false);
                    let heard = self.hear(&mut decoder, &mut waiting, hello_id);
                    if heard.is_err() || !open { break Ended::Broken; }
                }
                _ = self.pidfd.readable() => {
                    // What it said last is read before its end is.
                    while let Ok(true) = decoder.read_from(socket).map_err(drop) {}
                    let _ = self.hear(&mut decoder, &mut waiting, hello_id);
                    break Ended::Gone;
                }
            }
        };
        for (_, answer) in waiting {
            let lost = Error::unknown("the connection to the supervisor broke before it answered");
            let _ = answer.send(Err(lost));
        }
        ended
    }

    fn queue(&mut self, out: &mut Vec<u8>, request: &Request, operation: &str) -> u64 {
        let id = self.next;
        self.next += 1;
        out.extend(encode(&request.frame(id, operation)));
        id
    }

    /// Hands out what has come.
    fn hear(
        &mut self,
        decoder: &mut Decoder,
        waiting: &mut HashMap<u64, oneshot::Sender<Answer>>,
        hello: u64,
    ) -> std::result::Result<(), ()> {
        while let Some(frame) = decoder.next_frame().map_err(drop)? {
            let reply = Reply::decode(&frame).map_err(drop)?;
            let fds = decoder.take_fds(reply.fds).map_err(drop)?;
            if let Some(event) = reply.event {
                self.tell(event);
            } else if reply.id == hello {
                welcome(&reply);
            } else if let Some(answer) = waiting.remove(&reply.id) {
                // Whoever asked may have gone; descriptors close with it.
                let _ = answer.send(Ok((reply, fds)));
            }
        }
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        let fresh = match &event {
            Event::Exited { id, run, .. } => self.told.containers.insert((id.clone(), *run)),
            Event::ExecExited { id, .. } => self.told.execs.insert((id.clone(), 0)),
            Event::Other => return,
        };
        if fresh && let Some(event) = convert::event(event) {
            let _ = self.events.send(event);
        }
    }
}

fn welcome(reply: &Reply) {
    match reply.clone().into_result::<Welcome>() {
        Ok(welcome) if welcome.version != VERSION => tracing::info!(
            version = welcome.version,
            release = welcome.release,
            "supervisor speaks another version of the protocol"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "supervisor refused the greeting"),
    }
}

/// Connects by the folder's descriptor: a socket's path may be 107 bytes long at most, a run folder's may be longer.
async fn connect(folder: &Path) -> std::io::Result<UnixStream> {
    let folder = std::fs::File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    UnixStream::connect(path).await
}

async fn read(socket: &UnixStream, decoder: &mut Decoder) -> std::io::Result<bool> {
    use gantry_supervisor_proto::frame::FrameError;
    socket
        .async_io(Interest::READABLE, || {
            decoder.read_from(socket).map_err(|e| match e {
                FrameError::Socket(e) => e.into(),
                other => std::io::Error::other(other),
            })
        })
        .await
}

/// `false` when the peer has gone.
fn write(socket: &UnixStream, out: &mut Vec<u8>) -> bool {
    match socket.try_write(out) {
        Ok(count) => {
            out.drain(..count);
            true
        }
        Err(e) => e.kind() == std::io::ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_known_and_the_rest_forgotten() {
        let mut told = Latest::default();
        for run in 0..3000 {
            assert!(told.insert(("c".into(), run)));
        }
        assert!(!told.insert(("c".into(), 2999)) && !told.insert(("c".into(), 1976)));
        assert_eq!(told.known.len(), Latest::MOST);
        assert!(told.insert(("c".into(), 0)), "long forgotten");
    }
}
