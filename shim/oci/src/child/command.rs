//! Finding the command, as the user who will run it, with the words Docker's users know.

use crate::error::{FailureKind, LaunchError, Result};
use gantry_sys::Errno;
use nix::sys::stat::stat;
use nix::unistd::{AccessFlags, access};
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

/// Where commands are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file `name` stands for. With a slash it is a path, relative to the current directory if it is not absolute.
pub(super) fn find(name: &str, env: &[String]) -> Result<PathBuf> {
    if name.is_empty() {
        return Err(LaunchError::new(
            FailureKind::CommandNotFound,
            "exec: \"\": executable file not found in $PATH",
        ));
    }
    if name.contains('/') {
        return executable(Path::new(name))
            .map(|()| name.into())
            .map_err(|e| explain(name, e));
    }
    let path = env
        .iter()
        .rev()
        .find_map(|e| e.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    let found = path
        .split(':')
        .map(|dir| Path::new(if dir.is_empty() { "." } else { dir }).join(name));
    found
        .into_iter()
        .find(|p| executable(p).is_ok())
        .ok_or_else(|| {
            let message = format!("exec: {name:?}: executable file not found in $PATH");
            LaunchError {
                kind: FailureKind::CommandNotFound,
                message,
                errno: libc::ENOENT,
            }
        })
}

/// A regular file this user may execute: access(2) asks with the real user's rights and no others.
fn executable(path: &Path) -> std::result::Result<(), Errno> {
    let kind = stat(path)?.st_mode & libc::S_IFMT;
    match kind {
        libc::S_IFDIR => Err(Errno::EISDIR),
        libc::S_IFREG => access(path, AccessFlags::X_OK),
        _ => Err(Errno::EACCES),
    }
}

fn explain(name: &str, errno: Errno) -> LaunchError {
    let (kind, message) = match errno {
        Errno::ENOENT | Errno::ENOTDIR => {
            let why = if errno == Errno::ENOENT {
                "no such file or directory"
            } else {
                "not a directory"
            };
            (
                FailureKind::CommandNotFound,
                format!("exec: {name:?}: stat {name}: {why}"),
            )
        }
        Errno::EISDIR => (
            FailureKind::NotExecutable,
            format!("exec: {name:?}: is a directory"),
        ),
        Errno::EACCES => (
            FailureKind::NotExecutable,
            format!("exec: {name:?}: permission denied"),
        ),
        other => (
            FailureKind::NotExecutable,
            format!("exec: {name:?}: {}", other.desc().to_lowercase()),
        ),
    };
    LaunchError {
        kind,
        message,
        errno: errno as i32,
    }
}

/// Executes; answers why not.
pub(super) fn execute(path: &Path, args: &[String], env: &[String]) -> LaunchError {
    let cut = |list: &[String]| -> Option<Vec<CString>> {
        list.iter().map(|s| CString::new(s.as_str()).ok()).collect()
    };
    let file = path.to_str().and_then(|p| CString::new(p).ok());
    let (Some(file), Some(args), Some(env)) = (file, cut(args), cut(env)) else {
        return LaunchError::spec("an argument or environment variable holds a NUL byte");
    };
    let args: Vec<&CStr> = args.iter().map(CString::as_c_str).collect();
    let env: Vec<&CStr> = env.iter().map(CString::as_c_str).collect();
    let error = gantry_sys::process::execve(&file, &args, &env);
    let why = match error.errno() {
        Errno::ENOEXEC => "exec format error".to_owned(),
        Errno::ENOENT => "no such file or directory".to_owned(),
        other => other.desc().to_lowercase(),
    };
    // ENOENT now means the interpreter of a script or of a dynamic program.
    let kind = if error.errno() == Errno::ENOENT {
        FailureKind::CommandNotFound
    } else {
        FailureKind::NotExecutable
    };
    LaunchError {
        kind,
        message: format!("exec {}: {why}", path.display()),
        errno: error.errno() as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, env: &[&str]) -> FailureKind {
        let env: Vec<String> = env.iter().map(|e| (*e).to_owned()).collect();
        find(name, &env).unwrap_err().kind
    }

    #[test]
    fn found_by_path_and_by_name() {
        assert_eq!(find("/bin/sh", &[]).unwrap(), PathBuf::from("/bin/sh"));
        assert_eq!(
            find("sh", &["PATH=/nowhere:/bin".into()]).unwrap(),
            PathBuf::from("/bin/sh")
        );
        // As in a shell, the last of two assignments counts.
        assert_eq!(
            kind("sh", &["PATH=/bin", "PATH=/nowhere"]),
            FailureKind::CommandNotFound
        );
    }

    #[test]
    fn the_kinds_and_words_docker_users_know() {
        assert_eq!(kind("nope", &[]), FailureKind::CommandNotFound);
        assert_eq!(kind("/nope", &[]), FailureKind::CommandNotFound);
        assert_eq!(kind("", &[]), FailureKind::CommandNotFound);
        assert_eq!(kind("/tmp", &[]), FailureKind::NotExecutable);
        assert_eq!(kind("/etc/passwd", &[]), FailureKind::NotExecutable);
        let e = find("nope", &[]).unwrap_err();
        assert_eq!(
            e.message,
            "exec: \"nope\": executable file not found in $PATH"
        );
        assert_eq!(
            find("/nope", &[]).unwrap_err().message,
            "exec: \"/nope\": stat /nope: no such file or directory"
        );
    }
}
