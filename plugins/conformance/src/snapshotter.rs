//! Rules of snapshotters. Nothing is mounted: a file is written and looked for where the descriptions point.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use gantry_abi::schema::MountSpec;
use gantry_abi::schema::snapshot::*;
use gantry_abi::{ErrorCode, Outcome};

use crate::bench::kept;
use crate::{Bench, Case, Verdict, suite};

pub(crate) fn cases() -> Vec<Case> {
    suite! {
        "prepare is idempotent" => prepare_twice,
        "prepare wants its parent, and its key for itself" => prepare_refused,
        "a key cannot lead out of the root" => bad_keys,
        "mounts answers what prepare did" => mounts,
        "commit frees the key, takes the name and is idempotent" => commit,
        "children see what was committed, and only that" => content,
        "a view cannot be written" => view,
        "remove is idempotent and in order" => remove,
        "stat and list agree" => stat_and_list,
        "usage counts a snapshot by itself" => usage,
        "cleanup keeps what is in use" => cleanup,
        "a restart keeps snapshots" => restart,
    }
}

fn prepare(bench: &Bench, key: &str, parent: Option<&str>) -> Result<Vec<MountSpec>> {
    let request = PrepareRequest {
        key: key.into(),
        parent: parent.map(Into::into),
        ..PrepareRequest::default()
    };
    Ok(bench.done(&request)?.mounts)
}

fn committed(bench: &Bench, key: &str, name: &str) -> Result<()> {
    bench
        .done(&CommitRequest {
            key: key.into(),
            name: name.into(),
            ..CommitRequest::default()
        })
        .map(drop)
}

fn stat(bench: &Bench, key: &str) -> Result<Info> {
    bench.done(&StatRequest { key: key.into() })
}

/// A layer with one file.
fn layer(bench: &Bench, name: &str, parent: Option<&str>, file: &str, text: &str) -> Result<()> {
    let key = format!("making-{file}");
    let mounts = prepare(bench, &key, parent)?;
    std::fs::write(writable(&mounts)?.join(file), text).with_context(|| format!("write {file}"))?;
    committed(bench, &key, name)
}

/// The one description of a snapshot's root.
fn root(mounts: &[MountSpec]) -> Result<&MountSpec> {
    let [mount] = mounts else {
        bail!("{} descriptions, and this suite knows one", mounts.len())
    };
    Ok(mount)
}

fn read_only(mount: &MountSpec) -> bool {
    let ro = mount.options.iter().any(|option| option == "ro");
    ro || (mount.kind == "overlay" && mount.upper.is_none())
}

/// Where a write through the mounts would end up.
fn writable(mounts: &[MountSpec]) -> Result<PathBuf> {
    let mount = root(mounts)?;
    ensure!(!read_only(mount), "{mount:?} is read-only");
    let path = match mount.kind.as_str() {
        "overlay" => mount.upper.clone().context("an overlay without upper")?,
        "bind" => mount.source.clone(),
        other => bail!("this suite cannot look into a mount of type {other:?}"),
    };
    ensure!(Path::new(&path).is_dir(), "no folder {path:?}");
    Ok(path.into())
}

/// What a read through the mounts would see.
fn read(mounts: &[MountSpec], file: &str) -> Result<Option<String>> {
    let mount = root(mounts)?;
    let layers: Vec<&String> = match mount.kind.as_str() {
        "overlay" => mount.upper.iter().chain(&mount.lower).collect(),
        "bind" => vec![&mount.source],
        other => bail!("this suite cannot look into a mount of type {other:?}"),
    };
    Ok(layers
        .iter()
        .find_map(|layer| std::fs::read_to_string(Path::new(layer).join(file)).ok()))
}

fn prepare_twice(bench: &Bench) -> Result<Verdict> {
    let (first, second) = (prepare(bench, "a", None)?, prepare(bench, "a", None)?);
    ensure!(first == second, "{first:?}, then {second:?}");
    writable(&first)?;
    kept()
}

