//! What gantryd says about itself: log lines by `tracing`, with a filter that can be changed while it runs, and spans
//! exported by OTLP when the standard `OTEL_*` variables ask for it.
//!
//! It must never make the daemon wait: spans go through a bounded queue that drops what does not fit, a collector that
//! hangs costs nothing but its spans, and [`Telemetry::shutdown`] takes a limit. It knows nothing of containers.

mod error;
mod export;
mod filter;
mod parent;
mod setup;

pub use error::Error;
pub use export::Export;
pub use filter::FilterHandle;
pub use parent::{set_parent, traceparent};
pub use setup::{Format, Settings, Telemetry, build, init};
