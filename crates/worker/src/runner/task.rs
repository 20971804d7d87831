//! The task that talks to the runner, and finds or starts the next one when that is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_types::Capabilities;
use tokio::sync::mpsc;

use super::conversation::Conversation;
use super::orders::{ConnectionNumber, RunnerOrder};
use super::start::{Adopted, RunnerStart, adopt_or_start};
use crate::attempts::Attempts;
use crate::launch::pool::{PrepareDone, PrepareJob};
use crate::launch::{AttemptDirectories, ScratchDirectories, in_one_line};
use crate::link::{LinkEvent, LinkHandle};
use crate::logs::Truncations;
use crate::status::AgentStatus;
use crate::traced::TracedAttempts;

/// First pause before a runner is looked for again; it doubles up to [`PAUSE_MAX`]. A runner that
/// dies at each start must not keep the machine busy.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a conversation with the runner works with.
#[derive(Debug)]
pub struct RunnerContext {
    /// Takes the news of runners, inventories and reports.
    pub link: LinkHandle,
    /// The copy of the runner's table.
    pub attempts: Attempts,
    /// Holds what programs are told of the cluster.
    pub status: AgentStatus,
    /// Takes launches to be prepared.
    pub jobs: mpsc::Sender<PrepareJob>,
    /// Gives back prepared launches.
    pub done: mpsc::Receiver<PrepareDone>,
    /// Orders for the runner.
    pub orders: mpsc::Receiver<(ConnectionNumber, RunnerOrder)>,
    /// The directories of the attempts.
    pub layout: Arc<AttemptDirectories>,
    /// Scratch directories of applications that are gone.
    pub scratches: ScratchDirectories,
    /// Counts of truncations, forgotten with their attempts.
    pub truncations: Arc<Truncations>,
    /// Whether limits are asked for.
    pub limits: bool,
    /// Whether logs are bounded in place.
    pub punch_hole: bool,
    /// The spans of attempts.
    pub traced: TracedAttempts,
}

/// The task.
#[derive(Debug)]
pub struct RunnerTask {
    start: RunnerStart,
    context: RunnerContext,
    connection: ConnectionNumber,
}

impl RunnerTask {
    /// A task that has not begun.
    pub fn new(start: RunnerStart, context: RunnerContext) -> RunnerTask {
        RunnerTask { start, context, connection: ConnectionNumber::default() }
    }

    /// Talks to this runner, then to the next, for ever.
    pub async fn run(mut self, first: Adopted) {
        let mut adopted = Some(first);
        let mut pause = PAUSE_MIN;
        loop {
            match adopted.take() {
                Some(runner) => {
                    let began = tokio::time::Instant::now();
                    self.talk(runner).await;
                    if began.elapsed() > PAUSE_MAX {
                        pause = PAUSE_MIN;
                    }
                }
                None => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            match adopt_or_start(&self.start).await {
                Ok(next) => adopted = Some(next),
                Err(error) => tracing::error!(error = in_one_line(&error), "no runner"),
            }
        }
    }

    async fn talk(&mut self, runner: Adopted) {
        self.connection.0 += 1;
        self.context.status.metrics().runner_connections.fetch_add(1, Ordering::Relaxed);
        let hello = &runner.hello;
        tracing::info!(incarnation = %hello.incarnation, pid = hello.pid, tree = hello.capabilities.tree, "adopted the runner");
        let accounts = self.context.layout.accounts();
        let capabilities = Capabilities {
            punch_hole: self.context.punch_hole,
            protected_runner: hello.capabilities.own_users && !accounts.allow_own(),
            owner_users: hello.capabilities.own_users && accounts.separate_owners(),
            ..hello.capabilities.clone()
        };
        let ready = LinkEvent::RunnerReady(self.connection, hello.incarnation, Box::new(capabilities.clone()));
        if self.context.link.send(ready).await.is_err() {
            return std::future::pending().await;
        }
        let error = Conversation::new(self.connection, capabilities, runner, &mut self.context).run().await;
        tracing::error!(error = in_one_line(&error), "the connection to the runner ended");
        self.context.status.change(|status| status.incarnation = None);
        if self.context.link.send(LinkEvent::RunnerGone).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
