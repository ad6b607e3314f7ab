//! The body of `POST /containers/create` to a container's spec, and what is kept of it.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::container::{ContainerSpec, DnsConfig, ProcessSpec, UserSpec};
use gantry_model::image::ImageConfig;
use serde_json::{Map, Value, json};

use super::body::{self, Create, says_nothing};
use super::door_data::DoorData;
use super::{health, host_config, limits, log, mounts, network, ports, restart, security};
use crate::host::Host;
use crate::response::Failure;

/// Name of the built-in runtime, as info and inspect show it.
pub(crate) const RUNTIME: &str = "gantry";

/// A create request, read.
#[derive(Debug)]
pub(crate) struct Read {
    raw: Value,
    /// The part that is honoured.
    pub(crate) body: Create,
}

/// Reads and checks the body as far as that goes without the image.
///
/// # Errors
/// 400 or 501 naming the option.
pub(crate) fn read(raw: Value) -> Result<Read, Failure> {
    if raw.is_null() || raw.as_object().is_some_and(Map::is_empty) {
        return Err(Failure::bad_request(
            "config cannot be empty in order to create a container",
        ));
    }
    let body: Create = body::read(raw.clone())?;
    host_config::check(&raw["HostConfig"], &body.host_config)?;
    if let Some(check) = &body.healthcheck {
        health::check(check)?;
    }
    for text in &body.env {
        if text.is_empty() || text.starts_with('=') {
            return Err(Failure::bad_request(format!(
                "invalid environment variable: {text}"
            )));
        }
    }
    if !body.working_dir.is_empty() && !body.working_dir.starts_with('/') {
        return Err(Failure::bad_request(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            body.working_dir
        )));
    }
    if body.image.is_empty() {
        return Err(Failure::bad_request("no image was named"));
    }
    Ok(Read { raw, body })
}

/// Program and arguments of both, as Docker merges them: an entry point given drops the image's arguments.
fn command(body: &Create, image: &ImageConfig) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let given = body.entrypoint.clone().map(body::Words::into_vec);
    let cmd = body
        .cmd
        .clone()
        .map(body::Words::into_vec)
        .filter(|words| !words.is_empty());
    match given {
        // `--entrypoint ""` takes the image's away.
        Some(words) if words.len() == 1 && words[0].is_empty() => (None, cmd),
        Some(words) if !words.is_empty() => (Some(words), cmd),
        _ => (image.entrypoint.clone(), cmd.or_else(|| image.cmd.clone())),
    }
}

fn merged<T: Clone>(
    ours: &BTreeMap<String, T>,
    theirs: impl IntoIterator<Item = (String, T)>,
) -> BTreeMap<String, T> {
    let mut all: BTreeMap<String, T> = theirs.into_iter().collect();
    all.extend(ours.iter().map(|(k, v)| (k.clone(), v.clone())));
    all
}

/// The client's variables, then those of the image it does not name.
fn environment(ours: &[String], image: &[String]) -> Vec<String> {
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    let named: BTreeSet<String> = ours.iter().map(|text| name(text)).collect();
    let mut all = ours.to_vec();
    all.extend(
        image
            .iter()
            .filter(|text| !named.contains(&name(text)))
            .cloned(),
    );
    all
}

fn first_of<'a>(ours: &'a str, theirs: &'a str) -> &'a str {
    if ours.is_empty() { theirs } else { ours }
}

