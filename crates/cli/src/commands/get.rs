//! `muster get`.

use super::put;
use crate::args::{Format, GetArgs, GetKind};
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{
    DisplayClock, Screen, TableRow, WireMessage, application_page, driver_page, executor_page, to_json, worker_page,
};
use crate::parse::ProcessArg;

/// The most rows on one page; `muster list` shows all.
const ROWS: usize = 1000;

pub(super) async fn get(master: MasterClient, args: GetArgs) -> Result<(), CommandFailure> {
    match args.kind {
        GetKind::Driver { id, show } => driver(master, &id, show.output).await,
        GetKind::Application { id, show } => application(master, &id, show.output).await,
        GetKind::Executor { id, show } => executor(master, &id, show.output).await,
        GetKind::Worker { id, show } => worker(master, &id, show.output).await,
    }
}

async fn driver(master: MasterClient, id: &str, format: Format) -> Result<(), CommandFailure> {
    let (driver, _) = master.driver(id).await?;
    match short(&driver, format)? {
        Some(text) => put(&text),
        None => put(&driver_page(&driver, format == Format::Wide, DisplayClock::now(), Screen::stdout())),
    }
}

async fn application(master: MasterClient, id: &str, format: Format) -> Result<(), CommandFailure> {
    let (application, _) = master.application(id).await?;
    if let Some(text) = short(&application, format)? {
        return put(&text);
    }
    let executors = master.ask(master.client().executors(&application.uid, "", ROWS)).await?.items;
    let wide = format == Format::Wide;
    put(&application_page(&application, &executors, wide, DisplayClock::now(), Screen::stdout()))
}

async fn executor(master: MasterClient, target: &ProcessArg, format: Format) -> Result<(), CommandFailure> {
    let Some(number) = target.number else {
        return Err(CommandFailure::Usage(format!(
            "'{0}' names no executor; write APPLICATION/NUMBER, such as {0}/1 (`muster list executors` shows them)",
            target.id
        )));
    };
    let (application, _) = master.application(&target.id).await?;
    let all = master.ask(master.client().executors(&application.uid, "", usize::MAX)).await?.items;
    let Some(executor) = all.into_iter().find(|executor| executor.executor_id == number) else {
        let id = format!("{}/{number}", target.id);
        return Err(CommandFailure::NotFound { kind: "executor", id, similar: Vec::new() });
    };
    match short(&executor, format)? {
        Some(text) => put(&text),
        None => put(&executor_page(&executor, DisplayClock::now(), Screen::stdout())),
    }
}

async fn worker(master: MasterClient, id: &str, format: Format) -> Result<(), CommandFailure> {
    let (worker, _) = master.worker(id).await?;
    if let Some(text) = short(&worker, format)? {
        return put(&text);
    }
    // A worker may be named by its uid; filters take either.
    let filter = format!("worker={}", worker.uid);
    let client = master.client();
    let (drivers, executors) =
        tokio::join!(master.ask(client.drivers(&filter, ROWS)), master.ask(client.executors("", &filter, ROWS)));
    let wide = format == Format::Wide;
    put(&worker_page(&worker, &drivers?.items, &executors?.items, wide, DisplayClock::now(), Screen::stdout()))
}

/// The output of the formats `json` and `name`; `None` for a format that needs a page.
fn short<T: WireMessage + TableRow>(thing: &T, format: Format) -> Result<Option<String>, CommandFailure> {
    match format {
        Format::Json => Ok(Some(to_json(thing)?)),
        Format::Name => Ok(Some(format!("{}\n", TableRow::name(thing)))),
        Format::Table | Format::Wide => Ok(None),
    }
}
