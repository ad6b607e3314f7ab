//! A process's standard streams: pipes or a terminal on one side, the log and attached clients on the other.
//!
//! Nothing here waits. What the process writes goes to the log and to every client in the order it came; while a
//! client's queue is full the process is not read from (see [`crate::client::PATIENCE`]), nor while its log waits for
//! room on a full disk, for however long that is. A process that has ended is read to the end of its pipes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use gantry_logs::{CompressJob, LogWriter, Stream};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::client::{Client, Wants};

mod log;

use log::Log;

/// Input kept for a process that does not read; above it clients are not read from.
const MAX_INPUT: usize = 64 << 10;

/// Our ends.
#[derive(Debug, Default)]
pub(crate) struct Stdio {
    input: Option<File>,
    waiting: Vec<u8>,
    close_when_written: bool,
    once: bool,
    outputs: [Option<File>; 2],
    terminal: Option<File>,
    log: Option<Log>,
    /// The process has been reaped: what is in its pipes is all there will be.
    reaped: bool,
    clients: BTreeMap<u32, Client>,
    next: u32,
    ended: bool,
    /// An only client may be as slow as it likes.
    patient: bool,
    /// Bytes per stream that are passed on still; `None` for all.
    left: Option<[u64; 2]>,
}

/// The process's ends of its pipes.
pub(crate) type Theirs = [OwnedFd; 3];

fn nonblocking(fd: OwnedFd) -> io::Result<File> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(File::from(fd))
}

impl Stdio {
    /// Streams without their other ends yet. `once`: input ends with the first client's.
    pub(crate) fn new(log: Option<LogWriter>, once: bool) -> Self {
        Self {
            log: log.map(Log::new),
            once,
            ..Self::default()
        }
    }

    /// An exec's streams: its output is for its client alone, so that a slow one holds up nothing but its own command,
    /// and is waited for as a pipe would; of each stream `limit` bytes are passed on (0: all) and the rest is dropped,
    /// so that the command can end.
    pub(crate) fn patient(mut self, limit: u64) -> Self {
        self.patient = true;
        self.left = (limit > 0).then_some([limit; 2]);
        self
    }

