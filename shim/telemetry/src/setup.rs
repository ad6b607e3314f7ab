//! Puts the subscriber together: one layer writes lines to standard error, one hands Gantry's spans to the exporter.

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, filter, fmt, reload};

use crate::filter::{FilterHandle, parse};
use crate::{Error, Export};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal only.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What the caller decides.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first log filter, for instance `info`.
    pub filter: String,
    /// How lines look.
    pub format: Format,
    /// `service.name` of the spans unless `OTEL_SERVICE_NAME` says otherwise.
    pub service: &'static str,
    /// `service.version` of the spans.
    pub version: &'static str,
    /// `service.instance.id` of the spans, to tell several daemons on one host apart.
    pub instance: Option<String>,
    /// Where spans go; `None` exports nothing and costs nothing. Usually [`Export::from_env`].
    pub export: Option<Export>,
}

/// Keeps what was set up. Ends the export when dropped; [`Telemetry::shutdown`] does so without stalling the runtime.
#[derive(Debug)]
pub struct Telemetry {
    filter: FilterHandle,
    provider: Option<SdkTracerProvider>,
    endpoint: Option<String>,
}

/// Sets the process's subscriber. Call it once, early in `main`; within a tokio runtime if spans are exported.
///
/// # Errors
/// See [`Error`].
pub fn init(settings: &Settings) -> Result<Telemetry, Error> {
    let (subscriber, telemetry) = build(settings)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadySet)?;
    Ok(telemetry)
}

/// Makes a subscriber without installing it (for tests, which want several).
///
/// # Errors
/// See [`Error`].
pub fn build(
    settings: &Settings,
) -> Result<(impl Subscriber + Send + Sync + use<>, Telemetry), Error> {
    build_to(settings, std::io::stderr, std::io::stderr().is_terminal())
}

fn build_to<W>(
    settings: &Settings,
    writer: W,
    colours: bool,
) -> Result<(impl Subscriber + Send + Sync + use<W>, Telemetry), Error>
where
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(&settings.filter)?);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        Format::Text => Box::new(
            fmt::layer()
                .with_writer(writer)
                .with_ansi(colours)
                .with_filter(filter),
        ),
        Format::Json => Box::new(
            fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .with_writer(writer)
                .with_filter(filter),
        ),
    };
    let provider = match &settings.export {
        Some(export) => Some(export.provider(
            settings.service,
            settings.version,
            settings.instance.as_deref(),
        )?),
        None => None,
    };
    let spans = provider.as_ref().map(|p| {
        tracing_opentelemetry::layer()
            .with_tracer(p.tracer("gantry"))
            .with_filter(filter::filter_fn(exported))
    });
    let telemetry = Telemetry {
        filter: FilterHandle::new(handle),
        provider,
        endpoint: settings.export.as_ref().map(|e| e.endpoint.clone()),
    };
    Ok((Registry::default().with(lines).with(spans), telemetry))
}

/// Only our own spans: those of hyper or tonic would trace the export itself, for ever.
fn exported(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("gantry") && *metadata.level() <= Level::INFO
}

impl Telemetry {
    /// The handle that changes the log filter; clone it freely.
    #[must_use]
    pub fn filter(&self) -> &FilterHandle {
        &self.filter
    }

    /// Where spans go, if they go anywhere: for the line the daemon logs at start.
    #[must_use]
    pub fn exporting_to(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Sends what is queued and ends the export, in at most `limit`. What the collector did not take by then is lost.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the export ending in the background.
    pub async fn shutdown(self, limit: Duration) {
        let Some(provider) = self.provider else {
            return;
        };
        // The exporter's thread needs this runtime for its connection: wait on another thread, never on a worker.
        let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        if let Ok(Err(error)) = ended.await {
            tracing::warn!(%error, "end the export of spans");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::{Format, Settings, build_to};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    fn settings(filter: &str, format: Format) -> Settings {
        Settings {
            filter: filter.to_owned(),
            format,
            service: "gantryd-test",
            version: "0",
            instance: None,
            export: None,
        }
    }

    #[test]
    fn the_filter_changes_at_run_time_and_a_bad_one_leaves_the_old() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, telemetry) = build_to(
            &settings("error", Format::Text),
            move || writer.clone(),
            false,
        )
        .unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "gantry_engine", "one");
            assert_eq!(lines.take(), "");
            telemetry
                .filter()
                .set_filter("info,gantry_engine=debug")
                .unwrap();
            tracing::debug!(target: "gantry_engine", "two");
            tracing::debug!(target: "hyper", "three");
            let said = lines.take();
            assert!(
                said.contains("DEBUG gantry_engine: two") && !said.contains("three"),
                "{said}"
            );
            let error = telemetry.filter().set_filter("gantry=loud").unwrap_err();
            assert!(error.to_string().contains("gantry=loud"), "{error}");
            assert!(
                telemetry
                    .filter()
                    .filter()
                    .unwrap()
                    .contains("gantry_engine=debug")
            );
        });
        assert!(
            telemetry.filter().set_filter("info").is_err(),
            "the subscriber is gone"
        );
        assert_eq!(telemetry.exporting_to(), None);
    }

    #[test]
    fn json_lines_carry_the_fields_and_the_span() {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, _telemetry) = build_to(
            &settings("info", Format::Json),
            move || writer.clone(),
            false,
        )
        .unwrap();
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!("start", container = "c1").entered();
            tracing::info!(exit = 7, "it ended");
        });
        let said = lines.take();
        assert_eq!(said.lines().count(), 1);
        for part in [
            "\"message\":\"it ended\"",
            "\"exit\":7",
            "\"container\":\"c1\"",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}
