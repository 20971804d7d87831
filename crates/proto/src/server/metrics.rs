//! What a server measures, and how a page of metrics is written: OpenMetrics text, by the crate
//! prometheus-client.
//!
//! What is measured on a hot path is an atomic counter. The histograms of the crate take a lock,
//! so those here are our own; they are written by the crate like all else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::HttpPages;

/// The content type of a page of metrics.
pub const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of most lengths of time, in seconds.
pub const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Upper bounds of most numbers of things.
pub const NUMBERS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0];

/// Counts observations by their size. Each costs two additions to atomics.
#[derive(Debug)]
pub struct AtomicHistogram {
    bounds: &'static [f64],
    /// One for each bound, and the last for what is above all of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// How many of the units that the bounds have are in one unit of `sum`.
    scale: f64,
}

impl AtomicHistogram {
    /// A histogram of lengths of time, with bounds in seconds.
    pub fn of_seconds(bounds: &'static [f64]) -> AtomicHistogram {
        AtomicHistogram::new(bounds, 1e-9)
    }

    /// A histogram of numbers.
    pub fn of_numbers(bounds: &'static [f64]) -> AtomicHistogram {
        AtomicHistogram::new(bounds, 1.0)
    }

    fn new(bounds: &'static [f64], scale: f64) -> AtomicHistogram {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        AtomicHistogram { bounds, counts, sum: AtomicU64::new(0), scale }
    }

    /// Adds a length of time to a histogram of such.
    pub fn observe(&self, length: Duration) {
        self.add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds a number to a histogram of such.
    pub fn count(&self, number: usize) {
        self.add(u64::try_from(number).unwrap_or(u64::MAX));
    }

    #[expect(clippy::cast_precision_loss, reason = "it is compared with bounds that are far apart")]
    fn add(&self, raw: u64) {
        let value = raw as f64 * self.scale;
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(raw, Ordering::Relaxed);
    }

    /// How many observations there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum need not be exact")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> =
            bounds.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed))).collect();
        // From the same reading, so that it is the last bucket's.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.sum.load(Ordering::Relaxed) as f64 * self.scale;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// Labels with their values.
pub type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// What a metric is called and means.
#[derive(Debug, Clone, Copy)]
pub struct MetricName {
    /// Without the unit, and without `_total`.
    pub name: &'static str,
    /// The unit, which becomes the end of the name.
    pub unit: Option<&'static str>,
    /// What it says.
    pub help: &'static str,
}

/// A metric without a unit.
pub const fn metric(name: &'static str, help: &'static str) -> MetricName {
    MetricName { name, unit: None, help }
}

/// A metric with a unit.
pub const fn metric_in(name: &'static str, unit: &'static str, help: &'static str) -> MetricName {
    MetricName { name, unit: Some(unit), help }
}

/// Writes a page of metrics.
#[derive(Debug)]
pub struct MetricsWriter<'a>(DescriptorEncoder<'a>);

