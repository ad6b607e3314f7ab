//! A daemon whose plugins fail on demand: each stands behind a fixture that does what a file says.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gantry_integration::docker::Ran;
use gantry_integration::node::Options;
use gantry_integration::{Node, paths, wait};
use tempfile::TempDir;

use crate::suite::plugins::compile;

/// How long a call may take here.
pub(crate) const DEADLINE: &str = "1s";
/// Until everything is put right again.
pub(crate) const WELL: Duration = Duration::from_secs(8);

/// The plugins that are replaced, by kind: name, file.
pub(crate) const REPLACED: [(&str, &str, &str); 3] = [
    ("snapshotter", "overlay", "libgantry_snapshot_overlay.so"),
    ("network", "bridge", "libgantry_network_bridge.so"),
    ("volume", "local", "libgantry_volume_local.so"),
];

/// A configuration that gives each of them a process of its own.
pub(crate) const ISOLATED: &str = "isolate = [\"overlay\", \"bridge\", \"local\"]\n";

/// A daemon whose plugins fail on demand.
pub(crate) struct Bad {
    pub(crate) node: Node,
    pub(crate) rules: PathBuf,
    _scratch: TempDir,
}

impl Bad {
    pub(crate) fn start(more: &str) -> Result<Self> {
        let mut bad = Self::prepare(more)?;
        bad.node.restart()?;
        bad.node.load_busybox()?;
        Ok(bad)
    }

