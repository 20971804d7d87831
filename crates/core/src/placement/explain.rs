//! Why drivers and executors wait.

use std::collections::BTreeMap;

use muster_types::{PendingCause, PendingReason, RequiredContainment, Resources, WorkerName};

use super::worker_capacity::WorkerCapacity;
use super::{Fleet, Policy, Shape};

/// Whether some worker could take the shape now. `cores == 0` asks for one core.
pub fn fits_now(fleet: &Fleet, shape: &Shape, policy: &Policy) -> bool {
    let least = shape.least();
    fleet.workers_by_uid.values().any(|capacity| capacity.fits(shape, &least, policy))
}

/// Why no worker takes the shape. Each worker is counted once, under the first cause in the order
/// of [`PendingCause`]; a worker that could take the shape is not counted. The answer also names
/// the nearest fit, and tells whether no known worker could take the shape even if it were empty
/// (always false while no worker is known). The caller adds the limits of drivers and of an
/// application's cores, and back-off. `cores == 0` asks for one core. Examines every worker.
pub fn explain(fleet: &Fleet, shape: &Shape, policy: &Policy) -> PendingReason {
    if fleet.workers_by_uid.is_empty() {
        let sentence = "no worker has registered yet".to_owned();
        return PendingReason {
            causes: vec![(PendingCause::NoWorkers, 0, sentence)],
            nearest: None,
            never_fits: false,
        };
    }
    let least = shape.least();
    let mut tallies: BTreeMap<PendingCause, CauseSummary> = BTreeMap::new();
    let mut nearest: Option<(Distance, String)> = None;
    for capacity in fleet.workers_by_uid.values() {
        let Some(cause) = capacity.filter_reason(shape, policy).or_else(|| shortage(capacity, &least)) else {
            continue;
        };
        let distance = Distance::of(capacity, &cause, &least);
        if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
            let lacks = lacks(capacity, shape, policy, &cause, &least);
            nearest = Some((distance, lacks));
        }
        tallies.entry(cause).or_default().count(capacity);
    }
    let said = |(cause, summary): (PendingCause, CauseSummary)| {
        let sentence = sentence(&cause, &summary, shape, policy, &least);
        (cause, summary.workers, sentence)
    };
    let mut causes: Vec<_> = tallies.into_iter().map(said).collect();
    // The sort is stable: causes with equal counts keep their order.
    causes.sort_by_key(|(_, workers, _)| std::cmp::Reverse(*workers));
    let suits_when_empty = |capacity: &WorkerCapacity| {
        capacity.permanent_reason(shape, policy).is_none() && capacity.holds_when_empty(&least)
    };
    PendingReason {
        causes,
        nearest: nearest.map(|(distance, lacks)| (distance.name, lacks)),
        never_fits: !fleet.workers_by_uid.values().any(suits_when_empty),
    }
}

/// The cause of the first amount that is not free.
fn shortage(capacity: &WorkerCapacity, least: &Resources) -> Option<PendingCause> {
    if capacity.free_cores() < least.cores {
        return Some(PendingCause::Cores);
    }
    if capacity.free_memory() < least.memory {
        return Some(PendingCause::Memory);
    }
    let short = least.custom.iter().find(|(name, amount)| capacity.free_amount(name) < **amount);
    short.map(|(name, _)| PendingCause::Resource(name.to_string()))
}

/// The workers of one cause.
#[derive(Default)]
struct CauseSummary {
    workers: u32,
    /// The most that any of them has free.
    most: Resources,
}

impl CauseSummary {
    fn count(&mut self, capacity: &WorkerCapacity) {
        self.workers += 1;
        let free = capacity.free_resources();
        self.most.cores = self.most.cores.max(free.cores);
        self.most.memory = self.most.memory.max(free.memory);
        for (name, amount) in free.custom {
            let most = self.most.custom.entry(name).or_default();
            *most = amount.max(*most);
        }
    }
}

/// How far a worker is from a fit. Workers are ordered by kind: first a lack of free amounts, then
/// causes that end by themselves or with the worker's return, then properties of the worker. Within
/// a kind they are ordered by the missing part of the request, summed over its amounts, then by
/// name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Distance {
    kind: u8,
    missing: u128,
    name: WorkerName,
}

impl Distance {
    fn of(capacity: &WorkerCapacity, cause: &PendingCause, least: &Resources) -> Distance {
        let kind = match cause {
            PendingCause::Cores | PendingCause::Memory | PendingCause::Resource(_) => 0,
            PendingCause::NoWorkers
            | PendingCause::DriverLimit
            | PendingCause::CoreLimit
            | PendingCause::Backoff
            | PendingCause::Restored
            | PendingCause::Disconnected
            | PendingCause::Unconfirmed
            | PendingCause::Draining => 1,
            PendingCause::Excluded
            | PendingCause::Labels
            | PendingCause::Variable(_)
            | PendingCause::Containment
            | PendingCause::NoUser => 2,
        };
        let customs =
            least.custom.iter().map(|(name, amount)| share(capacity.free_amount(name).into(), (*amount).into()));
        let missing = share(capacity.free_cores().into(), least.cores.into())
            + share(capacity.free_memory().into(), least.memory.into())
            + customs.sum::<u128>();
        Distance { kind, missing, name: capacity.facts.name.clone() }
    }
}

/// The missing part of the request, in billionths of it.
fn share(free: u128, requested: u128) -> u128 {
    (requested.saturating_sub(free) * 1_000_000_000).checked_div(requested).unwrap_or(0)
}

