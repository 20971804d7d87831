//! Executors.

use muster_client::v1::Executor;
use muster_client::v1::executor::State;

use super::driver::{ending, exit, given, reason, unreachable};
use super::fields::Fields;
use super::labels::{executor_state, state_cell};
use super::screen::Screen;
use super::table::{TableCell, TableRow};
use super::time::DisplayClock;

impl TableRow for Executor {
    const HEADINGS: &'static [&'static str] = &[
        "EXECUTOR",
        "STATE",
        "PROFILE",
        "WORKER",
        "EXIT",
        "AGE",
        "WHY",
        "PID",
        "HOST",
        "RAN",
        "RESOURCES",
        "WORKER-UID",
    ];
    const WIDE_FROM: usize = 7;

    fn name(&self) -> String {
        format!("{}/{}", self.application_id, self.executor_id)
    }

    fn cells(&self, clock: DisplayClock) -> Vec<TableCell> {
        let pid = if self.pid == 0 { String::new() } else { self.pid.to_string() };
        vec![
            self.name().into(),
            state_cell(&executor_state(self.state)),
            self.profile_id.to_string().into(),
            self.worker.clone().into(),
            self.outcome.as_ref().map(exit).unwrap_or_default().into(),
            clock.age(self.create_time.as_ref()).into(),
            explanation(self).into(),
            pid.into(),
            self.host.clone().into(),
            clock.span(self.start_time.as_ref(), self.end_time.as_ref()).into(),
            self.resources.as_ref().map(given).unwrap_or_default().into(),
            self.worker_uid.clone().into(),
        ]
    }
}

fn explanation(executor: &Executor) -> String {
    match (executor.outcome.as_ref().map(reason), executor.killed_by.as_str()) {
        (Some(reason), "") => reason,
        (Some(reason), by) if reason.is_empty() => format!("by {by}"),
        (Some(reason), by) => format!("{reason}, by {by}"),
        (None, "") if executor.draining => "its worker drains".into(),
        (None, "") => String::new(),
        (None, by) => format!("by {by}"),
    }
}

/// All about one executor.
pub(crate) fn executor_page(executor: &Executor, clock: DisplayClock, screen: Screen) -> String {
    let mut page = Fields::new(screen);
    let state = executor_state(executor.state);
    let sentence = match executor.outcome.as_ref().map(ending).filter(|ending| !ending.is_empty()) {
        Some(ending) => format!("{state} ({ending})"),
        None => state.clone(),
    };
    page.field("Executor", executor.name()).field("Profile", executor.profile_id.to_string());
    page.toned("State", state_cell(&state).style(), sentence).field("Ended by", &executor.killed_by);
    if executor.state() == State::Unreachable {
        page.field("Unreachable", unreachable(&executor.application_id, executor.executor_id));
    }
    page.field("Worker", &executor.worker).field("Worker uid", &executor.worker_uid).field("Host", &executor.host);
    page.field("Resources", executor.resources.as_ref().map(given).unwrap_or_default());
    if executor.pid != 0 {
        page.field("Pid", executor.pid.to_string());
    }
    if executor.draining {
        page.field("Draining", "its worker drains");
    }
    page.field("Granted", clock.stamp(executor.create_time.as_ref()));
    page.field("Started", clock.stamp(executor.start_time.as_ref()));
    page.field("Ended", clock.stamp(executor.end_time.as_ref()));
    page.finish()
}
