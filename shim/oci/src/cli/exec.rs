//! `exec`: one more process in a container.

use super::args::Args;
use super::launch::{advance, read_spec, stdio, until_ready, write_pid};
use super::log::Log;
use super::state::Store;
use super::{Outcome, terminal};
use crate::error::{FailureKind, LaunchError, Result};
use crate::launch::ExecLaunch;
use gantry_sys::process;
use oci_spec::runtime::{Capabilities, Process, Spec};
use std::os::fd::AsFd;

pub(super) fn exec(store: &Store, args: &Args, command: &[String], log: &Log) -> Outcome {
    let loaded = store.load()?;
    let pidfd = loaded.state.open()?;
    let (spec, _) = read_spec(&store.config())?;
    let group = loaded.state.entered_group(&spec)?;
    if args.has("cgroup") {
        return Err(LaunchError::unsupported("--cgroup is not supported"));
    }
    if loaded.report().status == "paused" && !args.has("ignore-paused") {
        return Err(LaunchError::new(
            FailureKind::System,
            format!("container {:?} is paused", store.id),
        ));
    }
    let process = described(&spec, args, command)?;
    let tty = process.terminal() == Some(true);
    let socket = args.path("console-socket");
    if tty && args.has("detach") != socket.is_some() {
        return Err(LaunchError::spec(
            "a terminal wants --console-socket with --detach, and only then",
        ));
    }
    let signals = (!args.has("detach"))
        .then(terminal::Signals::block)
        .transpose()?;
    let linux = spec.linux().as_ref();
    let mut pending = crate::exec(&ExecLaunch {
        process: &process,
        target: pidfd.as_fd(),
        seccomp: linux.and_then(|l| l.seccomp().as_ref()),
        stdio: stdio(Some(&process)),
        group: Some(&group),
    })?;
    let mut run = || -> Result<_> {
        let ready = until_ready(&mut pending, log)?;
        write_pid(args, pending.pid)?;
        if let (Some(path), Some(console)) = (&socket, &ready.console) {
            terminal::hand_over(path, console)?;
        }
        pending.go()?;
        advance(&mut pending)?;
        Ok(ready.console)
    };
    let console = run().inspect_err(|_| {
        let _ = process::pidfd_send_signal(&pending.pidfd, libc::SIGKILL);
        let _ = process::wait(&pending.pidfd);
    })?;
    let Some(signals) = signals else {
        return Ok(0);
    };
    terminal::attend(&pending.pidfd, console, &signals)?;
    Ok(process::wait(&pending.pidfd)?.code())
}

/// The process: a file's, or the container's own with what the flags say.
fn described(spec: &Spec, args: &Args, command: &[String]) -> Result<Process> {
    let mut process = if let Some(path) = args.get("process") {
        let bad = |e: &dyn std::fmt::Display| LaunchError::spec(format!("{path}: {e}"));
        let text = std::fs::read(path).map_err(|e| bad(&e))?;
        let mut process: Process = serde_json::from_slice(&text).map_err(|e| bad(&e))?;
        process.user_mut().set_username(None);
        process
    } else {
        let own = spec.process().clone();
        let mut own = own.ok_or_else(|| LaunchError::spec("the container has no process"))?;
        own.set_args(Some(command.to_vec()))
            .set_terminal(Some(false));
        own
    };
    if args.has("tty") {
        process.set_terminal(Some(true));
    }
    if let Some(cwd) = args.path("cwd") {
        process.set_cwd(cwd);
    }
    let mut env = process.env().clone().unwrap_or_default();
    env.extend(args.all("env").map(str::to_owned));
    process.set_env(Some(env));
    if let Some(user) = args.get("user") {
        set_user(&mut process, user)?;
    }
    let groups: Vec<u32> = args
        .all("additional-gids")
        .map(number)
        .collect::<Result<_>>()?;
    if !groups.is_empty() {
        let mut all = process.user().additional_gids().clone().unwrap_or_default();
        all.extend(groups);
        process.user_mut().set_additional_gids(Some(all));
    }
    if args.has("no-new-privs") {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(profile) = args.get("apparmor") {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if let Some(label) = args.get("process-label") {
        process.set_selinux_label(Some(label.to_owned()));
    }
    add_capabilities(&mut process, args)?;
    Ok(process)
}

/// Digits only: a name, or a number that wraps, is nobody.
fn number(text: &str) -> Result<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text
        .parse::<u32>()
        .ok()
        .filter(|n| digits && *n <= i32::MAX.cast_unsigned());
    number.ok_or_else(|| {
        LaunchError::new(
            FailureKind::User,
            format!("user or group {text:?} is no number it can be"),
        )
    })
}

fn set_user(process: &mut Process, text: &str) -> Result<()> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (number(uid)?, Some(number(gid)?)),
        None => (number(text)?, None),
    };
    let user = process.user_mut();
    user.set_uid(uid);
    if let Some(gid) = gid {
        user.set_gid(gid);
    }
    Ok(())
}

fn add_capabilities(process: &mut Process, args: &Args) -> Result<()> {
    let mut more = Capabilities::new();
    for name in args.all("cap") {
        let known: oci_spec::runtime::Capability =
            serde_json::from_value(serde_json::Value::String(name.to_owned()))
                .map_err(|_| LaunchError::spec(format!("capability {name:?}")))?;
        more.insert(known);
    }
    if more.is_empty() {
        return Ok(());
    }
    let mut caps = process.capabilities().clone().unwrap_or_default();
    let join = |set: &Option<Capabilities>| -> Option<Capabilities> {
        Some(set.iter().flatten().chain(&more).copied().collect())
    };
    let (b, p, e) = (
        join(caps.bounding()),
        join(caps.permitted()),
        join(caps.effective()),
    );
    caps.set_bounding(b).set_permitted(p).set_effective(e);
    process.set_capabilities(Some(caps));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_and_nothing_else() {
        let mut p = Process::default();
        set_user(&mut p, "1:2").unwrap();
        assert_eq!((p.user().uid(), p.user().gid()), (1, 2));
        set_user(&mut p, "01").unwrap();
        assert_eq!((p.user().uid(), p.user().gid()), (1, 2));
        for bad in [
            "",
            ":",
            "1:",
            ":1",
            "+1",
            "-1",
            "root",
            "0x0",
            "4294967296",
            "2147483648",
            "1:2:3",
        ] {
            assert!(set_user(&mut p, bad).is_err(), "{bad:?}");
        }
    }
}
