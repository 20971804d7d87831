//! Drivers.

use std::fmt::Display;

use muster_client::v1::driver::State;
use muster_client::v1::{
    AllocatedResources, Driver, DriverAttempt, DriverSpec, Outcome, Resources, RestartCondition, RestartPolicy,
    WorkerLostPolicy,
};

use super::fields::{Fields, pairs, shell_words};
use super::labels::{driver_state, state_cell};
use super::pending::{pending_line, pending_lines};
use super::screen::Screen;
use super::table::{TableCell, TableRow, columns_of};
use super::time::{DisplayClock, instant, wire_length};
use super::units::{count, size};

impl TableRow for Driver {
    const HEADINGS: &'static [&'static str] = &[
        "ID", "STATE", "ATTEMPT", "WORKER", "EXIT", "AGE", "WHY", "CORES", "MEMORY", "RAN", "LABELS", "UID", "COMMAND",
    ];
    const WIDE_FROM: usize = 7;

    fn name(&self) -> String {
        self.driver_id.clone()
    }

    fn cells(&self, clock: DisplayClock) -> Vec<TableCell> {
        let newest = self.attempts.last();
        let spec = self.spec.clone().unwrap_or_default();
        let resources = spec.resources.unwrap_or_default();
        vec![
            self.name().into(),
            state_cell(&driver_state(self.state)),
            newest.map(|attempt| attempt.attempt.to_string()).unwrap_or_default().into(),
            newest.map(|attempt| attempt.worker.clone()).unwrap_or_default().into(),
            self.outcome.as_ref().map(exit).unwrap_or_default().into(),
            clock.age(self.create_time.as_ref()).into(),
            explanation(self, clock).into(),
            resources.cores.to_string().into(),
            size(resources.memory_bytes).into(),
            newest.map(|a| clock.span(a.start_time.as_ref(), a.end_time.as_ref())).unwrap_or_default().into(),
            pairs(&spec.labels).replace(", ", ",").into(),
            self.uid.clone().into(),
            spec.command.as_ref().map(command_line).unwrap_or_default().into(),
        ]
    }
}

/// Why a driver is in its state, in a few words.
fn explanation(driver: &Driver, clock: DisplayClock) -> String {
    if let Some(pending) = &driver.pending {
        return pending_line(pending);
    }
    if let Some(retry) = &driver.retry_time {
        return format!("runs again {}", clock.until(retry));
    }
    driver.outcome.as_ref().map(reason).unwrap_or_default()
}

/// The exit code, or the signal; empty when it never ran.
pub(super) fn exit(outcome: &Outcome) -> String {
    match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => signal_name(signal),
        (None, None) => String::new(),
    }
}

/// Why it ended, where the exit code does not say it.
pub(super) fn reason(outcome: &Outcome) -> String {
    let word = match outcome.reason.as_str() {
        // The exit code and the state already tell these.
        "EXITED" | "KILLED" => "",
        word => word,
    };
    match (word, outcome.message.as_str()) {
        (word, "") => word.to_owned(),
        ("", message) => message.to_owned(),
        (word, message) => format!("{word}: {message}"),
    }
}

/// How something ended in one sentence: `exit code 3`, `signal KILL, OUT_OF_MEMORY`.
pub(crate) fn ending(outcome: &Outcome) -> String {
    let exit = match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {}", signal_name(signal)),
        (None, None) => String::new(),
    };
    [exit, reason(outcome)].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Name of a signal without SIG, or its number.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        11 => "SEGV",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        24 => "XCPU",
        31 => "SYS",
        _ => return format!("SIG{signal}"),
    };
    name.to_owned()
}

/// Program and arguments.
pub(super) fn command_line(command: &muster_client::v1::Command) -> String {
    shell_words(std::iter::once(command.program.as_str()).chain(command.args.iter().map(String::as_str)))
}

/// The requested resources as text.
pub(super) fn wanted(resources: &Resources) -> String {
    let mut parts = vec![count(resources.cores.into(), "core"), size(resources.memory_bytes)];
    parts.extend(resources.custom.iter().map(|(name, count)| format!("{name}={count}")));
    parts.join(", ")
}

/// The allocated resources as text, with addresses.
pub(super) fn given(resources: &AllocatedResources) -> String {
    let mut parts = vec![count(resources.cores.into(), "core"), size(resources.memory_bytes)];
    parts.extend(resources.custom.iter().map(|(name, list)| format!("{name}=[{}]", list.addresses.join(","))));
    parts.join(", ")
}

