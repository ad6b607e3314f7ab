//! Rules of the border, the same for every kind.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use anyhow::{Result, ensure};
use gantry_abi::{ErrorCode, Outcome, functions_of};
use gantry_plugin_loader::Descriptor;

use crate::bench::kept;
use crate::{Bench, Case, Verdict, suite};

pub(crate) fn cases() -> Vec<Case> {
    suite! {
        "every function refuses a field that must be understood and is not" => must_understand,
        "every function refuses malformed JSON and changes nothing" => malformed,
        "unknown tables are answered with none" => unknown_table,
        "descriptors do not leak, given ones included" => descriptors,
        "a driver can be closed and opened again" => reopen,
    }
}

fn functions(bench: &Bench) -> &'static [&'static str] {
    functions_of(bench.kind()).unwrap_or_default()
}

fn must_understand(bench: &Bench) -> Result<Verdict> {
    for function in functions(bench) {
        let json = br#"{"name":"x","key":"x","must_understand":["made-up-by-the-suite"]}"#;
        let reply = bench.raw(bench.kind(), function, json, Vec::new())?;
        ensure!(
            reply.outcome == Outcome::NotDone && reply.code == ErrorCode::Unimplemented,
            "{function}: {:?}, {:?}: {}",
            reply.outcome,
            reply.code,
            reply.message
        );
    }
    kept()
}

fn malformed(bench: &Bench) -> Result<Verdict> {
    for function in functions(bench) {
        for json in [
            b"".as_slice(),
            b"{",
            b"[]",
            b"nonsense",
            b"{\"name\":\"\xff\"}",
            b"{\"name\":",
        ] {
            let reply = bench.raw(bench.kind(), function, json, Vec::new())?;
            // A function that needs no field may take any object for its own; broken JSON is another matter.
            let good = reply.outcome == Outcome::NotDone
                || (reply.outcome == Outcome::Done && ["list", "cleanup"].contains(function));
            ensure!(
                good,
                "{function} of {json:?}: {:?}, {}",
                reply.outcome,
                reply.message
            );
        }
    }
    kept()
}

fn unknown_table(bench: &Bench) -> Result<Verdict> {
    for table in ["snapshotter.diff", "network.stats"] {
        let function = functions_of(table).unwrap_or_default()[0];
        if !table.starts_with(bench.kind()) {
            let reply = bench.raw(table, function, b"{}", Vec::new())?;
            ensure!(
                reply.code == ErrorCode::Unimplemented,
                "{table}: {:?}",
                reply.outcome
            );
        }
    }
    kept()
}

fn descriptors(bench: &Bench) -> Result<Verdict> {
    let (read, write) = nix::unistd::pipe()?;
    let (read, write) = (Arc::new(read), Arc::new(write));
    let call = || {
        let fds = vec![
            Descriptor::Lent(Arc::clone(&read)),
            Descriptor::Given(Arc::clone(&write)),
        ];
        bench.raw(
            bench.kind(),
            functions(bench)[0],
            br#"{"must_understand":["made-up-by-the-suite"]}"#,
            fds,
        )
    };
    call()?;
    // Parallel tests of one process open files, too: what counts is ends of this very pipe.
    let ends = || -> Result<usize> {
        let pipe = std::fs::read_link(format!("/proc/self/fd/{}", read.as_raw_fd()))?;
        let all = std::fs::read_dir("/proc/self/fd")?.flatten();
        Ok(all
            .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link == pipe))
            .count())
    };
    for _ in 0..20 {
        call()?;
    }
    // Both ends of a pipe have the same link.
    ensure!(
        ends()? == 2,
        "{} ends of a pipe are open, and should be 2",
        ends()?
    );
    kept()
}

fn reopen(bench: &Bench) -> Result<Verdict> {
    bench.driver()?;
    bench.reopen()?;
    bench.reopen()?;
    kept()
}
