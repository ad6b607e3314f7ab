//! Bundles for an OCI runtime's command line: ours, and those Gantry is compared with.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{case, paths};

/// A runtime to run bundles with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// `gantry-shim oci`.
    Gantry,
    /// Debian's runc.
    Runc,
    /// Debian's crun, which refuses hosts that mount both cgroup versions unless the second is out of its sight.
    Crun,
}

impl Runtime {
    /// Its command, in a mount namespace of its own.
    ///
    /// # Errors
    /// A skip when it is not installed.
    pub fn command(self) -> Result<Command> {
        let installed = |name: &str, path: &str| {
            if Path::new(path).is_file() {
                Ok(())
            } else {
                case::skip(format!("{name} is not installed"))
            }
        };
        Ok(match self {
            Self::Gantry => {
                let mut command = Command::new(paths::program("gantry-shim")?);
                command.arg("oci");
                command
            }
            Self::Runc => {
                installed("runc", "/usr/sbin/runc")?;
                Command::new("/usr/sbin/runc")
            }
            Self::Crun => {
                installed("crun", "/usr/bin/crun")?;
                let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec /usr/bin/crun \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["-m", "sh", "-c", script, "crun"]);
                command
            }
        })
    }
}

/// A bundle with busybox in a folder of its own; `host` beside it is what an attack would reach for.
pub struct Bundle {
    dir: TempDir,
    /// Its containers' id.
    pub id: String,
    /// What is written as `config.json` at each call.
    pub config: Value,
    /// What runs it.
    pub runtime: Runtime,
}

impl Bundle {
    /// With an ordinary configuration, for our runtime.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = TempDir::new()?;
        // A container's root in a user namespace has to get through.
        Command::new("chmod").arg("711").arg(dir.path()).status()?;
        for folder in ["bundle/rootfs/bin", "bundle/rootfs/etc", "host", "state"] {
            std::fs::create_dir_all(dir.path().join(folder))?;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let made = Self {
            id: format!("b{}x{number}", std::process::id()),
            config: config(),
            dir,
            runtime: Runtime::Gantry,
        };
        std::fs::copy("/bin/busybox", made.root().join("bin/busybox"))?;
        symlink("busybox", made.root().join("bin/sh"))?;
        Ok(made)
    }

    /// Everything of this bundle is beneath.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its root file system.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("bundle/rootfs")
    }

    /// The folder an attack would write into.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    /// A link text that climbs out of the root to `host`, whatever depth it is read at.
    #[must_use]
    pub fn way_out(&self) -> String {
        format!("../../../../../../../..{}", self.host().display())
    }

    /// One more mount.
    pub fn mount(&mut self, mount: Value) {
        let mounts = self.config["mounts"].as_array_mut();
        mounts.expect("the configuration has mounts").push(mount);
    }

    /// A command of the runtime on this bundle, with the configuration as it is now.
    ///
    /// # Errors
    /// When the configuration cannot be written; a skip when the runtime is not there.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut config = self.config.clone();
        if config["linux"]["cgroupsPath"].is_null() {
            config["linux"]["cgroupsPath"] = json!(format!("/gantry-test-{}", self.id));
        }
        let file = self.dir.path().join("bundle/config.json");
        std::fs::write(file, config.to_string())?;
        let mut command = self.runtime.command()?;
        command.arg("--root").arg(self.dir.path().join("state"));
        let (verb, rest) = args.split_first().context("a verb")?;
        command.arg(verb);
        if matches!(*verb, "run" | "create") {
            command.arg("--bundle").arg(self.dir.path().join("bundle"));
        }
        command.args(rest).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn oci(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.command(args)?;
        if args[0] == "create" || args.contains(&"--detach") {
            // The container keeps these streams, so a pipe would not end before it does.
            let log = std::fs::File::create(self.dir.path().join("create.log"))?;
            command.stdout(log.try_clone()?).stderr(log);
            let mut done = command.spawn().and_then(Child::wait_with_output)?;
            done.stderr = std::fs::read(self.dir.path().join("create.log"))?;
            return Ok(done);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let done = command.spawn().and_then(Child::wait_with_output);
        done.context("run the runtime")
    }

    /// As [`Self::oci`], and it must succeed; its output.
    ///
    /// # Errors
    /// What it said.
    pub fn ok(&self, args: &[&str]) -> Result<String> {
        let done = self.oci(args)?;
        let err = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{args:?}: {}: {err}", done.status);
        Ok(String::from_utf8(done.stdout)?)
    }

    /// Runs a shell script inside; its output, or why it failed.
    ///
    /// # Errors
    /// What it said.
    pub fn sh(&mut self, script: &str) -> Result<String> {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        self.ok(&["run", &self.id])
    }

    /// Expects the runtime to refuse, with this in its words.
    ///
    /// # Errors
    /// When it does not.
    pub fn refused(&mut self, words: &str) -> Result<()> {
        match self.sh("echo started") {
            Ok(out) => bail!("not refused: {out}"),
            Err(e) if e.to_string().contains(words) => Ok(()),
            Err(e) => bail!("refused, but not for {words:?}: {e}"),
        }
    }

    /// The container's status.
    ///
    /// # Errors
    /// When there is no such container.
    pub fn status(&self) -> Result<String> {
        let state: Value = serde_json::from_str(&self.ok(&["state", &self.id])?)?;
        Ok(state["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Nothing was made or mounted outside.
    ///
    /// # Errors
    /// What was.
    pub fn host_is_untouched(&self) -> Result<()> {
        let found: Vec<_> = std::fs::read_dir(self.host())?
            .flatten()
            .map(|e| e.path())
            .collect();
        ensure!(found.is_empty(), "made on the host: {found:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let ours = self.dir.path().display().to_string();
        ensure!(!mounts.contains(&ours), "mounted on the host:\n{mounts}");
        Ok(())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.oci(&["delete", "--force", &self.id]);
    }
}

fn config() -> Value {
    let namespaces =
        ["mount", "pid", "ipc", "uts", "network", "cgroup"].map(|t| json!({"type": t}));
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/busybox", "true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_MKNOD"],
                "permitted": ["CAP_CHOWN", "CAP_MKNOD"],
                "effective": ["CAP_CHOWN", "CAP_MKNOD"],
                "inheritable": ["CAP_CHOWN"]
            }
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", &["ro"])
        ],
        "linux": {
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
            "resources": {"devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "access": "m"},
                {"allow": true, "type": "b", "access": "m"}
            ]}
        }
    })
}
