//! Kubernetes' Container Runtime Interface, version 1: the generated messages, client and server.
//!
//! Generated at build time from `proto/api.proto`, which is `pkg/apis/runtime/v1/api.proto` of the
//! `k8s.io/cri-api` repository at commit `791729b255f0` (July 2026, Apache-2.0, `proto/LICENSE`), unchanged.
//! To take a newer one, replace the file and this line. There is no logic here: what the messages mean to Gantry
//! is the CRI door's business (`gantry-cri`), and no crate but a door or a test may depend on this one.

/// The package `runtime.v1` as generated: for instance `v1::runtime_service_server::RuntimeService` and
/// `v1::image_service_client::ImageServiceClient`.
#[allow(
    missing_docs,
    unreachable_pub,
    rustdoc::all,
    clippy::all,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "generated code; its comments are those of the proto"
)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}
