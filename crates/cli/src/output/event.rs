//! Events.

use muster_client::v1::event::Subject;
use muster_client::v1::{Event, Outcome, Role};

use super::driver::ending;
use super::labels::{application_state, driver_state, executor_state, state_cell, worker_state};
use super::principal_words;
use super::screen::{Screen, printable, style};
use super::table::TableCell;
use super::time::precise;

/// One event on one line: time, subject, state, and details.
pub(crate) fn event_line(event: &Event, screen: Screen) -> String {
    let time = event.time.as_ref().map(precise).unwrap_or_default();
    let (subject, state, place) = match &event.subject {
        Some(Subject::Driver(driver)) => {
            let attempt = if driver.attempt > 0 { format!("/{}", driver.attempt) } else { String::new() };
            (format!("driver {}{attempt}", driver.driver_id), driver_state(driver.state), driver.worker.clone())
        }
        Some(Subject::Application(application)) => {
            (format!("application {}", application.application_id), application_state(application.state), String::new())
        }
        Some(Subject::Executor(executor)) => {
            let name = format!("executor {}/{}", executor.application_id, executor.executor_id);
            (name, executor_state(executor.state), executor.worker.clone())
        }
        Some(Subject::Worker(worker)) => {
            let drain = if worker.draining { "draining" } else { "" };
            (format!("worker {}", worker.name), worker_state(worker.state), drain.to_owned())
        }
        Some(Subject::Token(token)) => {
            let state = if token.revoked { "REVOKED" } else { "CREATED" };
            (format!("token {}", token.token_id), state.to_owned(), String::new())
        }
        Some(Subject::RoleBinding(binding)) => {
            let (kind, name) = principal_words(binding);
            let state = if binding.role() == Role::Unspecified { "UNBOUND" } else { "BOUND" };
            (format!("{kind} {name}"), state.to_owned(), String::new())
        }
        None => ("-".to_owned(), String::new(), String::new()),
    };
    let place = match (&event.subject, place.as_str()) {
        (_, "") => String::new(),
        (Some(Subject::Worker(_)), word) => word.to_owned(),
        (_, worker) => format!("on {worker}"),
    };
    let (subject, place, message) = (printable(&subject), printable(&place), printable(&event.message));
    let ending = outcome_of(event).map(ending).unwrap_or_default();
    let ending = printable(&ending);
    let said: Vec<&str> =
        [place.as_ref(), ending.as_ref(), message.as_ref()].into_iter().filter(|part| !part.is_empty()).collect();
    let cell: TableCell = state_cell(&state);
    let time = screen.paint(style::DIM, &time);
    let state = screen.paint(cell.style(), &format!("{state:<12}"));
    format!("{time}  {subject:<28}  {state}  {}", said.join("; ")).trim_end().to_owned() + "\n"
}

fn outcome_of(event: &Event) -> Option<&Outcome> {
    match event.subject.as_ref()? {
        Subject::Driver(driver) => driver.outcome.as_ref(),
        Subject::Executor(executor) => executor.outcome.as_ref(),
        Subject::Application(_) | Subject::Worker(_) | Subject::Token(_) | Subject::RoleBinding(_) => None,
    }
}
