//! A client of one repository at one registry (OCI distribution specification). Plain HTTP only, for now to loopback
//! addresses and hosts named in the configuration; TLS and tokens come with a later step.

mod connection;
mod location;

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use gantry_model::digest::Digest;
use gantry_model::image::RegistryAuth;
use gantry_model::reference::Reference;
use gantry_model::{Error, Result};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;

use crate::content::DOCUMENT;
use crate::document::ACCEPT;
use location::{Location, Origin};

/// Nothing moves for this long: the registry counts as gone.
const IDLE: Duration = Duration::from_secs(60);
/// Redirects of one request.
const REDIRECTS: usize = 5;

/// One repository.
pub(crate) struct Repository {
    reference: Reference,
    origin: Origin,
    basic: Option<String>,
}

/// A manifest or index as it came.
pub(crate) struct Fetched {
    pub(crate) data: Vec<u8>,
    pub(crate) media_type: String,
}

impl Repository {
    /// The repository of the reference.
    ///
    /// # Errors
    /// `Unimplemented` if its registry needs TLS.
    pub(crate) fn new(
        reference: &Reference,
        auth: Option<&RegistryAuth>,
        plain: &[String],
    ) -> Result<Self> {
        let origin = Origin::of(reference.domain(), plain)?;
        let basic = auth.filter(|a| !a.username.is_empty()).map(|a| {
            let pair = format!("{}:{}", a.username, a.password);
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            )
        });
        Ok(Self {
            reference: reference.clone(),
            origin,
            basic,
        })
    }

    /// Fetches a manifest or index by tag or digest. A digest is the caller's to check.
    ///
    /// # Errors
    /// `NotFound`, `Unauthenticated`, `Unavailable`.
    pub(crate) async fn manifest(&self, tag_or_digest: &str) -> Result<Fetched> {
        let path = format!("/v2/{}/manifests/{tag_or_digest}", self.reference.path());
        let response = self.get(&path, Some(&ACCEPT.join(", "))).await?;
        if response.status() == StatusCode::NOT_FOUND {
            let name = self.reference.familiar();
            return Err(Error::not_found(format!(
                "manifest for {name} not found: manifest unknown"
            )));
        }
        let response = self.check(response, &path)?;
        let media_type = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or("");
        let media_type = media_type.split(';').next().unwrap_or("").trim().to_owned();
        let mut data = Vec::new();
        let mut body = response.into_body();
        while let Some(piece) = self.piece(&mut body, &path).await? {
            if (data.len() + piece.len()) as u64 > DOCUMENT {
                return Err(Error::invalid(format!(
                    "manifest for {} is larger than {DOCUMENT} bytes",
                    self.reference
                )));
            }
            data.extend_from_slice(&piece);
        }
        Ok(Fetched { data, media_type })
    }

    /// Starts reading a blob.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub(crate) async fn blob(&self, digest: &Digest) -> Result<Blob<'_>> {
        let path = format!("/v2/{}/blobs/{digest}", self.reference.path());
        let response = self.get(&path, None).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(Error::not_found(format!(
                "blob {digest} of {} is unknown to its registry",
                self.reference
            )));
        }
        let body = self.check(response, &path)?.into_body();
        Ok(Blob {
            repository: self,
            body,
            path,
        })
    }

    async fn piece(&self, body: &mut Incoming, path: &str) -> Result<Option<Bytes>> {
        let cut = |why: String| Error::unavailable(format!("read {}{path}: {why}", self.origin));
        loop {
            let frame = tokio::time::timeout(IDLE, body.frame()).await;
            match frame.map_err(|_| cut(format!("nothing came for {IDLE:?}")))? {
                None => return Ok(None),
                Some(Err(e)) => return Err(cut(e.to_string())),
                // Trailers say nothing we use.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_) => continue,
                },
            }
        }
    }

    /// Sends a request, following redirects. Credentials never leave the origin they are for (CVE-2020-15157).
    async fn get(&self, path: &str, accept: Option<&str>) -> Result<Response<Incoming>> {
        let mut at = Location {
            origin: self.origin.clone(),
            path: path.to_owned(),
        };
        let mut basic = None;
        for _ in 0..=REDIRECTS {
            let own = at.origin == self.origin;
            let response = self.send(&at, accept, basic.filter(|_| own)).await?;
            match response.status() {
                StatusCode::UNAUTHORIZED if own && basic.is_none() && self.basic.is_some() => {
                    basic = self.basic.as_deref();
                }
                s if s.is_redirection() => {
                    let to = response
                        .headers()
                        .get(header::LOCATION)
                        .and_then(|v| v.to_str().ok())
                        .unwrap_or("");
                    at = at.follow(to)?;
                }
                _ => return Ok(response),
            }
        }
        Err(Error::unavailable(format!(
            "{}{path} redirects more than {REDIRECTS} times",
            self.origin
        )))
    }

    async fn send(
        &self,
        at: &Location,
        accept: Option<&str>,
        basic: Option<&str>,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(&at.path)
            .header(header::HOST, at.origin.to_string())
            .header(
                header::USER_AGENT,
                concat!("gantry/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(accept) = accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(basic) = basic {
            request = request.header(header::AUTHORIZATION, basic);
        }
        let request = request.body(Empty::<Bytes>::new());
        let request =
            request.map_err(|e| Error::invalid(format!("request for {}: {e}", self.reference)))?;
        connection::send(&at.origin, request, IDLE).await
    }

    fn check(&self, response: Response<Incoming>, path: &str) -> Result<Response<Incoming>> {
        let status = response.status();
        let text = format!("registry {} answers {status} for {path}", self.origin);
        match status {
            s if s.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::new(
                gantry_model::ErrorKind::Unauthenticated,
                format!(
                    "pull access denied for {}: {text}",
                    self.reference.familiar_name()
                ),
            )),
            _ => Err(Error::unavailable(text)),
        }
    }
}

/// A blob on its way.
pub(crate) struct Blob<'r> {
    repository: &'r Repository,
    body: Incoming,
    path: String,
}

impl Blob<'_> {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        self.repository.piece(&mut self.body, &self.path).await
    }
}

#[cfg(test)]
mod tests;
