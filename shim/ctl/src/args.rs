//! What the command line may say.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::duration;

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
    /// List the changes in progress
    Ops,
    /// Print events as they happen, after those that are kept
    Events {
        /// Only those of the last so-and-so long: 10m, 2h
        #[arg(long, value_parser = duration::parse, value_name = "DURATION")]
        since: Option<Duration>,
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
    /// List what is loaded, from which file, with version and capabilities
    List,
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
    fn a_wrong_duration_is_a_wrong_command_line() {
        let error = Args::try_parse_from(["gantry", "wait", "--timeout", "soon"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("soon"), "{error}");
    }
}