    /// Makes pipes; without `stdin` the process's input is /dev/null.
    ///
    /// # Errors
    /// EMFILE.
    pub(crate) fn pipes(&mut self, stdin: bool) -> io::Result<Theirs> {
        let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC);
        let input = if stdin {
            let (read, write) = pipe()?;
            self.input = Some(nonblocking(write)?);
            read
        } else {
            File::open("/dev/null")?.into()
        };
        let (out_read, out_write) = pipe()?;
        let (err_read, err_write) = pipe()?;
        self.outputs = [Some(nonblocking(out_read)?), Some(nonblocking(err_read)?)];
        Ok([input, out_write, err_write])
    }

    /// Takes the master of the process's terminal.
    ///
    /// # Errors
    /// EMFILE.
    pub(crate) fn take_terminal(&mut self, master: OwnedFd, stdin: bool) -> io::Result<()> {
        let master = nonblocking(master)?;
        self.outputs = [Some(master.try_clone()?), None];
        if stdin {
            self.input = Some(master.try_clone()?);
        }
        self.terminal = Some(master);
        Ok(())
    }

    /// Forgets what is in the pipes: it is not the process's, which has never run.
    pub(crate) fn discard(&mut self) {
        self.outputs = [None, None];
    }

    /// The terminal, to be resized.
    pub(crate) fn terminal(&self) -> Option<&File> {
        self.terminal.as_ref()
    }

    /// Adds a client; its end of the pair is returned.
    ///
    /// # Errors
    /// EMFILE.
    pub(crate) fn attach(&mut self, wants: Wants) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        self.clients.insert(self.next, Client::new(ours, wants)?);
        self.next += 1;
        Ok(theirs.into())
    }

    /// No more input will come from us: what waits is written first.
    pub(crate) fn close_input(&mut self) {
        // A terminal's input has no end of its own; closing the master would hang up the process.
        if self.terminal.is_none() {
            self.close_when_written = true;
            self.write_input();
        }
    }

    /// An exec's client said that it has no more input and then went away: nobody can ever type or read again, and a
    /// shell nobody speaks to must not stay. Who goes by its detach keys has not said so, and a gantryd that dies
    /// neither.
    fn hang_up(&mut self) {
        if self.patient && self.terminal.take().is_some() {
            self.input = None;
            self.outputs = [None, None];
        }
    }

    /// Opens the log anew.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn reopen_log(&mut self) -> io::Result<()> {
        let log = self.log.as_mut().filter(|_| !self.ended);
        log.map_or(Ok(()), Log::reopen)
    }

    /// A file of the log that is to be compressed now.
    pub(crate) fn compress_job(&mut self) -> Option<CompressJob> {
        self.log.as_mut()?.next_job()
    }

    /// How that has ended.
    pub(crate) fn compressed(&mut self, done: bool) {
        if let Some(log) = &mut self.log {
            log.job_done(done);
        }
        self.let_go_of_log();
    }

    fn let_go_of_log(&mut self) {
        if self.log.as_ref().is_some_and(Log::is_over) {
            self.log = None;
        }
    }

    /// Descriptors to watch: outputs to read, input to write.
    pub(crate) fn output(&self, index: usize) -> Option<BorrowedFd<'_>> {
        let behind = !self.reaped && self.log.as_ref().is_some_and(Log::is_behind);
        if behind || self.is_held_up() {
            return None;
        }
        self.outputs[index].as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn input(&self) -> Option<BorrowedFd<'_>> {
        let waits = !self.waiting.is_empty();
        self.input.as_ref().filter(|_| waits).map(AsFd::as_fd)
    }

    /// Clients to watch; whether to read from them now.
    pub(crate) fn clients(&self) -> impl Iterator<Item = (u32, &Client, bool)> {
        let room = self.waiting.len() < MAX_INPUT;
        self.clients
            .iter()
            .map(move |(key, client)| (*key, client, room))
    }

    /// Reads one chunk of output. `buffer` is the caller's, shared by all.
    pub(crate) fn read_output(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(file) = &mut self.outputs[index] else {
            return;
        };
        match file.read(buffer) {
            Ok(0) => self.outputs[index] = None,
            Ok(count) => self.deliver(index == 1, &buffer[..count]),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            // EIO is how a terminal says that nobody has its other side open any more.
            Err(_) => self.outputs[index] = None,
        }
    }

    fn deliver(&mut self, stderr: bool, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            let stream = if stderr {
                Stream::Stderr
            } else {
                Stream::Stdout
            };
            log.write(stream, bytes);
        }
        let bytes = match &mut self.left {
            None => bytes,
            Some(left) => {
                let left = &mut left[usize::from(stderr)];
                let take = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= take as u64;
                &bytes[..take]
            }
        };
        let gone =
            |(key, client): (&u32, &mut Client)| (!client.offer(stderr, bytes)).then_some(*key);
        let gone: Vec<u32> = self.clients.iter_mut().filter_map(gone).collect();
        for key in gone {
            self.client_ready(key, true, true);
            self.clients.remove(&key);
        }
    }

    /// Writes what waits to the process.
    pub(crate) fn write_input(&mut self) {
        while let Some(file) = &mut self.input {
            if self.waiting.is_empty() {
                if self.close_when_written {
                    self.input = None;
                }
                return;
            }
            match file.write(&self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // The process has closed its end: input is for nobody.
                Err(_) => self.input = None,
            }
        }
        self.waiting = Vec::new();
    }

    /// A client's socket is ready.
    pub(crate) fn client_ready(&mut self, key: u32, readable: bool, hung_up: bool) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let mut keep = client.flush();
        if readable || hung_up || !keep {
            // One that cannot be written to has gone too; what it said before is heard.
            let said = client.read(hung_up || !keep);
            keep &= !said.gone;
            client.said_end |= said.end;
            let hung_up = !keep && client.said_end;
            self.waiting.extend(said.bytes);
            self.write_input();
            if said.end && self.once {
                self.close_input();
            }
            if hung_up {
                self.hang_up();
            }
        }
        if !keep {
            self.clients.remove(&key);
        }
    }

    /// Drops clients whose time ran out, and tries again to write what its log has no room for; `ending`: the sandbox
    /// is, and waits for nobody.
    pub(crate) fn pass_time(&mut self, now: Instant, ending: bool) {
        if let Some(log) = &mut self.log {
            log.pass_time(now);
        }
        self.let_go_of_log();
        if self.waits_for_ever(ending) {
            return;
        }
        self.clients
            .retain(|_, client| client.deadline().is_none_or(|d| d > now));
    }

    /// The next moment [`Stdio::pass_time`] has work.
    pub(crate) fn deadline(&self, ending: bool) -> Option<Instant> {
        let log = self.log.as_ref().and_then(Log::deadline);
        if self.waits_for_ever(ending) {
            return log;
        }
        let clients = self.clients.values().filter_map(Client::deadline);
        clients.chain(log).min()
    }

    fn waits_for_ever(&self, ending: bool) -> bool {
        self.patient && !ending && self.clients.len() < 2
    }

    /// A client's queue is full: output is not read now.
    pub(crate) fn is_held_up(&self) -> bool {
        self.clients.values().any(Client::is_full)
    }

    /// The process was reaped: its log takes what it left in its pipes, whatever room there is.
    pub(crate) fn process_reaped(&mut self) {
        self.reaped = true;
    }

    /// Both outputs have ended.
    pub(crate) fn is_drained(&self) -> bool {
        self.outputs.iter().all(Option::is_none)
    }

    /// The process has ended: lines without an end are written, clients are told all and let go.
    pub(crate) fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.outputs = [None, None];
        self.input = None;
        self.waiting = Vec::new();
        self.terminal = None;
        if let Some(log) = &mut self.log {
            log.end(Instant::now());
        }
        self.let_go_of_log();
        self.clients.retain(|_, client| client.close());
    }

    /// Clients are still being told, or the log waits for room and that is no lost cause yet.
    pub(crate) fn is_busy(&self) -> bool {
        let waits = |log: &Log| log.is_worth_waiting(Instant::now());
        !self.clients.is_empty() || self.log.as_ref().is_some_and(waits)
    }
}

#[cfg(test)]
mod tests;
