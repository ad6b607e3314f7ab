//! The runtime from the command line, in the shape of other OCI runtimes: `run`, `create`, `start`, `state`, `kill`,
//! `delete`. It exists to be measured and checked beside them; Gantry itself calls the library.
//!
//! The caller must be single-threaded (see the crate's first page).

mod keeper;
mod launch;
mod state;

use crate::error::{FailureKind, LaunchError};
use state::Store;
use std::io::Write;
use std::path::PathBuf;

/// What was said on the command line.
struct Args {
    root: PathBuf,
    bundle: PathBuf,
    pid_file: Option<PathBuf>,
    force: bool,
    rest: Vec<String>,
}

const USAGE: &str = "usage: oci [--root DIR] run|create [--bundle DIR] [--pid-file FILE] ID
       oci [--root DIR] start|state ID
       oci [--root DIR] kill ID [SIGNAL]
       oci [--root DIR] delete [--force] ID";

/// Runs `args` (without the program's name); the result is the exit code: the container's for `run`, 0 or 1 for the
/// others, Docker's numbers for a `run` that could not start.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    match parse(args).and_then(|a| command(&a)) {
        Ok(code) => code,
        Err(e) => {
            let _ = writeln!(std::io::stderr(), "{e}");
            e.kind.docker_exit_code()
        }
    }
}

fn usage() -> LaunchError {
    LaunchError::new(FailureKind::InvalidSpec, USAGE)
}

fn parse(args: &[String]) -> Result<Args, LaunchError> {
    let mut made = Args {
        root: PathBuf::from("/run/gantry-oci"),
        bundle: PathBuf::from("."),
        pid_file: None,
        force: false,
        rest: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, inline) = arg
            .split_once('=')
            .map_or((arg.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
        let mut value = || {
            inline
                .clone()
                .or_else(|| args.next().cloned())
                .map(PathBuf::from)
                .ok_or_else(usage)
        };
        match name {
            "--root" => made.root = value()?,
            "--bundle" | "-b" => made.bundle = value()?,
            "--pid-file" => made.pid_file = Some(value()?),
            "--force" | "-f" => made.force = true,
            _ if name.starts_with('-') => return Err(usage()),
            _ => made.rest.push(arg.clone()),
        }
    }
    Ok(made)
}

fn command(args: &Args) -> Result<i32, LaunchError> {
    let (verb, id) = match &args.rest[..] {
        [verb, id, ..] => (verb.as_str(), id.as_str()),
        _ => return Err(usage()),
    };
    let store = Store::new(&args.root, id)?;
    match (verb, args.rest.len()) {
        ("run", 2) => launch::run(&store, &args.bundle, args.pid_file.as_deref()),
        ("create", 2) => keeper::create(&store, &args.bundle, args.pid_file.as_deref()),
        ("start", 2) => keeper::start(&store),
        ("state", 2) => {
            let text = serde_json::to_string_pretty(&store.load()?.report()).unwrap_or_default();
            let _ = writeln!(std::io::stdout(), "{text}");
            Ok(0)
        }
        ("kill", 2 | 3) => store.kill(args.rest.get(2).map_or("TERM", String::as_str)),
        ("delete", 2) => store.delete(args.force),
        _ => Err(usage()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn flags_are_taken_in_both_forms() {
        let a = parse(&strings(&[
            "--root=/r",
            "run",
            "--bundle",
            "/b",
            "--pid-file=/p",
            "x",
        ]))
        .unwrap();
        assert_eq!(
            (a.root, a.bundle, a.pid_file),
            ("/r".into(), "/b".into(), Some("/p".into()))
        );
        assert_eq!(a.rest, ["run", "x"]);
        assert!(parse(&strings(&["--what"])).is_err());
        assert!(parse(&strings(&["--root"])).is_err());
    }

    #[test]
    fn unknown_verbs_and_bad_ids_are_refused() {
        assert_eq!(main(&strings(&["fly", "x"])), 125);
        assert_eq!(main(&strings(&["state", "../x"])), 125);
        assert_eq!(main(&[]), 125);
    }
}
