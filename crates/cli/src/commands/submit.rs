//! `muster submit`.

use muster_client::new_request_id;
use muster_client::v1::{Driver, SubmitDriverRequest};

use super::{put, spec, wait};
use crate::args::{Format, SubmitArgs};
use crate::exit::ExitStatus;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{DisplayClock, Screen, driver_page, pending_line, tell, to_json};

/// Submits a driver, and with `--wait` waits for it.
pub(super) async fn submit(master: MasterClient, args: SubmitArgs) -> Result<ExitStatus, CommandFailure> {
    let request = spec::request(&args)?;
    if args.validate_only {
        return validate(&master, request, args.output).await;
    }
    let id = if request.request_id.is_empty() { new_request_id() } else { request.request_id.clone() };
    let client = master.client();
    let call = |request_id| client.submit_driver(SubmitDriverRequest { request_id, ..request });
    let driver = match master.change_as(id, call).await {
        Ok(driver) => driver,
        // This exit code must not be mistaken for a driver's.
        Err(failure) if args.wait => {
            tell(&format!("error: {failure}"));
            return Ok(ExitStatus::PLATFORM);
        }
        Err(failure) => return Err(failure),
    };
    if args.wait {
        return wait::wait(&master, driver, !args.no_output, args.timeout.map(|span| span.0)).await;
    }
    show(&driver, args.output)?;
    Ok(ExitStatus::OK)
}

/// Says whether the driver would be accepted.
async fn validate(
    master: &MasterClient,
    request: SubmitDriverRequest,
    format: Format,
) -> Result<ExitStatus, CommandFailure> {
    let driver = master.ask(master.client().submit_driver(request)).await?;
    match format {
        Format::Name => put(&verdict(&driver))?,
        Format::Table | Format::Wide | Format::Json => show(&driver, format)?,
    }
    Ok(ExitStatus::OK)
}

fn verdict(driver: &Driver) -> String {
    match driver.pending.as_ref().map(pending_line).filter(|line| !line.is_empty()) {
        Some(line) => format!("it would be accepted, and wait: {line}\n"),
        None => "it would be accepted and started\n".to_owned(),
    }
}

fn show(driver: &Driver, format: Format) -> Result<(), CommandFailure> {
    match format {
        Format::Json => put(&to_json(driver)?),
        Format::Name => put(&format!("{}\n", driver.driver_id)),
        Format::Table | Format::Wide => {
            put(&driver_page(driver, format == Format::Wide, DisplayClock::now(), Screen::stdout()))
        }
    }
}
