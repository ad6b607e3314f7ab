//! A network namespace of a test's own: a thread that lives in it and runs what it is given there.
//! Processes it spawns inherit the namespace; the mount namespace stays the host's, as gantryd demands.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

type Job = Box<dyn FnOnce() + Send>;

/// Ends with the last process and descriptor in it.
#[derive(Debug)]
pub struct NetNs {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    file: File,
}

impl NetNs {
    /// Makes a new one with `lo` up.
    ///
    /// # Errors
    /// Without root, or when `ip` is missing.
    pub fn new() -> Result<Self> {
        Self::spawn(
            || unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace"),
            true,
        )
    }

    /// A thread in the namespace a descriptor names, for instance a container's.
    ///
    /// # Errors
    /// If it cannot be entered.
    pub fn enter(file: File) -> Result<Self> {
        Self::spawn(
            move || {
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET).context("enter a network namespace")
            },
            false,
        )
    }

    fn spawn(go: impl FnOnce() -> Result<()> + Send + 'static, fresh: bool) -> Result<Self> {
        let (jobs, inbox) = channel::<Job>();
        let (told, ready) = channel();
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .spawn(move || {
                let file = go().and_then(|()| {
                    File::open("/proc/thread-self/ns/net").context("open the thread's namespace")
                });
                let ok = file.is_ok();
                if told.send(file).is_ok() && ok {
                    inbox.into_iter().for_each(|job| job());
                }
            })?;
        let file = ready.recv().context("hear from the namespace's thread")??;
        let space = Self {
            jobs: Some(jobs),
            thread: Some(thread),
            file,
        };
        if fresh {
            space.ip(&["link", "set", "lo", "up"])?;
        }
        Ok(space)
    }

    /// Runs something inside and waits for its answer. A panic inside is passed on.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, heard) = channel();
        let job: Job = Box::new(move || {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            // Nobody listens only if the test has panicked already.
            let _ = answer.send(result);
        });
        self.jobs
            .as_ref()
            .expect("taken at the end only")
            .send(job)
            .expect("the thread lives as long as this");
        match heard.recv().expect("every job answers") {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs `ip` inside.
    ///
    /// # Errors
    /// With its message.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        self.tool("ip", args)
    }

    /// Runs a program inside and returns its output.
    ///
    /// # Errors
    /// With its message, if it fails.
    pub fn tool(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command.args(args);
        let line = format!("{program} {}", args.join(" "));
        let out = self
            .run(move || command.output())
            .with_context(|| format!("run {line}"))?;
        if !out.status.success() {
            bail!("{line}: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// The namespace itself.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
