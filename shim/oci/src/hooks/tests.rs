//! Hooks against the host's own shell.

use super::*;

fn hook(script: &str, rest: &str) -> Hook {
    let args = serde_json::json!(["sh", "-c", script]).to_string();
    serde_json::from_str(&format!(r#"{{"path":"/bin/sh","args":{args}{rest}}}"#)).unwrap()
}

fn state() -> State {
    State {
        oci_version: VERSION,
        id: "one".into(),
        status: "creating",
        pid: Some(7),
        bundle: "/b".into(),
        annotations: BTreeMap::new(),
    }
}

fn outcome(hook: &Hook) -> String {
    match one(hook, 3, Stage::CreateRuntime, &state(), &|| Ok(())) {
        Ok(()) => "done".into(),
        Err(e) => e.message,
    }
}

#[test]
fn it_gets_the_state_a_clean_environment_and_the_root_as_folder() {
    let script = r#"read -r line; [ "$line" = '{"ociVersion":"1.2.0","id":"one","status":"creating","pid":7,"bundle":"/b","annotations":{}}' ] || exit 1
        [ "$(pwd)" = / ] || exit 2; [ "$A" = b ] || exit 3; [ -z "$HOME$USER$CARGO" ] || exit 4
        [ "$(ls /proc/self/fd | wc -l)" = 4 ] || exit 5"#;
    let env = r#","env":["A=b","PATH=/bin:/usr/bin"]"#;
    assert_eq!(outcome(&hook(script, env)), "done");
}

#[test]
fn failures_name_the_hook_and_what_it_said() {
    let text = outcome(&hook("echo no good; exit 9", ""));
    assert_eq!(
        text,
        "createRuntime hook 3 (/bin/sh) ended with code 9: no good"
    );
    let text = outcome(&hook("kill -KILL $$", ""));
    assert_eq!(
        text,
        "createRuntime hook 3 (/bin/sh) was killed by signal 9"
    );
    let missing: Hook = serde_json::from_str(r#"{"path":"/no/such"}"#).unwrap();
    let text = outcome(&missing);
    assert!(
        text.ends_with("ended with code 127: execute /no/such: No such file or directory"),
        "{text}"
    );
}

#[test]
fn a_hook_and_what_it_started_end_at_its_limit() {
    let started = Instant::now();
    let text = outcome(&hook("echo waiting; sleep 100 & wait", r#","timeout":1"#));
    assert_eq!(
        text,
        "createRuntime hook 3 (/bin/sh) did not end within 1 s: waiting"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    // What stays behind with the pipe open holds nothing up.
    assert_eq!(outcome(&hook("(sleep 3; true) & exit 0", "")), "done");
}

#[test]
fn a_long_output_and_a_long_state_hold_nothing_up() {
    let mut long = state();
    long.annotations.insert("a".into(), "x".repeat(200_000));
    let quiet = hook("yes | head -c 300000; exit 1", "");
    let failed = one(&quiet, 0, Stage::Poststop, &long, &|| Ok(())).unwrap_err();
    assert!(
        failed.message.len() < 2 * OUTPUT,
        "{}",
        failed.message.len()
    );
}

#[test]
fn what_cannot_be_right_is_said_before_anything_is_run() {
    let hooks = |json: &str| -> Result<()> { check(Some(&serde_json::from_str(json).unwrap())) };
    assert!(hooks(r#"{"poststop":[{"path":"/bin/true","timeout":5}]}"#).is_ok());
    assert!(hooks(r#"{"prestart":[{"path":"true"}]}"#).is_err());
    assert!(hooks(r#"{"startContainer":[{"path":"/bin/true","timeout":0}]}"#).is_err());
}
