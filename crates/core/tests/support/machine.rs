//! A model of a worker: a journal, processes, a lease, and one stream at a time, which loses its
//! messages when it breaks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use muster_core::LinkId;
use muster_types::{
    Acknowledgement, AllocatedResources, AttemptKey, AttemptState, Exit, Fault, Hello, Outcome, Reason, Report,
    Session, Time, WallTime, WorkerCommand,
};

use super::specs::Words;
use super::words;

pub const LEASE: Duration = Duration::from_secs(45);

/// A message to the master.
#[derive(Debug, Clone)]
pub enum Up {
    Hello(Box<Hello>),
    Inventory(Vec<Report>),
    Heartbeat { sent: Time },
    Reports(Vec<Report>),
}

/// A message to the worker.
#[derive(Debug, Clone)]
pub enum Down {
    Welcome,
    SayHello,
    Beat { sent: Time },
    Commands(Vec<WorkerCommand>),
    Acknowledge(Vec<Acknowledgement>),
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub state: AttemptState,
    pub sequence: u64,
    pub leased: bool,
    pub resources: AllocatedResources,
    pub started: Option<WallTime>,
}

#[derive(Debug)]
pub struct Machine {
    pub name: String,
    pub incarnation: u64,
    pub session: u64,
    pub journal: BTreeMap<AttemptKey, Entry>,
    pub connected: bool,
    pub welcomed: bool,
    pub hello_sent: Time,
    pub lease_end: Time,
    pub up: VecDeque<Up>,
    pub down: VecDeque<Down>,
    /// How often an attempt was thawed.
    pub thawed: u32,
}

impl Machine {
    pub fn new(name: &str) -> Machine {
        Machine {
            name: name.to_owned(),
            incarnation: 1,
            session: 0,
            journal: BTreeMap::new(),
            connected: false,
            welcomed: false,
            hello_sent: Time(0),
            lease_end: Time(0),
            up: VecDeque::new(),
            down: VecDeque::new(),
            thawed: 0,
        }
    }

    pub fn link(&self) -> LinkId {
        LinkId { worker: words::worker_uid(&self.name), session: Session(self.session) }
    }

    /// Breaks the stream, and drops the messages in it. The caller tells the master.
    pub fn cut(&mut self) {
        self.connected = false;
        self.welcomed = false;
        self.up.clear();
        self.down.clear();
    }

    pub fn dial(&mut self, now: Time) {
        self.cut();
        self.connected = true;
        self.session += 1;
        self.hello_sent = now;
        let said = Words::parse(&format!("cores=4 memory=8G gpu=2 inc={}", self.incarnation));
        self.up.push_back(Up::Hello(Box::new(words::hello(&self.name, self.session, &said))));
    }

    /// Ends the runner with its processes. Ended attempts stay in the journal.
    pub fn restart_runner(&mut self) {
        self.cut();
        self.incarnation += 1;
        self.journal.retain(|_, entry| matches!(entry.state, AttemptState::Ended(_)));
    }

    pub fn beat(&mut self, now: Time) {
        if self.welcomed {
            self.up.push_back(Up::Heartbeat { sent: now });
        }
    }

    /// Fences the leased trees once the lease has ended: some are frozen, others end. Their state
    /// and uid alone decide which, so that runs are repeatable. Returns whether a stream must be
    /// cut, too.
    pub fn fence(&mut self, now: Time) -> bool {
        if now < self.lease_end {
            return false;
        }
        let leased: Vec<_> = self
            .journal
            .iter()
            .filter(|(_, entry)| entry.leased && !matches!(entry.state, AttemptState::Ended(_)))
            .map(|(key, _)| *key)
            .collect();
        for key in leased {
            let Some(entry) = self.journal.get_mut(&key) else { continue };
            if entry.state == AttemptState::Frozen {
                continue;
            }
            if entry.state == AttemptState::Running && key.uid() % 4 != 0 {
                entry.state = AttemptState::Frozen;
                self.say(key);
                continue;
            }
            self.end(key, Outcome::without_exit(Fault::Platform, Reason::LeaseEnded, ""));
        }
        self.connected
    }

