//! The exporting of spans.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use muster_types::{AttemptKey, TraceContext};
use opentelemetry::trace::{SpanBuilder, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::trace::{Tracer as _, TracerProvider as _};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::ids::{SpanIds, of_attempt};
use crate::{OtlpFlags, SpanKind, TraceSpan};

/// How long a finished span waits for others to be exported with. A master that is killed loses
/// what waits.
const EXPORT_EVERY: Duration = Duration::from_secs(1);
/// The variable that says otherwise, in milliseconds.
const EXPORT_EVERY_VARIABLE: &str = "OTEL_BSP_SCHEDULE_DELAY";
/// A collector that stays away is mentioned again after this time.
const MENTION_EVERY: Duration = Duration::from_secs(300);

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address of the collector is none.
    #[error("{0} is not of the form http://HOST:PORT or https://HOST:PORT")]
    Endpoint(&'static str),
    /// The file of `--otlp-ca` cannot be read.
    #[error("cannot read --otlp-ca")]
    Ca(#[source] std::io::Error),
    /// A CA is given and the collector is reached in the clear.
    #[error("--otlp-ca is for a collector at an https:// address")]
    CaInTheClear,
    /// The settings of the `OTEL_*` variables, or the CA, cannot be used.
    #[error("cannot export traces")]
    Exporter(#[source] ExporterBuildError),
}

/// Makes the spans of this program, and exports them; or does nothing.
#[derive(Clone, Copy, Default)]
pub struct Traces(Option<&'static SpanPipeline>);

struct SpanPipeline {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins to export to the collector of the flags or of the `OTEL_*` variables; does nothing if
    /// neither names one. It must be called within a tokio runtime that outlives it. A collector
    /// that does not answer is no error.
    pub fn open(flags: &OtlpFlags, service: &'static str, instance: String) -> Result<Traces, TracesError> {
        let variable = |name: &str| std::env::var(name).ok();
        let Some((collector, given_by)) = flags.collector(variable) else { return Ok(Traces::default()) };
        let is_over_tls = is_over_tls(&collector).ok_or(TracesError::Endpoint(given_by))?;
        let mut builder = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(collector);
        match (&flags.otlp_ca, is_over_tls) {
            (Some(_), false) => return Err(TracesError::CaInTheClear),
            (Some(path), true) => {
                let pem = std::fs::read(path).map_err(TracesError::Ca)?;
                builder = builder.with_tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)));
            }
            (None, true) => builder = builder.with_tls_config(ClientTlsConfig::new().with_native_roots()),
            (None, false) => {}
        }
        let exporter = LoggedExporter::new(builder.build().map_err(TracesError::Exporter)?);
        let mut batches = BatchConfigBuilder::default();
        if variable(EXPORT_EVERY_VARIABLE).is_none() {
            batches = batches.with_scheduled_delay(EXPORT_EVERY);
        }
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build()).build();
        let provider = SdkTracerProvider::builder()
            .with_id_generator(SpanIds::default())
            .with_resource(resource(service, instance))
            .with_span_processor(processor)
            .build();
        let tracer = provider.tracer("muster");
        // A provider that is dropped waits for its collector, and this one is for the whole life of
        // the program.
        Ok(Traces(Some(Box::leak(Box::new(SpanPipeline { tracer, provider })))))
    }

    /// Whether spans are made at all.
    pub fn is_on(self) -> bool {
        self.0.is_some()
    }

    /// Begins a span below another, or a trace of its own. Where the sampler leaves it out, it is
    /// still there for what is below it to name.
    pub fn start(self, name: impl Into<Cow<'static, str>>, kind: SpanKind, parent: Option<TraceContext>) -> TraceSpan {
        self.start_at(name, kind, parent, None, None)
    }

    /// The same for what began earlier.
    pub fn started(
        self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: Option<TraceContext>,
        began: SystemTime,
    ) -> TraceSpan {
        self.start_at(name, kind, parent, Some(began), None)
    }

    /// What the launch of an attempt says: the span of the attempt, where this master will make it;
    /// else the one above.
    pub fn of_attempt(self, parent: TraceContext, attempt: &AttemptKey) -> TraceContext {
        if self.is_on() { of_attempt(&parent, attempt) } else { parent }
    }

    /// The span of an attempt, which began at this time.
    pub fn attempt(self, parent: TraceContext, attempt: &AttemptKey, began: SystemTime) -> TraceSpan {
        let id = of_attempt(&parent, attempt).span();
        let mut span = self.start_at("attempt", SpanKind::Internal, Some(parent), Some(began), Some(id));
        span.set_attempt(attempt);
        span
    }

    fn start_at(
        self,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        parent: Option<TraceContext>,
        began: Option<SystemTime>,
        id: Option<u64>,
    ) -> TraceSpan {
        let Some(SpanPipeline { tracer, .. }) = self.0 else { return TraceSpan::default() };
        let mut builder = SpanBuilder::from_name(name).with_kind(kind);
        builder.start_time = began;
        let above = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(remote(&parent)));
        TraceSpan(Some(SpanIds::with(id, || tracer.build_with_context(builder, &above))))
    }

    /// Exports what is finished, for this long at most.
    pub async fn flush(self, within: Duration) {
        let Some(SpanPipeline { provider, .. }) = self.0 else { return };
        // The library waits on its thread. If the collector is away, it waits on when nobody else
        // does any more.
        let flushed = tokio::task::spawn_blocking(move || provider.force_flush());
        let _ = tokio::time::timeout(within, flushed).await;
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.is_on()).finish()
    }
}

