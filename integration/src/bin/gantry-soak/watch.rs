//! Looks on while the clients work: what takes long is said once, with what the daemon itself says it waits for and
//! what the kernel says of the container's processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gantry_integration::{Node, http};

use crate::clients::Faults;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Longer than anything takes that goes well: a stop's grace is a second, a machine may be slow.
const SLOW: Duration = Duration::from_secs(15);

/// Looks on until it is dropped.
pub(crate) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins.
    pub(crate) fn start(node: &Node, faults: Faults) -> Self {
        let (admin, docker) = (node.socket("gantry"), node.socket("docker"));
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let slow = faults.slow(SLOW);
                if !slow.is_empty() {
                    eprintln!("operations: {}", get(&admin, "/v1/operations"));
                    for line in blocked() {
                        eprintln!("in the kernel: {line}");
                    }
                }
                for (client, what) in slow {
                    eprintln!("slow: client {client} for {SLOW:?}: {what}");
                    explain(&docker, &what);
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panics only if printing does.
            let _ = thread.join();
        }
    }
}

fn get(socket: &Path, path: &str) -> String {
    match http::request(socket, "GET", path, "application/json", b"") {
        Ok(answer) => answer.body.trim().to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

/// The container a request is about: its state, and its process's.
fn explain(docker: &Path, what: &str) {
    let Some((_, rest)) = what.split_once("/containers/") else {
        return;
    };
    let name = rest.split(['/', '?', ' ']).next().unwrap_or_default();
    let shown = get(docker, &format!("/containers/{name}/json"));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
    eprintln!("  {name} {}: {}", shown["Id"], shown["State"]);
    let pid = shown["State"]["Pid"].as_i64().unwrap_or(0);
    if pid == 0 {
        return;
    }
    let below = Path::new("/proc").join(pid.to_string());
    for file in ["status", "wchan", "cgroup"] {
        let text = fs::read_to_string(below.join(file)).unwrap_or_default();
        let lines = text.lines().filter(|line| {
            file != "status" || line.starts_with("State") || line.starts_with("PPid")
        });
        for line in lines {
            eprintln!("  {pid} {file}: {line}");
        }
    }
}

/// Who waits in the kernel for something that no signal ends, of the whole machine: how many in each place, and one of
/// them with its way there.
fn blocked() -> Vec<String> {
    let mut places: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let tasks = processes
        .flatten()
        .filter_map(|process| fs::read_dir(process.path().join("task")).ok())
        .flat_map(Iterator::flatten);
    for task in tasks {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        // `pid (name) state …`; a name may hold anything.
        let Some((name, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        if rest.trim_start().starts_with('D') {
            let way: Vec<String> = read("stack")
                .lines()
                .map(|line| line.trim_start_matches("[<0>] ").to_owned())
                .collect();
            let place = places.entry(read("wchan")).or_default();
            place.0 += 1;
            place.1 = format!("{name}) {}", way.join(" < "));
        }
    }
    let line = |(place, (count, one)): (String, (usize, String))| {
        format!("{count} in {place}, among them {one}")
    };
    places.into_iter().map(line).collect()
}
