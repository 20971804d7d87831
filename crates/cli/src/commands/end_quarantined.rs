//! `muster worker end-quarantined`.

use muster_client::v1::EndQuarantinedRequest;

use super::put;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::similar::similar;

/// Ends an attempt that the store does not name.
pub(super) async fn end_quarantined(master: MasterClient, worker: &str, attempt: &str) -> Result<(), CommandFailure> {
    let client = master.client();
    let call = |request_id| {
        client.end_quarantined(EndQuarantinedRequest {
            worker_id: worker.to_owned(),
            attempt_id: attempt.to_owned(),
            request_id,
        })
    };
    match master.change(call).await {
        Ok(worker) => put(&format!("{attempt} on {} is being ended\n", worker.name)),
        Err(failure) if failure.is_not_found() => Err(missing(&master, worker, attempt).await),
        Err(failure) => Err(failure),
    }
}

/// Finds out whether the worker or the attempt does not exist.
async fn missing(master: &MasterClient, worker: &str, attempt: &str) -> CommandFailure {
    match master.worker(worker).await {
        Ok((worker, _)) => CommandFailure::NotFound {
            kind: "quarantined attempt",
            id: attempt.to_owned(),
            similar: similar(attempt, worker.quarantined.iter().map(String::as_str)),
        },
        Err(failure) => failure,
    }
}
