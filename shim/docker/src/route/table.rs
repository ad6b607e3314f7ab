//! Every path Docker publishes, in the order they are tried: fixed ones stand before those with holes.

use super::Target::{self, NotYet, Serve, Swarm};
use crate::{containers, exec, images, networks, plugins, system, volumes};

macro_rules! serve {
    ($handler:path) => {
        Serve(|door, req| Box::pin($handler(door, req)))
    };
}

/// Methods, pattern, target.
pub(super) const TABLE: &[(&str, &str, Target)] = &[
    // System.
    ("GET|HEAD", "/_ping", serve!(system::ping::ping)),
    ("GET", "/version", serve!(system::version::version)),
    ("GET", "/info", serve!(system::info::info)),
    ("GET", "/events", serve!(system::events::events)),
    ("GET", "/system/df", NotYet),
    ("POST", "/auth", NotYet),
    ("POST", "/build", NotYet),
    ("POST", "/build/prune", NotYet),
    ("POST", "/build/cancel", NotYet),
    ("POST", "/commit", NotYet),
    ("POST", "/session", NotYet),
    ("POST", "/grpc", NotYet),
    ("GET", "/distribution/{*}/json", NotYet),
    // Containers.
    ("GET", "/containers/json", serve!(containers::list::list)),
    (
        "POST",
        "/containers/create",
        serve!(containers::create::create),
    ),
    (
        "POST",
        "/containers/prune",
        serve!(containers::prune::prune),
    ),
    (
        "GET",
        "/containers/{}/json",
        serve!(containers::inspect::inspect),
    ),
    ("GET", "/containers/{}/top", serve!(containers::top::top)),
    ("GET", "/containers/{}/logs", serve!(containers::logs::logs)),
    ("GET", "/containers/{}/changes", NotYet),
    ("GET", "/containers/{}/export", NotYet),
    (
        "GET",
        "/containers/{}/stats",
        serve!(containers::stats::stats),
    ),
    (
        "POST",
        "/containers/{}/resize",
        serve!(containers::resize::resize),
    ),
    (
        "POST",
        "/containers/{}/start",
        serve!(containers::start::start),
    ),
    (
        "POST",
        "/containers/{}/stop",
        serve!(containers::stop::stop),
    ),
    (
        "POST",
        "/containers/{}/restart",
        serve!(containers::restart::restart),
    ),
    (
        "POST",
        "/containers/{}/kill",
        serve!(containers::kill::kill),
    ),
    (
        "POST",
        "/containers/{}/update",
        serve!(containers::update::update),
    ),
    (
        "POST",
        "/containers/{}/rename",
        serve!(containers::rename::rename),
    ),
    (
        "POST",
        "/containers/{}/pause",
        serve!(containers::pause::pause),
    ),
    (
        "POST",
        "/containers/{}/unpause",
        serve!(containers::pause::unpause),
    ),
    (
        "POST",
        "/containers/{}/attach",
        serve!(containers::attach::attach),
    ),
    ("GET", "/containers/{}/attach/ws", NotYet),
    (
        "POST",
        "/containers/{}/wait",
        serve!(containers::wait::wait),
    ),
    ("POST", "/containers/{}/exec", serve!(exec::create::create)),
    ("HEAD|GET|PUT", "/containers/{}/archive", NotYet),
    ("POST", "/containers/{}/copy", NotYet),
    ("GET|POST", "/containers/{}/checkpoints", NotYet),
    ("DELETE", "/containers/{}/checkpoints/{}", NotYet),
    (
        "DELETE",
        "/containers/{}",
        serve!(containers::remove::remove),
    ),
    // Execs.
    ("POST", "/exec/{}/start", serve!(exec::start::start)),
    ("POST", "/exec/{}/resize", serve!(exec::resize::resize)),
    ("GET", "/exec/{}/json", serve!(exec::inspect::inspect)),
    // Images.
    ("GET", "/images/json", serve!(images::list::list)),
    ("POST", "/images/create", serve!(images::pull::pull)),
    ("POST", "/images/load", serve!(images::load::load)),
    ("GET", "/images/search", NotYet),
    ("POST", "/images/prune", NotYet),
    ("GET", "/images/get", NotYet),
    ("GET", "/images/{*}/json", serve!(images::inspect::inspect)),
    (
        "GET",
        "/images/{*}/history",
        serve!(images::history::history),
    ),
    ("GET", "/images/{*}/attestations", NotYet),
    ("GET", "/images/{*}/get", NotYet),
    ("POST", "/images/{*}/push", NotYet),
    ("POST", "/images/{*}/tag", serve!(images::tag::tag)),
    ("DELETE", "/images/{*}", serve!(images::remove::remove)),
    // Volumes.
    ("GET", "/volumes", serve!(volumes::list::list)),
    ("POST", "/volumes/create", serve!(volumes::create::create)),
    ("POST", "/volumes/prune", NotYet),
    ("PUT", "/volumes/{*}", Swarm),
    ("GET", "/volumes/{*}", serve!(volumes::inspect::inspect)),
    ("DELETE", "/volumes/{*}", serve!(volumes::remove::remove)),
    // Networks.
    ("GET", "/networks", serve!(networks::list::list)),
    ("POST", "/networks/create", serve!(networks::create::create)),
    ("POST", "/networks/prune", NotYet),
    ("POST", "/networks/{}/connect", NotYet),
    ("POST", "/networks/{}/disconnect", NotYet),
    ("GET", "/networks/{*}", serve!(networks::inspect::inspect)),
    ("DELETE", "/networks/{*}", serve!(networks::remove::remove)),
    // Docker's own plugins.
    ("GET", "/plugins", serve!(plugins::list)),
    ("GET", "/plugins/privileges", NotYet),
    ("POST", "/plugins/pull", NotYet),
    ("POST", "/plugins/create", NotYet),
    ("GET", "/plugins/{*}/json", serve!(plugins::inspect)),
    ("POST", "/plugins/{*}/enable", NotYet),
    ("POST", "/plugins/{*}/disable", NotYet),
    ("POST", "/plugins/{*}/upgrade", NotYet),
    ("POST", "/plugins/{*}/push", NotYet),
    ("POST", "/plugins/{*}/set", NotYet),
    ("DELETE", "/plugins/{*}", NotYet),
    // Swarm.
    ("POST", "/swarm/init", NotYet),
    ("POST", "/swarm/join", NotYet),
    ("POST", "/swarm/leave", Swarm),
    ("POST", "/swarm/update", Swarm),
    ("GET", "/swarm/unlockkey", Swarm),
    ("POST", "/swarm/unlock", Swarm),
    ("GET", "/swarm", Swarm),
    ("GET", "/nodes", Swarm),
    ("GET|DELETE", "/nodes/{}", Swarm),
    ("POST", "/nodes/{}/update", Swarm),
    ("GET", "/services", Swarm),
    ("POST", "/services/create", Swarm),
    ("GET|DELETE", "/services/{}", Swarm),
    ("POST", "/services/{}/update", Swarm),
    ("GET", "/services/{}/logs", Swarm),
    ("GET", "/tasks", Swarm),
    ("GET", "/tasks/{}", Swarm),
    ("GET", "/tasks/{}/logs", Swarm),
    ("GET", "/secrets", Swarm),
    ("POST", "/secrets/create", Swarm),
    ("GET|DELETE", "/secrets/{}", Swarm),
    ("POST", "/secrets/{}/update", Swarm),
    ("GET", "/configs", Swarm),
    ("POST", "/configs/create", Swarm),
    ("GET|DELETE", "/configs/{}", Swarm),
    ("POST", "/configs/{}/update", Swarm),
];
