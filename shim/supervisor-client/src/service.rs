//! The service: where supervisors live, and the trait's three ways to one.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use gantry_model::call::Call;
use gantry_model::supervisor::{
    Recovered, SandboxLaunch, Supervisor, SupervisorEvent, SupervisorService,
};
use gantry_model::{Error, Result, SandboxId};
use tokio::sync::mpsc;

use crate::{discard, recover, spawn};

/// What has to be known to start supervisors.
#[derive(Clone, Debug)]
pub struct Config {
    /// The `gantry-shim` binary.
    pub program: PathBuf,
    /// The run folder; supervisors are in `shims/`, links to network namespaces in `netns/`.
    pub run: PathBuf,
    /// The cgroup (below each hierarchy's mount) under which each supervisor has a leaf of its own; empty leaves them in
    /// gantryd's. Must lie outside the sandboxes' cgroups.
    pub cgroup: String,
}

impl Config {
    pub(crate) fn shims(&self) -> PathBuf {
        self.run.join("shims")
    }

    pub(crate) fn folder(&self, id: &SandboxId) -> PathBuf {
        self.shims().join(id.as_str())
    }

    pub(crate) fn netns_link(&self, id: &SandboxId) -> PathBuf {
        self.run.join("netns").join(id.as_str())
    }

    pub(crate) fn own_cgroup(&self, id: &SandboxId) -> String {
        let parent = self.cgroup.trim_matches('/');
        if parent.is_empty() {
            String::new()
        } else {
            format!("{parent}/{id}")
        }
    }
}

/// The supervisors of one instance.
#[derive(Clone, Debug)]
pub struct Supervisors(Arc<Config>);

impl Supervisors {
    /// Touches nothing yet.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(config))
    }
}

/// Runs what touches files on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(Error::internal(format!(
            "work on a supervisor's files: {e}"
        )))
    })
}

#[async_trait]
impl SupervisorService for Supervisors {
    async fn spawn(
        &self,
        call: &Call,
        launch: &SandboxLaunch,
    ) -> Result<(
        Arc<dyn Supervisor>,
        mpsc::UnboundedReceiver<SupervisorEvent>,
    )> {
        call.cancel.check()?;
        // In a task of its own: whoever drops this future must not leave a process nobody reaps.
        let (config, call, asked) = (self.0.clone(), call.clone(), launch.clone());
        let spawned = tokio::spawn(async move { spawn::spawn(&config, &call, &asked).await }).await;
        let (shim, events) = spawned
            .unwrap_or_else(|e| Err(Error::internal(e.to_string())))
            .map_err(|e| e.context(format!("start supervisor of sandbox {}", launch.id.short())))?;
        Ok((shim, events))
    }

    async fn recover(&self) -> Result<Vec<Recovered>> {
        let config = self.0.clone();
        let found = blocking(move || recover::look(&config.shims())).await?;
        Ok(found
            .into_iter()
            .map(|one| recover::connect(&self.0, one))
            .collect())
    }

    async fn discard(&self, call: &Call, id: &SandboxId, cgroup: &str) -> Result<()> {
        discard::discard(&self.0, call, id, cgroup)
            .await
            .map_err(|e| e.context(format!("discard supervisor of sandbox {}", id.short())))
    }
}
