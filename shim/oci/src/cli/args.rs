//! Flags and verbs of the command line. A flag that is known and cannot be honoured is refused by its name.

use crate::error::{FailureKind, LaunchError};
use std::path::PathBuf;

pub(super) const USAGE: &str = "usage: oci [--root DIR] [--log FILE] [--log-format text|json] VERB …
       run|create [--bundle DIR] [--pid-file FILE] [--console-socket SOCKET] [--detach] ID
       start|state|pause|resume ID
       kill [--all] ID [SIGNAL]
       delete [--force] ID
       exec [--process FILE] [--cwd DIR] [--env NAME=VALUE] [--user UID[:GID]] [--tty] [--detach] … ID COMMAND …
       ps [--format table|json] ID
       update [--resources FILE] [--memory N] [--cpu-quota N] … ID
       events --stats ID
       list [--format table|json] [--quiet]
       features";

/// A flag: its name, its short name, whether a value follows, and the verbs that take it ("" for all, before the verb).
type Flag = (&'static str, &'static str, bool, &'static str);

const FLAGS: &[Flag] = &[
    ("root", "", true, ""),
    ("log", "", true, ""),
    ("log-format", "", true, ""),
    ("log-level", "", true, ""),
    ("debug", "", false, ""),
    ("systemd-cgroup", "", false, ""),
    ("rootless", "", true, ""),
    ("bundle", "b", true, "create run"),
    ("console-socket", "", true, "create run exec"),
    ("pidfd-socket", "", true, "create run exec"),
    ("pid-file", "", true, "create run exec"),
    ("preserve-fds", "", true, "create run exec"),
    ("no-pivot", "", false, "create run"),
    ("no-new-keyring", "", false, "create run"),
    ("detach", "d", false, "run exec"),
    ("keep", "", false, "run"),
    ("no-subreaper", "", false, "run exec"),
    ("all", "a", false, "kill"),
    ("force", "f", false, "delete"),
    ("format", "f", true, "ps list"),
    ("quiet", "q", false, "list"),
    ("cwd", "", true, "exec"),
    ("env", "e", true, "exec"),
    ("tty", "t", false, "exec"),
    ("user", "u", true, "exec"),
    ("additional-gids", "g", true, "exec"),
    ("process", "p", true, "exec"),
    ("process-label", "", true, "exec"),
    ("apparmor", "", true, "exec"),
    ("no-new-privs", "", false, "exec"),
    ("cap", "c", true, "exec"),
    ("cgroup", "", true, "exec"),
    ("ignore-paused", "", false, "exec"),
    ("stats", "", false, "events"),
    ("interval", "", true, "events"),
    ("resources", "r", true, "update"),
    ("memory", "", true, "update"),
    ("memory-reservation", "", true, "update"),
    ("memory-swap", "", true, "update"),
    ("cpu-period", "", true, "update"),
    ("cpu-quota", "", true, "update"),
    ("cpu-share", "", true, "update"),
    ("cpuset-cpus", "", true, "update"),
    ("cpuset-mems", "", true, "update"),
    ("pids-limit", "", true, "update"),
    ("blkio-weight", "", true, "update"),
];

const VERBS: &[&str] = &[
    "create", "start", "state", "kill", "delete", "run", "exec", "ps", "list", "pause", "resume",
    "update", "events", "features", "help", "version",
];

/// What was said on the command line.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) root: PathBuf,
    pub(super) verb: String,
    flags: Vec<(&'static str, String)>,
    pub(super) rest: Vec<String>,
}

pub(super) fn usage() -> LaunchError {
    LaunchError::new(FailureKind::InvalidSpec, USAGE)
}

fn bad(text: String) -> LaunchError {
    LaunchError::new(FailureKind::InvalidSpec, format!("{text}\n{USAGE}"))
}

impl Args {
    /// The last value given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.flags.iter().rev();
        named
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.flags.iter().filter(move |(n, _)| *n == name);
        named.map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v != "false")
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// A whole number.
    pub(super) fn number<T: std::str::FromStr>(
        &self,
        name: &str,
    ) -> Result<Option<T>, LaunchError> {
        self.get(name)
            .map(|v| {
                v.parse()
                    .map_err(|_| bad(format!("--{name} {v:?} is no number it can be")))
            })
            .transpose()
    }
}

