//! What the built-in runtime does by itself and another OCI runtime wants done for it: the root file system as a mount,
//! users by name, limits no higher than the host lets us set them.

use crate::child::{credentials, identity, rootfs};
use crate::error::{FailureKind, LaunchError};
use crate::launch::{MountDesc, Rootfs};
use nix::sys::resource::getrlimit;
use oci_spec::runtime::{PosixRlimitBuilder, Process};
use std::os::fd::OwnedFd;

/// Makes a root file system from its description, detached.
///
/// # Errors
/// The kernel's, or a description that makes no sense.
pub fn root(mounts: &[MountDesc]) -> Result<OwnedFd, LaunchError> {
    rootfs::make(Rootfs::Mounts(mounts))
}

/// Puts numbers in the place of `user.username` (see [`crate::Launch::spec`]), looked up beneath `root`, and says where
/// the user's home is: other runtimes do neither.
///
/// # Errors
/// `User`: a name that is not there, a number out of range.
pub fn resolve_user(root: &OwnedFd, process: &mut Process) -> Result<(), LaunchError> {
    let who = identity::resolve(root, process.user())?;
    let mut user = process.user().clone();
    user.set_uid(who.uid)
        .set_gid(who.gid)
        .set_additional_gids(Some(who.groups).filter(|g| !g.is_empty()))
        .set_username(None);
    process.set_user(user);
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|e| e.starts_with("HOME=")) {
        let home = who
            .home
            .filter(|h| h.starts_with('/') && !h.contains(['\n', '\r', '\0']));
        env.push(format!("HOME={}", home.unwrap_or_else(|| "/".into())));
        process.set_env(Some(env));
    }
    Ok(())
}

/// Takes back what this process could not set either: the runtime would fail where the built-in one sets the most that
/// is allowed. Resource limits are cut to ours, and the OOM score is not below ours.
///
/// # Errors
/// The kernel's.
pub fn clamp(process: &mut Process, may_raise: bool) -> Result<(), LaunchError> {
    if may_raise {
        return Ok(());
    }
    let mut limits = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let (_, most) = getrlimit(credentials::resource(limit.typ()))
            .map_err(|e| gantry_sys::Error::new("read resource limit", e))?;
        let hard = limit.hard().min(most);
        let cut = PosixRlimitBuilder::default()
            .typ(limit.typ())
            .hard(hard)
            .soft(limit.soft().min(hard));
        limits.push(cut.build().map_err(|e| LaunchError::spec(e.to_string()))?);
    }
    process.set_rlimits(Some(limits).filter(|l| !l.is_empty()));
    if let Some(wanted) = process.oom_score_adj() {
        let least = std::fs::read_to_string("/proc/self/oom_score_adj")
            .ok()
            .and_then(|t| t.trim().parse::<i32>().ok())
            .ok_or_else(|| LaunchError::new(FailureKind::System, "read our own OOM score"))?;
        process.set_oom_score_adj(Some(wanted.max(least)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(json: &str) -> Process {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_user_by_name_becomes_numbers_with_a_home() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "web:x:82:83::/srv:/bin/sh\n").unwrap();
        std::fs::write(dir.path().join("etc/group"), "log:x:7:web\n").unwrap();
        let root: OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let mut p = process(r#"{"cwd":"/","user":{"uid":0,"gid":0,"username":"web"}}"#);
        resolve_user(&root, &mut p).unwrap();
        let user = p.user();
        assert_eq!((user.uid(), user.gid()), (82, 83));
        assert_eq!(user.additional_gids().as_deref(), Some(&[83, 7][..]));
        assert_eq!(*user.username(), None);
        assert_eq!(p.env().as_deref(), Some(&["HOME=/srv".to_owned()][..]));
        let mut p = process(r#"{"cwd":"/","user":{"uid":0,"gid":0,"username":"nobody"}}"#);
        assert_eq!(
            resolve_user(&root, &mut p).unwrap_err().kind,
            FailureKind::User
        );
    }

    #[test]
    fn limits_end_where_ours_do() {
        let (_, most) = getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        let mut p = process(
            r#"{"cwd":"/","user":{"uid":0,"gid":0},"oomScoreAdj":-1000,
            "rlimits":[{"type":"RLIMIT_NOFILE","soft":18446744073709551615,"hard":18446744073709551615}]}"#,
        );
        let mut same = p.clone();
        clamp(&mut p, false).unwrap();
        assert_eq!(p.rlimits().as_ref().unwrap()[0].hard(), most);
        assert_eq!(p.rlimits().as_ref().unwrap()[0].soft(), most);
        assert!(p.oom_score_adj().unwrap() >= -1000);
        clamp(&mut same, true).unwrap();
        assert_eq!(same.rlimits().as_ref().unwrap()[0].hard(), u64::MAX);
    }
}
