//! What a call costs: `cargo run --release -p gantry-plugin-host --example cost -- LIBRARY-FOLDER [RUNNER]`, where the folder
//! has a volume plugin called `dir`. Medians of many calls of `list` on an empty root.
#![allow(clippy::print_stdout)] // a command for people

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gantry_model::OperationId;
use gantry_model::call::{Call, Cancel};
use gantry_model::driver::{Drivers, VolumeDriver};
use gantry_plugin_host::{HostConfig, PluginHost, Trust};

const ROUNDS: usize = 5000;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().context("name a folder of plugins")?;
    let runner = arguments.next();
    let runtime = tokio::runtime::Runtime::new()?;
    for isolated in [false, true] {
        let root = tempfile::tempdir()?;
        let mut config = HostConfig::new(root.path(), "cost", "00");
        config.folders.push((folder.clone(), Trust::Parents));
        config.runner.clone_from(&runner);
        if isolated {
            if runner.is_none() {
                break;
            }
            config.isolate.insert("dir".into());
        }
        let began = Instant::now();
        let host = PluginHost::load(config)?;
        let opened = began.elapsed();
        let driver = host.volume("dir").map_err(anyhow::Error::new)?;
        let (median, best) = runtime.block_on(measure(driver))?;
        let how = if isolated {
            "in a runner"
        } else {
            "in process"
        };
        println!("{how}: a call {median:?} (best {best:?}), all plugins opened in {opened:?}");
    }
    Ok(())
}

async fn measure(driver: Arc<dyn VolumeDriver>) -> Result<(Duration, Duration)> {
    let call = Call {
        operation: OperationId::from_random([1; 32]),
        timeout: Duration::from_secs(10),
        cancel: Cancel::default(),
    };
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        driver.list(&call).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok((times[ROUNDS / 2], times[0]))
}
