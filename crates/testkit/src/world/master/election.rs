//! Leases, keys, wins and deadlines; deaths and restarts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use muster_core::liveness::LivenessTable;
use muster_core::{ClusterInfo, Term};
use muster_types::{ClusterUid, Commit, Epoch, LeaderUid, Now, Time, Write};

use super::Role;
use super::followed::Followed;
use super::term::{Active, Stop};
use crate::world::World;
use crate::world::clock::Instant;
use crate::world::event::{Event, Life};
use crate::world::network::Node;
use crate::world::plan::{KEEP_ALIVE, STORE_LEASE, STORE_MARGIN, STORE_PATIENCE, WAIT};
use crate::world::sabotage::Sabotage;
use crate::world::store::{Answer, Call, Committed};

/// Time between two looks at the liveness table.
pub(super) const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);
/// Time within which a candidate deposes at most once.
const DEPOSE_AGAIN: Duration = Duration::from_secs(10);

pub(crate) const CLUSTER: ClusterUid = ClusterUid(77);

impl World {
    pub(in crate::world) fn start_master(&mut self, master: usize) {
        if self.masters[master].is_up() {
            return;
        }
        let leader = LeaderUid(u128::from(self.rng.bits()));
        let this = &mut self.masters[master];
        this.life += 1;
        this.leader = leader;
        this.role = Role::Standby;
        this.dies_after = None;
        (this.lease, this.key, this.last_good) = (None, None, None);
        this.followed = Followed::new(&self.plan);
        this.sent.clear();
        this.keys.clear();
        let (life, left) = (this.life, this.left.take());
        if let Some(key) = left {
            self.ask_store(master, Call::Delete { key });
        }
        self.note(|| format!("master {master} starts"));
        self.beat(master, life);
    }

    /// The master's process is gone; its messages are still on their way.
    pub(in crate::world) fn crash_master(&mut self, master: usize) {
        self.note(|| format!("master {master} dies"));
        self.count("master died");
        let led = self.masters[master].active().is_some();
        let this = &mut self.masters[master];
        this.role = Role::Down;
        this.life += 1;
        this.stopped_until = Instant(0);
        this.dies_after = None;
        let key = this.key.take();
        this.left = key;
        if led {
            self.count("leader died");
        }
        self.break_streams_of_master(master);
        let pause = self.rng.between(50, 8_000);
        self.after(Duration::from_millis(pause), Event::StartMaster { master });
        let Some(key) = key.filter(|_| led) else { return };
        // The next standby finds the connection reset, and then refused.
        let next = self.next_in_line(master);
        if let Some(next) = next.filter(|_| self.rng.chance(700)) {
            let pause = self.rng.between(50, 800);
            let life = self.masters[next].life;
            self.after(Duration::from_millis(pause), Event::Depose { master: next, life, key });
        }
    }

    pub(in crate::world) fn next_in_line(&self, leader: usize) -> Option<usize> {
        let candidates = self.store.candidates();
        let mut after = candidates.iter().skip_while(|(_, master)| *master != leader).skip(1);
        after.next().map(|(_, master)| *master)
    }

    pub(in crate::world) fn depose(&mut self, master: usize, life: Life, key: u64) {
        let now = self.clock(master).time;
        let this = &mut self.masters[master];
        let recently = this.last_deposed.is_some_and(|at| now.since(at) < DEPOSE_AGAIN);
        if this.life != life || !this.is_up() || recently {
            return;
        }
        this.last_deposed = Some(now);
        self.note(|| format!("master {master} deposes the leader of key {key}"));
        self.ask_store(master, Call::Delete { key });
    }

