//! The watchers of events, and what each is sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use muster_store::DropInBackground;
use muster_types::{Commit, EventsRecord};
use tokio::sync::mpsc;

use super::encoded::{Chunk, Encoded};
use super::log::{EventFilter, EventLog, OutOfRange, chosen};
use muster_proto::tokens::ResumeToken;

/// Responses that may wait for one watcher. A watcher further behind is cut off with a token, with
/// which it resumes from the kept window.
const WATCHER_QUEUE: usize = 256;

/// Why this master ended a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WatchEnd {
    /// Its queue was full.
    TooSlow,
    /// The term of this leader is over.
    Shutdown,
}

/// Fans events out to watchers. Events are published on a task of their own, so the commit loop
/// never waits for this lock.
pub(crate) struct EventBroker {
    inner: Mutex<BrokerState>,
}

struct BrokerState {
    log: DropInBackground<EventLog>,
    watchers: HashMap<u64, Watcher>,
    /// Watchers of all events.
    all: Vec<u64>,
    /// Watchers by the uid that they name.
    by_subject: HashMap<u128, Vec<u64>>,
    next: u64,
    closed: bool,
}

struct Watcher {
    queue: mpsc::Sender<Chunk>,
    wanted: EventFilter,
    /// What the watcher has received from the window already.
    from: ResumeToken,
    end: Arc<OnceLock<WatchEnd>>,
}

/// A watcher that has caught up.
pub(crate) struct LiveWatch {
    /// Its number in the broker.
    pub id: u64,
    /// The responses to send.
    pub queue: mpsc::Receiver<Chunk>,
    /// Why the queue ended, once it has.
    pub end: Arc<OnceLock<WatchEnd>>,
}

/// The next step of a watcher that catches up.
pub(crate) enum CatchUp {
    /// More of the window.
    Piece(Chunk),
    /// It has caught up, and gets further events through the queue.
    Live(LiveWatch),
}

impl EventBroker {
    /// A broker with the history that was loaded. `at` is the newest commit, and `compacted` is the
    /// newest commit whose events are gone.
    pub(crate) fn new(
        generation: u64,
        at: Commit,
        compacted: Commit,
        history: impl IntoIterator<Item = (Commit, Arc<EventsRecord>)>,
    ) -> EventBroker {
        let mut log = EventLog::new(generation, at);
        let history = history.into_iter();
        log.load(compacted, history.map(|(commit, record)| Encoded::later(generation, commit, record)));
        let inner = BrokerState {
            log: DropInBackground::new(log),
            watchers: HashMap::new(),
            all: Vec::new(),
            by_subject: HashMap::new(),
            next: 0,
            closed: false,
        };
        EventBroker { inner: Mutex::new(inner) }
    }

    /// Adds a commit: encodes its events once and hands them to the watchers that want them.
    pub(crate) fn publish(
        &self,
        generation: u64,
        commit: Commit,
        record: Option<&EventsRecord>,
        forget_through: Commit,
    ) {
        let encoded = record.map(|record| Encoded::new(generation, record));
        let mut inner = self.lock();
        if let Some(encoded) = &encoded {
            inner.fan_out(generation, encoded);
        }
        inner.log.push(commit, encoded);
        inner.log.forget(forget_through);
    }

    /// The token of a watch that begins now.
    pub(crate) fn head(&self) -> ResumeToken {
        self.lock().log.head()
    }

    /// The token of a watch that begins with the oldest kept event.
    pub(crate) fn oldest(&self) -> ResumeToken {
        self.lock().log.oldest()
    }

    /// Checks that a watch can begin at `from`. `newest` is the newest commit that a reader may
    /// have been shown.
    pub(crate) fn check(&self, from: ResumeToken, newest: Commit) -> Result<(), OutOfRange> {
        self.lock().log.check(from, newest)
    }

    /// The next step of a watcher that has seen everything up to `from`.
    pub(crate) fn next(&self, from: ResumeToken, wanted: &EventFilter) -> Result<CatchUp, OutOfRange> {
        let mut inner = self.lock();
        inner.log.check(from, from.commit)?;
        if let Some(chunk) = inner.log.page(from, wanted) {
            return Ok(CatchUp::Piece(chunk));
        }
        Ok(CatchUp::Live(inner.admit(from, wanted)))
    }

    /// Removes a watcher that went away.
    pub(crate) fn leave(&self, id: u64) {
        self.lock().remove(id);
    }

