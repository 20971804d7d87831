//! `muster events`.

use std::time::Duration;

use muster_client::EventWatch;
use muster_client::v1::{Event, WatchEventsRequest};
use tokio::time::timeout;

use super::put;
use crate::args::{EventsArgs, Format};
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{Screen, event_line, to_json_line};

/// Stored events arrive without a pause, so this much silence means that all have arrived.
const SILENCE: Duration = Duration::from_millis(300);
/// How long to wait while the watch has not reported a position, which it does soon after it
/// begins.
const FIRST: Duration = Duration::from_secs(5);

/// Prints the stored events, new events, or both.
pub(super) async fn events(master: MasterClient, args: EventsArgs) -> Result<(), CommandFailure> {
    let request = WatchEventsRequest {
        resume_token: args.since.clone().unwrap_or_default(),
        driver_ids: args.drivers.clone(),
        application_ids: args.applications.clone(),
        worker_ids: args.workers.clone(),
        from_oldest: args.since_oldest || (!args.follow && args.since.is_none()),
    };
    let master = if args.follow { master.patient() } else { master };
    let mut watch = master.client().watch_events(request);
    master.ask(watch.open()).await?;
    let screen = Screen::stdout();
    loop {
        let next = if args.follow { watch.next().await.map(Some) } else { kept(&mut watch).await };
        match next {
            Ok(Some(event)) => show(&event, args.output, screen)?,
            Ok(None) => return Ok(()),
            Err(error) if error.is_compacted() => {
                return Err(CommandFailure::State(format!(
                    "{}; begin anew with --since-oldest",
                    master.read_failure(error)
                )));
            }
            Err(error) => return Err(master.read_failure(error)),
        }
    }
}

/// The next stored event; `None` after the last one.
async fn kept(watch: &mut EventWatch) -> Result<Option<Event>, muster_client::CallError> {
    if let Ok(event) = timeout(SILENCE, watch.next()).await {
        return event.map(Some);
    }
    if !watch.resume_token().is_empty() {
        return Ok(None);
    }
    timeout(FIRST, watch.next()).await.map_or(Ok(None), |event| event.map(Some))
}

fn show(event: &Event, format: Format, screen: Screen) -> Result<(), CommandFailure> {
    match format {
        Format::Json => put(&to_json_line(event)?),
        Format::Name => put(&format!("{}\n", event.resume_token)),
        Format::Table | Format::Wide => put(&event_line(event, screen)),
    }
}