/// All about one driver.
pub(crate) fn driver_page(driver: &Driver, wide: bool, clock: DisplayClock, screen: Screen) -> String {
    let mut page = Fields::new(screen);
    page.field("Driver", &driver.driver_id).field("Uid", &driver.uid);
    page.toned("State", state_cell(&driver_state(driver.state)).style(), state_sentence(driver));
    if let Some(pending) = &driver.pending {
        page.field("Waits for", pending_lines(pending));
    }
    if let (State::Unreachable, Some(newest)) = (driver.state(), driver.attempts.last()) {
        page.field("Unreachable", unreachable(&driver.driver_id, newest.attempt));
    }
    if let Some(retry) = &driver.retry_time {
        page.field("Runs again", clock.until(retry));
    }
    if let Some(spec) = &driver.spec {
        spec_fields(&mut page, spec);
    }
    if driver.failures_in_window > 0 {
        page.field("Failures", format!("{} within the restart window", driver.failures_in_window));
    }
    page.field("Applications", driver.application_ids.join(", "));
    page.field("Created", clock.stamp(driver.create_time.as_ref()));
    page.field("Ended", clock.stamp(driver.end_time.as_ref()));
    page.part("Attempts:", &attempts(&driver.attempts, wide, clock, screen));
    page.finish()
}

/// What can be done about an attempt or executor that nobody hears of.
pub(super) fn unreachable(of: &str, number: impl Display) -> String {
    format!(
        "its worker is silent, or is back without it and cannot prove its end; when nothing of it is left on the \
         machine, say so: muster worker forget-attempt {of}/{number}"
    )
}

fn state_sentence(driver: &Driver) -> String {
    let state = driver_state(driver.state);
    match driver.outcome.as_ref().map(ending).filter(|ending| !ending.is_empty()) {
        Some(ending) => format!("{state} ({ending})"),
        None => state,
    }
}

fn spec_fields(page: &mut Fields, spec: &DriverSpec) {
    if let Some(command) = &spec.command {
        page.field("Command", command_line(command));
        page.field("Environment", pairs(&command.env).replace(", ", "\n"));
        page.field("Secrets", command.secret_env.keys().cloned().collect::<Vec<_>>().join(", "));
        page.field("Work dir", &command.work_dir);
    }
    page.field("Resources", spec.resources.as_ref().map(wanted).unwrap_or_default());
    page.field("Artifacts", spec.artifacts.iter().map(|artifact| artifact.uri.clone()).collect::<Vec<_>>().join("\n"));
    page.field("Restart", spec.restart.as_ref().map(restart).unwrap_or_else(|| "never".into()));
    page.field(
        "Worker lost",
        match spec.on_worker_lost() {
            WorkerLostPolicy::Rerun => "rerun",
            WorkerLostPolicy::Wait => "wait",
            WorkerLostPolicy::Unspecified => "",
        },
    );
    page.field("Kill grace", spec.kill_grace.as_ref().map(wire_length).unwrap_or_default());
    page.field("Labels", pairs(&spec.labels));
    page.field("Selector", pairs(&spec.worker_selector));
    page.field("Run as", &spec.run_as);
}

fn restart(policy: &RestartPolicy) -> String {
    let word = match policy.condition() {
        RestartCondition::Unspecified | RestartCondition::Never => return "never".into(),
        RestartCondition::OnFailure => "on failure",
        RestartCondition::Always => "always",
    };
    let mut text = word.to_owned();
    if policy.max_attempts > 0 {
        text.push_str(&format!(", given up after {} failures", policy.max_attempts));
        if let Some(window) = &policy.window {
            text.push_str(&format!(" within {}", wire_length(window)));
        }
    }
    text
}

fn attempts(attempts: &[DriverAttempt], wide: bool, clock: DisplayClock, screen: Screen) -> String {
    let mut headings = vec!["ATTEMPT", "STATE", "WORKER", "PID", "EXIT", "STARTED", "ENDED", "RAN", "REASON"];
    if wide {
        headings.extend(["RESOURCES", "ASSIGNED", "WORKER-UID"]);
    }
    let rows = attempts.iter().map(|attempt| attempt_cells(attempt, wide, clock)).collect();
    columns_of(&headings, rows, "  ", screen)
}

fn attempt_cells(attempt: &DriverAttempt, wide: bool, clock: DisplayClock) -> Vec<TableCell> {
    let time = |time: Option<&prost_types::Timestamp>| time.map(instant).unwrap_or_default();
    let pid = if attempt.pid == 0 { String::new() } else { attempt.pid.to_string() };
    let mut cells: Vec<TableCell> = vec![
        attempt.attempt.to_string().into(),
        state_cell(&driver_state(attempt.state)),
        attempt.worker.clone().into(),
        pid.into(),
        attempt.outcome.as_ref().map(exit).unwrap_or_default().into(),
        time(attempt.start_time.as_ref()).into(),
        time(attempt.end_time.as_ref()).into(),
        clock.span(attempt.start_time.as_ref(), attempt.end_time.as_ref()).into(),
        attempt.outcome.as_ref().map(reason).unwrap_or_default().into(),
    ];
    if wide {
        cells.push(attempt.resources.as_ref().map(given).unwrap_or_default().into());
        cells.push(time(attempt.assign_time.as_ref()).into());
        cells.push(attempt.worker_uid.clone().into());
    }
    cells
}
