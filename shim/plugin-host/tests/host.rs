//! The host with plugins that behave, hang, panic, crash and lie, in this process and in runners.
#![allow(clippy::unwrap_used)] // these are tests, helpers and all

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_model::call::{Call, Cancel};
use gantry_model::driver::{Drivers, VolumeDriver};
use gantry_model::operation::Outcome;
use gantry_model::plugin::{PluginKind, PluginStatus};
use gantry_model::volume::Volume;
use gantry_model::{ErrorKind, OperationId};
use gantry_plugin_host::{HostConfig, PluginHost, Trust};

#[path = "../../../plugins/fixtures/compile.rs"]
mod compile;

/// A root and a folder of plugins, both gone with the test.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.plugins()).unwrap();
        place
    }

    /// With the C fixture in one of its variants.
    fn with(variants: &[&str]) -> Self {
        let place = Self::new();
        compile::fixture(&place.plugins(), "fixture.so", variants);
        place
    }

    fn plugins(&self) -> PathBuf {
        self.0.path().join("plugins")
    }

    fn config(&self) -> HostConfig {
        config(self.0.path())
    }

    fn load(&self) -> Arc<PluginHost> {
        PluginHost::load(self.config()).unwrap()
    }

    fn let_go(&self) {
        std::fs::write(self.0.path().join("root/volumes/fixture/let-go"), "").unwrap();
    }
}

fn config(place: &Path) -> HostConfig {
    let mut config = HostConfig::new(place.join("root"), "test", "00");
    config.folders.push((place.join("plugins"), Trust::Parents));
    config
}

fn call(milliseconds: u64) -> Call {
    Call {
        operation: OperationId::from_random([7; 32]),
        timeout: Duration::from_millis(milliseconds),
        cancel: Cancel::default(),
    }
}

const LONG: u64 = 20_000;

fn volume(name: &str) -> Volume {
    Volume {
        name: name.into(),
        driver: "fixture".into(),
        ..Volume::default()
    }
}

fn fixture(host: &PluginHost) -> Arc<dyn VolumeDriver> {
    host.volume("fixture").unwrap()
}

#[tokio::test]
async fn a_plugin_serves_until_its_file_is_taken_away() {
    let place = Place::with(&[]);
    let host = place.load();
    let made = fixture(&host)
        .create(&call(LONG), &volume("data"))
        .await
        .unwrap();
    assert_eq!(made.state.schema, 1);
    assert!(
        made.state.data.contains(r#""name":"data""#),
        "{}",
        made.state.data
    );
    let mount = fixture(&host)
        .mount(&call(LONG), &volume("data"), "c")
        .await
        .unwrap();
    assert_eq!(
        (mount.kind.as_str(), mount.source.as_str()),
        ("bind", "/var/empty")
    );
    let missing = fixture(&host)
        .usage(&call(LONG), &volume("data"))
        .await
        .unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Unimplemented);

    let list = host.list();
    assert_eq!(list.len(), 1);
    assert_eq!(
        (list[0].version.as_str(), list[0].interface.as_str()),
        ("1.2.3", "0.1")
    );
    assert_eq!(
        (list[0].isolation.as_str(), list[0].status),
        ("in-process", PluginStatus::Active)
    );
    assert_eq!(list[0].capabilities, ["fixture"]);
    assert!(
        list[0]
            .loaded_from
            .starts_with(place.0.path().join("root/plugins").to_str().unwrap())
    );
    let none = host.network("fixture").err().unwrap();
    assert_eq!(none.kind, ErrorKind::NotFound, "another kind: {none}");

    std::fs::remove_file(place.plugins().join("fixture.so")).unwrap();
    let host = place.load();
    assert_eq!(
        host.volume("fixture").err().unwrap().kind,
        ErrorKind::NotFound
    );
    assert!(host.list().is_empty());
}

#[test]
fn copies_that_nobody_uses_are_removed() {
    let place = Place::with(&[]);
    let copies = || {
        let all = std::fs::read_dir(place.0.path().join("root/plugins")).unwrap();
        let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.ends_with(".so"))
            .collect::<Vec<_>>()
    };
    place.load();
    let old = copies();
    assert_eq!(old.len(), 1);
    compile::fixture(&place.plugins(), "fixture.so", &["OLD_MINOR"]);
    place.load();
    assert_eq!(copies().len(), 1);
    assert_ne!(copies(), old);
}

