//! The faults of the world.

use std::time::Duration;

use muster_types::AttemptKey;

use super::World;
use super::event::Event;
use super::master::Stop;
use super::network::Node;

impl World {
    pub(super) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.plan.fault_every.mul_f64(self.rng.between(50, 1950) as f64 / 1000.0);
        self.after(pause, Event::Fault);
        let master = self.rng.roll(self.masters.len());
        let worker = self.rng.roll(self.workers.len());
        let leader = self.store.leader().map_or(master, |(_, master)| master);
        match self.rng.roll(52) {
            0..=4 => self.break_some_stream(),
            5 | 6 => self.kill_leader_in_the_middle(leader),
            7 => self.crash_if_up(master),
            8 | 9 => self.stop_master_in_the_middle(leader),
            10 => self.stop_master(master),
            11 => self.depose_leader(leader),
            12 => self.hand_over(leader),
            13 | 14 => self.cut_off(Node::Master(leader), Node::Store),
            15 => self.cut_off(Node::Master(master), Node::Store),
            16..=18 => self.cut_off(Node::Master(leader), Node::Worker(worker)),
            19..=21 => self.isolate_worker(worker),
            22 => self.cut_off(Node::Client, Node::Master(leader)),
            23..=26 => self.kill_agent(worker),
            27 | 28 => self.kill_runner(worker),
            29 => self.reboot(worker, false),
            30 => self.reboot_with_disk_loss(worker),
            31..=33 => self.stop_agent(worker),
            34 => self.stop_runner_a_while(worker),
            39 => self.stop_agent_in_the_middle(worker),
            40 => self.cut_off_and_stop_on_return(worker),
            41 => self.workers[worker].agent_dies_next = true,
            42 => self.dawdle_on_hello(worker),
            35 => self.cut_off_all_masters(),
            36 | 37 | 46..=48 => self.dawdle_and_cut_off(leader, worker),
            38 => self.leave_with_a_stopped_leader(leader, worker),
            43 => self.stop_agent_and_runner(worker),
            44 => self.stop_guard(worker),
            45 => self.stop_guard_and_runner(worker),
            49 | 50 => self.workers[worker].cut_off_next_accept = true,
            _ => self.break_some_stream(),
        }
    }

    fn length(&mut self) -> Duration {
        Duration::from_millis(match self.rng.roll(3) {
            0 => self.rng.between(50, 1_000),
            1 => self.rng.between(1_000, 6_000),
            _ => self.rng.between(4_000, 25_000),
        })
    }

    fn break_some_stream(&mut self) {
        let open: Vec<_> =
            self.network.streams.iter().filter(|(_, stream)| !stream.broken).map(|(id, _)| *id).collect();
        let newest = open.len().saturating_sub(6);
        if let Some(id) = self.rng.pick(&open[newest..]) {
            self.count("stream broken");
            self.note(|| format!("stream {id:?} breaks"));
            self.break_stream(id);
        }
    }

    /// The master dies at its next step, after it has sent a part of that step's messages.
    fn kill_leader_in_the_middle(&mut self, master: usize) {
        let after = self.rng.roll(4) as u32;
        self.masters[master].dies_after = Some(after);
    }

    fn crash_if_up(&mut self, master: usize) {
        if self.masters[master].is_up() {
            self.crash_master(master);
        }
    }

    /// Stops the master now: its input waits.
    fn stop_master(&mut self, master: usize) {
        let length = self.length();
        self.count("master stopped");
        self.note(|| format!("master {master} is stopped for {length:?}"));
        // A longer stop remains, since the events that wait for its end are in order.
        let until = self.now + length;
        let this = &mut self.masters[master];
        this.stopped_until = this.stopped_until.max(until);
    }

    /// Stops the master within its next step: it has read its clock and decided, but its messages
    /// leave only when it goes on.
    fn stop_master_in_the_middle(&mut self, master: usize) {
        let length = self.length();
        self.masters[master].stops_next = Some(length);
    }

    /// The next standby deletes the key of a leader that is alive and well.
    fn depose_leader(&mut self, leader: usize) {
        let Some((key, _)) = self.store.leader() else { return };
        if let Some(next) = self.next_in_line(leader) {
            let life = self.masters[next].life;
            self.after(Duration::from_millis(1), Event::Depose { master: next, life, key });
        }
    }

    fn hand_over(&mut self, leader: usize) {
        if self.masters[leader].active().is_some() && self.masters[leader].stopped_until <= self.now {
            self.count("leader steps down");
            self.end_term(leader, Stop::Told);
        }
    }

    /// Nothing gets through for a while, in one direction or both.
    fn cut_off(&mut self, one: Node, other: Node) {
        let until = self.now + self.length();
        let ways = self.rng.roll(3);
        self.count("partition");
        self.note(|| format!("{one:?} and {other:?} are cut off ({ways}) until {until:?}"));
        if ways != 1 {
            self.network.block(one, other, self.now, until);
        }
        if ways != 0 {
            self.network.block(other, one, self.now, until);
        }
    }

    fn isolate_worker(&mut self, worker: usize) {
        let until = self.now + self.length() + self.length();
        self.count("worker cut off");
        self.note(|| format!("worker {worker} is cut off from every master until {until:?}"));
        let up_too = self.rng.chance(700);
        for master in 0..self.masters.len() {
            self.network.block(Node::Master(master), Node::Worker(worker), self.now, until);
            if up_too {
                self.network.block(Node::Worker(worker), Node::Master(master), self.now, until);
            }
        }
    }

    /// The leader's messages to a worker are late. When they arrive, nothing gets from the worker
    /// to any master any more.
    fn dawdle_and_cut_off(&mut self, leader: usize, worker: usize) {
        self.count("answers dawdle");
        self.note(|| format!("what master {leader} says to worker {worker} dawdles, then the worker is cut off"));
        let dawdles = self.now + Duration::from_millis(self.rng.between(3_000, 6_500));
        self.network.block(Node::Master(leader), Node::Worker(worker), self.now, dawdles);
        let cut = self.now + Duration::from_millis(self.rng.between(500, 2_500));
        let end = cut + Duration::from_millis(self.rng.between(15_000, 30_000));
        for master in 0..self.masters.len() {
            self.network.block(Node::Worker(worker), Node::Master(master), cut, end);
        }
    }

    /// A worker says hello anew. The welcome is late, and from then on nothing gets from the worker
    /// to any master.
    fn dawdle_on_hello(&mut self, worker: usize) {
        self.workers[worker].welcome_dawdles = true;
        let streams = self.network.streams.iter();
        let open = streams.filter(|(_, stream)| stream.worker == worker && !stream.broken);
        for id in open.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.break_stream(id);
        }
    }

    pub(super) fn dawdle_if_wanted(&mut self, leader: usize, worker: usize) {
        if !std::mem::take(&mut self.workers[worker].welcome_dawdles) || self.calm {
            return;
        }
        self.count("welcome dawdles");
        self.note(|| format!("the welcome of worker {worker} dawdles, and the worker is cut off"));
        let dawdles = self.now + Duration::from_millis(self.rng.between(4_500, 8_000));
        self.network.block(Node::Master(leader), Node::Worker(worker), self.now, dawdles);
        let end = self.now + Duration::from_millis(self.rng.between(15_000, 30_000));
        for master in 0..self.masters.len() {
            self.network.block(Node::Worker(worker), Node::Master(master), self.now, end);
        }
    }

    /// A worker is cut off until its leases have ended. After its return, its agent stops once its
    /// inventory has gone up.
    fn cut_off_and_stop_on_return(&mut self, worker: usize) {
        let until = self.now + Duration::from_millis(self.rng.between(8_500, 13_000));
        self.count("cut off, and stopped on return");
        for master in 0..self.masters.len() {
            self.network.block(Node::Master(master), Node::Worker(worker), self.now, until);
            self.network.block(Node::Worker(worker), Node::Master(master), self.now, until);
        }
        self.workers[worker].agent_stops_next = Some(Duration::from_millis(self.rng.between(12_000, 17_000)));
    }

    /// A worker that has just accepted a leased attempt is cut off until it has been declared lost.
    /// The attempt's artifacts come when it is back. Returns when they come if it does not notice.
    pub(super) fn cut_off_while_it_prepares(&mut self, worker: usize, attempt: AttemptKey) -> Duration {
        self.count("cut off while it prepares");
        let length = Duration::from_millis(self.rng.between(12_500, 16_000));
        let until = self.now + length;
        self.note(|| format!("worker {worker} is cut off until {until:?}, while it prepares {attempt}"));
        for master in 0..self.masters.len() {
            self.network.block(Node::Master(master), Node::Worker(worker), self.now, until);
            self.network.block(Node::Worker(worker), Node::Master(master), self.now, until);
        }
        self.workers[worker].prepares_until_back = Some(attempt);
        length + Duration::from_secs(20)
    }

    /// The artifacts come as soon as the worker has a lease again, before it is told what has
    /// become of the attempt.
    pub(super) fn finish_preparing(&mut self, worker: usize) {
        let machine = &mut self.workers[worker];
        let life = machine.agent_life;
        let Some(attempt) = machine.prepares_until_back.take().filter(|_| !self.calm) else { return };
        self.count("prepared when it is back");
        let until = self.now + Duration::from_millis(self.rng.between(1_000, 5_000));
        for master in 0..self.masters.len() {
            self.network.block(Node::Master(master), Node::Worker(worker), self.now, until);
        }
        let pause = Duration::from_millis(self.rng.between(0, 500));
        self.after(pause, Event::Prepared { worker, life, attempt });
    }

    /// A worker reaches only the leader, which is stopped until another leads.
    fn leave_with_a_stopped_leader(&mut self, leader: usize, worker: usize) {
        let until = self.now + Duration::from_millis(self.rng.between(12_000, 24_000));
        let length = Duration::from_millis(self.rng.between(4_000, 10_000));
        self.count("worker left with a stopped leader");
        self.note(|| format!("worker {worker} reaches master {leader} alone, which is stopped for {length:?}"));
        for master in (0..self.masters.len()).filter(|master| *master != leader) {
            self.network.block(Node::Worker(worker), Node::Master(master), self.now, until);
            self.network.block(Node::Master(master), Node::Worker(worker), self.now, until);
        }
        let stopped = self.now + length;
        let this = &mut self.masters[leader];
        this.stopped_until = this.stopped_until.max(stopped);
    }

    fn cut_off_all_masters(&mut self) {
        let until = self.now + Duration::from_millis(self.rng.between(2_000, 12_000));
        self.count("store cut off from all");
        self.note(|| format!("the store is cut off until {until:?}"));
        for master in 0..self.masters.len() {
            self.network.block(Node::Master(master), Node::Store, self.now, until);
        }
    }

    fn stop_agent(&mut self, worker: usize) {
        let length = self.length();
        if !self.may_go_down(worker) {
            return;
        }
        self.count("agent stopped");
        self.note(|| format!("worker {worker}: agent is stopped for {length:?}"));
        let until = self.now + length;
        let machine = &mut self.workers[worker];
        machine.agent_stopped_until = machine.agent_stopped_until.max(until);
    }

    /// Stops the agent as soon as its inventory has gone up: later messages to it lie unread.
    fn stop_agent_in_the_middle(&mut self, worker: usize) {
        let length = Duration::from_millis(self.rng.between(5_000, 25_000));
        self.workers[worker].agent_stops_next = Some(length);
    }

    fn stop_runner_a_while(&mut self, worker: usize) {
        let length = self.length();
        if self.may_go_down(worker) {
            self.stop_runner(worker, length);
        }
    }

    /// Only the guard is left.
    fn stop_agent_and_runner(&mut self, worker: usize) {
        let machine = &self.workers[worker];
        let is_one_down = machine.runner_stopped_until > self.now || machine.guard.stopped_until > self.now;
        if machine.runner.is_none() || machine.agent.is_none() || is_one_down {
            return;
        }
        self.count("agent and runner stopped together");
        let length = Duration::from_millis(self.rng.between(9_000, 25_000));
        let until = self.now + length;
        let machine = &mut self.workers[worker];
        machine.agent_stopped_until = machine.agent_stopped_until.max(until);
        self.stop_runner(worker, length);
    }

    fn stop_guard_and_runner(&mut self, worker: usize) {
        self.stop_guard(worker);
        self.stop_runner_a_while(worker);
    }

    fn reboot_with_disk_loss(&mut self, worker: usize) {
        if self.clients.gone.len() < 2 && self.workers[worker].disk.counter > 0 {
            self.reboot(worker, true);
        } else {
            self.reboot(worker, false);
        }
    }
}
