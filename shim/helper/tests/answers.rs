//! The helper as a process: every end has an answer on stdout and a status. Needs no root.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn helper(verb: &str, request: &Value) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry-helper"));
    command
        .args([verb, &request.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("the helper was built")
}

fn last_line(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).expect("JSON is UTF-8");
    serde_json::from_str(text.lines().last().expect("an answer")).expect("answers are JSON")
}

#[test]
fn without_a_verb_it_says_how_it_is_used() {
    let output = Command::new(env!("CARGO_BIN_EXE_gantry-helper"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
}

#[test]
fn what_it_cannot_read_is_a_request_error() {
    for (verb, request) in [
        ("unpack", json!({})),
        ("copy-up", json!({"tree": {"nfs": "x"}})),
        ("unpack", json!(7)),
    ] {
        let output = helper(verb, &request);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(last_line(&output)["error"]["kind"], "request", "{request}");
    }
}

#[test]
fn a_missing_tree_and_a_wrong_layer_are_told_by_kind() {
    let output = helper("unpack", &json!({"tree": {"dir": "/nonexistent"}}));
    assert_eq!(last_line(&output)["error"]["kind"], "io");
    let dir = tempfile::tempdir().unwrap();
    // An empty stream is an empty layer, and not the one that was promised.
    let output = helper(
        "unpack",
        &json!({"tree": {"dir": dir.path()}, "diff_id": "sha256:00"}),
    );
    assert_eq!(last_line(&output)["error"]["kind"], "digest");
    let half = json!({"tree": {"overlay": {"lower": ["/"], "upper": "/tmp"}}});
    assert_eq!(
        last_line(&helper("unpack", &half))["error"]["kind"],
        "request"
    );
}

#[test]
fn an_empty_layer_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let output = helper(
        "unpack",
        &json!({"tree": {"dir": dir.path()}, "fresh": true}),
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(last_line(&output)["unpacked"]["diff_id"], empty);
}
