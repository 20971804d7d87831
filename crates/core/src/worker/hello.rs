//! The beginning and the end of a worker's stream.

use std::sync::Arc;

use muster_types::{Hello, WorkerRecord, WorkerState, WorkerUid, Write, is_uid};

use crate::core::{Core, Ctx};
use crate::state::Worker;
use crate::{Effect, HelloRefusal, LinkId};

impl Core {
    /// Accepts or refuses a hello. No commands are sent before the inventory that follows is
    /// complete.
    pub(crate) fn hello(&mut self, ctx: &mut Ctx<'_>, link: LinkId, hello: Hello) {
        if let Some(refusal) = self.refuse_hello(&hello) {
            return self.out.effect(Effect::Refuse(link, refusal));
        }
        let uid = hello.worker;
        if self.workers.get(uid).is_none() {
            self.enlist(ctx, hello);
        } else {
            self.renew(uid, hello);
        }
        let Some(worker) = self.workers.get_mut(uid) else { return };
        // What the stream before it has sent is void.
        worker.drop_link();
        worker.session = Some(link.session);
        worker.link = Some(link);
        worker.heard = true;
        worker.connected = Some(ctx.now.wall);
        // The cause of the failed launches may have been repaired before the worker came back.
        self.fleet.set_failing(uid, false);
        self.fleet.give_users(uid);
        self.refresh_eligibility(uid);
        self.out.effect(Effect::Welcome(link));
    }

    fn refuse_hello(&self, hello: &Hello) -> Option<HelloRefusal> {
        if hello.cluster.is_some_and(|cluster| cluster != self.cluster.uid) {
            return Some(HelloRefusal::WrongCluster);
        }
        if let Some(refusal) = self.workers.get(hello.worker).and_then(|known| refuse_known(known, hello)) {
            return Some(refusal);
        }
        // A worker that has had such a name since before they were refused goes on with its
        // programs.
        let known = self.workers.get(hello.worker).map(|known| &known.record.name);
        if is_uid(hello.name.as_str()) && known != Some(&hello.name) {
            return Some(HelloRefusal::NameIsUid);
        }
        let holder = self.workers.name_holder(hello.name.as_str());
        holder.is_some_and(|holder| holder != hello.worker).then_some(HelloRefusal::NameTaken)
    }

    fn enlist(&mut self, ctx: &Ctx<'_>, hello: Hello) {
        let uid = hello.worker;
        let record = Arc::new(WorkerRecord {
            uid,
            name: hello.name,
            machine_id: hello.machine_id,
            boot_id: hello.boot_id,
            incarnation: hello.incarnation,
            total: hello.total,
            capabilities: hello.capabilities,
            labels: hello.labels,
            variables: hello.variables,
            host: hello.host,
            address: hello.address,
            version: hello.version,
            drain: None,
            requests: Vec::new(),
            lost: false,
            forgotten: false,
            key: hello.key,
            revoked: false,
            created: ctx.now.wall,
        });
        self.out.write(Write::PutWorker(Arc::clone(&record)));
        // It has been heard, which the event below says.
        let worker = Worker { heard: true, ..Worker::new(record) };
        self.fleet.upsert(uid, worker.facts());
        self.workers.insert(worker);
        for (key, resources) in self.unplaced_attempts.remove(&uid).unwrap_or_default() {
            self.hold_assigned(uid, key, &resources);
        }
        self.emit_worker_event(ctx.now.wall, uid, "registered");
    }

    /// Updates a known worker. A hello that changes nothing is not written.
    fn renew(&mut self, uid: WorkerUid, hello: Hello) {
        let Some(worker) = self.workers.get(uid) else { return };
        let mut renewed = (*worker.record).clone();
        renewed.lost = false;
        take_facts(&mut renewed, hello);
        if renewed == *worker.record {
            return;
        }
        let old_name = worker.record.name.clone();
        self.workers.rename(uid, &old_name, &renewed.name);
        self.put_worker(uid, |record| *record = renewed);
    }

    /// Ends a stream. The worker is not lost by this: it gets no new work, and its deadline runs
    /// on.
    pub(crate) fn break_link(&mut self, ctx: &mut Ctx<'_>, link: LinkId) {
        let Some(worker) = self.workers.get_mut(link.worker).filter(|worker| worker.link == Some(link)) else { return };
        let was_alive = worker.state() == WorkerState::Alive;
        worker.drop_link();
        self.refresh_eligibility(link.worker);
        if was_alive {
            self.emit_worker_event(ctx.now.wall, link.worker, "its stream ended");
        }
    }
}

fn refuse_known(known: &Worker, hello: &Hello) -> Option<HelloRefusal> {
    let record = &known.record;
    let same_incarnation = hello.incarnation == record.incarnation;
    if record.forgotten {
        Some(HelloRefusal::Forgotten)
    } else if record.revoked {
        Some(HelloRefusal::Revoked)
    } else if record.key.is_some() && hello.key != record.key {
        Some(HelloRefusal::KeyMismatch)
    } else if hello.machine_id != record.machine_id || (same_incarnation && hello.boot_id != record.boot_id) {
        // A uid is bound to its machine: the incarnation of another machine proves nothing about
        // the processes of this one.
        Some(HelloRefusal::ClonedState)
    } else if hello.incarnation < record.incarnation {
        Some(HelloRefusal::OldIncarnation)
    } else if known
        .session
        .is_some_and(|session| if same_incarnation { hello.session <= session } else { hello.session == session })
    {
        // A later incarnation may count its sessions anew, but must not repeat the known session.
        Some(HelloRefusal::OldSession)
    } else {
        None
    }
}

fn take_facts(record: &mut WorkerRecord, hello: Hello) {
    record.name = hello.name;
    record.boot_id = hello.boot_id;
    record.incarnation = hello.incarnation;
    record.total = hello.total;
    record.capabilities = hello.capabilities;
    record.labels = hello.labels;
    record.variables = hello.variables;
    record.host = hello.host;
    record.address = hello.address;
    record.version = hello.version;
    // A key that is recorded is the hello's own, or this would have been refused.
    record.key = hello.key;
}
