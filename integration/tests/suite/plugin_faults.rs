//! Plugins that fail, hang, leave an outcome open, panic or crash in each call that the daemon makes, in this process and
//! in one of their own. What must be true each time: the answer names plugin and call; `gantry ops` and
//! `gantry plugin list` tell it in words; when the plugin is well again nothing is left.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gantry_integration::docker::Ran;
use gantry_integration::node::Options;
use gantry_integration::{Node, cases, paths, wait};
use tempfile::TempDir;

use super::plugins::compile;

cases![
    calls_that_fail,
    calls_whose_outcome_is_unknown,
    calls_that_hang,
    calls_that_hang_after_their_work,
    calls_that_hang_in_a_runner,
    calls_that_crash_a_runner,
    calls_that_crash_the_daemon,
    calls_that_panic,
    a_plugin_that_hangs_at_the_start_keeps_no_door_shut,
    a_hang_is_told_in_words_and_cancelled_by_an_operator,
];

/// How long a call may take here.
const DEADLINE: &str = "1s";
/// Until everything is put right again.
const WELL: Duration = Duration::from_secs(8);

/// The plugins that are replaced, by kind: name, file.
const REPLACED: [(&str, &str, &str); 3] = [
    ("snapshotter", "overlay", "libgantry_snapshot_overlay.so"),
    ("network", "bridge", "libgantry_network_bridge.so"),
    ("volume", "local", "libgantry_volume_local.so"),
];

/// Each call that a container's life makes, and the command it is part of.
///
/// What ends a run is asked for twice before a removal fails: when the run ends, and by the removal.
const CALLS: [(&str, &str, &str, u32); 11] = [
    ("volume", "create", "volume create", 1),
    ("network", "create", "network create", 1),
    ("snapshotter", "prepare", "create", 1),
    ("volume", "mount", "start", 1),
    ("snapshotter", "mounts", "start", 1),
    ("network", "join", "start", 1),
    ("network", "leave", "rm", 2),
    ("volume", "unmount", "rm", 2),
    ("snapshotter", "remove", "rm", 1),
    ("volume", "remove", "volume rm", 1),
    ("network", "delete", "network rm", 1),
];

/// A daemon whose plugins fail on demand.
struct Bad {
    node: Node,
    rules: PathBuf,
    _scratch: TempDir,
}

impl Bad {
    fn start(more: &str) -> Result<Self> {
        let mut bad = Self::prepare(more)?;
        bad.node.restart()?;
        bad.node.load_busybox()?;
        Ok(bad)
    }

