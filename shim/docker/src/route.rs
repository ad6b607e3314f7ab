//! Finds the handler of a request. A path Docker publishes and Gantry does not serve yet is 501 with its name, one that
//! nobody publishes is 404, and swarm's answer as a daemon does that is in no swarm.

mod table;

use std::pin::Pin;
use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use crate::door::DockerDoor;
use crate::query::{Query, decode};
use crate::request::Req;
use crate::response::{Answer, Failure};
use crate::streaming::Peer;
use crate::version;

type Handler = fn(Arc<DockerDoor>, Req) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What is behind a path.
#[derive(Clone, Copy)]
enum Target {
    /// A handler.
    Serve(Handler),
    /// Nothing yet.
    NotYet,
    /// A swarm manager, which this node never is.
    Swarm,
}

const NO_SWARM: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                        this node to swarm and try again.";

/// Answers one request.
pub(crate) async fn answer(
    door: Arc<DockerDoor>,
    peer: Arc<dyn Peer>,
    http: Request<Incoming>,
) -> Answer {
    let path = http.uri().path().to_owned();
    let (asked, path) = version::split(&path);
    let version = version::negotiate(asked, door.config.min_api)?;
    let (target, args) = find(http.method(), path)?;
    let handler = match target {
        Target::Serve(handler) => handler,
        Target::NotYet => {
            let text = format!("{} {path} is not served by gantry yet", http.method());
            return Err(Failure::not_served(text));
        }
        Target::Swarm => return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, NO_SWARM)),
    };
    let req = Req {
        args,
        query: Query::parse(http.uri().query().unwrap_or_default()),
        version,
        peer,
        http,
    };
    handler(door, req).await
}

/// The target of a path with what stands in its holes.
///
/// # Errors
/// 404 for what nobody publishes; dockerd answers that to another method of a published path too.
fn find(method: &Method, path: &str) -> Result<(Target, Vec<String>), Failure> {
    for (methods, pattern, target) in table::TABLE {
        let Some(args) = fits(pattern, path) else {
            continue;
        };
        if methods.split('|').any(|one| one == method.as_str()) {
            return Ok((*target, args));
        }
    }
    Err(Failure::new(StatusCode::NOT_FOUND, "page not found"))
}

/// Whether the path fits the pattern: `{}` is one segment, `{*}` one or more (image names have slashes).
fn fits(pattern: &str, path: &str) -> Option<Vec<String>> {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    let holes = path.len().checked_sub(pattern.len())?;
    let mut args = Vec::new();
    let mut at = 0;
    for part in pattern {
        let width = if part == "{*}" { holes + 1 } else { 1 };
        let text = path.get(at..at + width)?.join("/");
        at += width;
        match part {
            "{}" | "{*}" if text.is_empty() => return None,
            "{}" | "{*}" => args.push(decode(&text, false)),
            fixed if fixed == text => {}
            _ => return None,
        }
    }
    (at == path.len()).then_some(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &str, path: &str) -> Result<(&'static str, Vec<String>), u16> {
        match find(&method.parse().unwrap(), path) {
            Ok((Target::Serve(_), args)) => Ok(("serve", args)),
            Ok((Target::NotYet, args)) => Ok(("501", args)),
            Ok((Target::Swarm, args)) => Ok(("swarm", args)),
            Err(failure) => Err(failure.status.as_u16()),
        }
    }

    #[test]
    fn holes_take_segments() {
        let some = |parts: &[&str]| Some(parts.iter().map(|p| (*p).to_owned()).collect());
        for (pattern, path, expected) in [
            ("/a/{}/json", "/a/x/json", some(&["x"])),
            ("/a/{}/json", "/a//json", None),
            ("/a/{}/json", "/a/x/y/json", None),
            ("/i/{*}/json", "/i/r:5000/x/y/json", some(&["r:5000/x/y"])),
            ("/i/{*}/json", "/i/json", None),
            ("/i/{*}", "/i/a%2Fb%3Ac", some(&["a/b:c"])),
            ("/i/json", "/i/json", some(&[])),
            ("/i", "/i/", None),
        ] {
            assert_eq!(fits(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn every_path_has_its_answer() {
        let arg = |kind, arg: &str| Ok((kind, vec![arg.to_owned()]));
        for (method, path, expected) in [
            ("GET", "/_ping", Ok(("serve", vec![]))),
            ("HEAD", "/_ping", Ok(("serve", vec![]))),
            ("GET", "/containers/json", Ok(("serve", vec![]))),
            ("GET", "/containers/json/json", arg("serve", "json")),
            (
                "GET",
                "/images/r:5000/x/busybox:1/json",
                arg("serve", "r:5000/x/busybox:1"),
            ),
            ("DELETE", "/images/a/b", arg("serve", "a/b")),
            ("GET", "/images/json", Ok(("serve", vec![]))),
            ("PUT", "/containers/x/archive", arg("501", "x")),
            ("POST", "/build", Ok(("501", vec![]))),
            ("POST", "/session", Ok(("501", vec![]))),
            ("GET", "/swarm", Ok(("swarm", vec![]))),
            ("GET", "/services/x", arg("swarm", "x")),
            ("GET", "/nope", Err(404)),
            ("GET", "/", Err(404)),
            ("GET", "", Err(404)),
            ("DELETE", "/info", Err(404)),
        ] {
            assert_eq!(target(method, path), expected, "{method} {path}");
        }
    }
}
