//! One live supervisor, as the engine holds it.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gantry_model::call::Call;
use gantry_model::container::Resources;
use gantry_model::network::PublishedPort;
use gantry_model::supervisor::{
    AttachStreams, Attached, ContainerLaunch, ExecLaunch, Stats, Supervisor, Target, WindowSize,
};
use gantry_model::{ContainerId, Error, ErrorKind, ExecId, Result, SandboxId, Timestamp};
use gantry_supervisor_proto::Request;
use gantry_supervisor_proto::types::{self as t, Nothing};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use crate::link::Ask;
use crate::{attach, convert};

/// A handle; cheap, and no more than a way to its [`crate::link::Link`].
pub(crate) struct Shim {
    pub(crate) id: SandboxId,
    pub(crate) pid: i32,
    pub(crate) asks: mpsc::UnboundedSender<Ask>,
    /// Our end of the birth pipe: closing it before "committed" ends the supervisor.
    pub(crate) birth: Mutex<Option<OwnedFd>>,
}

impl Shim {
    /// Asks and waits, no longer than the call allows.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: Request,
    ) -> Result<T> {
        self.ask_for(call, request).await.map(|(body, _)| body)
    }

    /// The same with the descriptors that came along.
    async fn ask_for<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: Request,
    ) -> Result<(T, Vec<OwnedFd>)> {
        call.cancel.check()?;
        let (answer, answered) = oneshot::channel();
        let sent = Arc::new(AtomicBool::new(false));
        let ask = Ask {
            request,
            operation: call.operation.to_string(),
            answer,
            sent: sent.clone(),
        };
        let gone = || {
            Error::unavailable(format!(
                "supervisor of sandbox {} has ended",
                self.id.short()
            ))
        };
        self.asks.send(ask).map_err(|_| gone())?;
        // What was asked is done or not whatever becomes of the caller; a cancel does not shorten the wait for knowing.
        let (reply, fds) = match tokio::time::timeout(call.timeout, answered).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) => return Err(gone()),
            Err(_) => return Err(self.late(sent.load(Ordering::SeqCst))),
        };
        let body = reply.into_result().map_err(convert::error)?;
        Ok((body, fds))
    }

    fn late(&self, sent: bool) -> Error {
        let text = format!("supervisor of sandbox {} does not answer", self.id.short());
        if sent {
            Error::unknown(text)
        } else {
            Error::unavailable(text)
        }
    }

    /// A request younger than the supervisor: said so that it is known what helps.
    fn too_old(&self, error: Error, what: &str) -> Error {
        if error.kind == ErrorKind::Unimplemented {
            return Error::unimplemented(format!(
                "supervisor of sandbox {} was started by an older release that cannot {what}; it can once its containers have been stopped and started",
                self.id.short()
            ));
        }
        error
    }

    async fn done(&self, call: &Call, request: Request) -> Result<()> {
        self.ask::<Nothing>(call, request).await.map(drop)
    }
}

fn id(id: impl AsRef<str>) -> t::Id {
    t::Id {
        id: id.as_ref().to_owned(),
    }
}

#[async_trait]
impl Supervisor for Shim {
    fn pid(&self) -> i32 {
        self.pid
    }

    async fn commit(&self, call: &Call) -> Result<()> {
        gantry_fault::point("supervisor-client.commit.before-request")?;
        self.done(call, Request::Commit(Nothing {})).await?;
        gantry_fault::pass("supervisor-client.commit.after-request");
        drop(
            self.birth
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take(),
        );
        Ok(())
    }

    async fn network_namespace(&self, call: &Call) -> Result<Option<OwnedFd>> {
        let (Nothing {}, mut fds) = self
            .ask_for(call, Request::NetworkNamespace(Nothing {}))
            .await?;
        Ok(fds.pop())
    }

    async fn hold_ports(&self, call: &Call, ports: &[PublishedPort]) -> Result<()> {
        let ports = ports.iter().map(convert::port).collect();
        self.done(call, Request::HoldPorts(t::HoldPorts { ports }))
            .await
    }

