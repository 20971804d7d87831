//! Drivers.

use muster_core::{Answer, Request, ShownDriver};
use muster_proto::errors::Failure;
use muster_proto::{accept, v1};
use muster_types::{DriverState, KilledBy};
use tonic::metadata::MetadataMap;

use super::ask::{guard_retry, unexpected};
use super::show;
use crate::leading::Leading;
use crate::view::filter;

/// Accepts a driver.
pub(crate) async fn submit(
    leading: &Leading,
    metadata: &MetadataMap,
    wire: v1::SubmitDriverRequest,
) -> Result<v1::SubmitDriverResponse, Failure> {
    let accept::SubmitDriver { id, spec, request, validate_only } = accept::submit_driver(wire)?;
    guard_retry(metadata, request.as_ref(), id.is_some() || validate_only)?;
    let driver = wish(leading, Request::SubmitDriver { id, spec, request, validate_only }).await?;
    Ok(v1::SubmitDriverResponse { driver: Some(driver) })
}

/// Shows a driver. One that waits is explained by the core, which alone knows why.
pub(crate) async fn get(leading: &Leading, wire: v1::GetDriverRequest) -> Result<v1::GetDriverResponse, Failure> {
    let name = accept::get_driver(wire)?;
    let (commit, shown) = leading.view.driver(&name);
    let shown = shown.ok_or_else(|| Failure::NotFound { kind: "driver", name: name.clone() })?;
    let driver = if waits(leading, &shown) { explain(leading, &shown).await? } else { show::driver(&shown) };
    leading.answered(v1::GetDriverResponse { driver: Some(driver), resume_token: leading.token(commit).to_string() })
}

/// Lists drivers.
pub(crate) async fn list(leading: &Leading, wire: v1::ListDriversRequest) -> Result<v1::ListDriversResponse, Failure> {
    let page = accept::list_drivers(wire)?;
    let listing = leading.list(page, None, |_: &ShownDriver| true, filter::driver).await?;
    Ok(v1::ListDriversResponse {
        drivers: listing.items.iter().map(|shown| show::driver(shown)).collect(),
        next_page_token: listing.next_page_token,
        resume_token: listing.resume.to_string(),
    })
}

/// Ends a driver.
pub(crate) async fn kill(
    leading: &Leading,
    metadata: &MetadataMap,
    wire: v1::KillDriverRequest,
) -> Result<v1::KillDriverResponse, Failure> {
    let accept::KillDriver { driver, request, version } = accept::kill_driver(wire)?;
    // A second kill of the same driver changes nothing: its name makes it idempotent.
    guard_retry(metadata, request.as_ref(), true)?;
    let wanted = Request::KillDriver { driver, request, version, by: KilledBy::Operator };
    Ok(v1::KillDriverResponse { driver: Some(wish(leading, wanted).await?) })
}

/// A full queue or store is no reason not to show what is known.
async fn explain(leading: &Leading, shown: &ShownDriver) -> Result<v1::Driver, Failure> {
    match wish(leading, Request::ExplainDriver { driver: shown.record.uid.to_string() }).await {
        Err(Failure::QueueFull { .. } | Failure::StoreFull | Failure::OutcomeUnknown { .. }) => Ok(show::driver(shown)),
        explained => explained,
    }
}

async fn wish(leading: &Leading, request: Request) -> Result<v1::Driver, Failure> {
    match leading.ask(request).await?.answer {
        Answer::Driver(driver) => Ok(show::driver(&driver)),
        other => Err(unexpected(&other)),
    }
}

/// Whether the core may know a reason why nothing of a driver runs. After a restore, one that is placed may be held too.
fn waits(leading: &Leading, shown: &ShownDriver) -> bool {
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
