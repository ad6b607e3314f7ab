//! A container's security context.

use gantry_cri_api::v1;
use gantry_model::container::{SeccompSpec, SecuritySpec, UserSpec};
use gantry_model::{Error, Result};

/// Confinement, without the devices, and with the seccomp filter read before ([`super::seccomp`]).
///
/// # Errors
/// `InvalidArgument`, `Unimplemented` for options not served yet; both name the option.
pub(crate) fn spec(
    context: &v1::LinuxContainerSecurityContext,
    seccomp: SeccompSpec,
    pod_privileged: bool,
    selinux_on: bool,
) -> Result<SecuritySpec> {
    if context.privileged && !pod_privileged {
        return Err(Error::invalid(
            "a privileged container was asked for in a pod that is not privileged",
        ));
    }
    let capabilities = context.capabilities.clone().unwrap_or_default();
    if !capabilities.add_ambient_capabilities.is_empty() {
        return Err(Error::unimplemented(
            "add_ambient_capabilities is not served yet",
        ));
    }
    if !context.privileged {
        selinux(context.selinux_options.as_ref(), selinux_on)?;
        apparmor(context)?;
    }
    let listed = |paths: &[String]| {
        // A privileged container sees all of /proc and /sys.
        Some(if context.privileged {
            Vec::new()
        } else {
            paths.to_vec()
        })
    };
    Ok(SecuritySpec {
        privileged: context.privileged,
        cap_add: capabilities.add_capabilities,
        cap_drop: capabilities.drop_capabilities,
        no_new_privileges: context.no_new_privs,
        seccomp,
        read_only_rootfs: context.readonly_rootfs,
        masked_paths: listed(&context.masked_paths),
        readonly_paths: listed(&context.readonly_paths),
        ..SecuritySpec::default()
    })
}

/// Who the process runs as.
///
/// # Errors
/// `InvalidArgument` for a group without a user, two users, or numbers out of range.
pub(crate) fn user(context: &v1::LinuxContainerSecurityContext) -> Result<UserSpec> {
    let number = |what: &str, value: &Option<v1::Int64Value>| {
        value.as_ref().map(|v| id(what, v.value)).transpose()
    };
    let uid = number("run_as_user", &context.run_as_user)?;
    let gid = number("run_as_group", &context.run_as_group)?;
    let name = context.run_as_username.clone();
    if gid.is_some() && uid.is_none() && name.is_empty() {
        return Err(Error::invalid(
            "run_as_group is given without run_as_user or run_as_username",
        ));
    }
    if uid.is_some() && !name.is_empty() {
        return Err(Error::invalid(
            "run_as_user and run_as_username are both given",
        ));
    }
    let policy = v1::SupplementalGroupsPolicy::try_from(context.supplemental_groups_policy)
        .map_err(|_| {
            Error::invalid(format!(
                "supplemental_groups_policy {} is not one of cri",
                context.supplemental_groups_policy
            ))
        })?;
    let groups = context
        .supplemental_groups
        .iter()
        .map(|group| id("supplemental_groups", *group).map(|id| id.to_string()))
        .collect::<Result<_>>()?;
    Ok(UserSpec {
        user: name,
        uid,
        gid,
        groups,
        strict_groups: policy == v1::SupplementalGroupsPolicy::Strict,
        must_not_be_root: false,
    })
}

/// Kubernetes wants SELinux options ignored where it is off.
///
/// # Errors
/// `Unimplemented` where it is on.
pub(crate) fn selinux(options: Option<&v1::SeLinuxOption>, on: bool) -> Result<()> {
    match options {
        Some(options) if on && *options != v1::SeLinuxOption::default() => {
            Err(Error::unimplemented("selinux_options are not served yet"))
        }
        _ => Ok(()),
    }
}

