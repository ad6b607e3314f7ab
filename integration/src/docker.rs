//! The real `docker` command against one daemon.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command, for messages.
    pub line: String,
    /// Exit code; 128 and the signal's number if it was killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ran {
    /// Standard output without the spaces around it.
    ///
    /// # Errors
    /// If the command failed.
    pub fn ok(self) -> Result<String> {
        if self.code != 0 {
            bail!(
                "{} ended with {}\nstdout: {}\nstderr: {}",
                self.line,
                self.code,
                self.out,
                self.err
            );
        }
        Ok(self.out.trim().to_owned())
    }
}

/// Where commands go to.
#[derive(Debug, Clone)]
pub struct Docker {
    /// Value of `DOCKER_HOST`.
    pub host: String,
    /// An empty folder: nobody's login or context decides a test.
    pub config: PathBuf,
}

impl Docker {
    /// The command, not started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(client());
        command
            .args(args)
            .env("DOCKER_HOST", &self.host)
            .env("DOCKER_CONFIG", &self.config)
            .env("DOCKER_CLI_HINTS", "false")
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_API_VERSION")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// If `docker` cannot be started; its failing is an answer.
    pub fn run(&self, args: &[&str]) -> Result<Ran> {
        finish(
            args,
            self.command(args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn(),
        )
    }

    /// Runs a command with something on its standard input.
    ///
    /// # Errors
    /// As [`Docker::run`].
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Result<Ran> {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start docker")?;
        let mut stdin = child.stdin.take().expect("it was piped");
        let input = input.to_vec();
        // On a thread: the command may answer before it has read everything.
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let ran = finish(args, Ok(child));
        let _ = writer.join();
        ran
    }

    /// Runs a command that has to succeed and returns its trimmed output.
    ///
    /// # Errors
    /// If it fails.
    pub fn ok(&self, args: &[&str]) -> Result<String> {
        self.run(args)?.ok()
    }

    /// Starts a command and leaves it running.
    ///
    /// # Errors
    /// If `docker` cannot be started.
    pub fn live(&self, args: &[&str]) -> Result<Live> {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("start docker")?;
        let out = gather(child.stdout.take().expect("piped"));
        let err = gather(child.stderr.take().expect("piped"));
        Ok(Live {
            line: format!("docker {}", args.join(" ")),
            child,
            out,
            err,
        })
    }
}

type Gathered = (Arc<Mutex<String>>, JoinHandle<()>);

/// A command that runs beside the test; what it says is gathered meanwhile.
#[derive(Debug)]
pub struct Live {
    line: String,
    child: Child,
    out: Gathered,
    err: Gathered,
}

impl Live {
    /// Standard output so far.
    #[must_use]
    pub fn out(&self) -> String {
        self.out.0.lock().expect("gathering does not panic").clone()
    }

    /// Waits until its output contains a text.
    ///
    /// # Errors
    /// After 10 seconds.
    pub fn says(&self, text: &str) -> Result<()> {
        let what = format!("{} to say {text:?}", self.line);
        wait::until(&what, Duration::from_secs(10), || self.out().contains(text))
            .with_context(|| format!("it said {:?}", self.out()))
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// If it has closed it.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let stdin = self
            .child
            .stdin
            .as_mut()
            .context("standard input is closed")?;
        stdin.write_all(text.as_bytes())?;
        Ok(stdin.flush()?)
    }

    /// Ends its standard input.
    pub fn close(&mut self) {
        self.child.stdin = None;
    }

    /// Kills the client.
    ///
    /// # Errors
    /// If that fails.
    pub fn kill(mut self) -> Result<Ran> {
        self.child.kill()?;
        self.end()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// After 20 seconds; it is killed then.
    pub fn end(mut self) -> Result<Ran> {
        use std::os::unix::process::ExitStatusExt;
        let end = wait::some(
            &format!("{} to end", self.line),
            Duration::from_secs(20),
            || self.child.try_wait().ok().flatten(),
        );
        if end.is_err() {
            self.child.kill()?;
        }
        let status = self.child.wait()?;
        end.with_context(|| format!("it said {:?}", self.out()))?;
        let said = |(text, thread): Gathered| {
            let _ = thread.join();
            text.lock().map(|t| t.clone()).unwrap_or_default()
        };
        let code = status.code().unwrap_or(128 + status.signal().unwrap_or(0));
        Ok(Ran {
            line: self.line,
            code,
            out: said(self.out),
            err: said(self.err),
        })
    }
}

fn gather(mut from: impl Read + Send + 'static) -> Gathered {
    let text = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&text);
    let thread = std::thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut part) {
            to.lock()
                .expect("nobody panics with it")
                .push_str(&String::from_utf8_lossy(&part[..n]));
        }
    });
    (text, thread)
}

/// The client: `docker` of the PATH, or what `GANTRY_DOCKER` names.
#[must_use]
pub fn client() -> PathBuf {
    std::env::var_os("GANTRY_DOCKER").map_or_else(|| PathBuf::from("docker"), PathBuf::from)
}

fn finish(args: &[&str], child: std::io::Result<Child>) -> Result<Ran> {
    use std::os::unix::process::ExitStatusExt;
    let out = child
        .context("start docker")?
        .wait_with_output()
        .context("wait for docker")?;
    let signal = out.status.signal().unwrap_or(0);
    Ok(Ran {
        line: format!("docker {}", args.join(" ")),
        code: out.status.code().unwrap_or(128 + signal),
        out: String::from_utf8_lossy(&out.stdout).into_owned(),
        err: String::from_utf8_lossy(&out.stderr).into_owned(),
    })
}
