//! Running `gantry-helper`: the request goes in, progress and one answer come out. Killed when cancelled or late, with
//! everything in its cgroup, before the caller undoes anything.

mod group;

use std::fs::File;
use std::process::Stdio;

use gantry_files::error::Kind;
use gantry_files::protocol::{Line, Tree};
use gantry_model::call::Call;
use gantry_model::mount::MountDescription;
use gantry_model::{Error, Result};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::config::Config;

pub(crate) use group::{Groups, Own};

/// Longest line and longest tail of stderr that are read.
const TEXT: u64 = 64 << 10;

/// Runs a verb to its end. The helper joins `own`, whose files are in the request; when this returns nothing of it
/// runs any more.
///
/// # Errors
/// The helper's own, by kind; `Cancelled` and `DeadlineExceeded` from the call, after the helper is dead; `Unknown`
/// when it does not die.
pub(crate) async fn run(
    config: &Config,
    call: &Call,
    verb: &str,
    request: &impl Serialize,
    own: Own,
    input: Option<File>,
    progress: impl FnMut(u64) + Send,
) -> Result<Line> {
    let answer = speak(config, call, verb, request, input, progress).await;
    match own.end().await {
        Ok(()) => answer,
        Err(left) => Err(match answer {
            Ok(_) => left,
            Err(first) => Error::new(left.kind, format!("{first}; {left}")),
        }),
    }
}

async fn speak(
    config: &Config,
    call: &Call,
    verb: &str,
    request: &impl Serialize,
    input: Option<File>,
    progress: impl FnMut(u64) + Send,
) -> Result<Line> {
    call.cancel.check()?;
    let request = serde_json::to_string(request)
        .map_err(|e| Error::internal(format!("write {verb} request: {e}")))?;
    gantry_fault::point("image.helper.before-start")?;
    let mut child = Command::new(&config.helper)
        .args([verb, &request])
        .env_clear()
        .envs(gantry_fault::variables())
        .current_dir("/")
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| not_started(config, &e))?;
    gantry_fault::point("image.helper.after-start")?;
    let stopped = tokio::select! {
        biased;
        () = call.cancel.cancelled() => Error::cancelled(format!("{verb} was cancelled")),
        () = tokio::time::sleep(call.timeout) => Error::deadline(format!("{verb} took longer than {:?}", call.timeout)),
        answer = converse(&mut child, verb, progress) => return answer,
    };
    // Nothing of the operation may be undone while its process still writes.
    child
        .kill()
        .await
        .map_err(|e| Error::unknown(format!("kill the helper of {verb}: {e}")))?;
    Err(stopped)
}

/// No more processes, descriptors or memory is the host's state and no mistake.
fn not_started(config: &Config, e: &std::io::Error) -> Error {
    let text = format!("start {}: {e}", config.helper.display());
    // EAGAIN 11, ENOMEM 12, ENFILE 23, EMFILE 24 (errno(3)).
    match e.raw_os_error() {
        Some(11) => Error::exhausted(format!("{text}: no more processes may be started (pids)")),
        Some(12) => Error::exhausted(format!("{text}: the host is short of memory")),
        Some(23 | 24) => Error::exhausted(format!("{text}: no more descriptors may be opened")),
        _ => Error::internal(text),
    }
}

async fn converse(
    child: &mut Child,
    verb: &str,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Line> {
    let out = child.stdout.take().expect("stdout was piped a moment ago");
    let err = child.stderr.take().expect("stderr was piped a moment ago");
    let read_err = async {
        let mut text = String::new();
        let _ = err.take(TEXT).read_to_string(&mut text).await;
        text
    };
    let read_out = async {
        let mut lines = BufReader::new(out);
        let mut last = None;
        loop {
            let mut line = Vec::new();
            let len = (&mut lines).take(TEXT).read_until(b'\n', &mut line).await;
            if !matches!(len, Ok(1..)) {
                return last;
            }
            match serde_json::from_slice(&line) {
                Ok(Line::Progress(bytes)) => progress(bytes),
                Ok(line) => last = Some(line),
                Err(_) => return None,
            }
        }
    };
    let (answer, text) = tokio::join!(read_out, read_err);
    let status = child
        .wait()
        .await
        .map_err(|e| Error::internal(format!("wait for the helper of {verb}: {e}")))?;
    match answer {
        Some(Line::Error { kind, message }) => Err(error(kind, message)),
        Some(line) if status.success() => Ok(line),
        _ => Err(Error::internal(format!(
            "helper of {verb} ended without an answer ({status}): {}",
            text.trim()
        ))),
    }
}

fn error(kind: Kind, message: String) -> Error {
    match kind {
        Kind::Archive => Error::invalid(message),
        Kind::Limit | Kind::NoSpace => Error::exhausted(message),
        Kind::Digest => Error::data_loss(message),
        Kind::Request | Kind::Io => Error::internal(message),
    }
}

/// What a driver's mounts mean for the helper.
///
/// # Errors
/// `Unimplemented` for anything but one plain directory or overlay.
pub(crate) fn tree(mounts: &[MountDescription]) -> Result<Tree> {
    let [mount] = mounts else {
        return Err(Error::unimplemented(format!(
            "a root file system of {} mounts is not served yet",
            mounts.len()
        )));
    };
    match mount.kind.as_str() {
        "bind" => Ok(Tree::Dir(mount.source.clone().into())),
        "overlay" => {
            let some = |path: &String| (!path.is_empty()).then(|| path.into());
            Ok(Tree::Overlay {
                lower: mount.lower.iter().map(Into::into).collect(),
                upper: some(&mount.upper),
                work: some(&mount.work),
            })
        }
        other => Err(Error::unimplemented(format!(
            "a root file system of type {other:?} is not served yet"
        ))),
    }
}
