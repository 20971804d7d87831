//! What a worker measures, and its page of metrics. `docs/metrics.md` lists all of it.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_proto::server::metrics::{
    AtomicHistogram, MetricsWriter, ProcessUsage, SECONDS, count, flag, float, metric, metric_in, process_metrics,
};
use muster_proto::server::{CallMetrics, HttpPages};
use muster_types::{AllocatedResources, AttemptState, Outcome, Reason};

use crate::attempts::{Attempts, KnownAttempt};
use crate::launch::AttemptDirectories;
use crate::status::AgentStatus;

/// The files of an attempt's output.
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// The counters of an agent. They begin anew with each agent.
#[derive(Debug)]
pub struct WorkerMetrics {
    /// Calls of the worker's own service.
    pub calls: Arc<CallMetrics>,
    /// From the sending of a heartbeat to its answer.
    pub heartbeat_round_trip: AtomicHistogram,
    /// From a launch command to the report that its process runs.
    pub launch_duration: AtomicHistogram,
    /// Connections to runners.
    pub runner_connections: AtomicU64,
    /// Artifacts that were fetched.
    pub artifacts_fetched: AtomicU64,
    /// Launches that failed for an artifact.
    pub artifacts_failed: AtomicU64,
    /// Ends of attempts, by success and reason.
    ends: [[AtomicU64; Reason::ALL.len()]; 2],
}

impl Default for WorkerMetrics {
    fn default() -> WorkerMetrics {
        WorkerMetrics {
            calls: Arc::default(),
            heartbeat_round_trip: AtomicHistogram::of_seconds(SECONDS),
            launch_duration: AtomicHistogram::of_seconds(SECONDS),
            runner_connections: AtomicU64::new(0),
            artifacts_fetched: AtomicU64::new(0),
            artifacts_failed: AtomicU64::new(0),
            ends: Default::default(),
        }
    }
}

