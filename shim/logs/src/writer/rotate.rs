//! Files change their numbers: `log` becomes `log.1`, `log.1` becomes `log.2`, the oldest goes.
//!
//! Whatever a crash leaves is a log that can be read and written: the shift goes from the oldest file to the newest, so
//! that a name is always free when it is taken, and a hole that a crash left is filled first. A compressed file gets its
//! name before the plain one is removed, and while both are there the plain one counts.

use std::fs::{File, TryLockError};
use std::io;

use crate::aside::{Aside, folder, list, remove_if_there, same, with_suffix};
use crate::compress::CompressJob;
use crate::file::{LogFile, is_full};
use crate::writer::LogWriter;

/// What there is to compress.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// There may be a plain file put aside.
    wanted: bool,
    running: bool,
    /// Number, by now, of the file that is being compressed; none when it is gone meanwhile.
    current: Option<u32>,
}

impl LogWriter {
    /// The next file to be compressed, if there is one and none is in the works. Whoever takes it runs it elsewhere and
    /// says the outcome to [`LogWriter::job_done`].
    pub fn next_job(&mut self) -> Option<CompressJob> {
        if !self.jobs.wanted || self.jobs.running {
            return None;
        }
        self.jobs.wanted = false;
        let (number, job) = self.make_job().ok()??;
        self.jobs.current = Some(number);
        self.jobs.running = true;
        Some(job)
    }

    /// A job is in the works.
    pub fn is_compressing(&self) -> bool {
        self.jobs.running
    }

    fn make_job(&self) -> io::Result<Option<(u32, CompressJob)>> {
        // The newest: it is kept longest.
        let Some(aside) = list(&self.path)?.into_iter().find(|a| !a.gz) else {
            return Ok(None);
        };
        let from = File::open(aside.path(&self.path))?;
        if same(&from.metadata()?, &self.file.metadata()?) {
            // Half a rotation, or somebody else's: it is still written to.
            return Ok(None);
        }
        let to = LogFile::make(&self.unfinished())?.into_inner();
        Ok(Some((aside.number, CompressJob { from, to })))
    }

    /// The job has ended. A file that could not be compressed stays as it is, until another one is put aside.
    pub fn job_done(&mut self, done: bool) {
        self.jobs.running = false;
        let number = self.jobs.current.take().filter(|_| done);
        let finished = number.is_some_and(|number| self.finish(number).is_ok());
        if !finished {
            // The next job makes it anew.
            let _ = remove_if_there(&self.unfinished());
        }
        self.jobs.wanted |= finished;
    }

    fn finish(&self, number: u32) -> io::Result<()> {
        gantry_fault::point("logs.compress.before-rename").map_err(io::Error::other)?;
        let [plain, gz] = [false, true].map(|gz| Aside { number, gz }.path(&self.path));
        std::fs::rename(self.unfinished(), gz)?;
        gantry_fault::pass("logs.compress.before-remove");
        // If it stays it counts, and the compressed one goes with the next opening.
        let _ = remove_if_there(&plain);
        gantry_fault::pass("logs.compress.after-remove");
        Ok(())
    }

    fn unfinished(&self) -> std::path::PathBuf {
        with_suffix(&self.path, ".gz.tmp")
    }

    fn next_file(&self) -> std::path::PathBuf {
        with_suffix(&self.path, ".next")
    }

    /// Puts right what a writer that died left. No other writer lives now.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        if self.rotation.max_size == 0 {
            return Ok(());
        }
        remove_if_there(&self.next_file())?;
        remove_if_there(&self.unfinished())?;
        let there = list(&self.path)?;
        for aside in &there {
            let twice = aside.gz
                && there.contains(&Aside {
                    gz: false,
                    ..*aside
                });
            if twice {
                remove_if_there(&aside.path(&self.path))?;
            }
        }
        self.jobs.wanted = self.rotation.compress && there.iter().any(|a| !a.gz);
        Ok(())
    }

    /// Begins a new file. `false`: not now, a reader is looking at the numbers.
    pub(super) fn rotate(&mut self) -> io::Result<bool> {
        let lock = File::open(folder(&self.path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(e)) => return Err(e),
        }
        if !self.is_in_place()? {
            // What is there now is not ours to put aside.
            self.reopen()?;
            return Ok(true);
        }
        // Made first: on a full disk the old file goes on.
        gantry_fault::point("logs.rotate.before-make").map_err(io::Error::other)?;
        let mut next = self.take_over(LogFile::make(&self.next_file())?);
        let taken = next
            .take_ahead(0, self.growth.low())
            .or_else(|e| self.is_worth_it(e));
        if let Err(e) = taken.and_then(|()| self.shift()) {
            let _ = remove_if_there(&self.next_file());
            return Err(e);
        }
        self.file.give_back();
        self.file = next;
        self.size = 0;
        self.jobs.wanted |= self.rotation.compress;
        Ok(true)
    }

    /// Whether a new file is begun without blocks taken ahead: not while the old one has some. What would go next goes
    /// now, then: it makes the room that is missing.
    fn is_worth_it(&mut self, error: io::Error) -> io::Result<()> {
        let last = self.last();
        if !is_full(&error) || self.file.ahead(self.size) == 0 || last == 0 {
            return Ok(());
        }
        let there = list(&self.path)?;
        if first_free(&there, last) == last {
            self.remove_from(&there, last)?;
        }
        Err(error)
    }

    /// The highest number of a file put aside.
    fn last(&self) -> u32 {
        self.rotation.max_files.max(1) - 1
    }

    fn remove_from(&mut self, there: &[Aside], number: u32) -> io::Result<()> {
        for aside in there.iter().filter(|a| a.number >= number) {
            remove_if_there(&aside.path(&self.path))?;
            if self.jobs.current == Some(aside.number) {
                self.jobs.current = None;
            }
        }
        Ok(())
    }

    fn shift(&mut self) -> io::Result<()> {
        let last = self.last();
        if last > 0 {
            let there = list(&self.path)?;
            // Up to the first free number; the files behind it need not move.
            let free = first_free(&there, last);
            self.remove_from(&there, if free == last { last } else { last + 1 })?;
            for aside in there.iter().rev().filter(|a| a.number < free) {
                gantry_fault::point("logs.rotate.before-shift").map_err(io::Error::other)?;
                let up = Aside {
                    number: aside.number + 1,
                    ..*aside
                };
                rename_if_there(&aside.path(&self.path), &up.path(&self.path))?;
                if !aside.gz && self.jobs.current == Some(aside.number) {
                    self.jobs.current = Some(up.number);
                }
            }
            let first = Aside {
                number: 1,
                gz: false,
            };
            gantry_fault::point("logs.rotate.before-aside").map_err(io::Error::other)?;
            rename_if_there(&self.path, &first.path(&self.path))?;
        }
        gantry_fault::point("logs.rotate.before-begin").map_err(io::Error::other)?;
        std::fs::rename(self.next_file(), &self.path)?;
        gantry_fault::pass("logs.rotate.after-begin");
        Ok(())
    }
}

fn first_free(there: &[Aside], last: u32) -> u32 {
    let taken = |number| there.iter().any(|a| a.number == number);
    (1..last).find(|n| !taken(*n)).unwrap_or(last)
}

fn rename_if_there(from: &std::path::Path, to: &std::path::Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