    /// Asks the store. The call may be lost, late, or arrive twice; the answer may be lost or late.
    pub(super) fn ask_store(&mut self, master: usize, call: Call) {
        let Some(leaves) = self.may_send(master) else { return };
        let sent = self.clock(master).time;
        let this = &mut self.masters[master];
        this.calls += 1;
        let (number, life) = (this.calls, this.life);
        this.sent.insert(number, sent);
        // A lost call is never answered, so its sending time is not needed any more.
        if this.sent.len() > 64 {
            this.sent.pop_first();
        }
        let mut arrives = leaves + self.latency();
        let faults = if self.calm { 0 } else { self.plan.store_faults };
        let is_commit = matches!(call, Call::Commit(_));
        if self.rng.chance(faults) {
            match self.rng.roll(3) {
                0 => return,
                1 => {
                    // Late by a little more than the caller waits, or by much.
                    let longest = if self.rng.chance(600) { 4_000 } else { 30_000 };
                    arrives = arrives + Duration::from_millis(self.rng.between(1_000, longest));
                }
                _ if is_commit => {
                    self.count("transaction sent twice");
                    let again = arrives + Duration::from_millis(self.rng.between(1, 30_000));
                    self.at(again, Event::Asked { master, life, number, call: call.clone() });
                }
                _ => {}
            }
        }
        self.at(arrives, Event::Asked { master, life, number, call });
    }

    /// The store takes a call.
    pub(in crate::world) fn take_asked(&mut self, master: usize, life: Life, number: u64, call: Call) {
        let (from, to) = (Node::Master(master), Node::Store);
        if let Some(until) = self.network.blocked(from, to, self.now) {
            // A call in a broken path arrives when the path is mended, or never.
            if self.rng.chance(500) {
                self.at(until, Event::Asked { master, life, number, call });
            }
            return;
        }
        let now = self.store.clock.read(self.now).time;
        self.store.expire(now);
        let answer = match call {
            Call::Grant => Answer::Granted { lease: self.store.grant(now) },
            Call::Campaign { lease } => Answer::Candidate { key: self.store.campaign(master, lease) },
            Call::KeepAlive { lease } => {
                Answer::Alive { stands: self.store.keep_alive(lease, now), keys: self.store.candidates() }
            }
            Call::Read { key, after } => Answer::Read {
                key,
                after,
                newest: self.store.commit,
                writes: self.store.read(after, self.store.commit),
            },
            Call::Delete { key } => {
                if let Some((leads, leader)) = self.store.leader().filter(|(leads, _)| *leads == key) {
                    let healthy =
                        leader != master && self.masters[leader].is_up() && self.masters[leader].key == Some(leads);
                    self.count(if healthy { "live leader deposed" } else { "key deleted" });
                }
                self.store.delete(key);
                self.note(|| format!("store: key {key} is deleted by master {master}"));
                return;
            }
            Call::Commit(transaction) => {
                let applied = self.store.commit(&transaction);
                if applied.result == Committed::Applied && self.masters[master].life != life {
                    self.count("write of a dead master applied");
                }
                if applied.result == Committed::Fenced {
                    self.count("write fenced");
                }
                self.note(|| {
                    format!(
                        "store: {:?} of master {master}, key {}: {:?}",
                        transaction.commit, transaction.guard, applied.result
                    )
                });
                self.violate_all(applied.broken);
                if applied.result == Committed::Applied {
                    self.witness_commit(&transaction);
                }
                Answer::Committed { id: transaction.id, result: applied.result }
            }
        };
        let faults = if self.calm { 0 } else { self.plan.store_faults };
        if self.rng.chance(faults) {
            self.count("store's answer lost");
            return;
        }
        let mut arrives = self.now + self.latency();
        if let Some(until) = self.network.blocked(to, from, self.now) {
            if self.rng.chance(500) {
                return;
            }
            arrives = arrives.max(until);
        }
        self.at(arrives, Event::Answered { master, life, number, answer });
    }

    /// Whether the deadline of the term has not passed. It lies one store lease after the sending
    /// of the last good keep-alive, less a margin.
    pub(in crate::world) fn stands(&self, master: usize) -> bool {
        let Some(last_good) = self.masters[master].last_good else { return false };
        self.clock(master).time < last_good + STORE_LEASE.saturating_sub(STORE_MARGIN)
    }

