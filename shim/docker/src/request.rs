//! One request as a handler sees it: path arguments, query, version, and a body read within a limit.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::query::Query;
use crate::response::Failure;
use crate::streaming::Peer;
use crate::version::ApiVersion;

/// Longest JSON body that is read.
const MAX_JSON: usize = 4 << 20;
/// How much of a body that is too long is read away, so that its sender gets to see the answer.
const MAX_DRAIN: usize = 256 << 20;

/// A request.
pub(crate) struct Req {
    /// What stood in the path where the route has a hole.
    pub(crate) args: Vec<String>,
    /// Query.
    pub(crate) query: Query,
    /// Version to answer in.
    pub(crate) version: ApiVersion,
    /// The connection it came over.
    pub(crate) peer: Arc<dyn Peer>,
    /// The rest.
    pub(crate) http: Request<Incoming>,
}

impl Req {
    /// The first path argument.
    pub(crate) fn id(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// Headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.http.headers()
    }

    /// Method.
    pub(crate) fn method(&self) -> &Method {
        self.http.method()
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// 413 when it is longer than 4 MiB, 400 saying what is wrong with it.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let body = self.body().await?;
        if body.is_empty() {
            return Err(Failure::bad_request(
                "invalid JSON: got EOF while reading request body",
            ));
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::bad_request(format!("invalid JSON: {error}")))
    }

    /// As [`Req::json`]; an empty body is `null`.
    pub(crate) async fn json_or_null(&mut self) -> Result<Value, Failure> {
        let body = self.body().await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::bad_request(format!("invalid JSON: {error}")))
    }

    async fn body(&mut self) -> Result<Bytes, Failure> {
        let too_long = || {
            Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("request body is longer than the limit of {MAX_JSON} bytes"),
            )
        };
        let announced = self
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<usize>().ok())
            .unwrap_or(0);
        // A client that waits for "100 Continue" is answered before it sends anything.
        if announced > MAX_JSON && self.headers().contains_key(header::EXPECT) {
            return Err(too_long());
        }
        let mut body = BytesMut::new();
        let mut read = 0_usize;
        while let Some(frame) = self.http.body_mut().frame().await {
            let frame = frame.map_err(|error| {
                Failure::bad_request(format!("cannot read request body: {error}"))
            })?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            read = read.saturating_add(data.len());
            if read <= MAX_JSON {
                body.extend_from_slice(&data);
            } else {
                body = BytesMut::new();
            }
            if read > MAX_DRAIN {
                break;
            }
        }
        if read > MAX_JSON {
            return Err(too_long());
        }
        Ok(body.freeze())
    }
}
