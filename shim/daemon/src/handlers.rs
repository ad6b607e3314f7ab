//! Configured handlers at start-up: whether each binary is there, and what it says it can do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use gantry_model::handler::{ExecCgroup, Handler, Runtime};
use serde_json::Value;

use crate::config;

/// The longest a binary may take for one question. The doors wait for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Newest version of the runtime specification our configurations say.
const NEWEST: (u64, u64) = (1, 2);

/// Asks all of them at once. One that does not answer serves all the same: not every runtime knows the questions.
pub(crate) fn found(
    handlers: &BTreeMap<String, config::Handler>,
) -> impl Future<Output = Vec<Handler>> + use<> {
    let asking: Vec<_> = handlers
        .iter()
        .map(|(name, handler)| tokio::spawn(ask(name.clone(), handler.clone())))
        .collect();
    async {
        let mut found = Vec::new();
        for one in asking {
            // A question that panicked is a handler less, which its user is told.
            found.extend(one.await.ok());
        }
        found
    }
}

async fn ask(name: String, handler: config::Handler) -> Handler {
    let path = handler.path.to_string_lossy().into_owned();
    let mut made = Handler {
        problem: usable(&handler.path).err().unwrap_or_default(),
        runtime: Runtime {
            name,
            path,
            options: handler.options,
            timeout_ms: u64::try_from(handler.timeout.as_millis()).unwrap_or(u64::MAX),
            ..Runtime::default()
        },
        ..Handler::default()
    };
    if !made.problem.is_empty() {
        tracing::warn!(
            handler = made.runtime.name,
            problem = made.problem,
            "a handler cannot be used"
        );
        return made;
    }
    let features = output(&handler.path, &["features"]);
    let help = output(&handler.path, &["exec", "--help"]);
    let (features, help) = tokio::join!(features, help);
    made.runtime.exec_cgroup = exec_cgroup(help.as_deref().unwrap_or_default());
    made.features = features
        .and_then(|text| serde_json::from_str(&text).ok())
        .filter(Value::is_object)
        .unwrap_or_default();
    made.runtime.version = version(&made.features);
    let options = made.features["mountOptions"].as_array();
    made.recursive_read_only = options.is_some_and(|list| list.iter().any(|o| o == "rro"));
    made
}

/// In words when not.
fn usable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let found = std::fs::metadata(path).map_err(|e| format!("{shown}: {e}"))?;
    if !found.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK)
        .map_err(|e| format!("{shown}: {}", e.desc()))
}

/// What a command says, if it can be run and ends well in time.
async fn output(path: &Path, args: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new(path);
    command
        .args(args)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.ok()?.ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// From the text of `exec --help`: nothing else tells.
fn exec_cgroup(help: &str) -> ExecCgroup {
    match help.lines().find(|line| line.contains("--cgroup")) {
        None => ExecCgroup::None,
        Some(line) if line.contains("controller") => ExecCgroup::Controller,
        Some(_) => ExecCgroup::Plain,
    }
}

/// The newest version that both sides take; empty where nothing is said.
fn version(features: &Value) -> String {
    let Some(text) = features["ociVersionMax"].as_str() else {
        return String::new();
    };
    let mut parts = text.split(['.', '-']).map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= NEWEST => {
            format!("{}.{}.0", NEWEST.0, NEWEST.1)
        }
        (Some(Ok(_)), Some(Ok(_))) => text.to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_says_is_understood() {
        let of = |text: &str| version(&serde_json::json!({ "ociVersionMax": text }));
        assert_eq!(of("1.0.2-dev"), "1.0.2-dev");
        assert_eq!(of("1.2.1"), "1.2.0");
        assert_eq!(of("1.10.0"), "1.2.0");
        assert_eq!(of("new"), "");
        assert_eq!(version(&Value::Null), "");
        let runc = "   --cgroup value   run the process in an (existing) sub-cgroup(s). Format is [<controller>:]<cgroup>.";
        assert_eq!(exec_cgroup(runc), ExecCgroup::Controller);
        let crun = "      --cgroup=PATH          sub-cgroup in the container";
        assert_eq!(exec_cgroup(crun), ExecCgroup::Plain);
        assert_eq!(exec_cgroup("--tty"), ExecCgroup::None);
    }

    #[tokio::test]
    async fn a_binary_that_is_not_there_is_a_problem_and_not_an_end() {
        let path = "/nonexistent/runtime".into();
        let handlers = [(
            "gone".to_owned(),
            config::Handler {
                path,
                options: Vec::new(),
                timeout: PATIENCE,
            },
        )];
        let found = found(&handlers.into()).await;
        assert_eq!(found.len(), 1);
        assert!(found[0].problem.contains("/nonexistent/runtime"));
    }
}