    /// Keeps the lease, and does everything that is done regularly.
    pub(in crate::world) fn beat(&mut self, master: usize, life: Life) {
        if self.masters[master].life != life || !self.masters[master].is_up() {
            return;
        }
        self.after(KEEP_ALIVE, Event::Beat { master, life });
        if !self.stands(master) && self.masters[master].active().is_some_and(|active| active.stop.is_none()) {
            self.note(|| format!("master {master}: its deadline has passed"));
            self.count("leader past its deadline");
            self.end_term(master, Stop::Ended);
        }
        let (lease, key) = (self.masters[master].lease, self.masters[master].key);
        match (lease, key) {
            (None, _) => self.ask_store(master, Call::Grant),
            (Some(lease), None) if matches!(self.masters[master].role, Role::Standby) => {
                self.ask_store(master, Call::Campaign { lease });
                self.ask_store(master, Call::KeepAlive { lease });
            }
            (Some(lease), _) => self.ask_store(master, Call::KeepAlive { lease }),
        }
        if let Role::Recovering { key, asked, .. } = self.masters[master].role
            && self.now.since(asked) > STORE_PATIENCE
        {
            self.load_again(master, key);
        }
        if matches!(self.masters[master].role, Role::Standby) {
            self.follow(master);
        }
    }

    fn load_again(&mut self, master: usize, key: u64) {
        if let Role::Recovering { asked, .. } = &mut self.masters[master].role {
            *asked = self.now;
        }
        self.read_store(master, key);
    }

    fn read_store(&mut self, master: usize, key: u64) {
        let after = self.masters[master].followed.commit;
        self.ask_store(master, Call::Read { key, after });
    }

    /// Takes what the watch brings, in the order of the writes, and late.
    fn follow(&mut self, master: usize) {
        if self.network.blocked(Node::Store, Node::Master(master), self.now).is_some() {
            return;
        }
        let followed = &mut self.masters[master].followed;
        let (after, coming) = (followed.commit, std::mem::replace(&mut followed.coming, self.store.commit));
        let newest = if after.0 == 0 { self.store.commit } else { coming };
        if after < newest {
            let writes = self.store.read(after, newest);
            self.take_writes(master, newest, &writes);
            self.count("standby followed");
        }
    }

    fn take_writes(&mut self, master: usize, newest: Commit, writes: &[Write]) {
        let forgets = self.sabotaged(Sabotage::ExecutorsForgotten);
        let writes = writes.iter().filter(|write| !forgets || !matches!(write, Write::PutExecutors(_)));
        self.masters[master].followed.take(newest, writes.cloned());
    }

    pub(in crate::world) fn take_answered(&mut self, master: usize, life: Life, number: u64, answer: Answer) {
        if self.masters[master].life != life || !self.masters[master].is_up() {
            return;
        }
        let sent = self.masters[master].sent.remove(&number);
        match answer {
            Answer::Granted { lease } => {
                let this = &mut self.masters[master];
                if this.lease.is_none() {
                    (this.lease, this.last_good) = (Some(lease), sent);
                    self.ask_store(master, Call::Campaign { lease });
                }
            }
            Answer::Candidate { key } => {
                let this = &mut self.masters[master];
                match key {
                    Some(key) if this.key.is_none() && matches!(this.role, Role::Standby) => this.key = Some(key),
                    Some(_) => {}
                    None => this.lease = None,
                }
            }
            Answer::Alive { stands, keys } => self.take_alive(master, sent, stands, keys),
            Answer::Read { key, after, newest, writes } => self.take_read(master, key, after, newest, &writes),
            Answer::Committed { id, result } => self.take_committed(master, id, result),
        }
        self.end_if_dying(master);
    }

    fn take_alive(&mut self, master: usize, sent: Option<Time>, stands: bool, keys: Vec<(u64, usize)>) {
        let this = &mut self.masters[master];
        if !stands {
            (this.lease, this.key) = (None, None);
            return self.end_term(master, Stop::Ended);
        }
        let Some(sent) = sent else { return };
        this.keys.clone_from(&keys);
        let Some(key) = this.key else { return };
        if !keys.iter().any(|(revision, _)| *revision == key) {
            this.key = None;
            self.note(|| format!("master {master}: its key {key} is gone"));
            return self.end_term(master, Stop::Ended);
        }
        this.last_good = this.last_good.max(Some(sent));
        let first = keys.first().is_some_and(|(revision, _)| *revision == key);
        if first && matches!(this.role, Role::Standby) && self.stands(master) {
            self.win(master, key);
        }
    }

