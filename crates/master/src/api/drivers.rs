//! The calls about drivers.

use muster_core::{Answer, DriverView, Request};
use muster_proto::errors::Failure;
use muster_proto::{v1, validate};
use muster_traces::SpanKind;
use muster_types::{Caller, DriverState, KilledBy};
use tonic::metadata::MetadataMap;

use super::audited::AuditedCall;
use super::submit::{guard_retry, or_unexplained, unexpected};
use super::{owned, render};
use crate::leader::LeaderContext;
use crate::view::filter;

/// Submits a driver, or only validates it.
pub(crate) async fn submit(
    leading: &LeaderContext,
    call: &AuditedCall,
    wire: v1::SubmitDriverRequest,
) -> Result<v1::SubmitDriverResponse, Failure> {
    let validate::SubmitDriver { id, spec, request, validate_only } = validate::submit_driver(wire)?;
    guard_retry(&call.metadata, request.as_ref(), id.is_some() || validate_only)?;
    let (owner, trace) = (call.caller.owner().map(Into::into), call.trace);
    let wanted = Request::SubmitDriver { id, spec, request, owner, trace, validate_only };
    let mut span = leading.traces.start("commit", SpanKind::Internal, call.trace);
    let answered = to_request(leading, &call.caller, wanted).await;
    match &answered {
        Ok(driver) => span.set("muster.driver.uid", driver.uid.clone()),
        Err(failure) => span.fail(failure.reason()),
    }
    Ok(v1::SubmitDriverResponse { driver: Some(answered?) })
}

/// Shows a driver. If it waits, the core is asked for the reasons.
pub(crate) async fn get(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::GetDriverRequest,
) -> Result<v1::GetDriverResponse, Failure> {
    let name = validate::get_driver(wire)?;
    let (commit, shown) = leading.view.driver(&name);
    let shown = shown.ok_or_else(|| Failure::NotFound { kind: "driver", name: name.clone() })?;
    let driver = if waits(leading, &shown) {
        let wanted = Request::ExplainDriver { driver: shown.record.uid.to_string() };
        or_unexplained(to_request(leading, caller, wanted).await, || render::driver(&shown, caller))?
    } else {
        render::driver(&shown, caller)
    };
    leading.answered(v1::GetDriverResponse { driver: Some(driver), resume_token: leading.token(commit).to_string() })
}

pub(crate) async fn list(
    leading: &LeaderContext,
    caller: &Caller,
    wire: v1::ListDriversRequest,
) -> Result<v1::ListDriversResponse, Failure> {
    let page = validate::list_drivers(wire)?;
    let listing = leading.list(page, None, |_: &DriverView| true, filter::driver).await?;
    Ok(v1::ListDriversResponse {
        drivers: listing.items.iter().map(|shown| render::driver(shown, caller)).collect(),
        next_page_token: listing.next_page_token,
        resume_token: listing.resume.to_string(),
    })
}

/// Ends a driver on behalf of its owner or an operator.
pub(crate) async fn kill(
    leading: &LeaderContext,
    caller: &Caller,
    metadata: &MetadataMap,
    wire: v1::KillDriverRequest,
) -> Result<v1::KillDriverResponse, Failure> {
    let validate::KillDriver { driver, request, version } = validate::kill_driver(wire)?;
    // A second kill of the same driver changes nothing, so its name makes the call idempotent.
    guard_retry(metadata, request.as_ref(), true)?;
    let driver = match owned::driver(leading, caller, &driver)? {
        Some(uid) => uid.to_string(),
        None => driver,
    };
    let wanted = Request::KillDriver { driver, request, version, by: KilledBy::Operator };
    Ok(v1::KillDriverResponse { driver: Some(to_request(leading, caller, wanted).await?) })
}

async fn to_request(leading: &LeaderContext, caller: &Caller, request: Request) -> Result<v1::Driver, Failure> {
    match leading.submit(request).await?.answer {
        Answer::Driver(driver) => Ok(render::driver(&driver, caller)),
        other => Err(unexpected(&other)),
    }
}

/// Whether the core may know why a driver does not run. After a restore, a driver that was placed
/// may be on hold too.
fn waits(leading: &LeaderContext, shown: &DriverView) -> bool {
    match shown.record.state {
        DriverState::Pending | DriverState::BackingOff => true,
        DriverState::Unconfirmed | DriverState::Unreachable | DriverState::Killing => leading.epoch.generation > 1,
        DriverState::Launching
        | DriverState::Running
        | DriverState::Finished
        | DriverState::Failed
        | DriverState::Killed
        | DriverState::Lost
        | DriverState::CrashLoop => false,
    }
}
