//! Releases the effects of a transaction, in order, once it and every earlier one are durable.

use std::sync::{Arc, Mutex, PoisonError};

use muster_core::{Answer, Effect, Rejection, ViewUpdate, liveness};
use muster_store::Deadline;
use muster_traces::Traces;
use muster_types::{Commit, EventsRecord};

use super::pending_call::{CallReply, Calls};
use crate::events::{Publication, Publisher};
use crate::link::Links;
use crate::metrics::MasterMetrics;
use crate::sessions::Sessions;
use crate::traced;
use crate::view::View;

/// Where effects go.
pub(crate) struct EffectSinks {
    pub view: Arc<View>,
    pub publisher: Publisher,
    pub links: Arc<Links>,
    pub sessions: Arc<Sessions>,
    pub liveness: Arc<Mutex<liveness::LivenessTable>>,
    /// Until when a worker may be welcomed.
    pub deadline: Deadline,
    pub metrics: Arc<MasterMetrics>,
    pub traces: Traces,
}

impl EffectSinks {
    /// Releases the effects of a transaction, or of none at the newest commit. The view comes
    /// first, so that it contains a caller's own write before the reply is sent.
    pub(crate) fn release(&self, commit: Commit, effects: Vec<Effect>, calls: &mut Calls) {
        let mut shows = Vec::with_capacity(effects.len());
        let mut rest = Vec::with_capacity(effects.len());
        for effect in effects {
            match effect {
                Effect::UpdateView(show) => shows.push(show),
                effect => rest.push(effect),
            }
        }
        let mut ended = Vec::new();
        for show in &shows {
            match show {
                ViewUpdate::ApplicationGone(uid) => self.sessions.forget(*uid),
                ViewUpdate::Application(application) if application.record.state.is_terminal() => {
                    ended.push(application.record.uid);
                }
                _ => {}
            }
        }
        self.view.advance(commit, shows);
        for effect in rest {
            self.act(commit, effect, calls);
        }
        // After the last event of the session.
        ended.into_iter().for_each(|uid| self.sessions.retire(uid));
    }

    /// Hands the events of a commit to the watchers.
    pub(crate) async fn publish(&self, commit: Commit, record: Option<Arc<EventsRecord>>, forgotten: Commit) {
        if let Some(record) = &record {
            self.metrics.count_ends(&record.events);
            traced::ended(self.traces, &self.view, &record.events);
        }
        self.publisher.publish(Publication { commit, record, forgotten }).await;
    }

    fn act(&self, commit: Commit, effect: Effect, calls: &mut Calls) {
        match effect {
            Effect::Reply(call, answer) => {
                let session = self.open_session(commit, &answer);
                calls.answer(call, CallReply::Answered { answer, session });
            }
            Effect::Welcome(link) => self.links.welcome(link, &self.liveness, &self.deadline),
            Effect::Refuse(link, refusal) => self.links.refuse(link, refusal),
            Effect::Send(link, commands) => self.links.send(link, commands),
            Effect::Acknowledge(link, acknowledged) => self.links.acknowledge(link, acknowledged),
            Effect::Reconnect(link) => self.links.reconnect(link),
            Effect::WorkerLossCommitted(worker) => {
                self.liveness.lock().unwrap_or_else(PoisonError::into_inner).settle(worker)
            }
            Effect::Session(application, session, event) => self.sessions.tell(application, session, commit, event),
            Effect::EndSession(application, session, end) => self.sessions.end(application, session, end),
            Effect::UpdateView(show) => self.view.advance(commit, [show]),
        }
    }

    /// Creates the queue of a session before anything more is released, so that no event falls
    /// between the answer and the queue.
    fn open_session(
        &self,
        commit: Commit,
        answer: &Result<Answer, Rejection>,
    ) -> Option<Box<crate::sessions::OpenedSession>> {
        match answer {
            Ok(Answer::Session(application, session, _)) => {
                Some(Box::new(self.sessions.open(*application, *session, commit)))
            }
            Ok(_) | Err(_) => None,
        }
    }
}
