//! Answers that need no engine: the table of statuses and the form of an error. What the engine tells is proved
//! from outside, in `integration/`.

use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use gantry_model::{Error, ErrorKind};

use crate::answer::{Failed, status};

#[tokio::test]
async fn errors_are_json_with_kind_and_text() {
    let response = Failed(Error::not_found("no such path: /x")).into_response();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    let error: Error = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::NotFound, "no such path: /x")
    );
}

#[test]
fn kinds_a_person_acts_on_are_kept_apart() {
    assert_eq!(status(ErrorKind::NotFound), StatusCode::NOT_FOUND);
    assert_eq!(status(ErrorKind::InvalidArgument), StatusCode::BAD_REQUEST);
    assert_eq!(
        status(ErrorKind::Unavailable),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(
        status(ErrorKind::Unimplemented),
        StatusCode::NOT_IMPLEMENTED
    );
    assert_eq!(
        status(ErrorKind::Internal),
        StatusCode::INTERNAL_SERVER_ERROR
    );
}
