//! Mounts of a container, both ways.

use gantry_cri_api::v1;
use gantry_cri_api::v1::MountPropagation;
use gantry_model::mount::{MountSource, MountSpec};
use gantry_model::{Error, Result};

use super::path;

/// Reads one mount. A folder that is missing on the host is made, as all runtimes of Kubernetes do.
///
/// `selinux_relabel` means nothing where SELinux is off and is passed over there, as Kubernetes wants it.
///
/// # Errors
/// `InvalidArgument`, `Unimplemented` for options not served yet; both name the mount.
pub(crate) fn spec(mount: v1::Mount, selinux_on: bool) -> Result<MountSpec> {
    let target = path::absolute("mount: container_path", &mount.container_path)?;
    let missing = |what: &str| {
        Err(Error::unimplemented(format!(
            "mount {target}: {what} is not served yet"
        )))
    };
    if mount.image.is_some() || !mount.image_sub_path.is_empty() {
        return missing("image (a volume made of an image)");
    }
    if mount.recursive_read_only {
        return missing("recursive_read_only");
    }
    if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return missing("uidMappings and gidMappings");
    }
    if !mount.mount_options.is_empty() {
        return missing("mount_options");
    }
    if mount.selinux_relabel && selinux_on {
        return missing("selinux_relabel");
    }
    if mount.host_path.is_empty() {
        return Err(Error::invalid(format!(
            "mount {target}: host_path is empty"
        )));
    }
    let source = path::absolute(&format!("mount {target}: host_path"), &mount.host_path)?;
    let propagation = match MountPropagation::try_from(mount.propagation) {
        Ok(MountPropagation::PropagationPrivate) => "rprivate",
        Ok(MountPropagation::PropagationHostToContainer) => "rslave",
        Ok(MountPropagation::PropagationBidirectional) => "rshared",
        Err(_) => {
            return Err(Error::invalid(format!(
                "mount {target}: propagation {} is not one of cri",
                mount.propagation
            )));
        }
    };
    Ok(MountSpec {
        source: MountSource::Bind {
            path: source,
            create: true,
        },
        target,
        read_only: mount.readonly,
        propagation: Some(propagation.to_owned()),
    })
}

/// Shows a mount of the host; volumes and memory are none of CRI's.
pub(crate) fn view(mount: &MountSpec) -> Option<v1::Mount> {
    let MountSource::Bind { path, .. } = &mount.source else {
        return None;
    };
    let propagation = match mount.propagation.as_deref() {
        Some("rslave" | "slave") => MountPropagation::PropagationHostToContainer,
        Some("rshared" | "shared") => MountPropagation::PropagationBidirectional,
        _ => MountPropagation::PropagationPrivate,
    };
    Some(v1::Mount {
        container_path: mount.target.clone(),
        host_path: path.clone(),
        readonly: mount.read_only,
        propagation: propagation.into(),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::{spec, view};
    use gantry_cri_api::v1::{ImageSpec, Mount};
    use gantry_model::ErrorKind;

    fn mount(host_path: &str, container_path: &str) -> Mount {
        Mount {
            host_path: host_path.into(),
            container_path: container_path.into(),
            ..Default::default()
        }
    }

    #[test]
    fn mounts_survive_the_way_in_and_out() {
        for propagation in 0..3 {
            let given = Mount {
                readonly: true,
                propagation,
                ..mount("/srv/data", "/data")
            };
            let made = spec(given.clone(), false).unwrap();
            assert_eq!(view(&made).unwrap(), given);
        }
        assert!(
            spec(
                Mount {
                    selinux_relabel: true,
                    ..mount("/a", "/b")
                },
                false
            )
            .is_ok()
        );
    }

    #[test]
    fn bad_and_unserved_mounts_are_named() {
        use ErrorKind::{InvalidArgument, Unimplemented};
        for (bad, kind, word) in [
            (mount("", "/data"), InvalidArgument, "/data"),
            (mount("data", "/data"), InvalidArgument, "/data"),
            (mount("/srv/../etc", "/data"), InvalidArgument, ".."),
            (mount("/srv", "data"), InvalidArgument, "container_path"),
            (mount("/srv", ""), InvalidArgument, "container_path"),
            (
                Mount {
                    propagation: 3,
                    ..mount("/srv", "/data")
                },
                InvalidArgument,
                "propagation",
            ),
            (
                Mount {
                    recursive_read_only: true,
                    ..mount("/srv", "/data")
                },
                Unimplemented,
                "recursive_read_only",
            ),
            (
                Mount {
                    image: Some(ImageSpec::default()),
                    ..mount("", "/data")
                },
                Unimplemented,
                "image",
            ),
            (
                Mount {
                    mount_options: vec!["noexec".into()],
                    ..mount("/srv", "/data")
                },
                Unimplemented,
                "mount_options",
            ),
        ] {
            let error = spec(bad, false).unwrap_err();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(word), "{error} should name {word}");
        }
    }
}
