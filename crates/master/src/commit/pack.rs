//! Packs groups of writes into transactions: in order, whole groups only, and within the limits of
//! the store.

use std::collections::VecDeque;
use std::sync::Arc;

use muster_core::{Effect, Group};
use muster_types::{Commit, Event, EventsRecord, Write};

/// What a store takes in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The number of writes, without those that every transaction adds.
    pub writes: usize,
    /// Estimated bytes.
    pub bytes: usize,
}

impl Bounds {
    /// The limits for the memory store and the embedded store, which take transactions of any size.
    /// They keep a commit within milliseconds, so that the callers of a long queue are answered
    /// step by step.
    pub(crate) const LOCAL: Bounds = Bounds { writes: 1024, bytes: 4 << 20 };

    /// The limits for etcd, whose requests have at most 1.5 MiB by default.
    pub(crate) const ETCD: Bounds = Bounds { writes: muster_core::ETCD_BATCH_WRITES, bytes: 1 << 20 };
}

/// The groups of one transaction, joined.
#[derive(Debug, Default)]
pub(crate) struct PackedTransaction {
    /// Its writes, without the events.
    pub writes: Vec<Write>,
    pub events: Vec<Event>,
    /// What is released after the commit.
    pub effects: Vec<Effect>,
}

impl PackedTransaction {
    /// Whether it needs a commit. If not, its effects wait for earlier transactions alone.
    pub(crate) fn is_durable(&self) -> bool {
        !self.writes.is_empty() || !self.events.is_empty()
    }

    /// Takes the events as the record of a commit; `None` if there are none.
    pub(crate) fn take_events(&mut self, commit: Commit) -> Option<Arc<EventsRecord>> {
        let events = std::mem::take(&mut self.events);
        (!events.is_empty()).then(|| Arc::new(EventsRecord { commit, events }))
    }
}

/// Takes as many groups from the front as fit; at least one, if there is one.
pub(crate) fn pack(backlog: &mut VecDeque<Group>, bounds: Bounds) -> PackedTransaction {
    let mut packed = PackedTransaction::default();
    let mut bytes = 0;
    while let Some(group) = backlog.front() {
        let size: usize = group.writes.iter().map(size_of).sum();
        let fits = packed.writes.len() + group.writes.len() <= bounds.writes && bytes + size <= bounds.bytes;
        if !fits && packed.is_durable() {
            break;
        }
        let Some(group) = backlog.pop_front() else { break };
        bytes += size;
        packed.writes.extend(group.writes);
        packed.events.extend(group.events);
        packed.effects.extend(group.effects);
    }
    packed
}

/// The encoded size of a write, estimated on the large side: an exact size would cost the loop an
/// encoding.
fn size_of(write: &Write) -> usize {
    /// Keys, times, states and the like.
    const FIXED: usize = 256;
    FIXED
        + match write {
            Write::PutDriver(record) => {
                let command = &record.spec.command;
                let env = command.env.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
                let secrets = command.secret_env.iter().map(|(name, value)| name.len() + value.expose().len() + 4);
                let args = command.args.iter().map(|arg| arg.len() + 2).sum::<usize>();
                command.program.len()
                    + args
                    + env
                    + secrets.sum::<usize>()
                    + record.spec.artifacts.iter().map(|artifact| artifact.uri.expose().len() + 64).sum::<usize>()
                    + record.attempts.len() * 256
            }
            // Validation bounds each to 64 KiB, and these writes are rare.
            Write::PutApplication(_) => muster_types::MAX_SPEC_BYTES,
            Write::PutExecutors(record) => record.executors.len() * 256,
            Write::PutWorker(_) => 2048,
            // Its name and its maker's are bounded.
            Write::PutToken(_) => 512,
            Write::PutRoles(roles) => roles.0.keys().map(|principal| 16 + principal.name().len()).sum(),
            Write::PutEvents(record) => record.events.len() * 192,
            Write::DeleteDriver(_)
            | Write::DeleteApplication(_)
            | Write::DeleteExecutors(..)
            | Write::DeleteWorker(_)
            | Write::DeleteToken(_)
            | Write::DeleteEvents(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_core::{CallId, Rejection};
    use muster_types::DriverUid;

    fn group(writes: u128, call: u64) -> Group {
        Group {
            writes: (0..writes).map(|uid| Write::DeleteDriver(DriverUid(uid))).collect(),
            events: Vec::new(),
            effects: vec![Effect::Reply(CallId(call), Err(Rejection::RequestIdReused))],
        }
    }

    fn calls(packed: &PackedTransaction) -> Vec<u64> {
        packed
            .effects
            .iter()
            .map(|effect| match effect {
                Effect::Reply(call, _) => call.0,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    const BOUNDS: Bounds = Bounds { writes: 4, bytes: 1 << 20 };

    #[test]
    fn packs_whole_groups_in_order_up_to_the_bound() {
        let mut backlog = VecDeque::from([group(2, 1), group(2, 2), group(1, 3)]);
        let first = pack(&mut backlog, BOUNDS);
        assert_eq!((first.writes.len(), calls(&first)), (4, vec![1, 2]));
        let second = pack(&mut backlog, BOUNDS);
        assert_eq!((second.writes.len(), calls(&second)), (1, vec![3]));
        assert!(!pack(&mut backlog, BOUNDS).is_durable());
    }

    #[test]
    fn a_group_beyond_the_bound_goes_alone() {
        let mut backlog = VecDeque::from([group(9, 1), group(1, 2)]);
        assert_eq!(calls(&pack(&mut backlog, BOUNDS)), [1]);
        assert_eq!(calls(&pack(&mut backlog, BOUNDS)), [2]);
    }

    #[test]
    fn what_writes_nothing_waits_for_what_stands_before_it() {
        let mut backlog = VecDeque::from([group(0, 1), group(3, 2), group(0, 3), group(2, 4), group(0, 5)]);
        let first = pack(&mut backlog, BOUNDS);
        assert_eq!(calls(&first), [1, 2, 3]);
        assert_eq!(calls(&pack(&mut backlog, BOUNDS)), [4, 5]);
    }

    #[test]
    fn only_answers_need_no_commit() {
        let packed = pack(&mut VecDeque::from([group(0, 1), group(0, 2)]), BOUNDS);
        assert!(!packed.is_durable());
        assert_eq!(calls(&packed), [1, 2]);
    }
}