#[tokio::test]
async fn kinds_and_outcomes_reach_the_engine() {
    let place = Place::with(&["ERROR"]);
    let host = place.load();
    let error = fixture(&host)
        .create(&call(LONG), &volume("v"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::ResourceExhausted);
    assert!(
        error.message.contains("create v by plugin volume/fixture"),
        "{error}"
    );
    let error = fixture(&host)
        .mount(&call(LONG), &volume("v"), "c")
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_its_deadline_a_call_is_unknown_and_keeps_the_object() {
    let place = Place::with(&["HANG"]);
    let host = place.load();
    let mut late = host.late().unwrap();
    let driver = fixture(&host);
    let error = driver.create(&call(50), &volume("v")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown, "{error}");
    assert!(
        error.message.contains("v is locked until it returns"),
        "{error}"
    );
    let asked = Instant::now();
    let error = driver.create(&call(LONG), &volume("v")).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::Unavailable,
        "nothing was done: {error}"
    );
    assert!(
        error
            .message
            .contains("create of v has not returned since 0 s"),
        "{error}"
    );
    assert!(asked.elapsed() < Duration::from_secs(5), "said at once");
    let info = host.list().remove(0);
    assert_eq!(info.calls, 1, "only one call ever reached the plugin");
    let one = &info.in_flight[0];
    assert_eq!((one.function.as_str(), one.late), ("create", true));
    assert_eq!(
        (one.objects.as_slice(), &one.operation),
        (&["v".to_owned()][..], &call(0).operation)
    );
    // Other objects and reads go on.
    assert!(driver.list(&call(LONG)).await.unwrap().is_empty());
    place.let_go();
    let result = late.recv().await.unwrap();
    assert_eq!(
        (result.plugin.as_str(), result.function, result.outcome),
        ("fixture", "create", Outcome::Done)
    );
    assert_eq!(result.objects, ["v"]);
    assert_eq!(result.operation, call(0).operation);
    let info = host.list().remove(0);
    assert!(
        info.in_flight.is_empty() && info.late_answers == 1,
        "{info:?}"
    );
    assert!(
        info.last_late.starts_with("create of v was done after"),
        "{info:?}"
    );
    driver.create(&call(LONG), &volume("v")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_leaves_the_lock_with_the_call() {
    let place = Place::with(&["HANG"]);
    let host = place.load();
    let mut late = host.late().unwrap();
    let (driver, long) = (fixture(&host), call(LONG));
    let v = volume("v");
    let mut gone = driver.create(&long, &v);
    let started =
        std::future::poll_fn(|cx| std::task::Poll::Ready(gone.as_mut().poll(cx).is_pending()))
            .await;
    assert!(started);
    drop(gone);
    let error = driver.create(&call(50), &v).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded);
    place.let_go();
    assert_eq!(late.recv().await.unwrap().outcome, Outcome::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_reaches_a_call_that_listens() {
    let place = Place::with(&["SLOW"]);
    let host = place.load();
    let call = call(LONG);
    let cancel = call.cancel.clone();
    let (driver, v) = (fixture(&host), volume("v"));
    let before = Instant::now();
    let (result, ()) = tokio::join!(driver.create(&call, &v), async { cancel.cancel() });
    assert_eq!(result.unwrap_err().kind, ErrorKind::Cancelled);
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_and_queue_are_bounded() {
    let place = Place::with(&["HANG"]);
    let mut config = place.config();
    (config.threads, config.queue) = (1, 1);
    let host = PluginHost::load(config).unwrap();
    let driver = fixture(&host);
    assert_eq!(
        driver
            .create(&call(50), &volume("a"))
            .await
            .unwrap_err()
            .kind,
        ErrorKind::Unknown
    );
    let asked = Instant::now();
    let error = driver.list(&call(LONG)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(
        error
            .message
            .contains("none of its 1 threads is free: create of a"),
        "{error}"
    );
    assert!(asked.elapsed() < Duration::from_secs(5), "said at once");
    place.let_go();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_never_began_leaves_its_object_free() {
    let place = Place::with(&["HANG"]);
    let mut config = place.config();
    (config.threads, config.queue) = (1, 1);
    let host = PluginHost::load(config).unwrap();
    let driver = fixture(&host);
    let (a, b, c) = (volume("a"), volume("b"), volume("c"));
    let (long, short) = (call(LONG), call(200));
    let (_, (b, c)) = tokio::join!(driver.create(&long, &a), async {
        while host.list()[0].calls == 0 {
            tokio::task::yield_now().await;
        }
        let both = tokio::join!(driver.create(&short, &b), driver.create(&long, &c));
        let again = driver.create(&short, &b).await.unwrap_err();
        assert_eq!(
            again.kind,
            ErrorKind::Unavailable,
            "the queue is full, not the lock taken: {again}"
        );
        place.let_go();
        both
    });
    assert_eq!(
        b.unwrap_err().kind,
        ErrorKind::DeadlineExceeded,
        "it never began"
    );
    assert_eq!(
        c.unwrap_err().kind,
        ErrorKind::Unavailable,
        "the queue is full"
    );
}

/// The host's own limit holds whatever the caller allows, and a waiter is told as soon as it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_hears_at_once_that_the_call_before_it_is_over_its_deadline() {
    let place = Place::with(&["HANG"]);
    let mut config = place.config();
    config.deadline = Duration::from_millis(300);
    let host = PluginHost::load(config).unwrap();
    let driver = fixture(&host);
    let (long, v) = (call(LONG), volume("v"));
    let asked = Instant::now();
    let (first, second) = tokio::join!(driver.create(&long, &v), driver.remove(&long, &v));
    assert_eq!(first.unwrap_err().kind, ErrorKind::Unknown);
    let second = second.unwrap_err();
    assert!(
        [ErrorKind::Unavailable, ErrorKind::DeadlineExceeded].contains(&second.kind),
        "nothing of it was done: {second}"
    );
    assert!(asked.elapsed() < Duration::from_secs(10));
    place.let_go();
}

#[tokio::test]
async fn a_panic_poisons_the_plugin_and_nothing_else() {
    let place = Place::with(&[]);
    compile::cdylib(&place.plugins(), "gantry-fixtures");
    let host = place.load();
    let panics = host.volume("panics").unwrap();
    panics.create(&call(LONG), &volume("fine")).await.unwrap();
    let error = panics
        .create(&call(LONG), &volume("panic"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown);
    assert!(error.message.contains("asked to panic"), "{error}");
    assert_eq!(
        panics.list(&call(LONG)).await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    let status = |name: &str| {
        host.list()
            .into_iter()
            .find(|info| info.name == name)
            .unwrap()
            .status
    };
    assert_eq!(status("panics"), PluginStatus::Poisoned);
    assert_eq!(status("fixture"), PluginStatus::Active);
    fixture(&host)
        .create(&call(LONG), &volume("v"))
        .await
        .unwrap();
}

#[test]
fn what_cannot_be_opened_is_listed_with_the_reason_and_the_rest_is_opened() {
    let place = Place::with(&["WRONG_MAJOR"]);
    compile::cdylib(&place.plugins(), "gantry-fixtures");
    std::fs::write(place.plugins().join("text.so"), "not a library").unwrap();
    let host = place.load();
    let list = host.list();
    assert_eq!(list.len(), 2);
    assert_eq!(
        (list[0].name.as_str(), list[0].status),
        ("fixture", PluginStatus::Failed)
    );
    assert_eq!(list[0].interface, "7.1");
    assert!(list[0].reason.contains("interface 7"), "{}", list[0].reason);
    assert_eq!(
        (list[1].name.as_str(), list[1].status),
        ("panics", PluginStatus::Active)
    );
    assert_eq!(
        host.volume("fixture").err().unwrap().kind,
        ErrorKind::Unavailable
    );
}

/// A daemon that a plugin takes down: this test again, in a process of its own.
#[test]
fn victim() {
    let Some(place) = std::env::var_os("GANTRY_TEST_VICTIM").map(PathBuf::from) else {
        return;
    };
    let host = PluginHost::load(config(&place)).unwrap();
    let driver = fixture(&host);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(driver.create(&call(LONG), &volume("v")))
        .unwrap();
}

#[test]
fn a_plugin_that_crashes_the_daemon_again_starts_in_quarantine() {
    for variants in [&["CRASH"], &["CRASH_INIT"]] {
        let place = Place::with(variants);
        compile::cdylib(&place.plugins(), "gantry-fixtures");
        for _ in 0..2 {
            let out = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "victim"])
                .env("GANTRY_TEST_VICTIM", place.0.path())
                .output()
                .unwrap();
            assert!(!out.status.success());
        }
        let host = place.load();
        let info = host
            .list()
            .into_iter()
            .find(|info| info.name == "fixture")
            .unwrap();
        assert_eq!(
            info.status,
            PluginStatus::Quarantined,
            "{variants:?}: {}",
            info.reason
        );
        let error = host.volume("fixture").err().unwrap();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("2 times"), "{error}");
        assert!(host.volume("panics").is_ok(), "the others are open");
        assert!(info.quarantined_since.0 > 0);
        // Lifted by hand: it is opened at once, from the file that is there now.
        let error = host.release(PluginKind::Volume, "panics").unwrap_err();
        assert_eq!(error.kind, ErrorKind::FailedPrecondition);
        if variants == &["CRASH_INIT"] {
            compile::fixture(&place.plugins(), "fixture.so", &[]);
        }
        let info = host.release(PluginKind::Volume, "fixture").unwrap();
        assert_eq!(
            (info.status, info.reason.as_str()),
            (PluginStatus::Active, "")
        );
        assert!(host.volume("fixture").is_ok());
        let error = host.release(PluginKind::Volume, "fixture").unwrap_err();
        assert_eq!(error.kind, ErrorKind::FailedPrecondition, "once");
        // A repaired library is another one.
        compile::fixture(&place.plugins(), "fixture.so", &["OLD_MINOR"]);
        assert!(place.load().volume("fixture").is_ok());
    }
}

#[test]
fn a_released_plugin_whose_file_is_gone_says_so() {
    let place = Place::with(&["CRASH_INIT"]);
    let config = || in_runner(&place);
    for _ in 0..2 {
        let host = PluginHost::load(config()).unwrap();
        assert!(host.volume("fixture").is_err());
    }
    let host = PluginHost::load(config()).unwrap();
    assert_eq!(host.list()[0].status, PluginStatus::Quarantined);
    std::fs::remove_file(place.plugins().join("fixture.so")).unwrap();
    let error = host.release(PluginKind::Volume, "fixture").unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.message.contains("is there no more"), "{error}");
}

/// A crash while it is opened counts as any other, and the one too many is said at once.
#[test]
fn a_runner_that_crashes_when_it_is_opened_is_put_away_and_tried_again_when_released() {
    let place = Place::with(&["CRASH_INIT"]);
    let host = PluginHost::load(in_runner(&place)).unwrap();
    let info = host.list().remove(0);
    assert_eq!(info.status, PluginStatus::Failed, "{info:?}");
    assert!(info.reason.contains("SIGSEGV"), "{}", info.reason);
    let host = PluginHost::load(in_runner(&place)).unwrap();
    let info = host.list().remove(0);
    assert_eq!(info.status, PluginStatus::Quarantined, "{info:?}");
    assert!(
        info.reason.starts_with("crashed 2 times") && info.quarantined_since.0 > 0,
        "{info:?}"
    );
    // It crashes again, once: a clean record.
    let info = host.release(PluginKind::Volume, "fixture").unwrap();
    assert_eq!(info.status, PluginStatus::Failed, "{info:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_killed_between_calls_costs_no_call() {
    let place = Place::with(&[]);
    let host = PluginHost::load(in_runner(&place)).unwrap();
    let driver = fixture(&host);
    for _ in 0..3 {
        driver.create(&call(LONG), &volume("v")).await.unwrap();
        let copy = host.list()[0].loaded_from.clone();
        let mut ended = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().parse::<i32>();
            let maps = std::fs::read_to_string(entry.path().join("maps"));
            if let (Ok(pid), Ok(maps)) = (pid, maps)
                && maps.contains(&copy)
                && pid != std::process::id().cast_signed()
            {
                let pid = nix::unistd::Pid::from_raw(pid);
                nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
                ended += 1;
            }
        }
        assert_eq!(ended, 1);
    }
    assert!(driver.list(&call(LONG)).await.unwrap().is_empty());
    assert_eq!(host.list()[0].status, PluginStatus::Active);
}

fn in_runner(place: &Place) -> HostConfig {
    let mut config = place.config();
    config.isolate.insert("volume/fixture".into());
    config.isolate.insert("panics".into());
    config.runner = Some(compile::binary("gantry-plugin-runner"));
    config.runner_grace = Duration::from_millis(100);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_library_serves_in_a_runner() {
    let place = Place::with(&[]);
    compile::cdylib(&place.plugins(), "gantry-fixtures");
    let host = PluginHost::load(in_runner(&place)).unwrap();
    for info in host.list() {
        assert_eq!(
            (info.isolation.as_str(), info.status),
            ("runner", PluginStatus::Active),
            "{}",
            info.reason
        );
        assert_eq!(info.capabilities, ["fixture"]);
    }
    let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
    for info in host.list() {
        // Another test of this process may have opened the same bytes from a root of its own.
        assert!(
            !mapped.contains(&info.loaded_from),
            "{} is mapped here",
            info.loaded_from
        );
    }
    let made = fixture(&host)
        .create(&call(LONG), &volume("data"))
        .await
        .unwrap();
    assert!(
        made.state.data.contains(r#""name":"data""#),
        "{}",
        made.state.data
    );
    let panics = host.volume("panics").unwrap();
    let error = panics
        .create(&call(LONG), &volume("panic"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unknown, "{error}");
    assert!(error.message.contains("asked to panic"), "{error}");
    // Another process serves on, until it happens again.
    assert!(panics.list(&call(LONG)).await.unwrap().is_empty());
    panics
        .create(&call(LONG), &volume("panic"))
        .await
        .unwrap_err();
    let error = panics.list(&call(LONG)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("quarantine"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_a_runner_costs_the_call_and_then_the_plugin() {
    let place = Place::with(&["CRASH"]);
    let host = PluginHost::load(in_runner(&place)).unwrap();
    let driver = fixture(&host);
    let v = volume("v");
    assert_eq!(
        driver.create(&call(LONG), &v).await.unwrap_err().kind,
        ErrorKind::Unknown
    );
    assert!(
        driver.list(&call(LONG)).await.unwrap().is_empty(),
        "started again"
    );
    assert_eq!(
        driver.remove(&call(LONG), &v).await.unwrap_err().kind,
        ErrorKind::Unknown
    );
    let error = driver.list(&call(LONG)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("quarantine"), "{error}");
    let info = host.list().remove(0);
    assert_eq!(info.status, PluginStatus::Quarantined);
    assert!(
        info.quarantined_since.0 > 0 && info.reason.contains("crashed 2 times"),
        "{info:?}"
    );
    let info = host.release(PluginKind::Volume, "fixture").unwrap();
    assert_eq!(
        info.status,
        PluginStatus::Active,
        "a runner is let in at once"
    );
    assert!(driver.list(&call(LONG)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_hangs_is_killed_and_its_object_is_free() {
    let place = Place::with(&["HANG"]);
    let host = PluginHost::load(in_runner(&place)).unwrap();
    let mut late = host.late().unwrap();
    let driver = fixture(&host);
    let v = volume("v");
    assert_eq!(
        driver.create(&call(50), &v).await.unwrap_err().kind,
        ErrorKind::Unknown
    );
    assert_eq!(late.recv().await.unwrap().outcome, Outcome::Unknown);
    place.let_go();
    driver.create(&call(LONG), &v).await.unwrap();
    assert_eq!(
        host.list()[0].status,
        PluginStatus::Active,
        "a hang is no crash"
    );
}
