//! `gantry-conformance KIND LIBRARY`: runs the suite of a kind against a library and says which rules it keeps.
#![allow(clippy::print_stdout)] // a command for people

use std::path::Path;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, library] = arguments.as_slice() else {
        eprintln!("usage: gantry-conformance snapshotter|network|volume LIBRARY.so");
        return Ok(ExitCode::from(2));
    };
    let report = gantry_conformance::run(kind, Path::new(library))?;
    for name in &report.kept {
        println!("ok        {name}");
    }
    for (name, why) in &report.not_for {
        println!("not for   {name}: {why}");
    }
    for (name, how) in &report.broken {
        println!("BROKEN    {name}: {how}");
    }
    let (kept, not_for, broken) = (report.kept.len(), report.not_for.len(), report.broken.len());
    println!("{kept} kept, {not_for} not for this driver, {broken} broken");
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