    fn win(&mut self, master: usize, key: u64) {
        let won = self.clock(master);
        self.note(|| format!("master {master} wins with key {key}"));
        self.count("win");
        self.masters[master].role = Role::Recovering { won, key, asked: self.now };
        if self.sabotaged(Sabotage::LoadBeforeWin) {
            return self.lead(master, key, won);
        }
        self.read_store(master, key);
    }

    fn take_read(&mut self, master: usize, key: u64, after: Commit, newest: Commit, writes: &[Write]) {
        let this = &self.masters[master];
        let Role::Recovering { won, key: wanted, .. } = this.role else { return };
        // This answers a read for an earlier key, or from another commit.
        if wanted != key || this.followed.commit != after {
            return;
        }
        if after.0 > 0 && newest > after {
            self.count("win with the rest of what was followed");
        }
        self.take_writes(master, newest, writes);
        self.lead(master, key, won);
    }

    /// Everything is loaded, so the master leads.
    fn lead(&mut self, master: usize, key: u64, won: Now) {
        let Followed { commit: newest, follower, log, .. } =
            std::mem::replace(&mut self.masters[master].followed, Followed::new(&self.plan));
        let mut entropy = self.rng.fork();
        let mut table = LivenessTable::new();
        let awaited = follower.workers().filter(|worker| !worker.lost && !worker.forgotten).map(|worker| worker.uid);
        let from = if self.sabotaged(Sabotage::NoWaitAfterWin) { won.time - WAIT } else { won.time };
        table.reset_all(awaited.collect::<Vec<_>>(), from);
        if newest.0 > 0 {
            self.count("failover");
        }
        let this = &mut self.masters[master];
        this.terms += 1;
        let (term, life) = (this.terms, this.life);
        let epoch = Epoch { generation: 1, revision: key, leader: this.leader };
        let info = ClusterInfo { uid: CLUSTER, name: "test".to_owned(), generation: 1 };
        let core = follower.lead(Term { cluster: info, commit: newest, is_damaged: false }, won, &mut entropy);
        self.masters[master].role = Role::Active(Box::new(Active {
            term,
            epoch,
            core,
            entropy,
            table,
            links: BTreeMap::new(),
            inbox: Vec::new(),
            turn_is_due: false,
            // What the load decided is taken out at once.
            handled: 1,
            backlog: VecDeque::new(),
            newest,
            flight: None,
            calls: BTreeMap::new(),
            next_call: 0,
            behind: Duration::ZERO,
            deadline_at: None,
            log,
            sessions: BTreeSet::new(),
            stop: None,
        }));
        self.note(|| format!("master {master} leads, {epoch:?}, loaded {newest:?}"));
        let due = self.now + EXPIRY_INTERVAL;
        self.at(due, Event::Expiry { master, life, term, due });
        self.advance(master);
    }

    /// Ends a term: calls are not answered any more, and a transaction in flight is waited for.
    pub(in crate::world) fn end_term(&mut self, master: usize, reason: Stop) {
        if let Role::Recovering { .. } = self.masters[master].role {
            self.resign(master);
            return;
        }
        let Some(active) = self.masters[master].active() else { return };
        if active.stop.is_some() {
            return;
        }
        active.stop = Some(reason);
        let in_flight = active.flight.is_some();
        self.note(|| format!("master {master}: its term ends ({reason:?})"));
        self.say_goodbye(master, reason);
        if !in_flight {
            self.resign(master);
        }
    }

    /// Throws the state away, gives up the key, and becomes a standby again.
    pub(super) fn resign(&mut self, master: usize) {
        self.dismiss_all(master);
        let this = &mut self.masters[master];
        this.role = Role::Standby;
        if let Some(key) = this.key.take() {
            self.ask_store(master, Call::Delete { key });
        }
        // A new key comes under a new lease, so that nothing of the old term can be mistaken for
        // the next.
        self.masters[master].lease = None;
    }

    /// After an unknown outcome, a sabotaged master loads again under the key that it still has.
    pub(super) fn reload(&mut self, master: usize) {
        self.dismiss_all(master);
        let (won, key) = (self.clock(master), self.masters[master].key);
        let Some(key) = key else { return self.resign(master) };
        self.say_goodbye(master, Stop::Ended);
        self.masters[master].role = Role::Recovering { won, key, asked: self.now };
        self.read_store(master, key);
    }
}
