//! Paths out of requests.

use gantry_model::{Error, Result};

/// An absolute path without `.`, `..` and doubled slashes. `what` names the field.
///
/// # Errors
/// `InvalidArgument` for a relative path, one with `..`, or one with a zero byte.
pub(crate) fn absolute(what: &str, path: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::invalid(format!(
            "{what} {path:?} is not an absolute path"
        )));
    }
    let parts = parts(what, path)?;
    Ok(format!("/{}", parts.join("/")))
}

/// Where a container's log goes: the pod's folder and the container's path below it; `None` if either is not given.
///
/// # Errors
/// `InvalidArgument` for a path that would leave the folder.
pub(crate) fn log(directory: &str, path: &str) -> Result<Option<String>> {
    if directory.is_empty() || path.is_empty() {
        return Ok(None);
    }
    let directory = absolute("log_directory", directory)?;
    if path.starts_with('/') {
        return Err(Error::invalid(format!(
            "log_path {path:?} is not relative to log_directory"
        )));
    }
    let parts = parts("log_path", path)?;
    if parts.is_empty() || path.ends_with('/') {
        return Err(Error::invalid(format!("log_path {path:?} names no file")));
    }
    Ok(Some(format!(
        "{}/{}",
        directory.trim_end_matches('/'),
        parts.join("/")
    )))
}

fn parts<'a>(what: &str, path: &'a str) -> Result<Vec<&'a str>> {
    if path.contains('\0') {
        return Err(Error::invalid(format!("{what} {path:?} has a zero byte")));
    }
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(Error::invalid(format!("{what} {path:?} has a .. in it")));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::{absolute, log};

    #[test]
    fn logs_stay_below_their_folder() {
        for (directory, path, expected) in [
            (
                "/var/log/pods/p",
                "c/0.log",
                Some("/var/log/pods/p/c/0.log"),
            ),
            (
                "/var/log//pods/./p/",
                "./c//0.log",
                Some("/var/log/pods/p/c/0.log"),
            ),
            ("/", "0.log", Some("/0.log")),
            ("", "0.log", None),
            ("/var/log", "", None),
        ] {
            assert_eq!(
                log(directory, path).unwrap().as_deref(),
                expected,
                "{directory} {path}"
            );
        }
        for (directory, path) in [
            ("/var/log", "/etc/passwd"),
            ("/var/log", "../etc/passwd"),
            ("/var/log", "a/../../b"),
            ("/var/../etc", "a"),
            ("var/log", "a"),
            ("/var/log", "."),
            ("/var/log", "a/"),
            ("/var/log", "a\0b"),
        ] {
            assert!(log(directory, path).is_err(), "{directory} {path}");
        }
    }

    #[test]
    fn absolute_paths_are_cleaned() {
        assert_eq!(absolute("x", "/a//b/./c/").unwrap(), "/a/b/c");
        assert_eq!(absolute("x", "/").unwrap(), "/");
        assert!(absolute("x", "a").is_err());
        assert!(absolute("x", "").is_err());
        assert!(absolute("x", "/a/../b").is_err());
    }
}
