//! `cargo xtask tidy|deps|abi|faults`: the rules of the house that no compiler knows. It reads the tree, it changes nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod abi;
mod deps;
mod faults;
mod tidy;

/// One broken rule: where, and what to do instead.
#[derive(Debug)]
struct Finding {
    place: String,
    text: String,
}

impl Finding {
    fn new(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            text: text.into(),
        }
    }
}

const USAGE: &str = "usage: cargo xtask <tidy|deps|abi|faults|points|absent FOLDER|all>
  tidy   how source files look: first line, lengths, names, reasons
  deps   which crate may reach which, who may say `unsafe`
  abi    the plugin header compiles as C and as C++
  faults fault points have names of their own
  points lists the fault points, one a line with its place
  absent that a build carries no fault point";

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(count) => {
            eprintln!("xtask: {count} finding(s)");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<usize> {
    let root = workspace_root()?;
    let task = std::env::args().nth(1).unwrap_or_default();
    let findings = match task.as_str() {
        "tidy" => tidy::check(&root)?,
        "deps" => deps::check(&root)?,
        "abi" => abi::check(&root)?,
        "faults" => faults::check(&root)?,
        "points" => list_points(&root)?,
        "absent" => {
            let build = std::env::args().nth(2).context(USAGE)?;
            faults::absent(&root, Path::new(&build))?
        }
        "all" => [
            tidy::check(&root)?,
            deps::check(&root)?,
            abi::check(&root)?,
            faults::check(&root)?,
        ]
        .into_iter()
        .flatten()
        .collect(),
        _ => bail!("{USAGE}"),
    };
    for finding in &findings {
        eprintln!("{}: {}", finding.place, finding.text);
    }
    Ok(findings.len())
}

fn list_points(root: &Path) -> Result<Vec<Finding>> {
    use std::io::Write;
    let (points, findings) = faults::points(root)?;
    let mut out = std::io::stdout().lock();
    for (name, places) in points {
        writeln!(out, "{name} {}", places.join(" "))?;
    }
    Ok(findings)
}

/// The top of the tree: this crate lives two folders below it.
fn workspace_root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here
        .ancestors()
        .nth(2)
        .context("find the workspace above hack/xtask")?;
    Ok(root.to_path_buf())
}

/// Files git knows or would take (so that a new file is checked before its first commit), as paths below the root.
fn files(root: &Path, ending: &str) -> Result<Vec<String>> {
    let out = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("run git ls-files")?;
    if !out.status.success() {
        bail!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    let listed = String::from_utf8(out.stdout).context("read git's answer")?;
    let mut files: Vec<String> = listed
        .lines()
        .filter(|f| f.ends_with(ending) && root.join(f).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
