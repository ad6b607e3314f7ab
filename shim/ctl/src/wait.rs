//! `gantry wait`: returns when the daemon's doors serve.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::failure::Failure;

/// Between two looks for the socket. There is nothing to wait on before it exists.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn run(client: &Client, timeout: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // The daemon itself waits while it is up but not ready.
        let path = format!("/v1/ready?timeout_ms={}", left.as_millis());
        let answer = match tokio::time::timeout(left, client.get(&path)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Failed(
                "gantryd is up and does not answer".to_owned(),
            )),
        };
        let reason = match answer {
            Ok(_) => return Ok(()),
            Err(Failure::Unreachable(reason)) => reason,
            Err(failure) if Instant::now() < deadline => return Err(failure),
            Err(failure) => failure.to_string(),
        };
        if Instant::now() + PAUSE > deadline {
            return Err(Failure::TimedOut(format!(
                "gantryd is not ready after {}: {reason}",
                humane(timeout)
            )));
        }
        sleep(PAUSE).await;
    }
}

fn humane(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} seconds", duration.as_secs())
    } else {
        format!("{} milliseconds", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::run;
    use crate::client::Client;
    use crate::failure::Failure;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn gives_up_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let failure = run(&Client::new(folder.path()), Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(failure, Failure::TimedOut(_)), "{failure}");
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.to_string().contains("no socket"), "{failure}");
    }

    #[tokio::test]
    async fn waits_for_a_socket_that_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(folder.path());
        let socket = folder.path().join("gantry.sock");
        let server = async {
            tokio::task::yield_now().await;
            let (mut stream, _) = UnixListener::bind(&socket).unwrap().accept().await.unwrap();
            let mut request = [0; 512];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /v1/ready?timeout_ms="));
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"ready\":true}")
                .await
                .unwrap();
            stream
        };
        let (waited, _stream) = tokio::join!(run(&client, Duration::from_secs(10)), server);
        waited.unwrap();
    }
}
