//! `muster kill`.

use std::time::Duration;

use muster_client::v1::application::State as ApplicationState;
use muster_client::v1::{Application, Driver, KillApplicationRequest, KillDriverRequest};
use tokio::time::{Instant, timeout_at};

use super::put;
use super::verdict::has_ended;
use super::watch::{ApplicationWatch, DriverWatch};
use crate::args::KillArgs;
use crate::exit::ExitStatus;
use crate::failure::CommandFailure;
use crate::master::MasterClient;
use crate::output::{application_state, driver_state, ending, length, tell};
use crate::progress::Progress;

/// The driver or application that an id names, as the kill request returned it.
enum KillTarget {
    Driver(Box<Driver>),
    Application(Box<Application>),
}

/// Ends drivers and applications: asks for all ends first, then waits for each.
pub(super) async fn kill(master: MasterClient, args: KillArgs) -> Result<ExitStatus, CommandFailure> {
    let mut exit = ExitStatus::OK;
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
            exit = ExitStatus::TIMED_OUT;
        }
    }
    if exit == ExitStatus::TIMED_OUT {
        tell(&format!("not all has ended within {}; the request stands", length(args.timeout.0)));
    }
    Ok(exit)
}

/// Requests the end of the driver of this name, else of the application.
async fn ask(master: &MasterClient, id: &str, args: &KillArgs) -> Result<KillTarget, CommandFailure> {
    if !args.application {
        match kill_driver(master, id).await {
            Ok(driver) => return Ok(KillTarget::Driver(Box::new(driver))),
            Err(failure) if failure.is_not_found() && args.driver => return Err(master.no_driver(id).await),
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    match kill_application(master, id).await {
        Ok(application) => Ok(KillTarget::Application(Box::new(application))),
        Err(failure) if failure.is_not_found() && args.application => Err(master.no_application(id).await),
        Err(failure) if failure.is_not_found() => Err(master.no_driver_or_application(id).await),
        Err(failure) => Err(failure),
    }
}

async fn kill_driver(master: &MasterClient, id: &str) -> Result<Driver, CommandFailure> {
    let client = master.client();
    let request = |request_id| KillDriverRequest { driver_id: id.to_owned(), request_id, ..Default::default() };
    master.change(|request_id| client.kill_driver(request(request_id))).await
}

async fn kill_application(master: &MasterClient, id: &str) -> Result<Application, CommandFailure> {
    let client = master.client();
    let request = |request_id| KillApplicationRequest { application_id: id.to_owned(), request_id };
    master.change(|request_id| client.kill_application(request(request_id))).await
}

/// Waits until nothing of the target is left or the time has passed; returns the target as it is
/// then.
async fn wait(master: &MasterClient, asked: KillTarget, end: Instant) -> Result<KillTarget, CommandFailure> {
    if asked.has_ended() {
        return Ok(asked);
    }
    let _progress = Progress::begin(format!("waiting until nothing of {} is left", asked.id()));
    let patient = master.patient();
    let uid = asked.uid().to_owned();
    let is_driver = matches!(asked, KillTarget::Driver(_));
    match timeout_at(end, until_ended(&patient, asked)).await {
        Ok(ended) => ended,
        Err(_) if is_driver => Ok(KillTarget::Driver(Box::new(master.driver(&uid).await?.0))),
        Err(_) => Ok(KillTarget::Application(Box::new(master.application(&uid).await?.0))),
    }
}

async fn until_ended(master: &MasterClient, asked: KillTarget) -> Result<KillTarget, CommandFailure> {
    match asked {
        KillTarget::Driver(driver) => {
            let mut watch = DriverWatch::of(master, *driver);
            while !has_ended(watch.driver()) {
                watch.next().await?;
            }
            Ok(KillTarget::Driver(Box::new(watch.driver().clone())))
        }
        KillTarget::Application(application) => {
            let mut watch = ApplicationWatch::of(master, *application);
            while !application_has_ended(watch.application()) {
                watch.next().await?;
            }
            Ok(KillTarget::Application(Box::new(watch.application().clone())))
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

impl KillTarget {
    fn id(&self) -> &str {
        match self {
            KillTarget::Driver(driver) => &driver.driver_id,
            KillTarget::Application(application) => &application.application_id,
        }
    }

    fn uid(&self) -> &str {
        match self {
            KillTarget::Driver(driver) => &driver.uid,
            KillTarget::Application(application) => &application.uid,
        }
    }

    fn has_ended(&self) -> bool {
        match self {
            KillTarget::Driver(driver) => has_ended(driver),
            KillTarget::Application(application) => application_has_ended(application),
        }
    }

    /// The line to print: the name, the state, and how it ended.
    fn line(&self) -> String {
        match self {
            KillTarget::Driver(driver) => {
                let ending = driver.outcome.as_ref().filter(|_| has_ended(driver)).map(ending);
                let ending = ending.filter(|ending| !ending.is_empty()).map(|ending| format!(" ({ending})"));
                format!("{} {}{}\n", driver.driver_id, driver_state(driver.state), ending.unwrap_or_default())
            }
            KillTarget::Application(application) => {
                format!("{} {}\n", application.application_id, application_state(application.state))
            }
        }
    }
}
