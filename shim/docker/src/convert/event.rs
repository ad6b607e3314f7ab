//! Events as Docker writes them, with the old fields (`status`, `id`, `from`) clients before 1.52 read.

use gantry_model::event::{Event, Subject};
use gantry_model::image::Origin;
use serde_json::{Value, json};

use super::filters::Filters;

/// Keys `docker events --filter` may use.
pub(crate) const KEYS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "id",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// As Docker writes it.
pub(crate) fn shown(event: &Event) -> Value {
    let mut shown = json!({
        "Type": event.subject.as_str(),
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "scope": "local",
        "time": event.at.seconds(),
        "timeNano": event.at.0,
    });
    if matches!(event.subject, Subject::Container | Subject::Image) {
        shown["status"] = json!(event.action);
        shown["id"] = json!(event.id);
        if let Some(image) = event.attributes.get("image") {
            shown["from"] = json!(image);
        }
    }
    shown
}

/// Whether this door shows it at all: sandboxes are nothing Docker knows, and CRI's containers are CRI's.
pub(crate) fn is_ours(event: &Event, door: Option<Origin>) -> bool {
    let owner = event.subject != Subject::Container
        || door.is_none()
        || event.origin.is_none()
        || event.origin == door;
    event.subject != Subject::Sandbox && owner
}

/// Whether it fits the filters.
pub(crate) fn fits(event: &Event, filters: &Filters) -> bool {
    let name = event.attributes.get("name").map_or("", String::as_str);
    let of = |key: &str, subject: Subject| {
        filters.any(key, |value| {
            event.subject == subject
                && (event.id == value
                    || name == value
                    || (value.len() > 3 && event.id.starts_with(value)))
        })
    };
    let image = filters.any("image", |value| {
        let images = [
            event.attributes.get("image").map_or("", String::as_str),
            name,
            &event.id,
        ];
        images
            .iter()
            .any(|image| *image == value || image.split(':').next() == Some(value))
    });
    filters.exact("type", event.subject.as_str())
        && filters.any("event", |value| {
            event.action == value || event.action.split(':').next() == Some(value)
        })
        && filters.exact("scope", "local")
        && of("container", Subject::Container)
        && of("network", Subject::Network)
        && of("volume", Subject::Volume)
        && of("plugin", Subject::Plugin)
        && of("daemon", Subject::Daemon)
        && filters.exact("id", &event.id)
        && image
        && filters.labels(&event.attributes)
        && ["config", "node", "secret", "service"]
            .iter()
            .all(|key| filters.get(key).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use gantry_model::Timestamp;
    use std::collections::BTreeMap;

    fn event() -> Event {
        Event {
            sequence: 1,
            at: Timestamp(1_700_000_000_123_456_789),
            subject: Subject::Container,
            action: "die".into(),
            id: "abcdef".into(),
            origin: Some(Origin::Docker),
            attributes: BTreeMap::from(
                [
                    ("name", "web"),
                    ("image", "busybox:1"),
                    ("exitCode", "0"),
                    ("l", "v"),
                ]
                .map(|(k, v)| (k.to_owned(), v.to_owned())),
            ),
        }
    }

    #[test]
    fn is_written_as_docker_does() {
        assert_eq!(
            shown(&event()),
            json!({
                "status": "die", "id": "abcdef", "from": "busybox:1", "Type": "container", "Action": "die",
                "Actor": {"ID": "abcdef", "Attributes": {"name": "web", "image": "busybox:1", "exitCode": "0", "l": "v"}},
                "scope": "local", "time": 1_700_000_000, "timeNano": 1_700_000_000_123_456_789_i64,
            })
        );
    }

    #[test]
    fn filters() {
        for (json, expected) in [
            (r#"{"type":["container"]}"#, true),
            (r#"{"type":["image"]}"#, false),
            (r#"{"event":["die"]}"#, true),
            (r#"{"event":["start","die"]}"#, true),
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["abcd"]}"#, true),
            (r#"{"container":["other"]}"#, false),
            (r#"{"image":["busybox"]}"#, true),
            (r#"{"image":["alpine"]}"#, false),
            (r#"{"label":["l=v"]}"#, true),
            (r#"{"label":["l=w"]}"#, false),
            (r#"{"network":["web"]}"#, false),
            (r#"{"service":["x"]}"#, false),
        ] {
            let query = Query::parse(&format!("filters={json}"));
            let filters = Filters::read(&query, KEYS).unwrap();
            assert_eq!(fits(&event(), &filters), expected, "{json}");
        }
        assert!(is_ours(&event(), Some(Origin::Docker)));
        assert!(!is_ours(&event(), Some(Origin::Cri)));
    }
}