    pub fn running(&self) -> impl Iterator<Item = AttemptKey> + '_ {
        let alive = |entry: &Entry| matches!(entry.state, AttemptState::Running | AttemptState::Killing { .. });
        self.journal.iter().filter(move |(_, entry)| alive(entry)).map(|(key, _)| *key)
    }

    /// Attempts that have not ended.
    pub fn unfinished(&self) -> Vec<AttemptKey> {
        let open = |entry: &Entry| !matches!(entry.state, AttemptState::Ended(_));
        self.journal.iter().filter(|(_, entry)| open(entry)).map(|(key, _)| *key).collect()
    }

    /// Moves an attempt one step on. Returns whether its process started.
    pub fn advance(&mut self, key: AttemptKey, exit: i32, wall: WallTime) -> bool {
        let Some(entry) = self.journal.get_mut(&key) else { return false };
        match entry.state {
            AttemptState::Accepted => {
                entry.state = AttemptState::Running;
                entry.started = Some(wall);
                self.say(key);
                true
            }
            AttemptState::Running => {
                self.end(key, Outcome::exited(Exit::Code(exit)));
                false
            }
            AttemptState::Killing { .. } => {
                self.end(key, Outcome::without_exit(Fault::User, Reason::Killed, ""));
                false
            }
            AttemptState::Frozen | AttemptState::Ended(_) => false,
        }
    }

    fn end(&mut self, key: AttemptKey, outcome: Outcome) {
        if let Some(entry) = self.journal.get_mut(&key) {
            entry.state = AttemptState::Ended(outcome);
        }
        self.say(key);
    }

    fn say(&mut self, key: AttemptKey) {
        let Some(entry) = self.journal.get_mut(&key) else { return };
        entry.sequence += 1;
        let report = report(key, entry);
        if self.welcomed {
            self.up.push_back(Up::Reports(vec![report]));
        }
    }

    /// Obeys a message on the present stream. Returns `false` if the stream is to be dropped.
    pub fn obey(&mut self, now: Time, message: Down, ended: &mut BTreeSet<AttemptKey>) -> bool {
        match message {
            Down::Welcome => {
                self.welcomed = true;
                self.lease_end = self.lease_end.max(self.hello_sent + LEASE);
                let inventory = self.journal.iter().map(|(key, entry)| report(*key, entry)).collect();
                self.up.push_back(Up::Inventory(inventory));
            }
            Down::SayHello => return false,
            Down::Beat { sent } => self.lease_end = self.lease_end.max(sent + LEASE),
            Down::Commands(commands) => {
                for command in commands {
                    self.carry_out(now, command);
                }
            }
            Down::Acknowledge(list) => {
                for ack in list {
                    let known = self.journal.get(&ack.attempt);
                    if known.is_some_and(|e| e.sequence == ack.sequence && matches!(e.state, AttemptState::Ended(_))) {
                        self.journal.remove(&ack.attempt);
                        ended.insert(ack.attempt);
                    }
                }
            }
        }
        true
    }

    fn carry_out(&mut self, now: Time, command: WorkerCommand) {
        match command {
            WorkerCommand::Launch(launch) => {
                if !self.journal.contains_key(&launch.attempt) {
                    let refused = launch.leased && now >= self.lease_end;
                    let state = if refused {
                        AttemptState::Ended(Outcome::without_exit(Fault::Platform, Reason::Refused, ""))
                    } else {
                        AttemptState::Accepted
                    };
                    let (leased, resources) = (launch.leased, launch.resources.clone());
                    let entry = Entry { state, sequence: 0, leased, resources, started: None };
                    self.journal.insert(launch.attempt, entry);
                }
                self.say(launch.attempt);
            }
            WorkerCommand::Kill { attempt, .. } => {
                let entry = self.journal.entry(attempt).or_insert(Entry {
                    state: AttemptState::Accepted,
                    sequence: 0,
                    leased: false,
                    resources: AllocatedResources::default(),
                    started: None,
                });
                match entry.state {
                    AttemptState::Accepted => {
                        self.end(attempt, Outcome::without_exit(Fault::User, Reason::NeverStarted, ""));
                    }
                    AttemptState::Running => {
                        entry.state = AttemptState::Killing { wait_channel: None };
                        self.say(attempt);
                    }
                    // A frozen tree is killed without a thaw, so nothing of it executes.
                    AttemptState::Frozen => self.end(attempt, Outcome::without_exit(Fault::User, Reason::Killed, "")),
                    AttemptState::Killing { .. } | AttemptState::Ended(_) => {}
                }
            }
            WorkerCommand::Thaw { attempt } => {
                let stands = now < self.lease_end;
                if let Some(entry) = self.journal.get_mut(&attempt).filter(|entry| entry.state == AttemptState::Frozen)
                {
                    if stands {
                        entry.state = AttemptState::Running;
                        self.thawed += 1;
                    }
                    self.say(attempt);
                }
            }
            WorkerCommand::ApplicationGone(_) => {}
        }
    }
}

fn report(key: AttemptKey, entry: &Entry) -> Report {
    Report {
        attempt: key,
        sequence: entry.sequence,
        state: entry.state.clone(),
        pid: None,
        started: entry.started,
        ended: None,
        resources: entry.resources.clone(),
        id: String::new(),
    }
}
