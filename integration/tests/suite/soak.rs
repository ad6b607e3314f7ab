//! A short turn of `hack/soak`: many clients at random work leave no error and no growth behind. The long one is run by
//! hand.

use std::process::Command;

use anyhow::{Context, Result, bail};
use gantry_integration::{cases, paths};

cases![many_clients_at_random_work];

fn many_clients_at_random_work() -> Result<()> {
    let out = Command::new(env!("CARGO_BIN_EXE_gantry-soak"))
        .args(["--clients", "50", "--warm-up", "6", "--seconds", "15"])
        .args(["--short", "1000", "--vanish", "200"])
        // So short a turn is not over its own beginning: buffers and the ring of events still fill.
        .args(["--growth", "1.3"])
        .env("GANTRY_BUILD", paths::build())
        .output()
        .context("run gantry-soak")?;
    if !out.status.success() {
        bail!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(())
}
