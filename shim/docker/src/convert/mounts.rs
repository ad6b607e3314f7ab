//! Mounts: `-v` texts, `--mount` objects, `--tmpfs`, volumes without a name; and how answers show them.

use std::collections::BTreeMap;

use gantry_model::container::Container;
use gantry_model::mount::{MountSource, MountSpec};
use serde_json::{Value, json};

use super::body::{Create, HostConfig, Mount, says_nothing};
use crate::response::Failure;

/// Volume driver when none is named.
const LOCAL: &str = "local";

/// All mounts of a request; a later source of the same target is an error, as in Docker.
///
/// # Errors
/// 400 in Docker's words, 501 for what is not served.
pub(crate) fn mounts(body: &Create) -> Result<Vec<MountSpec>, Failure> {
    let config = &body.host_config;
    let mut all = Vec::new();
    for text in &config.binds {
        all.push(bind(text, &config.volume_driver)?);
    }
    for mount in &config.mounts {
        all.push(object(mount)?);
    }
    for (target, options) in &config.tmpfs {
        all.push(MountSpec {
            source: MountSource::Tmpfs {
                options: tmpfs_options(options),
            },
            target: checked_target(target)?,
            read_only: options.split(',').any(|option| option == "ro"),
            propagation: None,
        });
    }
    for (index, mount) in all.iter().enumerate() {
        if all[..index]
            .iter()
            .any(|other| other.target == mount.target)
        {
            return Err(Failure::bad_request(format!(
                "Duplicate mount point: {}",
                mount.target
            )));
        }
    }
    for target in body.volumes.keys() {
        let target = checked_target(target)?;
        if !all.iter().any(|mount| mount.target == target) {
            all.push(anonymous(target, config));
        }
    }
    Ok(all)
}

fn anonymous(target: String, config: &HostConfig) -> MountSpec {
    MountSpec {
        source: volume(String::new(), &config.volume_driver, BTreeMap::new(), false),
        target,
        read_only: false,
        propagation: None,
    }
}

fn volume(
    name: String,
    driver: &str,
    options: BTreeMap<String, String>,
    no_copy: bool,
) -> MountSource {
    MountSource::Volume {
        anonymous: name.is_empty(),
        name,
        driver: if driver.is_empty() { LOCAL } else { driver }.to_owned(),
        options,
        no_copy,
    }
}

/// Without a trailing slash, absolute, not the root.
fn checked_target(text: &str) -> Result<String, Failure> {
    let invalid = |why: &str| {
        Failure::bad_request(format!(
            "invalid mount config: invalid mount path: '{text}' {why}"
        ))
    };
    if !text.starts_with('/') {
        return Err(invalid("mount path must be absolute"));
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(invalid("must not contain '..'"));
    }
    if parts.is_empty() {
        return Err(Failure::bad_request(
            "invalid specification: destination can't be '/'",
        ));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// `source:target[:options]`, or a target alone.
fn bind(text: &str, driver: &str) -> Result<MountSpec, Failure> {
    let invalid = || Failure::bad_request(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(invalid()),
    };
    if parts.len() > 1 && source.is_empty() {
        return Err(invalid());
    }
    let mut mount = MountSpec {
        source: MountSource::Tmpfs {
            options: Vec::new(),
        },
        target: checked_target(target)?,
        read_only: false,
        propagation: None,
    };
    let mut no_copy = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "nocopy" => no_copy = true,
            // SELinux labels are off on hosts without it, consistency words are of other systems.
            "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                mount.propagation = Some(option.to_owned());
            }
            _ => return Err(Failure::bad_request(format!("invalid mode: {options}"))),
        }
    }
    mount.source = if source.starts_with('/') {
        MountSource::Bind {
            path: source.to_owned(),
            create: true,
        }
    } else {
        if !source.is_empty() {
            checked_name(source)?;
        }
        volume(source.to_owned(), driver, BTreeMap::new(), no_copy)
    };
    Ok(mount)
}