fn prepare_refused(bench: &Bench) -> Result<Verdict> {
    let on = |key: &str, parent: &str| PrepareRequest {
        key: key.into(),
        parent: Some(parent.into()),
        ..PrepareRequest::default()
    };
    bench.refused(&on("a", "none"), &[ErrorCode::NotFound])?;
    prepare(bench, "active", None)?;
    bench
        .refused(
            &on("b", "active"),
            &[
                ErrorCode::FailedPrecondition,
                ErrorCode::InvalidArgument,
                ErrorCode::NotFound,
            ],
        )
        .context("on a parent that is not committed")?;
    layer(bench, "base", None, "file", "1")?;
    bench
        .refused(&on("active", "base"), &[ErrorCode::AlreadyExists])
        .context("the same key on another parent")?;
    kept()
}

fn bad_keys(bench: &Bench) -> Result<Verdict> {
    let neighbour = |name: &str| bench.root().with_file_name(name);
    let before = std::fs::read_dir(neighbour("."))?.count();
    let empty = PrepareRequest::default();
    bench
        .refused(&empty, &[ErrorCode::InvalidArgument])
        .context("an empty key")?;
    let long = "x".repeat(5000);
    // A driver that names no folder after a key may take any of these; nothing may appear beside its root.
    for key in [".", "..", "../outside", "/outside", "a/b", "a\0b", &long] {
        let json = gantry_abi::schema::encode(&PrepareRequest {
            key: key.into(),
            ..PrepareRequest::default()
        })?;
        let reply = bench.raw("snapshotter", "prepare", &json, Vec::new())?;
        let key: String = key.chars().take(20).collect();
        let refused = reply.outcome == Outcome::NotDone && reply.code == ErrorCode::InvalidArgument;
        ensure!(
            refused || reply.outcome == Outcome::Done,
            "{key:?}: {:?}: {:.200}",
            reply.code,
            reply.message
        );
        let after = std::fs::read_dir(neighbour("."))?.count();
        ensure!(before == after, "{key:?} left something beside the root");
        ensure!(
            !neighbour("outside").try_exists()? && !Path::new("/outside").try_exists()?,
            "{key:?} led outside"
        );
    }
    // What the host uses: ids, and digests of chains with their algorithm.
    layer(bench, "sha256:0123456789abcdef", None, "file", "1")?;
    ensure!(stat(bench, "sha256:0123456789abcdef")?.kind == Kind::Committed);
    kept()
}

fn mounts(bench: &Bench) -> Result<Verdict> {
    layer(bench, "base", None, "file", "1")?;
    let prepared = prepare(bench, "a", Some("base"))?;
    let asked = bench.done(&MountsRequest { key: "a".into() })?.mounts;
    ensure!(prepared == asked, "{prepared:?}, then {asked:?}");
    bench.refused(
        &MountsRequest { key: "none".into() },
        &[ErrorCode::NotFound],
    )?;
    bench
        .refused(
            &MountsRequest { key: "base".into() },
            &[ErrorCode::FailedPrecondition],
        )
        .context("of a committed one")?;
    kept()
}

fn commit(bench: &Bench) -> Result<Verdict> {
    prepare(bench, "a", None)?;
    committed(bench, "a", "base")?;
    ensure!(
        stat(bench, "base")?.kind == Kind::Committed,
        "base is {:?}",
        stat(bench, "base")?.kind
    );
    bench
        .refused(&StatRequest { key: "a".into() }, &[ErrorCode::NotFound])
        .context("the key is free")?;
    committed(bench, "a", "base").context("committed again")?;
    let unknown = CommitRequest {
        key: "none".into(),
        name: "other".into(),
        ..CommitRequest::default()
    };
    bench.refused(&unknown, &[ErrorCode::NotFound])?;
    prepare(bench, "b", None)?;
    let taken = CommitRequest {
        key: "b".into(),
        name: "base".into(),
        ..CommitRequest::default()
    };
    bench
        .refused(&taken, &[ErrorCode::AlreadyExists])
        .context("under a name that is taken")?;
    kept()
}

fn content(bench: &Bench) -> Result<Verdict> {
    layer(bench, "one", None, "first", "1")?;
    layer(bench, "two", Some("one"), "second", "2")?;
    let a = prepare(bench, "a", Some("two"))?;
    let b = prepare(bench, "b", Some("one"))?;
    ensure!(
        read(&a, "first")?.as_deref() == Some("1") && read(&a, "second")?.as_deref() == Some("2"),
        "{a:?}"
    );
    ensure!(
        read(&b, "first")?.as_deref() == Some("1") && read(&b, "second")?.is_none(),
        "{b:?}"
    );
    std::fs::write(writable(&a)?.join("mine"), "3")?;
    ensure!(
        read(&a, "mine")?.as_deref() == Some("3") && read(&b, "mine")?.is_none(),
        "siblings share a layer"
    );
    let later = prepare(bench, "c", Some("two"))?;
    ensure!(
        read(&later, "mine")?.is_none(),
        "an active snapshot wrote into its parent"
    );
    kept()
}

