//! The host's side: starts the runner, sends calls, notices its death, starts it again.

use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_abi::{ErrorCode, Outcome};
use gantry_plugin_loader::{Descriptor, Invocation, Level, Reply, monotonic_ms};
use nix::sys::signal::Signal;

use crate::wire::{self, CallHead, Control, LogLine, Opened, ReplyHead};

/// Takes a log line of the plugin: operation, level, message.
type Log = dyn Fn(Option<&str>, Level, &str) + Send + Sync;
/// Takes a crash in a call; answers why the plugin must not be started again, if so.
type Crashed = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What a runner is started with.
pub struct RunnerConfig {
    /// The `gantry-plugin-runner` binary.
    pub program: PathBuf,
    /// The library's copy, named by its digest.
    pub library: PathBuf,
    /// The request that opens the driver.
    pub init: Vec<u8>,
    /// The plugin's folder of secrets.
    pub secrets: PathBuf,
    /// How long the driver may take to open.
    pub open_timeout: Duration,
    /// How long after its deadline a call is waited for before the process is killed.
    pub grace: Duration,
    /// Takes a log line of the plugin.
    pub log: Box<Log>,
    /// Takes a crash in a call; answers why the plugin must not be started again, if so.
    pub crashed: Box<Crashed>,
}

/// A plugin in a process of its own. Calls block and may come on many threads at once.
pub struct Runner {
    config: Arc<RunnerConfig>,
    opened: Opened,
    state: Mutex<State>,
    /// Why no process is started any more. Apart, since `state` is held while a process starts.
    refused: Mutex<Option<String>>,
    /// Which process the next call goes to.
    next: AtomicU64,
}

struct State {
    /// None after it died: the next call starts another one.
    process: Option<Process>,
    /// Number of the last process that was started.
    generation: u64,
}

/// The call was meant for a process that is there no more; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced;

/// Why a runner is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// In words.
    pub why: String,
    /// It crashed once too often: it must not be started again.
    pub quarantined: bool,
}

/// Why a call has no connection.
enum NoConnection {
    Replaced,
    Because(String),
}

struct Process {
    child: Child,
    control: UnixStream,
    idle: Vec<UnixStream>,
    generation: u64,
}

/// Whether the end of a process counts as a crash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// It panicked.
    Plugin,
    /// If it ended by itself.
    AsItEnded,
}

/// How a call on a connection failed.
enum Broken {
    /// The request did not go out: nothing happened.
    NotSent(io::Error),
    /// No answer in time.
    Late,
    /// The connection ended instead of an answer.
    Ended,
}

