//! Accepts connections, checks who is there, and serves them.

use std::time::Duration;

use gantry_engine::Engine;
use gantry_model::Result;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::routes::routes;
use crate::{AdminConfig, Door};

/// Between two tries while connections cannot be accepted.
const AGAIN: Duration = Duration::from_millis(100);

/// Serves the door until `shutdown` is ready; then connections are cut, since an event stream has no end of its own.
///
/// # Errors
/// None now: a socket that cannot accept connections is tried again.
pub async fn serve(
    listener: UnixListener,
    engine: Engine,
    config: AdminConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let allowed = config.allowed_uid;
    let service = routes(Door { engine, config });
    let mut connections = JoinSet::new();
    let mut failing = false;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let stream = match accepted {
                    Ok((stream, _)) => stream,
                    // The peer went away, or descriptors are short for a while: neither ends the door, and who waits
                    // stays in the socket's queue.
                    Err(error) => {
                        if !failing {
                            tracing::warn!(%error, "the admin door cannot accept connections; it keeps trying");
                        }
                        failing = true;
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                };
                if std::mem::take(&mut failing) {
                    tracing::info!("the admin door accepts connections again");
                }
                if !may_talk(&stream, allowed) {
                    continue;
                }
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    let served = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    if let Err(error) = served {
                        tracing::debug!(%error, "an admin connection broke");
                    }
                });
            }
        }
    }
}

/// Whether the peer is the one user. A refused peer is cut off without an answer.
fn may_talk(stream: &UnixStream, allowed: u32) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == allowed => true,
        Ok(peer) => {
            tracing::warn!(
                uid = peer.uid(),
                pid = peer.pid(),
                "refused a peer on the admin socket"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "refused a peer without credentials on the admin socket");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::may_talk;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn only_the_one_user_may_talk() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let own = stream.peer_cred().unwrap().uid();
        assert!(may_talk(&stream, own));
        assert!(!may_talk(&stream, own + 1));
    }
}