    /// Ends every present and later watch, each with a token to resume from.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.all.clear();
        inner.by_subject.clear();
        for (_, watcher) in inner.watchers.drain() {
            let _ = watcher.end.set(WatchEnd::Shutdown);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BrokerState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BrokerState {
    fn admit(&mut self, from: ResumeToken, wanted: &EventFilter) -> LiveWatch {
        let id = self.next;
        self.next += 1;
        let (queue, receiver) = mpsc::channel(WATCHER_QUEUE);
        let end = Arc::new(OnceLock::new());
        if self.closed {
            let _ = end.set(WatchEnd::Shutdown);
            return LiveWatch { id, queue: receiver, end };
        }
        match wanted {
            None => self.all.push(id),
            Some(uids) => {
                for uid in uids.iter() {
                    self.by_subject.entry(*uid).or_default().push(id);
                }
            }
        }
        self.watchers.insert(id, Watcher { queue, wanted: wanted.clone(), from, end: end.clone() });
        LiveWatch { id, queue: receiver, end }
    }

    fn remove(&mut self, id: u64) -> Option<Watcher> {
        let watcher = self.watchers.remove(&id)?;
        match &watcher.wanted {
            None => self.all.retain(|other| *other != id),
            Some(uids) => {
                for uid in uids.iter() {
                    if let Some(ids) = self.by_subject.get_mut(uid) {
                        ids.retain(|other| *other != id);
                        if ids.is_empty() {
                            self.by_subject.remove(uid);
                        }
                    }
                }
            }
        }
        Some(watcher)
    }

    fn fan_out(&mut self, generation: u64, encoded: &Encoded) {
        let position = ResumeToken::after(generation, encoded.commit);
        let mut pieces: BTreeMap<u64, Vec<prost::bytes::Bytes>> = BTreeMap::new();
        if !self.by_subject.is_empty() {
            for (index, subject) in encoded.subjects().enumerate() {
                for id in self.by_subject.get(&subject).into_iter().flatten() {
                    pieces.entry(*id).or_default().push(encoded.event(index));
                }
            }
        }
        for id in &self.all {
            pieces.insert(*id, chosen(encoded, None, &None));
        }
        for (id, events) in pieces {
            self.send(id, Chunk { events, position });
        }
    }

    fn send(&mut self, id: u64, chunk: Chunk) {
        let Some(watcher) = self.watchers.get(&id) else { return };
        // The watch began at a commit that readers saw in the view before its events came here.
        if chunk.position <= watcher.from {
            return;
        }
        if watcher.queue.try_send(chunk).is_err()
            && let Some(watcher) = self.remove(id)
        {
            let _ = watcher.end.set(WatchEnd::TooSlow);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use muster_types::{Event, Subject, WallTime, WorkerState, WorkerUid};

    const GENERATION: u64 = 1;

    fn record(commit: u64, workers: &[u128]) -> EventsRecord {
        let event = |uid: &u128| Event {
            time: WallTime(commit),
            message: String::new(),
            subject: Subject::Worker {
                name: format!("w{uid}").as_str().into(),
                uid: WorkerUid(*uid),
                state: WorkerState::Alive,
                draining: false,
            },
        };
        EventsRecord { commit: Commit(commit), events: workers.iter().map(event).collect() }
    }

    fn broker(commits: &[(u64, &[u128])]) -> EventBroker {
        let broker = EventBroker::new(GENERATION, Commit(0), Commit(0), []);
        for (commit, workers) in commits {
            publish(&broker, *commit, workers);
        }
        broker
    }

    fn publish(broker: &EventBroker, commit: u64, workers: &[u128]) {
        let record = record(commit, workers);
        let record = (!workers.is_empty()).then_some(&record);
        broker.publish(GENERATION, Commit(commit), record, Commit(0));
    }

    fn after(commit: u64) -> ResumeToken {
        ResumeToken::after(GENERATION, Commit(commit))
    }

    fn only(uids: &[u128]) -> EventFilter {
        Some(Arc::new(uids.iter().copied().collect::<HashSet<_>>()))
    }

    /// The names in a piece, in order.
    fn names(chunk: &Chunk) -> Vec<String> {
        use muster_proto::v1;
        use prost::Message;
        let mut buffer = Vec::new();
        chunk.encode(&mut buffer);
        let response = v1::WatchEventsResponse::decode(&*buffer).unwrap();
        assert_eq!(response.resume_token, chunk.position.to_string());
        let name = |event: v1::Event| match event.subject {
            Some(v1::event::Subject::Worker(worker)) => worker.name,
            other => panic!("{other:?}"),
        };
        response.events.into_iter().map(name).collect()
    }

    fn live(next: Result<CatchUp, OutOfRange>) -> LiveWatch {
        match next.unwrap() {
            CatchUp::Live(live) => live,
            CatchUp::Piece(chunk) => panic!("{chunk:?}"),
        }
    }

    fn chunk(next: Result<CatchUp, OutOfRange>) -> Chunk {
        match next.unwrap() {
            CatchUp::Piece(chunk) => chunk,
            CatchUp::Live(_) => panic!("live"),
        }
    }

    #[test]
    fn goes_on_in_the_middle_of_a_commit() {
        let broker = broker(&[(1, &[1]), (3, &[1, 2, 3]), (4, &[4])]);
        let from = ResumeToken { generation: GENERATION, commit: Commit(3), index: 1 };
        let rest = chunk(broker.next(from, &None));
        assert_eq!((names(&rest), rest.position), (vec!["w3".to_owned(), "w4".to_owned()], after(4)));
        let named = chunk(broker.next(from, &only(&[1, 3])));
        assert_eq!((names(&named), named.position), (vec!["w3".to_owned()], after(4)));
    }

    #[test]
    fn a_quiet_commit_moves_the_head() {
        let broker = broker(&[(1, &[1]), (2, &[])]);
        assert_eq!(broker.head(), after(2));
        let rest = chunk(broker.next(after(1), &None));
        assert_eq!((names(&rest), rest.position), (vec![], after(2)));
        live(broker.next(after(2), &None));
    }

    #[test]
    fn one_who_names_ids_is_told_of_them_alone() {
        let broker = broker(&[(1, &[1])]);
        let mut named = live(broker.next(after(1), &only(&[2, 5])));
        let mut all = live(broker.next(after(1), &None));
        publish(&broker, 2, &[1, 3]);
        publish(&broker, 3, &[2, 1, 5]);
        assert_eq!(names(&named.queue.try_recv().unwrap()), ["w2", "w5"]);
        assert!(named.queue.try_recv().is_err());
        assert_eq!(names(&all.queue.try_recv().unwrap()), ["w1", "w3"]);
        broker.leave(named.id);
        assert!(broker.lock().by_subject.is_empty());
    }

    #[test]
    fn one_who_was_shown_more_than_is_here_hears_only_what_follows() {
        // A reader saw commit 2 in the view before its events came here.
        let broker = broker(&[(1, &[1])]);
        assert_eq!(broker.check(after(2), Commit(2)), Ok(()));
        let mut watcher = live(broker.next(after(2), &None));
        publish(&broker, 2, &[2]);
        publish(&broker, 3, &[3]);
        assert_eq!(names(&watcher.queue.try_recv().unwrap()), ["w3"]);
    }

    #[test]
    fn a_slow_one_is_cut_off() {
        let broker = broker(&[]);
        let mut slow = live(broker.next(after(0), &None));
        for commit in 1..=WATCHER_QUEUE as u64 + 1 {
            publish(&broker, commit, &[1]);
        }
        let mut read = 0;
        while slow.queue.try_recv().is_ok() {
            read += 1;
        }
        assert_eq!((read, slow.end.get()), (WATCHER_QUEUE, Some(&WatchEnd::TooSlow)));
        assert!(broker.lock().watchers.is_empty());
    }

    #[test]
    fn what_is_forgotten_is_out_of_range() {
        let broker = broker(&[(1, &[1]), (2, &[2])]);
        broker.publish(GENERATION, Commit(3), Some(&record(3, &[3])), Commit(2));
        let range = OutOfRange { oldest: after(2), current: after(3) };
        assert_eq!(broker.check(after(1), Commit(3)), Err(range));
        assert_eq!(broker.check(after(4), Commit(3)), Err(range), "of the future");
        assert_eq!(broker.check(ResumeToken::after(2, Commit(2)), Commit(3)), Err(range), "of another history");
        assert_eq!(names(&chunk(broker.next(broker.oldest(), &None))), ["w3"]);
    }

    #[test]
    fn what_was_loaded_is_told_like_what_was_published() {
        let history = [(1, [1, 2]), (2, [2, 3])];
        let published = broker(&history.each_ref().map(|(commit, workers)| (*commit, workers.as_slice())));
        let records = history.map(|(commit, workers)| Arc::new(record(commit, &workers)));
        let loaded = EventBroker::new(GENERATION, Commit(2), Commit(0), records.map(|record| (record.commit, record)));
        for (from, wanted) in [(after(0), None), (after(1), None), (after(0), only(&[2]))] {
            let (first, again) = (chunk(loaded.next(from, &wanted)), chunk(published.next(from, &wanted)));
            assert_eq!((&first.events, first.position), (&again.events, again.position));
            assert!(!first.events.is_empty());
        }
    }
}
