//! Rules of volumes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gantry_abi::ErrorCode;
use gantry_abi::schema::volume::*;
use gantry_abi::schema::{Labels, State};

use crate::bench::kept;
use crate::{Bench, Case, Verdict, suite};

pub(crate) fn cases() -> Vec<Case> {
    suite! {
        "create is idempotent" => create_twice,
        "an option it does not know is refused" => unknown_option,
        "a name cannot lead out of the root" => bad_names,
        "mount describes and mounts nothing" => mount,
        "mount of what is not there is NotFound" => mount_missing,
        "a read-only mount is read-only" => mount_read_only,
        "several containers use one volume" => two_targets,
        "unmount of what is not mounted is done" => unmount_unknown,
        "remove is idempotent and final" => remove,
        "list knows what is there and nothing else" => list,
        "a restart keeps volumes and their data" => restart,
        "many threads make volumes at once" => parallel,
    }
}

fn create(bench: &Bench, name: &str) -> Result<CreateAnswer> {
    bench.done(&CreateRequest {
        name: name.into(),
        ..CreateRequest::default()
    })
}

fn mounted(bench: &Bench, name: &str, state: &State, target: &str) -> Result<MountAnswer> {
    bench.done(&MountRequest {
        name: name.into(),
        state: state.clone(),
        target: target.into(),
        read_only: false,
    })
}

fn create_twice(bench: &Bench) -> Result<Verdict> {
    let (first, second) = (create(bench, "vol")?, create(bench, "vol")?);
    ensure!(
        first.mountpoint == second.mountpoint,
        "{:?}, then {:?}",
        first.mountpoint,
        second.mountpoint
    );
    ensure!(
        first.state == second.state,
        "{:?}, then {:?}",
        first.state,
        second.state
    );
    if let Some(mountpoint) = first.mountpoint {
        ensure!(Path::new(&mountpoint).is_dir(), "no folder {mountpoint}");
    }
    kept()
}

fn unknown_option(bench: &Bench) -> Result<Verdict> {
    let options = Labels::from([("made-up-by-the-suite".into(), "1".into())]);
    let request = CreateRequest {
        name: "vol".into(),
        options,
        labels: Labels::new(),
    };
    bench.refused(&request, &[ErrorCode::InvalidArgument])?;
    bench.refused(
        &InspectRequest {
            name: "vol".into(),
            state: None,
        },
        &[ErrorCode::NotFound],
    )?;
    kept()
}

fn bad_names(bench: &Bench) -> Result<Verdict> {
    let long = "x".repeat(5000);
    for name in ["", ".", "..", "../x", "a/b", "/etc", "a\0b", &long] {
        let request = CreateRequest {
            name: name.into(),
            ..CreateRequest::default()
        };
        bench
            .refused(&request, &[ErrorCode::InvalidArgument])
            .with_context(|| format!("create {}", cut(name)))?;
        let request = RemoveRequest {
            name: name.into(),
            state: None,
        };
        // There is no volume of such a name, so that its removal may also be done already.
        if bench.done(&request).is_err() {
            bench
                .refused(&request, &[ErrorCode::InvalidArgument])
                .with_context(|| format!("remove {}", cut(name)))?;
        }
    }
    kept()
}

/// A name as a message can bear it.
fn cut(name: &str) -> String {
    format!("{:?}", name.chars().take(20).collect::<String>())
}

fn mount(bench: &Bench) -> Result<Verdict> {
    let before = std::fs::read_to_string("/proc/self/mountinfo")?
        .matches(&*bench.root().to_string_lossy())
        .count();
    let state = create(bench, "vol")?.state;
    let mount = mounted(bench, "vol", &state, "c1")?.mount;
    ensure!(!mount.kind.is_empty(), "a description without a type");
    if mount.kind == "bind" {
        ensure!(
            Path::new(&mount.source).is_absolute(),
            "source {:?} is not absolute",
            mount.source
        );
        ensure!(
            Path::new(&mount.source).is_dir(),
            "no folder {:?}",
            mount.source
        );
    }
    let after = std::fs::read_to_string("/proc/self/mountinfo")?
        .matches(&*bench.root().to_string_lossy())
        .count();
    ensure!(before == after, "the plugin mounted something itself");
    kept()
}

