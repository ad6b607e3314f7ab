//! `gantry`: the operator's tool. Asks a daemon through its admin socket and prints what it says.
//!
//! It makes and ends no containers: `docker` and `crictl` do.

mod age;
mod args;
mod client;
mod duration;
mod events;
mod failure;
mod log_level;
mod operations;
mod output;
mod plugins;
mod pods;
mod ps;
mod since;
mod table;
mod version;
mod wait;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command, OpsCommand, PluginCommand};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(args)),
        Err(e) => Err(Failure::Failed(format!("start: {e}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has enough of it: `gantry events | head`.
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    let client = Client::new(&args.run);
    let output = Output::new(args.json);
    match args.command {
        Command::Wait { timeout } => wait::run(&client, timeout).await,
        Command::Ps { all } => ps::run(&client, &output, all).await,
        Command::Pods => pods::run(&client, &output).await,
        Command::Plugin(PluginCommand::List) => plugins::run(&client, &output).await,
        Command::Plugin(PluginCommand::Release { plugin }) => {
            plugins::release(&client, &output, &plugin).await
        }
        Command::Ops { command: None } => operations::run(&client, &output).await,
        Command::Ops {
            command: Some(OpsCommand::Cancel { id }),
        } => operations::cancel(&client, &output, &id).await,
        Command::Events { since, no_follow } => {
            events::run(&client, &output, since, !no_follow).await
        }
        Command::LogLevel { filter } => log_level::run(&client, &output, &filter).await,
        Command::Version => version::run(&client, &output).await,
    }
}
