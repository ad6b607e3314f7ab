//! `gantry-plugin-runner`: one plugin in a process of its own. Started by gantryd, of no use by hand.

use std::os::fd::AsFd;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let control = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("take the control socket")?;
    gantry_plugin_runner::serve(control.into())
        .context("serve a plugin (gantryd starts this program, people do not)")
}