impl Read {
    /// The spec, and what to keep, for an image with this configuration on this host.
    ///
    /// # Errors
    /// 400 or 501 naming the option.
    pub(crate) fn convert(
        &self,
        image: &ImageConfig,
        host: &Host,
    ) -> Result<(ContainerSpec, DoorData), Failure> {
        let body = &self.body;
        let config = &body.host_config;
        let (entrypoint, cmd) = command(body, image);
        let words: Vec<String> = entrypoint
            .iter()
            .chain(cmd.iter())
            .flatten()
            .cloned()
            .collect();
        let Some((path, args)) = words.split_first() else {
            return Err(Failure::bad_request("no command specified"));
        };
        let exposed: BTreeSet<String> = body
            .exposed_ports
            .keys()
            .chain(&image.exposed_ports)
            .cloned()
            .collect();
        let labels = merged(&body.labels, image.labels.clone());
        let mut network = network::attachment(body)?;
        network.ports = if network.host || network.endpoints.is_empty() {
            Vec::new()
        } else {
            ports::published(config, &exposed)?
        };
        network.dns = DnsConfig {
            servers: config.dns.clone(),
            searches: config.dns_search.clone(),
            options: config.dns_options.clone(),
        };
        network.extra_hosts = network::extra_hosts(&config.extra_hosts)?;
        // The host's network comes with the host's name unless another one is asked for.
        let hostname = if network.host && !body.network_disabled {
            first_of(&body.hostname, &host.name)
        } else {
            &body.hostname
        };
        let check = health::merged(body.healthcheck.as_ref(), &image.healthcheck);
        let mut shown = self.config_shown(image, &entrypoint, &cmd, &exposed, &labels);
        shown["Hostname"] = json!(hostname);
        if let Some(check) = &check {
            shown["Healthcheck"] = health::config(check);
        }
        let data = DoorData {
            config: shown,
            host_config: host_config::echo(&self.raw["HostConfig"], config),
            path: path.clone(),
            args: args.to_vec(),
            networks: network::kept(body, &self.raw["NetworkingConfig"]["EndpointsConfig"]),
        };
        let spec = ContainerSpec {
            image: body.image.clone(),
            process: self.process(entrypoint, cmd),
            mounts: mounts::mounts(body)?,
            security: security::security(config)?,
            resources: limits::resources(config, host.cpus)?,
            network,
            hostname: hostname.to_owned(),
            domainname: body.domainname.clone(),
            host_pid: config.pid_mode == "host",
            host_ipc: config.ipc_mode == "host",
            host_uts: config.uts_mode == "host",
            sysctls: config.sysctls.clone(),
            labels,
            annotations: config.annotations.clone(),
            log: log::read(&config.log_config)?,
            stop_signal: body.stop_signal.clone(),
            stop_timeout: body.stop_timeout,
            auto_remove: config.auto_remove,
            init: config.init,
            handler: if config.runtime == RUNTIME {
                String::new()
            } else {
                config.runtime.clone()
            },
            cgroup_parent: config.cgroup_parent.trim_start_matches('/').to_owned(),
            restart: restart::spec(&config.restart_policy).map_err(Failure::bad_request)?,
            health: check.map(|check| health::spec(&check, self.shell(image)).0),
        };
        Ok((spec, data))
    }

    /// What runs the text of a health check; empty: a shell everybody has.
    fn shell<'a>(&'a self, image: &'a ImageConfig) -> &'a [String] {
        if self.body.shell.is_empty() {
            &image.shell
        } else {
            &self.body.shell
        }
    }

    /// What the client is to be told though the container is made.
    pub(crate) fn warnings(&self, image: &ImageConfig) -> Vec<String> {
        health::merged(self.body.healthcheck.as_ref(), &image.healthcheck)
            .and_then(|check| health::spec(&check, self.shell(image)).1)
            .into_iter()
            .collect()
    }

    fn process(&self, entrypoint: Option<Vec<String>>, cmd: Option<Vec<String>>) -> ProcessSpec {
        let body = &self.body;
        ProcessSpec {
            // Merged already: nothing of the image's is to be added.
            entrypoint: Some(entrypoint.unwrap_or_default()),
            cmd: Some(cmd.unwrap_or_default()),
            env: body.env.clone(),
            cwd: body.working_dir.clone(),
            user: UserSpec {
                user: body.user.clone(),
                groups: body.host_config.group_add.clone(),
                ..UserSpec::default()
            },
            terminal: body.tty,
            stdin: body.open_stdin,
            stdin_once: body.stdin_once,
        }
    }

    fn config_shown(
        &self,
        image: &ImageConfig,
        entrypoint: &Option<Vec<String>>,
        cmd: &Option<Vec<String>>,
        exposed: &BTreeSet<String>,
        labels: &BTreeMap<String, String>,
    ) -> Value {
        let body = &self.body;
        let flag = |key: &str| self.raw[key] == true;
        let set = |keys: &BTreeSet<String>| keys.iter().map(|k| (k.clone(), json!({}))).collect();
        let volumes: BTreeSet<String> =
            body.volumes.keys().chain(&image.volumes).cloned().collect();
        let mut shown = json!({
            "Hostname": body.hostname,
            "Domainname": body.domainname,
            "User": first_of(&body.user, &image.user),
            "AttachStdin": flag("AttachStdin"),
            "AttachStdout": flag("AttachStdout"),
            "AttachStderr": flag("AttachStderr"),
            "Tty": body.tty,
            "OpenStdin": body.open_stdin,
            "StdinOnce": body.stdin_once,
            "Env": environment(&body.env, &image.env),
            "Cmd": cmd,
            "Image": body.image,
            "Volumes": if volumes.is_empty() { Value::Null } else { Value::Object(set(&volumes)) },
            "WorkingDir": first_of(&body.working_dir, &image.working_dir),
            "Entrypoint": entrypoint,
            "OnBuild": null,
            "Labels": labels,
        });
        let mut add = |key: &str, value: Value| {
            if !says_nothing(&value) {
                shown[key] = value;
            }
        };
        add("ExposedPorts", Value::Object(set(exposed)));
        add(
            "StopSignal",
            json!(first_of(&body.stop_signal, &image.stop_signal)),
        );
        if let Some(timeout) = body.stop_timeout {
            shown["StopTimeout"] = json!(timeout);
        }
        shown
    }
}

#[cfg(test)]
mod tests;
