//! The mark after a process died inside a plugin, by every way there is.
#![allow(clippy::unwrap_used)] // these are tests, helpers and all

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use gantry_plugin_loader::crash::{Left, Mark};
use gantry_plugin_loader::{Found, HostServices, Invocation, Level, Trust};

#[path = "../../../plugins/fixtures/compile.rs"]
mod compile;

struct Nothing;

impl HostServices for Nothing {
    fn log(&self, _: Option<&str>, _: Level, _: &str) {}

    fn netns_socket(&self, _: BorrowedFd<'_>, _: i32, _: i32, _: i32) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The victim: this test again, in a process of its own.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os("GANTRY_TEST_VICTIM").map(PathBuf::from) else {
        return;
    };
    let function = std::env::var("GANTRY_TEST_FUNCTION").unwrap();
    let (mark, _) = Mark::open(&folder.join("calls")).unwrap();
    mark.install().unwrap();
    // Another thread is in a call, too: it must not be blamed.
    let bystander = mark.enter("volume/other list");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let library = Found::at(&folder.join("f.so"), Trust::Parents)
                .unwrap()
                .load(&folder.join("store"))
                .unwrap();
            let call = || Invocation {
                operation: "op",
                json: b"{}",
                ..Default::default()
            };
            let instance = library.open(Arc::new(Nothing), call()).unwrap();
            let _entered = mark.enter(&format!("volume/fixture {function}"));
            if function == "killed" {
                nix::sys::signal::raise(nix::sys::signal::SIGKILL).unwrap();
            }
            instance.call("volume", &function, call());
        });
    });
    drop(bystander);
}

fn die(folder: &Path, function: &str) -> (ExitStatus, Vec<Left>) {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim"])
        .env("GANTRY_TEST_VICTIM", folder)
        .env("GANTRY_TEST_FUNCTION", function)
        .output()
        .unwrap();
    let (_, left) = Mark::open(&folder.join("calls")).unwrap();
    (out.status, left)
}

#[test]
fn the_call_that_crashed_is_named_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    compile::fixture(folder.path(), "f.so", &["CRASH"]);
    for (function, signal) in [
        ("create", libc::SIGSEGV),
        ("remove", libc::SIGABRT),
        ("mount", 0),
    ] {
        let (status, left) = die(folder.path(), function);
        // A stack overflow is SIGSEGV, which the Rust runtime turns into SIGABRT after its message.
        let ended = status.signal().expect("the victim was killed");
        assert!(
            ended == signal || (signal == 0 && [libc::SIGSEGV, libc::SIGABRT].contains(&ended)),
            "{status}"
        );
        let what = |what: &str, crashed| Left {
            what: what.into(),
            crashed,
        };
        let fixture = format!("volume/fixture {function}");
        assert_eq!(
            left,
            [what("volume/other list", false), what(&fixture, true)],
            "{function}"
        );
    }
}

#[test]
fn a_plugin_that_exits_is_named_too() {
    let folder = tempfile::tempdir().unwrap();
    compile::fixture(folder.path(), "f.so", &["CRASH"]);
    let (status, left) = die(folder.path(), "unmount");
    assert_eq!(status.code(), Some(0));
    assert!(
        left.iter()
            .any(|left| left.crashed && left.what == "volume/fixture unmount"),
        "{left:?}"
    );
}

#[test]
fn a_process_killed_from_outside_blames_nobody() {
    let folder = tempfile::tempdir().unwrap();
    compile::fixture(folder.path(), "f.so", &[]);
    let (status, left) = die(folder.path(), "killed");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|left| !left.crashed));
}

#[test]
fn slots_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls");
    let (mark, _) = Mark::open(&path).unwrap();
    for _ in 0..100 {
        drop(mark.enter("volume/x create"));
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 256);
    assert_eq!(Mark::open(&path).unwrap().1, []);
}
