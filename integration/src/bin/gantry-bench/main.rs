//! Measures Gantry beside Debian's packages: in one run, taking turns, medians and ratios.
//!
//! Every daemon, ours and theirs, has a root and a network namespace of its own. Figures of different runs or machines
//! cannot be compared; the ratios of one run can. A peer that does not start is named, not left out silently.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;

mod api;
mod attach;
mod cri_life;
mod docker_run;
mod exec;
mod memory;
mod oci_life;
mod peers;
mod start_up;
mod table;

use table::Report;

#[derive(Parser)]
#[command(about = "Measure Gantry beside Debian's crun, runc, dockerd and containerd")]
struct Args {
    /// How many rounds each measurement takes; the bundle's life takes four times as many.
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// Which to measure: oci, docker, cri, exec, attach, start, memory. All without it.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The same without the flag.
    names: Vec<String>,
    /// Replace the table in this file, between its two marks.
    #[arg(long)]
    write: Option<PathBuf>,
}

type Section = fn(&mut Report, usize) -> Result<()>;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the table is what was asked for")]
fn run(args: &Args) -> Result<()> {
    let mut report = Report::default();
    let sections: [(&str, Section); 7] = [
        ("oci", |report, rounds| {
            oci_life::measure(report, rounds * 4)
        }),
        ("docker", docker_run::measure),
        ("cri", cri_life::measure),
        ("exec", exec::measure),
        ("attach", |report, rounds| {
            attach::measure(report, rounds.div_ceil(5))
        }),
        ("start", |report, rounds| {
            start_up::measure(report, rounds.div_ceil(4))
        }),
        ("memory", |report, _| memory::measure(report)),
    ];
    let chosen: Vec<&String> = args.only.iter().chain(&args.names).collect();
    if let Some(unknown) = chosen
        .iter()
        .find(|name| !sections.iter().any(|(known, _)| *known == name.as_str()))
    {
        bail!("there is nothing called {unknown} to measure");
    }
    for (name, measure) in sections {
        if chosen.is_empty() || chosen.iter().any(|o| *o == name) {
            eprintln!("measuring {name}");
            if let Err(error) = measure(&mut report, args.rounds) {
                report.note(format!("{name}: not measured: {error:#}"));
            }
        }
    }
    let text = report.markdown()?;
    println!("{text}");
    if let Some(file) = &args.write {
        table::write(file, &text)?;
    }
    Ok(())
}
