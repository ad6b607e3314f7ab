//! Which user namespace a container gets: one of its own with the maps of the configuration, or one that is there.

use crate::create::{namespace_path, open_namespace};
use crate::error::{LaunchError, Result};
use crate::launch::Launch;
use gantry_sys::users::{self, Range};
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The user namespace of a launch.
pub(crate) enum Users<'a> {
    /// Made with these maps.
    Own(Maps),
    /// Entered.
    Joined(BorrowedFd<'a>),
    /// Entered; opened by its path.
    Path(OwnedFd),
}

/// Ids of users and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) users: Vec<Range>,
    pub(crate) groups: Vec<Range>,
}

impl Maps {
    /// From two lists of a configuration.
    pub(crate) fn new(
        users: Option<&Vec<LinuxIdMapping>>,
        groups: Option<&Vec<LinuxIdMapping>>,
    ) -> Result<Self> {
        let one = |kind: &str, list: Option<&Vec<LinuxIdMapping>>| -> Result<Vec<Range>> {
            let list: Vec<Range> = list.into_iter().flatten().map(range).collect();
            match users::fault(&list) {
                None => Ok(list),
                Some(why) => Err(LaunchError::spec(format!("{kind} mappings: {why}"))),
            }
        };
        Ok(Self {
            users: one("uid", users)?,
            groups: one("gid", groups)?,
        })
    }

    /// Reads what the kernel shows (uid_map and gid_map of a process).
    pub(crate) fn parse(users: &str, groups: &str) -> Self {
        let read = |text: &str| {
            let numbers = |l: &str| -> Option<Range> {
                let mut n = l.split_whitespace().map(str::parse);
                let mut next = || n.next()?.ok();
                Some(Range {
                    inside: next()?,
                    outside: next()?,
                    size: next()?,
                })
            };
            text.lines().filter_map(numbers).collect()
        };
        Self {
            users: read(users),
            groups: read(groups),
        }
    }

    /// The host's number of a user inside.
    pub(crate) fn user(&self, inside: u32) -> Result<u32> {
        users::map(&self.users, inside)
            .ok_or_else(|| LaunchError::spec(format!("user {inside} is not mapped")))
    }

    /// The host's number of a group inside.
    pub(crate) fn group(&self, inside: u32) -> Result<u32> {
        users::map(&self.groups, inside)
            .ok_or_else(|| LaunchError::spec(format!("group {inside} is not mapped")))
    }
}

fn range(m: &LinuxIdMapping) -> Range {
    Range {
        inside: m.container_id(),
        outside: m.host_id(),
        size: m.size(),
    }
}

impl<'a> Users<'a> {
    /// What a launch asks for; `None` for the caller's own.
    pub(crate) fn of(launch: &Launch<'a>) -> Result<Option<Self>> {
        if let Some(fd) = launch.join.user {
            return Ok(Some(Self::Joined(fd)));
        }
        let Some(linux) = launch.spec.linux() else {
            return Ok(None);
        };
        let mapped = [linux.uid_mappings(), linux.gid_mappings()]
            .iter()
            .any(|m| m.as_ref().is_some_and(|m| !m.is_empty()));
        let list = linux.namespaces().iter().flatten();
        let listed = list.clone().any(|n| n.typ() == LinuxNamespaceType::User);
        if !listed {
            return if mapped {
                Err(LaunchError::spec("id mappings without a user namespace"))
            } else {
                Ok(None)
            };
        }
        if let Some(path) = namespace_path(launch.spec, LinuxNamespaceType::User) {
            let fd = open_namespace(path)?;
            // Naming the one we are in is no wish for another.
            return Ok((!is_own(&fd)?).then_some(Self::Path(fd)));
        }
        let maps = Maps::new(linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref())?;
        maps.user(0).and_then(|_| maps.group(0))?;
        Ok(Some(Self::Own(maps)))
    }

    /// The descriptor of one that is entered.
    pub(crate) fn entered(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Own(_) => None,
            Self::Joined(fd) => Some(*fd),
            Self::Path(fd) => Some(fd.as_fd()),
        }
    }
}

fn is_own(fd: &OwnedFd) -> Result<bool> {
    let stat = |fd: &OwnedFd| {
        nix::sys::stat::fstat(fd)
            .map(|s| (s.st_dev, s.st_ino))
            .map_err(|e| gantry_sys::Error::new("look at user namespace", e))
    };
    let own = gantry_sys::namespace::own(gantry_sys::namespace::USER)?;
    Ok(stat(fd)? == stat(&own)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_from_the_configuration_and_from_the_kernel() {
        let list: Vec<LinuxIdMapping> =
            serde_json::from_str(r#"[{"containerID":0,"hostID":100000,"size":10}]"#).unwrap();
        let made = Maps::new(Some(&list), Some(&list)).unwrap();
        let seen = Maps::parse("         0     100000         10\n", "0 100000 10\n");
        assert_eq!(made, seen);
        assert_eq!(made.user(3).unwrap(), 100_003);
        assert!(made.group(10).is_err());
        assert!(Maps::new(Some(&list), None).is_err());
    }
}
