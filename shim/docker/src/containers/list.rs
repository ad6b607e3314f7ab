//! `GET /containers/json`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::policy::HealthStatus;
use serde_json::Value;

use crate::convert::door_data::DoorData;
use crate::convert::filters::Filters;
use crate::convert::{container, mounts, network_settings, status_text};
use crate::door::DockerDoor;
use crate::request::Req;
use crate::response::{Answer, Failure, ok};

const KEYS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: &[&str] = &[
    "created",
    "running",
    "paused",
    "restarting",
    "removing",
    "exited",
    "dead",
];
const HEALTH: &[&str] = &["none", "starting", "healthy", "unhealthy"];

/// Lists containers, newest first: those that run, or all with `all`, `limit` or a filter on the state.
pub(crate) async fn list(door: Arc<DockerDoor>, req: Req) -> Answer {
    let filters = Filters::read(&req.query, KEYS)?;
    let limit: Option<i64> = req.query.number("limit")?;
    let limit = limit
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0);
    check(&filters)?;
    let all = req.query.flag("all") || limit.is_some() || filters.get("status").is_some();
    let mut chosen = door.engine.containers(door.shown());
    chosen.sort_by(|a, b| {
        b.created_at
            .cmp(&a.created_at)
            .then_with(|| b.id.cmp(&a.id))
    });
    let ancestors = ancestors(&door, &filters).await?;
    let window = Window::read(&door, &filters)?;
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let mut lines: Vec<Value> = Vec::new();
    for one in chosen {
        if !(all || status_text::runs(&one)) || !window.holds(&one) {
            continue;
        }
        let data = DoorData::of(&one);
        let health = door.engine.health(&one.id).status;
        if !fits(&door, &one, &data, health, &filters, ancestors.as_ref())? {
            continue;
        }
        lines.push(container::summary(
            &door.engine,
            &one,
            &data,
            health,
            now,
            req.version,
        ));
        if limit.is_some_and(|limit| lines.len() == limit) {
            break;
        }
    }
    ok(&Value::Array(lines))
}

/// Refuses values nothing can fit, as dockerd does.
fn check(filters: &Filters) -> Result<(), Failure> {
    let values = |key: &str| filters.get(key).into_iter().flatten();
    for (key, what, known) in [("status", "state", STATES), ("health", "health", HEALTH)] {
        if let Some(value) = values(key).find(|value| !known.contains(&value.as_str())) {
            return Err(Failure::bad_request(format!(
                "invalid filter '{key}={value}': invalid value for {what} ({value}): must be one of {}",
                known.join(", ")
            )));
        }
    }
    if let Some(code) = values("exited").find(|code| code.parse::<i32>().is_err()) {
        return Err(Failure::bad_request(format!(
            "invalid filter 'exited={code}': it is no exit code"
        )));
    }
    for key in ["publish", "expose"] {
        if let Some(port) = values(key).find(|port| port.contains(':')) {
            return Err(Failure::bad_request(format!(
                "filter for '{key}' should not contain ':': {port}"
            )));
        }
        if let Some(port) = values(key).find(|port| port_range(port).is_none()) {
            return Err(Failure::bad_request(format!(
                "error while looking up for {key} {port}: invalid port range"
            )));
        }
    }
    Ok(())
}

/// `before` and `since`: made earlier or later than another one.
struct Window {
    before: Option<Timestamp>,
    since: Option<Timestamp>,
}

impl Window {
    fn read(door: &DockerDoor, filters: &Filters) -> Result<Self, Failure> {
        let made = |key: &str| -> Result<Option<Timestamp>, Failure> {
            let Some(name) = filters.get(key).and_then(BTreeSet::first) else {
                return Ok(None);
            };
            Ok(Some(
                door.engine.find_container(door.shown(), name)?.created_at,
            ))
        };
        Ok(Self {
            before: made("before")?,
            since: made("since")?,
        })
    }

    fn holds(&self, container: &Container) -> bool {
        self.before
            .is_none_or(|before| container.created_at < before)
            && self.since.is_none_or(|since| container.created_at > since)
    }
}

