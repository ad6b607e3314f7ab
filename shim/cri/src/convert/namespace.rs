//! Namespace options of pods and of their containers.
//!
//! Without options each container of a pod has PIDs of its own, although the enum's zero means "shared by the pod":
//! that is what Kubernetes' pods have, and kubelet always says what it wants. A container's PID mode is its pod's; one
//! that differs is refused, since no client of Kubernetes mixes them.

use gantry_cri_api::v1;
use gantry_cri_api::v1::NamespaceMode as Mode;
use gantry_model::sandbox::PodSpec;
use gantry_model::supervisor::{NamespaceMode, PidMode};
use gantry_model::{Error, Result};

/// What a pod's options come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodNamespaces {
    pub(crate) network: NamespaceMode,
    pub(crate) ipc: NamespaceMode,
    pub(crate) pid: PidMode,
}

/// Reads a pod's options.
///
/// # Errors
/// `InvalidArgument` for modes CRI does not allow, `Unimplemented` for a user namespace.
pub(crate) fn pod(options: Option<&v1::NamespaceOption>) -> Result<PodNamespaces> {
    let Some(options) = options else {
        return Ok(PodNamespaces::default());
    };
    user(options)?;
    let shared = |what: &str, value: i32| match mode(what, value)? {
        Mode::Pod => Ok(NamespaceMode::Own),
        Mode::Node => Ok(NamespaceMode::Host),
        other => Err(not_allowed(what, other)),
    };
    Ok(PodNamespaces {
        network: shared("network", options.network)?,
        ipc: shared("ipc", options.ipc)?,
        pid: match mode("pid", options.pid)? {
            Mode::Pod => PidMode::Pod,
            Mode::Container => PidMode::Container,
            Mode::Node => PidMode::Host,
            Mode::Target => return Err(not_allowed("pid", Mode::Target)),
        },
    })
}

/// Checks a container's options against its pod's; answers whether it uses the host's PIDs.
///
/// # Errors
/// `InvalidArgument` where it asks for another namespace than its pod did, `Unimplemented` for another container's PIDs.
pub(crate) fn container(options: Option<&v1::NamespaceOption>, pod: &PodSpec) -> Result<bool> {
    let Some(options) = options else {
        return Ok(pod.pid == PidMode::Host);
    };
    user(options)?;
    for (what, value, of_pod) in [
        ("network", options.network, pod.network),
        ("ipc", options.ipc, pod.ipc),
    ] {
        match mode(what, value)? {
            // "Common to all containers in a pod": whatever the pod has.
            Mode::Pod => {}
            Mode::Node if of_pod == NamespaceMode::Host => {}
            Mode::Node => {
                return Err(Error::invalid(format!(
                    "namespace_options.{what} is NODE, but the pod has a namespace of its own"
                )));
            }
            other => return Err(not_allowed(what, other)),
        }
    }
    match (mode("pid", options.pid)?, pod.pid) {
        (Mode::Container, PidMode::Container) | (Mode::Pod, PidMode::Pod) => Ok(false),
        // In a pod on the host's pids there is nothing to share but those.
        (Mode::Node | Mode::Pod, PidMode::Host) => Ok(true),
        (Mode::Target, _) => Err(Error::unimplemented(
            "namespace_options.pid TARGET (another container's) is not served yet",
        )),
        (asked, of_pod) => Err(Error::invalid(format!(
            "namespace_options.pid is {}, but the pod's is {}",
            asked.as_str_name(),
            pid_view(of_pod).as_str_name()
        ))),
    }
}

/// What is shown of a pod's namespaces.
pub(crate) fn view(pod: &PodSpec) -> v1::NamespaceOption {
    let shared = |mode| match mode {
        NamespaceMode::Own => Mode::Pod,
        NamespaceMode::Host => Mode::Node,
    };
    v1::NamespaceOption {
        network: shared(pod.network).into(),
        ipc: shared(pod.ipc).into(),
        pid: pid_view(pod.pid).into(),
        ..Default::default()
    }
}

fn pid_view(mode: PidMode) -> Mode {
    match mode {
        PidMode::Container => Mode::Container,
        PidMode::Host => Mode::Node,
        PidMode::Pod => Mode::Pod,
    }
}

fn user(options: &v1::NamespaceOption) -> Result<()> {
    let Some(user) = &options.userns_options else {
        return Ok(());
    };
    match mode("userns_options", user.mode)? {
        Mode::Node => Ok(()),
        Mode::Pod => Err(Error::unimplemented(
            "namespace_options.userns_options POD (a user namespace) is not served yet; use NODE",
        )),
        other => Err(not_allowed("userns_options", other)),
    }
}

