//! `muster get`.

use super::put;
use crate::args::{Format, GetArgs, GetKind};
use crate::failure::Failure;
use crate::master::Master;
use crate::output::{Clock, Row, Screen, Wire, application_page, driver_page, executor_page, to_json, worker_page};
use crate::parse::Target;

/// More rows than this on one page help nobody; `muster list` shows all.
const ROWS: usize = 1000;

/// Shows one thing.
pub(super) async fn get(master: Master, args: GetArgs) -> Result<(), Failure> {
    match args.kind {
        GetKind::Driver { id, show } => driver(master, &id, show.output).await,
        GetKind::Application { id, show } => application(master, &id, show.output).await,
        GetKind::Executor { id, show } => executor(master, &id, show.output).await,
        GetKind::Worker { id, show } => worker(master, &id, show.output).await,
    }
}

async fn driver(master: Master, id: &str, format: Format) -> Result<(), Failure> {
    let (driver, _) = master.driver(id).await?;
    match short(&driver, format)? {
        Some(text) => put(&text),
        None => put(&driver_page(&driver, format == Format::Wide, Clock::now(), Screen::stdout())),
    }
}

async fn application(master: Master, id: &str, format: Format) -> Result<(), Failure> {
    let (application, _) = master.application(id).await?;
    if let Some(text) = short(&application, format)? {
        return put(&text);
    }
    let executors = master.ask(master.client().executors(&application.uid, "", ROWS)).await?.items;
    let wide = format == Format::Wide;
    put(&application_page(&application, &executors, wide, Clock::now(), Screen::stdout()))
}

async fn executor(master: Master, target: &Target, format: Format) -> Result<(), Failure> {
    let Some(number) = target.number else {
        return Err(Failure::Usage(format!(
            "'{0}' names no executor; write APPLICATION/NUMBER, such as {0}/1 (`muster list executors` shows them)",
            target.id
        )));
    };
    let (application, _) = master.application(&target.id).await?;
    let all = master.ask(master.client().executors(&application.uid, "", usize::MAX)).await?.items;
    let Some(executor) = all.into_iter().find(|executor| executor.executor_id == number) else {
        let id = format!("{}/{number}", target.id);
        return Err(Failure::NotFound { kind: "executor", id, similar: Vec::new() });
    };
    match short(&executor, format)? {
        Some(text) => put(&text),
        None => put(&executor_page(&executor, Clock::now(), Screen::stdout())),
    }
}

async fn worker(master: Master, id: &str, format: Format) -> Result<(), Failure> {
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
    put(&worker_page(&worker, &drivers?.items, &executors?.items, wide, Clock::now(), Screen::stdout()))
}

/// JSON or the name, when that is what is wanted.
fn short<T: Wire + Row>(thing: &T, format: Format) -> Result<Option<String>, Failure> {
    match format {
        Format::Json => Ok(Some(to_json(thing)?)),
        Format::Name => Ok(Some(format!("{}\n", Row::name(thing)))),
        Format::Table | Format::Wide => Ok(None),
    }
}
