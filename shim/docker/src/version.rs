//! API versions: which are served, and how the version in front of a path is read.

use std::fmt;
use std::str::FromStr;

use crate::response::Failure;

/// The newest API version whose answers are followed.
pub(crate) const NEWEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 51,
};
/// The oldest version that can be configured; older ones had other paths.
pub(crate) const FLOOR: ApiVersion = ApiVersion {
    major: 1,
    minor: 24,
};

/// A version of the Docker Engine API, `1.51`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// `1.minor`.
    pub(crate) const fn one(minor: u16) -> Self {
        Self { major: 1, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that is no API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAVersion;

impl fmt::Display for NotAVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an API version is two numbers with a dot, like 1.44")
    }
}

impl std::error::Error for NotAVersion {}

impl FromStr for ApiVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let digits = |part: &str| {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(NotAVersion);
            }
            part.parse().map_err(|_| NotAVersion)
        };
        let (major, minor) = text.split_once('.').ok_or(NotAVersion)?;
        Ok(Self {
            major: digits(major)?,
            minor: digits(minor)?,
        })
    }
}

/// Takes `/v1.44` off a path. A path without it is asked in the newest version.
pub(crate) fn split(path: &str) -> (Option<ApiVersion>, &str) {
    let Some(rest) = path.strip_prefix("/v") else {
        return (None, path);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].parse() {
        Ok(version) => (Some(version), &rest[end..]),
        Err(NotAVersion) => (None, path),
    }
}

/// The version a request is answered in.
///
/// # Errors
/// 400 with Docker's words when it is too new or too old.
pub(crate) fn negotiate(
    asked: Option<ApiVersion>,
    oldest: ApiVersion,
) -> Result<ApiVersion, Failure> {
    let Some(asked) = asked else {
        return Ok(NEWEST);
    };
    if asked < oldest {
        return Err(Failure::bad_request(format!(
            "client version {asked} is too old. Minimum supported API version is {oldest}, please upgrade your client \
             to a newer version"
        )));
    }
    if asked > NEWEST {
        return Err(Failure::bad_request(format!(
            "client version {asked} is too new. Maximum supported API version is {NEWEST}"
        )));
    }
    Ok(asked)
}

#[cfg(test)]
mod tests {
    use super::{ApiVersion, FLOOR, NEWEST, negotiate, split};

    #[test]
    fn prefixes_are_split_only_when_they_are_versions() {
        for (path, version, rest) in [
            ("/v1.44/info", Some(ApiVersion::one(44)), "/info"),
            ("/v1.44", Some(ApiVersion::one(44)), ""),
            ("/version", None, "/version"),
            ("/volumes/v1.2", None, "/volumes/v1.2"),
            ("/v1/info", None, "/v1/info"),
            ("/v1.+4/info", None, "/v1.+4/info"),
            ("/v1.99999999/info", None, "/v1.99999999/info"),
            ("/info", None, "/info"),
        ] {
            assert_eq!(split(path), (version, rest), "{path}");
        }
    }

    #[test]
    fn every_version_has_its_answer() {
        assert_eq!(negotiate(None, FLOOR).ok(), Some(NEWEST));
        for minor in 24..=51 {
            let asked = ApiVersion::one(minor);
            assert_eq!(negotiate(Some(asked), FLOOR).ok(), Some(asked));
        }
        let old = negotiate(Some(ApiVersion::one(23)), FLOOR).unwrap_err();
        assert_eq!(old.status.as_u16(), 400);
        assert_eq!(
            old.message,
            "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a \
             newer version"
        );
        let new = negotiate("1.52".parse().ok(), FLOOR).unwrap_err();
        assert_eq!(new.status.as_u16(), 400);
        assert_eq!(
            new.message,
            "client version 1.52 is too new. Maximum supported API version is 1.51"
        );
        assert!(negotiate("2.0".parse().ok(), FLOOR).is_err());
        assert!(negotiate(Some(ApiVersion::one(30)), ApiVersion::one(40)).is_err());
    }
}
