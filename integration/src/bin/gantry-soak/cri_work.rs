//! A CRI client's random work: pods and containers as kubelet makes them, and calls it gives up.

use std::future::Future;
use std::time::Duration;

use gantry_cri_api::v1;
use gantry_integration::cri::{self, Cri};
use gantry_integration::node::BUSYBOX;
use tonic::{Code, Response, Status};

use crate::clients::{Faults, Place, Work};
use crate::dice::Dice;

/// One client with one pod at most.
pub(crate) struct CriClient {
    number: usize,
    place: Place,
    dice: Dice,
    faults: Faults,
    api: Option<Cri>,
    attempt: u32,
    pod: Option<(String, v1::PodSandboxConfig)>,
    containers: Vec<String>,
}

impl CriClient {
    pub(crate) fn new(number: usize, place: Place, dice: Dice, faults: Faults) -> Self {
        let api = Cri::connect(&place.cri)
            .map_err(|error| faults.note(format!("connect to CRI: {error:#}")))
            .ok();
        Self {
            number,
            place,
            dice,
            faults,
            api,
            attempt: 0,
            pod: None,
            containers: Vec::new(),
        }
    }

    /// Makes a call, or gives it up after a moment, and judges the answer.
    fn call<T>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Option<T> {
        self.faults.doing(self.number, what);
        let leaves = (self.dice.below(20) == 0).then(|| Duration::from_millis(self.dice.below(20)));
        let answer = self.api.as_ref()?.wait(async move {
            match leaves {
                None => call.await,
                Some(time) => tokio::time::timeout(time, call)
                    .await
                    .unwrap_or_else(|_| Err(Status::cancelled("the client has left"))),
            }
        });
        match answer {
            Ok(answer) => Some(answer),
            Err(status) => {
                // A container that has just begun has no figures yet, and its answer says so.
                let early = status.message().contains("could be read yet");
                let bad = matches!(
                    status.code(),
                    Code::Internal
                        | Code::Unknown
                        | Code::DataLoss
                        | Code::Unimplemented
                        | Code::ResourceExhausted
                        | Code::Unavailable
                );
                if bad && !early {
                    self.faults
                        .note(format!("{what}: {:?} {}", status.code(), status.message()));
                }
                None
            }
        }
    }

    fn runtime(
        &self,
    ) -> Option<v1::runtime_service_client::RuntimeServiceClient<tonic::transport::Channel>> {
        self.api.as_ref().map(Cri::runtime)
    }

    /// One of its containers, or one that is not there.
    fn container(&mut self) -> String {
        let count = self.containers.len() as u64;
        let at = usize::try_from(self.dice.below(count + 1)).unwrap_or(0);
        self.containers
            .get(at)
            .cloned()
            .unwrap_or_else(|| "0123456789abcdef".repeat(4))
    }

