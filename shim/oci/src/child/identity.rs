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
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups, the primary one included.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Option<String>,
}

/// Resolves a configuration's user in the root.
pub(crate) fn resolve(root: &OwnedFd, user: &User) -> Result<Identity> {
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
        Some(text) => named(text, extra, &passwd()?, &read(root, "/etc/group")?),
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

/// What may follow the user after a `;`, separated by commas: `gid=N` (primary group, the user's own groups kept),
/// `!` (none of the image's groups), other group names or numbers.
#[derive(Default)]
struct Extra<'a> {
    gid: Option<u32>,
    strict: bool,
    groups: Vec<&'a str>,
}

impl<'a> Extra<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let mut made = Self::default();
        for word in text.split(',').filter(|w| !w.is_empty()) {
            match word.strip_prefix("gid=") {
                Some(number) => match part(number)? {
                    Part::Number(n) => made.gid = Some(n),
                    Part::Name(n) => return Err(unknown("group", &n)),
                },
                None if word == "!" => made.strict = true,
                None => made.groups.push(word),
            }
        }
        Ok(made)
    }
}

/// Docker's words.
fn unknown(what: &str, name: &str) -> LaunchError {
    let file = if what == "user" { "passwd" } else { "group" };
    let message = format!("unable to find {what} {name}: no matching entries in {file} file");
    LaunchError::new(FailureKind::User, message)
}

fn group_number(text: &str, file: &str) -> Result<u32> {
    match part(text)? {
        Part::Number(n) => Ok(n),
        Part::Name(n) => {
            let found = groups(file)
                .find(|(name, _, _)| *name == n)
                .map(|(_, gid, _)| gid);
            found.ok_or_else(|| unknown("group", &n))
        }
    }
}

fn named(text: &str, numbers: Vec<u32>, passwd: &str, group: &str) -> Result<Identity> {
    let (who, extra) = text.split_once(';').unwrap_or((text, ""));
    let extra = Extra::parse(extra)?;
    let (user, wanted) = who.split_once(':').map_or((who, ""), |(u, g)| (u, g));
    let want = if user.is_empty() {
        Part::Number(0)
    } else {
        part(user)?
    };
    let row = find_user(passwd, &want);
    let uid = match (&want, &row) {
        (Part::Number(n), _) => *n,
        (Part::Name(_), Some(r)) if r.uid <= i32::MAX.cast_unsigned() => r.uid,
        (Part::Name(n), _) => return Err(unknown("user", n)),
    };
    let gid = match (extra.gid, wanted) {
        (Some(gid), _) => gid,
        (None, "") => row.as_ref().map_or(0, |r| r.gid),
        (None, name) => group_number(name, group)?,
    };
    let mut list = vec![gid];
    let mut add = |one: u32| {
        if !list.contains(&one) {
            list.push(one);
        }
    };
    // A group named beside the user replaces those the image gives him, as Docker has it.
    if let Some(row) = row
        .as_ref()
        .filter(|_| !extra.strict && (wanted.is_empty() || extra.gid.is_some()))
    {
        let of_user = |members: &str| members.split(',').any(|n| n == row.name);
        groups(group)
            .filter(|(_, _, members)| of_user(members))
            .for_each(|(_, gid, _)| add(gid));
    }
    for name in extra.groups {
        add(group_number(name, group)?);
    }
    numbers.into_iter().for_each(add);
    Ok(Identity {
        uid,
        gid,
        groups: list,
        home: row.map(|r| r.home),
    })
}

#[cfg(test)]
mod tests;
