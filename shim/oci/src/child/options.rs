//! Mount options of a configuration: attributes of the mount, how it is bound, and what is left for the file system.

use crate::error::{LaunchError, Result};
use gantry_sys::mount::{
    Attr, NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, NOSYMFOLLOW, Propagation, RDONLY, STRICTATIME,
};

/// Options taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// Attributes to set.
    pub(super) set: Attr,
    /// Attributes to clear.
    pub(super) clear: Attr,
    /// Attributes to set on submounts too.
    pub(super) set_recursive: Attr,
    /// Attributes to clear on submounts too.
    pub(super) clear_recursive: Attr,
    /// Bind mount, with submounts or not.
    pub(super) bind: Option<bool>,
    /// Propagation, of submounts too or not.
    pub(super) propagation: Option<(Propagation, bool)>,
    /// Owners mapped, of submounts too or not.
    pub(super) idmap: Option<bool>,
    /// A tmpfs begins with what its target holds.
    pub(super) copy_up: bool,
    /// Options of the file system.
    pub(super) data: Vec<(String, String)>,
}

/// An attribute by name: (attribute, set or clear).
fn attribute(word: &str) -> Option<(Attr, bool)> {
    Some(match word {
        "ro" => (RDONLY, true),
        "rw" => (RDONLY, false),
        "nosuid" => (NOSUID, true),
        "suid" => (NOSUID, false),
        "nodev" => (NODEV, true),
        "dev" => (NODEV, false),
        "noexec" => (NOEXEC, true),
        "exec" => (NOEXEC, false),
        "noatime" => (NOATIME, true),
        "strictatime" => (STRICTATIME, true),
        // The kernel's own way, which no bit says.
        "relatime" | "norelatime" | "atime" | "nostrictatime" => {
            (gantry_sys::mount::ATIME_MASK, false)
        }
        "nodiratime" => (NODIRATIME, true),
        "diratime" => (NODIRATIME, false),
        "nosymfollow" => (NOSYMFOLLOW, true),
        "symfollow" => (NOSYMFOLLOW, false),
        _ => return None,
    })
}

fn propagation(word: &str) -> Option<(Propagation, bool)> {
    let (bare, recursive) = match word.strip_prefix('r') {
        Some(rest @ ("private" | "slave" | "shared" | "unbindable")) => (rest, true),
        _ => (word, false),
    };
    let kind = match bare {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((kind, recursive))
}

impl Options {
    /// Takes a list apart; later words win.
    pub(super) fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut o = Self::default();
        for word in words {
            match word {
                "bind" => o.bind = Some(o.bind.unwrap_or(false)),
                "rbind" => o.bind = Some(true),
                "defaults" | "" | "async" | "remount" => {}
                "idmap" => o.idmap = Some(false),
                "ridmap" => o.idmap = Some(true),
                "tmpcopyup" => o.copy_up = true,
                // Of the host's mount(8) only, or of file systems mounted long before.
                "loop" | "auto" | "noauto" | "user" | "nouser" | "_netdev" | "nofail" => {
                    return Err(LaunchError::unsupported(format!("mount option {word}")));
                }
                _ if word.starts_with("x-") => {}
                _ => o.word(word),
            }
        }
        Ok(o)
    }

    fn word(&mut self, word: &str) {
        if let Some((attr, on)) = attribute(word) {
            put(attr, on, &mut self.set, &mut self.clear);
        } else if let Some(found) = propagation(word) {
            self.propagation = Some(found);
        } else if let Some((attr, on)) = word.strip_prefix('r').and_then(attribute) {
            put(attr, on, &mut self.set_recursive, &mut self.clear_recursive);
        } else {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            self.data.push((key.into(), value.into()));
        }
    }
}

fn put(attr: Attr, on: bool, set: &mut Attr, clear: &mut Attr) {
    let (to, from) = if on { (set, clear) } else { (clear, set) };
    *to |= attr;
    *from &= !attr;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_where_they_belong() {
        let o = Options::parse([
            "rbind",
            "ro",
            "nosuid",
            "rslave",
            "rro",
            "size=64k",
            "mode=1777",
            "rw",
        ])
        .unwrap();
        assert_eq!((o.bind, o.set, o.clear), (Some(true), NOSUID, RDONLY));
        assert_eq!(
            (o.set_recursive, o.propagation),
            (RDONLY, Some((Propagation::Slave, true)))
        );
        assert_eq!(
            o.data,
            [
                ("size".into(), "64k".into()),
                ("mode".into(), "1777".into())
            ]
        );
    }

    #[test]
    fn what_is_not_done_is_said() {
        assert!(Options::parse(["loop"]).is_err());
        let o = Options::parse(["ridmap", "tmpcopyup"]).unwrap();
        assert_eq!((o.idmap, o.copy_up), (Some(true), true));
        assert_eq!(
            Options::parse(["bind", "defaults"]).unwrap().bind,
            Some(false)
        );
        assert_eq!(
            Options::parse(["private"]).unwrap().propagation,
            Some((Propagation::Private, false))
        );
    }
}
