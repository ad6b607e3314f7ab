//! One gantryd with everything of its own: root, run folder, instance name, cgroup parent and network namespace.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::cri::Cri;
use crate::docker::{Docker, Ran};
use crate::http::{self, Answer};
use crate::netns::NetNs;
use crate::{leaks, paths, wait};

mod image;

/// The image every test can rely on after [`Node::load_busybox`].
pub const BUSYBOX: &str = "busybox:latest";

/// What a test may change before the start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More lines of the config file; they come after the top-level keys.
    pub config: String,
    /// A plugin folder other than the build's.
    pub plugins: Option<PathBuf>,
    /// More variables of the daemon's environment.
    pub env: Vec<(String, String)>,
}

/// A running daemon. Dropping it ends everything it started, whether the test passed or not.
#[derive(Debug)]
pub struct Node {
    /// Instance name.
    pub instance: String,
    /// Its network namespace.
    pub net: NetNs,
    dir: TempDir,
    options: Options,
    daemon: Option<Child>,
    finished: bool,
}

impl Node {
    /// Starts a daemon and waits until its doors serve.
    ///
    /// # Errors
    /// With the end of its log, if it does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(Options::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with(options: Options) -> Result<Self> {
        let mut node = Self::prepare(options)?;
        node.restart()?;
        Ok(node)
    }

    /// Makes the folders and the namespace, starts nothing.
    ///
    /// # Errors
    /// If they cannot be made.
    pub fn prepare(options: Options) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let instance = format!(
            "t{}x{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        // Short: a unix socket's path has 108 bytes, and a sandbox's id of 64 is part of some.
        let dir = tempfile::Builder::new()
            .prefix("gi")
            .tempdir()
            .context("make the test's folder")?;
        std::fs::create_dir(dir.path().join("docker"))?;
        let node = Self {
            instance,
            net: NetNs::new()?,
            dir,
            options,
            daemon: None,
            finished: false,
        };
        std::fs::write(node.config(), node.config_text()).context("write the config")?;
        Ok(node)
    }

    fn config_text(&self) -> String {
        let Self {
            instance, options, ..
        } = self;
        format!("instance = \"{instance}\"\n{}\n", options.config)
    }

    /// The test's folder: scratch files go here.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The daemon's root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The daemon's run folder.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.dir.path().join("r")
    }

    /// The daemon's config file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// One of its sockets: `docker`, `cri` or `gantry`.
    #[must_use]
    pub fn socket(&self, door: &str) -> PathBuf {
        self.run().join(format!("{door}.sock"))
    }

    /// The daemon's command, not started, for tests of its flags.
    ///
    /// # Errors
    /// If it has not been built.
    pub fn daemon_command(&self) -> Result<Command> {
        let plugins = self
            .options
            .plugins
            .clone()
            .unwrap_or_else(|| paths::build().join("plugins"));
        let mut command = Command::new(paths::program("gantryd")?);
        command
            .arg("--config")
            .arg(self.config())
            .arg("--root")
            .arg(self.root())
            .arg("--run")
            .arg(self.run())
            .arg("--plugin-dir")
            .arg(plugins)
            .envs(self.options.env.iter().cloned())
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Starts the daemon again, after [`Node::kill`] or [`Node::stop`], and waits until its doors serve.
    ///
    /// # Errors
    /// With the end of its log, if it does not come up.
    pub fn restart(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        let mut command = self.daemon_command()?;
        command.stdout(log.try_clone()?).stderr(log);
        self.daemon = Some(
            self.net
                .run(move || command.spawn())
                .context("start gantryd")?,
        );
        let ready = self.gantry(&["wait", "--timeout", "20s"])?;
        if ready.code != 0 {
            bail!(
                "gantryd does not serve: {}{}\n{}",
                ready.out,
                ready.err,
                self.log_tail()
            );
        }
        Ok(())
    }

    /// Starts the daemon with more variables of its environment, and waits for nothing: it may be made to die early.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn launch(&mut self, env: &[(String, String)]) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        let mut command = self.daemon_command()?;
        command
            .envs(env.iter().cloned())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.daemon = Some(
            self.net
                .run(move || command.spawn())
                .context("start gantryd")?,
        );
        Ok(())
    }

    /// How the daemon has ended by itself, if it has.
    #[must_use]
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        let status = self.daemon.as_mut()?.try_wait().ok().flatten()?;
        self.daemon = None;
        Some(status)
    }

    /// Whether the daemon was started and not ended by the test.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.daemon.is_some()
    }

    /// Process id of the daemon.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon runs").id()
    }

    /// `kill -9` of the daemon alone.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut daemon = self
            .daemon
            .take()
            .context("kill a daemon that does not run")?;
        daemon.kill()?;
        daemon.wait()?;
        Ok(())
    }

    /// TERM, and waits for a clean end.
    ///
    /// # Errors
    /// If it takes longer than 20 seconds or ends with a failure.
    pub fn stop(&mut self) -> Result<()> {
        let mut daemon = self
            .daemon
            .take()
            .context("stop a daemon that does not run")?;
        kill(pid_of(&daemon), Signal::SIGTERM)?;
        let end = wait::some("gantryd to end after TERM", Duration::from_secs(20), || {
            daemon.try_wait().ok().flatten()
        });
        if end.is_err() {
            daemon.kill()?;
            daemon.wait()?;
        }
        let status = end?;
        if !status.success() {
            bail!("gantryd ended with {status}\n{}", self.log_tail());
        }
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("gantryd.log")
    }

    /// Everything the daemon has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The docker client of this daemon.
    #[must_use]
    pub fn docker(&self) -> Docker {
        Docker {
            host: format!("unix://{}", self.socket("docker").display()),
            config: self.dir.path().join("docker"),
        }
    }

    /// A CRI client of this daemon.
    ///
    /// # Errors
    /// If it does not listen.
    pub fn cri(&self) -> Result<Cri> {
        Cri::connect(&self.socket("cri"))
    }

    /// One request to the Docker door without a client in between.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn api(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer> {
        http::request(
            &self.socket("docker"),
            method,
            path,
            "application/json",
            body,
        )
    }

    /// Runs the `gantry` command.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn gantry(&self, args: &[&str]) -> Result<Ran> {
        let mut command = Command::new(paths::program("gantry")?);
        let out = command
            .args(args)
            .env("GANTRY_RUN", self.run())
            .output()
            .context("run gantry")?;
        Ok(Ran {
            line: format!("gantry {}", args.join(" ")),
            code: out.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        })
    }

    /// Loads [`BUSYBOX`] through the Docker door.
    ///
    /// # Errors
    /// If it fails.
    pub fn load_busybox(&self) -> Result<String> {
        let tar = image::busybox()?;
        self.docker()
            .ok(&["load", "-i", &tar.display().to_string()])
    }

    /// Removes every container, pod and image through the doors, ends the daemon and checks that nothing is left.
    ///
    /// # Errors
    /// Naming what is left.
    pub fn finish(mut self) -> Result<()> {
        self.clear().context("clear up")?;
        let mut left = Vec::new();
        let gone = wait::until("everything to be gone", Duration::from_secs(10), || {
            left = leaks::find(&self);
            left.is_empty()
        });
        if gone.is_err() {
            bail!("left behind:\n{}\n{}", left.join("\n"), self.log_tail());
        }
        self.stop()?;
        self.finished = true;
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        let docker = self.docker();
        let ids = docker.ok(&["ps", "-aq"])?;
        for id in ids.lines() {
            docker.ok(&["rm", "-f", id])?;
        }
        let cri = self.cri()?;
        let pods = cri.wait(
            cri.runtime()
                .list_pod_sandbox(gantry_cri_api::v1::ListPodSandboxRequest::default()),
        )?;
        for pod in pods.items {
            cri.remove_pod(&pod.id)?;
        }
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.finished {
            eprintln!("--- end of the daemon's log\n{}\n---", self.log_tail());
        }
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        leaks::sweep(self);
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"))
}
