//! The spans of what this worker does for an attempt: its start, and the run of its process.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_traces::{SpanKind, TraceSpan, Traces};
use muster_types::{AttemptKey, AttemptState, Launch, Report, TraceContext, WallTime, WorkerUid};

/// The attempts that were launched in a trace and have not ended. An agent that starts anew knows
/// nothing of earlier launches: of those, the span of the attempt, which a master makes, says how
/// they end.
#[derive(Debug)]
pub struct TracedAttempts {
    traces: Traces,
    worker: WorkerUid,
    open: BTreeMap<AttemptKey, TracedAttempt>,
}

#[derive(Debug)]
struct TracedAttempt {
    trace: TraceContext,
    /// From the launch until the process runs.
    spawn: Option<TraceSpan>,
}

impl TracedAttempts {
    /// For the spans of a worker.
    pub fn new(traces: Traces, worker: WorkerUid) -> TracedAttempts {
        TracedAttempts { traces, worker, open: BTreeMap::new() }
    }

    /// An attempt is launched.
    pub(crate) fn launch(&mut self, launch: &Launch) {
        let Some(trace) = launch.trace.filter(|_| self.traces.is_on()) else { return };
        let spawn = Some(self.span("spawn", SpanKind::Consumer, trace, SystemTime::now(), &launch.attempt));
        self.open.insert(launch.attempt, TracedAttempt { trace, spawn });
    }

    /// The runner says where an attempt stands.
    pub(crate) fn hear(&mut self, report: &Report) {
        let Some(attempt) = self.open.get_mut(&report.attempt) else { return };
        let trace = attempt.trace;
        if let Some(started) = report.started
            && let Some(mut spawn) = attempt.spawn.take()
        {
            spawn.set("process.pid", report.pid.map_or(0, i64::from));
            spawn.end_at(time(started));
        }
        let AttemptState::Ended(outcome) = &report.state else { return };
        let ended = report.ended.map_or_else(SystemTime::now, time);
        let span = match (self.open.remove(&report.attempt).and_then(|attempt| attempt.spawn), report.started) {
            // It never ran.
            (Some(spawn), _) => Some(spawn),
            (None, Some(started)) => Some(self.span("run", SpanKind::Internal, trace, time(started), &report.attempt)),
            (None, None) => None,
        };
        if let Some(mut span) = span {
            span.set_outcome(outcome);
            span.end_at(ended);
        }
    }

    /// An attempt is forgotten.
    pub(crate) fn forget(&mut self, attempt: &AttemptKey) {
        self.open.remove(attempt);
    }

    fn span(
        &self,
        name: &'static str,
        kind: SpanKind,
        trace: TraceContext,
        began: SystemTime,
        of: &AttemptKey,
    ) -> TraceSpan {
        let mut span = self.traces.started(name, kind, Some(trace), began);
        span.set_attempt(of);
        span.set("muster.worker.uid", self.worker.to_string());
        span
    }
}

fn time(wall: WallTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(wall.0)
}
