//! A worker that the test plays.

use std::collections::BTreeMap;

use muster_proto::v1;
use muster_types::{
    AllocatedResources, AttemptKey, AttemptState, Capabilities, Exit, Hello, Incarnation, Launch, Outcome, Report,
    Session, WorkerCommand, WorkerUid,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Streaming};
use v1::link_request::Message as Up;
use v1::link_response::Message as Down;
use v1::worker_link_service_client::WorkerLinkServiceClient;

use super::{Master, soon};

/// A worker. Its session is raised with each link.
pub struct FakeWorker {
    pub hello: Hello,
    /// What it shows to the master.
    pub bearer: Option<MetadataValue<Ascii>>,
    sequence: u64,
}

impl FakeWorker {
    pub fn new(name: &str, cores: u32) -> FakeWorker {
        let hello = Hello {
            cluster: None,
            worker: WorkerUid(name.bytes().fold(7, |uid, byte| uid * 257 + u128::from(byte))),
            name: name.into(),
            machine_id: format!("machine-{name}"),
            boot_id: "boot".into(),
            incarnation: Incarnation { counter: 1, random: 1 },
            session: Session(0),
            epoch: None,
            capabilities: Capabilities { tree: true, earlier_ended: true, ..Capabilities::default() },
            total: AllocatedResources { cores, memory: 1 << 40, addresses: BTreeMap::new() },
            labels: BTreeMap::new(),
            variables: Default::default(),
            host: name.into(),
            address: "127.0.0.1:1".into(),
            version: "test".into(),
            key: None,
        };
        FakeWorker { hello, bearer: None, sequence: 0 }
    }

    /// Opens a stream and says hello; nothing more.
    pub async fn dial(&mut self, master: &Master) -> Link {
        self.hello.session = Session(self.hello.session.0 + 1);
        self.dial_again(master).await
    }

    /// Opens a stream without raising the session.
    pub async fn dial_again(&mut self, master: &Master) -> Link {
        let (up, requests) = mpsc::channel(64);
        up.send(v1::LinkRequest { message: Some(Up::Hello(Box::new((&self.hello).into()))) }).await.unwrap();
        let mut client = WorkerLinkServiceClient::<Channel>::new(master.channel().await);
        let mut request = Request::new(ReceiverStream::new(requests));
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        let down = client.link(request).await.unwrap().into_inner();
        Link { up, down, epoch: None, session: self.hello.session, pending: Default::default() }
    }

    /// Says hello to a master that does not lead, and returns its goodbye.
    pub async fn turned_away(&mut self, master: &Master) -> v1::Goodbye {
        let mut link = self.dial(master).await;
        let response = soon("a goodbye", link.down.message()).await.unwrap().unwrap();
        assert_eq!(response.epoch, None, "it has none");
        match response.message {
            Some(Down::Goodbye(goodbye)) => goodbye,
            other => panic!("{other:?}"),
        }
    }

    /// Dials, is welcomed, and sends its inventory.
    pub async fn join(&mut self, master: &Master, inventory: &[Report]) -> Link {
        let mut link = self.dial(master).await;
        let welcome = link.next().await;
        assert!(matches!(welcome, Down::Welcome(_)), "{welcome:?}");
        link.send(Up::Inventory(v1::Inventory {
            attempts: inventory.iter().map(Into::into).collect(),
            complete: true,
        }))
        .await;
        link
    }

    /// A report about a launch.
    pub fn report(&mut self, launch: &Launch, state: AttemptState) -> Report {
        self.sequence += 1;
        let ended = matches!(state, AttemptState::Ended(_));
        Report {
            attempt: launch.attempt,
            sequence: self.sequence,
            state,
            pid: (!ended).then_some(4711),
            started: Some(muster_types::WallTime(1)),
            ended: ended.then_some(muster_types::WallTime(2)),
            resources: launch.resources.clone(),
            id: launch.id.clone(),
        }
    }
}