fn view(bench: &Bench) -> Result<Verdict> {
    layer(bench, "base", None, "file", "1")?;
    let request = ViewRequest {
        key: "v".into(),
        parent: Some("base".into()),
        ..ViewRequest::default()
    };
    let mounts = bench.done(&request)?.mounts;
    ensure!(read_only(root(&mounts)?), "{mounts:?} can be written");
    ensure!(
        read(&mounts, "file")?.as_deref() == Some("1"),
        "{mounts:?} does not show the layer"
    );
    ensure!(
        stat(bench, "v")?.kind == Kind::View,
        "{:?}",
        stat(bench, "v")?.kind
    );
    bench.done(&RemoveRequest { key: "v".into() })?;
    kept()
}

fn remove(bench: &Bench) -> Result<Verdict> {
    layer(bench, "base", None, "file", "1")?;
    prepare(bench, "a", Some("base"))?;
    let remove = |key: &str| RemoveRequest { key: key.into() };
    bench.refused(&remove("base"), &[ErrorCode::InUse])?;
    bench.done(&remove("a"))?;
    bench.done(&remove("a")).context("removed again")?;
    bench.done(&remove("base"))?;
    bench.refused(&StatRequest { key: "base".into() }, &[ErrorCode::NotFound])?;
    let left = bench.done(&ListRequest {})?.snapshots;
    ensure!(left.is_empty(), "{left:?} are left");
    kept()
}

fn stat_and_list(bench: &Bench) -> Result<Verdict> {
    layer(bench, "base", None, "file", "1")?;
    prepare(bench, "a", Some("base"))?;
    let mut listed = bench.done(&ListRequest {})?.snapshots;
    listed.sort_by(|one, other| one.key.cmp(&other.key));
    ensure!(listed.len() == 2, "{listed:?}");
    for info in &listed {
        ensure!(
            *info == stat(bench, &info.key)?,
            "{info:?} in the list, {:?} alone",
            stat(bench, &info.key)?
        );
    }
    ensure!(
        listed[0].kind == Kind::Active && listed[0].parent.as_deref() == Some("base"),
        "{:?}",
        listed[0]
    );
    ensure!(
        listed[1].kind == Kind::Committed && listed[1].parent.is_none(),
        "{:?}",
        listed[1]
    );
    kept()
}

fn usage(bench: &Bench) -> Result<Verdict> {
    layer(bench, "base", None, "file", &"x".repeat(100_000))?;
    prepare(bench, "a", Some("base"))?;
    let used = |key: &str| bench.done(&UsageRequest { key: key.into() });
    ensure!(
        used("base")?.bytes >= 100_000,
        "the layer takes {} bytes",
        used("base")?.bytes
    );
    used("a")?;
    bench.refused(&UsageRequest { key: "none".into() }, &[ErrorCode::NotFound])?;
    kept()
}

fn cleanup(bench: &Bench) -> Result<Verdict> {
    layer(bench, "base", None, "file", "1")?;
    prepare(bench, "a", Some("base"))?;
    prepare(bench, "gone", Some("base"))?;
    bench.done(&RemoveRequest { key: "gone".into() })?;
    bench.done(&CleanupRequest {})?;
    let mounts = bench.done(&MountsRequest { key: "a".into() })?.mounts;
    ensure!(
        read(&mounts, "file")?.as_deref() == Some("1"),
        "{mounts:?} lost its layer"
    );
    kept()
}

fn restart(bench: &Bench) -> Result<Verdict> {
    layer(bench, "base", None, "file", "1")?;
    let before = prepare(bench, "a", Some("base"))?;
    std::fs::write(writable(&before)?.join("mine"), "2")?;
    bench.reopen()?;
    let after = bench.done(&MountsRequest { key: "a".into() })?.mounts;
    ensure!(before == after, "{before:?}, then {after:?}");
    ensure!(
        read(&after, "mine")?.as_deref() == Some("2"),
        "the writable layer is empty"
    );
    ensure!(stat(bench, "base")?.kind == Kind::Committed);
    kept()
}
