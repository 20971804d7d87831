//! Drivers.

use muster_core::{Answer, DriverView, Request};
use muster_proto::errors::Failure;
use muster_proto::{v1, validate};
use muster_types::{DriverState, KilledBy};
use tonic::metadata::MetadataMap;

use super::render;
use super::submit::{guard_retry, unexpected};
use crate::leader::LeaderContext;
use crate::view::filter;

/// Accepts a driver.
pub(crate) async fn submit(
    leading: &LeaderContext,
    metadata: &MetadataMap,
    wire: v1::SubmitDriverRequest,
) -> Result<v1::SubmitDriverResponse, Failure> {
    let validate::SubmitDriver { id, spec, request, validate_only } = validate::submit_driver(wire)?;
    guard_retry(metadata, request.as_ref(), id.is_some() || validate_only)?;
    let driver = to_request(leading, Request::SubmitDriver { id, spec, request, validate_only }).await?;
    Ok(v1::SubmitDriverResponse { driver: Some(driver) })
}

/// Shows a driver. One that waits is explained by the core, which alone knows why.
pub(crate) async fn get(leading: &LeaderContext, wire: v1::GetDriverRequest) -> Result<v1::GetDriverResponse, Failure> {
    let name = validate::get_driver(wire)?;
    let (commit, shown) = leading.view.driver(&name);
    let shown = shown.ok_or_else(|| Failure::NotFound { kind: "driver", name: name.clone() })?;
    let driver = if waits(leading, &shown) { explain(leading, &shown).await? } else { render::driver(&shown) };
    leading.answered(v1::GetDriverResponse { driver: Some(driver), resume_token: leading.token(commit).to_string() })
}

/// Lists drivers.
pub(crate) async fn list(
    leading: &LeaderContext,
    wire: v1::ListDriversRequest,
) -> Result<v1::ListDriversResponse, Failure> {
    let page = validate::list_drivers(wire)?;
    let listing = leading.list(page, None, |_: &DriverView| true, filter::driver).await?;
    Ok(v1::ListDriversResponse {
        drivers: listing.items.iter().map(|shown| render::driver(shown)).collect(),
        next_page_token: listing.next_page_token,
        resume_token: listing.resume.to_string(),
    })
}

/// Ends a driver.
pub(crate) async fn kill(
    leading: &LeaderContext,
    metadata: &MetadataMap,
    wire: v1::KillDriverRequest,
) -> Result<v1::KillDriverResponse, Failure> {
    let validate::KillDriver { driver, request, version } = validate::kill_driver(wire)?;
    // A second kill of the same driver changes nothing: its name makes it idempotent.
    guard_retry(metadata, request.as_ref(), true)?;
    let wanted = Request::KillDriver { driver, request, version, by: KilledBy::Operator };
    Ok(v1::KillDriverResponse { driver: Some(to_request(leading, wanted).await?) })
}

/// A full queue or store is no reason not to show what is known.
async fn explain(leading: &LeaderContext, shown: &DriverView) -> Result<v1::Driver, Failure> {
    match to_request(leading, Request::ExplainDriver { driver: shown.record.uid.to_string() }).await {
        Err(Failure::QueueFull { .. } | Failure::StoreFull | Failure::OutcomeUnknown { .. }) => {
            Ok(render::driver(shown))
        }
        explained => explained,
    }
}

async fn to_request(leading: &LeaderContext, request: Request) -> Result<v1::Driver, Failure> {
    match leading.submit(request).await?.answer {
        Answer::Driver(driver) => Ok(render::driver(&driver)),
        other => Err(unexpected(&other)),
    }
}

/// Whether the core may know a reason why nothing of a driver runs. After a restore, one that is
/// placed may be held too.
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
