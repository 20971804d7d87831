//! The cluster as a whole.

use muster_proto::time::timestamp;
use muster_proto::v1;
use muster_store::Member;
use muster_types::{ApplicationState, DriverState, Resources, WorkerState};

use crate::leader::LeaderContext;
use crate::view::{StateCounts, Tables};

pub(crate) fn show(leading: &LeaderContext) -> v1::Cluster {
    let tables = leading.view.read();
    let (total, used) = sums(&tables);
    let unconfirmed = tables.workers.counts().get(WorkerState::Unconfirmed.as_str()).copied().unwrap_or(0);
    let open_drivers = |word: &str| DriverState::ALL.iter().any(|state| state.as_str() == word && !state.is_terminal());
    let open_applications =
        |word: &str| ApplicationState::ALL.iter().any(|state| state.as_str() == word && !state.is_terminal());
    v1::Cluster {
        name: leading.cluster.name.clone(),
        uid: leading.cluster.uid.to_string(),
        leader: leading.address.clone(),
        epoch: leading.epoch.to_string(),
        standbys: standbys(leading),
        commit: tables.commit.0,
        leader_since: Some(timestamp(leading.since)),
        unconfirmed_workers: unconfirmed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        total: Some((&total).into()),
        used: Some((&used).into()),
        drivers: counted(tables.drivers.counts(), open_drivers),
        applications: counted(tables.applications.counts(), open_applications),
        workers: counted(tables.workers.counts(), |_| true),
        store: leading.store.to_owned(),
        quarantined_records: leading
            .quarantined
            .iter()
            .map(|record| format!("{}: {}", record.key, record.error))
            .collect(),
        masters: masters(leading),
        generation: leading.epoch.generation,
        recovery: recovery(leading, unconfirmed),
        notices: notices(leading),
        quarantined_attempts: quarantined(&tables),
    }
}

fn masters(leading: &LeaderContext) -> Vec<v1::Master> {
    let view = leading.election.view();
    let shown = |member: &Member| v1::Master {
        address: member.address.clone(),
        version: member.version.clone(),
        revision: member.epoch.revision,
        since: Some(timestamp(member.since)),
        leads: member.epoch == leading.epoch,
    };
    view.members.iter().map(shown).collect()
}

fn standbys(leading: &LeaderContext) -> Vec<String> {
    let view = leading.election.view();
    let others = view.members.iter().filter(|member| member.epoch != leading.epoch);
    others.map(|member| member.address.clone()).collect()
}

fn recovery(leading: &LeaderContext, awaited_workers: u32) -> Option<v1::Recovery> {
    (awaited_workers > 0).then(|| v1::Recovery { awaited_workers, deadline: Some(timestamp(leading.recovers_until)) })
}

fn notices(leading: &LeaderContext) -> Vec<String> {
    let mut notices = Vec::new();
    if *leading.store_full.borrow() {
        notices.push("the store is full: what runs goes on, and nothing new is taken until there is room".to_owned());
    }
    notices
}

/// The resources of all live workers, and how much of them is used.
fn sums(tables: &Tables) -> (Resources, Resources) {
    let (mut total, mut used) = (Resources::default(), Resources::default());
    for worker in tables.workers.after(None).filter(|worker| worker.state == WorkerState::Alive) {
        total.add(&worker.record.total.amounts());
        used.add(&worker.used);
    }
    (total, used)
}

/// The number of running attempts that no record names.
fn quarantined(tables: &Tables) -> u32 {
    let count: usize = tables.workers.after(None).map(|worker| worker.quarantined.len()).sum();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn counted<M: FromIterator<(String, u32)>>(counts: &StateCounts, shown: impl Fn(&str) -> bool) -> M {
    let pairs = counts.iter().filter(|(word, _)| shown(word));
    pairs.map(|(word, count)| ((*word).to_owned(), *count)).collect()
}
