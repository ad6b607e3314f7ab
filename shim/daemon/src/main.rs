//! gantryd: reads its configuration, takes its locks, wires the parts together, opens the doors, obeys signals.
//!
//! Invariant: only this crate knows all parts; it reaches no driver but through the plugin interface.

mod config;
mod handlers;
mod identity;
mod lock;
mod machine;
mod notify;
mod serve;
mod sockets;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs containers for Kubernetes (CRI) and for Docker clients.
#[derive(Debug, Parser)]
#[command(name = "gantryd", version, about)]
pub(crate) struct Args {
    /// Configuration file [default: /etc/gantry/config.toml, if there]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Folder of images, volumes and records
    #[arg(long, value_name = "DIR", global = true)]
    root: Option<PathBuf>,
    /// Folder of sockets and running state
    #[arg(long, value_name = "DIR", global = true)]
    run: Option<PathBuf>,
    /// Name that keeps several gantryds on one host apart
    #[arg(long, value_name = "NAME", global = true)]
    instance: Option<String>,
    /// One more folder of plugins; its parents are trusted. May be given several times; looked through first
    #[arg(long, value_name = "DIR")]
    plugin_dir: Vec<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// About the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints every key with its default
    Default,
    /// Reads the configuration and says what is wrong with it
    Check,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.command {
        Some(Command::Config(ConfigCommand::Default)) => {
            show(config::DEFAULT);
            Ok(())
        }
        Some(Command::Config(ConfigCommand::Check)) => {
            settings(&args).map(|_| show("the configuration is good\n"))
        }
        None => settings(&args).and_then(|config| serve::run(&config, &args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantryd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "what was asked for on the command line"
)]
fn show(text: &str) {
    print!("{text}");
}

/// The file's settings with the flags over them.
pub(crate) fn settings(args: &Args) -> anyhow::Result<config::Config> {
    let mut config = config::load(args.config.as_deref())?;
    if let Some(root) = &args.root {
        config.root = std::path::absolute(root)?;
    }
    if let Some(run) = &args.run {
        config.run = std::path::absolute(run)?;
    }
    if let Some(instance) = &args.instance {
        config.instance.clone_from(instance);
    }
    config::check(&config)?;
    Ok(config)
}
