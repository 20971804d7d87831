//! A core with the store to which its groups are written.

use std::time::Duration;

use muster_core::invariants::{DurableState, Fold, check};
use muster_core::{ClusterInfo, Config, Core, Entropy, Group, Input};
use muster_types::{ClusterUid, Now, Time, WallTime};

/// Numbers that do not repeat, and are the same in each run.
#[derive(Debug, Clone)]
pub struct Counter(pub u128);

impl Entropy for Counter {
    fn next(&mut self) -> u128 {
        self.0 += 1;
        // The product spreads over all bits, so that names made of the first digits differ and
        // jitter is not zero.
        self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }
}

pub struct World {
    pub config: Config,
    pub core: Core,
    pub ledger: DurableState,
    /// The store's generation.
    pub generation: u64,
    pub now: Now,
    pub entropy: Counter,
}

pub fn cluster(generation: u64) -> ClusterInfo {
    ClusterInfo { uid: ClusterUid(77), name: "test".to_owned(), generation }
}

impl World {
    pub fn new(config: Config) -> World {
        World {
            core: Core::new(config.clone(), cluster(1)),
            config,
            ledger: DurableState::new(),
            generation: 1,
            now: Now { time: Time(1_000_000_000), wall: WallTime(1_700_000_000_000) },
            entropy: Counter(0),
        }
    }

    /// Handles one input as a batch of its own.
    pub fn step(&mut self, input: Input) -> Vec<Group> {
        self.batch(vec![input])
    }

    /// Handles a batch: all inputs, one placement, and everything committed.
    pub fn batch(&mut self, inputs: Vec<Input>) -> Vec<Group> {
        for input in inputs {
            self.core.handle(self.now, &mut self.entropy, input);
        }
        self.core.place(self.now, &mut self.entropy);
        self.drain()
    }

    pub fn drain(&mut self) -> Vec<Group> {
        let mut broken = check(&self.core);
        let groups = self.core.drain();
        for group in &groups {
            broken.extend(self.ledger.observe(group));
        }
        assert!(broken.is_empty(), "{broken:#?}");
        groups
    }

    pub fn pass(&mut self, length: Duration) {
        self.now.time = self.now.time + length;
        self.now.wall = WallTime(self.now.wall.0 + u64::try_from(length.as_millis()).unwrap());
    }

    /// Restores the store to an earlier state. The next leader loads it under a new generation.
    pub fn restore(&mut self, past: Fold) -> Vec<Group> {
        self.ledger.fold = past;
        self.generation += 1;
        self.crash()
    }

    /// Ends the leader; the next one loads what is durable.
    pub fn crash(&mut self) -> Vec<Group> {
        // The next leader has another machine's clock.
        self.now.time = Time(self.now.time.0 + 500_000_000_000);
        let snapshot = self.ledger.fold.snapshot();
        self.core = Core::load(self.config.clone(), cluster(self.generation), snapshot, self.now, &mut self.entropy);
        self.core.place(self.now, &mut self.entropy);
        self.drain()
    }
}
