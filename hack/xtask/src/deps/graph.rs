//! The graph of normal dependencies (not of tests, not of build scripts), read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: String,
    dependencies: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    kind: Option<String>,
    optional: bool,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Crates by name, with the names they depend on directly.
#[derive(Debug, Default)]
pub(super) struct Graph {
    edges: BTreeMap<String, BTreeSet<String>>,
    /// Workspace crates and their folders below the root.
    members: BTreeMap<String, String>,
    /// What a workspace crate needs whatever features are asked for.
    required: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Reads the answer of `cargo metadata`.
    pub(super) fn parse(json: &[u8], root: &Path) -> Result<Self> {
        let data: Metadata = serde_json::from_slice(json).context("read cargo metadata")?;
        let names: BTreeMap<&str, &Package> =
            data.packages.iter().map(|p| (p.id.as_str(), p)).collect();
        let mut graph = Self::default();
        for id in &data.workspace_members {
            let package = names
                .get(id.as_str())
                .with_context(|| format!("find the package of {id}"))?;
            let folder = Path::new(&package.manifest_path).parent().unwrap_or(root);
            let folder = folder
                .strip_prefix(root)
                .unwrap_or(folder)
                .display()
                .to_string();
            graph.members.insert(package.name.clone(), folder);
            let needed = package
                .dependencies
                .iter()
                .filter(|d| d.kind.is_none() && !d.optional);
            graph.required.insert(
                package.name.clone(),
                needed.map(|d| d.name.clone()).collect(),
            );
        }
        for node in &data.resolve.nodes {
            let Some(from) = names.get(node.id.as_str()) else {
                continue;
            };
            let to = graph.edges.entry(from.name.clone()).or_default();
            for dep in &node.deps {
                let normal = dep.dep_kinds.iter().any(|k| k.kind.is_none());
                if let (true, Some(package)) = (normal, names.get(dep.pkg.as_str())) {
                    to.insert(package.name.clone());
                }
            }
        }
        Ok(graph)
    }

    /// Workspace crates with their folders.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members
            .iter()
            .map(|(name, folder)| (name.as_str(), folder.as_str()))
    }

    /// What a crate needs without any feature.
    pub(super) fn required(&self, from: &str) -> impl Iterator<Item = &str> {
        self.required
            .get(from)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// What a crate names itself.
    pub(super) fn direct(&self, from: &str) -> impl Iterator<Item = &str> {
        self.edges
            .get(from)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// The way from one crate to another, if there is one: the shortest, for the message.
    pub(super) fn path(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(here) = queue.pop_front() {
            for next in self.direct(here) {
                if next == from || came_from.contains_key(next) {
                    continue;
                }
                came_from.insert(next, here);
                if next == to {
                    let mut way = vec![to.to_owned()];
                    let mut at = to;
                    while let Some(previous) = came_from.get(at) {
                        way.push((*previous).to_owned());
                        at = previous;
                    }
                    way.reverse();
                    return Some(way);
                }
                queue.push_back(next);
            }
        }
        None
    }

    #[cfg(test)]
    pub(super) fn of(members: &[(&str, &str)], edges: &[(&str, &[&str])]) -> Self {
        let edges: BTreeMap<String, BTreeSet<String>> = edges
            .iter()
            .map(|(from, to)| {
                (
                    (*from).to_owned(),
                    to.iter().map(|t| (*t).to_owned()).collect(),
                )
            })
            .collect();
        Self {
            members: members
                .iter()
                .map(|(n, f)| ((*n).to_owned(), (*f).to_owned()))
                .collect(),
            required: edges.clone(),
            edges,
        }
    }
}
