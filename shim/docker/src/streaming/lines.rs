//! Answers that are lines of JSON while the work goes on (pull, load): the status waits for the first line, so that work
//! that fails at once still gets its own status.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::response::{Answer, Failure, stream};

/// Lines that wait for a client; what is over is dropped, the last lines never are.
pub(crate) const QUEUE: usize = 1024;

/// Runs the work beside the answer. Its lines come through the channel; when it fails before the first line, its
/// failure is the answer, later it is the last line.
pub(crate) async fn answer<F>(mut lines: mpsc::Receiver<Value>, work: F) -> Answer
where
    F: Future<Output = Result<Vec<Value>, Failure>> + Send + 'static,
{
    // The work goes on when the client goes away: what it began is the engine's, and a retry joins it.
    let mut work = tokio::spawn(work);
    let joined = |result: Result<Result<Vec<Value>, Failure>, tokio::task::JoinError>| {
        result.unwrap_or_else(|error| {
            let text = format!("the request's work ended abnormally: {error}");
            Err(Failure::new(http::StatusCode::INTERNAL_SERVER_ERROR, text))
        })
    };
    let (first, done) = tokio::select! {
        biased;
        Some(line) = lines.recv() => (Some(line), None),
        result = &mut work => (None, Some(joined(result)?)),
    };
    let (sender, response) = stream("application/json");
    tokio::spawn(async move {
        if let Some(first) = first {
            let _ = sender.send(line(&first)).await;
        }
        let mut done = done;
        while done.is_none() {
            tokio::select! {
                biased;
                Some(next) = lines.recv() => { let _ = sender.send(line(&next)).await; }
                result = &mut work => done = Some(joined(result).unwrap_or_else(|failure| vec![failed(&failure)])),
            }
        }
        while let Ok(next) = lines.try_recv() {
            let _ = sender.send(line(&next)).await;
        }
        for last in done.unwrap_or_default() {
            let _ = sender.send(line(&last)).await;
        }
    });
    Ok(response)
}

/// A failure in the middle of a stream, as clients look for it.
fn failed(failure: &Failure) -> Value {
    json!({
        "errorDetail": { "message": failure.message },
        "error": failure.message,
    })
}

/// One line; Docker ends them with CR LF.
fn line(value: &Value) -> Bytes {
    format!("{value}\r\n").into()
}

#[cfg(test)]
mod tests {
    use super::{QUEUE, answer};
    use crate::response::Failure;
    use http_body_util::BodyExt;
    use serde_json::json;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_failure_before_the_first_line_is_the_answer() {
        let (_lines, receiver) = mpsc::channel(QUEUE);
        let failure = answer(receiver, async { Err(Failure::bad_request("no")) })
            .await
            .unwrap_err();
        assert_eq!(failure.status.as_u16(), 400);
    }

    #[tokio::test]
    async fn a_later_failure_is_the_last_line() {
        let (lines, receiver) = mpsc::channel(QUEUE);
        lines.try_send(json!({"status": "one"})).unwrap();
        let (go, went) = tokio::sync::oneshot::channel::<()>();
        let response = answer(receiver, async move {
            let _ = went.await;
            let _ = lines.try_send(json!({"status": "two"}));
            Err(Failure::bad_request("no"))
        })
        .await
        .unwrap();
        assert_eq!(response.status().as_u16(), 200);
        go.send(()).unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            String::from_utf8(body.to_vec()).unwrap(),
            "{\"status\":\"one\"}\r\n{\"status\":\"two\"}\r\n{\"error\":\"no\",\"errorDetail\":{\"message\":\"no\"}}\r\n"
        );
    }
}
