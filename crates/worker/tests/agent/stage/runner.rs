//! A runner that runs nothing: it reads what the agent sends, and says what the test wants.

use std::path::Path;

use muster_agent::runner_protocol::*;
use muster_types::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{incarnation, soon};

pub(crate) struct Runner(UnixListener);

impl Runner {
    pub(crate) fn listen(state_dir: &Path) -> Runner {
        Runner(UnixListener::bind(state_dir.join(SOCKET_NAME)).expect("a socket"))
    }

    /// The next agent, after its hello. Its own question for the inventory is answered with
    /// nothing.
    pub(crate) async fn adopted(&self) -> Talk {
        self.adopted_as(incarnation()).await
    }

    pub(crate) async fn adopted_as(&self, incarnation: Incarnation) -> Talk {
        self.adopted_with(incarnation, VERSION).await
    }

    /// The next agent, to which this runner speaks this version.
    pub(crate) async fn adopted_with(&self, incarnation: Incarnation, version: u32) -> Talk {
        let (stream, _) = soon("an agent", self.0.accept()).await.expect("accepted");
        let mut talk = Talk { stream, reader: FrameReader::default() };
        assert_eq!(
            talk.next().await,
            Some(ToRunner::Hello(AgentHello { version_min: VERSION_MIN, version_max: VERSION }))
        );
        talk.say(ToAgent::Hello(Box::new(RunnerHello {
            version,
            incarnation,
            boot_id: "boot".into(),
            capabilities: Capabilities {
                tree: true,
                memory_limit: true,
                cpu_limit: true,
                pids_limit: true,
                own_users: version >= VERSION_WITH_CREDENTIALS,
                ..Capabilities::default()
            },
            pid: std::process::id(),
            renewal: None,
        })))
        .await;
        assert_eq!(talk.next().await, Some(ToRunner::Inventory(0)));
        talk.say(ToAgent::Inventory { number: 0, reports: vec![], last: true }).await;
        talk
    }
}

/// The connection of one agent.
pub(crate) struct Talk {
    stream: UnixStream,
    reader: FrameReader<ToRunner>,
}

impl Talk {
    /// The agent's next message; pings are answered and renewals skipped. `None` when the agent is
    /// gone.
    pub(crate) async fn next(&mut self) -> Option<ToRunner> {
        loop {
            match self.next_of_all().await? {
                ToRunner::Renew(_) => {}
                message => return Some(message),
            }
        }
    }

    pub(crate) async fn next_of_all(&mut self) -> Option<ToRunner> {
        let mut buffer = [0; 4_096];
        loop {
            match self.reader.take().expect("frames") {
                Some(ToRunner::Ping(number)) => self.say(ToAgent::Pong(number)).await,
                Some(message) => return Some(message),
                None => {
                    let count = soon("the agent", self.stream.read(&mut buffer)).await.expect("readable");
                    if count == 0 {
                        return None;
                    }
                    self.reader.push(&buffer[..count]);
                }
            }
        }
    }

    pub(crate) async fn say(&mut self, message: ToAgent) {
        let mut frame = Vec::new();
        message.append_frame(&mut frame);
        // The agent may be gone.
        let _ = self.stream.write_all(&frame).await;
    }

    pub(crate) async fn report(&mut self, report: Report) {
        self.say(ToAgent::Report(Box::new(report))).await;
    }

    /// Answers the next question for the inventory.
    pub(crate) async fn answer_inventory(&mut self, reports: Vec<Report>) {
        let Some(ToRunner::Inventory(number)) = self.next().await else { panic!("the inventory is asked for") };
        self.say(ToAgent::Inventory { number, reports, last: true }).await;
    }

    /// A launch in the required order: accepted first, then started.
    pub(crate) async fn start(&mut self) -> Start {
        let Some(ToRunner::Accept(accepted)) = self.next().await else { panic!("accepted first") };
        self.report(super::report(accepted.attempt, 1, AttemptState::Accepted)).await;
        let Some(ToRunner::Start(start)) = self.next().await else { panic!("then started") };
        assert_eq!(start.accepted, accepted);
        *start
    }
}
