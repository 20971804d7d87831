//! What runner and guard write for each other, in memory that both see. So the guard knows the
//! present lease even while the runner is not scheduled.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use muster_agent::guard::Written;
use muster_agent::runner_protocol::Renewal;
use muster_types::{Time, WallTime};

use crate::sys::shared::SharedPage;

/// The position of each number.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// Written by the runner: the number of renewals written. The newest is in the group of this
    /// parity. The next one is written into the other group, so one group is whole at any time,
    /// even if the runner is stopped while it writes.
    Version,
    /// Written by the runner, outside the groups: the newest term whose attempts it has all
    /// stopped.
    Stopped,
    /// Written by the guard: the sending time of the renewal that it goes by.
    Seen,
    /// Written by the guard: whether it is there.
    Serves,
    /// Written by the guard: whether the brake is closed.
    Closed,
    /// The first of two groups: term, sending time, its wall clock, length of the lease, and a sum
    /// of these.
    Groups,
}

/// Numbers in a group.
const GROUP: usize = 5;

/// Most readings of a group that changes meanwhile.
const TRIES: u32 = 16;

/// The memory.
#[derive(Debug)]
pub(crate) struct Table(SharedPage);

impl Table {
    pub(crate) fn new() -> io::Result<Table> {
        SharedPage::new().map(Table)
    }

    pub(crate) fn of(memory: OwnedFd) -> io::Result<Table> {
        SharedPage::of(memory).map(Table)
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        &self.0.words()[word as usize]
    }

    fn get(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::SeqCst)
    }

    fn set(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::SeqCst);
    }

    fn group(&self, version: u64) -> &[AtomicU64] {
        let start = Word::Groups as usize + if version.is_multiple_of(2) { 0 } else { GROUP };
        &self.0.words()[start..start + GROUP]
    }

    /// For the runner: writes the newest renewal and its term.
    pub(crate) fn write(&self, term: u64, renewal: Renewal) {
        let lease = u64::try_from(renewal.lease.as_nanos()).unwrap_or(u64::MAX);
        let group = [term, renewal.sent.0, renewal.sent_wall.0, lease];
        let version = self.get(Word::Version) + 1;
        for (word, value) in self.group(version).iter().zip(group.into_iter().chain([check(&group)])) {
            word.store(value, Ordering::SeqCst);
        }
        self.set(Word::Version, version);
    }

    /// For the runner: it has stopped everything of this term and of earlier ones by itself.
    pub(crate) fn write_stopped(&self, term: u64) {
        self.set(Word::Stopped, term);
    }

    /// For the guard; `None` if nothing was written yet, or if the numbers do not belong together.
    pub(crate) fn read(&self) -> Option<Written> {
        (0..TRIES).find_map(|_| self.try_read())
    }

    fn try_read(&self) -> Option<Written> {
        let version = self.get(Word::Version);
        // Read before the group: a later statement must not be combined with an earlier term.
        let stopped = self.get(Word::Stopped);
        let mut group = [0; GROUP];
        group.iter_mut().zip(self.group(version)).for_each(|(value, word)| *value = word.load(Ordering::SeqCst));
        let [term, sent, sent_wall, lease, sum] = group;
        fence(Ordering::SeqCst);
        if self.get(Word::Version) != version || sum != check(&[term, sent, sent_wall, lease]) {
            return None;
        }
        let renewal = Renewal { sent: Time(sent), sent_wall: WallTime(sent_wall), lease: Duration::from_nanos(lease) };
        (term > 0).then_some(Written { term, renewal, stopped })
    }

    /// For the guard: what it goes by. The guard counts as there from the first call on.
    pub(crate) fn acknowledge(&self, seen: Option<Time>, is_closed: bool) {
        self.set(Word::Closed, u64::from(is_closed));
        self.set(Word::Seen, seen.map_or(0, |time| time.0));
        self.set(Word::Serves, 1);
    }

    /// For the runner, before it starts a guard.
    pub(crate) fn forget_guard(&self) {
        self.set(Word::Serves, 0);
        self.set(Word::Seen, 0);
    }

    /// The sending time of the renewal that the guard goes by; `None` if the guard has written
    /// nothing.
    pub(crate) fn seen(&self) -> Option<Time> {
        (self.get(Word::Serves) != 0).then(|| Time(self.get(Word::Seen)))
    }

    /// Whether the brake is closed, as the guard says.
    pub(crate) fn is_closed(&self) -> bool {
        self.get(Word::Closed) != 0
    }
}

impl AsFd for Table {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn check(group: &[u64; 4]) -> u64 {
    group.iter().fold(0x9e37_79b9_7f4a_7c15, |sum, word| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(17))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renewal(sent: u64) -> Renewal {
        Renewal { sent: Time(sent), sent_wall: WallTime(sent), lease: Duration::from_nanos(sent) }
    }

    #[test]
    fn what_one_writes_the_other_reads() {
        let table = Table::new().unwrap();
        assert_eq!(table.read(), None);
        table.write(3, renewal(7));
        table.write_stopped(2);
        let other = Table::of(table.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(other.read(), Some(Written { term: 3, renewal: renewal(7), stopped: 2 }));
        assert_eq!(table.seen(), None);
        other.acknowledge(Some(Time(7)), true);
        assert_eq!((table.seen(), table.is_closed()), (Some(Time(7)), true));
    }

    #[test]
    fn what_is_half_written_is_not_read_and_the_renewal_before_it_still_is() {
        let table = Table::new().unwrap();
        table.write(3, renewal(7));
        let next = table.get(Word::Version) + 1;
        for half in 1..GROUP {
            table.group(next)[half - 1].store(99, Ordering::SeqCst);
            assert_eq!(table.read(), Some(Written { term: 3, renewal: renewal(7), stopped: 0 }));
        }
        table.write(4, renewal(8));
        assert_eq!(table.read(), Some(Written { term: 4, renewal: renewal(8), stopped: 0 }));
    }

    #[test]
    fn what_is_damaged_is_not_read() {
        let table = Table::new().unwrap();
        table.write(3, renewal(7));
        table.group(table.get(Word::Version))[3].store(u64::MAX, Ordering::SeqCst);
        assert_eq!(table.read(), None);
    }
}
