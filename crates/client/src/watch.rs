//! Watches that outlive their streams.

use std::collections::VecDeque;

use muster_proto::v1;
use tonic::Status;

use crate::master::master;
use crate::{CallError, Client, MessageStream, RetryState};

/// Events in order, without a gap or a repetition, through failovers. Nothing is read ahead: a slow
/// reader slows down its own stream.
#[derive(Debug)]
pub struct EventWatch {
    client: Client,
    request: v1::WatchEventsRequest,
    stream: Option<MessageStream<v1::WatchEventsResponse>>,
    waiting: VecDeque<v1::Event>,
    /// The resume token behind the events in `waiting`.
    after_waiting: String,
    retry_state: RetryState,
}

impl Client {
    /// Follows events from the request's token; without one, from now or from the oldest event. The
    /// stream opens with the first read.
    pub fn watch_events(&self, request: v1::WatchEventsRequest) -> EventWatch {
        EventWatch {
            client: self.clone(),
            request,
            stream: None,
            waiting: VecDeque::new(),
            after_waiting: String::new(),
            retry_state: RetryState::new(self.options.deadline),
        }
    }
}

impl EventWatch {
    /// The token behind the last event that was handed out, with which a later watch resumes. Empty
    /// before anything is received, unless the request had one.
    pub fn resume_token(&self) -> &str {
        &self.request.resume_token
    }

    /// Opens the stream now, so that everything that happens after this returns is seen. Otherwise
    /// the first read opens it.
    pub async fn open(&mut self) -> Result<(), CallError> {
        if self.stream.is_none() {
            let send = |channel, request| async move { master(channel).watch_events(request).await };
            self.stream = Some(self.client.open("WatchEvents", self.request.clone(), send).await?);
            self.retry_state.opened();
        }
        Ok(())
    }

    /// The next event. An error ends the watch: its token is no longer kept
    /// ([`CallError::is_compacted`]), or no master answered for longer than the client's deadline.
    /// Cancel-safe: no event is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<v1::Event, CallError> {
        loop {
            if let Some(event) = self.take_waiting() {
                return Ok(event);
            }
            self.open().await?;
            let Some(stream) = &mut self.stream else { continue };
            match stream.message().await {
                Ok(Some(response)) => self.received(response),
                Ok(None) => self.broken(None).await?,
                Err(status) => self.broken(Some(status)).await?,
            }
        }
    }

    fn take_waiting(&mut self) -> Option<v1::Event> {
        let event = self.waiting.pop_front()?;
        let token = if self.waiting.is_empty() { &self.after_waiting } else { &event.resume_token };
        if !token.is_empty() {
            self.request.resume_token.clone_from(token);
        }
        Some(event)
    }

    fn received(&mut self, response: v1::WatchEventsResponse) {
        self.retry_state.over();
        self.waiting = response.events.into();
        self.after_waiting = response.resume_token;
        if self.after_waiting.is_empty() {
            if let Some(last) = self.waiting.back() {
                self.after_waiting.clone_from(&last.resume_token);
            }
        } else if self.waiting.is_empty() {
            self.request.resume_token.clone_from(&self.after_waiting);
        }
    }

    /// The stream ended. Waits before the next read opens another one, or returns the error if a
    /// retry is of no use.
    async fn broken(&mut self, status: Option<Status>) -> Result<(), CallError> {
        self.stream = None;
        let wait = self.retry_state.broke(status).map_err(|status| CallError::of_read("WatchEvents", status))?;
        tokio::time::sleep(wait).await;
        Ok(())
    }
}
