//! What older and newer peers may send, and the recorded transcript of each release.

use super::*;

/// Every line is `{"to":"supervisor"|"client","frame":…}`.
#[derive(Deserialize)]
struct Line {
    to: String,
    frame: Value,
}

#[test]
fn the_transcript_of_every_release_is_still_understood() {
    for (release, requests, text) in [
        ("v0.1", 18, include_str!("../../transcripts/v0.1.jsonl")),
        ("v0.2", 20, include_str!("../../transcripts/v0.2.jsonl")),
    ] {
        let mut seen = std::collections::BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{release}:{}", number + 1);
            let line: Line = serde_json::from_str(line).expect(&place);
            if line.to == "supervisor" {
                let frame: RequestFrame = serde_json::from_value(line.frame).expect(&place);
                seen.insert(frame.op.clone());
                let (id, operation) = (frame.id, frame.operation.clone());
                let request = Request::of(frame.clone()).expect(&place);
                // What we would send says all that was said then, and perhaps more.
                let now = request.frame(id, &operation);
                assert_eq!((&now.op, now.id), (&frame.op, frame.id), "{place}");
                says_all(&now.body, &frame.body, &place);
            } else {
                let reply: Reply = serde_json::from_value(line.frame.clone()).expect(&place);
                assert_ne!(reply.event, Some(Event::Other), "{place}");
                assert_eq!(serde_json::to_value(&reply).unwrap(), line.frame, "{place}");
            }
        }
        assert_eq!(
            seen.len(),
            requests,
            "{release} records every request: {seen:?}"
        );
    }
}

/// Every field that was said is there with its value.
fn says_all(now: &Value, then: &Value, place: &str) {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            for (name, value) in then {
                let now = now.get(name);
                says_all(
                    now.unwrap_or(&Value::Null),
                    value,
                    &format!("{place} {name}"),
                );
            }
        }
        _ => assert_eq!(now, then, "{place}"),
    }
}

#[test]
fn fields_of_a_newer_peer_are_ignored_and_missing_ones_have_defaults() {
    let frame: RequestFrame = serde_json::from_str(
        r#"{"id":1,"op":"create","body":{"id":"c","colour":"red"},"later":[1]}"#,
    )
    .unwrap();
    let Request::Create(create) = Request::of(frame).unwrap() else {
        panic!("another request")
    };
    assert_eq!((create.id.as_str(), create.log), ("c", t::Log::None));
    let reply = Reply::decode(br#"{"event":{"kind":"weather"},"x":1}"#).unwrap();
    assert_eq!(reply.event, Some(Event::Other));
    let reply = Reply::decode(br#"{"id":3,"error":{"kind":"quantum","message":"m"}}"#).unwrap();
    assert_eq!(
        reply.into_result::<t::Nothing>().unwrap_err().kind,
        ErrorKind::Internal
    );
}

#[test]
fn an_unknown_request_is_unimplemented_and_a_bad_body_invalid() {
    let ask = |text: &str| {
        Request::of(serde_json::from_str(text).unwrap())
            .unwrap_err()
            .kind
    };
    assert_eq!(ask(r#"{"id":1,"op":"dance"}"#), ErrorKind::Unimplemented);
    assert_eq!(
        ask(r#"{"id":1,"op":"kill","body":{"id":"c"}}"#),
        ErrorKind::InvalidArgument
    );
}
