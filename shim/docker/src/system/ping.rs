//! `GET` and `HEAD /_ping`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue, PRAGMA};
use http::{Method, StatusCode};

use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, bytes};

/// "Are you there, and which API do you speak?"
pub(crate) async fn ping(_: Arc<DockerDoor>, req: Req) -> Answer {
    let body = if *req.method() == Method::HEAD {
        ""
    } else {
        "OK"
    };
    let mut response = bytes(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        Bytes::from_static(body.as_bytes()),
    );
    let headers = response.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    );
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    // "1" is the classic builder; "2" would promise BuildKit.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    Ok(response)
}
