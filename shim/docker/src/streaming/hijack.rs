//! Takes a connection over after its answer and pumps it: the client's bytes to stdin, output to the client.
//!
//! The client's end of input closes stdin and nothing else: clients without stdin shut down their sending side at once
//! and still want all output.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use gantry_model::supervisor::{Attached, Input, Output};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::detach::DetachKeys;
use super::{Peer, frame, head};
use crate::request::Req;
use crate::response::{AnswerBody, nothing};

/// Bytes of stdin read at once.
const CHUNK: usize = 32 << 10;
/// How long input waits to be taken when its client has gone.
const LEGACY: Duration = Duration::from_secs(10);
/// Bytes of output kept for a client that does not read them yet.
const MAX_BEHIND: usize = 4 << 20;

/// A connection about to be taken over.
pub(crate) struct Hijack {
    upgrade: OnUpgrade,
    peer: Arc<dyn Peer>,
    plain: bool,
    terminal: bool,
    content_type: &'static str,
    detach: Option<DetachKeys>,
}

impl Hijack {
    /// Of this request.
    pub(crate) fn new(req: &mut Req, terminal: bool) -> Self {
        Self {
            plain: req.headers().contains_key(head::PLAIN),
            peer: Arc::clone(&req.peer),
            terminal,
            content_type: frame::content_type(terminal, req.version),
            upgrade: hyper::upgrade::on(&mut req.http),
            detach: None,
        }
    }

    /// The client of a terminal may let go of it by these keys.
    pub(crate) fn detached_by(mut self, keys: DetachKeys) -> Self {
        self.detach = self.terminal.then_some(keys);
        self
    }

    /// The other end.
    pub(crate) fn peer(&self) -> Arc<dyn Peer> {
        Arc::clone(&self.peer)
    }

    /// The answer that hands the connection over: 101, or for a client that did not ask for it what becomes 200 on its
    /// way out.
    pub(crate) fn answer(&self) -> Response<AnswerBody> {
        let mut response = Response::new(nothing());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if !self.plain {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
        }
        response
    }

    /// Waits for the connection and pumps until the output ends or the client has gone. `first` is sent before. The
    /// connection is closed when `last` has ended, too: clients ask how it went as soon as it closes. Answers whether the
    /// client let go by its keys.
    pub(crate) async fn pump(
        self,
        attached: Option<Attached>,
        stdin: bool,
        first: Bytes,
        last: impl Future<Output = ()>,
    ) -> bool {
        let input = attached.as_ref().filter(|_| stdin).map(|a| a.input.clone());
        let let_go = self.carry(attached, stdin, first, last).await;
        if let (Some(input), false) = (input, let_go) {
            // Whoever has gone will send no more: without this a command that reads would wait for ever.
            let _ = tokio::time::timeout(LEGACY, input.send(Input::End)).await;
        }
        let_go
    }

    async fn carry(
        self,
        attached: Option<Attached>,
        stdin: bool,
        first: Bytes,
        last: impl Future<Output = ()>,
    ) -> bool {
        let Ok(upgraded) = self.upgrade.await else {
            return false;
        };
        self.peer.caught_up().await;
        let (reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
        if !first.is_empty() && writer.write_all(&first).await.is_err() {
            return false;
        }
        if let Some(Attached { output, input }) = attached {
            let out = async {
                if give_output(output, &mut writer, self.terminal)
                    .await
                    .is_ok()
                {
                    last.await;
                }
                false
            };
            let keys = self.detach.filter(|_| stdin);
            let inward = async {
                let to = stdin.then(|| input.clone());
                if take_input(reader, to, keys, &*self.peer).await == Heard::Keys {
                    return true;
                }
                self.peer.gone().await;
                false
            };
            let let_go = tokio::select! {
                by_keys = out => by_keys,
                by_keys = inward => by_keys,
            };
            let _ = writer.shutdown().await;
            // A client that still sends would lose the last output with a reset.
            self.peer.read_away().await;
            return let_go;
        }
        let _ = writer.shutdown().await;
        false
    }
}

/// Writes output until it ends and all of it is written. A client that reads more slowly than its container writes is
/// run ahead of by [`MAX_BEHIND`] bytes; then nothing more is taken, and the supervisor's patience with it begins to run.
async fn give_output(
    mut from: mpsc::Receiver<Output>,
    to: &mut (impl AsyncWrite + Unpin),
    terminal: bool,
) -> std::io::Result<()> {
    let mut queue = BytesMut::new();
    let mut more = true;
    while more || !queue.is_empty() {
        tokio::select! {
            piece = from.recv(), if more && queue.len() < MAX_BEHIND => match piece {
                Some(Output { stderr, bytes }) => {
                    queue.extend_from_slice(&frame::output(terminal, stderr, bytes));
                }
                None => more = false,
            },
            wrote = to.write(&queue), if !queue.is_empty() => match wrote? {
                0 => return Err(std::io::ErrorKind::WriteZero.into()),
                count => queue.advance(count),
            },
        }
    }
    to.flush().await
}

/// Ends when the client has gone and what it sent has not been taken for a while.
async fn given_up(peer: &dyn Peer) {
    peer.gone().await;
    tokio::time::sleep(LEGACY).await;
}

/// Why nothing more is read of a client.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Its input has ended.
    End,
    /// The keys to let go.
    Keys,
}

/// Reads what the client sends until it ends; hands it on if somebody wants it.
async fn take_input(
    mut reader: ReadHalf<TokioIo<Upgraded>>,
    to: Option<mpsc::Sender<Input>>,
    mut detach: Option<DetachKeys>,
    peer: &dyn Peer,
) -> Heard {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer).await.unwrap_or(0);
        let (bytes, over) = match &mut detach {
            Some(keys) => keys.filter(&buffer[..read]),
            None => (buffer[..read].to_vec(), false),
        };
        let piece = match read {
            0 => Input::End,
            _ => Input::Data(bytes),
        };
        if let Some(to) = &to {
            // The container may have closed its stdin or ended; its output may still come, so reading goes on.
            if let Err(TrySendError::Full(piece)) = to.try_send(piece) {
                tokio::select! {
                    _ = to.send(piece) => {}
                    // A container that never reads must not keep a client that has long gone.
                    () = given_up(peer) => return Heard::End,
                }
            }
        }
        if over {
            return Heard::Keys;
        }
        if read == 0 {
            return Heard::End;
        }
    }
}

#[cfg(test)]
mod tests;
