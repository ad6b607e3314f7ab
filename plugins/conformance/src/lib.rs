//! One suite per kind of plugin, against the loader: what the interface promises, asked of any library, in C or in Rust.
//!
//! Every case opens the driver anew on an empty root of its own. The suites of snapshotters and volumes mount nothing and
//! need root only if the driver does; the suite of networks needs root, since it makes network namespaces.

mod bench;
mod border;
mod network;
mod snapshotter;
mod volume;

use std::path::Path;

use anyhow::{Context, Result, bail};

pub use bench::Bench;

/// One case: what must be true, and the function that finds out.
pub struct Case {
    /// What must be true.
    pub name: &'static str,
    run: fn(&Bench) -> Result<Verdict>,
}

/// How a case ended, when no rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Kept,
    /// The rule is not for this driver, or cannot be looked at here: why.
    NotFor(String),
}

/// What a suite found out.
#[derive(Debug, Default)]
pub struct Report {
    /// Names of the cases whose rule holds.
    pub kept: Vec<&'static str>,
    /// Cases that are not for this driver, and why.
    pub not_for: Vec<(&'static str, String)>,
    /// Cases whose rule was broken, and how.
    pub broken: Vec<(&'static str, String)>,
}

/// The cases of a kind.
///
/// # Errors
/// For a kind that has no suite.
pub fn cases(kind: &str) -> Result<Vec<Case>> {
    let own = match kind {
        "snapshotter" => snapshotter::cases(),
        "network" => network::cases(),
        "volume" => volume::cases(),
        other => bail!("no suite for plugins of kind {other:?}"),
    };
    Ok(own.into_iter().chain(border::cases()).collect())
}

/// Runs the suite of a kind against a library.
///
/// # Errors
/// When the library cannot be loaded, is of another kind, or `kind` has no suite. A broken rule is in the report.
pub fn run(kind: &str, library: &Path) -> Result<Report> {
    let bench = Bench::new(kind, library)?;
    let mut report = Report::default();
    for case in cases(kind)? {
        match bench
            .fresh()
            .context("make an empty root")
            .and_then(|fresh| (case.run)(&fresh))
        {
            Ok(Verdict::Kept) => report.kept.push(case.name),
            Ok(Verdict::NotFor(why)) => report.not_for.push((case.name, why)),
            Err(error) => report.broken.push((case.name, format!("{error:#}"))),
        }
    }
    Ok(report)
}

/// `suite! { "what must be true" => function, … }`
macro_rules! suite {
    ($($name:literal => $function:path),+ $(,)?) => {
        vec![$($crate::Case { name: $name, run: $function }),+]
    };
}
pub(crate) use suite;