fn mount_missing(bench: &Bench) -> Result<Verdict> {
    let request = MountRequest {
        name: "none".into(),
        target: "c1".into(),
        ..MountRequest::default()
    };
    bench.refused(&request, &[ErrorCode::NotFound])?;
    kept()
}

fn mount_read_only(bench: &Bench) -> Result<Verdict> {
    let state = create(bench, "vol")?.state;
    let request = MountRequest {
        name: "vol".into(),
        state,
        target: "c1".into(),
        read_only: true,
    };
    let mount = bench.done(&request)?.mount;
    ensure!(
        mount.options.iter().any(|option| option == "ro"),
        "options {:?} lack ro",
        mount.options
    );
    kept()
}

fn two_targets(bench: &Bench) -> Result<Verdict> {
    let state = create(bench, "vol")?.state;
    let first = mounted(bench, "vol", &state, "c1")?.mount;
    let second = mounted(bench, "vol", &state, "c2")?.mount;
    ensure!(first == second, "{first:?}, then {second:?}");
    let again = mounted(bench, "vol", &state, "c1")?.mount;
    ensure!(
        first == again,
        "mounted again for the same container: {again:?}"
    );
    bench.done(&UnmountRequest {
        name: "vol".into(),
        state: state.clone(),
        target: "c1".into(),
    })?;
    bench.done(&UnmountRequest {
        name: "vol".into(),
        state,
        target: "c2".into(),
    })?;
    kept()
}

fn unmount_unknown(bench: &Bench) -> Result<Verdict> {
    let state = create(bench, "vol")?.state;
    bench.done(&UnmountRequest {
        name: "vol".into(),
        state,
        target: "never".into(),
    })?;
    kept()
}

fn remove(bench: &Bench) -> Result<Verdict> {
    create(bench, "vol")?;
    let request = RemoveRequest {
        name: "vol".into(),
        state: None,
    };
    bench.done(&request)?;
    bench.done(&request).context("removed again")?;
    bench.refused(
        &InspectRequest {
            name: "vol".into(),
            state: None,
        },
        &[ErrorCode::NotFound],
    )?;
    kept()
}

fn names(bench: &Bench) -> Result<Vec<String>> {
    let mut names: Vec<String> = bench
        .done(&ListRequest {})?
        .volumes
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    names.sort();
    Ok(names)
}

fn list(bench: &Bench) -> Result<Verdict> {
    ensure!(
        names(bench)?.is_empty(),
        "an empty root lists {:?}",
        names(bench)?
    );
    create(bench, "one")?;
    create(bench, "two")?;
    ensure!(names(bench)? == ["one", "two"], "{:?}", names(bench)?);
    bench.done(&RemoveRequest {
        name: "one".into(),
        state: None,
    })?;
    ensure!(names(bench)? == ["two"], "{:?}", names(bench)?);
    kept()
}

fn restart(bench: &Bench) -> Result<Verdict> {
    let made = create(bench, "vol")?;
    if let Some(mountpoint) = &made.mountpoint {
        std::fs::write(Path::new(mountpoint).join("file"), "data")?;
    }
    bench.reopen()?;
    ensure!(names(bench)? == ["vol"], "{:?}", names(bench)?);
    let mount = mounted(bench, "vol", &made.state, "c1")?.mount;
    if mount.kind == "bind" && made.mountpoint.is_some() {
        ensure!(
            std::fs::read(Path::new(&mount.source).join("file"))? == b"data",
            "the data is gone"
        );
    }
    kept()
}

fn parallel(bench: &Bench) -> Result<Verdict> {
    let driver = bench.driver()?;
    let one = |index: usize| -> Result<()> {
        for round in 0..8 {
            let name = format!("v{index}-{round}");
            let json = gantry_abi::schema::encode(&CreateRequest {
                name,
                ..CreateRequest::default()
            })?;
            let call = gantry_plugin_loader::Invocation {
                operation: "parallel",
                json: &json,
                ..Default::default()
            };
            let reply = driver.call("volume", "create", call);
            ensure!(
                reply.outcome == gantry_abi::Outcome::Done,
                "{}",
                reply.message
            );
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|index| scope.spawn(move || one(index)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("panic")))
    })?;
    drop(driver);
    ensure!(
        names(bench)?.len() == 64,
        "{} volumes of 64",
        names(bench)?.len()
    );
    kept()
}