    pub(crate) fn prepare(more: &str) -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let (plugins, rules) = (scratch.path().join("plugins"), scratch.path().join("rules"));
        std::fs::create_dir(&plugins)?;
        for entry in std::fs::read_dir(paths::build().join("plugins"))? {
            let entry = entry?;
            let name = entry.file_name();
            match REPLACED.iter().find(|(.., file)| name == *file) {
                Some((kind, name, _)) => {
                    compile::faulty(
                        &plugins,
                        kind,
                        name,
                        &entry.path(),
                        &of_kind(&rules, kind, ""),
                    );
                }
                None => drop(std::fs::copy(entry.path(), plugins.join(name))?),
            }
        }
        let node = Node::prepare(Options {
            plugins: Some(plugins),
            config: format!("[plugins]\ndeadline = \"{DEADLINE}\"\n{more}"),
            ..Options::default()
        })?;
        Ok(Self {
            node,
            rules,
            _scratch: scratch,
        })
    }

    /// From now on this goes wrong, and whatever hung before does not any more.
    pub(crate) fn rule(&self, kind: &str, rule: &str) -> Result<()> {
        self.well()?;
        for ending in [".let-go", ".hit"] {
            remove(&of_kind(&self.rules, kind, ending))?;
        }
        let new = of_kind(&self.rules, kind, ".new");
        std::fs::write(&new, rule)?;
        std::fs::rename(new, of_kind(&self.rules, kind, ""))?;
        Ok(())
    }

    /// Nothing goes wrong any more, and what hangs returns.
    pub(crate) fn well(&self) -> Result<()> {
        for (kind, ..) in REPLACED {
            remove(&of_kind(&self.rules, kind, ""))?;
            std::fs::write(of_kind(&self.rules, kind, ".let-go"), "")?;
        }
        Ok(())
    }

    pub(crate) fn was_hit(&self, kind: &str) -> bool {
        of_kind(&self.rules, kind, ".hit").is_file()
    }

    /// The life of a container with a volume on a network of its own, command by command, as far as it goes. Commands
    /// that would only repeat the failure are left out.
    pub(crate) fn live(&self) -> Result<Vec<(&'static str, Ran)>> {
        self.live_until("network rm")
    }

    /// The same up to a command.
    pub(crate) fn live_until(&self, last: &str) -> Result<Vec<(&'static str, Ran)>> {
        let docker = self.node.docker();
        let mut ran: Vec<(&'static str, Ran)> = Vec::new();
        for (step, args) in STEPS {
            let went = |wanted: &str| {
                ran.iter()
                    .any(|(step, ran)| *step == wanted && ran.code == 0)
            };
            let possible = match *step {
                "create" => went("volume create") && went("network create"),
                "start" | "rm" => went("create"),
                "volume rm" => went("volume create"),
                "network rm" => went("network create"),
                _ => true,
            };
            if possible {
                let asked = Instant::now();
                ran.push((step, docker.run(args)?));
                ensure!(
                    asked.elapsed() < Duration::from_secs(15),
                    "{step} took {:?}",
                    asked.elapsed()
                );
            }
            if *step == last {
                break;
            }
        }
        Ok(ran)
    }

    /// Waits until no operation is under way, then removes what a person would remove, and looks for what is left.
    pub(crate) fn put_right(&self) -> Result<()> {
        self.well()?;
        let mut shown = String::new();
        wait::until("every call to return", WELL, || {
            shown = self
                .in_flight()
                .unwrap_or_else(|error| format!("{error:#}"));
            shown.is_empty()
        })
        .with_context(|| shown.clone())?;
        // What had been asked for may go on by itself meanwhile.
        wait::until("a person to be able to clear up", WELL, || {
            shown = self
                .clear_up()
                .map_or_else(|error| format!("{error:#}"), |()| String::new());
            shown.is_empty()
        })
        .with_context(|| shown.clone())?;
        wait::until("no operation to be unfinished", WELL, || {
            let ops = self.node.gantry(&["ops", "--json"]).and_then(Ran::ok);
            shown = ops.unwrap_or_else(|error| format!("{error:#}"));
            shown.trim() == "[]"
        })
        .with_context(|| shown.clone())?;
        let mut left = Vec::new();
        wait::until("everything to be released", WELL, || {
            left = self
                .left()
                .unwrap_or_else(|error| vec![format!("{error:#}")]);
            left.is_empty()
        })
        .with_context(|| left.join("\n"))
    }

    pub(crate) fn clear_up(&self) -> Result<()> {
        let docker = self.node.docker();
        for (ask, args) in [
            (&["ps", "-aq"][..], &["rm", "-f", "con"][..]),
            (&["volume", "ls", "-q"], &["volume", "rm", "vol"]),
            (
                &["network", "ls", "-q", "--filter", "name=^n$"],
                &["network", "rm", "n"],
            ),
        ] {
            if !docker.ok(ask)?.is_empty() {
                docker.ok(args)?;
            }
        }
        Ok(())
    }

    /// Lets in again what has crashed once too often.
    pub(crate) fn let_in(&mut self) -> Result<()> {
        let list = self.node.gantry(&["plugin", "list"])?.ok()?;
        for (kind, name, _) in REPLACED {
            if list.contains(&format!("{kind}/{name}: in quarantine")) {
                self.node
                    .gantry(&["plugin", "release", &format!("{kind}/{name}")])?
                    .ok()?;
            }
        }
        Ok(())
    }

    /// Calls that have not returned, as the operator's tool tells them.
    pub(crate) fn in_flight(&self) -> Result<String> {
        let plugins = self.node.gantry(&["plugin", "list", "--json"])?.ok()?;
        let plugins: serde_json::Value = serde_json::from_str(&plugins)?;
        let all = plugins.as_array().context("a list")?.iter();
        let flying = all.filter(|plugin| {
            plugin["in_flight"]
                .as_array()
                .is_some_and(|all| !all.is_empty())
        });
        Ok(flying
            .map(|plugin| format!("{}\n", plugin["in_flight"]))
            .collect())
    }

    /// What nobody should find: beside the general check, what the drivers hold.
    pub(crate) fn left(&self) -> Result<Vec<String>> {
        let mut left = gantry_integration::leaks::find(&self.node);
        let snapshots = self.node.root().join("snapshots/overlay");
        for folder in ["making", "removed"] {
            left.extend(entries(&snapshots.join(folder))?);
        }
        let kept = entries(&snapshots.join("snapshots"))?;
        let layers = self.layers()?;
        if kept.len() != layers {
            left.push(format!(
                "{} snapshots, {layers} of images: {kept:?}",
                kept.len()
            ));
        }
        left.extend(
            entries(&self.node.root().join("volumes/local"))?
                .into_iter()
                .filter(|path| {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    // The bin of removed volumes may be there, empty.
                    name != ".removed"
                        || entries(Path::new(path)).map_or(true, |all| !all.is_empty())
                }),
        );
        // The predefined one may be there.
        let bridges = self
            .node
            .net
            .ip(&["-o", "link", "show", "type", "bridge"])?;
        if bridges.lines().count() > 1 {
            left.push(bridges);
        }
        Ok(left)
    }

    /// Layers of the images that are loaded: busybox has one.
    fn layers(&self) -> Result<usize> {
        Ok(self.node.docker().ok(&["images", "-q"])?.lines().count())
    }
}

const STEPS: &[(&str, &[&str])] = &[
    ("volume create", &["volume", "create", "vol"]),
    ("network create", &["network", "create", "n"]),
    (
        "create",
        &[
            "create",
            "--name",
            "con",
            "--network",
            "n",
            "-v",
            "vol:/d",
            "-p",
            "127.0.0.1:0:80",
            "busybox",
            "sleep",
            "1000",
        ],
    ),
    ("start", &["start", "con"]),
    ("rm", &["rm", "-f", "con"]),
    ("volume rm", &["volume", "rm", "vol"]),
    ("network rm", &["network", "rm", "n"]),
];

/// The file of rules of one kind, or one beside it.
pub(crate) fn of_kind(rules: &Path, kind: &str, ending: &str) -> PathBuf {
    rules.with_extension(format!("{kind}{ending}"))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn entries(folder: &Path) -> Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other?
            .map(|entry| Ok(entry?.path().display().to_string()))
            .collect(),
    }
}
