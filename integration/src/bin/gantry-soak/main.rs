//! Many clients at random work through both doors for a while: nothing fails without a reason, and the daemon is as
//! small afterwards as it was when it had warmed up.
//!
//! The work has three parts of equal length after a warm-up; before the first, between the second and the third and at
//! the end every client clears up and stands still, so that the daemon can be measured at rest with the same objects.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use gantry_integration::Node;

mod clients;
mod cri_work;
mod dice;
mod docker_work;
mod judge;
mod sample;
mod short;
mod stage;
mod watch;

/// Clients that vanish between two looks at what they left.
const BATCH: usize = 1000;

/// How often the warm-up is made longer.
const LONGER: usize = 20;

#[derive(Parser)]
#[command(about = "Work at random with many clients and see whether the daemon stays as it was")]
struct Args {
    /// How many clients; a third of them speak CRI.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Seconds of random work, the warm-up not counted.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Seconds of warm-up.
    #[arg(long, default_value_t = 60)]
    warm_up: u64,
    /// Rounds of exec and attach within the warm-up, so that as many execs are known as are ever kept.
    #[arg(long, default_value_t = 4000)]
    fill: usize,
    /// Do not go on with the warm-up until the daemon has as many events as it keeps (some 7 MB of them).
    #[arg(long)]
    brief: bool,
    /// Short requests (list, inspect, status…) after the random work.
    #[arg(long, default_value_t = 10_000)]
    short: usize,
    /// Rounds of exec and attach whose clients vanish, after that.
    #[arg(long, default_value_t = 10_000)]
    vanish: usize,
    /// How much more memory than before counts as flat.
    #[arg(long, default_value_t = 1.10)]
    growth: f64,
    /// Repeats a run's choices; their order among clients is the scheduler's.
    #[arg(long)]
    seed: Option<u64>,
    /// Replace the table in this file, between its two marks.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry-soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "the table is what was asked for")]
fn run(args: &Args) -> Result<()> {
    let seed = args.seed.unwrap_or_else(dice::seed);
    eprintln!("seed {seed}");
    let node = Node::start()?;
    node.load_busybox()?;
    let anchors = sample::Anchors::start(&node)?;
    let sampler = sample::Sampler::start(node.pid(), anchors.supervisors().to_vec());
    let part = Duration::from_secs(args.seconds) / 3;
    let warm_up = Duration::from_secs(args.warm_up);
    let stages = judge::STAGES.into_iter().zip([warm_up, part, part, part]);
    let (mut rests, mut faults) = (Vec::new(), Vec::new());
    let crew = clients::Crew::start(&node, args.clients, seed)?;
    let watch = watch::Watch::start(&node, crew.faults());
    for (name, length) in stages {
        eprintln!("{name}: {} s", length.as_secs());
        sampler.stage(name);
        crew.work(length)?;
        for _ in 0..LONGER {
            if name != "warm-up" || args.brief || short::is_log_full(&node)? {
                break;
            }
            eprintln!("longer, until the log of events is full");
            crew.work(length)?;
        }
        if name == "warm-up" && args.fill > 0 {
            eprintln!("{} rounds that fill what is kept", args.fill);
            sampler.stage("fill");
            faults.extend(short::vanishing(&node, &anchors, args.fill, seed)?);
        }
        if name != "first third" {
            rests.push((format!("at rest after the {name}"), sampler.rest()?));
        }
    }
    let done = crew.end();
    drop(watch);
    faults.extend(done.faults);
    if args.short > 0 {
        eprintln!("{} short requests", args.short);
        sampler.stage("short requests");
        faults.extend(short::requests(&node, args.short)?);
        rests.push((
            format!("at rest after {} short requests", args.short),
            sampler.rest()?,
        ));
    }
    let mut gone = 0;
    while gone < args.vanish {
        let some = (args.vanish - gone).min(BATCH);
        eprintln!("{some} rounds of clients that vanish");
        sampler.stage("clients that vanish");
        faults.extend(short::vanishing(&node, &anchors, some, seed + gone as u64)?);
        gone += some;
        rests.push((
            format!("at rest after {gone} clients that vanished"),
            sampler.rest()?,
        ));
    }
    let story = judge::Story {
        clients: args.clients,
        seconds: args.seconds,
        seed,
        steps: done.steps,
        samples: sampler.end(),
        rests,
    };
    let table = story.table();
    println!("{table}");
    if let Some(file) = &args.write {
        judge::write(file, &table)?;
    }
    node.finish().context("clear up after the run")?;
    let mut wrong = story.judge(args.growth);
    wrong.extend(faults.iter().take(20).cloned());
    if !wrong.is_empty() {
        bail!(
            "seed {seed}: {} answers without a reason\n{}",
            faults.len(),
            wrong.join("\n")
        );
    }
    Ok(())
}
