//! Calls through the C border, of C and of Rust plugins.
#![allow(clippy::unwrap_used)] // these are tests, helpers and all

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_abi::{ErrorCode, Outcome};
use gantry_plugin_loader::{
    Descriptor, Found, HostServices, Instance, Invocation, Level, Reply, Trust, monotonic_ms,
};

#[path = "../../../plugins/fixtures/compile.rs"]
mod compile;

#[derive(Default)]
struct Services(Mutex<Vec<(Option<String>, String)>>);

impl HostServices for Services {
    fn log(&self, operation: Option<&str>, _level: Level, message: &str) {
        self.0
            .lock()
            .unwrap()
            .push((operation.map(str::to_owned), message.to_owned()));
    }

    fn netns_socket(&self, _: BorrowedFd<'_>, _: i32, _: i32, _: i32) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn open(path: &Path, store: &Path, init: &str) -> Result<(Instance, Arc<Services>), Reply> {
    let library = Found::at(path, Trust::Parents)
        .unwrap()
        .load(store)
        .unwrap();
    let services = Arc::new(Services::default());
    let call = Invocation {
        operation: "open",
        json: init.as_bytes(),
        ..Default::default()
    };
    Ok((library.open(services.clone(), call)?, services))
}

const INIT: &str = r#"{"instance":{"name":"test","id":"00"},"root":"/nowhere"}"#;

fn fixture(folder: &Path, variants: &[&str]) -> (Instance, Arc<Services>) {
    let path = compile::fixture(folder, "fixture.so", variants);
    open(&path, &folder.join("store"), INIT).unwrap()
}

fn rust(folder: &Path) -> Instance {
    let path = compile::cdylib(folder, "gantry-fixtures");
    open(&path, &folder.join("store"), INIT).unwrap().0
}

fn json(text: &str) -> Invocation<'_> {
    Invocation {
        operation: "op-1",
        json: text.as_bytes(),
        ..Default::default()
    }
}

#[test]
fn what_goes_in_comes_out() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, services) = fixture(folder.path(), &[]);
    let reply = instance.call("volume", "create", json(r#"{"name":"ä\n"}"#));
    assert_eq!(reply.outcome, Outcome::Done);
    let answer: serde_json::Value = serde_json::from_slice(&reply.json).unwrap();
    assert_eq!(answer["state"]["data"]["name"], "ä\n");
    assert_eq!(answer["operation"], "op-1");
    let logged = services.0.lock().unwrap().clone();
    assert_eq!(logged, [(Some("op-1".to_owned()), "create".to_owned())]);
}

#[test]
fn a_function_or_table_that_is_not_there_is_unimplemented() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, _) = fixture(folder.path(), &[]);
    for (table, function) in [
        ("volume", "usage"),
        ("volume", "nonsense"),
        ("network", "join"),
        ("x", "y"),
    ] {
        let reply = instance.call(table, function, json("{}"));
        assert_eq!(
            (reply.outcome, reply.code),
            (Outcome::NotDone, ErrorCode::Unimplemented),
            "{table}.{function}"
        );
    }
}

#[test]
fn an_old_minor_version_serves_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, _) = fixture(folder.path(), &["OLD_MINOR"]);
    assert_eq!(instance.library().identity.abi_minor, 0);
    assert_eq!(
        instance.call("volume", "list", json("{}")).outcome,
        Outcome::Done
    );
    // Behind the end of its table, and of its plugin table, lies something else.
    assert_eq!(
        instance.call("volume", "usage", json("{}")).code,
        ErrorCode::Unimplemented
    );
    assert_eq!(instance.quiesce(json("{}")).outcome, Outcome::Done);
    instance.close();
}

#[test]
fn outcomes_and_kinds_arrive_and_unknown_numbers_mean_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, _) = fixture(folder.path(), &["ERROR"]);
    let reply = instance.call("volume", "create", json("{}"));
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::NotDone, ErrorCode::ResourceExhausted)
    );
    assert_eq!(reply.message, "create volume: no space");
    let reply = instance.call("volume", "mount", json("{}"));
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::Unknown, ErrorCode::Internal)
    );
    let reply = instance.call("volume", "inspect", json("{}"));
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::Unknown, ErrorCode::Internal)
    );
}

