//! Whether the daemon stayed as it was, and the table that shows it.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sample::{Sample, Staged};

/// Descriptors and threads that may come and go at rest.
const SLACK: f64 = 3.0;
/// MB below which growth is noise.
const NOISE: f64 = 0.5;

/// What happened.
pub(crate) struct Story {
    pub(crate) clients: usize,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    pub(crate) steps: u64,
    pub(crate) samples: Vec<Staged>,
    pub(crate) rests: Vec<Staged>,
}

impl Story {
    fn stage(&self, name: &str) -> Option<Sample> {
        let all: Vec<&Sample> = self
            .samples
            .iter()
            .filter(|(stage, _)| stage == name)
            .map(|(_, sample)| sample)
            .collect();
        if all.is_empty() {
            return None;
        }
        let median = |of: fn(&Sample) -> f64| {
            let mut values: Vec<f64> = all.iter().map(|sample| of(sample)).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Some(Sample {
            rss: median(|s| s.rss),
            pss: median(|s| s.pss),
            fds: median(|s| s.fds),
            threads: median(|s| s.threads),
            shim_own: median(|s| s.shim_own),
            shim_fds: median(|s| s.shim_fds),
        })
    }

    /// What is not flat, in words.
    pub(crate) fn judge(&self, growth: f64) -> Vec<String> {
        let mut wrong = Vec::new();
        let grew = |before: f64, after: f64| after > before * growth + NOISE;
        let mut compare = |what: &str, before: &Sample, after: &Sample| {
            for (name, before, after) in [
                ("gantryd's resident memory", before.rss, after.rss),
                ("gantryd's proportional memory", before.pss, after.pss),
                ("a supervisor's memory", before.shim_own, after.shim_own),
            ] {
                if grew(before, after) {
                    wrong.push(format!(
                        "{name} grew from {before:.1} to {after:.1} MB {what}"
                    ));
                }
            }
        };
        if let (Some(second), Some(last)) = (self.stage("second third"), self.stage("last third")) {
            compare("from the second third to the last", &second, &last);
        }
        let Some(((_, first), later)) = self.rests.split_first() else {
            return wrong;
        };
        for (name, rest) in later {
            compare(&format!("until {name}"), first, rest);
        }
        for (name, rest) in later {
            for (what, before, after) in [
                ("gantryd's descriptors", first.fds, rest.fds),
                ("gantryd's threads", first.threads, rest.threads),
                ("a supervisor's descriptors", first.shim_fds, rest.shim_fds),
            ] {
                if after > before + SLACK {
                    wrong.push(format!("{what} went from {before:.0} to {after:.0} {name}"));
                }
            }
        }
        wrong
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} clients, {} s of random work through both doors after a warm-up ({} steps, seed {}); medians of a stage, \
             and one look at rest with the same three containers running.\n\n\
             | when | resident MB | proportional MB | descriptors | threads | a supervisor's own MB | its descriptors |\n\
             |---|---|---|---|---|---|---|\n",
            self.clients, self.seconds, self.steps, self.seed
        );
        let stages = ["warm-up", "first third", "second third", "last third"];
        let worked = stages
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.stage(name)?)));
        for (name, sample) in worked.chain(self.rests.iter().cloned()) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {name} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} | {:.0} |",
                sample.rss,
                sample.pss,
                sample.fds,
                sample.threads,
                sample.shim_own,
                sample.shim_fds
            );
        }
        text
    }
}

const BEGIN: &str = "<!-- soak: begin, written by hack/soak --write -->";
const END: &str = "<!-- soak: end -->";

/// Puts the table between the two marks of a document.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    let old = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let (before, rest) = old
        .split_once(BEGIN)
        .with_context(|| format!("find the mark {BEGIN:?}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("find the mark {END:?}"))?;
    std::fs::write(file, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
    Ok(())
}
