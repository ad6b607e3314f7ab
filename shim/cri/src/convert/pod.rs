//! A pod's configuration to the model's spec.

use std::net::IpAddr;

use gantry_cri_api::v1;
use gantry_model::container::DnsConfig;
use gantry_model::network::{Protocol, PublishedPort};
use gantry_model::sandbox::{PodMetadata, PodSpec};
use gantry_model::supervisor::NamespaceMode;
use gantry_model::{Error, Result};

use super::{namespace, path, security, sorted};

/// Longest host name Linux takes (uname(2)).
const HOSTNAME_MAX: usize = 64;

/// Reads the request.
///
/// Left aside, as CRI says: `linux.resources` and `linux.overhead`, which tell the sum of what the containers ask for
/// (kubelet limits the pod's cgroup itself), and the security settings of a sandbox's own processes, of which there are
/// none.
///
/// # Errors
/// `InvalidArgument`, `Unimplemented` for options not served yet; both name the option.
pub(crate) fn spec(
    config: v1::PodSandboxConfig,
    handler: String,
    selinux: bool,
) -> Result<PodSpec> {
    if config.windows.is_some() {
        return Err(Error::invalid("config.windows is given on linux"));
    }
    let linux = config.linux.unwrap_or_default();
    let security = linux.security_context.unwrap_or_default();
    if security.run_as_group.is_some() && security.run_as_user.is_none() {
        return Err(Error::invalid("run_as_group is given without run_as_user"));
    }
    security::selinux(security.selinux_options.as_ref(), selinux)?;
    let namespaces = namespace::pod(security.namespace_options.as_ref())?;
    if config.hostname.len() > HOSTNAME_MAX {
        return Err(Error::invalid(format!(
            "hostname {:?} is longer than {HOSTNAME_MAX} bytes",
            config.hostname
        )));
    }
    let log_directory = match config.log_directory.as_str() {
        "" => String::new(),
        given => path::absolute("log_directory", given)?,
    };
    let metadata = metadata(config.metadata)?;
    Ok(PodSpec {
        hostname: hostname(config.hostname, &metadata.name, namespaces.network),
        metadata,
        log_directory,
        dns: config.dns_config.map(|dns| DnsConfig {
            servers: dns.servers,
            searches: dns.searches,
            options: dns.options,
        }),
        ports: config
            .port_mappings
            .iter()
            .filter_map(|mapping| port(mapping).transpose())
            .collect::<Result<_>>()?,
        labels: sorted(config.labels),
        annotations: sorted(config.annotations),
        network: namespaces.network,
        ipc: namespaces.ipc,
        pid: namespaces.pid,
        sysctls: sorted(linux.sysctls),
        cgroup_parent: cgroup_parent(&linux.cgroup_parent)?,
        privileged: security.privileged,
        handler,
        ..PodSpec::default()
    })
}

/// The pod's name stands in for a host name that is not given; cut as kubelet cuts it, since names may be longer.
fn hostname(given: String, pod: &str, network: NamespaceMode) -> String {
    if !given.is_empty() || network == NamespaceMode::Host || pod.len() < HOSTNAME_MAX {
        return given;
    }
    let fits: String = pod.chars().take(HOSTNAME_MAX - 1).collect();
    // A letter of several bytes is none of a host name's; the engine refuses what is left then.
    fits.trim_end_matches(['-', '.']).to_owned()
}

fn metadata(metadata: Option<v1::PodSandboxMetadata>) -> Result<PodMetadata> {
    let metadata = metadata.ok_or_else(|| Error::invalid("config.metadata is missing"))?;
    if metadata.name.is_empty() {
        return Err(Error::invalid("config.metadata.name is empty"));
    }
    Ok(PodMetadata {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        attempt: metadata.attempt,
    })
}

/// A port to publish; `None` for one without a port on the host, which CRI says means "none".
fn port(mapping: &v1::PortMapping) -> Result<Option<PublishedPort>> {
    let number = |what: &str, value: i32| {
        u16::try_from(value)
            .map_err(|_| Error::invalid(format!("port_mappings: {what} {value} is no port number")))
    };
    let host_port = number("host_port", mapping.host_port)?;
    let container_port = number("container_port", mapping.container_port)?;
    if host_port == 0 {
        return Ok(None);
    }
    if container_port == 0 {
        return Err(Error::invalid(format!(
            "port_mappings: host_port {host_port} has no container_port"
        )));
    }
    if !mapping.host_ip.is_empty() && mapping.host_ip.parse::<IpAddr>().is_err() {
        return Err(Error::invalid(format!(
            "port_mappings: host_ip {:?} is no address",
            mapping.host_ip
        )));
    }
    let protocol = match v1::Protocol::try_from(mapping.protocol) {
        Ok(v1::Protocol::Tcp) => Protocol::Tcp,
        Ok(v1::Protocol::Udp) => Protocol::Udp,
        Ok(v1::Protocol::Sctp) => Protocol::Sctp,
        Err(_) => {
            return Err(Error::invalid(format!(
                "port_mappings: protocol {} is not one of cri",
                mapping.protocol
            )));
        }
    };
    Ok(Some(PublishedPort {
        protocol,
        host_ip: mapping.host_ip.clone(),
        host_port,
        container_port,
    }))
}

/// Without the leading slash, as the model has it.
fn cgroup_parent(parent: &str) -> Result<String> {
    if parent.is_empty() {
        return Ok(String::new());
    }
    let rooted = if parent.starts_with('/') {
        parent.to_owned()
    } else {
        format!("/{parent}")
    };
    let cleaned = path::absolute("cgroup_parent", &rooted)?;
    Ok(cleaned.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
