//! One command of another runtime, and what it says when it fails.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gantry_oci::{FailureKind, LaunchError};
use gantry_supervisor_proto::types::Runtime;

/// Where programs are looked for by a runtime that needs others; our own environment is empty.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most of a log that is read.
const LOG: u64 = 64 << 10;

/// Where a sandbox's runtime keeps its state: it goes with the supervisor's folder.
pub(super) fn state_folder(folder: &Path) -> PathBuf {
    folder.join("runtime")
}

/// A command to be run to its end.
pub(super) struct Call<'a> {
    pub(super) runtime: &'a Runtime,
    /// The supervisor's folder.
    pub(super) folder: &'a Path,
    /// A file for what it has to say; removed again.
    pub(super) log: PathBuf,
}

impl Call<'_> {
    /// Runs it. Standard streams are null ones, or the container's own three, which it passes on.
    ///
    /// # Errors
    /// In the runtime's words.
    pub(super) fn run(
        &self,
        args: &[&str],
        streams: Option<[OwnedFd; 3]>,
    ) -> Result<(), LaunchError> {
        let mut command = Command::new(&self.runtime.path);
        command
            .args(&self.runtime.options)
            .arg("--root")
            .arg(state_folder(self.folder))
            .arg("--log")
            .arg(&self.log)
            .args(["--log-format", "json"])
            .args(args)
            .env_clear()
            .env("PATH", PATH);
        match streams {
            Some([input, output, error]) => command.stdin(input).stdout(output).stderr(error),
            None => command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        };
        let verb = args.first().copied().unwrap_or_default();
        let status = command.status().map_err(|e| LaunchError {
            kind: FailureKind::System,
            message: format!(
                "handler {}: run {}: {e}",
                self.runtime.name, self.runtime.path
            ),
            errno: e.raw_os_error().unwrap_or(0),
        })?;
        let log = read(&self.log);
        // It need not have written any.
        let _ = std::fs::remove_file(&self.log);
        if status.success() {
            return Ok(());
        }
        let words = words(&log).unwrap_or_else(|| format!("{verb} ended with {status}"));
        Err(LaunchError {
            kind: kind(&words),
            message: format!("handler {}: {words}", self.runtime.name),
            errno: 0,
        })
    }
}

fn read(path: &Path) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    // A runtime that could not write its log has its exit code to tell.
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(LOG).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last error of a log, or its last line.
fn words(log: &str) -> Option<String> {
    let lines = || log.lines().rev().filter(|line| !line.trim().is_empty());
    let error = lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let level = line.get("level")?.as_str()?;
        let said = line.get("msg")?.as_str()?;
        matches!(level, "error" | "fatal" | "panic").then(|| said.trim().to_owned())
    });
    let said = error.or_else(|| lines().next().map(|line| line.trim().to_owned()))?;
    // The doors say this themselves.
    let said = match said.rsplit_once("unable to start container process: ") {
        Some((_, rest)) => rest.to_owned(),
        None => said,
    };
    // Docker's clients look for these in small letters only.
    Some(
        said.replace("Permission denied", "permission denied")
            .replace("No such file or directory", "no such file or directory")
            .replace("Is a directory", "is a directory"),
    )
}

/// What kind of failure it was. Elsewhere nothing is decided by the text of a message; a runtime's command line has
/// nothing else to say it by, and Docker's clients want their 126 and 127.
fn kind(words: &str) -> FailureKind {
    let text = words.to_ascii_lowercase();
    let has = |part: &str| text.contains(part);
    let missing = (has("executable file") && has("not found"))
        || ((has("exec") || has("open `")) && has("no such file or directory"));
    if has("chdir") || has("cwd") {
        FailureKind::Cwd
    } else if missing {
        FailureKind::CommandNotFound
    } else if has("exec")
        && (has("permission denied") || has("is a directory") || has("exec format error"))
    {
        FailureKind::NotExecutable
    } else if has("does not exist") || has("not running") || has("is stopped") {
        FailureKind::Gone
    } else {
        FailureKind::System
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_the_last_error_of_the_log() {
        let log = "{\"level\":\"warning\",\"msg\":\"slow\"}\n{\"level\":\"error\",\"msg\":\"it broke\"}\n{\"level\":\"info\",\"msg\":\"bye\"}\n";
        assert_eq!(words(log).as_deref(), Some("it broke"));
        assert_eq!(words("plain text\n\n").as_deref(), Some("plain text"));
        let long =
            "runc create failed: unable to start container process: exec: \"x\": Permission denied";
        assert_eq!(
            words(long).as_deref(),
            Some("exec: \"x\": permission denied")
        );
        assert_eq!(words("\n"), None);
    }

    #[test]
    fn commands_that_cannot_run_are_told_apart() {
        for (text, wanted) in [
            (
                "runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH",
                FailureKind::CommandNotFound,
            ),
            (
                "executable file `nope` not found in $PATH: No such file or directory",
                FailureKind::CommandNotFound,
            ),
            (
                "unable to start container process: exec: \"/nope\": stat /nope: no such file or directory",
                FailureKind::CommandNotFound,
            ),
            (
                "exec: \"/etc/passwd\": permission denied",
                FailureKind::NotExecutable,
            ),
            (
                "chdir to cwd (\"/nope\") set in config.json failed: not a directory",
                FailureKind::Cwd,
            ),
            ("container does not exist", FailureKind::Gone),
            ("mount /proc: operation not permitted", FailureKind::System),
        ] {
            assert_eq!(kind(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_missing_binary_is_named() {
        let nowhere = Path::new("/nonexistent");
        let runtime = Runtime {
            name: "none".into(),
            path: "/nonexistent/runtime".into(),
            ..Runtime::default()
        };
        let call = Call {
            runtime: &runtime,
            folder: nowhere,
            log: nowhere.join("log"),
        };
        let error = call.run(&["delete", "x"], None).unwrap_err();
        assert!(error.message.contains("/nonexistent/runtime"), "{error}");
    }
}
