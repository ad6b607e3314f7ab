//! Drives a daemon with armed fault points from many clients, kills it again and again, and says what is not as it must
//! be. `hack/chaos` builds what it needs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use gantry_integration::chaos::plan::Point;
use gantry_integration::chaos::round::{Run, Settings};

#[derive(Parser)]
#[command(about = "Random work through both doors while gantryd is killed")]
struct Args {
    /// Decides everything; another one each time without it.
    #[arg(long)]
    seed: Option<u64>,
    /// How many rounds.
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// How many clients.
    #[arg(long, default_value_t = 20)]
    clients: usize,
    /// Remove everything and look for what is left after so many rounds.
    #[arg(long, default_value_t = 50)]
    clear_every: usize,
    /// The fault points of the source, as `cargo xtask points` lists them.
    #[arg(long)]
    points: Option<PathBuf>,
    /// Arm points whose names contain this, in every round.
    #[arg(long)]
    point: Option<String>,
    /// Fail when a point was never passed.
    #[arg(long)]
    all: bool,
    /// With --all: points whose names begin like this cannot be passed by this run, and are named only.
    #[arg(long, value_delimiter = ',')]
    except: Vec<String>,
    /// After a failure leave everything as it is, until a file `go` appears in the run's folder.
    #[arg(long)]
    keep: bool,
    /// Leave the boot id alone.
    #[arg(long)]
    no_reboot: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |now| u64::from(now.subsec_nanos()))
    });
    let begun = Instant::now();
    eprintln!("chaos: seed {seed}, {} rounds", args.rounds);
    let (passed, failed) = match run(&args, seed) {
        Ok(checks) => (checks, 0),
        Err(error) => {
            eprintln!("chaos: seed {seed}: {error:#}");
            eprintln!(
                "chaos: again with: hack/chaos --seed {seed} --rounds {}",
                args.rounds
            );
            (0, 1)
        }
    };
    eprintln!("chaos: {:.0} s", begun.elapsed().as_secs_f32());
    eprintln!("integration: {passed} passed, {failed} failed, 0 skipped");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// How many checks passed: the model's, the leaks' and the points'.
fn run(args: &Args, seed: u64) -> Result<usize> {
    ensure!(nix::unistd::geteuid().is_root(), "needs root");
    let all: Vec<Point> = match &args.points {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {path:?}"))?;
            text.lines().filter_map(Point::read).collect()
        }
        None => Vec::new(),
    };
    let aimed = |point: &&Point| args.point.as_ref().is_none_or(|p| point.name.contains(p));
    let points: Vec<Point> = all.iter().filter(aimed).cloned().collect();
    ensure!(
        args.point.is_none() || !points.is_empty(),
        "no point is called like that"
    );
    let mut run = Run::new(Settings {
        seed,
        rounds: args.rounds,
        clients: args.clients,
        clear_every: args.clear_every,
        points,
        only_points: args.point.is_some(),
        reboots: !args.no_reboot,
    })?;
    let outcome = run.go();
    let passed = run.passed()?;
    let never: Vec<&str> = all
        .iter()
        .map(|p| p.name.as_str())
        .filter(|name| !passed.contains(*name))
        .collect();
    let figures = &run.figures;
    eprintln!(
        "chaos: {} steps of clients, gantryd died at a point {} times, slowest start {:?}, {} times nothing was left",
        figures.steps, figures.died, figures.slowest_start, figures.clears
    );
    eprintln!(
        "chaos: {} of {} points passed",
        all.len() - never.len(),
        all.len()
    );
    for name in &never {
        eprintln!("never passed: {name}");
    }
    if let (Err(error), true) = (&outcome, args.keep) {
        let go = run.log().with_file_name("go");
        eprintln!("chaos: {error:#}\nchaos: waiting for {}", go.display());
        let day = std::time::Duration::from_secs(86_400);
        let _ = gantry_integration::wait::until("the file", day, || go.is_file());
    }
    if outcome.is_err() {
        let kept = std::env::temp_dir().join(format!("gantry-chaos-{seed}.log"));
        std::fs::copy(run.log(), &kept).context("keep the daemon's log")?;
        eprintln!("chaos: the daemon's log is {}", kept.display());
    }
    outcome?;
    let known = |name: &&&str| args.except.iter().any(|begin| name.starts_with(begin));
    let missed = never.iter().filter(|name| !known(name)).count();
    ensure!(
        !args.all || missed == 0,
        "{missed} fault points were never passed"
    );
    Ok(3)
}
