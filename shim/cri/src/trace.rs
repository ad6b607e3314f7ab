//! A span per call, child of the caller's when it says so.

use tracing::Span;

/// The span of a request; an exporter names it after the RPC.
pub(crate) fn span(request: &http::Request<()>) -> Span {
    let rpc = request.uri().path().rsplit('/').next().unwrap_or_default();
    let span = tracing::info_span!("cri", otel.name = rpc);
    gantry_telemetry::set_parent(&span, |name| request.headers().get(name)?.to_str().ok());
    span
}
