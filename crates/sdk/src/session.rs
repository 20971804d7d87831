//! The session of an application: a stream that stays open across changes of the leader.

use std::time::Duration;

use muster_client::{CallError, Client, RetryState, v1};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The most events that wait for a slow reader. A reader further behind than this and the master's
/// own queue gets the state anew.
const WAITING: usize = 256;
/// How long masters may be unreachable before a session gives up: as long as the longest grace, so
/// that the master decides.
const LONGEST_OUTAGE: Duration = Duration::from_secs(24 * 3600);

/// An item of a session.
#[derive(Debug, Clone)]
pub enum SessionEvent {
    /// All executors that have not ended. It comes first, and again when events were missed and are
    /// no longer kept: an executor that is not in it has ended.
    State(Vec<v1::Executor>),
    /// An event since the last state.
    Event(Box<v1::ApplicationSessionEvent>),
}

/// An open session. It resumes by itself within the application's grace, even when nobody reads it.
/// The grace begins when it is dropped.
#[derive(Debug)]
pub struct ApplicationSession {
    events: mpsc::Receiver<Result<SessionEvent, CallError>>,
    keeper: JoinHandle<()>,
}

impl ApplicationSession {
    pub(crate) fn open(client: Client, request: v1::WatchApplicationRequest) -> ApplicationSession {
        let (sender, events) = mpsc::channel(WAITING);
        let keeper = SessionTask { client: client.with_deadline(LONGEST_OUTAGE), request, sender };
        ApplicationSession { events, keeper: tokio::spawn(keeper.run()) }
    }

    /// The next item; `None` when the application has ended. An error ends the session: a newer one
    /// was opened or the driver's attempt is closed ([`CallError::is_fenced`]), or the application
    /// is no longer known. The future may be dropped and the method called again.
    pub async fn next(&mut self) -> Result<Option<SessionEvent>, CallError> {
        self.events.recv().await.transpose()
    }
}

impl Drop for ApplicationSession {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// The task that keeps the stream open.
struct SessionTask {
    client: Client,
    request: v1::WatchApplicationRequest,
    sender: mpsc::Sender<Result<SessionEvent, CallError>>,
}

/// What to do after a stream.
enum AfterStream {
    Reopen,
    Stop,
}

impl SessionTask {
    async fn run(mut self) {
        let mut outage = RetryState::new(LONGEST_OUTAGE);
        loop {
            match self.follow(&mut outage).await {
                Ok(AfterStream::Reopen) => {}
                Ok(AfterStream::Stop) => return,
                Err(error) => {
                    // An error means that nobody reads the session any more.
                    let _ = self.sender.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// Opens one stream and passes on its items until it ends.
    async fn follow(&mut self, outage: &mut RetryState) -> Result<AfterStream, CallError> {
        let mut stream = self.client.watch_application(self.request.clone()).await?;
        outage.opened();
        let mut ended = false;
        let status = loop {
            match stream.message().await {
                Ok(Some(response)) => {
                    outage.over();
                    ended |= response.events.iter().any(says_ended);
                    if !self.hand_on(response).await {
                        return Ok(AfterStream::Stop);
                    }
                }
                Ok(None) if ended => return Ok(AfterStream::Stop),
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        let wait = outage.broke(status).map_err(|status| CallError::of_read("WatchApplication", status))?;
        tokio::time::sleep(wait).await;
        Ok(AfterStream::Reopen)
    }

    /// Passes on a response; returns false when nobody reads the session any more.
    async fn hand_on(&mut self, response: v1::WatchApplicationResponse) -> bool {
        if response.is_snapshot {
            // The revision of a snapshot replaces ours, even if the master's revisions began anew.
            self.request.resume_revision = response.revision;
        }
        if response.is_snapshot && self.sender.send(Ok(SessionEvent::State(response.snapshot))).await.is_err() {
            return false;
        }
        for event in response.events {
            self.request.resume_revision = self.request.resume_revision.max(event.revision);
            if self.sender.send(Ok(SessionEvent::Event(Box::new(event)))).await.is_err() {
                return false;
            }
        }
        self.request.resume_revision = self.request.resume_revision.max(response.revision);
        true
    }
}

fn says_ended(event: &v1::ApplicationSessionEvent) -> bool {
    matches!(event.event, Some(v1::application_session_event::Event::ApplicationEnded(_)))
}