#[test]
fn wild_answers_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, _) = fixture(folder.path(), &["WILD"]);
    for function in ["create", "mount"] {
        let reply = instance.call("volume", function, json("{}"));
        assert_eq!(
            (reply.outcome, reply.code),
            (Outcome::Unknown, ErrorCode::Internal),
            "{function}"
        );
    }
}

#[test]
fn cancel_and_deadline_reach_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let (instance, _) = fixture(folder.path(), &["SLOW"]);
    let (read, write) = nix::unistd::pipe().unwrap();
    let before = Instant::now();
    let reply = std::thread::scope(|scope| {
        let call = Invocation {
            cancel: Some(read.as_fd()),
            ..json("{}")
        };
        let running = scope.spawn(|| instance.call("volume", "create", call));
        File::from(write).write_all(b"x").unwrap();
        running.join().unwrap()
    });
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::NotDone, ErrorCode::Cancelled)
    );
    assert!(before.elapsed() < Duration::from_secs(5));
    // Past its deadline `check_cancel` says so too; the fixture's poll ends at once, since the pipe's end is closed.
    let call = Invocation {
        cancel: Some(read.as_fd()),
        deadline_ms: monotonic_ms() - 1,
        ..json("{}")
    };
    assert_eq!(
        instance.call("volume", "create", call).code,
        ErrorCode::Cancelled
    );
}

#[test]
fn a_panic_stays_inside_and_the_instance_is_refused_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let instance = rust(folder.path());
    let reply = instance.call("volume", "create", json(r#"{"name":"fine"}"#));
    assert_eq!(reply.outcome, Outcome::Done);
    let reply = instance.call("volume", "create", json(r#"{"name":"panic"}"#));
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::Unknown, ErrorCode::Poisoned)
    );
    assert!(
        reply.message.contains("asked to panic in op-1"),
        "{}",
        reply.message
    );
    let reply = instance.call("volume", "list", json("{}"));
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::NotDone, ErrorCode::Poisoned)
    );
}

#[test]
fn a_panic_while_opening_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = compile::cdylib(folder.path(), "gantry-fixtures");
    let init = r#"{"instance":{"name":"t","id":"0"},"root":"/","config":{"panic":true}}"#;
    let reply = open(&path, &folder.path().join("store"), init)
        .err()
        .unwrap();
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::NotDone, ErrorCode::Poisoned)
    );
}

#[test]
fn a_field_that_must_be_understood_and_is_not_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let instance = rust(folder.path());
    let reply = instance.call("volume", "create", json(r#"{"name":"x","encrypt":true}"#));
    assert_eq!(
        reply.outcome,
        Outcome::Done,
        "unknown fields alone are no harm: {}",
        reply.message
    );
    let asked = r#"{"name":"x","encrypt":true,"must_understand":["name","encrypt"]}"#;
    let reply = instance.call("volume", "create", json(asked));
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::NotDone, ErrorCode::Unimplemented)
    );
    assert!(reply.message.contains("encrypt"), "{}", reply.message);
    let reply = instance.call("volume", "create", json("nonsense"));
    assert_eq!(
        (reply.outcome, reply.code),
        (Outcome::NotDone, ErrorCode::InvalidArgument)
    );
}

#[test]
fn descriptors_travel_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let instance = rust(folder.path());
    let open = || {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        Arc::new(OwnedFd::from(file))
    };
    for fd in [Descriptor::Lent(open()), Descriptor::Given(open())] {
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let call = Invocation {
            fds: vec![fd.clone()],
            ..json(r#"{"name":"x"}"#)
        };
        let reply = instance.call("volume", "inspect", call);
        assert_eq!(reply.outcome, Outcome::Done, "{}", reply.message);
        let answer: serde_json::Value = serde_json::from_slice(&reply.json).unwrap();
        assert_eq!(answer["mountpoint"], "text");
        assert_eq!(reply.fds.len(), 1);
        let mut back = File::from(reply.fds.into_iter().next().unwrap());
        back.rewind().unwrap();
        let mut text = String::new();
        back.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        drop(back);
        let after = std::fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(
            after <= before + 2,
            "descriptors leak: {before} before, {after} after"
        );
    }
    let reply = instance.call("volume", "inspect", json(r#"{"name":"x"}"#));
    assert_eq!(
        reply.code,
        ErrorCode::InvalidArgument,
        "without a descriptor"
    );
}
