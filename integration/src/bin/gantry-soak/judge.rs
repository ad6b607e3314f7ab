//! Whether the daemon stayed as it was, and the table that shows it.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sample::{Sample, Staged};

/// Descriptors and threads that may come and go at rest.
const SLACK: f64 = 3.0;
/// MB below which growth is noise.
const NOISE: f64 = 0.5;

/// Samples in a minute; one is taken each second.
const MINUTE: usize = 60;
/// The parts of the random work.
pub(crate) const STAGES: [&str; 4] = ["warm-up", "first third", "second third", "last third"];

/// The median of each figure.
fn median<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<Sample> {
    let all: Vec<&Sample> = samples.collect();
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
        own: median(|s| s.own),
        fds: median(|s| s.fds),
        threads: median(|s| s.threads),
        shim_own: median(|s| s.shim_own),
        shim_fds: median(|s| s.shim_fds),
    })
}

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
        let of_it = self.samples.iter().filter(|(stage, _)| stage == name);
        median(of_it.map(|(_, sample)| sample))
    }

    /// Medians of each minute of random work, and what it was called.
    fn minutes(&self) -> Vec<Staged> {
        let work: Vec<&Staged> = self
            .samples
            .iter()
            .filter(|(stage, _)| STAGES.contains(&stage.as_str()))
            .collect();
        let minutes = work.chunks(MINUTE).enumerate();
        minutes
            // Not of the few seconds by which the work took longer.
            .filter(|(number, all)| *number == 0 || all.len() > MINUTE / 3)
            .filter_map(|(number, all)| {
                let stage = &all[all.len() / 2].0;
                let sample = median(all.iter().map(|(_, sample)| sample))?;
                Some((format!("minute {}, {stage}", number + 1), sample))
            })
            .collect()
    }

    /// What is not flat, in words.
    pub(crate) fn judge(&self, growth: f64) -> Vec<String> {
        let mut wrong = Vec::new();
        let grew = |before: f64, after: f64| after > before * growth + NOISE;
        let mut compare = |what: &str, before: &Sample, after: &Sample| {
            for (name, before, after) in [
                ("gantryd's resident memory", before.rss, after.rss),
                ("gantryd's own memory", before.own, after.own),
                ("a supervisor's memory", before.shim_own, after.shim_own),
            ] {
                if grew(before, after) {
                    wrong.push(format!(
                        "{name} grew from {before:.1} to {after:.1} MB {what}"
                    ));
                }
            }
        };
        if let (Some(second), Some(last)) = (self.stage(STAGES[2]), self.stage(STAGES[3])) {
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
            "{} clients, {} s of random work through both doors after a warm-up ({} steps, seed {}); medians of a minute, \
             and one look at rest with the same four containers running.\n\n\
             | when | resident MB | its own MB | descriptors | threads | a supervisor's own MB | its descriptors |\n\
             |---|---|---|---|---|---|---|\n",
            self.clients, self.seconds, self.steps, self.seed
        );
        for (name, sample) in self.minutes().iter().chain(&self.rests) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {name} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} | {:.0} |",
                sample.rss,
                sample.own,
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
