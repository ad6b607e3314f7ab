//! `list` and `ps`.

use super::Outcome;
use super::args::Args;
use super::state::{Loaded, Store};
use crate::error::{LaunchError, Result};
use serde_json::json;
use std::fmt::Write;

fn as_json(args: &Args) -> Result<bool> {
    match args.get("format") {
        None | Some("table") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(LaunchError::spec(format!("--format {other:?}"))),
    }
}

/// All containers below the root.
pub(super) fn list(args: &Args) -> Outcome {
    let json = as_json(args)?;
    let mut ids: Vec<String> = match std::fs::read_dir(&args.root) {
        Ok(entries) => entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => {
            let what = format!("read {}", args.root.display());
            return Err(gantry_sys::Error::from_io(what, &e).into());
        }
    };
    ids.sort();
    // One that goes meanwhile, or is not yet recorded, is none.
    let loaded = ids
        .iter()
        .filter_map(|id| Store::new(&args.root, id).ok()?.load().ok());
    if args.has("quiet") {
        let ids: Vec<String> = loaded.map(|l| l.state.id).collect();
        return super::print(&ids.join("\n"));
    }
    if json {
        let all: Vec<_> = loaded.map(row).collect();
        return super::print(&serde_json::to_string(&all).unwrap_or_default());
    }
    let mut text = format!(
        "{:<36} {:<10} {:<10} {:<22} BUNDLE",
        "ID", "PID", "STATUS", "CREATED"
    );
    for one in loaded {
        let (created, report) = (one.state.created.clone(), one.report());
        let pid = report.pid.unwrap_or(0);
        let _ = write!(
            text,
            "\n{:<36} {pid:<10} {:<10} {created:<22} {}",
            report.id,
            report.status,
            report.bundle.display()
        );
    }
    super::print(&text)
}

fn row(one: Loaded) -> serde_json::Value {
    let created = one.state.created.clone();
    let report = one.report();
    json!({
        "ociVersion": report.oci_version,
        "id": report.id,
        "pid": report.pid.unwrap_or(0),
        "status": report.status,
        "bundle": report.bundle,
        "created": created,
        "annotations": report.annotations,
        "owner": "root",
    })
}

/// The processes of one container, numbered as the host does.
pub(super) fn processes(store: &Store, args: &Args) -> Outcome {
    let json = as_json(args)?;
    let pids = store.load()?.state.group()?.processes()?;
    if json {
        return super::print(&serde_json::to_string(&pids).unwrap_or_default());
    }
    let mut text = format!("{:>10} {:>10} {:>10} CMD", "UID", "PID", "PPID");
    for pid in pids {
        // One that has just ended is left out.
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|l| l.split_whitespace().next())
                .unwrap_or("-")
        };
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let (uid, parent) = (field("Uid:"), field("PPid:"));
        let _ = write!(
            text,
            "\n{uid:>10} {pid:>10} {parent:>10} {}",
            command.trim_end()
        );
    }
    super::print(&text)
}
