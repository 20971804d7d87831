//! Messages of workers, made from words.

use std::collections::{BTreeMap, BTreeSet};

use muster_core::invariants::Fold;
use muster_types::{
    AllocatedResources, AttemptKey, AttemptNumber, AttemptState, Capabilities, ClusterUid, ExecutorId, Exit, Fault,
    Hello, Incarnation, KeyDigest, Outcome, Reason, Report, Session, WallTime, WorkerUid,
};

use super::specs::{Words, total};

/// The uid of worker `w7` is 7.
pub fn worker_uid(name: &str) -> WorkerUid {
    WorkerUid(name.trim_start_matches('w').parse().unwrap())
}

pub fn hello(name: &str, session: u64, words: &Words) -> Hello {
    let text = |key: &str, default: &str| words.keys.get(key).cloned().unwrap_or_else(|| default.to_owned());
    let counter = words.number("inc", 1);
    Hello {
        cluster: words.keys.get("cluster").map(|uid| ClusterUid(uid.parse().unwrap())),
        worker: worker_uid(name),
        name: text("name", name).as_str().into(),
        machine_id: text("machine", &format!("machine-{name}")),
        boot_id: text("boot", "boot-1"),
        incarnation: Incarnation { counter, random: counter },
        session: Session(session),
        epoch: None,
        capabilities: Capabilities {
            tree: text("tree", "yes") == "yes",
            earlier_ended: text("ended", &text("tree", "yes")) == "yes",
            ..Capabilities::default()
        },
        total: total(words),
        labels: BTreeMap::new(),
        variables: BTreeSet::new(),
        host: format!("host-{name}"),
        address: format!("{name}:1"),
        version: "1".to_owned(),
        key: words.keys.get("key").filter(|key| *key != "none").map(|key| KeyDigest([key.parse().unwrap(); 32])),
    }
}

/// `d1/2` or `a1:0`: an attempt of a driver, an executor of an application, by the names of durable
/// records.
pub fn attempt(text: &str, fold: &Fold) -> AttemptKey {
    if let Some((name, number)) = text.split_once('/') {
        let uid = fold.drivers.values().find(|record| record.id.as_str() == name).map(|record| record.uid);
        let uid = uid.unwrap_or(muster_types::DriverUid(0xdead));
        return AttemptKey::Driver(uid, AttemptNumber(number.parse().unwrap()));
    }
    let (name, number) = text.split_once(':').unwrap();
    let application = fold.applications.values().filter(|record| record.id.as_str() == name);
    let uid = application.max_by_key(|record| (record.created, record.version)).map(|record| record.uid);
    AttemptKey::Executor(uid.unwrap_or(muster_types::ApplicationUid(0xdead)), ExecutorId(number.parse().unwrap()))
}

/// The resources of an attempt, by the records.
pub fn given(key: AttemptKey, fold: &Fold) -> AllocatedResources {
    match key {
        AttemptKey::Driver(uid, number) => fold
            .drivers
            .get(&uid)
            .and_then(|record| record.attempts.iter().find(|attempt| attempt.number == number))
            .map(|attempt| attempt.resources.clone()),
        AttemptKey::Executor(uid, id) => fold.executors_of(uid).get(&id).map(|executor| executor.resources.clone()),
    }
    .unwrap_or(AllocatedResources { cores: 1, memory: 512 << 20, addresses: BTreeMap::new() })
}

/// `running`, `accepted`, `frozen`, `killing`, `exit:3`, `signal:9`, `oom`, or a reason in lower
/// case with `-`.
pub fn state(text: &str) -> AttemptState {
    match text {
        "accepted" => return AttemptState::Accepted,
        "running" => return AttemptState::Running,
        "frozen" => return AttemptState::Frozen,
        "killing" => return AttemptState::Killing { wait_channel: None },
        "stuck" => return AttemptState::Killing { wait_channel: Some("nfs_wait".to_owned()) },
        "oom" => {
            let outcome = Outcome::without_exit(Fault::Program, Reason::OutOfMemory, "");
            return AttemptState::Ended(Outcome { out_of_memory: true, exit: Exit::Signal(9), ..outcome });
        }
        _ => {}
    }
    if let Some(code) = text.strip_prefix("exit:") {
        return AttemptState::Ended(Outcome::exited(Exit::Code(code.parse().unwrap())));
    }
    if let Some(signal) = text.strip_prefix("signal:") {
        return AttemptState::Ended(Outcome::exited(Exit::Signal(signal.parse().unwrap())));
    }
    let reason = Reason::from_word(&text.to_ascii_uppercase().replace('-', "_")).unwrap();
    AttemptState::Ended(Outcome::without_exit(Fault::Platform, reason, ""))
}

pub fn report(key: AttemptKey, state: AttemptState, sequence: u64, now: WallTime, fold: &Fold) -> Report {
    let ended = matches!(state, AttemptState::Ended(_)).then_some(now);
    let running = matches!(state, AttemptState::Running);
    Report {
        attempt: key,
        sequence,
        pid: running.then_some(100 + key.number()),
        started: running.then_some(now),
        ended,
        state,
        resources: given(key, fold),
        id: String::new(),
    }
}
