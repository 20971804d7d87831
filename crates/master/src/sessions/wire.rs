//! Session events on the wire.

use muster_core::{ApplicationEvent, ExecutorView};
use muster_proto::render::{self, ExecutorExtras};
use muster_proto::time::timestamp;
use muster_proto::v1;
use muster_types::WallTime;
use v1::application_session_event::Event as Wire;

/// An executor as applications and people see it.
pub(crate) fn executor_to_wire(shown: &ExecutorView) -> v1::Executor {
    let extras = ExecutorExtras { pid: shown.pid, draining: shown.draining };
    render::executor(&shown.application_id, &shown.record, extras)
}

pub(crate) fn to_wire(revision: u64, at: WallTime, event: &ApplicationEvent) -> v1::ApplicationSessionEvent {
    let (executor, event) = parts(event);
    v1::ApplicationSessionEvent {
        revision,
        executor: executor.map(executor_to_wire),
        time: Some(timestamp(at)),
        event: Some(event),
    }
}

fn parts(event: &ApplicationEvent) -> (Option<&ExecutorView>, Wire) {
    match event {
        ApplicationEvent::Added(executor) => (Some(executor), Wire::Added(v1::ExecutorAdded {})),
        ApplicationEvent::Running(executor) => (Some(executor), Wire::Running(v1::ExecutorRunning {})),
        ApplicationEvent::Ended(executor) => {
            let record = &executor.record;
            let ended = v1::ExecutorEnded {
                outcome: record.outcome.as_ref().map(Into::into),
                killed_by: record.killed_by.map(|by| by.as_str().to_owned()).unwrap_or_default(),
            };
            (Some(executor), Wire::Ended(ended))
        }
        ApplicationEvent::ProcessLost(executor) => {
            (Some(executor), Wire::ProcessLost(v1::ExecutorProcessLost { message: message_of(executor) }))
        }
        ApplicationEvent::WorkerLost(executor) => {
            let lost = v1::ExecutorWorkerLost { host: executor.record.host.clone(), message: message_of(executor) };
            (Some(executor), Wire::WorkerLost(lost))
        }
        ApplicationEvent::Draining(executor, deadline) => {
            // A worker drains as a whole, and one worker is one machine.
            let draining = v1::ExecutorDraining {
                host: executor.record.host.clone(),
                whole_machine: true,
                deadline: deadline.map(timestamp),
            };
            (Some(executor), Wire::Draining(draining))
        }
        ApplicationEvent::Pending { profile, missing, reason } => {
            let pending = v1::ExecutorsPending {
                profile_id: profile.0,
                missing: *missing,
                reason: Some(render::pending(reason)),
            };
            (None, Wire::Pending(pending))
        }
        ApplicationEvent::ApplicationEnded { state, by, message } => {
            let ended = v1::ApplicationEnded {
                state: v1::application::State::from(*state).into(),
                by: by.clone(),
                message: message.clone(),
            };
            (None, Wire::ApplicationEnded(ended))
        }
    }
}

fn message_of(executor: &ExecutorView) -> String {
    executor.record.outcome.as_ref().map(|outcome| outcome.message.clone()).unwrap_or_default()
}
