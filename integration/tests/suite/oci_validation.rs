//! The public validation programs of opencontainers/runtime-tools, where somebody has built them: see
//! docs/conformance.md. Which of them must pass is in `integration/oci-validation.txt`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gantry_integration::{case, cases, paths};

cases![public_programs];

const FOLDER: &str = "GANTRY_OCI_VALIDATION";

/// How often a program that must pass may try.
const TRIES: usize = 3;

fn public_programs() -> Result<()> {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return case::skip(format!("{FOLDER} names no folder with the programs"));
    };
    let folder = Path::new(&folder);
    let dir = tempfile::tempdir()?;
    // The programs call a runtime by one word, and keep its state where it keeps it by itself.
    let runtime = dir.path().join("runtime");
    let text = format!(
        "#!/bin/sh\nexec {} oci --root {} \"$@\"\n",
        paths::program("gantry-shim")?.display(),
        dir.path().join("state").display()
    );
    std::fs::write(&runtime, text)?;
    std::fs::set_permissions(&runtime, PermissionsExt::from_mode(0o755))?;
    let mut wrong = Vec::new();
    let mut passed = 0;
    for line in include_str!("../../oci-validation.txt").lines() {
        if line.starts_with('#') {
            continue;
        }
        let (name, reason) = line
            .split_once(": ")
            .map_or((line, None), |(n, r)| (n, Some(r)));
        // Some race with what they test (a trap set before a signal comes, a kill before the end of `true`).
        let tries = if reason.is_none() { TRIES } else { 1 };
        let mut verdict = None;
        for _ in 0..tries {
            verdict = run(folder, name, &runtime).with_context(|| name.to_owned())?;
            if verdict.is_none() {
                break;
            }
        }
        match (verdict, reason) {
            (None, _) => passed += 1,
            (Some(_), Some(_)) => {}
            (Some(why), None) => wrong.push(format!("{name}: {why}")),
        }
    }
    ensure!(
        wrong.is_empty(),
        "{passed} passed, but not\n{}",
        wrong.join("\n")
    );
    Ok(())
}

/// Why a program does not pass; `None` when it does. Some say an error and count no check.
fn run(folder: &Path, name: &str, runtime: &Path) -> Result<Option<String>> {
    let mut command = Command::new("timeout");
    command.arg("60").arg(folder.join("bin").join(name));
    command.current_dir(folder).env("RUNTIME", runtime);
    let done = command.stdin(Stdio::null()).output()?;
    let out = String::from_utf8_lossy(&done.stdout);
    let failed = out.lines().find(|l| l.starts_with("not ok"));
    let uncounted = out.contains("\n1..0") && out.contains("\"error\":");
    Ok(if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        Some(format!("{}: {}", done.status, said.trim()))
    } else if let Some(line) = failed {
        Some(line.to_owned())
    } else {
        uncounted.then(|| out.trim().to_owned())
    })
}
