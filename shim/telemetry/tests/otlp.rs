//! Spans reach a real OTLP receiver, and a collector that hangs holds nobody up.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gantry_telemetry::{Export, Format, Settings, Telemetry, build, set_parent, traceparent};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use tracing::Subscriber;

#[derive(Clone, Default)]
struct Collector {
    got: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.got
            .lock()
            .expect("no test panics while it holds this")
            .push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a port of loopback");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let service = TraceServiceServer::new(self.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        format!("http://{address}")
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().expect("no test panics while it holds this");
        got.iter()
            .flat_map(|r| &r.resource_spans)
            .flat_map(|r| &r.scope_spans)
            .flat_map(|s| s.spans.clone())
            .collect()
    }
}

fn make(endpoint: String, timeout: Duration) -> (impl Subscriber + Send + Sync, Telemetry) {
    build(&Settings {
        filter: "off".into(),
        format: Format::Json,
        service: "gantryd-test",
        version: "1.2.3",
        instance: Some("i1".into()),
        export: Some(Export {
            endpoint,
            timeout: Some(timeout),
        }),
    })
    .expect("settings are good")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_a_collector_under_the_requests_parent() {
    let collector = Collector::default();
    let (subscriber, telemetry) = make(collector.serve().await, Duration::from_secs(5));
    let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let handed_on = tracing::subscriber::with_default(subscriber, || {
        let outer = tracing::info_span!(target: "gantry_engine", "container start", id = "c1");
        assert!(set_parent(&outer, |name| (name == "traceparent").then_some(header)));
        let _entered = outer.enter();
        let inner = tracing::info_span!(target: "gantry_engine", "network join");
        // Another library's span must not be sent, or the export would trace itself.
        let _other = tracing::info_span!(target: "h2::client", "noise").entered();
        traceparent(&inner).expect("an exported span has an id")
    });
    telemetry.shutdown(Duration::from_secs(10)).await;

    let spans = collector.spans();
    let mut names: Vec<_> = spans.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["container start", "network join"]);
    let outer = spans
        .iter()
        .find(|s| s.name == "container start")
        .expect("just seen");
    let inner = spans
        .iter()
        .find(|s| s.name == "network join")
        .expect("just seen");
    assert_eq!(hex(&outer.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(hex(&outer.parent_span_id), "b7ad6b7169203331");
    assert_eq!(inner.parent_span_id, outer.span_id);
    assert_eq!(
        handed_on,
        format!("00-{}-{}-01", hex(&inner.trace_id), hex(&inner.span_id))
    );
    let got = collector.got.lock().expect("nobody holds it now");
    let resource = format!("{:?}", got[0].resource_spans[0].resource);
    for part in ["gantryd-test", "1.2.3", "i1"] {
        assert!(resource.contains(part), "{part} in {resource}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_neither_stalls_spans_nor_shutdown() {
    // It accepts the connection in the backlog and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind a port of loopback");
    let endpoint = format!(
        "http://{}",
        listener
            .local_addr()
            .expect("a bound socket has an address")
    );
    let (subscriber, telemetry) = make(endpoint, Duration::from_secs(60));
    let begun = Instant::now();
    tracing::subscriber::with_default(subscriber, || {
        // More than the queue holds: the rest has to be dropped, not waited for.
        for number in 0..20_000 {
            let _span = tracing::info_span!(target: "gantry_engine", "many", number).entered();
        }
    });
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "making spans took {:?}",
        begun.elapsed()
    );
    let begun = Instant::now();
    telemetry.shutdown(Duration::from_millis(500)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "shutdown took {:?}",
        begun.elapsed()
    );
    drop(listener);
}

#[test]
fn a_malformed_parent_is_ignored() {
    let span = tracing::info_span!("x");
    assert!(!set_parent(&span, |_| Some("nonsense")));
    assert!(!set_parent(&span, |_| None));
    assert_eq!(traceparent(&span), None);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
