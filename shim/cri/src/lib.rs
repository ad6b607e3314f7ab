//! The CRI door: what kubelet and `crictl` talk to. Reads a request, calls the engine, writes the answer.
//!
//! Invariant: no state is kept and no decision is made here that outlives a request; what an answer needs beyond the
//! engine's words is in a container's `door_data`. Every option of a request is honoured, refused by name, or one that
//! Kubernetes says a runtime may ignore (each such place says why).
//!
//! One file per RPC, named after it; `convert` holds what several share, `status` the one table from error kinds
//! to gRPC codes.

mod convert;
mod deadline;
mod incoming;
mod service;
mod status;
mod trace;

mod container_stats;
mod container_status;
mod create_container;
mod exec_sync;
mod get_container_events;
mod image_fs_info;
mod image_status;
mod list_container_stats;
mod list_containers;
mod list_images;
mod list_pod_sandbox;
mod pod_sandbox_status;
mod pull_image;
mod remove_container;
mod remove_image;
mod remove_pod_sandbox;
mod reopen_container_log;
mod run_pod_sandbox;
mod runtime_config;
mod runtime_status;
mod start_container;
mod stop_container;
mod stop_pod_sandbox;
mod update_container_resources;
mod update_runtime_config;
mod version;

use std::path::Path;
use std::sync::{Arc, Weak};

use gantry_cri_api::v1::image_service_server::ImageServiceServer;
use gantry_cri_api::v1::runtime_service_server::RuntimeServiceServer;
use gantry_engine::Engine;
use gantry_model::{Error, Result};
use tokio::net::UnixListener;
use tokio::sync::watch;

/// Bytes of one request; the same limit kubelet has for answers.
pub const MAX_REQUEST: usize = 16 << 20;

/// What the daemon tells the door.
#[derive(Clone, Debug, Default)]
pub struct CriConfig {
    /// Version of the daemon, shown by `crictl version`.
    pub version: String,
}

/// What every handler is given.
pub(crate) struct Door {
    pub(crate) engine: Engine,
    pub(crate) config: CriConfig,
    /// SELinux is on: then its options must not be dropped silently. Off, Kubernetes wants them ignored.
    pub(crate) selinux: bool,
    /// Turns true when the door closes: streams without an end of their own end then.
    pub(crate) closing: watch::Receiver<bool>,
    /// Itself, for what outlives a handler.
    pub(crate) this: Weak<Door>,
}

/// Serves the door until `shutdown` is ready; calls in progress are then finished first.
///
/// # Errors
/// `Internal` when the listener breaks.
pub async fn serve(
    listener: UnixListener,
    engine: Engine,
    config: CriConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<()> {
    let selinux = Path::new("/sys/fs/selinux/enforce")
        .try_exists()
        .unwrap_or(false);
    let (close, closing) = watch::channel(false);
    let door = Arc::new_cyclic(|this| Door {
        engine,
        config,
        selinux,
        closing,
        this: Weak::clone(this),
    });
    let shutdown = async move {
        shutdown.await;
        close.send_replace(true);
    };
    let runtime = RuntimeServiceServer::from_arc(Arc::clone(&door));
    let images = ImageServiceServer::from_arc(door);
    tonic::transport::Server::builder()
        .trace_fn(trace::span)
        .add_service(runtime.max_decoding_message_size(MAX_REQUEST))
        .add_service(images.max_decoding_message_size(MAX_REQUEST))
        .serve_with_incoming_shutdown(incoming::incoming(listener), shutdown)
        .await
        .map_err(|e| Error::internal(format!("serve the cri door: {e}")))
}