    async fn create(&self, call: &Call, launch: &ContainerLaunch) -> Result<i32> {
        let request = Request::Create(convert::create(launch));
        Ok(self.ask::<t::Pid>(call, request).await?.pid)
    }

    async fn start(&self, call: &Call, container: &ContainerId) -> Result<Timestamp> {
        let request = Request::Start(id(container));
        Ok(Timestamp(self.ask::<t::Time>(call, request).await?.at))
    }

    async fn kill(&self, call: &Call, id: &ContainerId, signal: i32, all: bool) -> Result<()> {
        let id = id.to_string();
        self.done(call, Request::Kill(t::Kill { id, signal, all }))
            .await
    }

    async fn set_paused(&self, call: &Call, id: &ContainerId, paused: bool) -> Result<()> {
        let id = id.to_string();
        self.done(call, Request::SetPaused(t::SetPaused { id, paused }))
            .await
    }

    async fn delete(&self, call: &Call, container: &ContainerId) -> Result<()> {
        self.done(call, Request::Delete(id(container))).await
    }

    async fn exec_create(&self, call: &Call, launch: &ExecLaunch) -> Result<()> {
        let request = Request::ExecCreate(convert::exec(launch));
        self.ask::<t::Pid>(call, request).await.map(drop)
    }

    async fn exec_start(&self, call: &Call, exec: &ExecId) -> Result<i32> {
        Ok(self
            .ask::<t::Pid>(call, Request::ExecStart(id(exec)))
            .await?
            .pid)
    }

    async fn attach(
        &self,
        call: &Call,
        target: &Target,
        streams: AttachStreams,
    ) -> Result<Attached> {
        let request = Request::Attach(t::Attach {
            target: convert::target(target),
            stdin: streams.stdin,
            stdout: streams.stdout,
            stderr: streams.stderr,
        });
        let (Nothing {}, mut fds) = self.ask_for(call, request).await?;
        let socket = fds
            .pop()
            .ok_or_else(|| Error::internal("attach: the supervisor sent no socket"))?;
        attach::attached(socket)
    }

    async fn resize(&self, call: &Call, target: &Target, size: WindowSize) -> Result<()> {
        let request = Request::Resize(t::Resize {
            target: convert::target(target),
            rows: size.rows,
            columns: size.columns,
        });
        self.done(call, request).await
    }

    async fn close_stdin(&self, call: &Call, target: &Target) -> Result<()> {
        let target = convert::target(target);
        self.done(call, Request::CloseStdin(t::CloseStdin { target }))
            .await
    }

    async fn reopen_log(&self, call: &Call, container: &ContainerId) -> Result<()> {
        self.done(call, Request::ReopenLog(id(container))).await
    }

    async fn processes(&self, call: &Call, container: &ContainerId) -> Result<Vec<i32>> {
        let found: Result<t::Pids> = self.ask(call, Request::Processes(id(container))).await;
        Ok(found.map_err(|e| self.too_old(e, "list processes"))?.pids)
    }

    async fn update(
        &self,
        call: &Call,
        container: &ContainerId,
        resources: &Resources,
    ) -> Result<()> {
        let request = Request::Update(t::Update {
            id: container.to_string(),
            limits: convert::limits(resources),
        });
        let done = self.done(call, request).await;
        done.map_err(|e| self.too_old(e, "change limits"))
    }

    async fn stats(&self, call: &Call, container: &ContainerId) -> Result<Stats> {
        let stats = self.ask(call, Request::Stats(id(container))).await?;
        Ok(convert::stats(stats))
    }

    async fn shutdown(&self, call: &Call) -> Result<()> {
        self.done(call, Request::Shutdown(Nothing {})).await?;
        // Its root mounts are released by its end, which the link sees; until then the snapshots are in use.
        if tokio::time::timeout(call.timeout, self.asks.closed())
            .await
            .is_err()
        {
            return Err(Error::unknown(format!(
                "supervisor of sandbox {} was told to end and has not",
                self.id.short()
            )));
        }
        Ok(())
    }
}
