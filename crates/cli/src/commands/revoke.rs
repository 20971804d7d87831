//! `muster worker revoke`.

use muster_client::v1::RevokeWorkerRequest;

use super::put;
use crate::failure::CommandFailure;
use crate::master::MasterClient;

/// Takes a worker's key from it.
pub(super) async fn revoke(master: MasterClient, worker: &str) -> Result<(), CommandFailure> {
    let client = master.client();
    let call = |request_id| client.revoke_worker(RevokeWorkerRequest { worker_id: worker.to_owned(), request_id });
    match master.change(call).await {
        Ok(worker) => {
            let timeout = "it is lost past the worker timeout";
            put(&format!("the key of {} is revoked: it is refused from now on, and {timeout}\n", worker.name))
        }
        Err(failure) if failure.is_not_found() => Err(master.no_worker(worker).await),
        Err(failure) => Err(failure),
    }
}
