//! Which device nodes a group may open or make: a list on v1, a small program attached to the directory on v2.

use super::{Group, Version, device_bpf, write};
use crate::error::{Error, Result};
use nix::errno::Errno;

/// Kind of device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Both.
    All,
    /// Character devices.
    Char,
    /// Block devices.
    Block,
}

/// One rule; later rules win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// Kind.
    pub kind: DeviceKind,
    /// Major number, `None` for all.
    pub major: Option<u32>,
    /// Minor number, `None` for all.
    pub minor: Option<u32>,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be made (mknod).
    pub mknod: bool,
}

impl DeviceRule {
    /// Everything, allowed or denied.
    #[must_use]
    pub fn all(allow: bool) -> Self {
        Self {
            allow,
            kind: DeviceKind::All,
            major: None,
            minor: None,
            read: true,
            write: true,
            mknod: true,
        }
    }

    fn is_all(&self) -> bool {
        *self == Self::all(self.allow)
    }

    fn v1_line(&self) -> String {
        if self.is_all() {
            return "a".into();
        }
        let number = |n: Option<u32>| n.map_or("*".into(), |n| n.to_string());
        let access: String = [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')]
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, c)| *c)
            .collect();
        let kind = if self.kind == DeviceKind::Block {
            'b'
        } else {
            'c'
        };
        format!(
            "{kind} {}:{} {access}",
            number(self.major),
            number(self.minor)
        )
    }
}

impl Group {
    /// Replaces the device rules of the made group.
    ///
    /// # Errors
    /// EPERM when the parent group allows less, EINVAL for a program the kernel refuses.
    pub fn set_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        let dir = self
            .dir("devices")
            .ok_or_else(|| Error::new("find devices cgroup controller", Errno::ENOENT))?;
        if self.version() == Version::V2 {
            return device_bpf::attach(dir, rules);
        }
        for rule in effective(rules) {
            let file = if rule.allow {
                "devices.allow"
            } else {
                "devices.deny"
            };
            let both = [DeviceKind::Char, DeviceKind::Block];
            let kinds: &[DeviceKind] = if rule.kind == DeviceKind::All && !rule.is_all() {
                &both
            } else {
                &[rule.kind]
            };
            for kind in kinds {
                write(
                    &dir.join(file),
                    &DeviceRule {
                        kind: *kind,
                        ..rule.clone()
                    }
                    .v1_line(),
                )?;
            }
        }
        Ok(())
    }
}

/// What comes before the last rule for everything has no effect.
pub(super) fn effective(rules: &[DeviceRule]) -> &[DeviceRule] {
    rules
        .iter()
        .rposition(DeviceRule::is_all)
        .map_or(rules, |at| &rules[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v1_lines_and_effective_tail() {
        let null = DeviceRule {
            kind: DeviceKind::Char,
            major: Some(1),
            minor: Some(3),
            ..DeviceRule::all(true)
        };
        assert_eq!(null.v1_line(), "c 1:3 rwm");
        assert_eq!(DeviceRule::all(false).v1_line(), "a");
        let any = DeviceRule {
            kind: DeviceKind::Block,
            read: false,
            write: false,
            ..DeviceRule::all(true)
        };
        assert_eq!(any.v1_line(), "b *:* m");
        let rules = [null.clone(), DeviceRule::all(false), null.clone()];
        assert_eq!(effective(&rules).len(), 2);
    }
}
