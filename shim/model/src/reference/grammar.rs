//! The grammar of image names, by hand: small enough to read, and no regular expression can be made to backtrack.

use super::{DEFAULT_DOMAIN, DEFAULT_NAMESPACE, Reference, ReferenceError};
use crate::digest::Digest;

/// Longest path of a repository.
const MAX_NAME: usize = 255;
/// Longest tag.
const MAX_TAG: usize = 128;
/// Longest input looked at: host, path, tag and digest at their longest.
const MAX_INPUT: usize = 1024;

pub(super) fn parse(input: &str) -> Result<Reference, ReferenceError> {
    if input.is_empty() || input.len() > MAX_INPUT {
        return Err(ReferenceError::Format);
    }
    if Digest::from_hex(input).is_ok() {
        return Err(ReferenceError::LooksLikeId(input.to_owned()));
    }
    let (rest, digest) = match input.split_once('@') {
        Some((rest, digest)) => (
            rest,
            Some(digest.parse().map_err(|_| ReferenceError::Digest)?),
        ),
        None => (input, None),
    };
    let (domain, remainder) = split_domain(rest);
    // A colon left of here belonged to the host's port.
    let (path, tag) = match remainder.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (remainder, None),
    };
    let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
        format!("{DEFAULT_NAMESPACE}/{path}")
    } else {
        path.to_owned()
    };
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ReferenceError::Uppercase(path));
    }
    if !is_domain(domain) || !path.split('/').all(is_path_component) || !tag.is_none_or(is_tag) {
        return Err(ReferenceError::Format);
    }
    if path.len() > MAX_NAME {
        return Err(ReferenceError::TooLong);
    }
    Ok(Reference {
        domain: domain.to_owned(),
        path,
        tag: tag.map(str::to_owned),
        digest,
    })
}

/// The first part is a host only if it could not be a path: a dot, a colon, a capital letter, or `localhost`.
fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (
                if first == "index.docker.io" {
                    DEFAULT_DOMAIN
                } else {
                    first
                },
                rest,
            )
        }
        _ => (DEFAULT_DOMAIN, name),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = if let Some(rest) = domain.strip_prefix('[') {
        let Some((v6, rest)) = rest.split_once(']') else {
            return false;
        };
        let valid = !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        match rest.strip_prefix(':') {
            _ if !valid => return false,
            None => return rest.is_empty(),
            Some(port) => return is_port(port),
        }
    } else {
        match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        }
    };
    port.is_none_or(is_port) && host.split('.').all(is_domain_component)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_domain_component(s: &str) -> bool {
    !s.is_empty()
        && !s.starts_with('-')
        && !s.ends_with('-')
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Words of `a-z0-9` joined by one dot, one or two underscores, or any number of dashes.
fn is_path_component(s: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = s.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    if !word(*first) || !word(*last) {
        return false;
    }
    bytes
        .split(|b| word(*b))
        .filter(|sep| !sep.is_empty())
        .all(|sep| matches!(sep, b"." | b"_" | b"__") || sep.iter().all(|b| *b == b'-'))
}

pub(super) fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    (1..=MAX_TAG).contains(&bytes.len())
        && word(bytes[0])
        && bytes.iter().all(|b| word(*b) || matches!(b, b'.' | b'-'))
}
