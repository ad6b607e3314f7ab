//! The log that callers of a runtime ask for: one line a message, text or JSON, as runc writes them.

use super::args::Args;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// How bad it is.
#[derive(Clone, Copy)]
pub(super) enum Level {
    Warning,
    Error,
}

/// Where messages go besides standard error.
#[derive(Default)]
pub(super) struct Log {
    file: Option<PathBuf>,
    json: bool,
}

impl Log {
    pub(super) fn of(args: &Args) -> Self {
        Self {
            file: args.path("log").filter(|p| !p.as_os_str().is_empty()),
            json: args.get("log-format") == Some("json"),
        }
    }

    /// Appends to the file, if there is one. A log that cannot be written changes no outcome.
    pub(super) fn say(&self, level: Level, message: &str) {
        let Some(path) = &self.file else { return };
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        if let Ok(mut file) = file {
            let _ = file.write_all(line(level, message, &time(seconds), self.json).as_bytes());
        }
    }

    /// A warning, on standard error too.
    pub(super) fn warn(&self, message: &str) {
        self.say(Level::Warning, message);
        let _ = writeln!(std::io::stderr(), "warning: {message}");
    }
}

fn line(level: Level, message: &str, time: &str, json: bool) -> String {
    let level = match level {
        Level::Warning => "warning",
        Level::Error => "error",
    };
    if json {
        let text = serde_json::json!({"level": level, "msg": message, "time": time});
        format!("{text}\n")
    } else {
        format!("time={time:?} level={level} msg={message:?}\n")
    }
}

/// RFC 3339 in UTC, from seconds since 1970.
pub(super) fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the leap day is the last one.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + next;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_calendar_times() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(time(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(time(1_795_340_000), "2026-11-22T09:33:20Z");
    }

    #[test]
    fn a_line_a_message() {
        assert_eq!(
            line(Level::Error, "a \"b\"\nc", "T", true),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\nc\",\"time\":\"T\"}\n"
        );
        assert_eq!(
            line(Level::Warning, "a", "T", false),
            "time=\"T\" level=warning msg=\"a\"\n"
        );
    }
}
