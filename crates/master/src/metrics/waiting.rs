//! What waits, and why, as the view tells at a scrape.
//!
//! `GetDriver` has the core explain one driver exactly. Here all that wait are counted, so each
//! shape of request is compared once with the workers of the view.

use std::borrow::Borrow as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use muster_core::placement::Policy;
use muster_core::{ApplicationView, DriverView, ProfileView, WorkerView};
use muster_types::{DriverState, PendingCause, ResourceName, Resources, WallTime, WorkerState};

use crate::view::{NameTable, Named, Tables, View};

/// Records that are read under one lock of the view, which the commit loop waits for.
const PAGE: usize = 1000;
/// Shapes of request that are compared with the workers; the work of others is counted under
/// [`OTHER`]. With 10,000 workers this is some milliseconds.
const SHAPES: usize = 64;

/// The reason of what fits somewhere: the next pass of placement takes it.
pub(super) const PLACEABLE: &str = "PLACEABLE";
/// The reason of what was not compared.
pub(super) const OTHER: &str = "OTHER";

/// What one piece of work asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RequestShape {
    cores: u32,
    memory: u64,
    custom: BTreeMap<ResourceName, u32>,
    selector: BTreeMap<String, String>,
}

impl RequestShape {
    fn of(resources: &Resources, selector: &BTreeMap<String, String>) -> RequestShape {
        // An executor that takes all cores asks for one.
        let cores = resources.cores.max(1);
        RequestShape { cores, memory: resources.memory, custom: resources.custom.clone(), selector: selector.clone() }
    }
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WaitingWork {
    pub drivers: u64,
    pub executors: u64,
    pub cores: u64,
    pub memory: u64,
    /// When the driver that waits longest began to.
    pub oldest: Option<WallTime>,
}

impl WaitingWork {
    fn add(&mut self, other: &WaitingWork) {
        self.drivers += other.drivers;
        self.executors += other.executors;
        self.cores += other.cores;
        self.memory = self.memory.saturating_add(other.memory);
        self.oldest = self.oldest.into_iter().chain(other.oldest).min();
    }
}

/// All that waits, by the word of its reason.
pub(super) fn waiting(
    view: &View,
    workers: &[Arc<WorkerView>],
    policy: &Policy,
) -> BTreeMap<&'static str, WaitingWork> {
    use DriverState::{BackingOff, Killing, Launching, Pending, Running, Unconfirmed, Unreachable};
    let mut found = FoundWork::default();
    let counts = view.read().drivers.counts().clone();
    let number = |states: &[DriverState]| states.iter().filter_map(|state| counts.get(state.as_str())).sum::<u32>();
    let running = number(&[Launching, Running, Killing, Unreachable, Unconfirmed]);
    let is_limited = policy.max_drivers.is_some_and(|most| running >= most);
    let mut left = number(&[Pending, BackingOff]);
    if left > 0 {
        scan(
            view,
            |tables| &tables.drivers,
            |driver| {
                if found.add_driver(driver, is_limited) {
                    left -= 1;
                }
                left > 0
            },
        );
    }
    scan(
        view,
        |tables| &tables.applications,
        |application| {
            found.add_application(application, policy);
            true
        },
    );
    found.explained(workers)
}

/// Reads a table page by page, until `take` is false. What changes meanwhile may be missed, or
/// counted as it was.
fn scan<T: Named>(view: &View, table: impl Fn(&Tables) -> &NameTable<T>, mut take: impl FnMut(&T) -> bool) {
    let mut place: Option<(T::Name, u128)> = None;
    loop {
        let page: Vec<Arc<T>> = {
            let tables = view.read();
            let after = place.as_ref().map(|(name, uid)| (name.borrow(), *uid));
            table(&tables).after(after).take(PAGE).cloned().collect()
        };
        if !page.iter().all(|item| take(item)) {
            return;
        }
        let Some(last) = page.last() else { return };
        place = Some((last.name(), last.uid()));
    }
}

/// What was found to wait.
#[derive(Debug, Default)]
struct FoundWork {
    /// For a reason that is not in the workers.
    by_reason: BTreeMap<&'static str, WaitingWork>,
    by_shape: BTreeMap<RequestShape, WaitingWork>,
}

impl FoundWork {
    /// Whether the driver waits.
    fn add_driver(&mut self, driver: &DriverView, is_limited: bool) -> bool {
        let record = &driver.record;
        let resources = &record.spec.resources;
        let since = if record.attempts.is_empty() { record.created } else { record.updated };
        let work = WaitingWork {
            drivers: 1,
            cores: resources.cores.max(1).into(),
            memory: resources.memory,
            oldest: Some(since),
            ..WaitingWork::default()
        };
        let cause = match record.state {
            DriverState::BackingOff => Some(PendingCause::Backoff),
            DriverState::Pending if is_limited => Some(PendingCause::DriverLimit),
            DriverState::Pending => None,
            _ => return false,
        };
        self.add(cause, || RequestShape::of(resources, &record.spec.worker_selector), &work);
        true
    }

