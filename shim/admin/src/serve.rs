//! Accepts connections, checks who is there, and serves them.

use gantry_engine::Engine;
use gantry_model::{Error, Result};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::routes::routes;
use crate::{AdminConfig, Door};

/// Serves the door until `shutdown` is ready; then connections are cut, since an event stream has no end of its own.
///
/// # Errors
/// `Internal` when the listener breaks.
pub async fn serve(
    listener: UnixListener,
    engine: Engine,
    config: AdminConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let allowed = config.allowed_uid;
    let service = routes(Door { engine, config });
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let stream = match accepted {
                    Ok((stream, _)) => stream,
                    // The peer went away, or descriptors are short for a moment: neither ends the door.
                    Err(error) if is_transient(&error) => {
                        tracing::warn!(%error, "accept on the admin socket failed");
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Err(e) => return Err(Error::internal(format!("accept on the admin socket: {e}"))),
                };
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

fn is_transient(error: &std::io::Error) -> bool {
    // ENFILE 23, EMFILE 24 (errno(3)): no names of their own in std.
    matches!(error.raw_os_error(), Some(23 | 24))
        || matches!(
            error.kind(),
            std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::Interrupted
                | std::io::ErrorKind::WouldBlock
        )
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