/// Names of volumes are letters, digits and `_.-`, two at least.
fn checked_name(name: &str) -> Result<(), Failure> {
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if name.len() > 1 && first && bytes.all(rest) {
        return Ok(());
    }
    Err(Failure::bad_request(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

/// One of `HostConfig.Mounts`.
fn object(mount: &Mount) -> Result<MountSpec, Failure> {
    let invalid = |why: &str| {
        let kind = &mount.kind;
        Failure::bad_request(format!("invalid mount config for type \"{kind}\": {why}"))
    };
    if mount.target.is_empty() {
        return Err(invalid("field Target must not be empty"));
    }
    let mut propagation = None;
    let source = match mount.kind.as_str() {
        "bind" => {
            if mount.source.is_empty() {
                return Err(invalid("field Source must not be empty"));
            }
            if !mount.source.starts_with('/') {
                let text = format!(
                    "invalid mount path: '{}' mount path must be absolute",
                    mount.source
                );
                return Err(invalid(&text));
            }
            let mut create = false;
            for (option, value) in &mount.bind_options {
                match option.as_str() {
                    "Propagation" => {
                        propagation = value.as_str().filter(|v| !v.is_empty()).map(str::to_owned);
                    }
                    "CreateMountpoint" => create = value == true,
                    _ if says_nothing(value) => {}
                    _ => {
                        let text =
                            format!("BindOptions.{option} of a mount is not served by gantry yet");
                        return Err(Failure::not_served(text));
                    }
                }
            }
            MountSource::Bind {
                path: mount.source.clone(),
                create,
            }
        }
        "volume" => {
            let options = &mount.volume_options;
            if !options.subpath.is_empty() {
                return Err(Failure::not_served(
                    "VolumeOptions.Subpath of a mount is not served by gantry yet",
                ));
            }
            if !mount.source.is_empty() {
                checked_name(&mount.source)?;
            }
            if !options.labels.is_empty() {
                return Err(Failure::not_served(
                    "VolumeOptions.Labels of a mount are not served by gantry yet",
                ));
            }
            let driver = &options.driver_config;
            volume(
                mount.source.clone(),
                &driver.name,
                driver.options.clone(),
                options.no_copy,
            )
        }
        "tmpfs" => MountSource::Tmpfs {
            options: tmpfs_object(mount),
        },
        "image" | "cluster" | "npipe" => {
            let text = format!(
                "mounts of type \"{}\" are not served by gantry yet",
                mount.kind
            );
            return Err(Failure::not_served(text));
        }
        _ => return Err(invalid("mount type unknown")),
    };
    Ok(MountSpec {
        source,
        target: checked_target(&mount.target)?,
        read_only: mount.read_only,
        propagation,
    })
}

fn tmpfs_object(mount: &Mount) -> Vec<String> {
    let asked = &mount.tmpfs_options;
    let mut options = tmpfs_options("");
    if asked.size_bytes > 0 {
        options.push(format!("size={}", asked.size_bytes));
    }
    if asked.mode > 0 {
        options.push(format!("mode={:o}", asked.mode));
    }
    options.extend(asked.options.iter().map(|words| words.join("=")));
    options
}

/// Docker mounts a tmpfs noexec, nosuid and nodev unless told otherwise.
fn tmpfs_options(text: &str) -> Vec<String> {
    let mut options: Vec<String> = ["noexec", "nosuid", "nodev"].map(str::to_owned).to_vec();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        match option {
            "exec" | "suid" | "dev" => options.retain(|o| o != &format!("no{option}")),
            "ro" | "rw" => {}
            other if options.iter().any(|o| o == other) => {}
            other => options.push(other.to_owned()),
        }
    }
    options
}

/// `Mounts` of inspect and of the list.
pub(crate) fn shown(container: &Container) -> Vec<Value> {
    let mut list = Vec::new();
    for mount in &container.spec.mounts {
        match &mount.source {
            MountSource::Bind { path, .. } => list.push(json!({
                "Type": "bind",
                "Source": path,
                "Destination": mount.target,
                "Mode": if mount.read_only { "ro" } else { "" },
                "RW": !mount.read_only,
                "Propagation": mount.propagation.as_deref().unwrap_or("rprivate"),
            })),
            MountSource::Tmpfs { .. } => list.push(json!({
                "Type": "tmpfs",
                "Source": "",
                "Destination": mount.target,
                "Mode": "",
                "RW": !mount.read_only,
                "Propagation": "",
            })),
            MountSource::Volume { .. } => {}
        }
    }
    for volume in &container.volumes {
        list.push(json!({
            "Type": "volume",
            "Name": volume.name,
            "Source": volume.mountpoint,
            "Destination": volume.target,
            "Driver": volume.driver,
            "Mode": if volume.read_only { "ro" } else { "z" },
            "RW": !volume.read_only,
            "Propagation": "",
        }));
    }
    list
}

#[cfg(test)]
mod tests;
