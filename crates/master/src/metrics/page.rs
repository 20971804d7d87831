//! The page of metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_core::WorkerView;
use muster_core::placement::Policy;
use muster_proto::server::HttpPages;
use muster_proto::server::metrics::{
    MetricName, MetricsWriter, count, flag, float, metric, metric_in, process_metrics,
};
use muster_types::{ApplicationState, DriverState, Reason, Resources, WallTime, WorkerState};
use tokio::sync::mpsc;

use super::waiting::{REASONS, WaitingWork, waiting};
use super::{MasterMetrics, Reloaded};
use crate::clock;
use crate::health::Health;
use crate::leader::{LeaderContext, LeaderSlot};
use crate::view::StateCounts;

/// What the pages of a master are made of.
#[derive(Debug)]
pub(crate) struct MasterPages {
    pub health: Health,
    pub slot: Arc<LeaderSlot>,
    pub metrics: Arc<MasterMetrics>,
    pub policy: Policy,
    /// Directory of an embedded store.
    pub store: Option<PathBuf>,
}

impl HttpPages for MasterPages {
    fn is_ready(&self) -> bool {
        self.health.is_ready()
    }

    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        page.info(metric("muster_master_build", "This master's program."), [("version", env!("CARGO_PKG_VERSION"))])?;
        process_metrics(page, muster_os::proc::own_usage().as_ref().map(usage))?;
        self.counters(page)?;
        if let Some(bytes) = self.store.as_deref().map(size_of) {
            page.gauge(metric_in("muster_master_store_size", "bytes", "Size of the embedded store."), float(bytes))?;
        }
        let ready = metric("muster_master_ready", "Whether calls are answered here, by this master or through it.");
        page.gauge(ready, flag(self.is_ready()))?;
        let leading = self.slot.leading().ok();
        page.gauge(metric("muster_master_leader", "Whether this master leads."), flag(leading.is_some()))?;
        // A standby knows nothing of what follows.
        leading.map_or(Ok(()), |leading| self.state(page, &leading))
    }
}

impl MasterPages {
    fn counters(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let calls = metric("muster_master_calls", "Calls that ended, forwarded ones included.");
        let duration =
            metric_in("muster_master_call_duration", "seconds", "From a call's arrival to the head of its answer.");
        metrics.calls.write(page, calls, duration)?;
        let commits =
            metric_in("muster_master_commit_duration", "seconds", "How long transactions took, with all tries.");
        page.histogram(commits, &metrics.commit_duration)?;
        page.histogram(metric("muster_master_commit_writes", "Writes of a transaction."), &metrics.commit_writes)?;
        let turn =
            metric_in("muster_master_loop_turn_duration", "seconds", "Work of the commit loop between two waits.");
        page.histogram(turn, &metrics.loop_turn)?;
        let recovery =
            metric_in("muster_master_recovery_duration", "seconds", "From winning the lead to answering calls.");
        page.histogram(recovery, &metrics.recovery)?;
        let interval =
            metric_in("muster_master_heartbeat_interval", "seconds", "Time between two heartbeats of a worker.");
        page.histogram(interval, &metrics.heartbeat_interval)?;
        let failovers = metric("muster_master_failovers", "Leaders that followed another, as seen here.");
        page.counter(failovers, metrics.failovers.load(Ordering::Relaxed))?;
        let lost = metric("muster_master_audit_lines_lost", "Lines of the audit that could not be written.");
        page.counter(lost, metrics.audit_lost.load(Ordering::Relaxed))?;
        let plaintext =
            metric("muster_master_plaintext_connections", "Connections in the clear, of --plaintext-transition.");
        page.gauge(plaintext, count(metrics.plaintext.count()))?;
        let failures = metric("muster_master_reload_failures", "Looks at a changed file that could not be used.");
        let counts = Reloaded::ALL.map(|what| ([("file", what.as_str())], metrics.reload_failures(what)));
        page.counters(failures, counts)?;
        let ended = metric("muster_master_attempts_ended", "Attempts whose end this leader recorded.");
        page.counters(ended, self.ends())
    }

