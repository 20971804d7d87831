//! The open links, by worker and session.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use muster_core::liveness::{self, Heartbeat};
use muster_core::{HelloRefusal, LinkId};
use muster_store::Deadline;
use muster_types::{Acknowledgement, Session, Time, WallTime, WorkerCommand, WorkerUid};
use tokio::sync::{mpsc, watch};

use super::downlink::{Downlink, Goodbye, say};
use crate::clock;

/// Messages that wait for one worker. One of them may carry many commands; a link that is this far
/// behind is stuck, and is cut.
pub(crate) const WORK_QUEUE: usize = 256;

/// The commit loop's side of a link.
#[derive(Debug)]
struct LinkSender {
    work: mpsc::Sender<Downlink>,
    goodbye: Arc<watch::Sender<Option<Goodbye>>>,
    /// When its hello was read; the worker timeout counts from then.
    received: Time,
    heard: Arc<AtomicU64>,
}

/// The side of a link that its own tasks hold.
#[derive(Debug)]
pub(crate) struct Registration {
    /// Messages for the writer.
    pub work: mpsc::Receiver<Downlink>,
    /// Ends the link with a last message.
    pub goodbye: Arc<watch::Sender<Option<Goodbye>>>,
    /// Wall time of the last heartbeat, for people.
    pub heard: Arc<AtomicU64>,
}

/// Every open link. A message to a link that is gone is dropped.
#[derive(Debug, Default)]
pub(crate) struct Links {
    inner: Mutex<LinkTable>,
}

#[derive(Debug, Default)]
struct LinkTable {
    workers: HashMap<WorkerUid, HashMap<Session, LinkSender>>,
    /// The goodbye for links that come after `close`.
    closed: Option<Goodbye>,
}

impl Links {
    /// Registers a link before its hello is queued. It is refused if a link of the same worker and
    /// session is open, because the core could not tell the two apart. The open link goes on.
    pub(crate) fn register(&self, link: LinkId, received: Time) -> Result<Registration, Goodbye> {
        let mut inner = self.lock();
        if let Some(goodbye) = &inner.closed {
            return Err(goodbye.clone());
        }
        if inner.workers.get(&link.worker).is_some_and(|sessions| sessions.contains_key(&link.session)) {
            return Err(Goodbye::refused(HelloRefusal::OldSession));
        }
        let (sender, work) = mpsc::channel(WORK_QUEUE);
        let goodbye = Arc::new(watch::channel(None).0);
        let heard = Arc::new(AtomicU64::new(clock::wall().0));
        let handle = LinkSender { work: sender, goodbye: goodbye.clone(), received, heard: heard.clone() };
        inner.workers.entry(link.worker).or_default().insert(link.session, handle);
        Ok(Registration { work, goodbye, heard })
    }

    /// Removes a link that has ended.
    pub(crate) fn unregister(&self, link: LinkId) {
        let mut inner = self.lock();
        if let Some(sessions) = inner.workers.get_mut(&link.worker) {
            sessions.remove(&link.session);
            if sessions.is_empty() {
                inner.workers.remove(&link.worker);
            }
        }
    }

    /// The core has taken a hello. Cuts older streams of the worker, enters the worker in the
    /// liveness table, checks the leadership deadline, and then welcomes the worker. The order
    /// matters, because a welcome renews the lease like the answer to a heartbeat.
    pub(crate) fn welcome(&self, link: LinkId, table: &Mutex<liveness::LivenessTable>, deadline: &Deadline) {
        let inner = self.lock();
        let Some(sessions) = inner.workers.get(&link.worker) else { return };
        for (session, older) in sessions {
            if *session < link.session {
                older.end(Goodbye::Superseded);
            }
        }
        let Some(handle) = sessions.get(&link.session) else { return };
        let answer =
            table.lock().unwrap_or_else(PoisonError::into_inner).welcome(link.worker, link.session, handle.received);
        match answer {
            Heartbeat::Ack if deadline.stands(clock::boottime()) => handle.send(Downlink::Welcome),
            Heartbeat::Ack | Heartbeat::Reconnect => handle.end(Goodbye::SayHello),
        }
    }

    /// Ends a link whose hello the core refused.
    pub(crate) fn refuse(&self, link: LinkId, refusal: HelloRefusal) {
        self.with(link, |handle| handle.end(Goodbye::refused(refusal)));
    }

    /// Queues commands, in order.
    pub(crate) fn send(&self, link: LinkId, commands: Vec<WorkerCommand>) {
        self.with(link, |handle| handle.send(Downlink::Commands(commands, SystemTime::now())));
    }

