//! Applications.

use muster_client::v1::application::ProfileStatus;
use muster_client::v1::{Application, Executor, ExecutorProfile};

use super::driver::{command_line, wanted};
use super::fields::{Fields, pairs};
use super::labels::{application_state, state_cell};
use super::pending::{pending_line, pending_lines};
use super::screen::Screen;
use super::table::{TableCell, TableRow, columns_of, table};
use super::time::DisplayClock;

impl TableRow for Application {
    const HEADINGS: &'static [&'static str] =
        &["ID", "NAME", "STATE", "DRIVER", "RUNNING", "TARGET", "AGE", "WHY", "USER", "LABELS", "UID", "PAGES"];
    const WIDE_FROM: usize = 8;

    fn name(&self) -> String {
        self.application_id.clone()
    }

    fn cells(&self, clock: DisplayClock) -> Vec<TableCell> {
        let spec = self.spec.clone().unwrap_or_default();
        let running: u32 = self.profiles.iter().map(|profile| profile.running).sum();
        let target: u32 = self.profiles.iter().map(|profile| profile.target).sum();
        vec![
            self.name().into(),
            spec.name.into(),
            state_cell(&application_state(self.state)),
            owner(self).into(),
            running.to_string().into(),
            target.to_string().into(),
            clock.age(self.create_time.as_ref()).into(),
            explanation(self).into(),
            spec.user.into(),
            pairs(&spec.labels).replace(", ", ",").into(),
            self.uid.clone().into(),
            spec.ui_address.into(),
        ]
    }
}

/// The driver with its attempt; empty in client mode.
fn owner(application: &Application) -> String {
    match application.driver_id.as_str() {
        "" => String::new(),
        id => format!("{id}/{}", application.driver_attempt),
    }
}

fn explanation(application: &Application) -> String {
    let pending = application.profiles.iter().find_map(|profile| profile.pending.as_ref()).map(pending_line);
    pending.unwrap_or_else(|| application.message.clone())
}

/// All about one application and its executors.
pub(crate) fn application_page(
    application: &Application,
    executors: &[Executor],
    wide: bool,
    clock: DisplayClock,
    screen: Screen,
) -> String {
    let spec = application.spec.clone().unwrap_or_default();
    let mut page = Fields::new(screen);
    page.field("Application", &application.application_id).field("Uid", &application.uid).field("Name", &spec.name);
    let state = application_state(application.state);
    page.toned("State", state_cell(&state).style(), &state).field("Message", &application.message);
    page.field("Driver", owner(application)).field("User", &spec.user).field("Pages", &spec.ui_address);
    page.field("Labels", pairs(&spec.labels)).field("Selector", pairs(&spec.worker_selector));
    if spec.max_cores > 0 {
        page.field("Most cores", spec.max_cores.to_string());
    }
    if let Some(command) = spec.template.as_ref().and_then(|template| template.command.as_ref()) {
        page.field("Executors run", command_line(command));
    }
    if application.failures_in_window > 0 {
        page.field("Failures", format!("{} within the restart window", application.failures_in_window));
    }
    page.field("Registered", clock.stamp(application.create_time.as_ref()));
    page.field("Ended", clock.stamp(application.end_time.as_ref()));
    page.part("Profiles:", &profiles(&application.profiles, &spec.profiles, screen));
    for profile in &application.profiles {
        if let Some(pending) = &profile.pending {
            page.part(&format!("Profile {} waits for:", profile.profile_id), &indented(&pending_lines(pending)));
        }
    }
    page.part("Executors:", &indented(&table(executors, wide, clock, screen)));
    page.finish()
}

fn profiles(profiles: &[ProfileStatus], specs: &[ExecutorProfile], screen: Screen) -> String {
    let rows = profiles
        .iter()
        .map(|profile| {
            let spec = specs.iter().find(|spec| spec.profile_id == profile.profile_id);
            let each = spec.and_then(|spec| spec.resources.as_ref()).map(|resources| match resources.cores {
                0 => "all free cores of a worker".to_owned(),
                _ => wanted(resources),
            });
            vec![
                profile.profile_id.to_string().into(),
                profile.target.to_string().into(),
                profile.running.to_string().into(),
                profile.launching.to_string().into(),
                each.unwrap_or_default().into(),
            ]
        })
        .collect();
    columns_of(&["PROFILE", "TARGET", "RUNNING", "LAUNCHING", "EACH"], rows, "  ", screen)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
