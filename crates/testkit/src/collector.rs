//! A collector of OpenTelemetry traces, which keeps what it is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::eventually;

/// A span as it was exported.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportedSpan {
    /// Its trace, in hexadecimal.
    pub trace: String,
    /// Its id, in hexadecimal.
    pub id: String,
    /// The id of the span above it; empty where there is none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// Its kind, by its number.
    pub kind: i32,
    /// When it began and ended, in nanoseconds since 1970.
    pub time: (u64, u64),
    /// Its attributes, as texts.
    pub attributes: BTreeMap<String, String>,
    /// Its status: the number of the code, and the message.
    pub status: (i32, String),
    /// What is said of the process that made it, as texts.
    pub resource: BTreeMap<String, String>,
}

impl ExportedSpan {
    /// An attribute; empty where there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Whether it has failed.
    pub fn has_failed(&self) -> bool {
        self.status.0 == 2
    }
}

/// The collector. It ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    scheme: &'static str,
    kept: CollectedSpans,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct CollectedSpans {
    spans: Arc<Mutex<Vec<ExportedSpan>>>,
    calls: Arc<Mutex<usize>>,
    /// Whether no call is ever answered.
    hangs: bool,
}

impl CollectedSpans {
    fn spans(&self) -> MutexGuard<'_, Vec<ExportedSpan>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self) -> MutexGuard<'_, usize> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for CollectedSpans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        *self.calls() += 1;
        if self.hangs {
            std::future::pending::<()>().await;
        }
        for resource in request.into_inner().resource_spans {
            let process = texts(resource.resource.map(|resource| resource.attributes).unwrap_or_default());
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let status = span.status.unwrap_or_default();
                self.spans().push(ExportedSpan {
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    name: span.name,
                    kind: span.kind,
                    time: (span.start_time_unix_nano, span.end_time_unix_nano),
                    attributes: texts(span.attributes),
                    status: (status.code, status.message),
                    resource: process.clone(),
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

impl Collector {
    /// One that takes all spans.
    pub async fn start() -> Collector {
        Collector::serve(CollectedSpans::default(), None).await
    }

    /// One that takes all calls, and answers none.
    pub async fn start_hanging() -> Collector {
        Collector::serve(CollectedSpans { hangs: true, ..CollectedSpans::default() }, None).await
    }

    /// One over TLS, with this certificate and key in PEM.
    pub async fn start_over_tls(certificate: &str, key: &str) -> Collector {
        Collector::serve(CollectedSpans::default(), Some(Identity::from_pem(certificate, key))).await
    }

    async fn serve(kept: CollectedSpans, identity: Option<Identity>) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (mut server, scheme) = (Server::builder(), if identity.is_some() { "https" } else { "http" });
        if let Some(identity) = identity {
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).expect("the identity is one");
        }
        let serving = server
            .add_service(TraceServiceServer::new(kept.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { serving.await.expect("it serves") });
        Collector { address, scheme, kept, server }
    }

    /// The arguments of a program that exports to it.
    pub fn args(&self) -> [String; 2] {
        ["--otlp-endpoint".to_owned(), format!("{}://{}", self.scheme, self.address)]
    }

    /// What it was sent so far.
    pub fn spans(&self) -> Vec<ExportedSpan> {
        self.kept.spans().clone()
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        *self.kept.calls()
    }

    /// Waits for a span.
    pub async fn wait_for(&self, what: &str, is: impl Fn(&ExportedSpan) -> bool) -> ExportedSpan {
        eventually(what, Duration::from_secs(60), async || self.spans().into_iter().find(&is)).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}
