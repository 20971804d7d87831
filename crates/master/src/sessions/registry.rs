//! The open sessions, and the events sent to each.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_core::{ApplicationEvent, SessionEnd, SessionNumber};
use muster_proto::v1::ApplicationSessionEvent;
use muster_types::{ApplicationUid, Commit};
use tokio::sync::{mpsc, oneshot};

use super::broken::SessionGuard;
use super::wire::to_wire;
use crate::clock;
use crate::commit::LinkInputs;

/// Events kept per application. A session that resumes from before them gets the state instead.
const RING: usize = 1024;
/// Events that may wait for one session. A session further behind is cut; it resumes from the ring
/// or gets the state.
const SESSION_QUEUE: usize = 1024;
/// A revision is a commit shifted by this many bits, which leaves room for a million events of an
/// application in one commit.
const COMMIT_SHIFT: u32 = 20;

/// One event of a session.
pub(crate) type SessionItem = Arc<ApplicationSessionEvent>;

/// Why a session's stream ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionEnding {
    /// The core ended it.
    Core(SessionEnd),
    /// Its queue was full.
    TooSlow,
    /// The term of this leader is over.
    Shutdown,
}

/// A session that was opened.
#[derive(Debug)]
pub(crate) struct OpenedSession {
    pub session: SessionNumber,
    /// The revision of the state that goes with it.
    pub revision: u64,
    /// Earlier events that are kept.
    pub ring: Vec<SessionItem>,
    /// The ring holds every event behind this revision.
    pub since: u64,
    /// The events that follow.
    pub queue: mpsc::Receiver<SessionItem>,
    /// Why the queue ended.
    pub ending: oneshot::Receiver<SessionEnding>,
    /// Tells the commit loop when the session breaks.
    _broken: SessionGuard,
}

impl OpenedSession {
    /// The events after a revision, or `None` if some are missing.
    pub(crate) fn missed(&self, after: u64) -> Option<&[SessionItem]> {
        if after < self.since || after > self.revision {
            return None;
        }
        let first = self.ring.partition_point(|event| event.revision <= after);
        Some(&self.ring[first..])
    }
}

/// Every application's ring and present session.
pub(crate) struct Sessions {
    inner: Mutex<SessionTable>,
    inputs: LinkInputs,
}

#[derive(Default)]
struct SessionTable {
    channels: HashMap<ApplicationUid, SessionChannel>,
    closed: bool,
}

struct SessionChannel {
    session: SessionNumber,
    ring: VecDeque<SessionItem>,
    /// The ring holds every event behind this revision.
    since: u64,
    /// The newest revision that was assigned.
    last: u64,
    open: Option<OpenQueue>,
    /// Set once the present session broke: the ring may lack events from then on.
    gap: Arc<AtomicBool>,
}

struct OpenQueue {
    queue: mpsc::Sender<SessionItem>,
    ending: oneshot::Sender<SessionEnding>,
}

impl Sessions {
    /// No session yet; `inputs` gets a message when one breaks.
    pub(crate) fn new(inputs: LinkInputs) -> Sessions {
        Sessions { inner: Mutex::default(), inputs }
    }

    /// Opens a session; an older one of the application is cut.
    pub(crate) fn open(&self, application: ApplicationUid, session: SessionNumber, commit: Commit) -> OpenedSession {
        let (queue, receiver) = mpsc::channel(SESSION_QUEUE);
        let (ending, ended) = oneshot::channel();
        let mut inner = self.lock();
        let closed = inner.closed;
        let revision = commit.0 << COMMIT_SHIFT;
        let channel = inner.channels.entry(application).or_insert_with(|| SessionChannel {
            session,
            ring: VecDeque::new(),
            since: revision,
            last: revision,
            open: None,
            gap: Arc::default(),
        });
        channel.close(SessionEnding::Core(SessionEnd::Superseded));
        channel.session = session;
        channel.last = channel.last.max(revision);
        channel.mend();
        if closed {
            let _ = ending.send(SessionEnding::Shutdown);
        } else {
            channel.open = Some(OpenQueue { queue, ending });
        }
        OpenedSession {
            session,
            revision: channel.last,
            ring: channel.ring.iter().cloned().collect(),
            since: channel.since,
            queue: receiver,
            ending: ended,
            _broken: SessionGuard { application, session, inputs: self.inputs.clone(), gap: channel.gap.clone() },
        }
    }

    /// Sends an event to the present session, and keeps it for the next.
    pub(crate) fn tell(
        &self,
        application: ApplicationUid,
        session: SessionNumber,
        commit: Commit,
        event: ApplicationEvent,
    ) {
        let mut inner = self.lock();
        let Some(channel) = inner.channels.get_mut(&application) else { return };
        let revision = channel.last.saturating_add(1).max(commit.0 << COMMIT_SHIFT);
        channel.last = revision;
        let item = Arc::new(to_wire(revision, clock::wall(), &event));
        channel.keep(item.clone());
        if channel.session == session {
            channel.send(item);
        }
    }

    /// Ends a session, if it is still the present one.
    pub(crate) fn end(&self, application: ApplicationUid, session: SessionNumber, end: SessionEnd) {
        let mut inner = self.lock();
        if let Some(channel) = inner.channels.get_mut(&application)
            && channel.session == session
        {
            channel.close(SessionEnding::Core(end));
        }
    }

