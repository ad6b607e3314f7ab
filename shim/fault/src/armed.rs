//! The points of a test build.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fail_parallel::FailPointRegistry;

use crate::Injected;

struct Armed {
    registry: Arc<FailPointRegistry>,
    hits: Option<PathBuf>,
    passed: Mutex<BTreeSet<&'static str>>,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

fn armed() -> &'static Armed {
    ARMED.get_or_init(|| {
        let registry = Arc::new(FailPointRegistry::new());
        for one in std::env::var("GANTRY_FAULTS")
            .unwrap_or_default()
            .split(';')
        {
            let Some((name, action)) = one.split_once('=') else {
                continue;
            };
            if let Err(error) =
                fail_parallel::cfg(Arc::clone(&registry), name.trim(), action.trim())
            {
                eprintln!("GANTRY_FAULTS: {name}: {error}");
                std::process::abort();
            }
        }
        Armed {
            registry,
            hits: std::env::var_os("GANTRY_FAULT_HITS").map(PathBuf::from),
            passed: Mutex::default(),
        }
    })
}

pub(crate) fn pass(name: &'static str) -> Result<(), Injected> {
    let armed = armed();
    note(armed, name);
    let registry = Arc::clone(&armed.registry);
    match fail_parallel::eval(registry, name, |word| word.unwrap_or_default()) {
        None => Ok(()),
        Some(word) if word == "kill" => die(),
        Some(_) => Err(Injected(name)),
    }
}

/// As `kill -9` from outside. Not an abort: inside of a plugin's call that would count as the plugin's crash.
fn die() -> ! {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    std::process::abort()
}

/// Writes the name down the first time, before anything happens here.
fn note(armed: &Armed, name: &'static str) {
    let Some(folder) = &armed.hits else { return };
    let fresh = armed
        .passed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name);
    if fresh {
        let path = folder.join(std::process::id().to_string());
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        // A full disk or a missing folder is the test's to notice: the point counts as never passed.
        let _ = file.and_then(|mut file| writeln!(file, "{name}"));
    }
}