/// Digests of the images asked for as ancestors, and the names as given.
async fn ancestors(
    door: &DockerDoor,
    filters: &Filters,
) -> Result<Option<BTreeSet<String>>, Failure> {
    let Some(names) = filters.get("ancestor") else {
        return Ok(None);
    };
    let mut all = BTreeSet::new();
    for name in names {
        all.insert(name.clone());
        if let Ok(view) = door.engine.find_image(name).await {
            all.insert(view.details.target.digest.clone());
            all.insert(view.details.config_digest.clone());
        }
    }
    Ok(Some(all))
}

fn fits(
    door: &DockerDoor,
    one: &Container,
    data: &DoorData,
    health: HealthStatus,
    filters: &Filters,
    ancestors: Option<&BTreeSet<String>>,
) -> Result<bool, Failure> {
    let ran = one
        .run
        .as_ref()
        .is_some_and(|run| run.started_at != Timestamp(0));
    let exit = one.exit().filter(|_| ran && !status_text::runs(one));
    let exit = exit.map(|exit| exit.code);
    let rooted = format!("/{}", one.name);
    if !filters.fits("name", &[&one.name, &rooted])
        || !filters.fits("id", &[one.id.as_str()])
        || !filters.exact("status", status_text::word(one))
        || !filters.labels(&one.spec.labels)
        || !filters.any("exited", |code| exit.is_some() && code.parse().ok() == exit)
        || filters.boolean("is-task")? == Some(true)
        || !filters.exact("health", health.as_str())
        || !filters.any("isolation", |word| matches!(word, "" | "default"))
    {
        return Ok(false);
    }
    if let Some(ancestors) = ancestors
        && ![
            &one.image.digest,
            &one.image_config,
            &one.spec.image,
            &one.image_name,
        ]
        .iter()
        .any(|name| ancestors.contains(*name))
    {
        return Ok(false);
    }
    Ok(fits_parts(door, one, data, filters))
}

/// The filters on networks, volumes and ports.
fn fits_parts(door: &DockerDoor, one: &Container, data: &DoorData, filters: &Filters) -> bool {
    if ["network", "volume", "publish", "expose"]
        .iter()
        .all(|key| filters.get(key).is_none())
    {
        return true;
    }
    let known = door.engine.networks();
    let network = |value: &str| {
        data.networks.keys().any(|name| {
            let id = known
                .iter()
                .find(|n| n.spec.name == *name)
                .map(|n| n.id.as_str());
            name == value || id.is_some_and(|id| id.starts_with(value))
        })
    };
    let shown = mounts::shown(one);
    let volume = |value: &str| {
        shown.iter().any(|mount| {
            mount["Name"] == value || mount["Destination"] == value || mount["Source"] == value
        })
    };
    let published = network_settings::published(&network_settings::endpoints(&door.engine, one));
    let publish = |value: &str| {
        published.iter().any(|port| {
            in_ports(value, port.host_port, port.protocol.as_str())
                || in_ports(value, port.container_port, port.protocol.as_str())
        })
    };
    let expose = |value: &str| {
        data.exposed().any(|key| {
            let (port, proto) = key.split_once('/').unwrap_or((key, "tcp"));
            port.parse().is_ok_and(|port| in_ports(value, port, proto))
        })
    };
    filters.any("network", network)
        && filters.any("volume", volume)
        && filters.any("publish", publish)
        && filters.any("expose", expose)
}

/// `80`, `80/udp`, `80-90/tcp`.
fn port_range(text: &str) -> Option<(RangeInclusive<u16>, &str)> {
    let (range, proto) = text.split_once('/').unwrap_or((text, "tcp"));
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low..=high, proto))
}

/// Whether that names this port.
fn in_ports(text: &str, port: u16, protocol: &str) -> bool {
    port_range(text).is_some_and(|(range, proto)| proto == protocol && range.contains(&port))
}

#[cfg(test)]
mod tests {
    use super::in_ports;

    #[test]
    fn port_filters() {
        for (text, port, proto, expected) in [
            ("80", 80, "tcp", true),
            ("80/udp", 80, "tcp", false),
            ("80-90/tcp", 85, "tcp", true),
            ("80-90", 91, "tcp", false),
            ("x", 80, "tcp", false),
        ] {
            assert_eq!(in_ports(text, port, proto), expected, "{text}");
        }
    }
}
