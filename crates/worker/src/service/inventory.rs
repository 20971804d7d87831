//! The inventory: the attempts of this worker, as its service shows them.

use muster_proto::v1;
use muster_types::Report;

use super::ServiceState;

pub(super) fn show(state: &ServiceState) -> v1::GetInventoryResponse {
    let status = state.status.view();
    v1::GetInventoryResponse {
        name: state.name.clone(),
        uid: state.uid.clone(),
        incarnation: status.incarnation.map(|incarnation| incarnation.to_string()).unwrap_or_default(),
        master: status.registered.map(|(master, _)| master).unwrap_or_default(),
        epoch: status.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        capabilities: Some((&status.capabilities).into()),
        attempts: state.attempts.all().iter().map(|known| attempt(&known.report)).collect(),
        total: Some((&state.total).into()),
    }
}

fn attempt(report: &Report) -> v1::InventoryAttempt {
    let wire = v1::Report::from(report);
    v1::InventoryAttempt {
        uid: format!("{:032x}", report.attempt.uid()),
        id: wire.id,
        attempt: report.attempt.number(),
        executor: report.attempt.is_executor(),
        state: wire.state,
        pid: wire.pid,
        start_time: wire.start_time,
        outcome: wire.outcome,
        resources: wire.resources,
        wait_channel: wire.wait_channel,
    }
}
