//! Speaks HTTP/1 with the daemon on its admin socket. One connection for each question.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;

use crate::failure::Failure;

/// Bytes of one answer; a list of 10,000 containers has 5 MB.
const ANSWER_MAX: usize = 256 << 20;

/// Asks one daemon.
pub(crate) struct Client {
    socket: PathBuf,
}

/// What the daemon says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Client {
    /// For the daemon of this run folder. Does not connect yet.
    pub(crate) fn new(run: &Path) -> Self {
        Self {
            socket: run.join("gantry.sock"),
        }
    }

    /// Asks and reads the whole answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Failure> {
        self.whole(Method::GET, path, Bytes::new()).await
    }

    /// Tells something and reads the whole answer.
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        self.whole(Method::POST, path, body).await
    }

    /// Asks for an answer that goes on.
    pub(crate) async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(refused(response).await)
    }

    async fn whole(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let response = self.send(method, path, body).await?;
        if response.status().is_success() {
            return collect(response.into_body()).await;
        }
        Err(refused(response).await)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let failed =
            |e: &dyn std::fmt::Display| Failure::Failed(format!("ask gantryd for {path}: {e}"));
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed(&e))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gantry")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|e| failed(&e))?;
        sender.send_request(request).await.map_err(|e| {
            // Cut off before an answer: a refused peer sees a reset or an end, whichever comes first.
            if !e.is_parse() && !e.is_user() {
                Failure::Unreachable(format!(
                    "gantryd closed the connection on {} without an answer: it is stopping, or you are not root",
                    self.socket.display()
                ))
            } else {
                failed(&e)
            }
        })
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            ErrorKind::NotFound => Failure::Unreachable(format!(
                "there is no socket {socket}: is gantryd running with this run folder (--run, GANTRY_RUN)?"
            )),
            ErrorKind::ConnectionRefused => {
                Failure::Unreachable(format!("no gantryd listens on {socket}"))
            }
            ErrorKind::PermissionDenied => {
                Failure::Failed(format!("{socket} is for root: try again with sudo"))
            }
            _ => Failure::Unreachable(format!("connect to {socket}: {error}")),
        }
    }
}

async fn collect(body: Incoming) -> Result<Bytes, Failure> {
    http_body_util::Limited::new(body, ANSWER_MAX)
        .collect()
        .await
        .map(|whole| whole.to_bytes())
        .map_err(|e| Failure::Failed(format!("read gantryd's answer: {e}")))
}

/// The daemon's own words.
async fn refused(response: Response<Incoming>) -> Failure {
    let status = response.status();
    let message = match collect(response.into_body()).await {
        Ok(body) => match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => refusal.message,
            Err(_) => format!("gantryd answered {status}"),
        },
        Err(failure) => return failure,
    };
    if status == StatusCode::SERVICE_UNAVAILABLE {
        Failure::Unreachable(message)
    } else {
        Failure::Failed(message)
    }
}
