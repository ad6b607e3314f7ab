//! A short turn of `hack/soak`: many clients at random work leave no answer without a reason, no descriptor and no
//! thread behind. Whether memory is flat is seen in the long one, which is run by hand; here only a flood would be.

use std::process::Command;

use anyhow::{Context, Result, bail};
use gantry_integration::{cases, paths};

cases![many_clients_at_random_work];

fn many_clients_at_random_work() -> Result<()> {
    let out = Command::new(env!("CARGO_BIN_EXE_gantry-soak"))
        .args(["--clients", "30", "--warm-up", "6", "--seconds", "12"])
        .args(["--fill", "300", "--short", "800", "--vanish", "300"])
        // So short a turn is not over its own beginning: buffers and the ring of events still fill.
        .args(["--brief", "--growth", "1.6"])
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
