//! Giving up the host's power: capabilities clamped to what is held, limits clamped to what is allowed.

use super::identity::Identity;
use crate::error::{LaunchError, Result};
use gantry_sys::caps::{self, Caps, Set};
use gantry_sys::{Errno, Error, process};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use oci_spec::runtime::{Capabilities, PosixRlimitType, Process};

/// The sets a process ends up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Final {
    pub(super) bounding: Set,
    pub(super) caps: Caps,
    pub(super) ambient: Set,
}

/// From the configuration and what this process holds. Inheritable is only ever what ambient needs: a non-empty
/// inheritable set would let a file's inheritable bits give capabilities back.
///
/// What this process does not hold itself it cannot give: that is told and no failure (config, "capabilities").
pub(super) fn plan(process: &Process, held: Caps, bounding: Set) -> Result<(Final, Vec<String>)> {
    let Some(wanted) = process.capabilities() else {
        return Ok((Final::default(), Vec::new()));
    };
    let set = |list: &Option<Capabilities>| -> Result<Set> {
        let names: Vec<String> = list.iter().flatten().map(ToString::to_string).collect();
        caps::parse(names.iter().map(String::as_str)).map_err(|e| LaunchError::spec(e.to_string()))
    };
    let mut missing = Missing::default();
    let bounding = missing.clamp(set(wanted.bounding())?, bounding);
    let permitted = missing.clamp(set(wanted.permitted())?, held.permitted);
    let effective = missing.clamp(set(wanted.effective())?, permitted);
    // The kernel has no ambient capability that is not inheritable too: who wants one has to say both.
    let inheritable = set(wanted.inheritable())? & permitted & bounding;
    let mut lonely = Missing::default();
    let ambient = lonely.clamp(set(wanted.ambient())?, inheritable);
    let made = Final {
        bounding,
        caps: Caps {
            effective,
            permitted,
            inheritable: ambient,
        },
        ambient,
    };
    let mut warnings = missing.words("cannot be granted");
    lonely.0 &= !missing.0;
    warnings.extend(lonely.words("cannot be ambient: it is not inheritable"));
    Ok((made, warnings))
}

/// Capabilities asked for and not to be had.
#[derive(Default)]
struct Missing(Set);

impl Missing {
    fn clamp(&mut self, wanted: Set, held: Set) -> Set {
        self.0 |= wanted & !held;
        wanted & held
    }

    fn words(&self, why: &str) -> Vec<String> {
        let names = (0_u32..)
            .zip(caps::NAMES)
            .filter(|(n, _)| self.0 & 1 << n != 0);
        names
            .map(|(_, name)| format!("capability CAP_{name} {why}"))
            .collect()
    }
}

/// Becomes the user, keeping permitted capabilities for the filter; what is in force meanwhile is the final set.
pub(super) fn become_user(identity: &Identity, sets: &Final) -> Result<()> {
    caps::limit_bounding(sets.bounding)?;
    process::set_keep_caps()?;
    let groups: Vec<Gid> = identity.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    setgroups(&groups).map_err(|e| Error::new("set groups", e))?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    setresgid(gid, gid, gid).map_err(|e| Error::new(format!("set gid {gid}"), e))?;
    setresuid(uid, uid, uid).map_err(|e| Error::new(format!("set uid {uid}"), e))?;
    let held = caps::get()?;
    caps::set(Caps {
        effective: sets.caps.effective,
        permitted: held.permitted,
        inheritable: 0,
    })?;
    Ok(())
}

/// Puts all that is still permitted in force, to load a filter without no_new_privs.
pub(super) fn raise() -> Result<()> {
    let held = caps::get()?;
    Ok(caps::set(Caps {
        effective: held.permitted,
        ..held
    })?)
}

/// The last step: nothing beyond the final sets is left.
pub(super) fn settle(sets: &Final) -> Result<()> {
    caps::set(sets.caps)?;
    Ok(caps::set_ambient(sets.ambient)?)
}

/// Applies resource limits. What the host does not let us raise is clamped to the most it allows.
/// Answers what was clamped.
pub(super) fn limit_resources(process: &Process) -> Result<Vec<String>> {
    let mut clamped = Vec::new();
    for limit in process.rlimits().iter().flatten() {
        let what = resource(limit.typ());
        let (soft, hard) = (limit.soft().min(limit.hard()), limit.hard());
        match setrlimit(what, soft, hard) {
            Err(Errno::EPERM) => {
                let (_, most) =
                    getrlimit(what).map_err(|e| Error::new("read resource limit", e))?;
                let hard = hard.min(most);
                clamped.push(format!("{} is cut to {hard}", limit.typ()));
                setrlimit(what, soft.min(hard), hard)
                    .map_err(|e| Error::new(format!("set {}", limit.typ()), e))?;
            }
            other => other.map_err(|e| Error::new(format!("set {}", limit.typ()), e))?,
        }
    }
    Ok(clamped)
}

pub(crate) fn resource(kind: PosixRlimitType) -> Resource {
    match kind {
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => Resource::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => Resource::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => Resource::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => Resource::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => Resource::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => Resource::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => Resource::RLIMIT_RTTIME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_clamped_and_inheritable_stays_empty() {
        let json = r#"{"cwd":"/","user":{"uid":0,"gid":0},"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],
            "permitted":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_CHOWN"],"inheritable":["CAP_CHOWN"]}}"#;
        let process: Process = serde_json::from_str(json).unwrap();
        let held = Caps {
            effective: 1,
            permitted: 1,
            inheritable: 0,
        };
        let (f, warnings) = plan(&process, held, 1).unwrap();
        assert_eq!(warnings, ["capability CAP_SYS_RESOURCE cannot be granted"]);
        assert_eq!(
            f,
            Final {
                bounding: 1,
                caps: Caps {
                    effective: 1,
                    permitted: 1,
                    inheritable: 0
                },
                ambient: 0
            }
        );
    }

    #[test]
    fn ambient_ones_must_be_inheritable_and_no_others_are() {
        let of = |inheritable: &str| {
            let json = format!(
                r#"{{"cwd":"/","user":{{"uid":0,"gid":0}},"capabilities":{{"bounding":["CAP_CHOWN","CAP_FOWNER"],
                "permitted":["CAP_CHOWN","CAP_FOWNER"],"ambient":["CAP_CHOWN"],"inheritable":[{inheritable}]}}}}"#
            );
            let held = Caps {
                permitted: 15,
                ..Caps::default()
            };
            let (f, w) = plan(&serde_json::from_str(&json).unwrap(), held, 15).unwrap();
            (f.ambient, f.caps.inheritable, w.len())
        };
        assert_eq!(of(r#""CAP_CHOWN","CAP_FOWNER""#), (1, 1, 0));
        assert_eq!(of(""), (0, 0, 1));
    }

    #[test]
    fn no_capabilities_property_means_none() {
        let process: Process =
            serde_json::from_str(r#"{"cwd":"/","user":{"uid":0,"gid":0}}"#).unwrap();
        assert_eq!(
            plan(
                &process,
                Caps {
                    permitted: 7,
                    ..Caps::default()
                },
                7
            )
            .unwrap()
            .0,
            Final::default()
        );
    }
}