    /// Drops the ring of an application that has ended, once its session was told: nobody resumes
    /// it, however long its record is kept.
    pub(crate) fn retire(&self, application: ApplicationUid) {
        let mut inner = self.lock();
        if inner.channels.get(&application).is_some_and(|channel| channel.open.is_none()) {
            inner.channels.remove(&application);
        }
    }

    /// Drops what is kept of an application whose record is gone.
    pub(crate) fn forget(&self, application: ApplicationUid) {
        self.lock().channels.remove(&application);
    }

    /// Ends every present and later session.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        for channel in inner.channels.values_mut() {
            channel.close(SessionEnding::Shutdown);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SessionTable> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionChannel {
    /// Clears the ring after a gap, so that a session that resumes from before it gets the state.
    fn mend(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if gap.load(Ordering::Acquire) {
            self.ring.clear();
            self.last += 1;
            self.since = self.last;
        }
    }

    fn keep(&mut self, item: SessionItem) {
        if self.ring.len() == RING
            && let Some(oldest) = self.ring.pop_front()
        {
            self.since = oldest.revision;
        }
        self.ring.push_back(item);
    }

    fn send(&mut self, item: SessionItem) {
        if let Some(open) = &self.open
            && open.queue.try_send(item).is_err()
        {
            self.close(SessionEnding::TooSlow);
        }
    }

    fn close(&mut self, ending: SessionEnding) {
        if let Some(open) = self.open.take() {
            let _ = open.ending.send(ending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_types::ApplicationState;

    const A: ApplicationUid = ApplicationUid(1);

    fn sessions() -> (Sessions, mpsc::Receiver<muster_core::Input>) {
        let (inputs, broken) = mpsc::channel(8);
        (Sessions::new(inputs), broken)
    }

    fn event() -> ApplicationEvent {
        ApplicationEvent::ApplicationEnded {
            state: ApplicationState::Finished,
            by: String::new(),
            message: String::new(),
        }
    }

    fn revisions(items: &[SessionItem]) -> Vec<u64> {
        items.iter().map(|item| item.revision).collect()
    }

    #[test]
    fn a_session_that_supersedes_another_resumes_without_a_gap() {
        let (sessions, _broken) = sessions();
        let first = sessions.open(A, SessionNumber(1), Commit(5));
        sessions.tell(A, SessionNumber(1), Commit(5), event());
        sessions.tell(A, SessionNumber(1), Commit(7), event());
        let seen = first.revision + 1;
        sessions.tell(A, SessionNumber(1), Commit(7), event());
        let second = sessions.open(A, SessionNumber(2), Commit(7));
        assert_eq!(revisions(second.missed(seen).unwrap()), [7 << 20, (7 << 20) + 1]);
        assert_eq!(second.missed(second.revision).unwrap().len(), 0);
        assert_eq!(second.missed(second.revision + 1), None, "of the future");
        assert_eq!(second.missed(1), None, "of before this leader");
    }

    #[test]
    fn behind_a_session_that_broke_comes_the_state() {
        let (sessions, mut broken) = sessions();
        let first = sessions.open(A, SessionNumber(1), Commit(5));
        sessions.tell(A, SessionNumber(1), Commit(5), event());
        let seen = first.revision + 1;
        drop(first);
        assert!(matches!(broken.try_recv(), Ok(muster_core::Input::SessionBroken(A, SessionNumber(1)))));
        let second = sessions.open(A, SessionNumber(2), Commit(5));
        assert_eq!(second.missed(seen), None);
        assert_eq!(second.missed(second.revision).map(<[SessionItem]>::len), Some(0));
    }

    #[test]
    fn nothing_is_kept_of_what_an_ended_application_was_told() {
        let (sessions, _broken) = sessions();
        let mut opened = sessions.open(A, SessionNumber(1), Commit(5));
        sessions.tell(A, SessionNumber(1), Commit(5), event());
        sessions.retire(A);
        assert_eq!(sessions.lock().channels.len(), 1, "it has not heard all");
        sessions.end(A, SessionNumber(1), SessionEnd::Ended);
        sessions.retire(A);
        assert_eq!(sessions.lock().channels.len(), 0);
        assert!(opened.queue.try_recv().is_ok());
        assert_eq!(opened.ending.try_recv(), Ok(SessionEnding::Core(SessionEnd::Ended)));
    }

    #[test]
    fn a_newer_session_cuts_the_older() {
        let (sessions, _broken) = sessions();
        let mut first = sessions.open(A, SessionNumber(1), Commit(5));
        let mut second = sessions.open(A, SessionNumber(2), Commit(6));
        assert_eq!(first.ending.try_recv(), Ok(SessionEnding::Core(SessionEnd::Superseded)));
        sessions.tell(A, SessionNumber(2), Commit(6), event());
        assert!(first.queue.try_recv().is_err());
        assert_eq!(second.queue.try_recv().unwrap().revision, (6 << 20) + 1);
    }

    #[test]
    fn a_slow_session_is_cut_and_the_ring_is_bounded() {
        let (sessions, _broken) = sessions();
        let mut opened = sessions.open(A, SessionNumber(1), Commit(5));
        for _ in 0..=SESSION_QUEUE {
            sessions.tell(A, SessionNumber(1), Commit(6), event());
        }
        assert_eq!(opened.ending.try_recv(), Ok(SessionEnding::TooSlow));
        let again = sessions.open(A, SessionNumber(2), Commit(6));
        assert_eq!(again.ring.len(), RING);
        assert_eq!(again.missed(opened.revision), None, "the oldest has fallen out");
    }
}