/// The state of an attempt that exited with this code.
pub fn exited(code: i32) -> AttemptState {
    AttemptState::Ended(Outcome::exited(Exit::Code(code)))
}

/// One stream to a master.
pub struct Link {
    up: mpsc::Sender<v1::LinkRequest>,
    down: Streaming<v1::LinkResponse>,
    epoch: Option<v1::Epoch>,
    session: Session,
    pending: std::collections::VecDeque<WorkerCommand>,
}

impl Link {
    pub async fn send(&self, message: Up) {
        self.up.send(v1::LinkRequest { message: Some(message) }).await.unwrap();
    }

    pub async fn report(&self, reports: &[Report]) {
        self.send(Up::Reports(v1::Reports { reports: reports.iter().map(Into::into).collect() })).await;
    }

    /// The next message. All messages carry the same epoch and this session.
    pub async fn next(&mut self) -> Down {
        self.try_next().await.expect("the stream goes on")
    }

    /// The next message, or `None` when the stream has ended.
    pub async fn try_next(&mut self) -> Option<Down> {
        let response = soon("a message from the master", self.down.message()).await.ok().flatten()?;
        assert_eq!(response.session, self.session.0);
        assert!(response.epoch.is_some());
        assert_eq!(*self.epoch.get_or_insert_with(|| response.epoch.clone().unwrap()), response.epoch.unwrap());
        response.message
    }

    /// The next command. Other messages are skipped.
    pub async fn command(&mut self) -> WorkerCommand {
        loop {
            if let Some(command) = self.pending.pop_front() {
                return command;
            }
            if let Down::Commands(commands) = self.next().await {
                self.pending.extend(commands.into_parts().unwrap().1);
            }
        }
    }

    pub async fn launch(&mut self) -> Launch {
        match self.command().await {
            WorkerCommand::Launch(launch) => (*launch).clone(),
            other => panic!("{other:?}"),
        }
    }

    pub async fn kill(&mut self) -> AttemptKey {
        match self.command().await {
            WorkerCommand::Kill { attempt, .. } => attempt,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until a report is acknowledged.
    pub async fn acknowledged(&mut self, sequence: u64) {
        loop {
            match self.next().await {
                Down::Acknowledgements(reports) if reports.reports.iter().any(|ack| ack.sequence == sequence) => {
                    return;
                }
                Down::Commands(commands) => self.pending.extend(commands.into_parts().unwrap().1),
                _ => {}
            }
        }
    }

    /// The goodbye with which the stream ends.
    pub async fn goodbye(&mut self) -> v1::Goodbye {
        loop {
            if let Down::Goodbye(goodbye) = self.next().await {
                assert!(self.try_next().await.is_none(), "nothing follows the goodbye");
                return goodbye;
            }
        }
    }

    /// Sends a heartbeat, and returns the next message that is neither a command nor an
    /// acknowledgement.
    pub async fn heartbeat(&mut self, number: u64) -> Down {
        self.send(Up::Heartbeat(v1::Heartbeat { number })).await;
        loop {
            match self.next().await {
                Down::Commands(commands) => self.pending.extend(commands.into_parts().unwrap().1),
                Down::Acknowledgements(_) => {}
                other => return other,
            }
        }
    }

    /// Whether a command came during an earlier wait.
    pub fn has_command(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends a heartbeat that must not be answered, and returns the goodbye, which may have come
    /// before.
    pub async fn goodbye_after_heartbeat(&mut self, number: u64) -> v1::Goodbye {
        let _ = self.up.send(v1::LinkRequest { message: Some(Up::Heartbeat(v1::Heartbeat { number })) }).await;
        loop {
            match self.next().await {
                Down::Goodbye(goodbye) => return goodbye,
                Down::HeartbeatAnswer(answer) => panic!("a lost worker was answered: {answer:?}"),
                _ => {}
            }
        }
    }
}