    fn prepare(more: &str) -> Result<Self> {
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
    fn rule(&self, kind: &str, rule: &str) -> Result<()> {
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
    fn well(&self) -> Result<()> {
        for (kind, ..) in REPLACED {
            remove(&of_kind(&self.rules, kind, ""))?;
            std::fs::write(of_kind(&self.rules, kind, ".let-go"), "")?;
        }
        Ok(())
    }

    fn was_hit(&self, kind: &str) -> bool {
        of_kind(&self.rules, kind, ".hit").is_file()
    }

    /// The life of a container with a volume on a network of its own, command by command, as far as it goes. Commands
    /// that would only repeat the failure are left out.
    fn live(&self) -> Result<Vec<(&'static str, Ran)>> {
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
        }
        Ok(ran)
    }

    /// Waits until no operation is under way, then removes what a person would remove, and looks for what is left.
    fn put_right(&self) -> Result<()> {
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

    fn clear_up(&self) -> Result<()> {
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

    /// Calls that have not returned, as the operator's tool tells them.
    fn in_flight(&self) -> Result<String> {
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
    fn left(&self) -> Result<Vec<String>> {
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
fn of_kind(rules: &Path, kind: &str, ending: &str) -> PathBuf {
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

/// One row of a table: what happened, and what should not have.
fn judge(bad: &Bad, kind: &str, function: &str, step: &str, words: &[&str]) -> Result<()> {
    let plugin = REPLACED
        .iter()
        .find(|(k, ..)| *k == kind)
        .map_or("", |(_, name, _)| *name);
    let ran = bad.live()?;
    ensure!(bad.was_hit(kind), "{function} was never called: {ran:?}");
    let failed: Vec<&(&str, Ran)> = ran.iter().filter(|(_, ran)| ran.code != 0).collect();
    let first = failed
        .first()
        .with_context(|| format!("no command failed: {ran:?}"))?;
    ensure!(first.0 == step, "{step} should have failed: {failed:?}");
    let answer = &first.1.err;
    for part in [function, &format!("{kind}/{plugin}")] {
        ensure!(answer.contains(part), "{part:?} in the answer: {answer}");
    }
    ensure!(
        words.iter().any(|word| answer.contains(word)),
        "{words:?} in the answer: {answer}"
    );
    Ok(())
}

/// Runs a whole table in one daemon; every row is tried, and all that went wrong are told.
fn table(
    bad: &mut Bad,
    action: &str,
    words: &[&str],
    after: impl Fn(&mut Bad) -> Result<()>,
) -> Result<()> {
    let mut wrong = Vec::new();
    for (kind, function, step, times) in CALLS {
        bad.rule(kind, &format!("{function} {action} 0 {times}\n"))?;
        let row = judge(bad, kind, function, step, words)
            .and_then(|()| after(bad))
            .and_then(|()| bad.put_right());
        if let Err(error) = row {
            wrong.push(format!("{kind} {function} {action}: {error:#}"));
            bad.well()?;
            // The rows behind it deserve a clean start.
            let _ = bad.put_right();
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{} rows:\n{}", wrong.len(), wrong.join("\n"))
}

fn nothing(_: &mut Bad) -> Result<()> {
    Ok(())
}

fn calls_that_fail() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "error before", &["told to fail"], nothing)?;
    bad.node.finish()
}

fn calls_whose_outcome_is_unknown() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "unknown before", &["outcome open"], nothing)?;
    table(&mut bad, "unknown after", &["outcome open"], nothing)?;
    bad.node.finish()
}

fn calls_that_hang() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "hang before", HANGS, told_of_a_late_call)?;
    bad.node.finish()
}

fn calls_that_hang_after_their_work() -> Result<()> {
    let mut bad = Bad::start("")?;
    table(&mut bad, "hang after", HANGS, told_of_a_late_call)?;
    bad.node.finish()
}

fn told_of_a_late_call(bad: &mut Bad) -> Result<()> {
    let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
    for part in ["has not returned since", "past its deadline"] {
        ensure!(list.contains(part), "{part:?} in\n{list}");
    }
    Ok(())
}

/// Who asked first is told the one, who asks while it hangs the other.
const HANGS: &[&str] = &["outcome is unknown", "has not returned since"];

const ISOLATED: &str = "isolate = [\"overlay\", \"bridge\", \"local\"]\n";

fn calls_that_hang_in_a_runner() -> Result<()> {
    let mut bad = Bad::start(ISOLATED)?;
    table(&mut bad, "hang before", HANGS, nothing)?;
    bad.node.finish()
}

fn calls_that_crash_a_runner() -> Result<()> {
    let mut bad = Bad::start(ISOLATED)?;
    let release = |bad: &mut Bad| {
        // Two crashes are one too many for a table of them.
        let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
        for (kind, name, _) in REPLACED {
            if list.contains(&format!("{kind}/{name}: in quarantine")) {
                bad.node
                    .gantry(&["plugin", "release", &format!("{kind}/{name}")])?
                    .ok()?;
            }
        }
        Ok(())
    };
    table(
        &mut bad,
        "segv before",
        &["died in the call", "in quarantine"],
        release,
    )?;
    table(
        &mut bad,
        "exit after",
        &["died in the call", "in quarantine"],
        release,
    )?;
    bad.node.finish()
}

/// The daemon dies with the plugin. Started again it knows the call, and releases what was left; the second time the
/// plugin is put away, and doors open without it.
fn calls_that_crash_the_daemon() -> Result<()> {
    let mut wrong = Vec::new();
    for (kind, function, ..) in CALLS {
        if let Err(error) = crash(kind, function) {
            wrong.push(format!("{kind} {function}: {error:#}"));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} rows:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

fn crash(kind: &str, function: &str) -> Result<()> {
    let mut bad = Bad::start("")?;
    bad.rule(kind, &format!("{function} segv before 0 1\n"))?;
    let ran = bad.live()?;
    ensure!(bad.was_hit(kind), "{function} was never called: {ran:?}");
    // It is dead already.
    bad.node.kill()?;
    bad.well()?;
    bad.node.restart()?;
    let log = bad.node.log();
    ensure!(
        log.contains("the plugin crashed") && log.contains(&format!("{kind}/")),
        "the daemon says what took it down: {log}"
    );
    bad.put_right()?;
    bad.node.finish()
}

fn calls_that_panic() -> Result<()> {
    let mut bad = Bad::start("")?;
    for (kind, function, step, times) in CALLS {
        bad.rule(kind, &format!("{function} poison before 0 {times}\n"))?;
        let row = judge(
            &bad,
            kind,
            function,
            step,
            &["told to panic", "panicked in"],
        );
        row.with_context(|| format!("{kind} {function}"))?;
        let list = bad.node.gantry(&["plugin", "list"])?.ok()?;
        let said = format!("it panicked in {function} of");
        ensure!(
            list.contains("poisoned") && list.contains(&said),
            "{said:?} in\n{list}"
        );
        // It is refused from now on; a new daemon opens it again.
        bad.well()?;
        bad.node.stop()?;
        bad.node.restart()?;
        bad.put_right()
            .with_context(|| format!("{kind} {function}"))?;
    }
    bad.node.finish()
}

/// Calls that are made before the doors open.
fn a_plugin_that_hangs_at_the_start_keeps_no_door_shut() -> Result<()> {
    let mut bad = Bad::start("")?;
    for (kind, function) in [("network", "reconcile"), ("snapshotter", "cleanup")] {
        bad.node.stop()?;
        bad.rule(kind, &format!("{function} hang before 0 1\n"))?;
        let asked = Instant::now();
        bad.node
            .restart()
            .with_context(|| format!("{function} hangs"))?;
        ensure!(
            asked.elapsed() < Duration::from_secs(10),
            "{function}: {:?}",
            asked.elapsed()
        );
        let shown = || {
            bad.node
                .gantry(&["plugin", "list"])
                .and_then(Ran::ok)
                .unwrap_or_default()
        };
        let wanted = format!("{function} of /{function} has not returned since");
        wait::until(&wanted, WELL, || shown().contains(&wanted)).with_context(shown)?;
        bad.put_right().with_context(|| function.to_owned())?;
    }
    bad.node.finish()
}

fn a_hang_is_told_in_words_and_cancelled_by_an_operator() -> Result<()> {
    let bad = Bad::start("")?;
    let (docker, node) = (bad.node.docker(), &bad.node);
    // One that listens to its cancel.
    bad.rule("volume", "create slow before 0 1\n")?;
    let creates = docker.live(&["volume", "create", "vol"])?;
    let ops = || -> Result<serde_json::Value> {
        Ok(serde_json::from_str(
            &node.gantry(&["ops", "--json"])?.ok()?,
        )?)
    };
    let one = wait::some("the operation to be listed", WELL, || {
        let one = ops().ok()?.as_array()?.first()?.clone();
        (one["waits_for"] != "").then_some(one)
    })?;
    ensure!(
        one["kind"] == "create_volume" && one["object"] == "vol",
        "{one}"
    );
    let table = node.gantry(&["ops"])?.ok()?;
    ensure!(
        table.contains("create volume") && table.contains("volume driver local: create, since"),
        "{table}"
    );
    let id = one["id"].as_str().context("an id")?;
    let told = node.gantry(&["ops", "cancel", &id[..8]])?.ok()?;
    ensure!(told.contains(&id[..12]), "{told}");
    let created = creates.end()?;
    ensure!(
        created.code == 1 && created.err.contains("cancel"),
        "{created:?}"
    );
    let gone = node.gantry(&["ops", "cancel", id])?;
    ensure!(
        gone.code == 1 && gone.err.contains("no operation"),
        "{gone:?}"
    );
    ensure!(node.gantry(&["ops", "cancel", "xyz"])?.code == 2);
    // One that does not: the object stays locked, and who asks again is told why, at once.
    bad.rule("volume", "create hang before 0 1\n")?;
    let hung = docker.run(&["volume", "create", "vol"])?;
    ensure!(
        hung.code == 1 && hung.err.contains("vol is locked until it returns"),
        "{hung:?}"
    );
    let asked = Instant::now();
    let again = docker.run(&["volume", "create", "vol"])?;
    ensure!(
        again.code == 1 && again.err.contains("create of vol has not returned since"),
        "{again:?}"
    );
    ensure!(
        asked.elapsed() < Duration::from_millis(900),
        "{:?}",
        asked.elapsed()
    );
    let table = node.gantry(&["ops"])?.ok()?;
    ensure!(table.contains("stuck"), "{table}");
    // Others go on.
    docker.ok(&["volume", "create", "other"])?;
    docker.ok(&["volume", "rm", "other"])?;
    bad.put_right()?;
    let list = node.gantry(&["plugin", "list"])?.ok()?;
    ensure!(
        list.contains("returned after the deadline; the last: create of vol was done after"),
        "{list}"
    );
    bad.node.finish()
}
