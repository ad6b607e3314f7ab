//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::duration;
use crate::since::{self, Since};

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  the daemon refused, or something broke
  2  the command line is wrong
  3  the daemon cannot be reached
  4  `wait`: the time ran out

Containers are made and ended with docker (DOCKER_HOST=unix://<run>/docker.sock)
and crictl (--runtime-endpoint unix://<run>/cri.sock).";

/// Looks after a gantryd: is it up, what does it run, what did it load, what is it doing.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Args {
    /// Run folder of the daemon, where its sockets are
    #[arg(
        long,
        env = "GANTRY_RUN",
        default_value = "/run/gantry",
        global = true,
        value_name = "DIR"
    )]
    pub(crate) run: PathBuf,

    /// Print what the daemon answered, as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Wait until the daemon's doors serve
    Wait {
        /// Give up after this long: 10s, 1m30s, 500ms
        #[arg(long, default_value = "10s", value_parser = duration::parse, value_name = "DURATION")]
        timeout: Duration,
    },
    /// List the containers of both doors
    Ps {
        /// Also those that do not run
        #[arg(short, long)]
        all: bool,
    },
    /// List the pods
    Pods,
    /// Look after plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// List the changes in progress: what each waits for, since when; `ops cancel ID` stops one
    #[command(args_conflicts_with_subcommands = true)]
    Ops {
        /// What to do with one.
        #[command(subcommand)]
        command: Option<OpsCommand>,
    },
    /// Print events as they happen, after those that are kept
    Events {
        /// Only those after this one's number (1234), of the last so-and-so long (10m, 2h), or after a moment in UTC
        /// (2026-02-28T12:00:00Z)
        #[arg(long, value_parser = since::parse, value_name = "NUMBER|DURATION|TIME")]
        since: Option<Since>,
        /// Print those that are kept and stop
        #[arg(long)]
        no_follow: bool,
    },
    /// Change how much the daemon logs, until it is started anew
    LogLevel {
        /// A level, or levels by module: info, debug, info,gantry_engine=trace
        filter: String,
    },
    /// Print the versions of this tool and of the daemon
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List what is loaded, from which file, how it is and which calls it has not answered
    List,
    /// Lift a plugin's quarantine: its crashes are forgotten
    Release {
        /// The plugin, as KIND/NAME: volume/local, network/bridge, snapshotter/overlay
        #[arg(value_parser = label, value_name = "KIND/NAME")]
        plugin: (String, String),
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OpsCommand {
    /// Stop an operation: its caller is told so, and what it had done is undone
    Cancel {
        /// Its id, or the beginning of it
        #[arg(value_parser = id, value_name = "ID")]
        id: String,
    },
}

/// `kind/name`, of letters that need no quoting in a path.
fn label(text: &str) -> Result<(String, String), String> {
    let good = |part: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(fits)
    };
    match text.split_once('/') {
        Some((kind, name)) if good(kind) && good(name) => Ok((kind.to_owned(), name.to_owned())),
        _ => Err(format!(
            "{text:?} is no plugin; write KIND/NAME as `gantry plugin list` shows them"
        )),
    }
}

fn id(text: &str) -> Result<String, String> {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(hex) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is no id of an operation; `gantry ops` shows them"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Command};
    use clap::{CommandFactory, Parser};
    use std::time::Duration;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_behind_the_command() {
        for line in [
            [
                "gantry",
                "--run",
                "/x",
                "--json",
                "wait",
                "--timeout",
                "1m30s",
            ],
            [
                "gantry",
                "wait",
                "--timeout",
                "1m30s",
                "--json",
                "--run",
                "/x",
            ],
        ] {
            let args = Args::try_parse_from(line).unwrap();
            assert!(args.json);
            assert_eq!(args.run.to_str(), Some("/x"));
            let Command::Wait { timeout } = args.command else {
                panic!("another command");
            };
            assert_eq!(timeout, Duration::from_secs(90));
        }
    }

    #[test]
    fn operations_are_listed_or_one_is_cancelled() {
        let parse = |line: &[&str]| Args::try_parse_from(line);
        assert!(parse(&["gantry", "ops", "--json"]).is_ok());
        assert!(parse(&["gantry", "ops", "cancel", "0a1b"]).is_ok());
        for wrong in [
            &["gantry", "ops", "cancel"][..],
            &["gantry", "ops", "cancel", "../x"],
            &["gantry", "plugin", "release", "local"],
            &["gantry", "plugin", "release", "volume/.."],
        ] {
            assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_duration_is_a_wrong_command_line() {
        let error = Args::try_parse_from(["gantry", "wait", "--timeout", "soon"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("soon"), "{error}");
    }
}
