//! Writing a supervisor's state without asking for anything: two files of one size whose space is taken and whose
//! descriptors are open from the first day. The idle one is written and the two change names in one step, so neither a
//! full file system nor want of descriptors keeps a state from being written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FallocateFlags, RenameFlags, fallocate, renameat2};

use crate::files::{STATE, State, write_state};

/// The idle file.
const SPARE: &str = "state.json.new";
/// The other one's name until there is a state.
const OTHER: &str = "state.json.other";
/// Space is taken in pieces of this size.
const PIECE: usize = 4096;

/// The writer of one folder's state.
#[derive(Debug)]
pub struct StateFile {
    folder: PathBuf,
    /// The idle one, then the current one.
    files: Option<[File; 2]>,
    size: usize,
}

impl StateFile {
    /// Takes the space and writes the first state.
    ///
    /// # Errors
    /// The file system's, "no space" among them.
    pub fn create(folder: &Path, state: &State) -> io::Result<Self> {
        let (spare, other) = (folder.join(SPARE), folder.join(OTHER));
        let mut writer = Self {
            folder: folder.to_owned(),
            files: Some([open(&spare)?, open(&other)?]),
            size: 0,
        };
        let text = serde_json::to_vec(state)?;
        writer.fill(text)?;
        // Until now there is no state; a file that has none in it must never be seen under that name.
        std::fs::rename(&spare, folder.join(STATE))?;
        std::fs::rename(&other, &spare)?;
        if let Some(files) = &mut writer.files {
            files.reverse();
        }
        Ok(writer)
    }

    /// Replaces the state in one step.
    ///
    /// # Errors
    /// The file system's; for want of space only when the state has outgrown all before it.
    pub fn write(&mut self, state: &State) -> io::Result<()> {
        if self.files.is_none() {
            return write_state(&self.folder, state);
        }
        self.fill(serde_json::to_vec(state)?)?;
        match self.exchange() {
            // A file system that cannot: each write is a new file, as it was before.
            Err(e) if e.raw_os_error() == Some(Errno::EINVAL as i32) => {
                self.files = None;
                write_state(&self.folder, state)
            }
            other => other,
        }
    }

    /// Writes the idle file.
    fn fill(&mut self, mut text: Vec<u8>) -> io::Result<()> {
        let size = text.len().next_multiple_of(PIECE);
        if size > self.size {
            self.grow(size)?;
        }
        // Readers pass over white space at the end; the file keeps its size, which is what keeps its space.
        text.resize(self.size, b'\n');
        match &self.files {
            Some(files) => files[0].write_all_at(&text, 0),
            None => Ok(()),
        }
    }

    fn grow(&mut self, size: usize) -> io::Result<()> {
        for file in self.files.iter().flatten() {
            // The current one's length stays: what is added would read as zeros, which is no white space.
            match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, size as i64) {
                Ok(()) => {}
                Err(Errno::EOPNOTSUPP) => take_by_writing(file, self.size, size)?,
                Err(e) => return Err(e.into()),
            }
        }
        self.size = size;
        Ok(())
    }

    fn exchange(&mut self) -> io::Result<()> {
        let (spare, state) = (self.folder.join(SPARE), self.folder.join(STATE));
        renameat2(
            AT_FDCWD,
            &spare,
            AT_FDCWD,
            &state,
            RenameFlags::RENAME_EXCHANGE,
        )?;
        if let Some(files) = &mut self.files {
            files.reverse();
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// For file systems that take no space by themselves. White space, so that the current file stays readable.
pub(crate) fn take_by_writing(file: &File, from: usize, to: usize) -> io::Result<()> {
    file.write_all_at(&vec![b'\n'; to - from], from as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Task, read_state};

    #[test]
    fn each_write_replaces_the_one_before_and_grows_when_it_must() {
        let dir = std::env::temp_dir().join(format!("gantry-state-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut state = State {
            id: "s".into(),
            ..State::default()
        };
        let mut file = StateFile::create(&dir, &state).unwrap();
        assert_eq!(read_state(&dir).unwrap(), state);
        for round in 0..60 {
            state.tasks.push(Task {
                id: format!("{round:0>64}"),
                ..Task::default()
            });
            file.write(&state).unwrap();
            assert_eq!(read_state(&dir).unwrap(), state);
        }
        state.tasks.truncate(1);
        file.write(&state).unwrap();
        assert_eq!(read_state(&dir).unwrap(), state);
        assert!(file.size > PIECE, "it has grown");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