fn mode(what: &str, value: i32) -> Result<Mode> {
    Mode::try_from(value).map_err(|_| {
        Error::invalid(format!(
            "namespace_options.{what} {value} is no mode of cri"
        ))
    })
}

fn not_allowed(what: &str, mode: Mode) -> Error {
    Error::invalid(format!(
        "namespace_options.{what} {} is not possible here",
        mode.as_str_name()
    ))
}

#[cfg(test)]
mod tests {
    use super::{container, pod};
    use gantry_cri_api::v1::{NamespaceMode as Mode, NamespaceOption, UserNamespace};
    use gantry_model::ErrorKind;
    use gantry_model::sandbox::PodSpec;
    use gantry_model::supervisor::{NamespaceMode, PidMode};

    fn options(network: Mode, pid: Mode, ipc: Mode) -> NamespaceOption {
        NamespaceOption {
            network: network.into(),
            pid: pid.into(),
            ipc: ipc.into(),
            ..Default::default()
        }
    }

    #[test]
    fn pods() {
        let all_host = pod(Some(&options(Mode::Node, Mode::Node, Mode::Node))).unwrap();
        assert_eq!(all_host.network, NamespaceMode::Host);
        assert_eq!(all_host.ipc, NamespaceMode::Host);
        assert_eq!(all_host.pid, PidMode::Host);
        let shared = pod(Some(&options(Mode::Pod, Mode::Pod, Mode::Pod))).unwrap();
        assert_eq!(shared.pid, PidMode::Pod);
        let own = pod(Some(&options(Mode::Pod, Mode::Container, Mode::Pod))).unwrap();
        assert_eq!(own, pod(None).unwrap());
        for (bad, kind) in [
            (
                options(Mode::Container, Mode::Pod, Mode::Pod),
                ErrorKind::InvalidArgument,
            ),
            (
                options(Mode::Pod, Mode::Target, Mode::Pod),
                ErrorKind::InvalidArgument,
            ),
            (
                NamespaceOption {
                    userns_options: Some(UserNamespace::default()),
                    ..Default::default()
                },
                ErrorKind::Unimplemented,
            ),
            (
                NamespaceOption {
                    ipc: 77,
                    ..Default::default()
                },
                ErrorKind::InvalidArgument,
            ),
        ] {
            assert_eq!(pod(Some(&bad)).unwrap_err().kind, kind, "{bad:?}");
        }
    }

    #[test]
    fn containers_agree_with_their_pod() {
        let own = PodSpec::default();
        let host = PodSpec {
            network: NamespaceMode::Host,
            pid: PidMode::Host,
            ipc: NamespaceMode::Host,
            ..Default::default()
        };
        let shared = PodSpec {
            pid: PidMode::Pod,
            ..Default::default()
        };
        assert!(!container(None, &shared).unwrap());
        assert!(!container(Some(&options(Mode::Pod, Mode::Pod, Mode::Pod)), &shared).unwrap());
        assert!(container(Some(&options(Mode::Pod, Mode::Node, Mode::Pod)), &shared).is_err());
        assert!(!container(None, &own).unwrap());
        assert!(container(None, &host).unwrap());
        assert!(!container(Some(&options(Mode::Pod, Mode::Container, Mode::Pod)), &own).unwrap());
        assert!(container(Some(&options(Mode::Node, Mode::Node, Mode::Node)), &host).unwrap());
        assert!(container(Some(&options(Mode::Pod, Mode::Pod, Mode::Pod)), &host).unwrap());
        assert!(container(Some(&options(Mode::Pod, Mode::Container, Mode::Pod)), &host).is_err());
        for (bad, kind) in [
            (
                options(Mode::Pod, Mode::Node, Mode::Pod),
                ErrorKind::InvalidArgument,
            ),
            (
                options(Mode::Node, Mode::Container, Mode::Pod),
                ErrorKind::InvalidArgument,
            ),
            (
                options(Mode::Pod, Mode::Container, Mode::Node),
                ErrorKind::InvalidArgument,
            ),
            (
                options(Mode::Pod, Mode::Pod, Mode::Pod),
                ErrorKind::InvalidArgument,
            ),
            (
                options(Mode::Pod, Mode::Target, Mode::Pod),
                ErrorKind::Unimplemented,
            ),
        ] {
            assert_eq!(
                container(Some(&bad), &own).unwrap_err().kind,
                kind,
                "{bad:?}"
            );
        }
    }
}
