//! Whether spans are exported and to whom, from the standard variables of OpenTelemetry.
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::Error;

/// Where spans go. Timeout, headers, sampler, queue sizes and the resource's attributes are read from their own `OTEL_*`
/// variables by the exporter itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The collector's gRPC address, for instance `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// How long one batch may take; the variables' value (10 seconds without them) if `None`.
    pub timeout: Option<Duration>,
}

impl Export {
    /// Reads the variables: no endpoint, no export.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if they ask for another exporter or protocol than OTLP over gRPC: silence would look like
    /// a collector that lost the spans.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        if get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        match get("OTEL_TRACES_EXPORTER").as_deref() {
            Some("none") => return Ok(None),
            None | Some("otlp") => {}
            Some(other) => {
                return Err(unsupported(
                    "OTEL_TRACES_EXPORTER",
                    other,
                    "use \"otlp\" or \"none\"",
                ));
            }
        }
        let Some(endpoint) = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| get("OTEL_EXPORTER_OTLP_ENDPOINT"))
        else {
            return Ok(None);
        };
        for variable in [
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ] {
            match get(variable).as_deref() {
                None => {}
                // The first one that is set wins.
                Some("grpc") => break,
                Some(other) => {
                    return Err(unsupported(variable, other, "only \"grpc\" is built in"));
                }
            }
        }
        if endpoint.starts_with("https://") {
            return Err(Error::Unsupported {
                variable: "OTEL_EXPORTER_OTLP_ENDPOINT",
                value: endpoint,
                hint: "TLS to a collector is not built in yet, use http:// to one on this host",
            });
        }
        Ok(Some(Self {
            endpoint,
            timeout: None,
        }))
    }

    /// Makes the provider: a thread of its own that sends batches from a bounded queue.
    /// Must be called within a tokio runtime, which then carries the connection.
    pub(crate) fn provider(
        &self,
        service: &'static str,
        version: &'static str,
        instance: Option<&str>,
    ) -> Result<SdkTracerProvider, Error> {
        let mut builder = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&self.endpoint);
        if let Some(timeout) = self.timeout {
            builder = builder.with_timeout(timeout);
        }
        let exporter = builder.build().map_err(|e| Error::Exporter {
            endpoint: self.endpoint.clone(),
            reason: e.to_string(),
        })?;
        let mut attributes = vec![KeyValue::new("service.version", version)];
        attributes.extend(instance.map(|i| KeyValue::new("service.instance.id", i.to_owned())));
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            attributes.push(KeyValue::new("service.name", service));
        }
        let resource = Resource::builder().with_attributes(attributes).build();
        Ok(SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build())
    }
}

fn unsupported(variable: &'static str, value: &str, hint: &'static str) -> Error {
    Error::Unsupported {
        variable,
        value: value.to_owned(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Export};

    fn from(pairs: &[(&str, &str)]) -> Result<Option<Export>, Error> {
        Export::from_env(|name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn off_unless_asked_for() {
        assert_eq!(from(&[]).unwrap(), None);
        assert_eq!(from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).unwrap(), None);
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317");
        assert_eq!(
            from(&[endpoint, ("OTEL_SDK_DISABLED", "true")]).unwrap(),
            None
        );
        assert_eq!(
            from(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).unwrap(),
            None
        );
    }

    #[test]
    fn the_signals_own_endpoint_wins() {
        let export = from(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:4317"),
        ]);
        assert_eq!(export.unwrap().unwrap().endpoint, "http://b:4317");
    }

    #[test]
    fn what_is_not_built_in_is_said() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
        let error =
            from(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
            "{error}"
        );
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc");
        assert!(
            from(&[
                endpoint,
                traces,
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
            ])
            .unwrap()
            .is_some()
        );
        assert!(from(&[endpoint, ("OTEL_TRACES_EXPORTER", "zipkin")]).is_err());
        assert!(from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a:4317")]).is_err());
    }
}
