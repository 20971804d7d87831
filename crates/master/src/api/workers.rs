//! The calls about workers.

use muster_core::{Answer, Request, WorkerView};
use muster_proto::errors::Failure;
use muster_proto::{v1, validate};
use muster_types::Caller;

use super::render;
use super::submit::unexpected;
use crate::leader::LeaderContext;
use crate::view::filter;

pub(crate) fn get(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::GetWorkerRequest,
) -> Result<v1::GetWorkerResponse, Failure> {
    let name = own_or_any(leading, caller, validate::get_worker(wire)?)?;
    let (commit, shown) = leading.view.worker(&name);
    let shown = shown.ok_or(Failure::NotFound { kind: "worker", name })?;
    leading.answered(v1::GetWorkerResponse {
        worker: Some(render::worker(leading, &shown)),
        resume_token: leading.token(commit).to_string(),
    })
}

pub(crate) async fn list(
    leading: &LeaderContext,
    wire: v1::ListWorkersRequest,
) -> Result<v1::ListWorkersResponse, Failure> {
    let page = validate::list_workers(wire)?;
    let listing = leading.list(page, None, |_: &WorkerView| true, filter::worker).await?;
    Ok(v1::ListWorkersResponse {
        workers: listing.items.iter().map(|shown| render::worker(leading, shown)).collect(),
        next_page_token: listing.next_page_token,
        resume_token: listing.resume.to_string(),
    })
}

// A second drain, undrain or forget of the same worker changes nothing, so a gRPC library may retry
// one without a request id.

pub(crate) async fn drain(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::DrainWorkerRequest,
) -> Result<v1::DrainWorkerResponse, Failure> {
    let validate::DrainWorker { worker, request, deadline } = validate::drain_worker(wire)?;
    let worker = own_or_any(leading, caller, worker)?;
    let worker = to_request(leading, Request::Drain { worker, request, deadline }).await?;
    Ok(v1::DrainWorkerResponse { worker: Some(worker) })
}

pub(crate) async fn undrain(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::UndrainWorkerRequest,
) -> Result<v1::UndrainWorkerResponse, Failure> {
    let validate::NamedWorker { worker, request } = validate::undrain_worker(wire)?;
    let worker = own_or_any(leading, caller, worker)?;
    let worker = to_request(leading, Request::Undrain { worker, request }).await?;
    Ok(v1::UndrainWorkerResponse { worker: Some(worker) })
}

/// Declares a worker gone for ever.
pub(crate) async fn forget(
    leading: &LeaderContext,
    wire: v1::ForgetWorkerRequest,
) -> Result<v1::ForgetWorkerResponse, Failure> {
    let validate::NamedWorker { worker, request } = validate::forget_worker(wire)?;
    let worker = to_request(leading, Request::Forget { worker, request }).await?;
    Ok(v1::ForgetWorkerResponse { worker: Some(worker) })
}

/// Takes a worker's key from it.
pub(crate) async fn revoke(
    leading: &LeaderContext,
    wire: v1::RevokeWorkerRequest,
) -> Result<v1::RevokeWorkerResponse, Failure> {
    let validate::NamedWorker { worker, request } = validate::revoke_worker(wire)?;
    let worker = to_request(leading, Request::Revoke { worker, request }).await?;
    Ok(v1::RevokeWorkerResponse { worker: Some(worker) })
}

/// Declares that nothing of an attempt is left.
pub(crate) async fn forget_attempt(
    leading: &LeaderContext,
    wire: v1::ForgetAttemptRequest,
) -> Result<v1::ForgetAttemptResponse, Failure> {
    let validate::AttemptOnWorker { worker, attempt, request } = validate::forget_attempt(wire)?;
    let worker = to_request(leading, Request::ForgetAttempt { worker, attempt, request }).await?;
    Ok(v1::ForgetAttemptResponse { worker: Some(worker) })
}

/// Ends an attempt that the store does not name.
pub(crate) async fn end_quarantined(
    leading: &LeaderContext,
    wire: v1::EndQuarantinedRequest,
) -> Result<v1::EndQuarantinedResponse, Failure> {
    let validate::AttemptOnWorker { worker, attempt, request } = validate::end_quarantined(wire)?;
    let worker = to_request(leading, Request::EndQuarantined { worker, attempt, request }).await?;
    Ok(v1::EndQuarantinedResponse { worker: Some(worker) })
}

/// The worker that a call is about: a worker that calls for itself names itself, and everybody else
/// any.
fn own_or_any(leading: &LeaderContext, caller: &Caller, named: String) -> Result<String, Failure> {
    let Caller::Worker(own) = caller else { return Ok(named) };
    let (_, shown) = leading.view.worker(&named);
    match shown {
        // Another worker's name cannot become its uid before the core looks.
        Some(shown) if shown.record.uid == *own => Ok(own.to_string()),
        Some(_) => Err(Failure::NotOwner { caller: caller.to_string(), kind: "worker", name: named }),
        None => Err(Failure::NotFound { kind: "worker", name: named }),
    }
}

async fn to_request(leading: &LeaderContext, request: Request) -> Result<v1::Worker, Failure> {
    match leading.submit(request).await?.answer {
        Answer::Worker(worker) => Ok(render::worker(leading, &worker)),
        other => Err(unexpected(&other)),
    }
}