pub(super) fn parse(args: &[String]) -> Result<Args, LaunchError> {
    let mut made = Args {
        root: PathBuf::from("/run/gantry-oci"),
        verb: String::new(),
        flags: Vec::new(),
        rest: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        // What follows the container of an exec belongs to its command.
        let command = made.verb == "exec" && !made.rest.is_empty();
        if command || !arg.starts_with('-') || arg == "-" {
            if made.verb.is_empty() {
                made.verb.clone_from(arg);
            } else {
                made.rest.push(arg.clone());
            }
            continue;
        }
        if arg == "--" {
            made.rest.extend(args.cloned());
            break;
        }
        let (name, inline) = arg
            .split_once('=')
            .map_or((arg.as_str(), None), |(n, v)| (n, Some(v)));
        if matches!(name, "--version" | "-v" | "--help" | "-h") {
            name.trim_matches('-')[..1].clone_into(&mut made.verb);
            made.verb = if made.verb == "v" { "version" } else { "help" }.into();
            break;
        }
        let (flag, valued) = find(name, &made.verb)
            .ok_or_else(|| bad(format!("unknown flag {name} of {:?}", made.verb)))?;
        let value = match (valued, inline) {
            (_, Some(value)) => value.to_owned(),
            (true, None) => {
                let next = args.next().cloned();
                next.ok_or_else(|| bad(format!("{name} wants a value")))?
            }
            (false, None) => "true".to_owned(),
        };
        made.flags.push((flag, value));
    }
    if !VERBS.contains(&made.verb.as_str()) {
        return Err(usage());
    }
    if let Some(root) = made.get("root") {
        made.root = PathBuf::from(root);
    }
    refuse(&made)?;
    Ok(made)
}

fn find(name: &str, verb: &str) -> Option<(&'static str, bool)> {
    let (long, short) = (name.strip_prefix("--"), name.strip_prefix('-'));
    let found = FLAGS.iter().find(|(full, brief, _, verbs)| {
        let named = long.map_or_else(
            || !brief.is_empty() && short == Some(brief),
            |long| long == *full,
        );
        named && (verbs.is_empty() || verbs.split(' ').any(|v| v == verb))
    });
    found.map(|(full, _, valued, _)| (*full, *valued))
}

/// Flags of runc that mean something this runtime does not do.
fn refuse(args: &Args) -> Result<(), LaunchError> {
    let no = |what: &str| Err(LaunchError::unsupported(format!("{what} is not supported")));
    for name in ["systemd-cgroup", "no-pivot", "pidfd-socket"] {
        if args.has(name) {
            return no(&format!("--{name}"));
        }
    }
    match args.get("rootless") {
        None | Some("auto" | "false") => {}
        Some(_) => return no("--rootless"),
    }
    match args.get("preserve-fds") {
        None | Some("0") => Ok(()),
        Some(_) => no("--preserve-fds: a container gets no descriptor beyond its streams; it"),
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
            "-d",
            "x",
        ]))
        .unwrap();
        assert_eq!(a.root, PathBuf::from("/r"));
        assert_eq!(
            (a.get("bundle"), a.get("pid-file")),
            (Some("/b"), Some("/p"))
        );
        assert!(a.has("detach") && !a.has("keep"));
        assert_eq!(
            (a.verb.as_str(), &a.rest[..]),
            ("run", &["x".to_owned()][..])
        );
    }

    #[test]
    fn a_command_keeps_its_own_flags() {
        let a = parse(&strings(&[
            "exec", "-e", "A=b", "-e", "C=d", "x", "ls", "-l", "--", "-e",
        ]))
        .unwrap();
        assert_eq!(a.rest, ["x", "ls", "-l", "--", "-e"]);
        assert!(a.all("env").eq(["A=b", "C=d"]));
    }

    #[test]
    fn a_short_name_means_what_its_verb_says() {
        assert!(
            parse(&strings(&["delete", "-f", "x"]))
                .unwrap()
                .has("force")
        );
        assert_eq!(
            parse(&strings(&["ps", "-f", "json", "x"]))
                .unwrap()
                .get("format"),
            Some("json")
        );
    }

    #[test]
    fn what_is_unknown_or_not_done_is_refused_by_name() {
        for (args, word) in [
            (&["--what"][..], "--what"),
            (&["state", "--force", "x"], "--force"),
            (&["--root"], "--root"),
            (&["create", "--no-pivot", "x"], "--no-pivot"),
            (&["create", "--preserve-fds", "1", "x"], "--preserve-fds"),
            (&["--systemd-cgroup", "create", "x"], "--systemd-cgroup"),
        ] {
            let e = parse(&strings(args)).unwrap_err();
            assert!(e.message.contains(word), "{args:?}: {}", e.message);
        }
    }
}
