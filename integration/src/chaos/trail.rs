//! What was done to one object and what came of it, told with a contradiction.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::facts::{Step, Stop};

/// So many entries are kept.
const KEPT: usize = 40;

/// The last steps of one object.
#[derive(Clone, Debug, Default)]
pub struct Trail(VecDeque<String>);

impl Trail {
    /// Adds an entry; the same one twice in a row is kept once.
    pub fn note(&mut self, text: String) {
        if self.0.back().is_some_and(|last| last.ends_with(&text)) {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis() % 86_400_000;
        let (minutes, millis) = (now / 60_000, now % 60_000);
        self.0.push_back(format!(
            "{:02}:{:02}:{:02}.{:03} {text}",
            minutes / 60,
            minutes % 60,
            millis / 1000,
            millis % 1000
        ));
    }

    /// Adds itself to what a contradiction says.
    ///
    /// # Errors
    /// Those of the step.
    pub fn told<T>(&self, step: Step<T>) -> Step<T> {
        step.map_err(|stop| match stop {
            Stop::Contradiction(text) if !text.contains("\n  ") => {
                let lines: Vec<&str> = self.0.iter().map(String::as_str).collect();
                Stop::Contradiction(format!("{text}\n  {}", lines.join("\n  ")))
            }
            other => other,
        })
    }
}
