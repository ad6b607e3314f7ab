//! Events as Docker writes them, with the old fields (`status`, `id`, `from`) clients before 1.52 read.

use gantry_model::Timestamp;
use gantry_model::event::{Event, Subject};
use gantry_model::image::Origin;
use gantry_model::reference::Reference;
use serde_json::{Value, json};

use super::filters::Filters;

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

/// What a reader is told that was too slow: events between these two numbers are gone. Docker has no such event (there
/// they are gone without a word); as one of the daemon's it disturbs nobody.
pub(crate) fn lagged(last_seen: u64, next: u64, at: Timestamp) -> Value {
    let missed = next.saturating_sub(last_seen).saturating_sub(1);
    json!({
        "Type": "daemon",
        "Action": "lagged",
        "Actor": {
            "ID": "",
            "Attributes": {
                "last_seen": last_seen.to_string(),
                "next": next.to_string(),
                "missed": missed.to_string(),
            },
        },
        "scope": "local",
        "time": at.seconds(),
        "timeNano": at.0,
    })
}

/// Actions that carry what they are about behind a colon; asked for by these words, values are prefixes.
const OPEN_ENDED: [&str; 3] = ["health_status", "exec_create", "exec_start"];

/// Kinds of objects that are asked for by a prefix of their id or name. Of some of them nothing ever happens here.
const OBJECTS: [&str; 9] = [
    "config",
    "container",
    "daemon",
    "network",
    "node",
    "plugin",
    "secret",
    "service",
    "volume",
];

/// Whether it fits the filters. Keys nobody knows are passed over, as dockerd does.
pub(crate) fn fits(event: &Event, filters: &Filters) -> bool {
    let subject = event.subject.as_str();
    let name = event.attributes.get("name").map_or("", String::as_str);
    let open_ended = OPEN_ENDED.iter().any(|word| {
        filters
            .get("event")
            .is_some_and(|values| values.contains(*word))
    });
    let action = filters.any("event", |value| {
        event.action == value || (open_ended && event.action.starts_with(value))
    });
    let object = OBJECTS.iter().all(|key| {
        filters.any(key, |value| {
            subject == *key && (event.id.starts_with(value) || name.starts_with(value))
        })
    });
    let image = || {
        let key = if event.subject == Subject::Image {
            "name"
        } else {
            "image"
        };
        let image = event.attributes.get(key).map_or("", String::as_str);
        filters.any("image", |value| {
            [event.id.as_str(), image]
                .iter()
                .any(|text| *text == value || without_tag(text) == value)
        })
    };
    action
        && filters.exact("type", subject)
        && filters.exact("scope", "local")
        && object
        && image()
        && filters.labels(&event.attributes)
}

/// `busybox:1` and `docker.io/library/busybox:1` are `busybox`; what is no name stays as it is.
fn without_tag(image: &str) -> String {
    Reference::parse(image).map_or_else(|_| image.to_owned(), |name| name.familiar_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
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
            (r#"{"container":["we"]}"#, true),
            (r#"{"volume":["web"]}"#, false),
            (r#"{"service":["x"]}"#, false),
            (r#"{"scope":["local"]}"#, true),
            (r#"{"scope":["swarm"]}"#, false),
            (r#"{"event":["di"]}"#, false),
            (r#"{"event":["exec_start","di"]}"#, true),
            (r#"{"nobody":["knows"]}"#, true),
        ] {
            let query = Query::parse(&format!("filters={json}"));
            let filters = Filters::read_any(&query).unwrap();
            assert_eq!(fits(&event(), &filters), expected, "{json}");
        }
        assert!(is_ours(&event(), Some(Origin::Docker)));
        assert!(!is_ours(&event(), Some(Origin::Cri)));
    }

    #[test]
    fn actions_with_a_tail_are_asked_for_by_their_head() {
        let mut event = event();
        for (action, json, expected) in [
            ("exec_create: sh -c a", r#"{"event":["exec_create"]}"#, true),
            (
                "exec_create: sh -c a",
                r#"{"event":["exec_create: sh -c a"]}"#,
                true,
            ),
            ("exec_create: sh -c a", r#"{"event":["exec_start"]}"#, false),
            ("exec_create: sh", r#"{"event":["exec_c"]}"#, false),
            (
                "health_status: healthy",
                r#"{"event":["health_status"]}"#,
                true,
            ),
            (
                "health_status: healthy",
                r#"{"event":["health_status: unhealthy"]}"#,
                false,
            ),
        ] {
            event.action = action.into();
            let query = Query::parse(&format!("filters={json}"));
            let filters = Filters::read_any(&query).unwrap();
            assert_eq!(fits(&event, &filters), expected, "{action} {json}");
        }
    }

    #[test]
    fn images_are_asked_for_with_and_without_a_tag() {
        let mut event = event();
        event.subject = Subject::Image;
        event.id = "sha256:ab".into();
        event.attributes =
            BTreeMap::from([("name".to_owned(), "docker.io/library/busybox:1".to_owned())]);
        for (value, expected) in [
            ("busybox", true),
            ("docker.io/library/busybox:1", true),
            ("sha256:ab", true),
            ("busy", false),
        ] {
            let query = Query::parse(&format!("filters={{\"image\":[\"{value}\"]}}"));
            let filters = Filters::read_any(&query).unwrap();
            assert_eq!(fits(&event, &filters), expected, "{value}");
        }
    }

    #[test]
    fn a_slow_reader_is_told_how_much_is_gone() {
        let line = lagged(7, 12, Timestamp(1_000_000_000));
        assert_eq!(
            (&line["Type"], &line["Action"]),
            (&json!("daemon"), &json!("lagged"))
        );
        assert_eq!(line["Actor"]["Attributes"]["missed"], "4");
        assert_eq!(line["time"], 1);
    }
}
