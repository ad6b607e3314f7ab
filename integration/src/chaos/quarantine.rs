//! A plugin that crashes whenever it is opened, in a process of its own: each start of the daemon counts a crash until
//! it is put away, and each round lets it in again, so that the record of crashes is written in the middle of the work.
//! It serves nothing, and nobody may notice it.

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::door::Door;
use crate::node::Options;
use crate::{Node, paths};

#[path = "../../../plugins/fixtures/compile.rs"]
mod compile;

/// Options of a daemon that has it beside the plugins of the build; they lie in the folder, which is the caller's.
pub(super) fn options() -> Result<(Options, TempDir)> {
    let folder = tempfile::tempdir().context("make a folder of plugins")?;
    for entry in std::fs::read_dir(paths::build().join("plugins"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    compile::fixture(folder.path(), "crashes.so", &["CRASH_INIT"]);
    let options = Options {
        plugins: Some(folder.path().to_owned()),
        config: "[plugins]\nisolate = [\"volume/fixture\"]\n".to_owned(),
        ..Options::default()
    };
    Ok((options, folder))
}

/// Lets it in again, if it is in quarantine: it crashes at once.
pub(super) fn release(node: &Node) {
    let admin = Door::new(&node.socket("gantry"), true, false);
    // Refused while it has crashed once only.
    let _ = admin.post("/v1/plugins/volume/fixture/release", &Value::Null);
}
