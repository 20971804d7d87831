//! The spans of attempts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_proto::v1;
use muster_traces::{SpanKind, Traces};
use muster_types::{AttemptKey, Event, Outcome, Subject, TraceContext, WallTime, WorkerCommand, WorkerUid};

use crate::view::View;

/// Says in the launches among these commands below which span their attempts go on, and makes a
/// span of the way of each to its worker. The commands were released at this time.
pub(crate) fn launching(
    traces: Traces,
    worker: WorkerUid,
    released: SystemTime,
    commands: &[WorkerCommand],
    wire: &mut v1::Commands,
) {
    if !traces.is_on() {
        return;
    }
    for (command, wire) in commands.iter().zip(&mut wire.commands) {
        let (WorkerCommand::Launch(launch), Some(v1::worker_command::Command::Launch(wire))) =
            (command, &mut wire.command)
        else {
            continue;
        };
        let Some(trace) = launch.trace else { continue };
        let attempt = traces.of_attempt(trace, &launch.attempt);
        wire.traceparent = attempt.to_string();
        let mut span = traces.started("launch", SpanKind::Producer, Some(attempt), released);
        span.set_attempt(&launch.attempt);
        span.set("muster.worker.uid", worker.to_string());
    }
}

/// An attempt that is over.
struct EndedAttempt {
    trace: TraceContext,
    key: AttemptKey,
    worker: WorkerUid,
    assigned: WallTime,
    ended: WallTime,
    outcome: Outcome,
}

/// Makes the spans of the attempts whose ends are durable with these events and shown in the view.
pub(crate) fn ended(traces: Traces, view: &View, events: &[Event]) {
    if !traces.is_on() {
        return;
    }
    for EndedAttempt { trace, key, worker, assigned, ended, outcome } in events.iter().filter_map(|e| of(view, e)) {
        let mut span = traces.attempt(trace, &key, time(assigned));
        span.set("muster.worker.uid", worker.to_string());
        span.set_outcome(&outcome);
        span.end_at(time(ended));
    }
}

/// The attempt that ended with an event, if it is in a trace.
fn of(view: &View, event: &Event) -> Option<EndedAttempt> {
    match &event.subject {
        Subject::Driver { uid, attempt: Some(number), outcome: Some(_), .. } => {
            let shown = view.read().drivers.get(uid.0).cloned()?;
            let (trace, key) = (shown.record.trace?, AttemptKey::Driver(*uid, *number));
            let attempt = shown.record.attempts.iter().find(|attempt| attempt.number == *number)?;
            let (assigned, ended) = (attempt.assigned, attempt.ended?);
            Some(EndedAttempt {
                trace,
                key,
                worker: attempt.worker,
                assigned,
                ended,
                outcome: attempt.outcome.clone()?,
            })
        }
        Subject::Executor { uid, executor, outcome: Some(_), .. } => {
            let trace = view.read().applications.get(uid.0)?.record.trace?;
            let (key, shown) = (AttemptKey::Executor(*uid, *executor), view.executor(*uid, *executor)?);
            let (assigned, ended) = (shown.record.created, shown.record.ended?);
            let outcome = shown.record.outcome.clone()?;
            Some(EndedAttempt { trace, key, worker: shown.record.worker, assigned, ended, outcome })
        }
        _ => None,
    }
}

fn time(wall: WallTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(wall.0)
}
