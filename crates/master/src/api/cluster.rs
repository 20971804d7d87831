//! The cluster as a whole.

use std::sync::Arc;

use muster_core::WorkerView;
use muster_proto::time::timestamp;
use muster_proto::v1;
use muster_store::{LeaderView, Member};
use muster_types::{ApplicationState, Commit, DriverState, Resources, WorkerState};

use crate::leader::LeaderContext;
use crate::view::{StateCounts, View};

/// What is read of the view under its lock, which the commit loop waits for. What is made of it is
/// made after the lock is let go.
struct ViewCut {
    commit: Commit,
    drivers: StateCounts,
    applications: StateCounts,
    worker_states: StateCounts,
    workers: Vec<Arc<WorkerView>>,
}

impl ViewCut {
    fn of(view: &View) -> ViewCut {
        let tables = view.read();
        ViewCut {
            commit: tables.commit,
            drivers: tables.drivers.counts().clone(),
            applications: tables.applications.counts().clone(),
            worker_states: tables.workers.counts().clone(),
            workers: tables.workers.after(None).cloned().collect(),
        }
    }
}

pub(crate) fn show(leading: &LeaderContext) -> v1::Cluster {
    let cut = ViewCut::of(&leading.view);
    // One view of the election, so that the masters and the standbys of one answer agree.
    let election = leading.election.view();
    let (total, used) = sums(&cut.workers);
    let unconfirmed = cut.worker_states.get(WorkerState::Unconfirmed.as_str()).copied().unwrap_or(0);
    let open_drivers = |word: &str| DriverState::ALL.iter().any(|state| state.as_str() == word && !state.is_terminal());
    let open_applications =
        |word: &str| ApplicationState::ALL.iter().any(|state| state.as_str() == word && !state.is_terminal());
    v1::Cluster {
        name: leading.cluster.name.clone(),
        uid: leading.cluster.uid.to_string(),
        leader: leading.address.clone(),
        epoch: leading.epoch.to_string(),
        standbys: standbys(leading, &election),
        commit: cut.commit.0,
        leader_since: Some(timestamp(leading.since)),
        unconfirmed_workers: unconfirmed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        total: Some((&total).into()),
        used: Some((&used).into()),
        drivers: counted(&cut.drivers, open_drivers),
        applications: counted(&cut.applications, open_applications),
        workers: counted(&cut.worker_states, |_| true),
        store: leading.store.to_owned(),
        quarantined_records: leading
            .quarantined
            .iter()
            .map(|record| format!("{}: {}", record.key, record.error))
            .collect(),
        masters: masters(leading, &election),
        generation: leading.epoch.generation,
        recovery: recovery(leading, unconfirmed),
        notices: notices(leading, &cut.workers),
        quarantined_attempts: quarantined(&cut.workers),
    }
}

fn masters(leading: &LeaderContext, election: &LeaderView) -> Vec<v1::Master> {
    let shown = |member: &Member| v1::Master {
        address: member.address.clone(),
        version: member.version.clone(),
        revision: member.epoch.revision,
        since: Some(timestamp(member.since)),
        leads: member.epoch == leading.epoch,
    };
    election.members.iter().map(shown).collect()
}

fn standbys(leading: &LeaderContext, election: &LeaderView) -> Vec<String> {
    let others = election.members.iter().filter(|member| member.epoch != leading.epoch);
    others.map(|member| member.address.clone()).collect()
}

fn recovery(leading: &LeaderContext, awaited_workers: u32) -> Option<v1::Recovery> {
    (awaited_workers > 0).then(|| v1::Recovery { awaited_workers, deadline: Some(timestamp(leading.recovers_until)) })
}

fn notices(leading: &LeaderContext, workers: &[Arc<WorkerView>]) -> Vec<String> {
    let mut notices = Vec::new();
    if *leading.store_full.borrow() {
        notices.push("the store is full: what runs goes on, and nothing new is taken until there is room".to_owned());
    }
    if leading.is_open {
        notices.push("--insecure-listen: whoever reaches this master over the network is an administrator".to_owned());
    }
    if leading.takes_plaintext {
        let known = workers.iter().filter(|worker| !worker.record.forgotten);
        let without = known.filter(|worker| worker.record.key.is_none()).count();
        let connections = leading.metrics.plaintext.count();
        notices.push(format!(
            "--plaintext-transition: plaintext is taken of {without} workers without a certificate, and of programs; \
             {connections} connections are in the clear at this master"
        ));
    }
    notices
}

/// The resources of all live workers, and how much of them is used.
fn sums(workers: &[Arc<WorkerView>]) -> (Resources, Resources) {
    let (mut total, mut used) = (Resources::default(), Resources::default());
    for worker in workers.iter().filter(|worker| worker.state == WorkerState::Alive) {
        total.add(&worker.record.total.amounts());
        used.add(&worker.used);
    }
    (total, used)
}

/// The number of running attempts that no record names.
fn quarantined(workers: &[Arc<WorkerView>]) -> u32 {
    let count: usize = workers.iter().map(|worker| worker.quarantined.len()).sum();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn counted<M: FromIterator<(String, u32)>>(counts: &StateCounts, shown: impl Fn(&str) -> bool) -> M {
    let pairs = counts.iter().filter(|(word, _)| shown(word));
    pairs.map(|(word, count)| ((*word).to_owned(), *count)).collect()
}
