//! Workers.

use muster_core::{Answer, Request, ShownWorker};
use muster_proto::errors::Failure;
use muster_proto::{accept, v1};

use super::ask::unexpected;
use super::show;
use crate::leading::Leading;
use crate::view::filter;

/// Shows a worker.
pub(crate) fn get(leading: &Leading, wire: v1::GetWorkerRequest) -> Result<v1::GetWorkerResponse, Failure> {
    let name = accept::get_worker(wire)?;
    let (commit, shown) = leading.view.worker(&name);
    let shown = shown.ok_or(Failure::NotFound { kind: "worker", name })?;
    leading.answered(v1::GetWorkerResponse {
        worker: Some(show::worker(leading, &shown)),
        resume_token: leading.token(commit).to_string(),
    })
}

/// Lists workers.
pub(crate) async fn list(leading: &Leading, wire: v1::ListWorkersRequest) -> Result<v1::ListWorkersResponse, Failure> {
    let page = accept::list_workers(wire)?;
    let listing = leading.list(page, None, |_: &ShownWorker| true, filter::worker).await?;
    Ok(v1::ListWorkersResponse {
        workers: listing.items.iter().map(|shown| show::worker(leading, shown)).collect(),
        next_page_token: listing.next_page_token,
        resume_token: listing.resume.to_string(),
    })
}

// A second drain, undrain or forget of the same worker changes nothing, so a library's retry of one is taken as it is.

/// Drains a worker.
pub(crate) async fn drain(leading: &Leading, wire: v1::DrainWorkerRequest) -> Result<v1::DrainWorkerResponse, Failure> {
    let accept::DrainWorker { worker, request, deadline } = accept::drain_worker(wire)?;
    let worker = wish(leading, Request::Drain { worker, request, deadline }).await?;
    Ok(v1::DrainWorkerResponse { worker: Some(worker) })
}

/// Undoes a drain.
pub(crate) async fn undrain(
    leading: &Leading,
    wire: v1::UndrainWorkerRequest,
) -> Result<v1::UndrainWorkerResponse, Failure> {
    let accept::NamedWorker { worker, request } = accept::undrain_worker(wire)?;
    let worker = wish(leading, Request::Undrain { worker, request }).await?;
    Ok(v1::UndrainWorkerResponse { worker: Some(worker) })
}

/// Declares a worker gone for ever.
pub(crate) async fn forget(
    leading: &Leading,
    wire: v1::ForgetWorkerRequest,
) -> Result<v1::ForgetWorkerResponse, Failure> {
    let accept::NamedWorker { worker, request } = accept::forget_worker(wire)?;
    let worker = wish(leading, Request::Forget { worker, request }).await?;
    Ok(v1::ForgetWorkerResponse { worker: Some(worker) })
}

/// Ends an attempt that the store does not name.
pub(crate) async fn end_quarantined(
    leading: &Leading,
    wire: v1::EndQuarantinedRequest,
) -> Result<v1::EndQuarantinedResponse, Failure> {
    let accept::EndQuarantined { worker, attempt, request } = accept::end_quarantined(wire)?;
    let worker = wish(leading, Request::EndQuarantined { worker, attempt, request }).await?;
    Ok(v1::EndQuarantinedResponse { worker: Some(worker) })
}

async fn wish(leading: &Leading, request: Request) -> Result<v1::Worker, Failure> {
    match leading.ask(request).await?.answer {
        Answer::Worker(worker) => Ok(show::worker(leading, &worker)),
        other => Err(unexpected(&other)),
    }
}
