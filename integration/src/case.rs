//! Runs the tests that are asked for, two at a time, and says what became of each.
//!
//! Not libtest, because it has no way to say "skipped, for this reason, as expected". Without root everything fails:
//! a test that was not run is not a test that passed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};

/// One test.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Group and name, for instance `docker::logs_follow`.
    pub name: &'static str,
    /// The test itself.
    pub run: fn() -> Result<()>,
}

/// Lists functions as [`Case`]s, named after their module.
#[macro_export]
macro_rules! cases {
    ($($function:ident),* $(,)?) => {
        /// The tests of this file.
        #[must_use]
        pub(crate) fn cases() -> Vec<$crate::Case> {
            vec![$($crate::Case {
                name: concat!(module_path!(), "::", stringify!($function)),
                run: $function,
            }),*]
        }
    };
}

/// An error that means: cannot be done on this host. Only cases in `integration/skips.txt` may do so.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Leaves a test as skipped.
///
/// # Errors
/// Always.
pub fn skip<T>(reason: impl Into<String>) -> Result<T> {
    bail!(Skip(reason.into()))
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Runs every case whose name contains one of the arguments (all of them without any).
/// `--list` names them, `--threads=N` is how many run at once.
#[must_use]
pub fn main(mut cases: Vec<Case>) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let name = |case: &Case| {
        case.name
            .split_once("::")
            .map_or(case.name, |(_, rest)| rest)
    };
    cases.retain(|c| filters.is_empty() || filters.iter().any(|f| name(c).contains(f)));
    if args.iter().any(|a| a == "--list") {
        cases.iter().for_each(|c| eprintln!("{}", name(c)));
        return ExitCode::SUCCESS;
    }
    if cases.is_empty() {
        eprintln!("no test is called like that");
        return ExitCode::FAILURE;
    }
    let threads = args
        .iter()
        .find_map(|a| a.strip_prefix("--threads="))
        .and_then(|n| n.parse().ok())
        .unwrap_or(2);
    let expected = expected_skips();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let outcome = judge(name(case), run(case), &expected);
                    report(name(case), &outcome, begun);
                    outcomes
                        .lock()
                        .expect("reporting does not panic")
                        .push((name(case), outcome));
                }
            });
        }
    });
    summary(&outcomes.into_inner().expect("reporting does not panic"))
}

fn run(case: &Case) -> Outcome {
    if !nix::unistd::geteuid().is_root() {
        return Outcome::Failed("needs root".to_owned());
    }
    match catch_unwind(AssertUnwindSafe(case.run)) {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(error)) => match error.downcast_ref::<Skip>() {
            Some(Skip(reason)) => Outcome::Skipped(reason.clone()),
            None => Outcome::Failed(format!("{error:#}")),
        },
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Outcome::Failed(text.unwrap_or_else(|| "panicked".to_owned()))
        }
    }
}

/// A skip nobody expects is a failure.
fn judge(name: &str, outcome: Outcome, expected: &BTreeMap<String, String>) -> Outcome {
    match outcome {
        Outcome::Skipped(reason) if !expected.contains_key(name) => Outcome::Failed(format!(
            "skipped ({reason}), but integration/skips.txt does not expect that"
        )),
        other => other,
    }
}

/// `integration/skips.txt`: a test's name and why it may be skipped, one a line.
fn expected_skips() -> BTreeMap<String, String> {
    include_str!("../skips.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, why)| (name.to_owned(), why.to_owned()))
        .collect()
}

fn report(name: &str, outcome: &Outcome, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f32();
    match outcome {
        Outcome::Passed => eprintln!("ok       {name} ({seconds:.1} s)"),
        Outcome::Skipped(reason) => eprintln!("skipped  {name}: {reason}"),
        Outcome::Failed(reason) => {
            eprintln!(
                "FAILED   {name} ({seconds:.1} s)\n    {}",
                reason.replace('\n', "\n    ")
            );
        }
    }
}

fn summary(outcomes: &[(&str, Outcome)]) -> ExitCode {
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|(_, o)| matches!(o, Outcome::Failed(_)))
        .map(|(n, _)| *n)
        .collect();
    let skipped = outcomes
        .iter()
        .filter(|(_, o)| matches!(o, Outcome::Skipped(_)))
        .count();
    for name in &failed {
        eprintln!("failed: {name}");
    }
    eprintln!(
        "integration: {} passed, {} failed, {skipped} skipped",
        outcomes.len() - failed.len() - skipped,
        failed.len()
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
