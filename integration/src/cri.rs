//! A CRI client for tests: the generated one, made blocking.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gantry_cri_api::v1;
use gantry_cri_api::v1::image_service_client::ImageServiceClient;
use gantry_cri_api::v1::runtime_service_client::RuntimeServiceClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// A connection to one daemon's CRI socket.
#[derive(Debug)]
pub struct Cri {
    tokio: tokio::runtime::Runtime,
    channel: Channel,
}

/// What most tests need of the API, each waiting for its answer. The error is the server's status, untouched.
impl Cri {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(socket: &Path) -> Result<Self> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let channel = tokio.block_on(async {
            let endpoint = Endpoint::try_from(format!("unix://{}", socket.display()))?;
            endpoint
                .timeout(Duration::from_secs(120))
                .connect()
                .await
                .context("connect to the CRI socket")
        })?;
        Ok(Self { tokio, channel })
    }

    /// Waits for any call of [`Cri::runtime`] or [`Cri::images`].
    pub fn wait<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        self.tokio.block_on(call).map(tonic::Response::into_inner)
    }

    /// The runtime service.
    #[must_use]
    pub fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone())
    }

    /// The image service.
    #[must_use]
    pub fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone())
    }

    /// `RunPodSandbox` with the default handler.
    ///
    /// # Errors
    /// The server's status.
    pub fn run_pod(&self, config: v1::PodSandboxConfig) -> Result<String, Status> {
        let request = v1::RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: String::new(),
        };
        Ok(self
            .wait(self.runtime().run_pod_sandbox(request))?
            .pod_sandbox_id)
    }

    /// `CreateContainer`.
    ///
    /// # Errors
    /// The server's status.
    pub fn create(
        &self,
        pod: &str,
        config: v1::ContainerConfig,
        sandbox: v1::PodSandboxConfig,
    ) -> Result<String, Status> {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: pod.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox),
        };
        Ok(self
            .wait(self.runtime().create_container(request))?
            .container_id)
    }

    /// `StartContainer`.
    ///
    /// # Errors
    /// The server's status.
    pub fn start(&self, id: &str) -> Result<(), Status> {
        let request = v1::StartContainerRequest {
            container_id: id.to_owned(),
        };
        self.wait(self.runtime().start_container(request)).map(drop)
    }

    /// `StopContainer`; `grace` in seconds.
    ///
    /// # Errors
    /// The server's status.
    pub fn stop(&self, id: &str, grace: i64) -> Result<(), Status> {
        let request = v1::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: grace,
        };
        self.wait(self.runtime().stop_container(request)).map(drop)
    }

    /// `RemoveContainer`.
    ///
    /// # Errors
    /// The server's status.
    pub fn remove(&self, id: &str) -> Result<(), Status> {
        let request = v1::RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        self.wait(self.runtime().remove_container(request))
            .map(drop)
    }

    /// `StopPodSandbox`, then `RemovePodSandbox`.
    ///
    /// # Errors
    /// The server's status.
    pub fn remove_pod(&self, id: &str) -> Result<(), Status> {
        let request = v1::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        self.wait(self.runtime().stop_pod_sandbox(request))?;
        let request = v1::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        };
        self.wait(self.runtime().remove_pod_sandbox(request))
            .map(drop)
    }

    /// `ContainerStatus`.
    ///
    /// # Errors
    /// The server's status.
    pub fn status(&self, id: &str) -> Result<v1::ContainerStatus, Status> {
        let request = v1::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        };
        let response = self.wait(self.runtime().container_status(request))?;
        response
            .status
            .ok_or_else(|| Status::internal("an answer without a status"))
    }

    /// `ExecSync`; `limit` in seconds, 0 for none.
    ///
    /// # Errors
    /// The server's status.
    pub fn exec(&self, id: &str, cmd: &[&str], limit: i64) -> Result<v1::ExecSyncResponse, Status> {
        let cmd = cmd.iter().map(|c| (*c).to_owned()).collect();
        let request = v1::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd,
            timeout: limit,
        };
        self.wait(self.runtime().exec_sync(request))
    }
}

/// A pod's config as kubelet would send it, as small as it can be.
#[must_use]
pub fn pod(name: &str, logs: &str) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        hostname: name.to_owned(),
        log_directory: logs.to_owned(),
        ..Default::default()
    }
}

/// A container's config; its log is `<name>.log` in the pod's log directory.
#[must_use]
pub fn container(name: &str, image: &str, command: &[&str]) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: name.to_owned(),
            attempt: 0,
        }),
        image: Some(v1::ImageSpec {
            image: image.to_owned(),
            ..Default::default()
        }),
        command: command.iter().map(|c| (*c).to_owned()).collect(),
        log_path: format!("{name}.log"),
        ..Default::default()
    }
}
