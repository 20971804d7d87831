//! Which records pass a filter.

use muster_core::{ApplicationView, DriverView, ExecutorView, WorkerView};
use muster_proto::validate::Filter;
use muster_types::{ApplicationState, DriverState, ExecutorState, WorkerName, WorkerState, WorkerUid};

/// Whether a driver passes. Its worker is that of its newest attempt.
pub(crate) fn driver(filter: &Filter<DriverState>, driver: &DriverView) -> bool {
    let record = &driver.record;
    filter.state.is_none_or(|state| state == record.state)
        && filter.labels_match(&record.spec.labels)
        && filter.worker.as_deref().is_none_or(|wanted| {
            let attempt = record.attempts.last();
            attempt.is_some_and(|attempt| is_worker(wanted, &attempt.worker_name, attempt.worker))
        })
}

pub(crate) fn application(filter: &Filter<ApplicationState>, application: &ApplicationView) -> bool {
    filter.state.is_none_or(|state| state == application.record.state)
        && filter.labels_match(&application.record.spec.labels)
}

pub(crate) fn executor(filter: &Filter<ExecutorState>, executor: &ExecutorView) -> bool {
    let record = &executor.record;
    filter.state.is_none_or(|state| state == record.state)
        && filter.worker.as_deref().is_none_or(|wanted| is_worker(wanted, &record.worker_name, record.worker))
}

pub(crate) fn worker(filter: &Filter<WorkerState>, worker: &WorkerView) -> bool {
    let record = &worker.record;
    filter.state.is_none_or(|state| state == worker.state)
        && filter.labels_match(&record.labels)
        && filter.worker.as_deref().is_none_or(|wanted| is_worker(wanted, &record.name, record.uid))
}

/// Matches a worker by name or by uid.
fn is_worker(wanted: &str, name: &WorkerName, uid: WorkerUid) -> bool {
    name.as_str() == wanted || wanted.parse() == Ok(uid)
}
