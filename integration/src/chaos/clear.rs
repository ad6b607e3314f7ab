//! Removing everything through the doors, and looking whether anything is left.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gantry_cri_api::v1;

use crate::{Node, leaks, wait};

/// How long what lags may lag.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files a daemon has when it holds one image and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Empty {
    files: BTreeSet<String>,
    links: BTreeSet<String>,
}

impl Empty {
    /// What is there now.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let root = node.root();
        let mut files = BTreeSet::new();
        for folder in ["content", "snapshots", "containers", "volumes", "networks"] {
            // A snapshot's own files are its image's: its folder is enough.
            walk(&root.join(folder), &root, 4, &mut files);
        }
        let links = node.net.ip(&["-o", "link", "show"]).unwrap_or_default();
        let links = links
            .lines()
            .filter_map(|l| l.split(": ").nth(1))
            .map(str::to_owned)
            .collect();
        Self { files, links }
    }

    fn more_than(&self, before: &Self) -> Vec<String> {
        let files = self.files.difference(&before.files);
        let links = self.links.difference(&before.links);
        files
            .map(|f| format!("file {f}"))
            .chain(links.map(|l| format!("link {l}")))
            .collect()
    }
}

fn walk(folder: &Path, root: &Path, depth: usize, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        found.insert(name.display().to_string());
        if depth > 1 && entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&path, root, depth - 1, found);
        }
    }
}

/// Removes everything a client may have made.
///
/// # Errors
/// If a removal fails.
pub fn remove_all(node: &Node) -> Result<()> {
    let list = |path: &str| -> Result<serde_json::Value> {
        let answer = node.api("GET", path, b"")?;
        ensure!(answer.status == 200, "{path}: {}", answer.body);
        Ok(answer.json())
    };
    let delete = |path: String| -> Result<()> {
        let answer = node.api("DELETE", &path, b"")?;
        ensure!(
            matches!(answer.status, 200 | 204 | 404),
            "DELETE {path}: {} {}",
            answer.status,
            answer.body
        );
        Ok(())
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    for one in list("/containers/json?all=1")?
        .as_array()
        .into_iter()
        .flatten()
    {
        delete(format!("/containers/{}?force=1&v=1", text(&one["Id"])))?;
    }
    let api = node.cri()?;
    let pods = api.wait(
        api.runtime()
            .list_pod_sandbox(v1::ListPodSandboxRequest::default()),
    )?;
    for pod in pods.items {
        api.remove_pod(&pod.id).context("remove a pod")?;
    }
    for one in list("/volumes")?["Volumes"]
        .as_array()
        .into_iter()
        .flatten()
    {
        // Those without a name had to go with their containers.
        let name = text(&one["Name"]);
        ensure!(name.contains("-v"), "anonymous volume {name} is left");
        delete(format!("/volumes/{name}"))?;
    }
    for one in list("/networks")?.as_array().into_iter().flatten() {
        let name = text(&one["Name"]);
        if !["bridge", "host", "none"].contains(&name.as_str()) {
            delete(format!("/networks/{name}"))?;
        }
    }
    for one in list("/images/json")?.as_array().into_iter().flatten() {
        for name in one["RepoTags"].as_array().into_iter().flatten() {
            if text(name) != crate::node::BUSYBOX {
                delete(format!("/images/{}?force=1", text(name)))?;
            }
        }
    }
    Ok(())
}

/// Looks whether anything is left that was not there before the first client.
///
/// # Errors
/// Naming it.
pub fn check(node: &Node, before: &Empty) -> Result<()> {
    let mut left = Vec::new();
    let gone = wait::until("everything to be gone", PATIENCE, || {
        left = leaks::find(node);
        left.extend(Empty::of(node).more_than(before));
        left.extend(operations(node));
        left.extend(endpoints(node));
        left.is_empty()
    });
    if gone.is_err() {
        bail!("left behind:\n  {}", left.join("\n  "));
    }
    Ok(())
}

/// Changes that are still in progress.
fn operations(node: &Node) -> Vec<String> {
    match node.gantry(&["--json", "ops"]) {
        Ok(ran) if ran.code == 0 => {
            let listed: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_default();
            let all = listed.as_array().or(listed["operations"].as_array());
            let all = all.cloned().unwrap_or_default();
            all.iter().map(|one| format!("operation {one}")).collect()
        }
        other => vec![format!("gantry ops: {other:?}")],
    }
}

/// Addresses that the networks still hold for somebody.
fn endpoints(node: &Node) -> Vec<String> {
    let mut left = Vec::new();
    for name in ["bridge", "host", "none"] {
        let Ok(answer) = node.api("GET", &format!("/networks/{name}"), b"") else {
            continue;
        };
        let shown = answer.json();
        for (id, one) in shown["Containers"].as_object().into_iter().flatten() {
            left.push(format!("endpoint {id} {}", one["IPv4Address"]));
        }
    }
    left
}
