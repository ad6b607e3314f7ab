//! The loop: wait for whatever is ready, or for the next deadline, and move on. Nothing called from here blocks for
//! long.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::connection::{self, Accepted};
use crate::say;
use crate::supervisor::Supervisor;
use crate::task::{Phase, Role};

/// Bytes read from a process at once.
const CHUNK: usize = 32 << 10;
/// How long the loop rests when it cannot even wait, in milliseconds.
const SHORTLY: u8 = 10;
/// Between two tries to accept when no descriptor is free.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What a descriptor belongs to.
#[derive(Clone, Copy, Debug)]
enum Token {
    Birth,
    Listener,
    Connection(u64),
    Report(u32),
    Process(u32),
    Output(u32, usize),
    Input(u32),
    Client(u32, u32),
    Unmount(usize),
    Compressing,
    Work(u32),
}

impl Supervisor {
    /// Runs until shut down, or until our maker dies before it said "committed".
    ///
    /// # Errors
    /// In words, when poll(2) itself fails.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        loop {
            for (token, flags) in self.wait()? {
                self.ready(token, flags);
            }
            self.pass_time(Instant::now());
            self.compress_logs();
            if self.must_move && self.connections.values().all(|c| !c.has_queue()) {
                self.move_to_own_group();
            }
            if std::mem::take(&mut self.must_trim) {
                self.buffer = Vec::new();
                gantry_sys::heap::trim();
            }
            if self.is_over() {
                self.leave();
                return Ok(());
            }
        }
    }

    fn wait(&self) -> Result<Vec<(Token, PollFlags)>, String> {
        let mut tokens = Vec::new();
        let mut fds = Vec::new();
        let mut watch = |token, fd, flags| {
            tokens.push(token);
            fds.push(PollFd::new(fd, flags));
        };
        let (read, write) = (PollFlags::POLLIN, PollFlags::POLLOUT);
        if self.accept_again.is_none_or(|at| at <= Instant::now()) {
            watch(Token::Listener, self.birth.listener.as_fd(), read);
        }
        if !self.state.committed {
            watch(Token::Birth, self.birth.pipe.as_fd(), read);
        }
        for (key, there) in &self.connections {
            let flags = if there.has_queue() {
                read | write
            } else {
                read
            };
            watch(Token::Connection(*key), there.fd(), flags);
        }
        for (key, task) in &self.tasks {
            if let Some(pending) = &task.pending {
                watch(Token::Report(*key), pending.as_fd(), read);
            }
            let with_runtime = task.is_with_runtime();
            if let (Some((_, pidfd)), false) = (&task.process, with_runtime) {
                watch(Token::Process(*key), pidfd.as_fd(), read);
            }
            for index in 0..2 {
                if let (Some(fd), false) = (task.stdio.output(index), with_runtime) {
                    watch(Token::Output(*key, index), fd, read);
                }
            }
            if let Some(fd) = task.stdio.input() {
                watch(Token::Input(*key), fd, write);
            }
            for (client, there, room) in task.stdio.clients() {
                let mut flags = PollFlags::empty();
                flags.set(read, room);
                flags.set(write, there.has_queue());
                watch(Token::Client(*key, client), there.fd(), flags);
            }
        }
        for (index, unmount) in self.unmounts.iter().enumerate() {
            watch(Token::Unmount(index), unmount.pidfd.as_fd(), read);
        }
        if let Some(compressing) = &self.compressing {
            watch(Token::Compressing, compressing.pidfd.as_fd(), read);
        }
        for (key, work) in &self.works {
            watch(Token::Work(*key), work.pidfd.as_fd(), read);
        }
        match poll(&mut fds, self.timeout()) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Vec::new()),
            // A host out of memory for a moment must not end a sandbox.
            Err(Errno::ENOMEM | Errno::EAGAIN) => {
                let _ = poll(&mut [], SHORTLY);
                return Ok(Vec::new());
            }
            Err(e) => return Err(format!("wait for events: {e}")),
        }
        let ready = |fd: &PollFd<'_>| fd.revents().unwrap_or(PollFlags::empty());
        Ok(tokens
            .into_iter()
            .zip(fds.iter().map(ready))
            .filter(|(_, flags)| !flags.is_empty())
            .collect())
    }

    fn ready(&mut self, token: Token, flags: PollFlags) {
        let gone = flags.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
        match token {
            Token::Birth => self.maker_died(),
            Token::Listener => self.accept_all(),
            Token::Connection(key) => self.connection_ready(key),
            Token::Report(key) => self.report_ready(key),
            Token::Process(key) => self.process_ended(key),
            Token::Output(key, index) => {
                self.buffer.resize(CHUNK, 0);
                if let Some(task) = self.tasks.get_mut(&key) {
                    task.stdio.read_output(index, &mut self.buffer);
                }
            }
            Token::Input(key) => {
                if let Some(task) = self.tasks.get_mut(&key) {
                    task.stdio.write_input();
                }
            }
            Token::Client(key, client) => {
                if let Some(task) = self.tasks.get_mut(&key) {
                    let readable = flags.contains(PollFlags::POLLIN);
                    task.stdio.client_ready(client, readable, gone);
                }
            }
            Token::Unmount(index) => self.unmounted(index),
            Token::Compressing => self.compressed(),
            Token::Work(key) => self.work_ended(key),
        }
    }

    fn accept_all(&mut self) {
        self.accept_again = None;
        loop {
            self.reserve.make_room();
            match connection::accept(&self.birth.listener) {
                Accepted::One(there) => {
                    self.connections.insert(self.next_connection, there);
                    self.next_connection += 1;
                }
                Accepted::Refused => {}
                Accepted::None => return,
                Accepted::Failed => {
                    // It stays ready: looking at it at once again would spin.
                    self.accept_again = Some(Instant::now() + ACCEPT_AGAIN);
                    return;
                }
            }
        }
    }

    pub(crate) fn connection_ready(&mut self, key: u64) {
        let Some(there) = self.connections.get_mut(&key) else {
            return;
        };
        let alive = there.flush();
        let (requests, open) = there.read();
        for request in requests {
            self.handle(key, request);
        }
        if !open || !alive {
            self.connections.remove(&key);
        }
    }

    /// The birth pipe has closed. What was written before that is read first: "committed" may be among it.
    fn maker_died(&mut self) {
        self.accept_all();
        let keys: Vec<u64> = self.connections.keys().copied().collect();
        for key in keys {
            self.connection_ready(key);
        }
        if !self.state.committed {
            say("maker died before it said committed");
            self.begin_ending(None);
        }
    }

    /// Deadlines that have come.
    fn pass_time(&mut self, now: Instant) {
        let ending = self.ending.is_some();
        if self.write_again.is_some_and(|at| at <= now) {
            self.note_state();
        }
        self.reserve.fill(now);
        self.tend_works(now);
        let keys: Vec<u32> = self.tasks.keys().copied().collect();
        for key in keys {
            let Some(task) = self.tasks.get_mut(&key) else {
                continue;
            };
            task.stdio.pass_time(now, ending);
            if self.is_forsaken(key, now) {
                self.condemn(key, now);
            }
            if let Some(task) = self.tasks.get(&key)
                && task.kill_again.is_some_and(|at| at <= now)
            {
                self.kill_rest(key, now);
            }
            self.try_end(key, now);
            self.try_forget(key);
        }
    }

    /// Whether an exec's time is over, or nobody is left who would start it or hear of its end.
    fn is_forsaken(&mut self, key: u32, now: Instant) -> bool {
        let Some(task) = self.tasks.get_mut(&key) else {
            return false;
        };
        let Role::Exec {
            maker,
            tied,
            deadline,
            ..
        } = &mut task.role
        else {
            return false;
        };
        if task.process.is_none() && task.pending.is_none() {
            return false;
        }
        let waits = matches!(task.phase, Phase::Made);
        let late = deadline.is_some_and(|d| d <= now);
        if late {
            *deadline = None;
            task.timed_out = !waits;
        }
        late || ((waits || *tied) && !self.connections.contains_key(maker))
    }

    fn timeout(&self) -> PollTimeout {
        let mut next: Option<Instant> = None;
        let mut at = |moment: Option<Instant>| {
            next = match (next, moment) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        for task in self.tasks.values() {
            at(task.stdio.deadline(self.ending.is_some()));
            at(task.kill_again);
            if let Role::Exec { deadline, .. } = &task.role {
                at(*deadline);
            }
            if let Phase::Draining(until) = task.phase
                && !task.stdio.is_held_up()
            {
                at(Some(until));
            }
        }
        at(self.works_deadline(Instant::now()));
        at(self.write_again);
        at(self.reserve.deadline());
        at(self.accept_again);
        if self.ending.is_some() {
            at(Some(Instant::now() + crate::ending::AGAIN));
        }
        next.map_or(PollTimeout::NONE, |moment| {
            // Rounded up: a poll that returns early would spin for the rest of the millisecond.
            let left =
                moment.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        })
    }
}
