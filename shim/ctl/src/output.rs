//! Where output goes: JSON as the daemon said it, or tables for people, coloured on a terminal only and never where
//! `NO_COLOR` is set (<https://no-color.org>).

use std::io::{ErrorKind, IsTerminal, Write};

use crate::failure::Failure;
use crate::table::Table;

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// All is well.
    Good,
    /// Needs a look.
    Warning,
    /// Broken.
    Bad,
    /// Less important.
    Dim,
}

impl Tone {
    /// The text in this tone.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => 32,
            Self::Warning => 33,
            Self::Bad => 31,
            Self::Dim => 2,
        };
        if colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Standard output, and how it is to look.
pub(crate) struct Output {
    /// Print answers as they are.
    pub(crate) json: bool,
    /// Use colours.
    pub(crate) colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colour: !forbidden && std::io::stdout().is_terminal(),
        }
    }

    /// Prints a table.
    pub(crate) fn table(&self, table: &Table) -> Result<(), Failure> {
        self.text(&table.render(self.colour))
    }

    /// Prints one line.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        self.text(&format!("{line}\n"))
    }

    /// Prints an answer in JSON.
    pub(crate) fn answer(&self, answer: &[u8]) -> Result<(), Failure> {
        self.line(String::from_utf8_lossy(answer).trim_end())
    }

    fn text(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|e| match e.kind() {
                ErrorKind::BrokenPipe => Failure::ReaderGone,
                _ => Failure::Failed(format!("write the output: {e}")),
            })
    }
}

/// Says on standard error what went wrong. There is nobody left to tell when that fails too.
pub(crate) fn complain(failure: &Failure) {
    let _ = writeln!(std::io::stderr(), "gantry: {failure}");
}

#[cfg(test)]
mod tests {
    use super::Tone;

    #[test]
    fn colours_come_only_when_asked_for() {
        assert_eq!(Tone::Good.paint("up", false), "up");
        assert_eq!(Tone::Good.paint("up", true), "\x1b[32mup\x1b[0m");
        assert_eq!(Tone::Plain.paint("up", true), "up");
        assert_eq!(Tone::Bad.paint("", true), "");
    }
}
