//! What was measured, as medians and ratios, and its place in a document.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// Rows in the order they came.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    what: String,
    unit: &'static str,
    /// Name and value; the first one is ours.
    values: Vec<(String, Option<f64>)>,
    detail: String,
}

/// Times of several contestants, gathered in turns.
#[derive(Default)]
pub(crate) struct Times(BTreeMap<String, Vec<f64>>, Vec<String>);

impl Times {
    /// Gives a contestant its place, even if it will not run.
    pub(crate) fn enter(&mut self, who: &str) {
        if !self.1.iter().any(|known| known == who) {
            self.1.push(who.to_owned());
        }
    }

    /// Adds one measurement.
    pub(crate) fn add(&mut self, who: &str, time: Duration) {
        self.enter(who);
        self.0
            .entry(who.to_owned())
            .or_default()
            .push(time.as_secs_f64() * 1000.0);
    }
}

impl Report {
    /// A row of medians in milliseconds.
    pub(crate) fn times(&mut self, what: &str, times: &Times) {
        let value = |who: &String| (who.clone(), times.0.get(who).map(|all| median(all)));
        let detail = times.1.iter().filter_map(|who| {
            let all = times.0.get(who)?;
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            Some(format!("{who} {} rounds, minimum {least:.1}", all.len()))
        });
        self.rows.push(Row {
            what: what.to_owned(),
            unit: "ms",
            values: times.1.iter().map(value).collect(),
            detail: detail.collect::<Vec<_>>().join("; "),
        });
    }

    /// A row of single values.
    pub(crate) fn values(
        &mut self,
        what: &str,
        unit: &'static str,
        values: Vec<(String, Option<f64>)>,
    ) {
        self.rows.push(Row {
            what: what.to_owned(),
            unit,
            values,
            detail: String::new(),
        });
    }

    /// A row of medians of what is better when it is more.
    pub(crate) fn rates(&mut self, what: &str, unit: &'static str, rates: &[(&str, Vec<f64>)]) {
        let values = rates
            .iter()
            .map(|(who, all)| ((*who).to_owned(), (!all.is_empty()).then(|| median(all))));
        let detail = rates.iter().map(|(who, all)| {
            let most = all.iter().copied().fold(0.0, f64::max);
            format!("{who} {} rounds, maximum {most:.1}", all.len())
        });
        self.rows.push(Row {
            what: format!("{what} (more is better)"),
            unit,
            values: values.collect(),
            detail: detail.collect::<Vec<_>>().join("; "),
        });
    }

    /// A line below the table.
    pub(crate) fn note(&mut self, text: String) {
        eprintln!("{text}");
        self.notes.push(text);
    }

    /// The whole report.
    pub(crate) fn markdown(&self) -> Result<String> {
        let mut text = String::new();
        writeln!(
            text,
            "| what | unit | Gantry | peers | Gantry's share |\n|---|---|---|---|---|"
        )?;
        for row in &self.rows {
            let show = |value: &Option<f64>| {
                value.map_or("not measured".to_owned(), |v| format!("{v:.1}"))
            };
            let (ours, theirs) = row.values.split_first().context("a row without values")?;
            let peers: Vec<String> = theirs
                .iter()
                .map(|(who, v)| format!("{who} {}", show(v)))
                .collect();
            let shares: Vec<String> = theirs
                .iter()
                .filter_map(|(who, v)| Some(format!("{:.2} of {who}", ours.1? / (*v)?)))
                .collect();
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                row.what,
                row.unit,
                show(&ours.1),
                peers.join(", "),
                shares.join(", ")
            )?;
        }
        writeln!(text)?;
        for row in self.rows.iter().filter(|r| !r.detail.is_empty()) {
            writeln!(text, "- {}: {}", row.what, row.detail)?;
        }
        for note in &self.notes {
            writeln!(text, "- {note}")?;
        }
        Ok(text)
    }
}

fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

const BEGIN: &str = "<!-- bench: begin, written by hack/bench --write -->";
const END: &str = "<!-- bench: end -->";

/// Puts the report between the two marks of a document.
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
