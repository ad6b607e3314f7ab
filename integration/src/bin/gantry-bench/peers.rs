//! Debian's dockerd and containerd, each on a private root and in a network namespace of its own: nothing of the host's
//! bridges, rules or images is touched. The folder goes with them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gantry_integration::docker::Docker;
use gantry_integration::netns::NetNs;
use gantry_integration::{leaks, paths, wait};
use tempfile::TempDir;

/// A peer's daemon.
pub(crate) struct Peer {
    pub(crate) dir: TempDir,
    /// Lives as long as the daemon in it.
    net: NetNs,
    pub(crate) version: String,
    line: Vec<String>,
    child: Child,
}

impl Peer {
    fn spawn(program: &str, arguments: impl FnOnce(&Path) -> Result<Vec<String>>) -> Result<Self> {
        let version = Command::new(program)
            .arg("--version")
            .output()
            .with_context(|| format!("run {program}"))?;
        let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
        let dir = tempfile::Builder::new().prefix("gp").tempdir()?;
        let net = NetNs::new()?;
        let mut line = vec![program.to_owned()];
        line.extend(arguments(dir.path())?);
        let child = launch(&line, dir.path(), &net)?;
        Ok(Self {
            dir,
            net,
            version,
            line,
            child,
        })
    }

    /// Ends the daemon by TERM and waits for that.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id())?);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
        wait::until("the peer to end", Duration::from_secs(30), || {
            self.child.try_wait().is_ok_and(|s| s.is_some())
        })
    }

    /// Starts the stopped daemon again, and waits for nothing.
    pub(crate) fn launch(&mut self) -> Result<()> {
        self.child = launch(&self.line, self.dir.path(), &self.net)?;
        Ok(())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn up(&mut self, what: &str, look: impl Fn() -> bool) -> Result<()> {
        let up = wait::until(what, Duration::from_secs(30), look);
        up.with_context(|| {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(5)..].join("\n")
        })
    }

    /// Debian's dockerd; it starts a containerd of its own.
    pub(crate) fn dockerd() -> Result<(Self, Docker)> {
        let mut peer = Self::spawn("dockerd", |dir| {
            let at = |name: &str| dir.join(name).display().to_string();
            std::fs::create_dir(dir.join("config"))?;
            let host = format!("unix://{}", at("docker.sock"));
            Ok([
                // As whoever upgrades it under running containers has it.
                "--live-restore",
                "--data-root",
                &at("root"),
                "--exec-root",
                &at("exec"),
                "-p",
                &at("pid"),
                "-H",
                &host,
            ]
            .map(str::to_owned)
            .to_vec())
        })?;
        let docker = Docker {
            host: format!("unix://{}", peer.path("docker.sock").display()),
            config: peer.path("config"),
        };
        let client = docker.clone();
        peer.up("dockerd to answer", move || client.ok(&["version"]).is_ok())?;
        docker.ok(&[
            "load",
            "-q",
            "-i",
            &image(peer.dir.path(), "busybox:latest", &[])?,
        ])?;
        Ok((peer, docker))
    }

    /// Debian's containerd with runc and the CNI plugins; answers its CRI socket.
    pub(crate) fn containerd() -> Result<(Self, PathBuf)> {
        if !Path::new("/usr/lib/cni/bridge").is_file() {
            bail!("Debian's package containernetworking-plugins is not installed");
        }
        let mut peer = Self::spawn("containerd", |dir| {
            std::fs::create_dir_all(dir.join("cni"))?;
            std::fs::write(dir.join("cni/10-bench.conflist"), CNI)?;
            std::fs::write(
                dir.join("config.toml"),
                CONTAINERD.replace("@", &dir.display().to_string()),
            )?;
            Ok(vec![
                "--config".to_owned(),
                dir.join("config.toml").display().to_string(),
            ])
        })?;
        let socket = peer.path("c.sock");
        let ctr = |socket: &Path, args: &[&str]| {
            let mut command = Command::new("ctr");
            command
                .arg("-a")
                .arg(socket)
                .args(["-n", "k8s.io"])
                .args(args);
            command.output().is_ok_and(|o| o.status.success())
        };
        let at = socket.clone();
        peer.up("containerd to answer", move || ctr(&at, &["version"]))?;
        for (name, command) in [
            ("busybox:latest", &[][..]),
            ("pause:bench", &["sleep", "1000000"][..]),
        ] {
            let tar = image(
                peer.dir.path(),
                &format!("docker.io/library/{name}"),
                command,
            )?;
            if !ctr(&socket, &["images", "import", &tar]) {
                bail!("import {name} into containerd");
            }
        }
        Ok((peer, socket))
    }

    /// Proportional memory of the daemon and of what it is made of, in MB, and of all its shims.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let folder = self.dir.path().display().to_string();
        let (mut daemon, mut shims) = (super::memory::pss(self.child.id()), 0.0);
        for (pid, line) in leaks::processes_of(&folder) {
            let pid = pid.unsigned_abs();
            if line.starts_with("containerd ") && pid != self.child.id() {
                daemon += super::memory::pss(pid);
            } else if line.contains("containerd-shim") {
                shims += super::memory::pss(pid);
            }
        }
        (daemon, shims)
    }
}

fn launch(line: &[String], dir: &Path, net: &NetNs) -> Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))?;
    let mut command = Command::new(&line[0]);
    command
        .args(&line[1..])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(net.run(move || command.spawn())?)
}

impl Drop for Peer {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid fits"));
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = wait::until("the peer to end", Duration::from_secs(10), || {
            self.child.try_wait().is_ok_and(|s| s.is_some())
        });
        let _ = self.child.kill();
        let _ = self.child.wait();
        leaks::sweep_folder(self.dir.path());
    }
}

/// Makes the busybox image under a name; answers the archive's path.
fn image(dir: &Path, name: &str, command: &[&str]) -> Result<String> {
    let out = dir.join("image.tar").display().to_string();
    let made = Command::new(paths::tree().join("hack/busybox-image"))
        .arg(&out)
        .arg(name)
        .args(command)
        .output()?;
    if !made.status.success() {
        bail!(
            "hack/busybox-image: {}",
            String::from_utf8_lossy(&made.stderr)
        );
    }
    Ok(out)
}

const CNI: &str = r#"{"cniVersion": "0.4.0", "name": "bench", "plugins": [
  {"type": "bridge", "bridge": "bench0", "isGateway": true, "ipMasq": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.211.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}"#;

const CONTAINERD: &str = r#"version = 2
root = "@/root"
state = "@/state"
[grpc]
address = "@/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:bench"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "@/cni"
[plugins."io.containerd.internal.v1.opt"]
path = "@/opt"
"#;
