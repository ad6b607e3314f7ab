//! Answers: JSON, empty ones, streams, and errors as `{"message": …}`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use gantry_model::{Error, ErrorKind};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Frame, SizeHint};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::status;

/// Body of every answer.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;
/// What a handler gives back.
pub(crate) type Answer = Result<Response<AnswerBody>, Failure>;

/// An answer that says what went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// For people.
    pub(crate) message: String,
    /// The engine's kind, where the engine said it.
    pub(crate) kind: Option<ErrorKind>,
}

impl Failure {
    /// With this status.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            kind: None,
        }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 501: published by Docker, not served yet.
    pub(crate) fn not_served(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// As it goes over the wire.
    pub(crate) fn into_response(self) -> Response<AnswerBody> {
        // 304 has no body by HTTP's rules, and Docker's clients take it for success.
        if self.status == StatusCode::NOT_MODIFIED {
            return empty(StatusCode::NOT_MODIFIED);
        }
        json(self.status, &json!({ "message": self.message }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            status: status::of(error.kind),
            kind: Some(error.kind),
            message: error.message,
        }
    }
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response<AnswerBody> {
    let mut text = value.to_string();
    text.push('\n');
    bytes(status, "application/json", text.into())
}

/// 200 with a JSON document.
pub(crate) fn ok(value: &Value) -> Answer {
    Ok(json(StatusCode::OK, value))
}

/// A body known whole.
pub(crate) fn bytes(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<AnswerBody> {
    let mut response = Response::new(
        Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body without bytes.
pub(crate) fn nothing() -> AnswerBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub(crate) fn empty(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(nothing());
    *response.status_mut() = status;
    response
}

/// 204.
pub(crate) fn no_content() -> Answer {
    Ok(empty(StatusCode::NO_CONTENT))
}

/// 200 without a body.
pub(crate) fn ok_empty() -> Answer {
    Ok(empty(StatusCode::OK))
}

/// How many pieces of a stream wait for a slow client before its producer waits too.
const STREAM_DEPTH: usize = 16;

/// A body that is sent as it comes. The head goes out at once; `Sender::closed` ends when the client has gone.
pub(crate) fn stream(content_type: &'static str) -> (mpsc::Sender<Bytes>, Response<AnswerBody>) {
    let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
    let mut response = Response::new(Pieces(receiver).boxed_unsync());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    (sender, response)
}

struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A body that breaks off when the door closes: its client sees a cut, never an end that looks like success.
pub(crate) struct CutOff<F> {
    inner: AnswerBody,
    closed: Pin<Box<F>>,
}

impl<F> CutOff<F> {
    /// This body, cut off when the future ends before it.
    pub(crate) fn new(inner: AnswerBody, closed: F) -> Self {
        Self {
            inner,
            closed: Box::pin(closed),
        }
    }
}

impl<F: Future<Output = ()>> Body for CutOff<F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Pending => self
                .closed
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            ready => ready,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_cut_off_and_never_ended() {
        let (sender, response) = stream("application/json");
        let (close, closed) = tokio::sync::oneshot::channel::<()>();
        let mut body = CutOff::new(response.into_body(), async { drop(closed.await) });
        sender.send(Bytes::from_static(b"line")).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(&frame.into_data().unwrap()[..], b"line");
        drop(close);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_whole_goes_out_whole() {
        let whole = json(StatusCode::OK, &json!({"a": 1}));
        let body = CutOff::new(whole.into_body(), std::future::ready(()));
        assert_eq!(body.size_hint().exact(), Some(8));
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(&bytes[..], b"{\"a\":1}\n");
    }
}
