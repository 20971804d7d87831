//! A master that says what the test wants.

use std::sync::atomic::Ordering;
use std::time::Duration;

use muster_proto::v1;
use muster_proto::v1::link_request::Message as Up;
use muster_proto::v1::link_response::Message as Down;
use muster_proto::v1::worker_link_service_server::{WorkerLinkService, WorkerLinkServiceServer};
use muster_types::*;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use super::leaders::{Leaders, bearer_of};
use super::{incarnation, soon};

pub(crate) struct Master {
    pub(crate) address: String,
    pub(crate) epoch: Epoch,
    pub(crate) cluster: ClusterUid,
    pub(crate) heartbeat: Duration,
    streams: mpsc::Receiver<Opened>,
    leads: Leaders,
    serving: tokio::task::JoinHandle<()>,
}

struct Opened {
    bearer: Option<String>,
    incoming: Streaming<v1::LinkRequest>,
    outgoing: mpsc::Sender<Result<v1::LinkResponse, Status>>,
}

struct Service(mpsc::Sender<Opened>);

#[tonic::async_trait]
impl WorkerLinkService for Service {
    type LinkStream = ReceiverStream<Result<v1::LinkResponse, Status>>;

    async fn link(&self, request: Request<Streaming<v1::LinkRequest>>) -> Result<Response<Self::LinkStream>, Status> {
        let (outgoing, answers) = mpsc::channel(1_024);
        let opened = Opened { bearer: bearer_of(&request), incoming: request.into_inner(), outgoing };
        self.0.send(opened).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

impl Master {
    pub(crate) async fn lead(revision: u64) -> Master {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (opened, streams) = mpsc::channel(16);
        let leads = Leaders::default();
        let server = tonic::transport::Server::builder()
            .add_service(leads.clone())
            .add_service(WorkerLinkServiceServer::new(Service(opened)))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { server.await.expect("it serves") });
        Master {
            address,
            epoch: Epoch { generation: 1, revision, leader: LeaderUid(u128::from(revision)) },
            cluster: ClusterUid(0xC),
            heartbeat: Duration::from_millis(50),
            streams,
            leads,
            serving,
        }
    }

    /// Tells the open watches who leads.
    pub(crate) fn say_leads(&self, leader: &Master, masters: &[&Master]) {
        self.leads.said.send_replace(v1::WatchLeaderResponse {
            leader: leader.address.clone(),
            epoch: Some(leader.epoch.into()),
            masters: masters.iter().map(|master| master.address.clone()).collect(),
        });
    }

    pub(crate) fn say_nobody_leads(&self) {
        self.leads
            .said
            .send_replace(v1::WatchLeaderResponse { masters: vec![self.address.clone()], ..Default::default() });
    }

    /// How many watches are open here.
    pub(crate) fn watches(&self) -> usize {
        self.leads.said.receiver_count()
    }

    /// Ends the open watch, and waits for another one.
    pub(crate) async fn cut_watches(&self) {
        let before = self.leads.begun.load(Ordering::SeqCst);
        self.leads.cut.notify_one();
        let begun = async {
            while self.leads.begun.load(Ordering::SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("another watch", begun).await;
    }

    pub(crate) async fn wait_watched(&self, times: usize) {
        let watched = async {
            while self.watches() != times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("the watches", watched).await;
    }

    /// The credentials of the drains so far.
    pub(crate) fn drained_by(&self) -> Vec<Option<String>> {
        self.leads.drained_by.lock().expect("no panic").clone()
    }

    /// Whether a stream was opened and not taken yet.
    pub(crate) fn was_dialled(&mut self) -> bool {
        self.streams.try_recv().is_ok()
    }

    /// The next stream, with its hello.
    pub(crate) async fn hello(&mut self) -> Stream {
        let opened = soon("a stream", self.streams.recv()).await.expect("the master serves");
        let mut stream = Stream {
            hello: Hello {
                cluster: None,
                worker: WorkerUid(0),
                name: "".into(),
                machine_id: String::new(),
                boot_id: String::new(),
                incarnation: incarnation(),
                session: Session(0),
                epoch: None,
                capabilities: Capabilities::default(),
                total: AllocatedResources::default(),
                labels: Default::default(),
                variables: Default::default(),
                host: String::new(),
                address: String::new(),
                version: String::new(),
                key: None,
            },
            epoch: self.epoch,
            cluster: self.cluster,
            heartbeat: self.heartbeat,
            bearer: opened.bearer,
            incoming: opened.incoming,
            outgoing: opened.outgoing,
        };
        let Some(Up::Hello(hello)) = stream.next().await else { panic!("a hello comes first") };
        stream.hello = (*hello).try_into().expect("a hello that can be read");
        stream
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One stream of the agent.
pub(crate) struct Stream {
    pub(crate) hello: Hello,
    /// The credential that it was opened with.
    pub(crate) bearer: Option<String>,
    epoch: Epoch,
    cluster: ClusterUid,
    heartbeat: Duration,
    incoming: Streaming<v1::LinkRequest>,
    outgoing: mpsc::Sender<Result<v1::LinkResponse, Status>>,
}

impl Stream {
    /// The agent's next message; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Up> {
        let message = soon("a message", self.incoming.message()).await.ok().flatten()?;
        Some(message.message.expect("a message says something"))
    }

    pub(crate) fn say(&self, message: Down) {
        let down =
            v1::LinkResponse { epoch: Some(self.epoch.into()), session: self.hello.session.0, message: Some(message) };
        self.outgoing.try_send(Ok(down)).expect("room");
    }

    pub(crate) fn welcome(&self) {
        let welcome = muster_proto::LeaderWelcome {
            version: 1,
            cluster: self.cluster,
            cluster_name: "test".into(),
            heartbeat: self.heartbeat,
            lease: Duration::from_secs(45),
            masters: vec![],
        };
        self.say(Down::Welcome((&welcome).into()));
    }

    pub(crate) async fn inventory(&mut self) -> Vec<Report> {
        let mut all = Vec::new();
        loop {
            let Some(Up::Inventory(part)) = self.next().await else { panic!("the inventory comes after the welcome") };
            let (reports, complete) = part.into_part().expect("reports that can be read");
            all.extend(reports);
            if complete {
                return all;
            }
        }
    }

    /// The next reports; heartbeats that come before are answered.
    pub(crate) async fn reports(&mut self) -> Vec<Report> {
        loop {
            match self.next().await.expect("the stream stands") {
                Up::Heartbeat(heartbeat) => self.answer(heartbeat.number),
                Up::Reports(reports) => return reports.try_into().expect("reports that can be read"),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    pub(crate) fn answer(&self, number: u64) {
        self.say(Down::HeartbeatAnswer(v1::HeartbeatAnswer { number }));
    }

    pub(crate) fn command(&self, commands: &[WorkerCommand]) {
        self.say(Down::Commands(v1::Commands::of(incarnation(), commands)));
    }

    pub(crate) fn launch(&self, launch: Launch) {
        self.command(&[WorkerCommand::Launch(std::sync::Arc::new(launch))]);
    }

    pub(crate) fn acknowledge(&self, report: &Report) {
        let list = [Acknowledgement { attempt: report.attempt, sequence: report.sequence }];
        self.say(Down::Acknowledgements(list.as_slice().into()));
    }

    pub(crate) fn goodbye(&self, reason: v1::goodbye::Reason, refusal: &str, leader: &str) {
        self.say(Down::Goodbye(v1::Goodbye {
            reason: reason.into(),
            refusal: refusal.into(),
            message: "the test says so".into(),
            leader: leader.into(),
        }));
    }
}