    fn ends(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 3], u64)> {
        let kinds = ["driver", "executor"].into_iter().zip(&self.metrics.attempts);
        kinds.flat_map(|(kind, by_success)| {
            ["false", "true"].into_iter().zip(by_success).flat_map(move |(success, by_reason)| {
                let counts = by_reason.iter().map(|count| count.load(Ordering::Relaxed));
                // Only what happened has a series, but the first of its kind is always there.
                let all = Reason::ALL.into_iter().zip(counts);
                let shown = all.filter(|(reason, count)| *count > 0 || *reason == Reason::Exited);
                shown.map(move |(reason, count)| {
                    ([("kind", kind), ("success", success), ("reason", reason.as_str())], count)
                })
            })
        })
    }

    fn state(&self, page: &mut MetricsWriter<'_>, leading: &LeaderContext) -> fmt::Result {
        let epoch = metric("muster_master_epoch", "Revision of the leader's epoch, which grows with each leader.");
        #[expect(clippy::cast_precision_loss, reason = "it is compared, not counted with")]
        page.gauge(epoch, leading.epoch.revision as f64)?;
        let generation = metric("muster_master_store_generation", "How often the store was restored, from 1.");
        page.gauge(generation, float(leading.epoch.generation))?;
        let full = metric("muster_master_store_full", "Whether the store has no room.");
        page.gauge(full, flag(*leading.store_full.borrow()))?;
        page.gauge(metric("muster_master_links", "Workers with a stream."), count(leading.links.count()))?;
        let quarantined = metric("muster_master_quarantined_records", "Records that could not be read.");
        page.gauge(quarantined, count(leading.quarantined.len()))?;
        let queues = [("calls", queued(&leading.inputs.calls)), ("links", queued(&leading.inputs.links))];
        let length = metric("muster_master_input_queue_length", "Inputs that wait for the commit loop.");
        page.gauges(length, queues.map(|(queue, (length, _))| ([("queue", queue)], count(length))))?;
        let limit = metric("muster_master_input_queue_limit", "How many inputs may wait.");
        page.gauges(limit, queues.map(|(queue, (_, limit))| ([("queue", queue)], count(limit))))?;

        let (drivers, applications, workers, records) = {
            // The commit loop waits for this lock, so what is read is used after it.
            let tables = leading.view.read();
            let records: Vec<Arc<WorkerView>> = tables.workers.after(None).cloned().collect();
            (
                tables.drivers.counts().clone(),
                tables.applications.counts().clone(),
                tables.workers.counts().clone(),
                records,
            )
        };
        let states = DriverState::ALL.map(DriverState::as_str);
        by_state(page, metric("muster_master_drivers", "Drivers that are kept."), &drivers, &states)?;
        let states = ApplicationState::ALL.map(ApplicationState::as_str);
        by_state(page, metric("muster_master_applications", "Applications that are kept."), &applications, &states)?;
        let states = WorkerState::ALL.map(WorkerState::as_str);
        by_state(page, metric("muster_master_workers", "Workers that are known."), &workers, &states)?;
        let draining = records.iter().filter(|worker| is_alive(worker) && worker.record.drain.is_some()).count();
        page.gauge(metric("muster_master_workers_draining", "Alive workers that drain."), count(draining))?;
        let quarantined = records.iter().map(|worker| worker.quarantined.len()).sum();
        let attempts = metric("muster_master_quarantined_attempts", "Attempts that run and that no record names.");
        page.gauge(attempts, count(quarantined))?;
        resources(page, &records)?;
        work(page, &waiting(&leading.view, &records, &self.policy))?;
        reference_names(page, &applications, &workers)
    }
}

fn is_alive(worker: &WorkerView) -> bool {
    worker.state == WorkerState::Alive
}

