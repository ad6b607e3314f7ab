//! Takes a span's parent from a request and hands it on, in the W3C form (`traceparent`, `tracestate`).
//! <https://www.w3.org/TR/trace-context/>
//!
//! Headers are the caller's input: a malformed one is ignored, as the specification asks.

use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The two headers, looked up before: an extractor's answers must live as long as itself.
struct Headers<'a> {
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent,
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// Makes `span` a child of what the request's headers name. `get` looks one header up, its name given in lower case.
/// Returns whether there was a parent; without export nothing happens. Call it before the span is entered.
pub fn set_parent<'a>(span: &Span, get: impl Fn(&str) -> Option<&'a str>) -> bool {
    let headers = Headers {
        traceparent: get("traceparent"),
        tracestate: get("tracestate"),
    };
    let context = TraceContextPropagator::new().extract(&headers);
    context.span().span_context().is_valid() && span.set_parent(context).is_ok()
}

struct One(Option<String>);

impl Injector for One {
    fn set(&mut self, key: &str, value: String) {
        if key == "traceparent" {
            self.0 = Some(value);
        }
    }
}

/// The `traceparent` of a span, to hand on to another process. `None` when spans are not exported.
#[must_use]
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut one = One(None);
    TraceContextPropagator::new().inject_context(&context, &mut one);
    one.0
}
