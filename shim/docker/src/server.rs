//! Accepts connections and speaks HTTP on them.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use gantry_engine::Engine;
use http::header::HeaderValue;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::config::DockerConfig;
use crate::door::DockerDoor;
use crate::response::{AnswerBody, CutOff};
use crate::route;
use crate::streaming::head::PLAIN;
use crate::streaming::{Peer, SharedStream, Tap};
use crate::version::NEWEST;

/// Bytes a request's head may take.
const MAX_HEAD: usize = 64 << 10;
/// How long answers may take to finish after the door was told to close.
const GRACE: Duration = Duration::from_secs(2);

/// Serves the Docker Engine API until `shutdown` ends. Requests under way get two seconds to finish then; attached
/// clients are cut off, their containers go on.
pub async fn serve(
    listener: UnixListener,
    engine: Engine,
    config: DockerConfig,
    shutdown: impl Future<Output = ()>,
) {
    let door = Arc::new(DockerDoor::new(engine, config));
    let tracker = TaskTracker::new();
    let (closing, closed) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    let mut failing = false;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the docker door accepts connections again");
                    }
                    let stream = SharedStream::new(stream);
                    let peer = Arc::new(stream.clone());
                    tracker.spawn(connection(stream, peer, Arc::clone(&door), closed.clone()));
                }
                Err(error) => {
                    // Out of descriptors: accepting at once again would only burn a CPU.
                    if !failing {
                        tracing::warn!(%error, "the docker door cannot accept connections; it keeps trying");
                    }
                    failing = true;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    tracker.close();
    let _ = closing.send(true);
    let _ = tokio::time::timeout(GRACE, tracker.wait()).await;
}

/// Serves one connection until it ends, is taken over, or the door closes.
async fn connection<I>(
    io: I,
    peer: Arc<dyn Peer>,
    door: Arc<DockerDoor>,
    closed: watch::Receiver<bool>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let answered = answer(Arc::clone(&door), Arc::clone(&peer), request);
        let mut closed = closed.clone();
        async move {
            let response = answered.await?;
            let closing = async move { drop(closed.wait_for(|closed| *closed).await) };
            Ok::<_, Infallible>(response.map(|body| CutOff::new(body, closing)))
        }
    });
    let mut closed = closed.clone();
    let connection = http1::Builder::new()
        .half_close(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Tap::new(io)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        result = &mut connection => if let Err(error) = result {
            tracing::debug!(%error, "a connection on the docker socket ended");
            peer.read_away().await;
        },
        // A client that half-closed is still served, one that is gone is not: streams it followed end here.
        () = peer.gone() => {}
        () = async { drop(closed.wait_for(|closed| *closed).await) } => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

async fn answer(
    door: Arc<DockerDoor>,
    peer: Arc<dyn Peer>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let server = format!("Gantry/{} (linux)", door.config.server_version);
    // What it asked about the connection was replaced by the wish to take it over.
    let plain = request.headers().contains_key(PLAIN);
    let mut response = match route::answer(door, peer, request).await {
        Ok(response) => response,
        Err(failure) => {
            // The one place a failure is logged: where it is answered.
            if failure.status == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::warn!(%method, path, status = failure.status.as_u16(), error = failure.message, "request failed");
            } else {
                tracing::debug!(%method, path, status = failure.status.as_u16(), error = failure.message, "request refused");
            }
            failure.into_response()
        }
    };
    let refused = response.status() != StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if plain && refused {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(
        "api-version",
        HeaderValue::from_str(&NEWEST.to_string()).expect("two numbers and a dot"),
    );
    headers.insert("ostype", HeaderValue::from_static("linux"));
    headers.insert("docker-experimental", HeaderValue::from_static("false"));
    if let Ok(server) = HeaderValue::from_str(&server) {
        headers.insert(header::SERVER, server);
    }
    Ok(response)
}