    fn run_pod(&mut self) -> Option<()> {
        self.attempt += 1;
        let logs = self.place.logs.join(format!("p{}", self.number));
        let mut config = cri::pod(&format!("p{}", self.number), &logs.display().to_string());
        config.metadata.as_mut()?.attempt = self.attempt;
        if self.dice.below(2) == 0 {
            let namespaces = v1::NamespaceOption {
                network: v1::NamespaceMode::Node.into(),
                ..Default::default()
            };
            config.linux = Some(v1::LinuxPodSandboxConfig {
                security_context: Some(v1::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces),
                    ..Default::default()
                }),
                ..Default::default()
            });
            config.hostname = String::new();
        }
        let request = v1::RunPodSandboxRequest {
            config: Some(config.clone()),
            runtime_handler: String::new(),
        };
        let mut runtime = self.runtime()?;
        let pod = self.call("RunPodSandbox", async move {
            runtime.run_pod_sandbox(request).await
        })?;
        self.pod = Some((pod.pod_sandbox_id, config));
        Some(())
    }

    fn create(&mut self) -> Option<()> {
        let (pod, sandbox) = self.pod.clone()?;
        let command: &[&str] = match self.dice.below(3) {
            0 => &["sh", "-c", "while :; do echo tick; sleep 0.2; done"],
            1 => &["sh", "-c", "echo hello; exit 4"],
            _ => &["sleep", "1000"],
        };
        self.attempt += 1;
        let config = cri::container(&format!("c{}", self.attempt), BUSYBOX, command);
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: pod,
            config: Some(config),
            sandbox_config: Some(sandbox),
        };
        let mut runtime = self.runtime()?;
        let made = self.call("CreateContainer", async move {
            runtime.create_container(request).await
        })?;
        self.containers.push(made.container_id.clone());
        let request = v1::StartContainerRequest {
            container_id: made.container_id,
        };
        let mut runtime = self.runtime()?;
        self.call("StartContainer", async move {
            runtime.start_container(request).await
        })
        .map(drop)
    }

    fn exec(&mut self) -> Option<()> {
        let command: &[&str] = match self.dice.below(4) {
            0 => &["true"],
            1 => &["sh", "-c", "echo out; echo err >&2; exit 5"],
            2 => &["sleep", "3"],
            _ => &["head", "-c", "100000", "/dev/zero"],
        };
        let request = v1::ExecSyncRequest {
            container_id: self.container(),
            cmd: command.iter().map(|word| (*word).to_owned()).collect(),
            timeout: 1,
        };
        let mut runtime = self.runtime()?;
        self.call("ExecSync", async move { runtime.exec_sync(request).await })
            .map(drop)
    }

    fn look(&mut self) -> Option<()> {
        let mut runtime = self.runtime()?;
        let id = self.container();
        match self.dice.below(7) {
            0 => self
                .call("ListContainers", async move {
                    runtime
                        .list_containers(v1::ListContainersRequest::default())
                        .await
                })
                .map(drop),
            1 => self
                .call("ListPodSandbox", async move {
                    runtime
                        .list_pod_sandbox(v1::ListPodSandboxRequest::default())
                        .await
                })
                .map(drop),
            2 => self
                .call("ListContainerStats", async move {
                    runtime
                        .list_container_stats(v1::ListContainerStatsRequest::default())
                        .await
                })
                .map(drop),
            3 => self
                .call("ContainerStats", async move {
                    let request = v1::ContainerStatsRequest { container_id: id };
                    runtime.container_stats(request).await
                })
                .map(drop),
            4 => self
                .call("Status", async move {
                    runtime.status(v1::StatusRequest { verbose: false }).await
                })
                .map(drop),
            5 => self
                .call("ReopenContainerLog", async move {
                    let request = v1::ReopenContainerLogRequest { container_id: id };
                    runtime.reopen_container_log(request).await
                })
                .map(drop),
            _ => self
                .call("ContainerStatus", async move {
                    let request = v1::ContainerStatusRequest {
                        container_id: id,
                        verbose: true,
                    };
                    runtime.container_status(request).await
                })
                .map(drop),
        }
    }

    fn stop(&mut self) -> Option<()> {
        let request = v1::StopContainerRequest {
            container_id: self.container(),
            timeout: i64::try_from(self.dice.below(2)).unwrap_or(0),
        };
        let mut runtime = self.runtime()?;
        self.call("StopContainer", async move {
            runtime.stop_container(request).await
        })
        .map(drop)
    }

    fn remove(&mut self) -> Option<()> {
        let id = self.container();
        let request = v1::RemoveContainerRequest {
            container_id: id.clone(),
        };
        let mut runtime = self.runtime()?;
        self.call("RemoveContainer", async move {
            runtime.remove_container(request).await
        })?;
        self.containers.retain(|known| *known != id);
        Some(())
    }

    fn nonsense(&mut self) -> Option<()> {
        let mut runtime = self.runtime()?;
        match self.dice.below(3) {
            0 => self
                .call("RunPodSandbox without a config", async move {
                    runtime
                        .run_pod_sandbox(v1::RunPodSandboxRequest::default())
                        .await
                })
                .map(drop),
            1 => self
                .call("CreateContainer in no pod", async move {
                    runtime
                        .create_container(v1::CreateContainerRequest::default())
                        .await
                })
                .map(drop),
            _ => self
                .call("ExecSync of nothing", async move {
                    runtime.exec_sync(v1::ExecSyncRequest::default()).await
                })
                .map(drop),
        }
    }

    /// Removes every pod of this client, those whose making it gave up too.
    fn remove_pods(&mut self) {
        self.pod = None;
        self.containers.clear();
        self.faults.doing(self.number, "remove its pods");
        let Some(api) = &self.api else { return };
        let pods = api.wait(
            api.runtime()
                .list_pod_sandbox(v1::ListPodSandboxRequest::default()),
        );
        let pods = match pods {
            Ok(pods) => pods.items,
            Err(status) => return self.faults.note(format!("list pods: {status}")),
        };
        let name = format!("p{}", self.number);
        for pod in pods {
            if pod.metadata.as_ref().is_some_and(|m| m.name == name)
                && let Err(status) = api.remove_pod(&pod.id)
            {
                self.faults.note(format!("remove pod {}: {status}", pod.id));
            }
        }
    }
}

impl Work for CriClient {
    fn step(&mut self) {
        if self.pod.is_none() {
            // Whatever was given up may have been made all the same.
            self.remove_pods();
            self.run_pod();
            return;
        }
        // What fails has been judged; the next step follows.
        match self.dice.below(20) {
            0..=2 => drop(self.create()),
            3..=6 => drop(self.exec()),
            7..=12 => drop(self.look()),
            13 | 14 => drop(self.stop()),
            15 | 16 => drop(self.remove()),
            17 => drop(self.nonsense()),
            _ if self.containers.len() > 2 || self.dice.below(4) == 0 => self.remove_pods(),
            _ => {}
        }
    }

    fn clear(&mut self) {
        self.remove_pods();
    }
}