    fn add_application(&mut self, application: &ApplicationView, policy: &Policy) {
        let record = &application.record;
        if record.state.is_terminal() {
            return;
        }
        let spec = &record.spec;
        let resources = |profile: &ProfileView| spec.profiles.get(&profile.profile).map(|profile| &profile.resources);
        let open = |profile: &ProfileView| u64::from(profile.running) + u64::from(profile.launching);
        let used: u64 = application
            .profiles
            .iter()
            .filter_map(|profile| Some(open(profile) * u64::from(resources(profile)?.cores.max(1))))
            .sum();
        let limit = if spec.max_cores > 0 { Some(spec.max_cores) } else { policy.default_cores };
        for profile in &application.profiles {
            let missing = u64::from(profile.target).saturating_sub(open(profile));
            let Some(resources) = resources(profile).filter(|_| missing > 0) else { continue };
            let cores = u64::from(resources.cores.max(1));
            let work = WaitingWork {
                executors: missing,
                cores: cores * missing,
                memory: resources.memory.saturating_mul(missing),
                ..WaitingWork::default()
            };
            let is_limited = limit.is_some_and(|limit| used + cores > u64::from(limit));
            let cause = is_limited.then_some(PendingCause::CoreLimit);
            self.add(cause, || RequestShape::of(resources, &spec.worker_selector), &work);
        }
    }

    fn add(&mut self, cause: Option<PendingCause>, shape: impl FnOnce() -> RequestShape, work: &WaitingWork) {
        match cause {
            Some(cause) => self.by_reason.entry(cause.as_str()).or_default().add(work),
            None => self.by_shape.entry(shape()).or_default().add(work),
        }
    }

    /// Everything by reason: the shapes that most work has are compared with the workers.
    fn explained(self, workers: &[Arc<WorkerView>]) -> BTreeMap<&'static str, WaitingWork> {
        let FoundWork { mut by_reason, by_shape } = self;
        let mut shapes: Vec<_> = by_shape.into_iter().collect();
        shapes.sort_by_key(|(_, work)| std::cmp::Reverse(work.drivers + work.executors));
        for (number, (shape, work)) in shapes.into_iter().enumerate() {
            let reason = if number < SHAPES { reason(&shape, workers) } else { OTHER };
            by_reason.entry(reason).or_default().add(&work);
        }
        by_reason
    }
}

/// Why no worker takes the shape: the cause of most workers.
fn reason(shape: &RequestShape, workers: &[Arc<WorkerView>]) -> &'static str {
    let mut tallies: BTreeMap<PendingCause, usize> = BTreeMap::new();
    for worker in workers {
        match cause(shape, worker) {
            Some(cause) => *tallies.entry(cause).or_default() += 1,
            None => return PLACEABLE,
        }
    }
    let most = tallies.into_iter().max_by_key(|(cause, workers)| (*workers, std::cmp::Reverse(cause.clone())));
    most.map_or(PendingCause::NoWorkers, |(cause, _)| cause).as_str()
}

/// Why a worker does not take the shape. Causes that are seldom alone (variables, containment,
/// excluded hosts) are left to `GetDriver`.
fn cause(shape: &RequestShape, worker: &WorkerView) -> Option<PendingCause> {
    let record = &worker.record;
    match worker.state {
        WorkerState::Alive if record.drain.is_some() => return Some(PendingCause::Draining),
        WorkerState::Alive => {}
        WorkerState::Unconfirmed => return Some(PendingCause::Unconfirmed),
        WorkerState::Disconnected | WorkerState::Lost | WorkerState::Forgotten => {
            return Some(PendingCause::Disconnected);
        }
    }
    if shape.selector.iter().any(|(name, value)| record.labels.get(name) != Some(value)) {
        return Some(PendingCause::Labels);
    }
    if record.total.cores.saturating_sub(worker.used.cores) < shape.cores {
        return Some(PendingCause::Cores);
    }
    if record.total.memory.saturating_sub(worker.used.memory) < shape.memory {
        return Some(PendingCause::Memory);
    }
    let free = |name: &ResourceName| {
        let has = record.total.addresses.get(name).map_or(0, Vec::len);
        u32::try_from(has).unwrap_or(u32::MAX).saturating_sub(worker.used.amount(name))
    };
    let short = shape.custom.iter().find(|(name, amount)| free(name) < **amount);
    short.map(|(name, _)| PendingCause::Resource(name.to_string()))
}

/// Every reason that a page may have.
pub(super) const REASONS: [&str; 13] = [
    "NO_WORKERS",
    "DRIVER_LIMIT",
    "CORE_LIMIT",
    "BACKOFF",
    "DISCONNECTED",
    "UNCONFIRMED",
    "DRAINING",
    "LABELS",
    "CORES",
    "MEMORY",
    "RESOURCE",
    PLACEABLE,
    OTHER,
];