fn by_state(
    page: &mut MetricsWriter<'_>,
    name: MetricName,
    counts: &StateCounts,
    states: &[&'static str],
) -> fmt::Result {
    let number = |state: &str| f64::from(counts.get(state).copied().unwrap_or(0));
    page.gauges(name, states.iter().map(|state| ([("state", *state)], number(state))))
}

/// The resources of alive workers.
fn resources(page: &mut MetricsWriter<'_>, workers: &[Arc<WorkerView>]) -> fmt::Result {
    let (mut cores, mut memory) = ([0_u64; 2], [0_u64; 2]);
    for worker in workers.iter().filter(|worker| is_alive(worker)) {
        let (total, used): (_, &Resources) = (&worker.record.total, &worker.used);
        cores[0] += u64::from(total.cores.saturating_sub(used.cores));
        cores[1] += u64::from(used.cores);
        memory[0] += total.memory.saturating_sub(used.memory);
        memory[1] += used.memory;
    }
    let both = |values: [u64; 2]| ["free", "used"].into_iter().zip(values);
    let name = metric("muster_master_cores", "Cores of alive workers.");
    page.gauges(name, both(cores).map(|(state, value)| ([("state", state)], float(value))))?;
    let name = metric_in("muster_master_memory", "bytes", "Memory of alive workers.");
    page.gauges(name, both(memory).map(|(state, value)| ([("state", state)], float(value))))
}

/// What waits. Every reason has a series, so that one that comes and goes does not look like a gap.
fn work(page: &mut MetricsWriter<'_>, found: &BTreeMap<&'static str, WaitingWork>) -> fmt::Result {
    let now = clock::wall();
    let of = |reason: &str| found.get(reason).copied().unwrap_or_default();
    let mut each = |name: MetricName, value: &dyn Fn(WaitingWork) -> f64| {
        page.gauges(name, REASONS.map(|reason| ([("reason", reason)], value(of(reason)))))
    };
    each(metric("muster_master_waiting_drivers", "Drivers that wait."), &|work| float(work.drivers))?;
    let executors = metric("muster_master_waiting_executors", "Executors that applications want and do not have.");
    each(executors, &|work| float(work.executors))?;
    each(metric("muster_master_waiting_cores", "Cores of what waits."), &|work| float(work.cores))?;
    each(metric_in("muster_master_waiting_memory", "bytes", "Memory of what waits."), &|work| float(work.memory))?;
    let age = |since: WallTime| Duration::from_millis(now.0.saturating_sub(since.0)).as_secs_f64();
    let oldest =
        metric_in("muster_master_waiting_age", "seconds", "How long the driver that waits longest has waited.");
    each(oldest, &|work| work.oldest.map_or(0.0, age))
}

/// The names that Spark's standalone master has for the same numbers, as its own servlet writes
/// them.
fn reference_names(page: &mut MetricsWriter<'_>, applications: &StateCounts, workers: &StateCounts) -> fmt::Result {
    let known = WorkerState::ALL.iter().filter(|state| **state != WorkerState::Forgotten);
    let known: u32 = known.filter_map(|state| workers.get(state.as_str())).sum();
    let alive = workers.get(WorkerState::Alive.as_str()).copied().unwrap_or(0);
    let live = ApplicationState::ALL.iter().filter(|state| !state.is_terminal());
    let live: u32 = live.filter_map(|state| applications.get(state.as_str())).sum();
    let waits = applications.get(ApplicationState::Waiting.as_str()).copied().unwrap_or(0);
    for (name, value) in [
        ("metrics_master_workers_Value", known),
        ("metrics_master_aliveWorkers_Value", alive),
        ("metrics_master_apps_Value", live),
        ("metrics_master_waitingApps_Value", waits),
    ] {
        page.gauges(metric(name, "As Spark's master counts it."), [([("type", "gauges")], f64::from(value))])?;
    }
    Ok(())
}

/// How many wait in a queue, and how many may.
fn queued<T>(queue: &mpsc::Sender<T>) -> (usize, usize) {
    let limit = queue.max_capacity();
    (limit.saturating_sub(queue.capacity()), limit)
}

fn usage(usage: &muster_os::proc::OwnUsage) -> muster_proto::server::metrics::ProcessUsage {
    muster_proto::server::metrics::ProcessUsage {
        resident: usage.resident,
        virtual_size: usage.virtual_size,
        cpu: usage.cpu,
        threads: usage.threads,
        open_files: usage.open_files,
        max_files: usage.max_files,
        started: usage.started,
    }
}

/// Bytes of all files of a directory. One that is removed meanwhile is not counted.
fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
