//! One run of one seed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Sabotage, World};

/// The result of runs.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// Steps, without heartbeats and keep-alives.
    pub steps: u64,
    /// All events, with heartbeats and keep-alives.
    pub events: u64,
    /// How often each kind of thing happened.
    pub tally: BTreeMap<&'static str, u64>,
}

impl Report {
    fn add(&mut self, other: &Report) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.events += other.events;
        for (what, times) in &other.tally {
            *self.tally.entry(what).or_default() += times;
        }
    }

    /// How often this kind of thing happened.
    pub fn count(&self, what: &str) -> u64 {
        self.tally.get(what).copied().unwrap_or_default()
    }
}

/// Lines of a trace that are shown.
const SHOWN: usize = 150;

/// A run that broke a rule.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// The broken rules, and what broke them.
    pub rules: Vec<(&'static str, String)>,
    /// The trace, of which the last part is shown.
    pub trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace[self.trace.len().saturating_sub(SHOWN)..] {
            writeln!(f, "{line}")?;
        }
        for (rule, what) in &self.rules {
            writeln!(f, "broken: {rule}: {what}")?;
        }
        write!(f, "replay: make fuzz SEEDS={}:1", self.seed)
    }
}

impl std::error::Error for Broken {}

/// Steps of a run before it is healed.
#[derive(Debug, Clone, Copy)]
pub struct Steps(pub u64);

impl Default for Steps {
    /// About two minutes of the world: some ten leases and as many worker timeouts.
    fn default() -> Steps {
        Steps(1000)
    }
}

/// Runs `count` seeds from `first` on, on two threads (each world on one), and adds up their
/// results.
///
/// # Errors
///
/// The first seed, in time, that broke a rule.
pub fn run_all(first: u64, count: u64, steps: Steps, sabotage: &[Sabotage]) -> Result<Report, Box<Broken>> {
    let next = AtomicU64::new(first);
    let broken: Mutex<Option<Box<Broken>>> = Mutex::new(None);
    let half = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let found = broken.lock().is_ok_and(|broken| broken.is_some());
            if seed >= first + count || found {
                return sum;
            }
            match run(seed, steps, sabotage) {
                Ok(report) => sum.add(&report),
                Err(reason) => {
                    if let Ok(mut broken) = broken.lock() {
                        broken.get_or_insert(reason);
                    }
                }
            }
        }
    };
    let mut sum = std::thread::scope(|scope| {
        let other = scope.spawn(half);
        let mut sum = half();
        if let Ok(other) = other.join() {
            sum.add(&other);
        }
        sum
    });
    match broken.into_inner() {
        Ok(Some(broken)) => Err(broken),
        Ok(None) | Err(_) => {
            sum.seeds = count;
            Ok(sum)
        }
    }
}

/// The first of `count` seeds that catches a fault put into the code on purpose.
pub fn catch(fault: Sabotage, first: u64, count: u64, steps: Steps) -> Option<Box<Broken>> {
    (first..first + count).find_map(|seed| run(seed, steps, &[fault]).err())
}

/// Runs this many steps of a seed, then heals the world, and waits for everything to end.
///
/// # Errors
///
/// The broken rules, with the last part of the trace. The seed is run a second time to write the
/// trace.
pub fn run(seed: u64, steps: Steps, sabotage: &[Sabotage]) -> Result<Report, Box<Broken>> {
    let (report, rules, _) = attempt(seed, steps, sabotage, false);
    if rules.is_empty() {
        return Ok(report);
    }
    let (_, again, trace) = attempt(seed, steps, sabotage, true);
    let rules = if again == rules { rules } else { vec![("a seed replays", format!("{rules:?}, then {again:?}"))] };
    Err(Box::new(Broken { seed, rules, trace }))
}

type Rules = Vec<(&'static str, String)>;

fn attempt(seed: u64, steps: Steps, sabotage: &[Sabotage], traced: bool) -> (Report, Rules, Vec<String>) {
    let mut world = World::new(seed, sabotage, traced);
    let (mut counted, mut events) = (0, 0);
    while counted < steps.0 && world.is_sound() {
        match world.step() {
            Some(counts) => counted += u64::from(counts),
            None => break,
        }
        events += 1;
    }
    if world.is_sound() {
        world.heal();
    }
    let report = Report { seeds: 1, steps: counted, events, tally: std::mem::take(&mut world.tally) };
    (report, world.recorder.broken.clone(), world.trace.take().map(Vec::from).unwrap_or_default())
}
