//! `muster kill`.

use std::time::Duration;

use muster_client::v1::application::State as ApplicationState;
use muster_client::v1::{Application, Driver, KillApplicationRequest, KillDriverRequest};
use tokio::time::{Instant, timeout_at};

use super::put;
use super::verdict::has_ended;
use super::watch::{ApplicationWatch, DriverWatch};
use crate::args::KillArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::master::Master;
use crate::output::{application_state, driver_state, ending, length, tell};
use crate::progress::Progress;

/// What an id turned out to name, once its end was asked for.
enum Asked {
    Driver(Box<Driver>),
    Application(Box<Application>),
}

/// Ends drivers and applications: asks for all ends first, then waits for each.
pub(super) async fn kill(master: Master, args: KillArgs) -> Result<Exit, Failure> {
    let mut exit = Exit::OK;
    let mut asked = Vec::new();
    for id in &args.ids {
        match ask(&master, id, &args).await {
            Ok(thing) => asked.push(thing),
            // One wrong name must not keep the others alive.
            Err(failure) if args.ids.len() > 1 => {
                tell(&format!("error: {failure}"));
                exit = failure.exit();
            }
            Err(failure) => return Err(failure),
        }
    }
    let end = Instant::now() + args.timeout.0.min(Duration::from_secs(365 * 86_400));
    for thing in asked {
        let thing = if args.no_wait { thing } else { wait(&master, thing, end).await? };
        put(&thing.line())?;
        if !args.no_wait && !thing.has_ended() {
            exit = Exit::TIMED_OUT;
        }
    }
    if exit == Exit::TIMED_OUT {
        tell(&format!("not all has ended within {}; the wish stands", length(args.timeout.0)));
    }
    Ok(exit)
}

/// Asks for the end: of a driver of this name, else of an application.
async fn ask(master: &Master, id: &str, args: &KillArgs) -> Result<Asked, Failure> {
    if !args.application {
        match kill_driver(master, id).await {
            Ok(driver) => return Ok(Asked::Driver(Box::new(driver))),
            Err(failure) if failure.is_not_found() && args.driver => return Err(master.no_driver(id).await),
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    match kill_application(master, id).await {
        Ok(application) => Ok(Asked::Application(Box::new(application))),
        Err(failure) if failure.is_not_found() && args.application => Err(master.no_application(id).await),
        Err(failure) if failure.is_not_found() => Err(master.no_driver_or_application(id).await),
        Err(failure) => Err(failure),
    }
}

async fn kill_driver(master: &Master, id: &str) -> Result<Driver, Failure> {
    let client = master.client();
    let request = |request_id| KillDriverRequest { driver_id: id.to_owned(), request_id, ..Default::default() };
    master.change(|request_id| client.kill_driver(request(request_id))).await
}

async fn kill_application(master: &Master, id: &str) -> Result<Application, Failure> {
    let client = master.client();
    let request = |request_id| KillApplicationRequest { application_id: id.to_owned(), request_id };
    master.change(|request_id| client.kill_application(request(request_id))).await
}

/// Waits until nothing is left; as it is then, or when the time passes.
async fn wait(master: &Master, asked: Asked, end: Instant) -> Result<Asked, Failure> {
    if asked.has_ended() {
        return Ok(asked);
    }
    let _progress = Progress::begin(format!("waiting until nothing of {} is left", asked.id()));
    let patient = master.patient();
    let uid = asked.uid().to_owned();
    let is_driver = matches!(asked, Asked::Driver(_));
    match timeout_at(end, until_ended(&patient, asked)).await {
        Ok(ended) => ended,
        Err(_) if is_driver => Ok(Asked::Driver(Box::new(master.driver(&uid).await?.0))),
        Err(_) => Ok(Asked::Application(Box::new(master.application(&uid).await?.0))),
    }
}

async fn until_ended(master: &Master, asked: Asked) -> Result<Asked, Failure> {
    match asked {
        Asked::Driver(driver) => {
            let mut watch = DriverWatch::of(master, *driver);
            while !has_ended(watch.driver()) {
                watch.next().await?;
            }
            Ok(Asked::Driver(Box::new(watch.driver().clone())))
        }
        Asked::Application(application) => {
            let mut watch = ApplicationWatch::of(master, *application);
            while !application_has_ended(watch.application()) {
                watch.next().await?;
            }
            Ok(Asked::Application(Box::new(watch.application().clone())))
        }
    }
}

fn application_has_ended(application: &Application) -> bool {
    match application.state() {
        ApplicationState::Finished | ApplicationState::Failed | ApplicationState::Killed => true,
        ApplicationState::Unspecified
        | ApplicationState::Waiting
        | ApplicationState::Running
        | ApplicationState::Disconnected
        | ApplicationState::Ending => false,
    }
}

impl Asked {
    fn id(&self) -> &str {
        match self {
            Asked::Driver(driver) => &driver.driver_id,
            Asked::Application(application) => &application.application_id,
        }
    }

    fn uid(&self) -> &str {
        match self {
            Asked::Driver(driver) => &driver.uid,
            Asked::Application(application) => &application.uid,
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            Asked::Driver(driver) => has_ended(driver),
            Asked::Application(application) => application_has_ended(application),
        }
    }

    /// Which end it got.
    fn line(&self) -> String {
        match self {
            Asked::Driver(driver) => {
                let ending = driver.outcome.as_ref().filter(|_| has_ended(driver)).map(ending);
                let ending = ending.filter(|ending| !ending.is_empty()).map(|ending| format!(" ({ending})"));
                format!("{} {}{}\n", driver.driver_id, driver_state(driver.state), ending.unwrap_or_default())
            }
            Asked::Application(application) => {
                format!("{} {}\n", application.application_id, application_state(application.state))
            }
        }
    }
}
