//! One connection for one request.

use std::time::Duration;

use bytes::Bytes;
use gantry_model::{Error, Result};
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::location::Origin;

const CONNECT: Duration = Duration::from_secs(10);

/// Connects, sends, and waits for the answer's head.
///
/// # Errors
/// `Unavailable`, naming the registry.
pub(super) async fn send(
    origin: &Origin,
    request: Request<Empty<Bytes>>,
    idle: Duration,
) -> Result<Response<Incoming>> {
    let fail =
        |what: &str, why: String| Error::unavailable(format!("{what} registry {origin}: {why}"));
    let address = (origin.host.as_str(), origin.port.unwrap_or(80));
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| fail("connect to", format!("no answer in {CONNECT:?}")))?;
    let stream = stream.map_err(|e| fail("connect to", e.to_string()))?;
    let shake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shake.map_err(|e| fail("talk to", e.to_string()))?;
    // Ends by itself when the answer's body is read or dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a registry");
        }
    });
    let answer = tokio::time::timeout(idle, sender.send_request(request)).await;
    let answer = answer.map_err(|_| fail("ask", format!("no answer in {idle:?}")))?;
    answer.map_err(|e| fail("ask", e.to_string()))
}