/// `None`: it is no address of a collector.
fn is_over_tls(collector: &str) -> Option<bool> {
    let uri: tonic::codegen::http::Uri = collector.parse().ok()?;
    // A name and a password would be shown to whoever sees the command line.
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    if authority.host().is_empty() {
        return None;
    }
    match uri.scheme_str()? {
        "http" => Some(false),
        "https" => Some(true),
        _ => None,
    }
}

fn remote(context: &TraceContext) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(
        TraceId::from_bytes(context.trace().to_be_bytes()),
        SpanId::from_bytes(context.span().to_be_bytes()),
        flags,
        true,
        TraceState::default(),
    )
}

/// Who exports. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` stand above what we say.
fn resource(service: &'static str, instance: String) -> Resource {
    let given = Resource::builder().build();
    let mut builder = Resource::builder();
    let name = given.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    // The library's word for a service without a name.
    if name.is_none_or(|name| name.starts_with("unknown_service")) {
        builder = builder.with_service_name(service);
    }
    for (key, value) in [("service.version", env!("CARGO_PKG_VERSION").to_owned()), ("service.instance.id", instance)] {
        if given.get(&Key::from_static_str(key)).is_none() {
            builder = builder.with_attribute(KeyValue::new(key, value));
        }
    }
    builder.build()
}

/// Tells of a collector that takes nothing: once, again after a while, and when it is back.
#[derive(Debug)]
struct LoggedExporter<E> {
    exporter: E,
    outage: Mutex<Option<ExportOutage>>,
}

#[derive(Debug)]
struct ExportOutage {
    mentioned: Instant,
    lost: usize,
}

impl<E> LoggedExporter<E> {
    fn new(exporter: E) -> LoggedExporter<E> {
        LoggedExporter { exporter, outage: Mutex::new(None) }
    }

    fn tell(&self, spans: usize, result: &OTelSdkResult) {
        let mut outage = self.outage.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (result, outage.as_mut()) {
            (Ok(()), None) => {}
            (Ok(()), Some(ExportOutage { lost, .. })) => {
                tracing::info!(lost, "the OpenTelemetry collector takes spans again");
                *outage = None;
            }
            (Err(error), None) => {
                tracing::warn!(%error, "the OpenTelemetry collector takes no spans; they are lost");
                *outage = Some(ExportOutage { mentioned: Instant::now(), lost: spans });
            }
            (Err(error), Some(ExportOutage { mentioned, lost })) => {
                *lost += spans;
                if mentioned.elapsed() >= MENTION_EVERY {
                    tracing::warn!(%error, lost, "the OpenTelemetry collector still takes no spans");
                    *mentioned = Instant::now();
                }
            }
        }
    }
}

impl<E: SpanExporter> SpanExporter for LoggedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.tell(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_a_scheme_and_a_host() {
        assert_eq!(is_over_tls("http://127.0.0.1:4317"), Some(false));
        assert_eq!(is_over_tls("https://collector.example:4317/"), Some(true));
        for none in ["", "http://ann:sesame@h:1", "collector:4317", "/v1/traces", "ftp://h:1", "http://", "http://a b"]
        {
            assert_eq!(is_over_tls(none), None, "{none}");
        }
    }

    #[test]
    fn without_a_collector_nothing_is_made() {
        let traces = Traces::default();
        let mut span = traces.start("x", SpanKind::Internal, TraceContext::new(1, 2, true));
        span.set("a", 1_i64);
        span.fail("b");
        assert!(span.context().is_none() && !traces.is_on());
    }
}