/// A sentence about what one worker lacks.
fn lacks(capacity: &WorkerCapacity, shape: &Shape, policy: &Policy, cause: &PendingCause, least: &Resources) -> String {
    match cause {
        PendingCause::NoWorkers
        | PendingCause::DriverLimit
        | PendingCause::CoreLimit
        | PendingCause::Backoff
        | PendingCause::Restored => String::new(),
        PendingCause::Disconnected => "is not heard at present".to_owned(),
        PendingCause::Unconfirmed => "has not reported to this master yet".to_owned(),
        PendingCause::Draining => "drains".to_owned(),
        PendingCause::Excluded => format!("its host {} is excluded", capacity.facts.host),
        PendingCause::Labels => {
            let missing =
                shape.selector.iter().filter(|(name, value)| capacity.facts.labels.get(*name) != Some(*value));
            format!("lacks the label {}", pairs(missing))
        }
        PendingCause::Variable(name) => format!("does not define the variable {name}"),
        PendingCause::Containment => {
            let what = if capacity.facts.tree { NO_OWNER_USERS } else { NO_TREE };
            format!("{what}, {}", who_needs(policy))
        }
        PendingCause::NoUser => "has no user left for its owner".to_owned(),
        PendingCause::Cores | PendingCause::Memory | PendingCause::Resource(_) => missing_amounts(capacity, least),
    }
}

const NO_TREE: &str = "cannot end a whole process tree";
const NO_OWNER_USERS: &str = "does not give each owner a user of its own";

/// Which work needs what a worker cannot enforce.
fn who_needs(policy: &Policy) -> &'static str {
    match policy.require_containment {
        RequiredContainment::Nothing | RequiredContainment::Tree => "which leased work needs",
        RequiredContainment::Users => "which all work here needs",
    }
}

/// Every amount that is not free, such as `lacks 2 cores (2 of 4 free) and 1 gpu (0 of 1 free)`.
fn missing_amounts(capacity: &WorkerCapacity, least: &Resources) -> String {
    let mut parts = Vec::new();
    let mut add = |what: &str, free: u64, requested: u64, show: fn(u64) -> String| {
        if free < requested {
            parts.push(format!("{} {what} ({} of {} free)", show(requested - free), show(free), show(requested)));
        }
    };
    let cores = if least.cores.saturating_sub(capacity.free_cores()) == 1 { "core" } else { "cores" };
    add(cores, capacity.free_cores().into(), least.cores.into(), |n| n.to_string());
    add("memory", capacity.free_memory(), least.memory, bytes);
    for (name, amount) in &least.custom {
        add(name, capacity.free_amount(name).into(), (*amount).into(), |n| n.to_string());
    }
    format!("lacks {}", parts.join(" and "))
}

/// A sentence about all workers of a cause.
fn sentence(cause: &PendingCause, summary: &CauseSummary, shape: &Shape, policy: &Policy, least: &Resources) -> String {
    let who = if summary.workers == 1 { "1 worker".to_owned() } else { format!("{} workers", summary.workers) };
    let verb = |one: &'static str, many: &'static str| if summary.workers == 1 { one } else { many };
    match cause {
        PendingCause::NoWorkers
        | PendingCause::DriverLimit
        | PendingCause::CoreLimit
        | PendingCause::Backoff
        | PendingCause::Restored => who,
        PendingCause::Disconnected => format!("{who} {} not heard at present", verb("is", "are")),
        PendingCause::Unconfirmed => format!("{who} {} not reported to this master yet", verb("has", "have")),
        PendingCause::Draining => format!("{who} {}", verb("drains", "drain")),
        PendingCause::Excluded => format!("{who} {} on an excluded host", verb("is", "are")),
        PendingCause::Labels => {
            format!("{who} {} not carry {}", verb("does", "do"), pairs(shape.selector.iter()))
        }
        PendingCause::Variable(name) => format!("{who} {} not define the variable {name}", verb("does", "do")),
        PendingCause::Containment => {
            let either = match policy.require_containment {
                RequiredContainment::Nothing | RequiredContainment::Tree => String::new(),
                RequiredContainment::Users => {
                    format!(" or {} not give each owner a user of its own", verb("does", "do"))
                }
            };
            format!("{who} {NO_TREE}{either}, {}", who_needs(policy))
        }
        PendingCause::NoUser => format!("{who} {} no user left for its owner", verb("has", "have")),
        PendingCause::Cores => {
            let (most, requested) = (summary.most.cores, least.cores);
            format!("{who} {} too few free cores: at most {most} of {requested}", verb("has", "have"))
        }
        PendingCause::Memory => {
            let (most, requested) = (bytes(summary.most.memory), bytes(least.memory));
            format!("{who} {} too little free memory: at most {most} of {requested}", verb("has", "have"))
        }
        PendingCause::Resource(name) => {
            let (most, requested) = (summary.most.amount(name), least.amount(name));
            format!("{who} {} too few free {name}: at most {most} of {requested}", verb("has", "have"))
        }
    }
}

fn pairs<'a>(labels: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

/// A number of bytes in the largest unit that shows it exactly, else with one decimal.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = |step: usize| 1u64 << (10 * step);
    let exact =
        (0..UNITS.len()).rev().find(|step| count >= unit(*step) && count.is_multiple_of(unit(*step))).unwrap_or(0);
    // Up to four digits are easy to read.
    if count / unit(exact) < 10_000 {
        return format!("{} {}", count / unit(exact), UNITS[exact]);
    }
    let rough = (0..UNITS.len()).rev().find(|step| count >= unit(*step)).unwrap_or(0);
    let tenths = u128::from(count) * 10 / u128::from(unit(rough));
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[rough])
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn amounts_of_memory_are_readable() {
        let shown = [0, 512, 1536, 512 << 20, 3 << 29, (3 << 30) + 1, 5 << 40].map(bytes);
        assert_eq!(shown, ["0 B", "512 B", "1536 B", "512 MiB", "1536 MiB", "3.0 GiB", "5 TiB"]);
    }
}
