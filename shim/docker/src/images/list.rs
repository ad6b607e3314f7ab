//! `GET /images/json`.

use std::sync::Arc;

use gantry_model::reference::Reference;
use serde_json::Value;

use crate::convert::filters::Filters;
use crate::convert::image;
use crate::convert::time::unix_seconds;
use crate::door::DockerDoor;
use crate::images::named;
use crate::request::Req;
use crate::response::{Answer, Failure, ok};

const KEYS: &[&str] = &["before", "dangling", "label", "reference", "since", "until"];

/// Lists images, newest first. Both doors see the same ones.
pub(crate) async fn list(door: Arc<DockerDoor>, req: Req) -> Answer {
    let mut filters = Filters::read(&req.query, KEYS)?;
    if let Some(name) = req.query.text("filter") {
        // Clients before 1.25.
        filters = filters.with("reference", name);
    }
    let dangling = filters.boolean("dangling")?;
    let (before, since) = (
        made(&door, &filters, "before").await?,
        made(&door, &filters, "since").await?,
    );
    let mut lines = Vec::new();
    for mut view in door.engine.images().await {
        if let Some(patterns) = filters.get("reference") {
            // Of an image with several names only those asked for are shown.
            view.names
                .retain(|name| patterns.iter().any(|pattern| refers(&name.name, pattern)));
            if view.names.is_empty() {
                continue;
            }
        }
        let created = unix_seconds(&view.details.created);
        let (tags, _) = image::names(&view);
        if dangling.is_some_and(|dangling| dangling != tags.is_empty())
            || !filters.labels(&view.details.config.labels)
            || before.is_some_and(|before| created >= before)
            || since.is_some_and(|since| created <= since)
        {
            continue;
        }
        if !filters.any("until", |text| {
            crate::convert::time::parse("until", Some(text))
                .is_ok_and(|at| at.is_some_and(|at| created < at.seconds()))
        }) {
            continue;
        }
        lines.push(image::summary(&view, req.version));
    }
    ok(&Value::Array(lines))
}

async fn made(door: &DockerDoor, filters: &Filters, key: &str) -> Result<Option<i64>, Failure> {
    match filters.get(key).and_then(|names| names.first()) {
        Some(name) => Ok(Some(unix_seconds(
            &named(door, name).await?.details.created,
        ))),
        None => Ok(None),
    }
}

/// Whether a name fits a pattern with `*` and `?`, with or without tag.
fn refers(name: &str, pattern: &str) -> bool {
    Reference::parse(name).is_ok_and(|reference| {
        [
            reference.familiar(),
            reference.familiar_name(),
            reference.to_string(),
            reference.name(),
        ]
        .iter()
        .any(|text| glob(pattern.as_bytes(), text.as_bytes()))
    })
}

/// `*` and `?` do not go over a slash, as in Go's path.Match.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            let rest = &pattern[1..];
            let end = text
                .iter()
                .position(|byte| *byte == b'/')
                .unwrap_or(text.len());
            (0..=end).any(|at| glob(rest, &text[at..]))
        }
        (Some(b'?'), Some(byte)) if *byte != b'/' => glob(&pattern[1..], &text[1..]),
        (Some(one), Some(other)) if one == other => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{glob, refers};

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox", true),
            ("busy*:1", "busybox:1", true),
            ("*", "a/b", false),
            ("*/b", "a/b", true),
            ("b?sybox", "busybox", true),
            ("busybox", "busybox:1", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn names_with_and_without_tag() {
        let name = "docker.io/library/busybox:1";
        for pattern in [
            "busybox",
            "busybox:1",
            "docker.io/library/busybox",
            "busy*:*",
        ] {
            assert!(refers(name, pattern), "{pattern}");
        }
        assert!(!refers(name, "busybox:2"));
    }
}