/// Gantry has no default AppArmor profile yet: `RuntimeDefault` is none. One that is named is refused.
fn apparmor(context: &v1::LinuxContainerSecurityContext) -> Result<()> {
    let refuse = |name: &str| {
        Err(Error::unimplemented(format!(
            "apparmor profile {name:?} is not served yet"
        )))
    };
    if let Some(profile) = &context.apparmor {
        return match profile.profile_type() {
            v1::security_profile::ProfileType::Localhost => refuse(&profile.localhost_ref),
            _ => Ok(()),
        };
    }
    #[allow(deprecated, reason = "older kubelets fill the old field alone")]
    match context.apparmor_profile.as_str() {
        "" | "runtime/default" | "unconfined" => Ok(()),
        name => refuse(name),
    }
}

fn id(what: &str, value: i64) -> Result<u32> {
    // The kernel keeps the highest one for "none".
    match u32::try_from(value) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::invalid(format!(
            "{what} {value} is not an id of linux"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::{selinux, spec, user};
    use gantry_cri_api::v1::{
        Capability, Int64Value, LinuxContainerSecurityContext as Context, SeLinuxOption,
        SecurityProfile,
    };
    use gantry_model::ErrorKind;
    use gantry_model::container::SeccompSpec;

    fn int(value: i64) -> Option<Int64Value> {
        Some(Int64Value { value })
    }

    #[test]
    fn users_and_groups() {
        let who = user(&Context {
            run_as_user: int(1000),
            run_as_group: int(2000),
            supplemental_groups: vec![7, 8],
            supplemental_groups_policy: 1,
            ..Default::default()
        })
        .unwrap();
        assert_eq!(
            (who.uid, who.gid, who.strict_groups),
            (Some(1000), Some(2000), true)
        );
        assert_eq!(who.groups, ["7", "8"]);
        let named = user(&Context {
            run_as_username: "www".into(),
            run_as_group: int(0),
            ..Default::default()
        })
        .unwrap();
        assert_eq!(
            (named.user.as_str(), named.uid, named.gid),
            ("www", None, Some(0))
        );

        for bad in [
            Context {
                run_as_group: int(1),
                ..Default::default()
            },
            Context {
                run_as_user: int(-1),
                ..Default::default()
            },
            Context {
                run_as_user: int(4_294_967_295),
                ..Default::default()
            },
            Context {
                run_as_user: int(1),
                run_as_username: "www".into(),
                ..Default::default()
            },
            Context {
                supplemental_groups_policy: 9,
                ..Default::default()
            },
        ] {
            assert_eq!(
                user(&bad).unwrap_err().kind,
                ErrorKind::InvalidArgument,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn the_requests_lists_of_paths_replace_the_defaults() {
        let given = Context {
            masked_paths: vec!["/proc/kcore".into()],
            ..Default::default()
        };
        let made = spec(&given, SeccompSpec::Default, false, false).unwrap();
        assert_eq!(made.masked_paths.unwrap(), ["/proc/kcore"]);
        assert_eq!(made.readonly_paths, Some(Vec::new()));

        let privileged = Context {
            privileged: true,
            ..given
        };
        assert!(spec(&privileged, SeccompSpec::Unconfined, false, false).is_err());
        let made = spec(&privileged, SeccompSpec::Unconfined, true, false).unwrap();
        assert_eq!(made.masked_paths, Some(Vec::new()));
        assert!(made.privileged);
    }

    #[test]
    fn what_is_not_served_is_named() {
        let ambient = Context {
            capabilities: Some(Capability {
                add_ambient_capabilities: vec!["NET_RAW".into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        let apparmor = Context {
            apparmor: Some(SecurityProfile {
                profile_type: 2,
                localhost_ref: "mine".into(),
            }),
            ..Default::default()
        };
        for (context, word) in [(ambient, "ambient"), (apparmor, "mine")] {
            let error = spec(&context, SeccompSpec::Default, false, false).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unimplemented);
            assert!(error.message.contains(word), "{error}");
        }
        let label = SeLinuxOption {
            level: "s0".into(),
            ..Default::default()
        };
        assert!(selinux(Some(&label), true).is_err());
        assert!(selinux(Some(&label), false).is_ok());
        assert!(selinux(Some(&SeLinuxOption::default()), true).is_ok());
    }
}
