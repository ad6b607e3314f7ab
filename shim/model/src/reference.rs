//! Names of images: `[host[:port]/]path[:tag][@digest]`, read as Docker's clients read them.
//!
//! The grammar is the one of the public "distribution reference" specification; a short name is completed the way the
//! docker CLI does it (`busybox` is `docker.io/library/busybox`). Pure: it resolves nothing and asks no registry.

mod grammar;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Host that a name without a host belongs to.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// Path in front of a one-word name on the default host.
pub const DEFAULT_NAMESPACE: &str = "library";
/// Tag of a name that has neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";

/// Why a string names no image. The texts are the ones Docker's users know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The string does not follow the grammar.
    #[error("invalid reference format")]
    Format,
    /// It would, were it not for capital letters in the repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// 64 hexadecimal digits are an id, never a name.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    /// More than 255 characters.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    /// The digest is of another algorithm or malformed.
    #[error("unsupported digest algorithm or malformed digest")]
    Digest,
}

/// A complete image name: host and path are always there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a name as a user writes it, completing host and `library/`. No tag is added.
    ///
    /// # Errors
    /// [`ReferenceError`], whose text is what Docker answers.
    pub fn parse(input: &str) -> Result<Self, ReferenceError> {
        grammar::parse(input)
    }

    /// Reads a name and adds `:latest` if it has neither tag nor digest.
    ///
    /// # Errors
    /// As [`Reference::parse`].
    pub fn parse_tagged(input: &str) -> Result<Self, ReferenceError> {
        Ok(Self::parse(input)?.or_latest())
    }

    /// This name with `:latest` if it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// This name with another tag and no digest.
    ///
    /// # Errors
    /// [`ReferenceError::Format`] if the tag does not follow the grammar.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        if !grammar::is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        Ok(Self {
            tag: Some(tag.to_owned()),
            digest: None,
            ..self.clone()
        })
    }

    /// This name with a digest and no tag: the form of Docker's RepoDigests.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// Host and port of the registry, `docker.io` if none was written.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Path of the repository at its registry, for example `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was written or added.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was written or added.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Host and path, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// Host and path as Docker shows them: without `docker.io/` and `library/`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix("library/") {
            // Only a one-word rest may lose `library/`, otherwise the short form would be read back as another name.
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole name as Docker shows it (`busybox:1.36`).
    #[must_use]
    pub fn familiar(&self) -> String {
        self.complete(self.familiar_name())
    }

    fn complete(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(digest.as_str());
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.complete(self.name()))
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(s: &str) -> Result<Self, ReferenceError> {
        Self::parse(s)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(s: String) -> Result<Self, ReferenceError> {
        Self::parse(&s)
    }
}

impl From<Reference> for String {
    fn from(r: Reference) -> Self {
        r.to_string()
    }
}

#[cfg(test)]
mod tests;
