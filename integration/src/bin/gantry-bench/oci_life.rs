//! The whole life of one OCI bundle (`run` of `busybox true`): our runtime, crun and runc, taking turns.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use gantry_integration::paths;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::table::{Report, Times};

/// Measures and reports.
pub(crate) fn measure(report: &mut Report, rounds: usize) -> Result<()> {
    let dir = tempfile::Builder::new().prefix("go").tempdir()?;
    let bundle = bundle(dir.path())?;
    let mut contestants = vec![(
        "Gantry",
        vec![
            paths::program("gantry-shim")?.display().to_string(),
            "oci".to_owned(),
        ],
    )];
    for peer in ["crun", "runc"] {
        contestants.push((peer, vec![peer.to_owned()]));
    }
    // A thread with a mount namespace of its own, without cgroup2: Debian's crun refuses the hybrid layout otherwise.
    // All three run in it, so that it favours nobody.
    let times = std::thread::spawn(move || -> Result<(Times, Vec<String>)> {
        hide_cgroup2()?;
        turns(&contestants, &bundle, rounds)
    })
    .join()
    .map_err(|_| anyhow::anyhow!("the measuring thread panicked"))??;
    for note in times.1 {
        report.note(note);
    }
    report.times("life of one OCI bundle, `busybox true`", &times.0);
    Ok(())
}

fn turns(
    contestants: &[(&str, Vec<String>)],
    bundle: &Path,
    rounds: usize,
) -> Result<(Times, Vec<String>)> {
    let (mut times, mut notes) = (Times::default(), Vec::new());
    let mut able = Vec::new();
    for contestant in contestants {
        times.enter(contestant.0);
        match once(&contestant.1, bundle, "try") {
            Ok(_) => able.push(contestant),
            Err(error) => notes.push(format!("{} cannot run the bundle: {error:#}", contestant.0)),
        }
    }
    for round in 0..rounds {
        for (name, command) in &able {
            times.add(name, once(command, bundle, &format!("bench{round}"))?);
        }
    }
    Ok((times, notes))
}

fn once(command: &[String], bundle: &Path, id: &str) -> Result<std::time::Duration> {
    let mut run = Command::new(&command[0]);
    run.args(&command[1..])
        .args(["run", "--bundle"])
        .arg(bundle)
        .arg(format!("{id}-{}", std::process::id()));
    run.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(bundle.join("stderr"))?);
    let begun = Instant::now();
    let status = run
        .status()
        .with_context(|| format!("run {}", command[0]))?;
    let time = begun.elapsed();
    if !status.success() {
        bail!(
            "{status}: {}",
            std::fs::read_to_string(bundle.join("stderr"))
                .unwrap_or_default()
                .trim()
        );
    }
    Ok(time)
}

fn hide_cgroup2() -> Result<()> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .context("make mounts private")?;
    // Not there on a pure v1 or v2 host: nothing to hide.
    let _ = umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH);
    Ok(())
}

/// `runc spec` writes the config all three can read; the root is unpacked busybox.
fn bundle(dir: &Path) -> Result<PathBuf> {
    let script = r#"set -e
        "$1" "$2/image.tar" >/dev/null
        mkdir -p "$2/bundle/rootfs"
        tar -xOf "$2/image.tar" layer/layer.tar | tar -xf - -C "$2/bundle/rootfs"
        cd "$2/bundle"
        runc spec"#;
    let tool = paths::tree().join("hack/busybox-image");
    let out = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(tool)
        .arg(dir)
        .output()?;
    if !out.status.success() {
        bail!("make the bundle: {}", String::from_utf8_lossy(&out.stderr));
    }
    let file = dir.join("bundle/config.json");
    let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!(["true"]);
    std::fs::write(&file, config.to_string())?;
    Ok(dir.join("bundle"))
}
