//! Workers.

use muster_client::v1::{Capabilities, Driver, Executor, Worker};

use super::driver::given;
use super::fields::{Fields, pairs};
use super::labels::{state_cell, worker_state};
use super::screen::{Screen, style};
use super::table::{TableCell, TableRow, table};
use super::time::DisplayClock;
use super::units::size;

impl TableRow for Worker {
    const HEADINGS: &'static [&'static str] = &[
        "NAME",
        "STATE",
        "DRAINING",
        "CORES",
        "MEMORY",
        "DRIVERS",
        "EXECUTORS",
        "HEARD",
        "HOST",
        "ADDRESS",
        "RESOURCES",
        "LABELS",
        "CONTAINMENT",
        "VERSION",
        "UID",
    ];
    const WIDE_FROM: usize = 8;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn cells(&self, clock: DisplayClock) -> Vec<TableCell> {
        let heard = clock.age(self.last_heard_time.as_ref());
        let containment = self.capabilities.as_ref().map(|held| held.tree_method.clone()).unwrap_or_default();
        vec![
            TableRow::name(self).into(),
            state(self),
            drain_word(self).into(),
            cores(self).into(),
            memory(self).into(),
            self.drivers.to_string().into(),
            self.executors.to_string().into(),
            if heard.is_empty() { heard } else { format!("{heard} ago") }.into(),
            self.host.clone().into(),
            self.address.clone().into(),
            custom(self).into(),
            pairs(&self.labels).replace(", ", ",").into(),
            containment.into(),
            self.version.clone().into(),
            self.uid.clone().into(),
        ]
    }
}

/// The state, and that the worker is revoked, which a state does not say: it is refused for ever.
fn state(worker: &Worker) -> TableCell {
    let word = worker_state(worker.state);
    match worker.revoked {
        true => TableCell::new(style::BAD, format!("{word}, revoked")),
        false => state_cell(&word),
    }
}

/// Whether the worker drains, and whether it is empty.
fn drain_word(worker: &Worker) -> &'static str {
    match (worker.draining, worker.empty) {
        (false, _) => "no",
        (true, false) => "yes",
        (true, true) => "empty",
    }
}

/// Used and total cores, such as `1/4`.
fn cores(worker: &Worker) -> String {
    let used = worker.used.as_ref().map_or(0, |used| used.cores);
    format!("{used}/{}", worker.total.as_ref().map_or(0, |total| total.cores))
}

fn memory(worker: &Worker) -> String {
    let used = worker.used.as_ref().map_or(0, |used| used.memory_bytes);
    format!("{}/{}", size(used), size(worker.total.as_ref().map_or(0, |total| total.memory_bytes)))
}

fn custom(worker: &Worker) -> String {
    let Some(total) = &worker.total else { return String::new() };
    let used = |name: &str| worker.used.as_ref().and_then(|used| used.custom.get(name)).copied().unwrap_or(0);
    let parts: Vec<_> =
        total.custom.iter().map(|(name, all)| format!("{name}={}/{}", used(name), all.addresses.len())).collect();
    parts.join(",")
}

/// All about one worker and what runs there.
pub(crate) fn worker_page(
    worker: &Worker,
    drivers: &[Driver],
    executors: &[Executor],
    wide: bool,
    clock: DisplayClock,
    screen: Screen,
) -> String {
    let mut page = Fields::new(screen);
    let state = worker_state(worker.state);
    page.field("Worker", &worker.name).field("Uid", &worker.uid);
    page.toned("State", state_cell(&state).style(), &state);
    match (worker.draining, worker.empty) {
        (false, _) => {}
        (true, false) => drop(page.field("Draining", "yes; it still has work")),
        (true, true) => drop(page.field("Draining", "yes; nothing runs there")),
    }
    page.field("Key", if worker.revoked { "revoked: it is refused" } else { &worker.key_digest });
    page.field("Host", &worker.host).field("Address", &worker.address).field("Version", &worker.version);
    page.field("Has", worker.total.as_ref().map(given).unwrap_or_default());
    page.field("Used", format!("{} cores, {} memory {}", cores(worker), memory(worker), custom(worker)).trim());
    page.field("Labels", pairs(&worker.labels)).field("Variables", worker.variables.join(", "));
    page.field("Containment", worker.capabilities.as_ref().map(containment).unwrap_or_default());
    page.field("Incarnation", &worker.incarnation).field("Registered", clock.stamp(worker.create_time.as_ref()));
    page.field("Connected", clock.stamp(worker.connect_time.as_ref()));
    page.field("Last heard", clock.stamp(worker.last_heard_time.as_ref()));
    page.field("Quarantined", worker.quarantined.join("\n"));
    page.part("Drivers:", &table(drivers, wide, clock, screen));
    page.part("Executors:", &table(executors, wide, clock, screen));
    page.finish()
}

fn containment(held: &Capabilities) -> String {
    let words = [
        (held.memory_limit, "memory limits"),
        (held.cpu_limit, "cpu limits"),
        (held.pids_limit, "process limits"),
        (held.freezer, "freezing"),
        (held.dies_with_runner, "processes die with the runner"),
        (!held.earlier_ended, "something of an earlier runner may be left"),
        (held.punch_hole, "logs bounded in place"),
        (held.owner_users, "a user for each owner"),
        (held.protected_runner && !held.owner_users, "owners share users"),
        (!held.own_users, "programs run as the worker's user"),
        (held.own_users && !held.protected_runner, "programs run as root"),
        (!held.protected_runner, "programs can reach the worker"),
        (held.private_tmp, "temporary files and shared memory of a user's own"),
    ];
    let has: Vec<_> = words.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect();
    let tree = if held.tree { held.tree_method.as_str() } else { "best effort (no kernel containment)" };
    std::iter::once(tree).chain(has).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}
