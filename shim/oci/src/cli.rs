//! The runtime from the command line, with the verbs and arguments of runc. It exists to be called by whatever calls
//! other OCI runtimes, and to be measured and checked beside them; Gantry itself calls the library.
//!
//! The caller must be single-threaded (see the crate's first page).

mod args;
mod control;
mod exec;
mod features;
mod keeper;
mod launch;
mod list;
mod log;
mod state;
mod terminal;

use crate::error::LaunchError;
use args::{Args, usage};
use state::Store;
use std::io::Write;

type Outcome = Result<i32, LaunchError>;

/// Runs `args` (without the program's name); the result is the exit code: the container's for `run` and `exec`, 0 or 1
/// for the others, Docker's numbers for what could not start.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let parsed = args::parse(args);
    let log = parsed
        .as_ref()
        .map_or_else(|_| log::Log::default(), log::Log::of);
    match parsed.and_then(|a| command(&a, &log)) {
        Ok(code) => code,
        Err(e) => {
            log.say(log::Level::Error, &e.message);
            let _ = writeln!(std::io::stderr(), "{e}");
            e.kind.docker_exit_code()
        }
    }
}

fn command(args: &Args, log: &log::Log) -> Outcome {
    match args.verb.as_str() {
        "help" => return print(args::USAGE),
        "version" => return print(&features::version()),
        "features" => return features::print(),
        "list" => return list::list(args),
        _ => {}
    }
    let [id, rest @ ..] = &args.rest[..] else {
        return Err(usage());
    };
    let store = Store::new(&args.root, id)?;
    match (args.verb.as_str(), rest) {
        ("run", []) if args.has("detach") => {
            keeper::create(&store, args, log)?;
            keeper::start(&store, log)
        }
        ("run", []) => launch::run(&store, args, log),
        ("create", []) => keeper::create(&store, args, log),
        ("start", []) => keeper::start(&store, log),
        ("state", []) => {
            let report = store.load()?.report();
            print(&serde_json::to_string_pretty(&report).unwrap_or_default())
        }
        ("kill", []) => store.kill("TERM", args.has("all")),
        ("kill", [signal]) => store.kill(signal, args.has("all")),
        ("delete", []) => store.delete(args.has("force"), log),
        ("exec", command) => exec::exec(&store, args, command, log),
        ("ps", _) => list::processes(&store, args),
        ("pause", []) => control::freeze(&store, true),
        ("resume", []) => control::freeze(&store, false),
        ("update", []) => control::update(&store, args),
        ("events", []) => control::stats(&store, args),
        _ => Err(usage()),
    }
}

fn print(text: &str) -> Outcome {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_verbs_and_bad_ids_are_refused() {
        let strings =
            |list: &[&str]| -> Vec<String> { list.iter().map(|s| (*s).to_owned()).collect() };
        assert_eq!(main(&strings(&["fly", "x"])), 125);
        assert_eq!(main(&strings(&["state", "../x"])), 125);
        assert_eq!(main(&strings(&["state"])), 125);
        assert_eq!(main(&[]), 125);
    }
}
