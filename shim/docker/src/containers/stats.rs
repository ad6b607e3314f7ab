//! `GET /containers/{id}/stats`.

use std::sync::Arc;
use std::time::Duration;

use gantry_model::Timestamp;
use gantry_model::container::Container;
use gantry_model::supervisor::Stats;
use serde_json::{Value, json};

use crate::containers::named;
use crate::door::DockerDoor;
use crate::host::{self, Host};
use crate::request::Req;
use crate::response::{Answer, ok, stream};

/// Time between two figures: clients show CPU use as the difference.
const STEP: Duration = Duration::from_secs(1);

/// One figure with the host's CPU time beside it.
#[derive(Clone, Default)]
struct Figure {
    stats: Stats,
    system: u64,
}

/// Figures once a second until the container ends, or one with `stream=0` (after a second, to have a difference) or
/// `one-shot=1` (at once).
pub(crate) async fn stats(door: Arc<DockerDoor>, req: Req) -> Answer {
    let container = named(&door, &req)?;
    if !container.state.is_live() {
        return ok(&shown(
            &container,
            &Figure::default(),
            &Figure::default(),
            &door.host,
        ));
    }
    let first = figure(&door, &container).await?;
    if !req.query.flag_or("stream", true) {
        if req.query.flag("one-shot") {
            return ok(&shown(&container, &first, &Figure::default(), &door.host));
        }
        tokio::time::sleep(STEP).await;
        let second = figure(&door, &container)
            .await
            .unwrap_or_else(|_| first.clone());
        return ok(&shown(&container, &second, &first, &door.host));
    }
    let (sender, response) = stream("application/json");
    tokio::spawn(async move {
        let mut before = Figure::default();
        let mut now = first;
        loop {
            let line = format!("{}\n", shown(&container, &now, &before, &door.host));
            if sender.send(line.into()).await.is_err() {
                return;
            }
            tokio::select! {
                () = sender.closed() => return,
                () = tokio::time::sleep(STEP) => {}
            }
            before = now;
            now = match figure(&door, &container).await {
                Ok(now) => now,
                Err(_) => return,
            };
        }
    });
    Ok(response)
}

async fn figure(door: &DockerDoor, container: &Container) -> gantry_model::Result<Figure> {
    Ok(Figure {
        stats: door.engine.container_stats(&container.id).await?,
        system: host::system_cpu(),
    })
}

fn cpu(figure: &Figure, cpus: usize) -> Value {
    json!({
        "cpu_usage": {
            "total_usage": figure.stats.cpu_total,
            "usage_in_kernelmode": figure.stats.cpu_system,
            "usage_in_usermode": figure.stats.cpu_user,
        },
        "system_cpu_usage": figure.system,
        "online_cpus": cpus,
        "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
    })
}

fn shown(container: &Container, now: &Figure, before: &Figure, host: &Host) -> Value {
    let at = |figure: &Figure| -> String { Timestamp::rfc3339(figure.stats.at) };
    let stats = &now.stats;
    json!({
        "id": container.id.as_str(),
        "name": format!("/{}", container.name),
        "read": at(now),
        "preread": at(before),
        "num_procs": 0,
        "pids_stats": { "current": stats.pids, "limit": stats.pids_limit },
        "cpu_stats": cpu(now, host.cpus),
        "precpu_stats": cpu(before, host.cpus),
        "memory_stats": {
            "usage": stats.memory_usage,
            // Without a limit of its own the host's memory is the limit.
            "limit": if stats.memory_limit == 0 { host.memory } else { stats.memory_limit },
            // Clients take the inactive file cache off; the names are those of cgroup v1 and v2.
            "stats": { "inactive_file": stats.memory_inactive_file, "total_inactive_file": stats.memory_inactive_file },
        },
        "blkio_stats": {
            "io_service_bytes_recursive": [], "io_serviced_recursive": [], "io_queue_recursive": [],
            "io_service_time_recursive": [], "io_wait_time_recursive": [], "io_merged_recursive": [],
            "io_time_recursive": [], "sectors_recursive": [],
        },
        "storage_stats": {},
    })
}
