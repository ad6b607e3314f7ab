//! The options `type`, `device` and `o`: a volume that is not a folder of ours but a mount of
//! something else.

use gantry_sdk::{Error, Labels, MountSpec, Result};

/// Refuses options that would make no mount.
///
/// # Errors
/// `InvalidArgument` for an unknown or missing one, `Unimplemented` for `size` (needs quotas).
pub(crate) fn check(options: &Labels) -> Result<()> {
    for key in options.keys() {
        match key.as_str() {
            "type" | "device" | "o" => {}
            "size" => {
                let what = "volume option size: quotas are not done by this driver";
                return Err(Error::unimplemented(what));
            }
            _ => return Err(Error::invalid(format!("invalid option: {key:?}"))),
        }
    }
    if options.is_empty() {
        return Ok(());
    }
    for needed in ["type", "device"] {
        if options.get(needed).is_none_or(String::is_empty) {
            return Err(Error::invalid(format!(
                "missing required option: {needed:?}"
            )));
        }
    }
    if is_bind(options) && !options["device"].starts_with('/') {
        let what = format!(
            "volume device {:?} is not an absolute path",
            options["device"]
        );
        return Err(Error::invalid(what));
    }
    Ok(())
}

fn flags(options: &Labels) -> impl Iterator<Item = &str> {
    let all = options.get("o").map_or("", String::as_str);
    all.split(',').filter(|flag| !flag.is_empty())
}

fn is_bind(options: &Labels) -> bool {
    let kind = options.get("type").map_or("", String::as_str);
    matches!(kind, "bind" | "none") || flags(options).any(|f| matches!(f, "bind" | "rbind"))
}

/// The mount these options ask for; none when they ask for nothing special.
pub(crate) fn mount(options: &Labels, read_only: bool) -> Option<MountSpec> {
    if options.is_empty() {
        return None;
    }
    let device = options.get("device").cloned().unwrap_or_default();
    let mut mount = if is_bind(options) {
        let mut mount = MountSpec::bind(device, false);
        if flags(options).any(|f| f == "bind") {
            mount.options = vec!["bind".to_owned()];
        }
        mount
    } else {
        MountSpec {
            kind: options.get("type").cloned().unwrap_or_default(),
            source: device,
            ..MountSpec::default()
        }
    };
    let further = flags(options).filter(|f| !matches!(*f, "bind" | "rbind"));
    mount.options.extend(further.map(str::to_owned));
    if read_only && !mount.options.iter().any(|o| o == "ro") {
        mount.options.push("ro".to_owned());
    }
    Some(mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn binds_and_tmpfs_are_described() {
        let options = labels(&[("type", "none"), ("device", "/srv/x"), ("o", "bind,noexec")]);
        check(&options).unwrap();
        let mount_spec = mount(&options, true).unwrap();
        assert_eq!(mount_spec.kind, "bind");
        assert_eq!(mount_spec.source, "/srv/x");
        assert_eq!(mount_spec.options, ["bind", "noexec", "ro"]);
        let options = labels(&[
            ("type", "tmpfs"),
            ("device", "tmpfs"),
            ("o", "size=1m,uid=5"),
        ]);
        check(&options).unwrap();
        let mount_spec = mount(&options, false).unwrap();
        assert_eq!(mount_spec.kind, "tmpfs");
        assert_eq!(mount_spec.options, ["size=1m", "uid=5"]);
        assert_eq!(mount(&Labels::new(), true), None);
    }

    #[test]
    fn incomplete_and_unknown_options_are_refused() {
        let message = |pairs: &[(&str, &str)]| check(&labels(pairs)).unwrap_err().message;
        assert_eq!(
            message(&[("type", "nfs")]),
            "missing required option: \"device\""
        );
        assert_eq!(message(&[("o", "ro")]), "missing required option: \"type\"");
        assert_eq!(message(&[("colour", "red")]), "invalid option: \"colour\"");
        message(&[("type", "none"), ("device", "relative"), ("o", "bind")]);
        message(&[("size", "1g")]);
    }
}
