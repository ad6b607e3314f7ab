//! Who answers for calls a filter wants answered (`SCMP_ACT_NOTIFY`): a socket of the host, connected to while its path
//! can be seen, which gets the filter's listener right after the filter is loaded.

use crate::error::{FailureKind, Kind, LaunchError, Result};
use crate::hooks::{State, VERSION};
use gantry_sys::fdpass;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};
use serde::Serialize;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A connected agent.
pub(super) struct Listener {
    socket: OwnedFd,
    metadata: String,
}

/// The container process state of the runtime specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'static str,
    fds: [&'static str; 1],
    pid: i32,
    metadata: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

/// Whether a profile asks anybody.
pub(super) fn asks(profile: &LinuxSeccomp) -> bool {
    let notify = LinuxSeccompAction::ScmpActNotify;
    let mut rules = profile.syscalls().iter().flatten();
    profile.default_action() == notify || rules.any(|r| r.action() == notify)
}

/// What a profile with such rules needs, and may not ask about.
pub(super) fn check(profile: &LinuxSeccomp) -> Result<()> {
    let notify = LinuxSeccompAction::ScmpActNotify;
    let path = profile.listener_path().as_ref();
    if !asks(profile) {
        return match profile.listener_metadata() {
            Some(text) if path.is_none() && !text.is_empty() => Err(LaunchError::spec(
                "seccomp.listenerMetadata without listenerPath",
            )),
            _ => Ok(()),
        };
    }
    if path.is_none_or(|p| !p.is_absolute()) {
        return Err(LaunchError::spec(
            "seccomp action SCMP_ACT_NOTIFY needs an absolute listenerPath",
        ));
    }
    let mut rules = profile.syscalls().iter().flatten();
    let own = |name: &String| name == "sendmsg";
    // The listener is handed over by this very call: nobody could answer.
    if profile.default_action() == notify
        || rules.any(|r| r.action() == notify && r.names().iter().any(own))
    {
        return Err(LaunchError::spec(
            "seccomp action SCMP_ACT_NOTIFY is not possible by default or for sendmsg",
        ));
    }
    Ok(())
}

impl Listener {
    /// Connects, for a profile that asks.
    pub(super) fn connect(profile: &LinuxSeccomp) -> Result<Option<Self>> {
        let Some(path) = profile.listener_path().as_ref().filter(|_| asks(profile)) else {
            return Ok(None);
        };
        let failed = |e| LaunchError {
            kind: FailureKind::Seccomp,
            message: format!("connect to seccomp agent {}: {}", path.display(), e),
            errno: e as i32,
        };
        let made = socket(
            AddressFamily::Unix,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        );
        let socket = made.map_err(failed)?;
        let address = UnixAddr::new(path).map_err(failed)?;
        connect(socket.as_raw_fd(), &address).map_err(failed)?;
        Ok(Some(Self {
            socket,
            metadata: profile.listener_metadata().clone().unwrap_or_default(),
        }))
    }

    /// The message, made while any call may be made.
    pub(super) fn message(&self, state: Option<State>, pid: i32) -> Vec<u8> {
        let state = ProcessState {
            oci_version: VERSION,
            fds: ["seccompFd"],
            pid,
            metadata: &self.metadata,
            state,
        };
        serde_json::to_vec(&state).unwrap_or_default()
    }

    /// Hands the listener over: one call of sendmsg, under the filter.
    pub(super) fn hand_over(&self, message: &[u8], listener: &OwnedFd) -> Result<()> {
        fdpass::send(&self.socket, message, &[listener.as_fd()])
            .map(|_| ())
            .map_err(|e| e.within("hand over seccomp listener"))
            .kind(FailureKind::Seccomp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(json: &str) -> LinuxSeccomp {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn notify_needs_a_path_and_leaves_sendmsg_alone() {
        let rule = |name: &str, path: &str| {
            profile(&format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW"{path},"syscalls":[{{"names":["{name}"],"action":"SCMP_ACT_NOTIFY"}}]}}"#
            ))
        };
        let path = r#","listenerPath":"/run/agent""#;
        assert!(check(&rule("mkdir", path)).is_ok());
        assert!(check(&rule("mkdir", "")).is_err());
        assert!(check(&rule("mkdir", r#","listenerPath":"agent""#)).is_err());
        assert!(check(&rule("sendmsg", path)).is_err());
        assert!(
            check(&profile(
                r#"{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/a"}"#
            ))
            .is_err()
        );
        assert!(check(&profile(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#)).is_ok());
    }
}
