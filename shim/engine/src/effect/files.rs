//! /etc/hosts, /etc/hostname and /etc/resolv.conf as containers see them.

use std::sync::Arc;

use gantry_model::Result;
use gantry_model::container::{Container, DnsConfig};
use gantry_model::network::Endpoint;
use gantry_model::sandbox::{PodSpec, Sandbox, SandboxFiles};
use gantry_model::supervisor::NamespaceMode;
use gantry_spec::Bind;

use super::{config, network};
use crate::inner::Inner;

/// Writes a stand-alone container's files for this run (in place: bind mounts hold the inode) and answers their mounts.
pub(crate) async fn write_for_container(
    inner: &Arc<Inner>,
    container: &Container,
    endpoints: &[Endpoint],
) -> Result<Vec<Bind>> {
    let attachment = &container.spec.network;
    let hostname = config::hostname(container);
    let hosts = if attachment.host && attachment.extra_hosts.is_empty() {
        host_file(inner, "/etc/hosts").await
    } else {
        hosts_file(
            &hostname,
            &container.spec.domainname,
            &network::addresses(endpoints),
            &attachment.extra_hosts,
        )
    };
    let resolv = resolv_conf(inner, &attachment.dns).await;
    for (path, content) in [
        (&container.hosts_path, hosts),
        (&container.hostname_path, format!("{hostname}\n")),
        (&container.resolv_path, resolv),
    ] {
        inner
            .host
            .write_file(path, content.as_bytes(), 0o644, true)
            .await?;
    }
    Ok(vec![
        bind(&container.resolv_path, "/etc/resolv.conf"),
        bind(&container.hostname_path, "/etc/hostname"),
        bind(&container.hosts_path, "/etc/hosts"),
    ])
}

/// Writes a pod's files into `dir`.
pub(crate) async fn write_for_pod(
    inner: &Arc<Inner>,
    pod: &PodSpec,
    hostname: &str,
    dir: &str,
    addresses: &[String],
) -> Result<SandboxFiles> {
    let files = SandboxFiles {
        // The kubelet brings a pod's /etc/hosts itself; with host network it is the host's.
        hosts: if pod.network == NamespaceMode::Host {
            String::new()
        } else {
            format!("{dir}/hosts")
        },
        hostname: format!("{dir}/hostname"),
        resolv_conf: format!("{dir}/resolv.conf"),
    };
    if !files.hosts.is_empty() {
        let hosts = hosts_file(hostname, "", addresses, &[]);
        inner
            .host
            .write_file(&files.hosts, hosts.as_bytes(), 0o644, true)
            .await?;
    }
    inner
        .host
        .write_file(
            &files.hostname,
            format!("{hostname}\n").as_bytes(),
            0o644,
            true,
        )
        .await?;
    let resolv = resolv_conf(inner, &pod.dns.clone().unwrap_or_default()).await;
    inner
        .host
        .write_file(&files.resolv_conf, resolv.as_bytes(), 0o644, true)
        .await?;
    Ok(files)
}

/// Mounts of a pod's files.
pub(crate) fn of_pod(sandbox: &Sandbox) -> Vec<Bind> {
    let files = &sandbox.files;
    [
        (&files.resolv_conf, "/etc/resolv.conf"),
        (&files.hostname, "/etc/hostname"),
        (&files.hosts, "/etc/hosts"),
    ]
    .into_iter()
    .filter(|(path, _)| !path.is_empty())
    .map(|(path, target)| bind(path, target))
    .collect()
}

fn bind(source: &str, target: &str) -> Bind {
    let options = ["rbind", "rprivate", "rw"].map(str::to_owned).to_vec();
    Bind {
        kind: "bind".to_owned(),
        source: source.to_owned(),
        target: target.to_owned(),
        options,
    }
}

async fn host_file(inner: &Inner, path: &str) -> String {
    // A host without the file is a host with an empty one.
    inner
        .host
        .read_file(path)
        .await
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn hosts_file(hostname: &str, domainname: &str, addresses: &[String], extra: &[String]) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    for line in extra {
        if let Some((name, address)) = line.split_once(':') {
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    let full = if domainname.is_empty() {
        String::new()
    } else {
        format!("{hostname}.{domainname} ")
    };
    for address in addresses {
        text.push_str(&format!("{address}\t{full}{hostname}\n"));
    }
    text
}

/// What was asked, or the host's servers. A loopback resolver of the host cannot be reached from a namespace of its own
/// and is left out.
async fn resolv_conf(inner: &Inner, dns: &DnsConfig) -> String {
    let host = host_file(inner, "/etc/resolv.conf").await;
    render_resolv_conf(dns, &host)
}

fn render_resolv_conf(dns: &DnsConfig, host: &str) -> String {
    let mut text = String::new();
    let words = |key: &str| -> Vec<String> {
        let lines = host.lines().map(str::split_whitespace);
        lines
            .filter_map(|mut words| {
                (words.next() == Some(key)).then(|| words.map(str::to_owned).collect::<Vec<_>>())
            })
            .flatten()
            .collect()
    };
    let servers = if dns.servers.is_empty() {
        words("nameserver")
            .into_iter()
            .filter(|s| !s.starts_with("127.") && s != "::1")
            .collect()
    } else {
        dns.servers.clone()
    };
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    for (key, asked) in [("search", &dns.searches), ("options", &dns.options)] {
        let list = if asked.is_empty() {
            words(key)
        } else {
            asked.clone()
        };
        if !list.is_empty() {
            text.push_str(&format!("{key} {}\n", list.join(" ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{hosts_file, render_resolv_conf};
    use gantry_model::container::DnsConfig;

    #[test]
    fn names_the_container_in_its_hosts() {
        let text = hosts_file(
            "web",
            "example.org",
            &["172.30.0.2".to_owned()],
            &["db:10.0.0.9".to_owned()],
        );
        assert!(text.contains("10.0.0.9\tdb\n"), "{text}");
        assert!(
            text.ends_with("172.30.0.2\tweb.example.org web\n"),
            "{text}"
        );
    }

    #[test]
    fn takes_the_hosts_servers_but_not_its_loopback() {
        let host =
            "# comment\nnameserver 127.0.0.53\nnameserver 10.1.1.1\nsearch a b\noptions ndots:2\n";
        let text = render_resolv_conf(&DnsConfig::default(), host);
        assert_eq!(text, "nameserver 10.1.1.1\nsearch a b\noptions ndots:2\n");
        let asked = DnsConfig {
            servers: vec!["9.9.9.9".into()],
            searches: vec!["x".into()],
            options: vec![],
        };
        assert_eq!(
            render_resolv_conf(&asked, host),
            "nameserver 9.9.9.9\nsearch x\noptions ndots:2\n"
        );
    }
}
