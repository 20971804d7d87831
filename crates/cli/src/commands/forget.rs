//! `muster worker forget`.

use muster_client::v1::ForgetWorkerRequest;

use super::put;
use crate::failure::CommandFailure;
use crate::master::MasterClient;

/// Declares a worker gone for ever.
pub(super) async fn forget(master: MasterClient, worker: &str) -> Result<(), CommandFailure> {
    let client = master.client();
    let call = |request_id| client.forget_worker(ForgetWorkerRequest { worker_id: worker.to_owned(), request_id });
    match master.change(call).await {
        Ok(worker) => put(&format!("{} is forgotten; what was unreachable on it has ended as LOST\n", worker.name)),
        Err(failure) if failure.is_not_found() => Err(master.no_worker(worker).await),
        Err(failure) => Err(failure),
    }
}
