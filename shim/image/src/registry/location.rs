//! Where a request goes: an origin and a path. Decides who may be spoken to without TLS.

use std::fmt;
use std::net::IpAddr;

use gantry_model::{Error, Result};
use http::Uri;

/// Host and port of a server spoken to by plain HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Origin {
    /// Without brackets.
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl Origin {
    /// The origin of a registry's name as references have it.
    ///
    /// # Errors
    /// `Unimplemented` unless it is a loopback address or one of `plain`.
    pub(crate) fn of(domain: &str, plain: &[String]) -> Result<Self> {
        let origin = Self::parse(domain)
            .ok_or_else(|| Error::invalid(format!("registry name {domain:?}")))?;
        if origin.is_loopback() || plain.iter().any(|p| p == domain) {
            return Ok(origin);
        }
        Err(Error::unimplemented(format!(
            "registry {domain} needs https, which is not served yet: only registries on loopback addresses and those \
             configured as plain http are"
        )))
    }

    fn parse(authority: &str) -> Option<Self> {
        let authority: http::uri::Authority = authority.parse().ok()?;
        let port = match authority.port() {
            Some(port) => Some(port.as_str().parse().ok()?),
            None => None,
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        (!host.is_empty() && !authority.as_str().contains('@')).then_some(Self { host, port })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            f.write_str(&self.host)?
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) origin: Origin,
    pub(crate) path: String,
}

impl Location {
    /// Where a redirect leads.
    ///
    /// # Errors
    /// `Unimplemented` for https, `Unavailable` for what is no location.
    pub(crate) fn follow(&self, to: &str) -> Result<Self> {
        let bad = || Error::unavailable(format!("registry {} redirects to {to:?}", self.origin));
        let uri: Uri = to.parse().map_err(|_| bad())?;
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        match (uri.scheme_str(), uri.authority()) {
            (None, None) if path.starts_with('/') => Ok(Self {
                origin: self.origin.clone(),
                path,
            }),
            (Some("http"), Some(authority)) => Ok(Self {
                origin: Origin::parse(authority.as_str()).ok_or_else(bad)?,
                path,
            }),
            (Some("https"), _) => Err(Error::unimplemented(format!(
                "{}: https is not served yet",
                bad().message
            ))),
            _ => Err(bad()),
        }
    }
}