impl Runner {
    /// Starts the process and opens the driver.
    ///
    /// # Errors
    /// Why the plugin is not open.
    pub fn start(config: RunnerConfig) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let (process, opened) = spawn(&config, 0)?;
        let state = State {
            process: Some(process),
            generation: 0,
        };
        Ok(Self {
            config,
            opened,
            state: Mutex::new(state),
            refused: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Number of the process that the next call goes to, whether it is started already or not. Another number is a
    /// process that knows nothing of what was said before. Does not block.
    pub fn generation(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// The plugin's own version.
    pub fn version(&self) -> &str {
        &self.opened.version
    }

    /// What the plugin says it can do.
    pub fn capabilities(&self) -> &[String] {
        &self.opened.capabilities
    }

    /// Why no process is started any more, if so.
    pub fn refused(&self) -> Option<String> {
        self.refusal().clone()
    }

    /// Lets a process be started again; the next call does.
    pub fn readmit(&self) {
        *self.refusal() = None;
    }

    /// As [`gantry_plugin_loader::Instance::call`]. Returns at the latest `grace` after the deadline: the process is
    /// killed then, so that nothing of the call goes on. With `only` the call is made in the process of that number.
    ///
    /// # Errors
    /// [`Replaced`] when that process has ended.
    pub fn call(
        &self,
        table: &str,
        function: &str,
        call: Invocation<'_>,
        only: Option<u64>,
    ) -> Result<Reply, Replaced> {
        let unavailable =
            |why: String| Reply::refused(Outcome::NotDone, ErrorCode::Unavailable, why);
        let what = format!("{function} {}", call.operation);
        let mut again = true;
        loop {
            let (socket, generation) = match self.connect(only) {
                Ok(connected) => connected,
                Err(NoConnection::Replaced) => return Err(Replaced),
                Err(NoConnection::Because(why)) => return Ok(unavailable(why)),
            };
            let broken = match exchange(&socket, table, function, &call, self.config.grace) {
                // The driver's state is in doubt: it is made anew, and the panic counts as a crash.
                Ok(reply)
                    if reply.code == ErrorCode::Poisoned && reply.outcome != Outcome::Done =>
                {
                    self.bury(generation, &what, Blame::Plugin);
                    return Ok(reply);
                }
                Ok(reply) => {
                    self.keep(socket, generation);
                    return Ok(reply);
                }
                Err(broken) => broken,
            };
            self.bury(generation, &what, Blame::AsItEnded);
            let why = match broken {
                // It ended before: nothing happened, and another one may be better off.
                Broken::NotSent(_) if again => {
                    again = false;
                    continue;
                }
                Broken::NotSent(error) => {
                    return Ok(unavailable(format!(
                        "send the call to the plugin's process: {error}"
                    )));
                }
                Broken::Late => "the plugin did not return by its deadline; its process was killed",
                Broken::Ended => "the plugin's process died in the call",
            };
            return Ok(Reply::refused(
                Outcome::Unknown,
                ErrorCode::Unavailable,
                why,
            ));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self) -> MutexGuard<'_, Option<String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection for the next call.
    fn keep(&self, socket: UnixStream, generation: u64) {
        let mut state = self.lock();
        let same = |process: &&mut Process| process.generation == generation;
        if let Some(process) = state.process.as_mut().filter(same) {
            process.idle.push(socket);
        }
    }

    /// A connection of the running process; starts a process if the last one died.
    fn connect(&self, only: Option<u64>) -> Result<(UnixStream, u64), NoConnection> {
        let mut state = self.lock();
        let ended = state.process.as_mut().map(|one| one.child.try_wait());
        if let Some(Ok(Some(_))) = ended {
            self.end(&mut state, "nothing -", Blame::AsItEnded);
        }
        if let Some(why) = self.refused() {
            let why = format!("the plugin is in quarantine: {why}");
            return Err(NoConnection::Because(why));
        }
        if only.is_some_and(|only| only != self.generation()) {
            return Err(NoConnection::Replaced);
        }
        if state.process.is_none() {
            state.generation += 1;
            let started = spawn(&self.config, state.generation);
            if started.is_err() {
                self.next.store(state.generation + 1, Ordering::Release);
            }
            let (process, _) = started.map_err(|error| {
                if error.quarantined {
                    *self.refusal() = Some(error.why.clone());
                }
                NoConnection::Because(error.to_string())
            })?;
            state.process = Some(process);
        }
        let Some(process) = state.process.as_mut() else {
            return Err(NoConnection::Because("the plugin's process is gone".into()));
        };
        let generation = process.generation;
        if let Some(socket) = process.idle.pop() {
            return Ok((socket, generation));
        }
        let connect = || {
            let (ours, theirs) = UnixStream::pair()?;
            wire::send(&process.control, &Control::Connect, &[], &[theirs.as_fd()])?;
            io::Result::Ok(ours)
        };
        connect()
            .map(|socket| (socket, generation))
            .map_err(|error| {
                self.end(&mut state, "connect -", Blame::AsItEnded);
                NoConnection::Because(format!("connect to the plugin's process: {error}"))
            })
    }

    /// Ends the process of a generation, once, and asks whether there may be another one.
    fn bury(&self, generation: u64, what: &str, blame: Blame) {
        let mut state = self.lock();
        let there = state.process.as_ref();
        if there.is_some_and(|process| process.generation == generation) {
            self.end(&mut state, what, blame);
        }
    }

    fn end(&self, state: &mut State, what: &str, blame: Blame) {
        let Some(process) = state.process.take() else {
            return;
        };
        self.next.store(state.generation + 1, Ordering::Release);
        let ended = process.end();
        if (blame == Blame::Plugin || ended.is_some_and(|status| by_itself(&status)))
            && let Some(why) = (self.config.crashed)(what)
        {
            *self.refusal() = Some(why);
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { why, quarantined } = self;
        match quarantined {
            true => write!(f, "the plugin is in quarantine: {why}"),
            false => f.write_str(why),
        }
    }
}

impl std::error::Error for StartError {}

impl From<String> for StartError {
    fn from(why: String) -> Self {
        Self {
            why,
            quarantined: false,
        }
    }
}

impl Process {
    /// Kills what is left and reaps it; how it had ended.
    fn end(mut self) -> Option<ExitStatus> {
        drop(self.idle);
        // Dead already, most likely: its status is what counts then, and the kill finds nobody.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(process) = self.lock().process.take() {
            process.end();
        }
    }
}

/// A fault of its own, or an exit nobody asked for; not a kill, which was ours or the system's.
fn by_itself(status: &ExitStatus) -> bool {
    status
        .signal()
        .is_none_or(|signal| signal != Signal::SIGKILL as i32 && signal != Signal::SIGTERM as i32)
}

fn spawn(config: &Arc<RunnerConfig>, generation: u64) -> Result<(Process, Opened), StartError> {
    let program = config.program.display();
    let (control, theirs) =
        UnixStream::pair().map_err(|error| format!("make a socket for {program}: {error}"))?;
    gantry_fault::pass("plugin-runner.process.before-start");
    let mut child = Command::new(&config.program)
        .env_clear()
        .envs(gantry_fault::variables())
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("start {program}: {error}"))?;
    gantry_fault::pass("plugin-runner.process.after-start");
    if let Some(output) = child.stdout.take() {
        let config = Arc::clone(config);
        // Ends with the process. Without the thread its lines would be lost and a full pipe would stop it.
        let reader = std::thread::Builder::new().name("plugin-log".into());
        let spawned = reader.spawn(move || pass_on(BufReader::new(output), &config));
        spawned.map_err(|error| format!("start a thread for the logs of {program}: {error}"))?;
    }
    let process = Process {
        child,
        control,
        idle: Vec::new(),
        generation,
    };
    match open(&process.control, config) {
        Ok(opened) if opened.error.is_empty() => Ok((process, opened)),
        Ok(opened) => {
            process.end();
            Err(opened.error.into())
        }
        Err(error) => {
            let crashed = process.end().filter(by_itself);
            if crashed.is_some()
                && let Some(why) = (config.crashed)("open -")
            {
                return Err(StartError {
                    why,
                    quarantined: true,
                });
            }
            let how = match crashed {
                Some(status) => format!("its process ended with {status}"),
                None => error.to_string(),
            };
            Err(format!("open the plugin in a process of its own: {how}").into())
        }
    }
}

fn open(control: &UnixStream, config: &RunnerConfig) -> io::Result<Opened> {
    let text = |path: &PathBuf| {
        path.to_str()
            .map(str::to_owned)
            .ok_or(io::ErrorKind::InvalidInput)
    };
    let timeout = u64::try_from(config.open_timeout.as_millis()).unwrap_or(u64::MAX / 2);
    let head = Control::Open {
        library: text(&config.library)?,
        secrets: text(&config.secrets)?,
        deadline_ms: monotonic_ms() + timeout,
    };
    control.set_read_timeout(Some(config.open_timeout.max(Duration::from_millis(1))))?;
    wire::send(control, &head, &config.init, &[])?;
    let frame = wire::recv::<Opened>(control)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(frame.head)
}

fn exchange(
    socket: &UnixStream,
    table: &str,
    function: &str,
    call: &Invocation<'_>,
    grace: Duration,
) -> Result<Reply, Broken> {
    let given = call
        .fds
        .iter()
        .map(|fd| matches!(fd, Descriptor::Given(_)))
        .collect();
    let head = CallHead {
        table: table.into(),
        function: function.into(),
        operation: call.operation.into(),
        deadline_ms: call.deadline_ms,
        given,
        cancel: call.cancel.is_some(),
    };
    let fds = call.fds.iter().map(|fd| match fd {
        Descriptor::Lent(fd) | Descriptor::Given(fd) => fd.as_fd(),
    });
    let fds: Vec<BorrowedFd<'_>> = fds.chain(call.cancel).collect();
    // The clock of deadlines is the machine's, the same in both processes.
    let left = Duration::from_millis(call.deadline_ms.saturating_sub(monotonic_ms()));
    let timeout = (call.deadline_ms != 0).then_some(left + grace.max(Duration::from_millis(1)));
    socket.set_read_timeout(timeout).map_err(Broken::NotSent)?;
    wire::send(socket, &head, call.json, &fds).map_err(Broken::NotSent)?;
    let frame = match wire::recv::<ReplyHead>(socket) {
        Ok(Some(frame)) => frame,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Broken::Late),
        Ok(None) | Err(_) => return Err(Broken::Ended),
    };
    Ok(Reply {
        outcome: Outcome::from_code(frame.head.outcome),
        code: ErrorCode::from_code(frame.head.code),
        message: frame.head.message,
        json: frame.payload,
        fds: frame.fds,
    })
}

fn pass_on(output: impl BufRead, config: &RunnerConfig) {
    for line in output.lines().map_while(Result::ok) {
        // Not a line of ours: a plugin that writes to standard output, which it should not.
        let line = serde_json::from_str(&line).unwrap_or_else(|_| LogLine {
            operation: None,
            level: 2,
            message: line.clone(),
        });
        let level = match line.level {
            1 => Level::Error,
            2 => Level::Warn,
            3 => Level::Info,
            _ => Level::Debug,
        };
        (config.log)(line.operation.as_deref(), level, &line.message);
    }
}
