//! Facts of the host for `docker info` and for checking limits, read once at start-up. A file that is not there gives
//! an empty text or zero: these are for people.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// What the machine is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// Its name.
    pub(crate) name: String,
    /// `6.18.0`.
    pub(crate) kernel: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub(crate) os: String,
    /// `12`.
    pub(crate) os_version: String,
    /// CPUs this process may use.
    pub(crate) cpus: usize,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

impl Host {
    /// Reads them.
    pub(crate) fn read() -> Self {
        let line = |path: &str| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let release = line("/etc/os-release");
        Self {
            name: line("/proc/sys/kernel/hostname"),
            kernel: line("/proc/sys/kernel/osrelease"),
            os: assignment(&release, "PRETTY_NAME"),
            os_version: assignment(&release, "VERSION_ID"),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: total_memory(&line("/proc/meminfo")),
        }
    }
}

/// How long `ps` may take, and how much of what it says is read.
const PS_TIME: Duration = Duration::from_secs(10);
const PS_OUTPUT: u64 = 8 << 20;
/// Where it is looked for: the daemon's own PATH is nothing to rely on.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the host's `ps`, bounded in time and output, without anything of this process' environment.
///
/// # Errors
/// In dockerd's words: what `ps` says first, or why it could not be run.
pub(crate) async fn ps(args: &[String]) -> Result<String, String> {
    let mut child = Command::new("ps")
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("ps: {error}"))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("ps: its output is not there".to_owned());
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let work = async {
        let (mut stdout, mut stderr) = (stdout.take(PS_OUTPUT), stderr.take(PS_OUTPUT));
        let (a, b) = tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        // Both ends are closed before it is waited for: one that says more than is read must not wait for ever.
        drop((stdout, stderr));
        let status = child.wait().await;
        a.and(b).and(status)
    };
    let status = tokio::time::timeout(PS_TIME, work)
        .await
        .map_err(|_| format!("ps: did not end within {} s", PS_TIME.as_secs()))?
        .map_err(|error| format!("ps: {error}"))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&out).into_owned());
    }
    let said = String::from_utf8_lossy(&err);
    Err(match said.lines().next().filter(|line| !line.is_empty()) {
        Some(line) => format!("ps: {line}"),
        None => format!("ps: {status}"),
    })
}

/// The value of `KEY="value"` in a file of such lines (os-release(5)).
fn assignment(text: &str, key: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim_matches('"').to_owned())
        .unwrap_or_default()
}

/// `MemTotal` in bytes.
fn total_memory(meminfo: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        .saturating_mul(1024)
}

/// Go's name of this machine's architecture, as image platforms are written.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{assignment, total_memory};

    #[test]
    fn reads_the_files_formats() {
        let release = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=12";
        assert_eq!(assignment(release, "PRETTY_NAME"), "Debian GNU/Linux 12");
        assert_eq!(assignment(release, "VERSION_ID"), "12");
        assert_eq!(assignment(release, "ID"), "");
        assert_eq!(total_memory("MemTotal:    2 kB\nMemFree: 1 kB"), 2048);
        assert_eq!(total_memory(""), 0);
    }
}