    /// Acknowledges durable reports.
    pub(crate) fn acknowledge(&self, link: LinkId, acknowledged: Vec<Acknowledgement>) {
        self.with(link, |handle| handle.send(Downlink::Acknowledge(acknowledged)));
    }

    /// Ends a link, so that the worker says hello again.
    pub(crate) fn reconnect(&self, link: LinkId) {
        self.with(link, |handle| handle.end(Goodbye::SayHello));
    }

    /// How many workers have a link.
    pub(crate) fn count(&self) -> usize {
        self.lock().workers.len()
    }

    /// When a worker was last heard; `None` while it has no link.
    pub(crate) fn last_heard(&self, worker: WorkerUid) -> Option<WallTime> {
        let inner = self.lock();
        let sessions = inner.workers.get(&worker)?;
        sessions.values().map(|handle| WallTime(handle.heard.load(Ordering::Relaxed))).max()
    }

    /// Ends every link, and refuses later ones.
    pub(crate) fn close(&self, goodbye: &Goodbye) {
        let mut inner = self.lock();
        inner.closed = Some(goodbye.clone());
        for handle in inner.workers.values().flat_map(HashMap::values) {
            handle.end(goodbye.clone());
        }
    }

    fn with(&self, link: LinkId, act: impl FnOnce(&LinkSender)) {
        let inner = self.lock();
        if let Some(handle) = inner.workers.get(&link.worker).and_then(|sessions| sessions.get(&link.session)) {
            act(handle);
        }
    }

    fn lock(&self) -> MutexGuard<'_, LinkTable> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LinkSender {
    /// Queues a message. If the queue is full, the link is cut, and the worker says hello again.
    fn send(&self, down: Downlink) {
        if self.work.try_send(down).is_err() {
            self.end(Goodbye::SayHello);
        }
    }

    fn end(&self, goodbye: Goodbye) {
        say(&self.goodbye, goodbye);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(session: u64) -> LinkId {
        LinkId { worker: WorkerUid(1), session: Session(session) }
    }

    #[test]
    fn a_duplicate_session_is_not_entered_and_leaves_the_first_alone() {
        let links = Links::default();
        let first = links.register(link(1), Time(0)).unwrap();
        assert_eq!(links.register(link(1), Time(0)).unwrap_err(), Goodbye::refused(HelloRefusal::OldSession));
        assert_eq!(*first.goodbye.borrow(), None);
        links.unregister(link(1));
        assert!(links.register(link(1), Time(0)).is_ok());
    }

    #[test]
    fn one_that_comes_too_late_is_sent_away() {
        let links = Links::default();
        let open = links.register(link(1), Time(0)).unwrap();
        links.close(&Goodbye::Shutdown);
        assert_eq!(*open.goodbye.borrow(), Some(Goodbye::Shutdown));
        assert_eq!(links.register(link(2), Time(0)).unwrap_err(), Goodbye::Shutdown);
    }

    #[test]
    fn a_welcome_cuts_older_streams() {
        let (links, table) = (Links::default(), Mutex::new(liveness::LivenessTable::new()));
        let older = links.register(link(1), Time(0)).unwrap();
        let mut newer = links.register(link(2), Time(0)).unwrap();
        links.welcome(link(2), &table, &Deadline::never());
        assert_eq!(*older.goodbye.borrow(), Some(Goodbye::Superseded));
        assert!(matches!(newer.work.try_recv(), Ok(Downlink::Welcome)));
    }

    #[test]
    fn a_leader_past_its_deadline_welcomes_nobody() {
        let (links, table) = (Links::default(), Mutex::new(liveness::LivenessTable::new()));
        let mut open = links.register(link(1), Time(0)).unwrap();
        let (keeper, deadline) = Deadline::moving(Time(u64::MAX));
        keeper.end();
        links.welcome(link(1), &table, &deadline);
        assert!(open.work.try_recv().is_err());
        assert_eq!(*open.goodbye.borrow(), Some(Goodbye::SayHello));
    }

    #[test]
    fn a_link_that_is_behind_is_cut() {
        let links = Links::default();
        let stuck = links.register(link(1), Time(0)).unwrap();
        for _ in 0..WORK_QUEUE {
            links.send(link(1), Vec::new());
        }
        assert_eq!(*stuck.goodbye.borrow(), None);
        links.send(link(1), Vec::new());
        assert_eq!(*stuck.goodbye.borrow(), Some(Goodbye::SayHello));
        links.refuse(link(1), HelloRefusal::Forgotten);
        assert_eq!(*stuck.goodbye.borrow(), Some(Goodbye::SayHello), "the first goodbye stands");
    }
}