impl MetricsWriter<'_> {
    /// Writes one number that may rise and fall.
    pub fn gauge(&mut self, name: MetricName, value: f64) -> fmt::Result {
        self.gauges(name, [([], value)])
    }

    /// Writes such numbers, by label.
    pub fn gauges<'l, const N: usize>(
        &mut self,
        name: MetricName,
        values: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        self.each(name, MetricType::Gauge, values, |mut encoder, value| encoder.encode_gauge(&value))
    }

    /// Writes one number that only grows.
    pub fn counter(&mut self, name: MetricName, value: u64) -> fmt::Result {
        self.counters(name, [([], value)])
    }

    /// Writes such numbers, by label.
    pub fn counters<'l, const N: usize>(
        &mut self,
        name: MetricName,
        values: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        let none: Option<&Exemplar<NoLabelSet, f64>> = None;
        self.each(name, MetricType::Counter, values, |mut encoder, value| encoder.encode_counter(&value, none))
    }

    /// Writes a number of seconds that only grows.
    pub fn seconds_counter(&mut self, name: MetricName, value: Duration) -> fmt::Result {
        let none: Option<&Exemplar<NoLabelSet, f64>> = None;
        let value: [(Labels<'_, 0>, f64); 1] = [([], value.as_secs_f64())];
        self.each(name, MetricType::Counter, value, |mut encoder, value| encoder.encode_counter(&value, none))
    }

    /// Writes a histogram.
    pub fn histogram(&mut self, name: MetricName, value: &AtomicHistogram) -> fmt::Result {
        self.histograms(name, [([], value)])
    }

    /// Writes histograms, by label.
    pub fn histograms<'l, 'h, const N: usize>(
        &mut self,
        name: MetricName,
        values: impl IntoIterator<Item = (Labels<'l, N>, &'h AtomicHistogram)>,
    ) -> fmt::Result {
        self.each(name, MetricType::Histogram, values, |encoder, value| value.encode(encoder))
    }

    /// Writes facts that do not change.
    pub fn info<const N: usize>(&mut self, name: MetricName, labels: Labels<'_, N>) -> fmt::Result {
        self.0.encode_descriptor(name.name, name.help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn each<'l, const N: usize, V>(
        &mut self,
        name: MetricName,
        kind: MetricType,
        values: impl IntoIterator<Item = (Labels<'l, N>, V)>,
        write: impl Fn(MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let unit = name.unit.map(|unit| Unit::Other(unit.to_owned()));
        let mut encoder = self.0.encode_descriptor(name.name, name.help, unit.as_ref(), kind)?;
        for (labels, value) in values {
            if N == 0 {
                write(encoder, value)?;
                return Ok(());
            }
            write(encoder.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

/// The number of a truth: 1 or 0.
pub fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// A count as a number.
pub fn count(value: usize) -> f64 {
    float(u64::try_from(value).unwrap_or(u64::MAX))
}

/// A whole number as one of metrics, which are floats: those of 2^53 and more are rounded.
#[expect(clippy::cast_precision_loss, reason = "it says so")]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// What a process uses.
#[derive(Debug, Clone, Copy)]
pub struct ProcessUsage {
    /// Bytes of memory that are in use.
    pub resident: u64,
    /// Bytes of address space.
    pub virtual_size: u64,
    /// Time on a processor.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// How many may be open; `None`: any number.
    pub max_files: Option<u64>,
    /// When it started, as time since 1970.
    pub started: Duration,
}

/// Writes what a process uses, under the names that the client libraries of Prometheus share.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
pub fn process_metrics(page: &mut MetricsWriter<'_>, usage: Option<ProcessUsage>) -> fmt::Result {
    let Some(usage) = usage else { return Ok(()) };
    page.seconds_counter(metric_in("process_cpu", "seconds", "Time on a processor."), usage.cpu)?;
    let resident = metric_in("process_resident_memory", "bytes", "Memory that is in use.");
    page.gauge(resident, usage.resident as f64)?;
    let virtual_size = metric_in("process_virtual_memory", "bytes", "Address space.");
    page.gauge(virtual_size, usage.virtual_size as f64)?;
    page.gauge(metric("process_threads", "Threads."), usage.threads as f64)?;
    page.gauge(metric("process_open_fds", "Open file descriptors."), usage.open_files as f64)?;
    let most = usage.max_files.map_or(f64::INFINITY, |most| most as f64);
    page.gauge(metric("process_max_fds", "How many file descriptors may be open."), most)?;
    let started = metric_in("process_start_time", "seconds", "When the process started, since 1970.");
    page.gauge(started, usage.started.as_secs_f64())
}

#[derive(Debug)]
struct PagesCollector<P>(Arc<P>);

impl<P: HttpPages> Collector for PagesCollector<P> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.metrics(&mut MetricsWriter(encoder))
    }
}

/// The page of metrics.
pub(super) fn page(pages: Arc<impl HttpPages>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(PagesCollector(pages)));
    let mut page = String::new();
    text::encode(&mut page, &registry)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Pages(AtomicHistogram);

    impl HttpPages for Pages {
        fn is_ready(&self) -> bool {
            true
        }

        fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
            page.gauge(metric("a", "One number."), 1.0)?;
            page.counters(metric("b", "By word."), [([("word", "x")], 2), ([("word", "a \"b\"")], 3)])?;
            page.histogram(metric_in("c", "seconds", "Time."), &self.0)?;
            page.info(metric("d", "Facts."), [("version", "1")])
        }
    }

    #[test]
    fn a_page_is_written_as_openmetrics() {
        let histogram = AtomicHistogram::of_seconds(&[0.5, 1.0]);
        for millis in [500, 501, 1000, 4000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let wanted = "# HELP a One number.\n# TYPE a gauge\na 1.0\n\
                      # HELP b By word.\n# TYPE b counter\nb_total{word=\"x\"} 2\nb_total{word=\"a \\\"b\\\"\"} 3\n\
                      # HELP c_seconds Time.\n# TYPE c_seconds histogram\n# UNIT c_seconds seconds\n\
                      c_seconds_sum 6.001\nc_seconds_count 4\nc_seconds_bucket{le=\"0.5\"} 1\n\
                      c_seconds_bucket{le=\"1.0\"} 3\nc_seconds_bucket{le=\"+Inf\"} 4\n\
                      # HELP d Facts.\n# TYPE d info\nd_info{version=\"1\"} 1\n# EOF\n";
        assert_eq!(page(Arc::new(Pages(histogram))).unwrap(), wanted);
    }
}
