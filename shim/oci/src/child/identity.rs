//! Who a process runs as: `user[:group]` resolved in the container's own files, which are an attacker's.
//!
//! Digits are always a number and never looked up as a name (a row named "4294967296" must not give its uid), numbers
//! must fit 31 bits, and files are read beneath the root, regular and bounded only.

use crate::error::{FailureKind, LaunchError, Result};
use gantry_sys::{Errno, beneath};
use oci_spec::runtime::User;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Longest passwd or group file read.
const LIMIT: usize = 10 << 20;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups, the primary one included.
    pub(super) groups: Vec<u32>,
    pub(super) home: Option<String>,
}

/// Resolves a configuration's user in the root.
pub(super) fn resolve(root: &OwnedFd, user: &User) -> Result<Identity> {
    let extra = user.additional_gids().clone().unwrap_or_default();
    let passwd = || read(root, "/etc/passwd");
    match user.username().as_deref().filter(|n| !n.is_empty()) {
        None => {
            let row = find_user(&passwd()?, &Part::Number(user.uid()));
            Ok(Identity {
                uid: user.uid(),
                gid: user.gid(),
                groups: extra,
                home: row.map(|r| r.home),
            })
        }
        Some(text) => named(
            text,
            user.gid(),
            extra,
            &passwd()?,
            &read(root, "/etc/group")?,
        ),
    }
}

fn read(root: &OwnedFd, path: &str) -> Result<String> {
    match beneath::read_file(root, Path::new(path), LIMIT) {
        Ok(data) => Ok(String::from_utf8_lossy(&data).into_owned()),
        // An image without the file simply has no names.
        Err(e) if matches!(e.errno(), Errno::ENOENT | Errno::ENOTDIR) => Ok(String::new()),
        Err(e) => Err(LaunchError {
            kind: FailureKind::User,
            message: e.to_string(),
            errno: e.errno() as i32,
        }),
    }
}

/// One side of `user:group`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Number(u32),
    Name(String),
}

fn part(text: &str) -> Result<Part> {
    let bad =
        |why: &str| LaunchError::new(FailureKind::User, format!("user or group {text:?}: {why}"));
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // 31 bits: -1 and what wraps to it mean "unchanged" to the kernel.
        let number = text
            .parse::<u32>()
            .ok()
            .filter(|n| *n <= i32::MAX.cast_unsigned());
        return number
            .map(Part::Number)
            .ok_or_else(|| bad("number out of range"));
    }
    if text.starts_with(['+', '-'])
        || text.starts_with("0x")
        || text.bytes().any(|b| b.is_ascii_control())
    {
        return Err(bad("neither a name nor a number"));
    }
    Ok(Part::Name(text.into()))
}

struct Row {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

fn find_user(passwd: &str, want: &Part) -> Option<Row> {
    let row = |line: &str| {
        let f: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (f.get(2)?.parse().ok()?, f.get(3)?.parse().ok()?);
        Some(Row {
            name: (*f.first()?).into(),
            uid,
            gid,
            home: f.get(5).map(|h| (*h).into()).unwrap_or_default(),
        })
    };
    passwd.lines().filter_map(row).find(|r| match want {
        Part::Number(n) => r.uid == *n,
        Part::Name(n) => r.name == *n,
    })
}

/// Groups of a file as (name, gid, members).
fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|l| {
        let mut f = l.split(':');
        let name = f.next()?;
        let gid = f.nth(1)?.parse().ok()?;
        Some((name, gid, f.next().unwrap_or("")))
    })
}

fn named(text: &str, gid: u32, extra: Vec<u32>, passwd: &str, group: &str) -> Result<Identity> {
    let (user, wanted) = text
        .split_once(':')
        .map_or((text, None), |(u, g)| (u, Some(g)));
    let want = if user.is_empty() {
        Part::Number(0)
    } else {
        part(user)?
    };
    let row = find_user(passwd, &want);
    let uid = match (&want, &row) {
        (Part::Number(n), _) => *n,
        (Part::Name(_), Some(r)) if r.uid <= i32::MAX.cast_unsigned() => r.uid,
        (Part::Name(n), _) => {
            let message = format!("unable to find user {n}: no matching entries in passwd file");
            return Err(LaunchError::new(FailureKind::User, message));
        }
    };
    let mut list = Vec::new();
    let gid = match wanted.filter(|g| !g.is_empty()) {
        Some(g) => match part(g)? {
            Part::Number(n) => n,
            Part::Name(n) => groups(group)
                .find(|(name, _, _)| *name == n)
                .map(|(_, gid, _)| gid)
                .ok_or_else(|| {
                    let message =
                        format!("unable to find group {n}: no matching entries in group file");
                    LaunchError::new(FailureKind::User, message)
                })?,
        },
        None => {
            if let Some(row) = &row {
                let of_user = |m: &str| m.split(',').any(|n| n == row.name);
                list.extend(
                    groups(group)
                        .filter(|(_, _, members)| of_user(members))
                        .map(|(_, gid, _)| gid),
                );
            }
            if gid != 0 {
                gid
            } else {
                row.as_ref().map_or(0, |r| r.gid)
            }
        }
    };
    let mut all = vec![gid];
    for one in list.into_iter().chain(extra) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Ok(Identity {
        uid,
        gid,
        groups: all,
        home: row.map(|r| r.home),
    })
}

#[cfg(test)]
mod tests;
