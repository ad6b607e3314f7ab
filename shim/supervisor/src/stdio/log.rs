//! A container's log, which may have to wait for room on the disk: tried again on a timer, and once the container has
//! ended for as long as anybody lets it.

use std::time::{Duration, Instant};

use gantry_logs::{CompressJob, LogWriter, Stream};

use crate::say;

/// Between two tries while the disk is full.
const AGAIN: Duration = Duration::from_millis(200);
/// How long what waits still holds up whoever wants the container to be forgotten.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Log {
    writer: LogWriter,
    /// The last write failed, and that was said.
    failed: bool,
    /// When to try again; `Some` while it waits for room.
    again: Option<Instant>,
    /// Nothing more comes.
    ended: Option<Instant>,
}

impl Log {
    pub(super) fn new(writer: LogWriter) -> Self {
        Self {
            writer,
            failed: false,
            again: None,
            ended: None,
        }
    }

    pub(super) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let done = self.writer.write(stream, bytes);
        self.told(done);
    }

    pub(super) fn reopen(&mut self) -> std::io::Result<()> {
        self.writer.reopen()?;
        self.catch_up();
        Ok(())
    }

    /// No more will come. What waits for room still goes on waiting.
    pub(super) fn end(&mut self, now: Instant) {
        self.ended = Some(now);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let done = self.writer.end(stream);
            self.told(done);
        }
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() && !self.writer.is_waiting() && !self.writer.is_compressing()
    }

    /// Its container is not to be forgotten yet: there may be room in a moment.
    pub(super) fn is_worth_waiting(&self, now: Instant) -> bool {
        self.writer.is_waiting() && self.ended.is_none_or(|at| now < at + PATIENCE)
    }

    /// The process is not to be read from now.
    pub(super) fn is_behind(&self) -> bool {
        self.writer.is_behind()
    }

    /// When [`Log::pass_time`] has work.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.again
    }

    pub(super) fn pass_time(&mut self, now: Instant) {
        if self.again.is_some_and(|at| at <= now) {
            self.catch_up();
        }
    }

    pub(super) fn next_job(&mut self) -> Option<CompressJob> {
        if self.ended.is_some() {
            return None;
        }
        self.writer.next_job()
    }

    pub(super) fn job_done(&mut self, done: bool) {
        self.writer.job_done(done);
    }

    fn catch_up(&mut self) {
        let done = self.writer.catch_up();
        self.told(done);
    }

    /// Says how it went when that has changed, and when to try again.
    fn told(&mut self, done: std::io::Result<()>) {
        let path = self.writer.path().display();
        match done {
            Ok(()) => self.failed = false,
            Err(e) if !self.failed => {
                self.failed = true;
                let lost = self.writer.lost();
                say(format!("write log {path}: {e}; {lost} lines lost so far"));
            }
            Err(_) => {}
        }
        let waits = self.writer.is_waiting() || self.writer.is_behind();
        match (self.again.is_some(), waits) {
            (false, true) => say(format!("log {path} waits: no space left on its disk")),
            (true, false) => say(format!("log {path} goes on")),
            _ => {}
        }
        self.again = waits.then(|| Instant::now() + AGAIN);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.writer.is_waiting() {
            let lost = self.writer.give_up();
            let path = self.writer.path().display();
            say(format!(
                "log {path} ends without its last {lost} lines: no space left on its disk"
            ));
        }
    }
}