impl WorkerMetrics {
    /// Counts the end of an attempt.
    pub fn count_end(&self, outcome: &Outcome) {
        self.ends[usize::from(outcome.is_success())][outcome.reason as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// What the pages of a worker are made of.
#[derive(Debug)]
pub struct WorkerPages {
    /// State of link and runner, with the counters.
    pub status: AgentStatus,
    /// The attempts.
    pub attempts: Attempts,
    /// Where their logs are.
    pub layout: Arc<AttemptDirectories>,
    /// All its resources.
    pub total: AllocatedResources,
}

impl HttpPages for WorkerPages {
    fn is_ready(&self) -> bool {
        self.status.view().is_ready()
    }

    fn metrics(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        page.info(metric("muster_worker_build", "This worker's program."), [("version", env!("CARGO_PKG_VERSION"))])?;
        process_metrics(page, usage())?;
        self.counters(page)?;
        let view = self.status.view();
        let registered = metric("muster_worker_registered", "Whether a leader has this worker's inventory.");
        page.gauge(registered, flag(view.is_ready()))?;
        let runner = metric("muster_worker_runner_connected", "Whether there is a runner.");
        page.gauge(runner, flag(view.incarnation.is_some()))?;
        let epoch = metric("muster_worker_epoch", "Revision of the highest epoch seen.");
        page.gauge(epoch, float(view.epoch.map_or(0, |epoch| epoch.revision)))?;
        self.attempts(page)
    }
}

impl WorkerPages {
    fn counters(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let metrics = self.status.metrics();
        let calls = metric("muster_worker_calls", "Calls of this worker's own service that ended.");
        let duration =
            metric_in("muster_worker_call_duration", "seconds", "From a call's arrival to the head of its answer.");
        metrics.calls.write(page, calls, duration)?;
        let round_trip =
            metric_in("muster_worker_heartbeat_round_trip", "seconds", "From sending a heartbeat to its answer.");
        page.histogram(round_trip, &metrics.heartbeat_round_trip)?;
        let launch =
            metric_in("muster_worker_launch_duration", "seconds", "From a launch command to a running process.");
        page.histogram(launch, &metrics.launch_duration)?;
        let connections = metric("muster_worker_runner_connections", "Connections to a runner, of this agent.");
        page.counter(connections, metrics.runner_connections.load(Ordering::Relaxed))?;
        let artifacts = [("fetched", &metrics.artifacts_fetched), ("failed", &metrics.artifacts_failed)];
        let artifacts = artifacts.map(|(result, count)| ([("result", result)], count.load(Ordering::Relaxed)));
        page.counters(metric("muster_worker_artifacts", "Artifacts of launches."), artifacts)?;
        let ends = ["false", "true"].into_iter().zip(&metrics.ends).flat_map(|(success, by_reason)| {
            let all = Reason::ALL.into_iter().zip(by_reason.iter().map(|count| count.load(Ordering::Relaxed)));
            // Only what happened has a series, but the first of its kind is always there.
            let shown = all.filter(|(reason, count)| *count > 0 || *reason == Reason::Exited);
            shown.map(move |(reason, count)| ([("success", success), ("reason", reason.as_str())], count))
        });
        page.counters(metric("muster_worker_attempts_ended", "Attempts that ended here."), ends)
    }

    fn attempts(&self, page: &mut MetricsWriter<'_>) -> fmt::Result {
        let all = self.attempts.all();
        let states = ["ACCEPTED", "RUNNING", "KILLING", "FROZEN", "ENDED"];
        let number = |state: &str| all.iter().filter(|known| word(&known.report.state) == state).count();
        let attempts =
            metric("muster_worker_attempts", "Attempts that the runner knows; ended ones until a master has.");
        page.gauges(attempts, states.map(|state| ([("state", state)], count(number(state)))))?;

        let open = || all.iter().filter(|known| !matches!(known.report.state, AttemptState::Ended(_)));
        let cores: u64 = open().map(|known| u64::from(known.report.resources.cores)).sum();
        let memory: u64 = open().map(|known| known.report.resources.memory).sum();
        let (free_cores, free_memory) =
            (u64::from(self.total.cores).saturating_sub(cores), self.total.memory.saturating_sub(memory));
        let both = |free: u64, used: u64| [([("state", "free")], float(free)), ([("state", "used")], float(used))];
        page.gauges(metric("muster_worker_cores", "Cores on offer."), both(free_cores, cores))?;
        page.gauges(metric_in("muster_worker_memory", "bytes", "Memory on offer."), both(free_memory, memory))?;
        let logs = metric_in("muster_worker_log", "bytes", "What the logs of these attempts have on the disk.");
        page.gauge(logs, float(all.iter().map(|known| self.log_size(known)).sum()))?;

        let executors = open().filter(|known| known.report.attempt.is_executor()).count();
        for (name, value) in [
            ("metrics_worker_executors_Value", count(executors)),
            ("metrics_worker_coresUsed_Value", float(cores)),
            ("metrics_worker_coresFree_Value", float(free_cores)),
            ("metrics_worker_memUsed_MB_Value", float(memory >> 20)),
            ("metrics_worker_memFree_MB_Value", float(free_memory >> 20)),
        ] {
            page.gauges(metric(name, "As Spark's worker counts it."), [([("type", "gauges")], value)])?;
        }
        Ok(())
    }

    fn log_size(&self, known: &KnownAttempt) -> u64 {
        let directory = self.layout.log_dir(&known.report.attempt);
        // The heads of logs that are bounded take no room.
        let on_disk = |stream: &str| std::fs::metadata(directory.join(stream)).map_or(0, |file| file.blocks() * 512);
        STREAMS.into_iter().map(on_disk).sum()
    }
}

fn word(state: &AttemptState) -> &'static str {
    match state {
        AttemptState::Accepted => "ACCEPTED",
        AttemptState::Running => "RUNNING",
        AttemptState::Killing { .. } => "KILLING",
        AttemptState::Frozen => "FROZEN",
        AttemptState::Ended(_) => "ENDED",
    }
}

fn usage() -> Option<ProcessUsage> {
    let usage = muster_os::proc::own_usage()?;
    Some(ProcessUsage {
        resident: usage.resident,
        virtual_size: usage.virtual_size,
        cpu: usage.cpu,
        threads: usage.threads,
        open_files: usage.open_files,
        max_files: usage.max_files,
        started: usage.started,
    })
}
